/* The host back end of the CUDA kernels: its words against what the instructions are documented to do (PTX ISA), and
 * what it finds in kernels that are wrong. */
#include <check.h>

#include <cstdio>
#include <vector>

#include "cuda/device.h"

using namespace qmdi;

extern "C" int qmdt_run(Suite *suite);

namespace {

#define N_SEEDS 8

template <class Params>
qmdi_cuda_launch launch_of(const qmdi_cuda_entry &entry, unsigned n_blocks, unsigned n_threads, unsigned shared,
						   const Params &params) {
	qmdi_cuda_launch launch;
	ck_assert_int_eq(set_launch(&launch, &entry, {n_blocks, 1}, n_threads, shared, params), 0);
	return launch;
}

/* The launch must run through. */
void run(const qmdi_cuda_launch &launch, uint64_t seed, int arch, qmdi_host_counters *counters) {
	ck_assert_msg(qmdi_host_launch(&launch, seed, arch, counters) == 0, "%s", qmdi_host_error());
}

/* The launch must be found wrong, by every seed, with these words. */
void must_fail(const qmdi_cuda_launch &launch, const char *part) {
	for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
		ck_assert_int_eq(qmdi_host_launch(&launch, seed, 80, nullptr), -1);
		ck_assert_msg(strstr(qmdi_host_error(), part) != nullptr, "'%s' is not in '%s'", part, qmdi_host_error());
	}
}

uint32_t random_state = 1;

uint32_t random_word() {
	random_state = random_state * 1664525u + 1013904223u; /* Numerical Recipes */
	return (random_state >> 16) ^ (random_state << 16);
}

/* ---- Barriers ---- */

struct reverse_params {
	const int *input;
	int *output;
	int n, step; /* numbers of a block, and from a block's first to the next one's */
	int has_barrier;
};

/* Each block turns its part of the input around, through shared memory. */
void reverse(const reverse_params &p) {
	wait_for_earlier_launches();
	int *const staged = reinterpret_cast<int *>(shared_memory());
	const int i = static_cast<int>(threadIdx.x), first = static_cast<int>(blockIdx.x) * p.step;
	store_shared(&staged[i], load(&p.input[first + i]));
	if (p.has_barrier) {
		sync_block();
	}
	store(&p.output[first + i], load_shared(&staged[p.n - 1 - i]));
}
QMDI_CUDA_KERNEL(reverse_blocks, 1024, 1, reverse_params, reverse);

/* Number of wrong elements. */
int count_reverse_errors(uint64_t seed, int has_barrier) {
	const unsigned n = 96, n_blocks = 5;
	std::vector<int> input(n * n_blocks), output(n * n_blocks, -1);
	for (size_t i = 0; i < input.size(); ++i) {
		input[i] = static_cast<int>(i);
	}
	const reverse_params params = {input.data(), output.data(), static_cast<int>(n), static_cast<int>(n), has_barrier};
	run(launch_of(reverse_blocks_entry, n_blocks, n, n * sizeof(int), params), seed, 80, nullptr);
	int n_wrong = 0;
	for (size_t i = 0; i < input.size(); ++i) {
		n_wrong += static_cast<size_t>(output[i]) != i / n * n + n - 1 - i % n;
	}
	return n_wrong;
}

START_TEST(barriers_hold_back_the_block) {
	for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
		ck_assert_int_eq(count_reverse_errors(seed, 1), 0);
		ck_assert_int_gt(count_reverse_errors(seed, 0), 0);
	}
}
END_TEST

/* ---- Matrices. Layouts as the PTX ISA states them: element i of a thread's fragment, its bytes in order. ---- */

struct matrix_params {
	const uint8_t *a, *b; /* [16][32], [32][8]; of m8n8k16 [8][16], [16][8] */
	int32_t *d;           /* [16][8]; [8][8] */
	int is_unsigned;
};

