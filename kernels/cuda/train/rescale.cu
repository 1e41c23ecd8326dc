/*
 * rescale: numbers of one type as numbers of another (rescale.h).
 *
 *     y = (a + bias[unit]) * factor[unit] + b * b_factor, at least low
 *
 * A thread does one number; which types, all threads of a launch agree on. Bound by memory, and beside the convolutions
 * of a network a few percent. -fmad=false.
 *
 *   Budget: qmdi_rescale registers<=40 shared<=0 spills=0 calls=0 needs=
 */
#include "rescale.h"

#include "../device.h"

namespace qmdi {
namespace {

constexpr uint32_t rescale_threads = 256;

QMDI_DEVICE float read_as_float(const void *tensor, qmdi_cuda_number type, uint32_t i) {
	switch (type) {
	case QMDI_CUDA_U8:
		return static_cast<float>(load(static_cast<const uint8_t *>(tensor) + i));
	case QMDI_CUDA_S8:
		return static_cast<float>(static_cast<int8_t>(load(static_cast<const uint8_t *>(tensor) + i)));
	case QMDI_CUDA_S32:
		return static_cast<float>(load(static_cast<const int32_t *>(tensor) + i));
	case QMDI_CUDA_F16:
		return from_half(load(static_cast<const uint16_t *>(tensor) + i));
	default:
		return load(static_cast<const float *>(tensor) + i);
	}
}

QMDI_DEVICE float read_biased(const qmdi_cuda_rescale &p, uint32_t i, uint32_t unit) {
	if (p.bias == nullptr) {
		return read_as_float(p.a, p.from, i);
	}
	if (p.from == QMDI_CUDA_S32) {
		return static_cast<float>(load(static_cast<const int32_t *>(p.a) + i) +
								  load_cached(static_cast<const int32_t *>(p.bias) + unit));
	}
	return read_as_float(p.a, p.from, i) + load_cached(static_cast<const float *>(p.bias) + unit);
}

QMDI_DEVICE void write_rounded(const qmdi_cuda_rescale &p, uint32_t i, float value) {
	if (p.to == QMDI_CUDA_S8) {
		const float clamped = value > 127.0f ? 127.0f : value >= p.low ? value : p.low;
		store(static_cast<uint8_t *>(p.y) + i, static_cast<uint8_t>(round_to_int(clamped)));
		return;
	}
	const float bounded = value < p.low ? p.low : value;
	if (p.to == QMDI_CUDA_F16) {
		store(static_cast<uint16_t *>(p.y) + i, round_to_half(bounded));
	} else {
		store(static_cast<float *>(p.y) + i, bounded);
	}
}

QMDI_DEVICE void rescale(const qmdi_cuda_rescale &p) {
	const uint32_t i = blockIdx.x * rescale_threads + threadIdx.x;
	wait_for_earlier_launches();
	let_later_launches_start();
	if (i >= p.n) {
		return;
	}
	const uint32_t unit = i % p.n_units;
	const uint32_t place = p.a_units == 0 ? i : i / p.n_units * p.a_units + unit;
	float value = multiply_rn(read_biased(p, place, unit), p.factors ? load_cached(p.factors + unit) : p.factor);
	if (p.b != nullptr) {
		value += multiply_rn(read_as_float(p.b, p.from, i), p.b_factor);
	}
	write_rounded(p, i, value);
}

QMDI_CUDA_KERNEL(qmdi_rescale, rescale_threads, 1, qmdi_cuda_rescale, rescale);

} // namespace
} // namespace qmdi

size_t qmdi_cuda_number_size(qmdi_cuda_number type) {
	return type == QMDI_CUDA_F16 ? 2 : type == QMDI_CUDA_S32 || type == QMDI_CUDA_F32 ? 4 : 1;
}

int qmdi_cuda_rescale_launch(const qmdi_cuda_rescale *rescale, qmdi_cuda_launch *launch) {
	const bool gives_it = rescale->to == QMDI_CUDA_S8 || rescale->to == QMDI_CUDA_F16 || rescale->to == QMDI_CUDA_F32;
	if (rescale->n == 0 || rescale->n > INT32_MAX || rescale->n_units == 0 || !gives_it ||
		rescale->n / rescale->n_units * uint64_t(rescale->a_units) > UINT32_MAX) {
		return -1;
	}
	const uint64_t n_blocks = (rescale->n + uint64_t(qmdi::rescale_threads) - 1) / qmdi::rescale_threads;
	return qmdi::set_launch(launch, &qmdi::qmdi_rescale_entry, {n_blocks, 1}, qmdi::rescale_threads, 0, *rescale);
}
