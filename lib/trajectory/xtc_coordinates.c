/*
 * How XTC packs integers (F. van Hoesel's 3dfcoord; GROMACS reference manual, xtc). Bits are written from the highest
 * of a byte on. A triple of numbers x < sx, y < sy, z < sz is the one number (x * sy + y) * sz + z in as many bits as
 * sx * sy * sz has, its lowest byte first, the last byte cut to the bits that are left. Atoms come in groups:
 *
 *     first    a triple: the distances from low; three plain numbers where a range has more than 24 bits
 *     flag     1 bit
 *     code     5 bits, if the flag is set: n = code / 3 atoms follow in this and the next groups, and after this group
 * the index of small differences changes by code % 3 - 1 n times  a triple of `index` bits: the distance from the atom
 * before + size / 2, size = 2^(index / 3)
 *
 * The first two atoms of a group change places: in water the oxygen, in the middle, is nearer to both hydrogens.
 */
#include "xtc_coordinates.h"

#define MAX_JOINT_RANGE 0xffffffu

__extension__ typedef unsigned __int128 wide_number;

/* Sizes of small differences by their index: 2^(index / 3), with the roundings and slips that files are written with.
 */
static const uint32_t small_sizes[QMDI_XTC_LAST_SMALL + 1] = {
	0,       0,       0,       0,       0,        0,        0,       0,       0,       8,       10,
	12,      16,      20,      25,      32,       40,       50,      64,      80,      101,     128,
	161,     203,     256,     322,     406,      512,      645,     812,     1024,    1290,    1625,
	2048,    2580,    3250,    4096,    5060,     6501,     8192,    10321,   13003,   16384,   20642,
	26007,   32768,   41285,   52015,   65536,    82570,    104031,  131072,  165140,  208063,  262144,
	330280,  416127,  524287,  660561,  832255,   1048576,  1321122, 1664510, 2097152, 2642245, 3329021,
	4194304, 5284491, 6658042, 8388607, 10568983, 13316085, 16777216};

typedef struct unpacker {
	const unsigned char *next, *end;
	uint64_t bits; /* the lowest n_bits are still to be read */
	unsigned n_bits;
	const qmdi_xtc_packing *packing;
	uint32_t sizes[3];     /* of the ranges */
	unsigned n_range_bits; /* of a triple in them; 0: each number by itself */
	uint32_t small;        /* index of small differences */
	float unit;            /* nanometer */
	float *xyz;
	size_t n_left; /* atoms */
	int is_damaged;
} unpacker;

/* At most 32 bits. Zeros follow the end. */
static uint32_t get_bits(unpacker *u, unsigned n) {
	while (u->n_bits < n) {
		u->bits <<= 8;
		if (u->next < u->end)
			u->bits |= *u->next++;
		else
			u->is_damaged = 1;
		u->n_bits += 8;
	}
	u->n_bits -= n;
	return (uint32_t)(u->bits >> u->n_bits & ((UINT64_C(1) << n) - 1));
}

static unsigned count_bits(wide_number number) {
	unsigned n = 0;
	for (; number != 0; number >>= 1)
		n++;
	return n;
}

static void get_triple(unpacker *u, unsigned n_bits, const uint32_t sizes[3], int64_t triple[3]) {
	uint64_t low = 0;
	unsigned shift = 0;
	for (; n_bits > 8 && shift < 56; n_bits -= 8, shift += 8)
		low |= (uint64_t)get_bits(u, 8) << shift;
	const unsigned n_here = n_bits < 8 ? n_bits : 8;
	low |= (uint64_t)get_bits(u, n_here) << shift;
	if (n_bits <= 8) {
		triple[2] = (int64_t)(low % sizes[2]);
		low /= sizes[2];
		triple[1] = (int64_t)(low % sizes[1]);
		triple[0] = (int64_t)(low / sizes[1]);
		return;
	}
	wide_number number = low | (wide_number)get_bits(u, n_bits - 8) << 64; /* at most 72 bits */
	triple[2] = (int64_t)(number % sizes[2]);
	number /= sizes[2];
	triple[1] = (int64_t)(number % sizes[1]);
	triple[0] = (int64_t)(number / sizes[1] & UINT32_MAX);
}

/* No atom is outside of the ranges in a file that is whole. */
static void put_atom(unpacker *u, const int64_t at[3]) {
	for (size_t axis = 0; axis < 3; axis++) {
		if (at[axis] < u->packing->low[axis] || at[axis] > u->packing->high[axis])
			u->is_damaged = 1;
		*u->xyz++ = (float)at[axis] * u->unit;
	}
	u->n_left--;
}

static void get_first(unpacker *u, int64_t first[3]) {
	if (u->n_range_bits == 0)
		for (size_t axis = 0; axis < 3; axis++)
			first[axis] = get_bits(u, count_bits(u->sizes[axis]));
	else
		get_triple(u, u->n_range_bits, u->sizes, first);
	for (size_t axis = 0; axis < 3; axis++)
		first[axis] += u->packing->low[axis];
}

/* The first atom of a group and n more. */
static void put_group(unpacker *u, const int64_t first[3], size_t n) {
	const uint32_t size = small_sizes[u->small], sizes[3] = {size, size, size};
	int64_t before[3] = {first[0], first[1], first[2]};
	if (n == 0)
		put_atom(u, first);
	for (size_t i = 0; i < n; i++) {
		int64_t at[3];
		get_triple(u, u->small, sizes, at);
		for (size_t axis = 0; axis < 3; axis++)
			before[axis] += at[axis] - size / 2;
		put_atom(u, before);
		if (i == 0)
			put_atom(u, first);
	}
}

static void start(unpacker *u) {
	wide_number product = 1;
	u->n_range_bits = 1;
	for (size_t axis = 0; axis < 3; axis++) {
		u->sizes[axis] = (uint32_t)((int64_t)u->packing->high[axis] - u->packing->low[axis] + 1);
		product *= u->sizes[axis];
		if (u->sizes[axis] > MAX_JOINT_RANGE)
			u->n_range_bits = 0;
	}
	if (u->n_range_bits)
		u->n_range_bits = count_bits(product);
}

int qmdi_xtc_unpack(const qmdi_xtc_packing *packing, const unsigned char *bytes, size_t n_atoms, float *xyz) {
	unpacker u = {.next = bytes,
				  .end = bytes + packing->n_bytes,
				  .packing = packing,
				  .small = packing->small,
				  .unit = (float)(1 / (double)packing->precision),
				  .xyz = xyz,
				  .n_left = n_atoms};
	size_t n_following = 0;
	start(&u);
	while (u.n_left > 0 && !u.is_damaged) {
		int64_t first[3];
		uint32_t change = 1;
		get_first(&u, first);
		if (get_bits(&u, 1)) {
			const uint32_t code = get_bits(&u, 5);
			n_following = code / 3;
			change = code % 3;
		}
		if (n_following >= u.n_left)
			return 0;
		put_group(&u, first, n_following);
		u.small += change - 1;
		if (u.small < QMDI_XTC_FIRST_SMALL || u.small > QMDI_XTC_LAST_SMALL)
			u.is_damaged = 1;
	}
	return !u.is_damaged && u.next == u.end;
}
