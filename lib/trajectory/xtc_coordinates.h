/* The packed coordinates of XTC files. */
#ifndef QMD_LIB_XTC_COORDINATES_H
#define QMD_LIB_XTC_COORDINATES_H

#include "base/error.h"

/* The sizes that small differences may have, by their index. */
#define QMDI_XTC_FIRST_SMALL 9
#define QMDI_XTC_LAST_SMALL 72

/* An atom takes at least one bit for its place and one for what follows. */
#define QMDI_XTC_MAX_ATOMS_PER_BYTE 4

typedef struct qmdi_xtc_packing {
	float precision;         /* integers to a nanometer; finite, above 0 */
	int32_t low[3], high[3]; /* high - low is from 0 to UINT32_MAX - 1 */
	uint32_t small;          /* QMDI_XTC_FIRST_SMALL to QMDI_XTC_LAST_SMALL */
	uint64_t n_bytes;
} qmdi_xtc_packing;

/*
 * Unpack n_atoms coordinates, in nanometer. 0 if the bytes do not hold them: an atom is outside of low and high, a
 * group of atoms goes beyond the last one, or bytes are missing or left over.
 */
int qmdi_xtc_unpack(const qmdi_xtc_packing *packing, const unsigned char *bytes, size_t n_atoms, float *xyz);

#endif
