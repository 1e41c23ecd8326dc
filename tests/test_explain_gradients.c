/* Integrated gradients of a linear network, and of one with kinks. */
#include "linear_fixture.h"
#include "support.h"

#include <math.h>

static void explain_by_gradients(const qmdt_linear *fixture, const qmd_model *model, uint32_t n_steps,
								 uint32_t n_threads, qmd_explanation **explanation) {
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.method = QMD_EXPLAIN_INTEGRATED_GRADIENTS;
	options.n_samples = n_steps;
	options.n_threads = n_threads;
	qmdt_ok(qmd_explain_model(model, fixture->dataset, fixture->frames, LINEAR_N_FRAMES, &options, explanation));
}

/* Which class the margin is taken against at a place on the way from the background, of zeros, to the image. */
static int rival(const qmdt_linear *fixture, const int *image, double place, int own) {
	double largest = -INFINITY;
	int found = -1;
	for (int c = 0; c < LINEAR_N_CLASSES; c++) {
		double sum = 0;
		for (int p = 0; p < LINEAR_N_PIXELS; p++)
			sum += fixture->weights[c][p] * (place * image[p]);
		if (c != own && sum > largest) {
			largest = sum;
			found = c;
		}
	}
	return found;
}

/* A linear network's gradients are its weights: with zeros behind, no rival changes on the way. */
START_TEST(integrated_gradients_of_a_linear_network_are_its_weights) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explanation *explanation;
	explain_by_gradients(&fixture, fixture.model, 0, 1, &explanation);
	const double *scores = qmd_explanation_frame_scores(explanation);
	unsigned char bytes[LINEAR_N_FRAMES][LINEAR_N_PIXELS];
	qmdt_ok(qmd_pixels_run_dataset(fixture.pixels, fixture.dataset, fixture.frames, LINEAR_N_FRAMES, bytes));
	for (int f = 0; f < LINEAR_N_FRAMES; f++) {
		int image[LINEAR_N_PIXELS];
		const int own = f / LINEAR_FRAMES_A_STATE;
		qmdt_linear_read_pixels(&fixture, bytes[f], image);
		const int other = rival(&fixture, image, 1.0, own);
		for (int r = 0; r < LINEAR_N_RESIDUES; r++) {
			double expected = 0;
			for (int p = r * LINEAR_ATOMS_A_RESIDUE * 3; p < (r + 1) * LINEAR_ATOMS_A_RESIDUE * 3; p++)
				expected += (fixture.weights[own][p] - fixture.weights[other][p]) * LINEAR_WEIGHT_STEP * image[p] / 127;
			ck_assert_double_eq_tol(scores[f * LINEAR_N_RESIDUES + r], expected, 1e-5);
		}
	}
	qmd_explanation_free(explanation);
	qmdt_linear_teardown(&fixture);
}
END_TEST

/* A network with kinks everywhere. */
static qmd_model *make_kinked_model(const qmdt_linear *fixture) {
	static const int32_t kinds[] = {QMD_LAYER_CONV2D, QMD_LAYER_RELU,  QMD_LAYER_MAXPOOL, QMD_LAYER_DROPOUT,
									QMD_LAYER_CONV2D, QMD_LAYER_RELU,  QMD_LAYER_FLATTEN, QMD_LAYER_DENSE,
									QMD_LAYER_RELU,   QMD_LAYER_DENSE, QMD_LAYER_SOFTMAX};
	static const uint32_t units[] = {16, 0, 0, 0, 16, 0, 0, 24, 0, LINEAR_N_CLASSES, 0};
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){LINEAR_SIDE, LINEAR_SIDE, 3}, &model));
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		qmd_layer layer;
		qmd_layer_init(&layer, kinds[i]);
		layer.units = units[i];
		layer.padding = QMD_PADDING_SAME;
		layer.kernel_h = layer.kernel_w = kinds[i] == QMD_LAYER_CONV2D ? 3 : kinds[i] == QMD_LAYER_MAXPOOL ? 2 : 0;
		qmdt_ok(qmd_model_add(model, &layer, NULL));
	}
	qmdt_ok(qmd_model_initialize(model, 3));
	qmdt_ok(qmd_model_bind(model, fixture->pixels, qmdt_linear_names));
	return model;
}

/* Margins of each frame and, behind them, of the background, as each frame's class. */
static void predicted_margins(const qmdt_linear *fixture, const qmd_model *model, double margins[LINEAR_N_FRAMES],
							  double behind[LINEAR_N_FRAMES]) {
	static unsigned char bytes[LINEAR_N_FRAMES + 1][LINEAR_N_PIXELS];
	float logits[LINEAR_N_FRAMES + 1][LINEAR_N_CLASSES];
	qmd_predictor *predictor;
	qmdt_ok(qmd_pixels_run_dataset(fixture->pixels, fixture->dataset, fixture->frames, LINEAR_N_FRAMES, bytes));
	qmdt_ok(qmd_pixels_background(fixture->pixels, bytes[LINEAR_N_FRAMES]));
	qmdt_ok(qmdt_predictor_create(model, LINEAR_N_FRAMES + 1, &predictor));
	qmdt_ok(qmd_predictor_run_images(predictor, bytes, qmd_pixels_type(fixture->pixels), LINEAR_N_FRAMES + 1,
									 &logits[0][0], NULL));
	qmd_predictor_free(predictor);
	for (int f = 0; f < LINEAR_N_FRAMES; f++) {
		const int own = f / LINEAR_FRAMES_A_STATE, a = (own + 1) % LINEAR_N_CLASSES, b = (own + 2) % LINEAR_N_CLASSES;
		margins[f] = (double)logits[f][own] - (double)fmaxf(logits[f][a], logits[f][b]);
		behind[f] = (double)logits[LINEAR_N_FRAMES][own] -
					(double)fmaxf(logits[LINEAR_N_FRAMES][a], logits[LINEAR_N_FRAMES][b]);
	}
}

