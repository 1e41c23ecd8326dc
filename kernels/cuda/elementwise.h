/*
 * What the kernels without weights share (maxpool, avgpool, add): a thread computes one number of the output, channels
 * first, then columns, rows and images; its window is read byte by byte. Such a step is a few percent of a network, and
 * its bytes come from the L2 cache, where the step before left them.
 */
#ifndef QMD_KERNELS_CUDA_ELEMENTWISE_H
#define QMD_KERNELS_CUDA_ELEMENTWISE_H

#include "cuda_rows.h"
#include "device.h"

namespace qmdi {

constexpr uint32_t elementwise_threads = 256;

struct elementwise_params {
	qmdi_kernel_shape shape;
	qmdi_view inputs[2], output;
	uint32_t n, n_blocks; /* numbers of the output and blocks, of an image */
};

/* Which number a thread computes. */
struct element {
	uint32_t image, y, x, channel;
};

/* False for a thread beyond the last. Divisions of 32 bits: those of 64 are subroutines. */
QMDI_DEVICE bool find_element(const elementwise_params &p, element &e) {
	const uint32_t i = blockIdx.x % p.n_blocks * elementwise_threads + threadIdx.x;
	const uint32_t pixel = i / p.shape.out_c;
	e.image = blockIdx.x / p.n_blocks;
	e.y = pixel / p.shape.out_w;
	e.x = pixel % p.shape.out_w;
	e.channel = i % p.shape.out_c;
	return i < p.n;
}

/* A number of an input. */
QMDI_DEVICE int32_t read_number(const elementwise_params &p, uint32_t input, uint64_t image, uint64_t y, uint64_t x,
								uint32_t channel) {
	const qmdi_view &view = p.inputs[input];
	const uint8_t byte = load(static_cast<const uint8_t *>(view.data) + image * view.image_stride +
							  y * view.row_stride + x * p.shape.in_c + channel);
	return p.shape.operand == QMDI_U8 ? byte : static_cast<int8_t>(byte);
}

/* First byte of the output's pixel. */
QMDI_DEVICE uint8_t *output_pixel(const elementwise_params &p, const element &e, uint32_t bytes) {
	return static_cast<uint8_t *>(p.output.data) + e.image * p.output.image_stride + e.y * p.output.row_stride +
		   static_cast<uint64_t>(e.x) * p.shape.out_c * bytes;
}

/* A value of the output's scale, or with float_output the number itself. */
QMDI_DEVICE void write_value(const elementwise_params &p, const element &e, float value) {
	if (p.shape.float_output) {
		store(reinterpret_cast<float *>(output_pixel(p, e, 4)) + e.channel, value);
		return;
	}
	const float low = static_cast<float>(p.shape.low);
	const float clamped = value < low ? low : value > 127.0f ? 127.0f : value;
	store(output_pixel(p, e, 1) + e.channel, static_cast<uint8_t>(round_to_int(clamped)));
}

/* ---- The row of such a kernel ---- */

inline size_t elementwise_packed_size(const qmdi_kernel_shape *) {
	return 0;
}

inline void elementwise_pack(const qmdi_kernel_shape *, const qmdi_kernel_weights *, void *) {
}

inline int launch_elementwise(const qmdi_cuda_entry *entry, const qmdi_cuda_call *call, qmdi_cuda_launch *launch) {
	const qmdi_kernel_shape &shape = *call->call.shape;
	elementwise_params p = {shape, {call->call.inputs[0], call->call.inputs[1]}, call->call.output, 0, 0};
	p.n = shape.out_h * shape.out_w * shape.out_c; /* at most 2^26 */
	p.n_blocks = (p.n + elementwise_threads - 1) / elementwise_threads;
	return set_launch(launch, entry, {p.n_blocks * uint64_t(call->call.n_images), 1}, elementwise_threads, 0, p);
}

} // namespace qmdi

#define QMDI_ELEMENTWISE_ROW(row, op)                                                                                  \
	QMDI_CUDA_DEFINE_ROW(row, op, 75, QMDI_PER_TENSOR, 1, qmdi_cuda_any_shape, qmdi::elementwise_packed_size,          \
						 qmdi::elementwise_pack, qmdi_cuda_no_scratch, qmdi_cuda_no_softmax)

#endif
