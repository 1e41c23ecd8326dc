/*
 * What the kernels without tensor cores have in common: the stream of packed weights of the CPU's kernels
 * (kernels/gemm.h draws it) with 32 channels side by side, a lane each, and words of K from any byte of the input.
 */
#ifndef QMD_KERNELS_CUDA_GEMM_WORDS_H
#define QMD_KERNELS_CUDA_GEMM_WORDS_H

#include "../gemm.h"
#include "gemm_call.h"

namespace qmdi {
namespace {

constexpr uint32_t block_channels = 32;

inline const qmdi_gemm &words_gemm() {
	static const qmdi_gemm gemm = {block_channels, 0, static_cast<qmdi_operand>(0), 0, nullptr};
	return gemm;
}

inline size_t words_packed_size(const qmdi_kernel_shape *shape) {
	return qmdi_gemm_packed_size(&words_gemm(), shape);
}

inline void words_pack(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights, void *packed) {
	qmdi_gemm_pack(&words_gemm(), shape, weights, packed);
}

/* Whether words of all windows begin at multiples of 4. step: what the windows of an image lie apart, strides joined by
 * or; 0 if there is one. */
inline bool has_whole_words(const gemm_params &p, size_t step) {
	return (reinterpret_cast<uintptr_t>(p.input) | p.image_stride | step) % 4 == 0;
}

/* Bytes of the stream for 32 channels. */
__host__ __device__ inline size_t stream_bytes(size_t n_words) {
	return (2 + n_words) * block_channels * sizeof(int32_t);
}

/* Four bytes of the input from any byte on. May read up to 3 bytes before and 7 behind it, within its words. */
QMDI_DEVICE uint32_t input_word(const uint8_t *byte, bool is_whole) {
	if (is_whole) {
		return load_cached(reinterpret_cast<const uint32_t *>(byte));
	}
	const uint32_t before = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(byte)) % 4;
	const uint32_t *const word = reinterpret_cast<const uint32_t *>(byte - before);
	return bytes_at(load_cached(word), load_cached(word + 1), before);
}

/* A lane's channel: its weights of K word by word, and what turns its sum into the output. */
struct channel_stream {
	const uint32_t *weights;
	int32_t bias;
	float multiplier;
	uint32_t channel;

	QMDI_DEVICE channel_stream(const unsigned char *packed, uint32_t block, uint32_t n_words) {
		const uint32_t lane = threadIdx.x % 32;
		const unsigned char *const stream = packed + block * stream_bytes(n_words);
		weights = reinterpret_cast<const uint32_t *>(stream) + block_channels + lane;
		bias = load_constant(reinterpret_cast<const int32_t *>(stream) + lane);
		multiplier = load_constant(reinterpret_cast<const float *>(weights + n_words * size_t(block_channels)));
		channel = block * block_channels + lane;
	}

	QMDI_DEVICE uint32_t weight(uint32_t word) const {
		return load_constant(weights + word * size_t(block_channels));
	}

	QMDI_DEVICE void write(const output_params &out, uint8_t *pixel, int32_t sum) const {
		if (channel >= out.out_c) {
			return;
		}
		const float value = scale_sum(sum, bias, multiplier);
		if (out.float_output) {
			store(reinterpret_cast<float *>(pixel) + channel, value);
		} else {
			store(pixel + channel, round_to_byte(value, out.low));
		}
	}
};

} // namespace
} // namespace qmdi

#endif
