/* Values worked out by hand from the rules of docs/numerics.md. */
#include "support.h"

#include <float.h>
#include <math.h>

#include "tensor/fake_quant.h"

START_TEST(ties_go_to_even) {
	/* Steps of 0.5 and 0.25 are exact, so x / scale is a tie exactly. */
	ck_assert_int_eq(qmdi_quantize_f32(0.25f, 0.5f, -128, 127), 0);
	ck_assert_int_eq(qmdi_quantize_f32(0.75f, 0.5f, -128, 127), 2);
	ck_assert_int_eq(qmdi_quantize_f32(1.25f, 0.5f, -128, 127), 2);
	ck_assert_int_eq(qmdi_quantize_f32(1.75f, 0.5f, -128, 127), 4);
	ck_assert_int_eq(qmdi_quantize_f32(-0.25f, 0.5f, -128, 127), 0);
	ck_assert_int_eq(qmdi_quantize_f32(-0.75f, 0.5f, -128, 127), -2);
	ck_assert_int_eq(qmdi_quantize_f32(-1.25f, 0.5f, -128, 127), -2);
	ck_assert_int_eq(qmdi_quantize_f32(nextafterf(1.25f, 2.0f), 0.5f, -128, 127), 3);
	ck_assert_int_eq(qmdi_quantize_f32(nextafterf(0.75f, 0.0f), 0.5f, -128, 127), 1);
}
END_TEST

START_TEST(range_is_clamped_before_rounding) {
	ck_assert_int_eq(qmdi_quantize_f32(63.5f, 0.5f, -128, 127), 127);
	ck_assert_int_eq(qmdi_quantize_f32(64.0f, 0.5f, -128, 127), 127);
	ck_assert_int_eq(qmdi_quantize_f32(-64.0f, 0.5f, -128, 127), -128);
	ck_assert_int_eq(qmdi_quantize_f32(-70.0f, 0.5f, -128, 127), -128);
	ck_assert_int_eq(qmdi_quantize_f32(-0.1f, 0.5f, 0, 127), 0);
	ck_assert_int_eq(qmdi_quantize_f32(FLT_MAX, FLT_MIN, -8, 7), 7);
	ck_assert_int_eq(qmdi_quantize_f32(-FLT_MAX, FLT_MIN, -8, 7), -8);
	ck_assert_int_eq(qmdi_quantize_f32(300.0f, 1.0f, 0, 255), 255);
	ck_assert_int_eq(qmdi_quantize_f32(NAN, 1.0f, -128, 127), 0);
}
END_TEST

/* Around ties of a step that is no power of two: where multiplying by 1 / step would differ. */
START_TEST(division_is_a_true_one) {
	int n_different = 0;
	const float scale = 0.1f, inverse = 1.0f / scale;
	for (int q = 0; q < 127; q++) {
		for (int ulp = -2; ulp <= 2; ulp++) {
			float x = (float)((q + 0.5) * (double)scale);
			for (int i = 0; i < abs(ulp); i++)
				x = nextafterf(x, ulp < 0 ? 0.0f : 100.0f);
			const float exact = (float)((double)x / (double)scale); /* of two floats: a double suffices to round */
			ck_assert_int_eq(qmdi_quantize_f32(x, scale, 0, 127), (int)nearbyintf(exact < 127.0f ? exact : 127.0f));
			n_different += x / scale != x * inverse;
		}
	}
	ck_assert_int_gt(n_different, 0); /* the cases tell the two apart */
}
END_TEST

START_TEST(array_is_rounded_to_its_grid) {
	const float x[] = {0.0f, 0.24f, 0.25f, 0.75f, -0.75f, 1.0f, 9.9f, -9.9f, 3.5f};
	const float signed4[] = {0.0f, 0.0f, 0.0f, 1.0f, -1.0f, 1.0f, 3.5f, -4.0f, 3.5f};
	const float unsigned4[] = {0.0f, 0.0f, 0.0f, 1.0f, 0.0f, 1.0f, 3.5f, 0.0f, 3.5f};
	const size_t n = sizeof x / sizeof *x;
	float out[sizeof x / sizeof *x];
	qmdi_fake_quant(x, n, 0.5f, -8, 7, out);
	for (size_t i = 0; i < n; i++)
		ck_assert_float_eq(out[i], signed4[i]);
	memcpy(out, x, sizeof x);
	qmdi_fake_quant(out, n, 0.5f, 0, 7, out);
	for (size_t i = 0; i < n; i++)
		ck_assert_float_eq(out[i], unsigned4[i]);
}
END_TEST

/* Rounding what is rounded changes nothing, for scales that are no powers of two too. */
START_TEST(rounding_twice_is_rounding_once) {
	const float scales[] = {1.0f / 127.0f, 1.0f / 255.0f, 0.1f, 0.0123f, 3.0e-5f, 777.7f};
	for (size_t s = 0; s < sizeof scales / sizeof *scales; s++)
		for (int32_t q = -128; q <= 255; q++) {
			const float x = scales[s] * (float)q;
			float once;
			qmdi_fake_quant(&x, 1, scales[s], -128, 255, &once);
			ck_assert_float_eq(once, x);
		}
}
END_TEST