static void check_completeness_of(int32_t kind) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, kind);
	qmd_model *model = make_kinked_model(&fixture);
	qmd_explanation *explanation;
	double margins[LINEAR_N_FRAMES], behind[LINEAR_N_FRAMES];
	predicted_margins(&fixture, model, margins, behind);
	explain_by_gradients(&fixture, model, 0, 1, &explanation);
	const double *scores = qmd_explanation_frame_scores(explanation);
	for (int f = 0; f < LINEAR_N_FRAMES; f++) {
		double sum = 0, magnitudes = 0;
		for (int r = 0; r < LINEAR_N_RESIDUES; r++) {
			sum += scores[f * LINEAR_N_RESIDUES + r];
			magnitudes += fabs(scores[f * LINEAR_N_RESIDUES + r]);
		}
		const double expected = margins[f] - behind[f];
		ck_assert_double_gt(magnitudes, 1e-3);
		ck_assert_double_eq_tol(sum, expected, fmax(0.01 * fabs(expected), 0.001 * magnitudes) + 1e-6);
	}
	qmd_explanation_free(explanation);
	qmd_model_free(model);
	qmdt_linear_teardown(&fixture);
}

START_TEST(integrated_gradients_add_up) {
	check_completeness_of(QMD_PIXELS_DISPLACEMENT);
	check_completeness_of(QMD_PIXELS_ICNNMD);
}
END_TEST

/* Of pixels whose background is not zero: without biases, the way from zero would have no kinks. */
START_TEST(integrated_gradients_converge_with_their_steps) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_ICNNMD);
	qmd_model *model = make_kinked_model(&fixture);
	qmd_explanation *by_itself, *few, *many, *threads;
	explain_by_gradients(&fixture, model, 0, 1, &by_itself);
	explain_by_gradients(&fixture, model, 0, 3, &threads);
	explain_by_gradients(&fixture, model, 3, 1, &few);
	explain_by_gradients(&fixture, model, 2000, 1, &many);
	const double *reference = qmd_explanation_frame_scores(many);
	double error_of_few = 0, error = 0, largest = 0;
	for (size_t i = 0; i < LINEAR_N_FRAMES * LINEAR_N_RESIDUES; i++) {
		largest = fmax(largest, fabs(reference[i]));
		error_of_few = fmax(error_of_few, fabs(qmd_explanation_frame_scores(few)[i] - reference[i]));
		error = fmax(error, fabs(qmd_explanation_frame_scores(by_itself)[i] - reference[i]));
		ck_assert(qmd_explanation_frame_scores(by_itself)[i] == qmd_explanation_frame_scores(threads)[i]);
	}
	ck_assert_double_lt(error, 0.02 * largest);
	ck_assert_double_lt(error, error_of_few);
	qmd_explanation_free(by_itself);
	qmd_explanation_free(threads);
	qmd_explanation_free(few);
	qmd_explanation_free(many);
	qmd_model_free(model);
	qmdt_linear_teardown(&fixture);
}
END_TEST

START_TEST(integrated_gradients_need_a_model_in_fp32) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explanation *explanation;
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.method = QMD_EXPLAIN_INTEGRATED_GRADIENTS;
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, &options, &explanation),
			   QMD_ERROR_ARGUMENT, "an engine has no gradients");
	qmd_model *quantized = qmdt_linear_quantized(&fixture);
	qmdt_fails(qmd_explain_model(quantized, fixture.dataset, fixture.frames, 1, &options, &explanation),
			   QMD_ERROR_STATE, "the model is quantized");
	qmd_model_free(quantized);
	options.n_samples = UINT32_MAX;
	qmdt_fails(qmd_explain_model(fixture.model, fixture.dataset, fixture.frames, 1, &options, &explanation),
			   QMD_ERROR_ARGUMENT, "n_samples is 4294967295");
	qmdt_linear_teardown(&fixture);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("explain_gradients");
	TCase *gradients = tcase_create("gradients");
	tcase_add_test(gradients, integrated_gradients_of_a_linear_network_are_its_weights);
	tcase_add_test(gradients, integrated_gradients_add_up);
	tcase_add_test(gradients, integrated_gradients_converge_with_their_steps);
	tcase_add_test(gradients, integrated_gradients_need_a_model_in_fp32);
	suite_add_tcase(suite, gradients);
	return qmdt_run(suite);
}