/* "Matrix fragments for mma.m16n8k32", .s8/.u8 */
void large_matrix(const matrix_params &p) {
	wait_for_earlier_launches();
	const unsigned laneid = threadIdx.x, group_id = laneid >> 2, thread_in_group = laneid % 4;
	uint8_t a[16], b[8];
	for (unsigned i = 0; i < 16; ++i) {
		const unsigned row = i < 4 || (8 <= i && i < 12) ? group_id : group_id + 8;
		const unsigned col = i < 8 ? thread_in_group * 4 + (i & 3) : thread_in_group * 4 + (i & 3) + 16;
		a[i] = load(&p.a[row * 32 + col]);
	}
	for (unsigned i = 0; i < 8; ++i) {
		const unsigned row = i < 4 ? thread_in_group * 4 + (i & 3) : thread_in_group * 4 + (i & 3) + 16;
		b[i] = load(&p.b[row * 8 + group_id]);
	}
	uint32_t a_registers[4], b_registers[2];
	memcpy(a_registers, a, sizeof a);
	memcpy(b_registers, b, sizeof b);
	int32_t c[4];
	for (unsigned i = 0; i < 4; ++i) {
		c[i] = load(&p.d[(i < 2 ? group_id : group_id + 8) * 8 + thread_in_group * 2 + (i & 1)]);
	}
	if (p.is_unsigned) {
		multiply_m16n8k32<uint8_t>(c, a_registers, b_registers);
	} else {
		multiply_m16n8k32<int8_t>(c, a_registers, b_registers);
	}
	for (unsigned i = 0; i < 4; ++i) {
		store(&p.d[(i < 2 ? group_id : group_id + 8) * 8 + thread_in_group * 2 + (i & 1)], c[i]);
	}
}
QMDI_CUDA_KERNEL(multiply_large, 32, 1, matrix_params, large_matrix);

/* "Matrix fragments for mma.m8n8k16" */
void small_matrix(const matrix_params &p) {
	wait_for_earlier_launches();
	const unsigned laneid = threadIdx.x, group_id = laneid >> 2, thread_in_group = laneid % 4;
	uint8_t a[4], b[4];
	for (unsigned i = 0; i < 4; ++i) {
		a[i] = load(&p.a[group_id * 16 + thread_in_group * 4 + i]);
		b[i] = load(&p.b[(thread_in_group * 4 + i) * 8 + group_id]);
	}
	uint32_t a_register, b_register;
	memcpy(&a_register, a, sizeof a);
	memcpy(&b_register, b, sizeof b);
	int32_t *const d = &p.d[group_id * 8 + thread_in_group * 2];
	int32_t c0 = load(&d[0]), c1 = load(&d[1]);
	if (p.is_unsigned) {
		multiply_m8n8k16<uint8_t>(c0, c1, a_register, b_register);
	} else {
		multiply_m8n8k16<int8_t>(c0, c1, a_register, b_register);
	}
	store(&d[0], c0);
	store(&d[1], c1);
}
QMDI_CUDA_KERNEL(multiply_small, 32, 1, matrix_params, small_matrix);

/* A times B plus what stands in D, against the plain product. */
void check_product(const qmdi_cuda_entry &entry, int m, int k, int is_unsigned, uint64_t seed, int arch) {
	std::vector<uint8_t> a(m * k), b(k * 8);
	std::vector<int32_t> d(m * 8), expected(m * 8);
	for (auto &number : a) {
		number = static_cast<uint8_t>(random_word());
	}
	for (auto &number : b) {
		number = static_cast<uint8_t>(random_word());
	}
	for (int i = 0; i < m * 8; ++i) {
		d[i] = static_cast<int32_t>(random_word() % 1000);
		expected[i] = d[i];
		for (int l = 0; l < k; ++l) {
			const uint8_t number = a[i / 8 * k + l];
			expected[i] += (is_unsigned ? number : static_cast<int8_t>(number)) * static_cast<int8_t>(b[l * 8 + i % 8]);
		}
	}
	const matrix_params params = {a.data(), b.data(), d.data(), is_unsigned};
	run(launch_of(entry, 1, 32, 0, params), seed, arch, nullptr);
	ck_assert_mem_eq(d.data(), expected.data(), d.size() * sizeof d[0]);
}

