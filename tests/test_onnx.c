/* ONNX files out: what the oracle in Python (tests/oracle/test_onnx.py) does not see. */
#include "engine_fixture.h"
#include "model_fixture.h"

#include "allocator_fixture.h"
#include "onnx/onnx_internal.h"

/* ---- Exporting ---- */

static void export_as(const qmd_model *model, const qmd_onnx_export_options *options, const char *name, size_t *size,
					  unsigned char **bytes) {
	const char *path = qmdt_scratch(name);
	qmdt_ok(qmd_onnx_export(model, options, path));
	*bytes = qmdt_read_file(path, size);
}

START_TEST(the_same_model_gives_the_same_bytes) {
	qmd_model *model = qmdt_network(0), *copy;
	qmdt_ok(qmdi_model_copy(model, &copy));
	unsigned char *a, *b;
	size_t n_a, n_b;
	export_as(model, NULL, "a.onnx", &n_a, &a);
	export_as(copy, NULL, "b.onnx", &n_b, &b);
	ck_assert_uint_eq(n_a, n_b);
	ck_assert_mem_eq(a, b, n_a);
	free(a);
	free(b);
	qmd_model_free(copy);
	qmd_model_free(model);
}
END_TEST

START_TEST(options_are_checked) {
	qmd_model *model = qmdt_network(0);
	const char *path = qmdt_scratch("options.onnx");
	qmd_onnx_export_options options;
	qmd_onnx_export_options_init(&options);
	options.target = 3;
	qmdt_fails(qmd_onnx_export(model, &options, path), QMD_ERROR_ARGUMENT, "target is 3");
	qmd_onnx_export_options_init(&options);
	options.layout = 0;
	qmdt_fails(qmd_onnx_export(model, &options, path), QMD_ERROR_ARGUMENT, "layout is 0");
	qmd_onnx_export_options_init(&options);
	options.opset = 12;
	qmdt_fails(qmd_onnx_export(model, &options, path), QMD_ERROR_RANGE, "opset is 12, expected 13 to 17");
	options.opset = 18;
	qmdt_fails(qmd_onnx_export(model, &options, path), QMD_ERROR_RANGE, "opset is 18");
	qmd_onnx_export_options_init(&options);
	options.activations_type = QMD_F32;
	qmdt_fails(qmd_onnx_export(model, &options, path), QMD_ERROR_ARGUMENT, "activations_type is 1");
	options.activations_type = QMD_U8;
	options.target = QMD_ONNX_TARGET_TENSORRT;
	qmdt_fails(qmd_onnx_export(model, &options, path), QMD_ERROR_ARGUMENT, "TensorRT");
	options.struct_size = 3;
	qmdt_fails(qmd_onnx_export(model, &options, path), QMD_ERROR_ARGUMENT, "struct_size");
	qmdt_fails(qmd_onnx_export(NULL, NULL, path), QMD_ERROR_ARGUMENT, "model");
	qmdt_fails(qmd_onnx_export(model, NULL, NULL), QMD_ERROR_ARGUMENT, "path");
	qmdt_fails(qmd_onnx_export(model, NULL, qmdt_scratch("no/such/folder.onnx")), QMD_ERROR_IO, "no/such/folder.onnx");
	qmd_model_free(model);
}
END_TEST

START_TEST(models_that_onnx_cannot_express_are_refused) {
	qmd_model *model;
	const char *path = qmdt_scratch("refused.onnx");
	qmdt_ok(qmd_model_create((qmd_shape){4, 4, 3}, &model));
	qmdt_fails(qmd_onnx_export(model, NULL, path), QMD_ERROR_STATE, "no layers");
	qmd_model_free(model);
	model = qmdt_network(0);
	model->activation_bits = 4;
	qmdt_fails(qmd_onnx_export(model, NULL, path), QMD_ERROR_UNSUPPORTED, "4 bits");
	qmd_model_free(model);
}
END_TEST

static qmd_status export_once(void *argument) {
	return qmd_onnx_export(argument, NULL, qmdt_scratch("memory.onnx"));
}

START_TEST(each_allocation_may_fail) {
	for (size_t network = 0; network < 3; network++) {
		qmd_model *model = qmdt_network(network);
		ck_assert_uint_gt(qmdt_fail_each_allocation(export_once, model), 20);
		qmd_model_free(model);
	}
}
END_TEST

int main(void) {
	Suite *suite = suite_create("onnx");
	TCase *exporting = tcase_create("export");
	tcase_add_test(exporting, the_same_model_gives_the_same_bytes);
	tcase_add_test(exporting, options_are_checked);
	tcase_add_test(exporting, models_that_onnx_cannot_express_are_refused);
	tcase_add_test(exporting, each_allocation_may_fail);
	suite_add_tcase(suite, exporting);
	return qmdt_run(suite);
}