START_TEST(nan_is_passed_on) {
	const float x = NAN;
	float out;
	qmdi_fake_quant(&x, 1, 0.5f, -8, 7, &out);
	ck_assert(isnan(out));
}
END_TEST

START_TEST(gradient_passes_straight_through_within_the_range) {
	/* x / scale: -8.2, -8, -3.4, 0, 6.9, 7, 7.2 */
	const float x[] = {-4.1f, -4.0f, -1.7f, 0.0f, 3.45f, 3.5f, 3.6f};
	const float d[] = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f, 7.0f};
	const float expected[] = {0.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f, 0.0f};
	float d_x[7];
	qmdi_fake_quant_backward(x, d, 7, 0.5f, -8, 7, d_x);
	for (int i = 0; i < 7; i++)
		ck_assert_float_eq(d_x[i], expected[i]);
}
END_TEST

/* Esser et al. 2020, eq. 3: inside -x/s + rint(x/s), below -Q_N, above Q_P. */
START_TEST(scale_gradient_is_that_of_lsq) {
	const float x[] = {-10.0f, 10.0f, 0.75f, 0.6f};
	const float d[] = {1.0f, 2.0f, 4.0f, 8.0f};
	/* x / 0.5 = -20, 20, 1.5, 1.2: slopes -8, 7, 2 - 1.5, 1 - 1.2 */
	const double sum = -8.0 + 14.0 + 4.0 * 0.5 - 8.0 * 0.2;
	const float gradient = qmdi_fake_quant_scale_gradient(x, d, 4, 0.5f, -8, 7, 100);
	ck_assert_double_eq_tol(gradient, sum / sqrt(100.0 * 7.0), 1e-6);
}
END_TEST

START_TEST(weight_scales_are_max_abs_by_channel) {
	const float weights[] = {0.5f,        -1.27f, 0.0f, /**/ 0.0f,   0.0f, 0.0f,
							 /**/ 1e-44f, 0.0f,   0.0f, /**/ 254.0f, 1.0f, -3.0f};
	float scales[4];
	qmdi_weight_scales(weights, 4, 3, 127, scales);
	ck_assert_float_eq(scales[0], 1.27f / 127.0f);
	ck_assert_float_eq(scales[1], 1.0f); /* a channel of zeros */
	ck_assert_float_eq(scales[2], 1.0f); /* too small for a normal scale: zeros too */
	ck_assert_float_eq(scales[3], 2.0f);
	ck_assert_int_eq(qmdi_quantize_f32(weights[1], scales[0], -127, 127), -127);
	qmdi_weight_scales(weights, 1, 3, 7, scales);
	ck_assert_float_eq(scales[0], 1.27f / 7.0f);
}
END_TEST

START_TEST(bias_is_rounded_in_double_and_saturates) {
	ck_assert_int_eq(qmdi_quantize_bias(0.375f, 0.5f, 0.25f), 3);
	ck_assert_int_eq(qmdi_quantize_bias(0.3125f, 0.5f, 0.25f), 2);   /* 2.5 */
	ck_assert_int_eq(qmdi_quantize_bias(-0.4375f, 0.5f, 0.25f), -4); /* -3.5 */
	ck_assert_int_eq(qmdi_quantize_bias(1.0f, 0x1p-20f, 0x1p-11f), INT32_MAX);
	ck_assert_int_eq(qmdi_quantize_bias(-1.0f, 0x1p-20f, 0x1p-11f), INT32_MIN);
	ck_assert_int_eq(qmdi_quantize_bias(-1.0f, 0x1p-20f, 0x1p-12f), INT32_MIN);
	/* 2^24 + 1 steps: a float has no such number. */
	ck_assert_int_eq(qmdi_quantize_bias(16777216.0f, 1.0f, 1.0f), 16777216);
	ck_assert_int_eq(qmdi_quantize_bias(1.0f, 0x1.fffffep-13f, 0x1.fffffep-13f), 16777218);
	ck_assert_int_eq(qmdi_quantize_bias(NAN, 1.0f, 1.0f), 0);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("fake_quant");
	TCase *values = tcase_create("values");
	tcase_add_test(values, ties_go_to_even);
	tcase_add_test(values, range_is_clamped_before_rounding);
	tcase_add_test(values, division_is_a_true_one);
	tcase_add_test(values, array_is_rounded_to_its_grid);
	tcase_add_test(values, rounding_twice_is_rounding_once);
	tcase_add_test(values, nan_is_passed_on);
	suite_add_tcase(suite, values);
	TCase *gradients = tcase_create("gradients");
	tcase_add_test(gradients, gradient_passes_straight_through_within_the_range);
	tcase_add_test(gradients, scale_gradient_is_that_of_lsq);
	suite_add_tcase(suite, gradients);
	TCase *parameters = tcase_create("parameters");
	tcase_add_test(parameters, weight_scales_are_max_abs_by_channel);
	tcase_add_test(parameters, bias_is_rounded_in_double_and_saturates);
	suite_add_tcase(suite, parameters);
	return qmdt_run(suite);
}