START_TEST(fragments_are_those_of_the_ptx_isa) {
	for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
		for (int is_unsigned = 0; is_unsigned < 2; ++is_unsigned) {
			check_product(multiply_large_entry, 16, 32, is_unsigned, seed, 80);
			check_product(multiply_large_entry, 16, 32, is_unsigned, seed, 75);
			check_product(multiply_small_entry, 8, 16, is_unsigned, seed, 75);
		}
	}
}
END_TEST

struct rows_params {
	const uint8_t *input; /* 32 rows of 16 bytes */
	uint8_t *output;      /* [4 matrices][8 rows][16 bytes] */
};

/* ldmatrix .x4: threads 8m to 8m + 7 give the rows of matrix m; thread i gets row i / 4, elements (b16) 2 * (i % 4) and
 * the next, of each matrix. */
void matrix_rows(const rows_params &p) {
	wait_for_earlier_launches();
	unsigned char *const rows = shared_memory();
	for (unsigned i = 0; i < 16; ++i) {
		store_shared(rows + threadIdx.x * 48 + i, load(&p.input[threadIdx.x * 16 + i]));
	}
	sync_block();
	uint32_t r[4];
	load_matrix_x4(r, rows + threadIdx.x * 48);
	for (unsigned m = 0; m < 4; ++m) {
		store(reinterpret_cast<uint32_t *>(&p.output[m * 128 + threadIdx.x / 4 * 16 + threadIdx.x % 4 * 4]), r[m]);
	}
}
QMDI_CUDA_KERNEL(load_rows, 32, 1, rows_params, matrix_rows);

START_TEST(matrices_are_loaded_by_rows) {
	alignas(16) uint8_t input[512], output[512] = {};
	for (auto &byte : input) {
		byte = static_cast<uint8_t>(random_word());
	}
	for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
		run(launch_of(load_rows_entry, 1, 32, 32 * 48, rows_params{input, output}), seed, 80, nullptr);
		ck_assert_mem_eq(output, input, sizeof input);
	}
}
END_TEST

/* ---- Copies ---- */

struct copy_params {
	const uint32_t *input; /* [3][n threads] words */
	uint32_t *output;
	int n_waits; /* waits for all but so many groups */
};

void copy_groups(const copy_params &p) {
	wait_for_earlier_launches();
	uint32_t *const staged = reinterpret_cast<uint32_t *>(shared_memory());
	for (unsigned group = 0; group < 3; ++group) {
		copy_async<4>(&staged[group * blockDim.x + threadIdx.x], &p.input[group * blockDim.x + threadIdx.x]);
		commit_copies();
	}
	if (p.n_waits == 0) {
		wait_copies<0>();
	} else if (p.n_waits == 1) {
		wait_copies<1>();
	}
	sync_block();
	for (unsigned group = 0; group < 3; ++group) {
		const unsigned other = blockDim.x - 1 - threadIdx.x;
		store(&p.output[group * blockDim.x + other], load_shared(&staged[group * blockDim.x + other]));
	}
}
QMDI_CUDA_KERNEL(copy_three_groups, 64, 1, copy_params, copy_groups);

START_TEST(copies_land_when_waited_for) {
	const unsigned n = 64;
	uint32_t input[3 * n], output[3 * n];
	for (auto &word : input) {
		word = random_word() | 1;
	}
	const uint32_t poison = 0x01010101u * QMDI_HOST_POISON;
	for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
		for (int n_waits = 0; n_waits < 3; ++n_waits) {
			const qmdi_cuda_launch launch =
				launch_of(copy_three_groups_entry, 1, n, sizeof input, copy_params{input, output, n_waits});
			run(launch, seed, 80, nullptr);
			const unsigned n_landed = n_waits == 2 ? 0 : 3 - static_cast<unsigned>(n_waits);
			for (unsigned i = 0; i < 3 * n; ++i) {
				ck_assert_uint_eq(output[i], i / n < n_landed ? input[i] : poison);
			}
			run(launch, seed, 75, nullptr); /* which copies at once */
			ck_assert_mem_eq(output, input, sizeof input);
		}
	}
}
END_TEST

/* ---- Arithmetic and shuffles ---- */

