/*
 * elementwise_f32: sums, products and ReLU of tensors of floats, element by element.
 *
 *     add            y = a + b
 *     multiply       y = a * b
 *     relu           y = x < 0 ? 0 : x, which keeps NaN and -0
 *     relu_backward  d_x = y > 0 ? d_y : 0
 *     add_bias       y[row][unit] += b[unit]
 *
 * A thread does four elements (fours.h). Each operation is rounded once; -fmad=false.
 *
 *   Budget: qmdi_*_f32 registers<=32 shared<=0 spills=0 calls=0 needs=LDG.E.128,STG.E.128
 */
#include "fours.h"
#include "train_kernels.h"

namespace qmdi {
namespace {

struct elementwise_f32_params {
	const float *a, *b; /* b: the second input, or the bias */
	float *y;
	uint32_t n, n_units; /* n_units: of a bias */
};

QMDI_DEVICE void add(const elementwise_f32_params &p) {
	map_fours(p.n, p.a, p.b, p.y, [](uint32_t, float a, float b) { return a + b; });
}

QMDI_DEVICE void multiply(const elementwise_f32_params &p) {
	map_fours(p.n, p.a, p.b, p.y, [](uint32_t, float a, float b) { return multiply_rn(a, b); });
}

QMDI_DEVICE void relu(const elementwise_f32_params &p) {
	map_fours(p.n, p.a, nullptr, p.y, [](uint32_t, float x, float) { return x < 0.0f ? 0.0f : x; });
}

QMDI_DEVICE void relu_backward(const elementwise_f32_params &p) {
	map_fours(p.n, p.a, p.b, p.y, [](uint32_t, float y, float d) { return y > 0.0f ? d : 0.0f; });
}

QMDI_DEVICE void add_bias(const elementwise_f32_params &p) {
	map_fours(p.n, p.a, nullptr, p.y, [&](uint32_t i, float y, float) { return y + load_cached(p.b + i % p.n_units); });
}

QMDI_CUDA_KERNEL(qmdi_add_f32, fours_threads, 1, elementwise_f32_params, add);
QMDI_CUDA_KERNEL(qmdi_multiply_f32, fours_threads, 1, elementwise_f32_params, multiply);
QMDI_CUDA_KERNEL(qmdi_relu_f32, fours_threads, 1, elementwise_f32_params, relu);
QMDI_CUDA_KERNEL(qmdi_relu_backward_f32, fours_threads, 1, elementwise_f32_params, relu_backward);
QMDI_CUDA_KERNEL(qmdi_add_bias_f32, fours_threads, 1, elementwise_f32_params, add_bias);

int launch_elementwise(const qmdi_cuda_entry *entry, uint64_t n, uint64_t n_units, const float *a, const float *b,
					   float *y, qmdi_cuda_launch *launch) {
	return launch_fours(launch, entry, n,
						elementwise_f32_params{a, b, y, static_cast<uint32_t>(n), static_cast<uint32_t>(n_units)});
}

} // namespace
} // namespace qmdi

int qmdi_cuda_add_launch(size_t n, const float *a, const float *b, float *y, qmdi_cuda_launch *launch) {
	return qmdi::launch_elementwise(&qmdi::qmdi_add_f32_entry, n, 1, a, b, y, launch);
}

int qmdi_cuda_multiply_launch(size_t n, const float *a, const float *b, float *y, qmdi_cuda_launch *launch) {
	return qmdi::launch_elementwise(&qmdi::qmdi_multiply_f32_entry, n, 1, a, b, y, launch);
}

int qmdi_cuda_relu_launch(size_t n, const float *x, float *y, qmdi_cuda_launch *launch) {
	return qmdi::launch_elementwise(&qmdi::qmdi_relu_f32_entry, n, 1, x, nullptr, y, launch);
}

int qmdi_cuda_relu_backward_launch(size_t n, const float *y, const float *d_y, float *d_x, qmdi_cuda_launch *launch) {
	return qmdi::launch_elementwise(&qmdi::qmdi_relu_backward_f32_entry, n, 1, y, d_y, d_x, launch);
}

int qmdi_cuda_add_bias_launch(size_t n_rows, size_t n_units, const float *b, float *y, qmdi_cuda_launch *launch) {
	return qmdi::launch_elementwise(&qmdi::qmdi_add_bias_f32_entry, qmdi::count_elements(n_rows, n_units), n_units, y,
									b, y, launch);
}
