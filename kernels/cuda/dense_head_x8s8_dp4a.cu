/*
 * dense_head_x8s8_dp4a: a dense layer of few channels, such as the last of a network, and the softmax behind it. The
 * result is that of dense_x8s8_ref, and of qmdi_softmax().
 *
 *     acc[n][c]     = bias[c] + sum over k of input[n][k] * weights[c][k]
 *     output        = requantized acc, or float32(acc) * m, and then if asked for
 *     probabilities = softmax of the outputs                                  FP64 (base/softmax_math.h)
 *
 * A block is an image. Each of its four warps takes a channel at a time; its lanes read neighbouring words of K, and
 * add up their sums by shuffles.
 *
 * Packed: int32 bias[out_c] | float m[out_c] | int8 weights[out_c][in_c to a multiple of 4, filled up with 0].
 *
 * Exact: dp4a wraps; u8 goes in as it is (dp4a u32.s32). Ranges are those of the reference.
 *
 * Budget.
 *   Budget: qmdi_dense_head_?8 registers<=64 shared<=0 spills=0 calls=0 needs=IDP
 *   Budget: qmdi_dense_head_?8_softmax registers<=64 shared<=0 spills=0 calls=2 needs=IDP
 *                 the softmax divides in FP64, whose slow path is a subroutine
 *   shared        dynamic, 4 bytes a channel
 *   global        inputs once a channel, weights once an image
 *   loads         4 sectors for 128 bytes where words are whole
 *
 * Edges: words beyond in_c are not read; the last one may pass it, by weights of 0.
 */
#include "base/softmax_math.h"
#include "gemm_words.h"

namespace qmdi {
namespace {

constexpr uint32_t n_threads = 128, n_warps = 4, max_channels = 32;
constexpr uint64_t max_weights = 1 << 16; /* more are too many for one multiprocessor */

struct head_params : gemm_params {
	float *probabilities;
	uint32_t n_words;
	int32_t is_whole;
};

/* One channel of an image; every lane of the warp has the sum. */
template <class A> QMDI_DEVICE int32_t multiply_channel(const head_params &p, const uint8_t *image, uint32_t channel) {
	const uint32_t *const weights =
		reinterpret_cast<const uint32_t *>(p.packed) + 2 * p.out.out_c + channel * p.n_words;
	int32_t sum = 0;
#pragma unroll 4
	for (uint32_t word = threadIdx.x % 32; word < p.n_words; word += 32) {
		sum = dot4<A>(input_word(image + size_t(word) * 4, p.is_whole), load_constant(weights + word), sum);
	}
#pragma unroll
	for (uint32_t i = 16; i > 0; i /= 2) {
		sum = static_cast<int32_t>(static_cast<uint32_t>(sum) + static_cast<uint32_t>(shuffle_xor(sum, i)));
	}
	return sum;
}

template <class A, bool has_softmax> QMDI_DEVICE void multiply_head(const head_params &p) {
	let_later_launches_start();
	wait_for_earlier_launches();
	const uint8_t *const image = p.input + blockIdx.x * p.image_stride;
	uint8_t *const output = p.out.data + blockIdx.x * p.out.image_stride;
	float *const logits = reinterpret_cast<float *>(shared_memory());
	for (uint32_t channel = threadIdx.x / 32; channel < p.out.out_c; channel += n_warps) {
		const int32_t sum = multiply_channel<A>(p, image, channel);
		if (threadIdx.x % 32 != 0) {
			continue;
		}
		const int32_t bias = load_constant(reinterpret_cast<const int32_t *>(p.packed) + channel);
		const float value =
			scale_sum(sum, bias, load_constant(reinterpret_cast<const float *>(p.packed) + p.out.out_c + channel));
		if (p.out.float_output) {
			store(reinterpret_cast<float *>(output) + channel, value);
			store_shared(&logits[channel], value);
		} else {
			store(output + channel, round_to_byte(value, p.out.low));
		}
	}
	if (has_softmax) {
		sync_block();
		if (threadIdx.x == 0) {
			qmdi_softmax_of(logits, p.out.out_c, p.probabilities + size_t(blockIdx.x) * p.out.out_c);
		}
	}
}

QMDI_CUDA_KERNEL(qmdi_dense_head_s8, n_threads, 8, head_params, multiply_head<int8_t, false>);
QMDI_CUDA_KERNEL(qmdi_dense_head_u8, n_threads, 8, head_params, multiply_head<uint8_t, false>);
QMDI_CUDA_KERNEL(qmdi_dense_head_s8_softmax, n_threads, 4, head_params, multiply_head<int8_t, true>);
QMDI_CUDA_KERNEL(qmdi_dense_head_u8_softmax, n_threads, 4, head_params, multiply_head<uint8_t, true>);

/* ---- The row ---- */

int supports(const qmdi_kernel_shape *shape) {
	return shape->out_c <= max_channels && static_cast<uint64_t>(shape->in_c) * shape->out_c <= max_weights;
}

int fuses_softmax(const qmdi_kernel_shape *shape) {
	return shape->float_output != 0;
}

size_t packed_size(const qmdi_kernel_shape *shape) {
	return shape->out_c * (2 + size_t(divide_up(shape->in_c, 4))) * sizeof(int32_t);
}

void pack(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights, void *packed) {
	unsigned char *const bytes = static_cast<unsigned char *>(packed);
	const size_t n = shape->out_c, row_bytes = divide_up(shape->in_c, 4) * size_t(4);
	memset(packed, 0, packed_size(shape));
	memcpy(bytes, weights->bias, n * sizeof(int32_t));
	memcpy(bytes + n * sizeof(int32_t), weights->multipliers, n * sizeof(float));
	for (size_t c = 0; c < n; ++c) {
		memcpy(bytes + 2 * n * sizeof(int32_t) + c * row_bytes, weights->weights + c * shape->in_c, shape->in_c);
	}
}

int launch(const qmdi_cuda_call *cuda_call, qmdi_cuda_launch *launch) {
	const qmdi_kernel_call *call = &cuda_call->call;
	const qmdi_kernel_shape *shape = call->shape;
	head_params p = {};
	set_gemm(p, call);
	p.probabilities = cuda_call->probabilities;
	p.n_words = divide_up(shape->in_c, 4);
	p.is_whole = has_whole_words(p, 0);
	const qmdi_cuda_entry *const entries[2][2] = {
		{&qmdi_dense_head_s8_entry, &qmdi_dense_head_u8_entry},
		{&qmdi_dense_head_s8_softmax_entry, &qmdi_dense_head_u8_softmax_entry}};
	return set_launch(launch, entries[p.probabilities != nullptr][shape->operand == QMDI_U8], {call->n_images, 1},
					  n_threads, shape->out_c * 4, p);
}

} // namespace
} // namespace qmdi

QMDI_CUDA_DEFINE_ROW(dense_head_x8s8_dp4a, QMDI_OP_DENSE, 61, QMDI_PER_CHANNEL, 1, qmdi::supports, qmdi::packed_size,
					 qmdi::pack, qmdi_cuda_no_scratch, qmdi::fuses_softmax);