struct lanes_params {
	uint32_t *output; /* [5][32] */
	double *doubles;  /* [32] */
};

void use_lanes(const lanes_params &p) {
	wait_for_earlier_launches();
	const uint32_t lane = threadIdx.x, value = 100 + lane;
	store(&p.output[lane], shuffle(value, (lane * 5 + 3) % 32));
	store(&p.output[32 + lane], shuffle_xor(value, 20));
	store(&p.output[64 + lane], shuffle_down(value, 7));
	store(&p.output[96 + lane], bytes_at(0x33221100, 0x77665544, lane % 4));
	sync_warp();
	store(&p.output[128 + lane], load(&p.output[32 + (lane + 9) % 32]));
	store(&p.doubles[lane], shuffle_xor(0.1 * lane, 1));
}
QMDI_CUDA_KERNEL(lanes, 32, 1, lanes_params, use_lanes);

START_TEST(lanes_exchange_values) {
	for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
		uint32_t output[5 * 32];
		double doubles[32];
		run(launch_of(lanes_entry, 1, 32, 0, lanes_params{output, doubles}), seed, 80, nullptr);
		for (unsigned i = 0; i < 32; ++i) {
			const uint8_t bytes[] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77};
			uint32_t cut;
			memcpy(&cut, bytes + i % 4, 4);
			ck_assert_uint_eq(output[i], 100 + (i * 5 + 3) % 32);
			ck_assert_uint_eq(output[32 + i], 100 + (i ^ 20));
			ck_assert_uint_eq(output[64 + i], 100 + (i + 7 < 32 ? i + 7 : i));
			ck_assert_uint_eq(output[96 + i], cut);
			ck_assert_uint_eq(output[128 + i], 100 + (((i + 9) % 32) ^ 20));
			ck_assert_double_eq(doubles[i], 0.1 * (i ^ 1));
		}
	}
}
END_TEST

START_TEST(arithmetic_is_that_of_the_instructions) {
	ck_assert_int_eq(round_to_int(0.5f), 0);
	ck_assert_int_eq(round_to_int(1.5f), 2);
	ck_assert_int_eq(round_to_int(-2.5f), -2);
	ck_assert_int_eq(round_to_int(126.50001f), 127);
}
END_TEST

struct dot_params {
	int32_t *output;
};

void dot(const dot_params &p) {
	wait_for_earlier_launches();
	/* Bytes 255, 128, 2, 1 by -1, 127, -127, 3. */
	store(&p.output[0], dot4<uint8_t>(0x010280ff, 0x03817fff, 10));
	store(&p.output[1], dot4<int8_t>(0x010280ff, 0x03817fff, 10));
	store(&p.output[2], dot4<int8_t>(0x01010101, 0x01010101, INT32_MAX));
}
QMDI_CUDA_KERNEL(dots, 32, 1, dot_params, dot);

START_TEST(dot4_multiplies_bytes) {
	int32_t output[3];
	run(launch_of(dots_entry, 1, 32, 0, dot_params{output}), 0, 80, nullptr);
	ck_assert_int_eq(output[0], 10 - 255 + 128 * 127 - 2 * 127 + 3);
	ck_assert_int_eq(output[1], 10 + 1 - 128 * 127 - 2 * 127 + 3);
	ck_assert_int_eq(output[2], INT32_MIN + 3);
}
END_TEST

/* ---- Between blocks ---- */

struct ticket_params {
	uint32_t *ticket, *n_last;
	uint64_t *sum;
};

void take_ticket(const ticket_params &p) {
	wait_for_earlier_launches();
	atomic_add(p.sum, uint64_t(1) << 33);
	fence();
	sync_block();
	if (threadIdx.x == 0 && atomic_increment(p.ticket, gridDim.x - 1) == gridDim.x - 1) {
		atomic_add(p.n_last, 1u);
	}
}
QMDI_CUDA_KERNEL(tickets, 64, 1, ticket_params, take_ticket);

