#include "cuda_fixture.h"

extern "C" {
#include "base/softmax.h"
}

qmdt_device_memory::qmdt_device_memory(size_t size)
	: bytes(static_cast<unsigned char *>(aligned_alloc(256, (size + 256) / 256 * 256))) {
	ck_assert_ptr_nonnull(bytes);
	memset(bytes, 0, (size + 256) / 256 * 256);
}

qmdt_device_memory::~qmdt_device_memory() {
	free(bytes);
}

qmdt_cuda_run::qmdt_cuda_run(qmdt_kernel_case *test_, const qmdi_cuda_kernel *row, uint32_t n_multiprocessors)
	: launch(), test(test_), packed(row->packed_size(&test_->shape)),
	  scratch(row->scratch_size(&test_->shape, test_->n_images, n_multiprocessors)) {
	const qmdi_kernel_weights weights = {test->weights, test->bias, test->multipliers};
	row->pack(&test->shape, &weights, packed.bytes);
	qmdi_cuda_call call = {};
	call.call.shape = &test->shape;
	call.call.packed = packed.bytes;
	call.call.n_images = test->n_images;
	call.call.inputs[0] = test->inputs[0].view;
	call.call.inputs[1] = test->inputs[1].view;
	call.call.output = test->output.view;
	call.scratch = scratch.bytes;
	call.n_multiprocessors = n_multiprocessors;
	if (row->fuses_softmax(&test->shape)) {
		probabilities.resize(test->n_images * test->shape.out_c);
		call.probabilities = probabilities.data();
	}
	ck_assert_int_eq(row->launch(&call, &launch), 0);
}

int qmdt_cuda_run::run(uint64_t seed, int arch, qmdi_host_counters *counters) {
	memset(test->output.bytes, QMDT_GUARD, test->output.size + QMDI_SLACK);
	return qmdi_host_launch(&launch, seed, arch, counters);
}

std::vector<uint8_t> qmdt_expected_output(qmdt_kernel_case *test) {
	const qmdi_kernel *reference = qmdi_kernel_choose(&test->shape, QMDI_ISA_REF);
	ck_assert_ptr_nonnull(reference);
	qmdt_case_run(test, reference);
	return std::vector<uint8_t>(test->output.bytes, test->output.bytes + test->output.size + QMDI_SLACK);
}

bool qmdt_is_equal(const qmdt_kernel_case *test, const std::vector<uint8_t> &expected) {
	return memcmp(test->output.bytes, expected.data(), expected.size()) == 0;
}

bool qmdt_has_probabilities(const qmdt_kernel_case *test, const qmdt_cuda_run &run) {
	std::vector<float> expected(test->shape.out_c);
	for (size_t i = 0; i < run.probabilities.size(); i += test->shape.out_c) {
		const uint8_t *logits = static_cast<const uint8_t *>(test->output.view.data) +
								i / test->shape.out_c * test->output.view.image_stride;
		qmdi_softmax(reinterpret_cast<const float *>(logits), test->shape.out_c, expected.data());
		if (memcmp(&run.probabilities[i], expected.data(), expected.size() * sizeof(float)) != 0) {
			return false;
		}
	}
	return true;
}

std::string qmdt_describe(const qmdt_kernel_case *test, const qmdt_machine &on) {
	const qmdi_kernel_shape *s = &test->shape;
	char text[384];
	snprintf(text, sizeof text,
			 "operand %d, in %ux%ux%u, out %ux%ux%u, kernel %ux%u, stride %ux%u, pad %u %u %u %u, pool %u, low %d, "
			 "float %d, %zu images, fill %d, sm_%d with %u multiprocessors, seed %llu",
			 static_cast<int>(s->operand), s->in_h, s->in_w, s->in_c, s->out_h, s->out_w, s->out_c, s->kernel_h,
			 s->kernel_w, s->stride_h, s->stride_w, s->pad_top, s->pad_left, s->pad_bottom, s->pad_right, s->pool,
			 s->low, s->float_output, test->n_images, static_cast<int>(test->fill), on.arch, on.n_multiprocessors,
			 static_cast<unsigned long long>(on.seed));
	return text;
}
