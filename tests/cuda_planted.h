/*
 * Included before a kernel's source that is compiled with one bug planted: the word QMDI_PLANT, at its occurrence
 * QMDI_PLANT_AT in the text (0 is the first), does something wrong. The kernel itself knows nothing of it.
 */
#ifndef QMD_TESTS_CUDA_PLANTED_H
#define QMD_TESTS_CUDA_PLANTED_H

#include <utility>

#include "cuda/device.h"

#define QMDT_PASTE_(a, b) a##b
#define QMDT_PASTE(a, b) QMDT_PASTE_(a, b)
#define QMDI_CUDA_ROW(row) QMDT_PASTE(qmdi_cuda_##row##_, QMDI_PLANT_NAME)

namespace qmdi {
namespace {

/* One occurrence of the word. */
template <bool is_wrong> struct planted {
	/* Left out. */
	static void sync_block(QMDI_PLACE) {
		if (!is_wrong) {
			qmdi::sync_block(file, line);
		}
	}
	template <int n> static void wait_copies() {
		if (!is_wrong) {
			qmdi::wait_copies<n>();
		}
	}
	static void wait_for_earlier_launches() {
		if (!is_wrong) {
			qmdi::wait_for_earlier_launches();
		}
	}

	/* Matrices in another order: rows before columns. */
	static void load_matrix_x4(uint32_t (&r)[4], const void *row, QMDI_PLACE) {
		qmdi::load_matrix_x4(r, row, file, line);
		if (is_wrong) {
			std::swap(r[1], r[2]);
		}
	}

	/* Halves of K in another order. */
	template <class A>
	static void multiply_m16n8k32(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], QMDI_PLACE) {
		const uint32_t swapped[2] = {b[is_wrong ? 1 : 0], b[is_wrong ? 0 : 1]};
		qmdi::multiply_m16n8k32<A>(c, a, swapped, file, line);
	}

	/* The neighbour of another lane. */
	template <class T> static T shuffle_xor(T value, unsigned mask, QMDI_PLACE) {
		return qmdi::shuffle_xor(value, is_wrong ? mask ^ 1 : mask, file, line);
	}
};

constexpr int first_place = __COUNTER__ + 1;

} // namespace
} // namespace qmdi

#define QMDT_PLANTED planted<__COUNTER__ - first_place == QMDI_PLANT_AT>

#if defined QMDI_PLANT_SYNC_BLOCK
#define sync_block QMDT_PLANTED::sync_block
#elif defined QMDI_PLANT_WAIT_COPIES
#define wait_copies QMDT_PLANTED::template wait_copies
#elif defined QMDI_PLANT_WAIT_FOR_EARLIER_LAUNCHES
#define wait_for_earlier_launches QMDT_PLANTED::wait_for_earlier_launches
#elif defined QMDI_PLANT_LOAD_MATRIX_X4
#define load_matrix_x4 QMDT_PLANTED::load_matrix_x4
#elif defined QMDI_PLANT_MULTIPLY_M16N8K32
#define multiply_m16n8k32 QMDT_PLANTED::template multiply_m16n8k32
#elif defined QMDI_PLANT_SHUFFLE_XOR
#define shuffle_xor QMDT_PLANTED::shuffle_xor
#else
#error "no word to plant a bug in"
#endif

#endif