START_TEST(tickets_come_back_to_zero) {
	uint32_t ticket = 0, n_last = 0;
	uint64_t sum = 0;
	for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
		run(launch_of(tickets_entry, 7, 64, 0, ticket_params{&ticket, &n_last, &sum}), seed, 80, nullptr);
		ck_assert_uint_eq(ticket, 0);
		ck_assert_uint_eq(n_last, seed + 1);
		ck_assert_uint_eq(sum, (seed + 1) * 7 * 64 << 33);
	}
}
END_TEST

/* ---- What is wrong is found ---- */

struct wrong_params {
	uint32_t *memory;
	int what;
};

enum { LANE_MISSING, TWO_PLACES, LONELY_WARP, ODD_ADDRESS, ODD_ROW, FAR_ROW, EARLY_READ, EARLY_COPY };

void do_wrong(const wrong_params &p) {
	const unsigned i = threadIdx.x;
	unsigned char *const shared = shared_memory();
	uint32_t r[4];
	if (p.what == EARLY_READ) {
		load(p.memory);
	} else if (p.what == EARLY_COPY) {
		copy_async<4>(shared, p.memory);
	}
	wait_for_earlier_launches();
	switch (p.what) {
	case LANE_MISSING:
		if (i != 37) {
			sync_warp();
		}
		break;
	case TWO_PLACES:
		if (i < 7) {
			shuffle(i, 0);
		} else {
			shuffle(i, 1);
		}
		break;
	case LONELY_WARP:
		if (i < 32) {
			sync_block();
		} else {
			for (;;) {
				sync_warp();
				if (i == 32) {
					break;
				}
			}
		}
		break;
	case ODD_ADDRESS:
		load(reinterpret_cast<const uint32_t *>(reinterpret_cast<const char *>(p.memory) + 2));
		break;
	case FAR_ROW:
		load_matrix_x4(r, shared + i * 16 + 528);
		break;
	default:
		load_matrix_x4(r, shared + i * 8);
	}
}
QMDI_CUDA_KERNEL(wrong, 64, 1, wrong_params, do_wrong);

START_TEST(wrong_kernels_are_found_out) {
	uint32_t memory[4] = {};
	const struct {
		int what;
		const char *part;
	} cases[] = {
		{LANE_MISSING, "threads wait for ever"},
		{TWO_PLACES, "while others are in shuffle at"},
		{LONELY_WARP, "threads wait for ever"},
		{ODD_ADDRESS, "an access of 4 bytes at"},
		{ODD_ROW, "an access of 16 bytes at"},
		{FAR_ROW, "outside of shared memory"},
		{EARLY_READ, "before wait_for_earlier_launches()"},
		{EARLY_COPY, "before wait_for_earlier_launches()"},
	};
	for (const auto &c : cases) {
		must_fail(launch_of(wrong_entry, 3, 64, 1024, wrong_params{memory, c.what}), c.part);
	}
	/* And the next launch runs as if nothing had been. */
	ck_assert_int_eq(count_reverse_errors(1, 1), 0);
}
END_TEST

START_TEST(launches_that_no_device_takes_are_refused) {
	uint32_t memory[4] = {};
	const wrong_params params = {memory, ODD_ROW};
	must_fail(launch_of(wrong_entry, 1, 33, 0, params), "a multiple of 32");
	must_fail(launch_of(wrong_entry, 1, 2048, 0, params), "32 to 1024 threads");
	must_fail(launch_of(wrong_entry, 0, 32, 0, params), "at least one block");
	must_fail(launch_of(wrong_entry, 1, 32, QMDI_HOST_SHARED_MAX + 1, params), "shared memory");
	qmdi_cuda_launch launch = launch_of(wrong_entry, 1, 32, 0, params);
	launch.grid[1] = 65536;
	must_fail(launch, "65535 along y");
}
END_TEST

/* ---- Counters ---- */

struct access_params {
	uint32_t *memory; /* 32-byte aligned */
	unsigned global_stride, shared_stride, row_pitch;
};

void make_accesses(const access_params &p) {
	wait_for_earlier_launches();
	unsigned char *const shared = shared_memory();
	const unsigned i = threadIdx.x % 32;
	store(&p.memory[i * p.global_stride], load(&p.memory[i * p.global_stride]));
	store_shared(reinterpret_cast<uint32_t *>(shared) + i * p.shared_stride, i);
	sync_block();
	uint32_t r[4];
	load_matrix_x4(r, shared + i * p.row_pitch);
}
QMDI_CUDA_KERNEL(accesses, 64, 1, access_params, make_accesses);

