/* Training on the devices that every machine has, and the names of devices. test_cuda_train.c has the GPU's. */
#include "device_training_fixture.h"
#include "training_fixture.h"

START_TEST(the_reference_trains_as_the_cpu_does) {
	qmdt_check_training_on("reference");
}
END_TEST

START_TEST(the_reference_quantizes_as_the_cpu_does) {
	qmdt_check_quantizing_on("reference");
}
END_TEST

START_TEST(biases_keep_room_on_the_reference) {
	qmdt_check_room_for_biases_on("reference");
}
END_TEST

START_TEST(training_resumes_to_the_same_bits) {
	static const char *const devices[] = {"cpu", "reference"};
	qmdt_check_resuming_on(devices[_i]);
}
END_TEST

START_TEST(checkpoints_go_from_device_to_device) {
	qmdt_check_checkpoint_between("cpu", "reference");
	qmdt_check_checkpoint_between("reference", "cpu");
}
END_TEST

/* This suite has no GPU's column. */
START_TEST(devices_that_are_not_there_are_refused) {
	static const struct {
		const char *name;
		qmd_status status;
		const char *text;
	} cases[] = {{"", QMD_ERROR_ARGUMENT, "device is ''"},
				 {"gpu", QMD_ERROR_ARGUMENT, "device is 'gpu', expected cpu, cuda, cuda:N or reference"},
				 {"cuda:", QMD_ERROR_ARGUMENT, "'cuda:'"},
				 {"cuda:-1", QMD_ERROR_ARGUMENT, "'cuda:-1'"},
				 {"cuda:1x", QMD_ERROR_ARGUMENT, "'cuda:1x'"},
				 {"cuda", QMD_ERROR_UNSUPPORTED, "built without training on a GPU"},
				 {"cuda:1", QMD_ERROR_UNSUPPORTED, "'cuda:1'"}};
	qmdt_draw_patches(1);
	qmd_model *model = qmdt_tiny_model(), *untouched = qmdt_tiny_model(), *quantized;
	qmd_train_options train;
	qmd_quantize_options quantize;
	qmd_predictor_options predict;
	qmd_train_options_init(&train);
	qmd_quantize_options_init(&quantize);
	qmd_predictor_options_init(&predict);
	qmd_predictor *predictor;
	train.device = quantize.device = predict.device = cases[_i].name;
	qmdt_fails(qmd_train_images(model, qmdt_patches, QMD_S8, qmdt_patch_labels, QMDT_N_PATCHES, &train),
			   cases[_i].status, cases[_i].text);
	qmdt_fails(
		qmd_quantize_images(model, qmdt_patches, QMD_S8, qmdt_patch_labels, QMDT_N_PATCHES, &quantize, &quantized),
		cases[_i].status, cases[_i].text);
	qmdt_fails(qmd_predictor_create(model, &predict, &predictor), cases[_i].status, cases[_i].text);
	ck_assert_ptr_null(quantized);
	ck_assert_ptr_null(predictor);
	qmdt_check_same_parameters(model, untouched);
	qmd_model_free(model);
	qmd_model_free(untouched);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("train_devices");
	TCase *training = tcase_create("training");
	tcase_set_timeout(training, 120);
	tcase_add_test(training, the_reference_trains_as_the_cpu_does);
	tcase_add_test(training, the_reference_quantizes_as_the_cpu_does);
	tcase_add_test(training, biases_keep_room_on_the_reference);
	tcase_add_loop_test(training, training_resumes_to_the_same_bits, 0, 2);
	tcase_add_test(training, checkpoints_go_from_device_to_device);
	suite_add_tcase(suite, training);
	TCase *names = tcase_create("names");
	tcase_add_loop_test(names, devices_that_are_not_there_are_refused, 0, 7);
	suite_add_tcase(suite, names);
	return qmdt_run(suite);
}
