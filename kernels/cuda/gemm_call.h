/* What convolutions and dense layers have in common, on the tensor cores or not: what they take of a call, and how a
 * sum becomes an output. */
#ifndef QMD_KERNELS_CUDA_GEMM_CALL_H
#define QMD_KERNELS_CUDA_GEMM_CALL_H

#include <cstring>

#include "cuda_rows.h"
#include "device.h"

namespace qmdi {
namespace {

inline uint32_t divide_up(uint64_t a, uint64_t b) {
	return static_cast<uint32_t>((a + b - 1) / b);
}

/* Where and how a kernel writes. */
struct output_params {
	uint8_t *data;
	size_t row_stride, image_stride;
	uint32_t out_c, pixel_bytes;
	int32_t low, float_output;
	uint32_t rows, columns, pool; /* pixels written, after the pool */
	int32_t has_words;            /* pixels are word-aligned: four channels are stored at once */
};

inline output_params make_output(const qmdi_kernel_call *call) {
	const qmdi_kernel_shape *shape = call->shape;
	output_params out = {};
	out.data = static_cast<uint8_t *>(call->output.data);
	out.row_stride = call->output.row_stride;
	out.image_stride = call->output.image_stride;
	out.out_c = shape->out_c;
	out.pixel_bytes = shape->out_c * (shape->float_output ? 4 : 1);
	out.low = shape->low;
	out.float_output = shape->float_output;
	out.rows = shape->out_h;
	out.columns = shape->out_w;
	out.pool = shape->pool;
	out.has_words = (reinterpret_cast<uintptr_t>(out.data) | out.row_stride | out.image_stride | out.out_c) % 4 == 0;
	return out;
}

/* What all of them take; the parameters of each kernel begin with it. */
struct gemm_params {
	const uint8_t *input; /* first byte of the window of pixel (0, 0) of the first image */
	size_t row_stride, image_stride;
	const unsigned char *packed;
	output_params out;
};

inline void set_gemm(gemm_params &p, const qmdi_kernel_call *call) {
	const qmdi_kernel_shape *shape = call->shape;
	const qmdi_view *input = &call->inputs[0];
	p.input = static_cast<const uint8_t *>(input->data) - shape->pad_top * input->row_stride -
			  size_t(shape->pad_left) * shape->in_c;
	p.row_stride = input->row_stride;
	p.image_stride = input->image_stride;
	p.packed = static_cast<const unsigned char *>(call->packed);
	p.out = make_output(call);
}

/* A sum in the output's scale. Sums wrap, in whichever order they were added. */
QMDI_DEVICE float scale_sum(int32_t sum, int32_t bias, float multiplier) {
	const uint32_t total = static_cast<uint32_t>(sum) + static_cast<uint32_t>(bias);
	return multiply_rn(static_cast<float>(static_cast<int32_t>(total)), multiplier);
}

QMDI_DEVICE uint8_t round_to_byte(float value, int32_t low) {
	return static_cast<uint8_t>(round_to_int(fminf(fmaxf(value, static_cast<float>(low)), 127.0f)));
}

} // namespace
} // namespace qmdi

#endif