qmdi_host_counters count(unsigned global_stride, unsigned shared_stride, unsigned row_pitch) {
	alignas(32) static uint32_t memory[32 * 8];
	qmdi_host_counters counters = {};
	run(launch_of(accesses_entry, 1, 32, 32 * 144, access_params{memory, global_stride, shared_stride, row_pitch}), 0,
		80, &counters);
	return counters;
}

START_TEST(accesses_are_counted_by_warp) {
	const qmdi_host_counters neighbours = count(1, 1, 80);
	ck_assert_uint_eq(neighbours.load_accesses, 1);
	ck_assert_uint_eq(neighbours.load_bytes, 128);
	ck_assert_uint_eq(neighbours.load_sectors, 4);
	ck_assert_uint_eq(neighbours.store_sectors, 4);
	ck_assert_uint_eq(neighbours.distinct_load_sectors, 4);
	ck_assert_uint_eq(neighbours.shared_accesses, 2);
	ck_assert_uint_eq(neighbours.shared_conflicts, 0);
	ck_assert_uint_eq(neighbours.barriers, 1);
	ck_assert_uint_eq(count(8, 1, 80).load_sectors, 32);
	ck_assert_uint_eq(count(0, 1, 80).load_sectors, 1);
	ck_assert_uint_eq(count(1, 2, 80).shared_conflicts, 1);
	ck_assert_uint_eq(count(1, 32, 80).shared_conflicts, 31);
	ck_assert_uint_eq(count(1, 0, 80).shared_conflicts, 0); /* one word for all */
	/* Eight rows of 16 bytes a pass: 128 bytes apart they are all on the same banks, 64 apart on two sets of them. */
	ck_assert_uint_eq(count(1, 1, 128).shared_conflicts, 4 * 7);
	ck_assert_uint_eq(count(1, 1, 64).shared_conflicts, 4 * 3);
	ck_assert_uint_eq(count(1, 1, 48).shared_conflicts, 0);
}
END_TEST

START_TEST(sectors_of_several_blocks_are_told_apart) {
	alignas(32) static int input[128];
	static int output[128];
	qmdi_host_counters counters = {};
	run(launch_of(reverse_blocks_entry, 4, 32, 128, reverse_params{input, output, 32, 32, 1}), 0, 80, &counters);
	ck_assert_uint_eq(counters.distinct_load_sectors, 16);
	ck_assert_uint_eq(counters.load_sectors, 16);
	run(launch_of(reverse_blocks_entry, 4, 32, 128, reverse_params{input, output, 32, 0, 1}), 0, 80, &counters);
	ck_assert_uint_eq(counters.distinct_load_sectors, 16 + 4);
	ck_assert_uint_eq(counters.load_sectors, 16 + 16);
}
END_TEST

} // namespace

int main() {
	Suite *suite = suite_create("cuda_host");
	TCase *words = tcase_create("words");
	tcase_add_test(words, barriers_hold_back_the_block);
	tcase_add_test(words, fragments_are_those_of_the_ptx_isa);
	tcase_add_test(words, matrices_are_loaded_by_rows);
	tcase_add_test(words, copies_land_when_waited_for);
	tcase_add_test(words, lanes_exchange_values);
	tcase_add_test(words, arithmetic_is_that_of_the_instructions);
	tcase_add_test(words, dot4_multiplies_bytes);
	tcase_add_test(words, tickets_come_back_to_zero);
	suite_add_tcase(suite, words);
	TCase *checks = tcase_create("checks");
	tcase_add_test(checks, wrong_kernels_are_found_out);
	tcase_add_test(checks, launches_that_no_device_takes_are_refused);
	tcase_add_test(checks, accesses_are_counted_by_warp);
	tcase_add_test(checks, sectors_of_several_blocks_are_told_apart);
	suite_add_tcase(suite, checks);
	return qmdt_run(suite);
}
