/* The CUDA kernels of training, on the host back end, against the reference column of the table of tensor operations.
 */
#include "cuda_fixture.h"

#include <cfloat>
#include <climits>
#include <cmath>

#include "cuda/train/train_kernels.h"

extern "C" {
#include "base/random.h"
#include "support.h"
}

namespace {

#define N_SEEDS 4

/* A tensor as a device holds it, `shift` floats behind an address that is aligned, with a guard on both sides. */
class tensor {
  public:
	explicit tensor(size_t n_, size_t shift = 0)
		: n(n_), memory((n_ + shift + 2 * n_guard) * sizeof(float)),
		  data(reinterpret_cast<float *>(memory.bytes) + n_guard + shift) {
		fill(QMDT_GUARD);
		memset(data - n_guard, QMDT_GUARD, n_guard * sizeof(float));
		memset(data + n, QMDT_GUARD, n_guard * sizeof(float));
	}

	void fill(int byte) {
		memset(data, byte, n * sizeof(float));
	}

	bool has_its_guards() const {
		unsigned char guard[n_guard * sizeof(float)];
		memset(guard, QMDT_GUARD, sizeof guard);
		return memcmp(data - n_guard, guard, sizeof guard) == 0 && memcmp(data + n, guard, sizeof guard) == 0;
	}

	size_t n;

  private:
	static const size_t n_guard = 4;
	qmdt_device_memory memory;

  public:
	float *data;
};

/* The reference column, opened. */
class reference_column {
  public:
	reference_column() : device{&qmdi_tensor_reference, nullptr} {
		ck_assert_int_eq(ops().open(&device, 0, 1), QMD_OK);
		ck_assert_int_eq(ops().enter(&device), QMD_OK);
	}
	~reference_column() {
		ops().leave(&device);
		ops().close(&device);
	}
	reference_column(const reference_column &) = delete;
	reference_column &operator=(const reference_column &) = delete;

	const qmdi_tensor_ops &ops() const {
		return *device.ops;
	}

	qmdi_tensor_device device;
};

/* ---- Numbers ---- */

/* In [-1, 1). */
float random_number() {
	return static_cast<float>(static_cast<int32_t>(qmdt_random())) * 0x1p-31f;
}

void fill_plain(tensor &t) {
	for (size_t i = 0; i < t.n; ++i) {
		t.data[i] = 4.0f * random_number();
	}
}

/* Every eighth is a number that is easily treated wrong. */
void fill_hard(tensor &t) {
	const float hard[] = {0.0f,    -0.0f,    NAN,       INFINITY,   -INFINITY, FLT_MAX,   -FLT_MAX,
						  FLT_MIN, -FLT_MIN, 0x1p-149f, -0x1p-140f, 0x1p-100f, -0x1p-70f, 1.0f};
	fill_plain(t);
	for (size_t i = 0; i < t.n; ++i) {
		if (qmdt_random_below(8) == 0) {
			t.data[i] = hard[qmdt_random_below(sizeof hard / sizeof hard[0])];
		}
	}
}

std::vector<float> copy_of(const tensor &t) {
	return std::vector<float>(t.data, t.data + t.n);
}

/* Bit for bit; of a NaN only that it is one. */
bool is_same(float a, float b) {
	return (std::isnan(a) && std::isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

void must_be(const char *what, const tensor &got, const std::vector<float> &expected) {
	for (size_t i = 0; i < got.n; ++i) {
		ck_assert_msg(is_same(got.data[i], expected[i]), "%s of %zu: number %zu is %a instead of %a", what, got.n, i,
					  static_cast<double>(got.data[i]), static_cast<double>(expected[i]));
	}
	ck_assert_msg(got.has_its_guards(), "%s of %zu writes outside of its output", what, got.n);
}

void run(const qmdi_cuda_launch &launch, uint64_t seed) {
	ck_assert_msg(qmdi_host_launch(&launch, seed, seed % 2 == 0 ? 80 : 75, nullptr) == 0, "%s", qmdi_host_error());
}

/* ---- Element by element ---- */

struct element_operation {
	const char *name;
	int (*launch)(size_t n, const float *a, const float *b, float *y, qmdi_cuda_launch *launch);
	qmd_status (*expected)(reference_column &on, size_t n, const float *a, const float *b, float *y);
};

const element_operation element_operations[] = {
	{"add", qmdi_cuda_add_launch,
	 [](reference_column &on, size_t n, const float *a, const float *b, float *y) {
		 return on.ops().add(&on.device, n, a, b, y);
	 }},
	{"multiply", qmdi_cuda_multiply_launch,
	 [](reference_column &on, size_t n, const float *a, const float *b, float *y) {
		 return on.ops().multiply(&on.device, n, a, b, y);
	 }},
	{"relu",
	 [](size_t n, const float *a, const float *, float *y, qmdi_cuda_launch *launch) {
		 return qmdi_cuda_relu_launch(n, a, y, launch);
	 },
	 [](reference_column &on, size_t n, const float *a, const float *, float *y) {
		 return on.ops().relu(&on.device, n, a, y);
	 }},
	{"relu_backward", qmdi_cuda_relu_backward_launch,
	 [](reference_column &on, size_t n, const float *a, const float *b, float *y) {
		 return on.ops().relu_backward(&on.device, n, a, b, y);
	 }},
};

#define N_ELEMENT_OPERATIONS static_cast<int>(sizeof element_operations / sizeof element_operations[0])

const size_t sizes[] = {1, 2, 3, 4, 5, 31, 1023, 1024, 1026, 2500};
const size_t shifts[][3] = {{0, 0, 0}, {1, 1, 1}, {2, 0, 3}}; /* of two inputs and the output */

/* With an output of its own, and in the place of either input. */
void check_element_operation(const element_operation &op, size_t n, const size_t (&shift)[3], uint64_t seed) {
	reference_column on;
	tensor a(n, shift[0]), b(n, shift[1]), y(n, shift[2]);
	std::vector<float> expected(n);
	qmdi_cuda_launch launch;
	for (tensor *output : {&y, &a, &b}) {
		fill_hard(a);
		fill_hard(b);
		qmdt_ok(op.expected(on, n, a.data, b.data, expected.data()));
		ck_assert_int_eq(op.launch(n, a.data, b.data, output->data, &launch), 0);
		run(launch, seed);
		must_be(op.name, *output, expected);
	}
}

START_TEST(element_operations_equal_the_reference) {
	qmdt_random_seed(5);
	for (const size_t n : sizes) {
		for (const auto &shift : shifts) {
			for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
				check_element_operation(element_operations[_i], n, shift, seed);
			}
		}
	}
}
END_TEST

/* Where all is aligned, a warp reads and writes 512 bytes at a time, and none of them twice. */
START_TEST(aligned_tensors_are_read_by_16_bytes) {
	const size_t n = 2048;
	const qmdt_device_memory a(n * sizeof(float)), b(n * sizeof(float)), y(n * sizeof(float));
	qmdi_cuda_launch launch;
	qmdi_host_counters counts = {};
	ck_assert_int_eq(qmdi_cuda_add_launch(n, reinterpret_cast<float *>(a.bytes), reinterpret_cast<float *>(b.bytes),
										  reinterpret_cast<float *>(y.bytes), &launch),
					 0);
	ck_assert_int_eq(qmdi_host_launch(&launch, 0, 80, &counts), 0);
	ck_assert_uint_eq(counts.load_accesses, 2 * n / 128);
	ck_assert_uint_eq(counts.load_sectors, 2 * n / 8);
	ck_assert_uint_eq(counts.store_accesses, n / 128);
	ck_assert_uint_eq(counts.store_sectors, n / 8);
}
END_TEST

START_TEST(dropout_masks_equal_the_reference) {
	const uint64_t key = UINT64_C(0x123456789abcdef), stream = UINT64_C(0x8000000000010007);
	const float rates[N_SEEDS] = {0.0f, 0.25f, qmdi_random_f32(key, stream, 0),
								  0.999f}; /* the third: just not dropped */
	reference_column on;
	for (const size_t n : sizes) {
		for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
			tensor mask(n, seed);
			std::vector<float> expected(n);
			qmdi_cuda_launch launch;
			qmdt_ok(on.ops().dropout_mask(&on.device, n, key, stream, rates[seed], expected.data()));
			ck_assert_int_eq(qmdi_cuda_dropout_mask_launch(n, key, stream, rates[seed], mask.data, &launch), 0);
			run(launch, seed);
			must_be("dropout_mask", mask, expected);
			ck_assert(seed != 2 || mask.data[0] > 1.0f);
		}
	}
}
END_TEST

/* ---- Biases ---- */

struct matrix_size {
	size_t n_rows, n_units;
};

const matrix_size matrices[] = {{1, 1},   {1, 33},  {3, 2},     {8, 32},   {9, 31},  {511, 3},
								{512, 5}, {513, 2}, {1500, 40}, {700, 65}, {4200, 1}};

#define N_MATRICES static_cast<int>(sizeof matrices / sizeof matrices[0])

START_TEST(biases_are_added_to_rows) {
	const matrix_size &m = matrices[_i];
	qmdt_random_seed(6);
	for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
		tensor b(m.n_units, 1), y(m.n_rows * m.n_units, seed % 2);
		fill_hard(b);
		fill_hard(y);
		std::vector<float> expected = copy_of(y);
		for (size_t i = 0; i < y.n; ++i) {
			expected[i] = expected[i] + b.data[i % m.n_units];
		}
		qmdi_cuda_launch launch;
		ck_assert_int_eq(qmdi_cuda_add_bias_launch(m.n_rows, m.n_units, b.data, y.data, &launch), 0);
		run(launch, seed);
		must_be("add_bias", y, expected);
	}
}
END_TEST

/* Two launches with scratch memory that holds NaN. */
void run_both(const qmdi_cuda_launch (&launches)[2], qmdt_device_memory &scratch, size_t scratch_size, uint64_t seed) {
	memset(scratch.bytes, 0xFF, scratch_size);
	run(launches[0], seed);
	run(launches[1], seed);
}

/* Within the rounding to float, and that of FP64 for each of the additions. */
bool is_sum_of(const float *numbers, size_t n, size_t stride, float got) {
	long double sum = 0.0L, magnitudes = 0.0L;
	for (size_t i = 0; i < n; ++i) {
		sum += static_cast<long double>(numbers[i * stride]);
		magnitudes += fabsl(static_cast<long double>(numbers[i * stride]));
	}
	const long double bound = fabsl(sum) * 0x1p-24L + static_cast<long double>(n) * 0x1p-53L * magnitudes;
	return fabsl(static_cast<long double>(got) - sum) <= bound;
}

using bias_gradient_launch = decltype(qmdi_cuda_bias_gradient_launch);

bool bias_gradient_is_right(bias_gradient_launch *launch, const matrix_size &m, uint64_t seed) {
	qmdt_random_seed(7);
	const size_t scratch_size = qmdi_cuda_bias_gradient_scratch(m.n_rows, m.n_units);
	qmdt_device_memory scratch(scratch_size);
	tensor d_y(m.n_rows * m.n_units, 1), d_b(m.n_units);
	fill_plain(d_y);
	qmdi_cuda_launch launches[2];
	ck_assert_int_eq(launch(m.n_rows, m.n_units, d_y.data, scratch.bytes, d_b.data, launches), 0);
	run_both(launches, scratch, scratch_size, seed);
	bool is_right = d_b.has_its_guards();
	for (size_t unit = 0; unit < m.n_units; ++unit) {
		is_right = is_right && is_sum_of(d_y.data + unit, m.n_rows, m.n_units, d_b.data[unit]);
	}
	return is_right;
}

START_TEST(bias_gradients_are_sums_of_rows) {
	for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
		ck_assert(bias_gradient_is_right(qmdi_cuda_bias_gradient_launch, matrices[_i], seed));
	}
}
END_TEST

START_TEST(bias_gradients_pass_nan_on) {
	const size_t n_rows = 1030, n_units = 34, scratch_size = qmdi_cuda_bias_gradient_scratch(n_rows, n_units);
	qmdt_device_memory scratch(scratch_size);
	tensor d_y(n_rows * n_units), d_b(n_units);
	fill_plain(d_y);
	d_y.data[1029 * n_units + 33] = NAN;
	qmdi_cuda_launch launches[2];
	ck_assert_int_eq(qmdi_cuda_bias_gradient_launch(n_rows, n_units, d_y.data, scratch.bytes, d_b.data, launches), 0);
	run_both(launches, scratch, scratch_size, 1);
	for (size_t unit = 0; unit < n_units; ++unit) {
		ck_assert_int_eq(std::isnan(d_b.data[unit]), unit == 33);
	}
}
END_TEST

/* ---- Fake-quant ---- */

struct grid_size {
	size_t n_groups, n_units, n_per_unit;
	int32_t low, high;
};

const grid_size grids[] = {
	{1, 1, 1, -7, 7},  {1, 3, 5, -1, 1},  {1, 40, 27, -127, 127}, {4, 1, 1000, 0, 127}, {3, 2, 7, -128, 127},
	{2, 5, 513, 0, 3}, {70, 1, 9, -8, 7}, {1, 1, 16384, -7, 7},   {2, 1, 16385, 0, 15}, {1, 2, 40000, -7, 7},
};

#define N_GRIDS static_cast<int>(sizeof grids / sizeof grids[0])

/* Scales from small to large, and numbers of which many are ties or at a bound. */
struct grid_case {
	qmdi_grid grid;
	tensor scales, x, d_y;

	explicit grid_case(const grid_size &size)
		: grid{nullptr, size.n_groups, size.n_units, size.n_per_unit, size.low, size.high}, scales(size.n_units, 3),
		  x(size.n_groups * size.n_units * size.n_per_unit, 1), d_y(x.n) {
		const float some[] = {0.037f, 0.5f, FLT_MIN, 1e30f, 3.0f};
		for (size_t unit = 0; unit < size.n_units; ++unit) {
			scales.data[unit] = some[unit % (sizeof some / sizeof some[0])];
		}
		fill_hard(d_y);
		fill_hard(x);
		for (size_t i = 0; i < x.n; ++i) {
			const float step = static_cast<float>(qmdt_random_below(600)) * 0.5f - 150.0f;
			const float near = qmdt_random_below(2) == 0 ? step : step * random_number();
			x.data[i] = qmdt_random_below(4) == 0 ? x.data[i] : scales.data[i / size.n_per_unit % size.n_units] * near;
		}
		grid.scales = scales.data;
	}
};

START_TEST(fake_quant_equals_the_reference) {
	reference_column on;
	qmdt_random_seed(8);
	for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
		grid_case c(grids[_i]);
		tensor y(c.x.n, seed);
		std::vector<float> expected(c.x.n), expected_d(c.x.n);
		qmdi_cuda_launch launch;
		qmdt_ok(on.ops().fake_quant(&on.device, &c.grid, c.x.data, expected.data()));
		qmdt_ok(on.ops().fake_quant_backward(&on.device, &c.grid, c.x.data, c.d_y.data, expected_d.data()));
		ck_assert_int_eq(qmdi_cuda_fake_quant_launch(&c.grid, c.x.data, y.data, &launch), 0);
		run(launch, seed);
		must_be("fake_quant", y, expected);
		ck_assert_int_eq(qmdi_cuda_fake_quant_backward_launch(&c.grid, c.x.data, c.d_y.data, y.data, &launch), 0);
		run(launch, seed);
		must_be("fake_quant_backward", y, expected_d);
		ck_assert_int_eq(qmdi_cuda_fake_quant_backward_launch(&c.grid, c.x.data, c.d_y.data, c.d_y.data, &launch), 0);
		run(launch, seed);
		must_be("fake_quant_backward in place", c.d_y, expected_d);
		ck_assert_int_eq(qmdi_cuda_fake_quant_launch(&c.grid, c.x.data, c.x.data, &launch), 0);
		run(launch, seed);
		must_be("fake_quant in place", c.x, expected);
	}
}
END_TEST

struct unit_size {
	size_t n_units, n_per_unit;
};

using weight_scales_launch = decltype(qmdi_cuda_weight_scales_launch);

bool weight_scales_are_right(weight_scales_launch *launch, const unit_size &size, uint64_t seed) {
	reference_column on;
	qmdt_random_seed(9);
	tensor w(size.n_units * size.n_per_unit, 1), scales(size.n_units);
	fill_plain(w);
	/* Units of zeros, of subnormal numbers, with a NaN and with an infinity. */
	for (size_t i = 0; i < w.n; ++i) {
		const size_t unit = i / size.n_per_unit;
		w.data[i] *= unit == 3 ? 0.0f : unit == 4 ? 0x1p-130f : 1.0f;
		w.data[i] = unit == 5 && i % 3 == 0 ? NAN : unit == 6 && i % 7 == 0 ? -INFINITY : w.data[i];
	}
	std::vector<float> expected(size.n_units);
	qmdt_ok(on.ops().weight_scales(&on.device, size.n_units, size.n_per_unit, 127, w.data, expected.data()));
	qmdi_cuda_launch launch_of;
	ck_assert_int_eq(launch(size.n_units, size.n_per_unit, 127, w.data, scales.data, &launch_of), 0);
	run(launch_of, seed);
	bool is_right = scales.has_its_guards();
	for (size_t unit = 0; unit < size.n_units; ++unit) {
		is_right = is_right && is_same(scales.data[unit], expected[unit]);
	}
	return is_right;
}

const unit_size planted_units = {12, 1000};

START_TEST(weight_scales_equal_the_reference) {
	const unit_size units[] = {{1, 1}, {2, 3}, {9, 256}, {8, 257}, {40, 25}, planted_units};
	for (const unit_size &size : units) {
		for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
			ck_assert(weight_scales_are_right(qmdi_cuda_weight_scales_launch, size, seed));
		}
	}
}
END_TEST

using scale_gradients_launch = decltype(qmdi_cuda_scale_gradients_launch);

/* Of one launch after the other; empty where it writes elsewhere. */
std::vector<float> scale_gradients(scale_gradients_launch *launch, const grid_case &c, uint64_t seed) {
	const size_t scratch_size = qmdi_cuda_scale_gradients_scratch(&c.grid);
	qmdt_device_memory scratch(scratch_size);
	tensor gradients(c.grid.n_units);
	qmdi_cuda_launch launches[2];
	ck_assert_int_eq(launch(&c.grid, c.x.data, c.d_y.data, scratch.bytes, gradients.data, launches), 0);
	run_both(launches, scratch, scratch_size, seed);
	return gradients.has_its_guards() ? copy_of(gradients) : std::vector<float>();
}

/* Numbers of which all sums are exact, so that their order does not matter: then the bits are the reference's. */
bool scale_gradients_are_right(scale_gradients_launch *launch, const grid_size &size, uint64_t seed) {
	reference_column on;
	qmdt_random_seed(10);
	grid_case c(size);
	for (size_t i = 0; i < c.x.n; ++i) {
		c.scales.data[i / size.n_per_unit % size.n_units] = 0.5f;
		c.x.data[i] = static_cast<float>(qmdt_random_below(512)) * 0x1p-4f - 16.0f;
		c.d_y.data[i] = static_cast<float>(qmdt_random_below(256)) * 0x1p-7f - 1.0f;
	}
	std::vector<float> expected(size.n_units);
	qmdt_ok(on.ops().scale_gradients(&on.device, &c.grid, c.x.data, c.d_y.data, expected.data()));
	return scale_gradients(launch, c, seed) == expected;
}

START_TEST(scale_gradients_equal_the_reference_where_sums_are_exact) {
	for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
		ck_assert(scale_gradients_are_right(qmdi_cuda_scale_gradients_launch, grids[_i], seed));
	}
}
END_TEST

/* The sum of what the reference gives for each group, and of their magnitudes. */
void sum_groups(reference_column &on, const grid_case &c, size_t unit, double *sum, double *magnitudes) {
	const qmdi_grid one = {c.scales.data + unit, 1, 1, c.grid.n_per_unit, c.grid.low, c.grid.high};
	*sum = *magnitudes = 0.0;
	for (size_t group = 0; group < c.grid.n_groups; ++group) {
		const size_t first = (group * c.grid.n_units + unit) * c.grid.n_per_unit;
		float gradient;
		qmdt_ok(on.ops().scale_gradients(&on.device, &one, c.x.data + first, c.d_y.data + first, &gradient));
		*sum += static_cast<double>(gradient);
		*magnitudes += fabs(static_cast<double>(gradient));
	}
}

/* Within the rounding of each group's number, which may go either way, of the result, and of the sums in FP64, whose
 * terms are at most 4 * 2 * high / sqrt(n_per_unit * high) here. */
START_TEST(scale_gradients_are_near_the_reference_by_every_seed) {
	reference_column on;
	qmdt_random_seed(11);
	grid_case c(grids[_i]);
	fill_plain(c.d_y);
	for (size_t i = 0; i < c.x.n; ++i) {
		const float scale = c.scales.data[i / c.grid.n_per_unit % c.grid.n_units];
		c.x.data[i] = scale * random_number() * 1.2f * static_cast<float>(c.grid.high);
	}
	const std::vector<float> first = scale_gradients(qmdi_cuda_scale_gradients_launch, c, 0);
	ck_assert_uint_eq(first.size(), c.grid.n_units);
	const double n = static_cast<double>(c.grid.n_per_unit);
	const double largest_term = 8.0 * sqrt(static_cast<double>(c.grid.high) / n);
	const double error_of_sums = static_cast<double>(c.grid.n_groups) * n * n * largest_term * 0x1p-53;
	for (size_t unit = 0; unit < c.grid.n_units; ++unit) {
		double sum, magnitudes;
		sum_groups(on, c, unit, &sum, &magnitudes);
		const double bound = 0x1p-22 * magnitudes + error_of_sums;
		ck_assert_msg(fabs(static_cast<double>(first[unit]) - sum) <= bound, "unit %zu: %a, not %a", unit,
					  static_cast<double>(first[unit]), sum);
	}
	for (uint64_t seed = 1; seed < N_SEEDS; ++seed) {
		ck_assert(scale_gradients(qmdi_cuda_scale_gradients_launch, c, seed) == first);
	}
}
END_TEST

START_TEST(quantized_biases_equal_the_reference) {
	reference_column on;
	qmdt_random_seed(12);
	for (const size_t n : {1, 127, 128, 300}) {
		for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
			tensor input_scale(1), weight_scales(n, 2), bias(n, 1), out(n, 3);
			const float input_scales[N_SEEDS] = {0.02f, 1e-30f, 0x1p-20f, 7.0f};
			input_scale.data[0] = input_scales[seed];
			fill_hard(bias);
			for (size_t unit = 0; unit < n; ++unit) {
				weight_scales.data[unit] = unit % 5 == 0 ? 0x1p-3f : fabsf(random_number()) + FLT_MIN;
				const double step =
					static_cast<double>(input_scale.data[0]) * static_cast<double>(weight_scales.data[unit]);
				if (unit % 3 == 0) { /* near a tie */
					bias.data[unit] = static_cast<float>(step * (qmdt_random_below(1000) - 500.5));
				}
			}
			std::vector<float> expected(n);
			qmdi_cuda_launch launch;
			qmdt_ok(on.ops().quantize_bias(&on.device, n, input_scale.data, weight_scales.data, bias.data,
										   expected.data()));
			ck_assert_int_eq(
				qmdi_cuda_quantize_bias_launch(n, input_scale.data, weight_scales.data, bias.data, out.data, &launch),
				0);
			run(launch, seed);
			must_be("quantize_bias", out, expected);
		}
	}
}
END_TEST

/* ---- Maxima of windows ---- */

/* Windows that overlap, that touch, that leave pixels out between them and at the end, that are all there is. */
const qmdi_pool_shape max_shapes[] = {
	{"one pixel", 1, 3, {1, 1, 5}, {1, 1, 5}, 1, 1, 1, 1},      {"touching", 1, 2, {8, 6, 7}, {4, 3, 7}, 2, 2, 2, 2},
	{"overlapping", 1, 2, {9, 8, 3}, {4, 6, 3}, 3, 3, 2, 1},    {"with gaps", 1, 1, {11, 7, 2}, {3, 2, 2}, 2, 1, 4, 5},
	{"whole images", 1, 5, {4, 3, 33}, {1, 1, 33}, 4, 3, 1, 1}, {"rows", 1, 1, {1, 40, 1}, {1, 36, 1}, 1, 5, 1, 1},
};
constexpr int N_MAX_SHAPES = sizeof max_shapes / sizeof max_shapes[0];

size_t numbers_of(size_t batch, const qmd_shape &s) {
	return batch * s.h * s.w * s.c;
}

/* Few different numbers, so that most maxima have equals, and those that are hard. */
void fill_with_equals(tensor &t) {
	fill_hard(t);
	for (size_t i = 0; i < t.n; ++i) {
		if (qmdt_random_below(2) == 0) {
			t.data[i] = static_cast<float>(qmdt_random_below(3)) - 1.0f;
		}
	}
}

START_TEST(maxima_equal_the_reference) {
	const qmdi_pool_shape &s = max_shapes[_i];
	reference_column on;
	void *plan = nullptr;
	ck_assert_int_eq(on.ops().pool_create(&on.device, &s, &plan), QMD_OK);
	for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
		tensor x(numbers_of(s.batch, s.input), seed % 4), y(numbers_of(s.batch, s.output)), d_y(y.n), d_x(x.n);
		qmdi_cuda_launch launch;
		fill_with_equals(x);
		fill_hard(d_y);
		std::vector<float> of_y(y.n), of_x(x.n);
		ck_assert_int_eq(on.ops().pool_forward(&on.device, plan, x.data, of_y.data()), QMD_OK);
		ck_assert_int_eq(on.ops().pool_backward(&on.device, plan, x.data, of_y.data(), d_y.data, of_x.data()), QMD_OK);
		ck_assert_int_eq(qmdi_cuda_maxpool_launch(&s, x.data, y.data, &launch), 0);
		run(launch, seed);
		must_be(s.name, y, of_y);
		ck_assert_int_eq(qmdi_cuda_maxpool_backward_launch(&s, x.data, d_y.data, d_x.data, &launch), 0);
		run(launch, seed);
		must_be(s.name, d_x, of_x);
	}
	on.ops().pool_destroy(&on.device, plan);
}
END_TEST

/* ---- Optimizer ---- */

/* Some steps from the same numbers as the reference. */
void check_updates(size_t n, bool is_adam, uint64_t seed) {
	reference_column on;
	tensor values(n, seed), gradient(n, 1), moment1(n, seed / 2), moment2(n);
	fill_hard(values);
	fill_plain(moment1);
	moment2.fill(0);
	std::vector<float> expected = copy_of(values), expected1 = copy_of(moment1), expected2 = copy_of(moment2);
	for (int step = 1; step <= 3; ++step) {
		fill_hard(gradient);
		qmdi_update u = {n,
						 values.data,
						 gradient.data,
						 is_adam ? moment1.data : nullptr,
						 moment2.data,
						 1e-3f,
						 seed % 2 == 0 ? 1.0f : 0.9999f,
						 0.9f,
						 0.999f,
						 1e-8f,
						 0.1f * static_cast<float>(step),
						 0.001f * static_cast<float>(step)};
		qmdi_cuda_launch launch;
		ck_assert_int_eq(qmdi_cuda_update_launch(&u, &launch), 0);
		run(launch, seed);
		u.values = expected.data();
		u.moment1 = is_adam ? expected1.data() : nullptr;
		u.moment2 = expected2.data();
		qmdt_ok(on.ops().update(&on.device, &u));
		must_be("the values of an update", values, expected);
		must_be("the first moment of an update", moment1, expected1);
		must_be("the second moment of an update", moment2, expected2);
	}
}

START_TEST(updates_equal_the_reference) {
	qmdt_random_seed(13);
	for (const size_t n : sizes) {
		for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
			check_updates(n, _i == 0, seed);
		}
	}
}
END_TEST

/* ---- Bounds of a call ---- */

/* A launch of so many elements, by each function that takes one number of them. */
void check_size(size_t n, int expected) {
	float f[4] = {};
	qmdi_cuda_launch launch;
	qmdi_update u = {n, f, f, f, f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 1.0f, 1.0f};
	for (const element_operation &op : element_operations) {
		ck_assert_int_eq(op.launch(n, f, f, f, &launch), expected);
	}
	ck_assert_int_eq(qmdi_cuda_dropout_mask_launch(n, 1, 2, 0.5f, f, &launch), expected);
	ck_assert_int_eq(qmdi_cuda_quantize_bias_launch(n, f, f, f, f, &launch), expected);
	ck_assert_int_eq(qmdi_cuda_update_launch(&u, &launch), expected);
	u.moment1 = nullptr;
	ck_assert_int_eq(qmdi_cuda_update_launch(&u, &launch), expected);
}

/* The same by the functions that take a product. */
void check_product(size_t a, size_t b, int expected) {
	float f[4] = {};
	qmdi_cuda_launch launches[2];
	ck_assert_int_eq(qmdi_cuda_add_bias_launch(a, b, f, f, launches), expected);
	ck_assert_int_eq(qmdi_cuda_bias_gradient_launch(a, b, f, f, f, launches), expected);
	ck_assert_int_eq(qmdi_cuda_weight_scales_launch(a, b, 127, f, f, launches), expected);
	const qmdi_grid grids_of[] = {{f, a, b, 1, -7, 7}, {f, 1, a, b, -7, 7}, {f, b, 1, a, -7, 7}};
	for (const qmdi_grid &grid : grids_of) {
		ck_assert_int_eq(qmdi_cuda_fake_quant_launch(&grid, f, f, launches), expected);
		ck_assert_int_eq(qmdi_cuda_fake_quant_backward_launch(&grid, f, f, f, launches), expected);
		ck_assert_int_eq(qmdi_cuda_scale_gradients_launch(&grid, f, f, f, f, launches), expected);
	}
}

/* A batch of images that no grid has room for, and the largest one that has. */
void check_pool_size(size_t batch, int expected) {
	const qmdi_pool_shape shape = {"pool", 1, batch, {4, 4, 1}, {2, 2, 1}, 2, 2, 2, 2};
	qmdi_cuda_launch launch;
	float *const f = nullptr;
	ck_assert_int_eq(qmdi_cuda_maxpool_launch(&shape, f, f, &launch), expected);
	ck_assert_int_eq(qmdi_cuda_maxpool_backward_launch(&shape, f, f, f, &launch), expected);
}

START_TEST(calls_have_bounds) {
	check_pool_size(0, -1);
	check_pool_size(INT32_MAX / 16, 0);
	check_pool_size(INT32_MAX / 16 + 1, -1);
	check_pool_size(SIZE_MAX, -1);
	check_size(0, -1);
	check_size(1, 0);
	check_size(INT32_MAX, 0);
	check_size(static_cast<size_t>(INT32_MAX) + 1, -1);
	check_size(static_cast<size_t>(1) << 32, -1);
	check_product(0, 5, -1);
	check_product(5, 0, -1);
	check_product(INT32_MAX, 1, 0);
	check_product(1, INT32_MAX, 0);
	check_product(46340, 46340, 0);
	check_product(1 << 16, 1 << 15, -1);
	check_product(static_cast<size_t>(1) << 33, static_cast<size_t>(1) << 33, -1);
	check_product(SIZE_MAX, SIZE_MAX, -1);
}
END_TEST

/* ---- Tests of the tests: kernels with a bug planted (cuda_planted.cmake), and the same without ---- */

#define PLANTED(kernel, bug) extern "C" kernel##_launch qmdi_cuda_##kernel##_launch_##bug;
#include "planted_training.inc"
#undef PLANTED

bool is_right(weight_scales_launch *launch, uint64_t seed) {
	return weight_scales_are_right(launch, planted_units, seed);
}

bool is_right(scale_gradients_launch *launch, uint64_t seed) {
	return scale_gradients_are_right(launch, {5, 2, 3000, -7, 7}, seed);
}

bool is_right(bias_gradient_launch *launch, uint64_t seed) {
	return bias_gradient_is_right(launch, {1500, 40}, seed);
}

struct planted_kernel {
	const char *name;
	bool (*is_right)(uint64_t seed);
	bool (*is_right_without)(uint64_t seed);
};

#define PLANTED(kernel, bug)                                                                                           \
	{#kernel " with " #bug, [](uint64_t seed) { return is_right(qmdi_cuda_##kernel##_launch_##bug, seed); },           \
	 [](uint64_t seed) { return is_right(qmdi_cuda_##kernel##_launch, seed); }},
const planted_kernel planted_kernels[] = {
#include "planted_training.inc"
};

/* By all of five orders but one. */
START_TEST(planted_bugs_are_found) {
	const planted_kernel &planted = planted_kernels[_i];
	int n_found = 0;
	for (uint64_t seed = 1; seed <= 5; ++seed) {
		n_found += !planted.is_right(seed);
		ck_assert_msg(planted.is_right_without(seed), "%s is wrong without it", planted.name);
	}
	ck_assert_msg(n_found >= 4, "%s: found by %d of 5 seeds", planted.name, n_found);
}
END_TEST

} // namespace

int main() {
	Suite *suite = suite_create("cuda_train_kernels");
	TCase *kernels = tcase_create("kernels");
	tcase_set_timeout(kernels, 300);
	tcase_add_loop_test(kernels, element_operations_equal_the_reference, 0, N_ELEMENT_OPERATIONS);
	tcase_add_test(kernels, aligned_tensors_are_read_by_16_bytes);
	tcase_add_test(kernels, dropout_masks_equal_the_reference);
	tcase_add_loop_test(kernels, biases_are_added_to_rows, 0, N_MATRICES);
	tcase_add_loop_test(kernels, bias_gradients_are_sums_of_rows, 0, N_MATRICES);
	tcase_add_test(kernels, bias_gradients_pass_nan_on);
	tcase_add_loop_test(kernels, fake_quant_equals_the_reference, 0, N_GRIDS);
	tcase_add_test(kernels, weight_scales_equal_the_reference);
	tcase_add_loop_test(kernels, scale_gradients_equal_the_reference_where_sums_are_exact, 0, N_GRIDS);
	tcase_add_loop_test(kernels, scale_gradients_are_near_the_reference_by_every_seed, 0, N_GRIDS);
	tcase_add_test(kernels, quantized_biases_equal_the_reference);
	tcase_add_loop_test(kernels, maxima_equal_the_reference, 0, N_MAX_SHAPES);
	tcase_add_loop_test(kernels, updates_equal_the_reference, 0, 2);
	tcase_add_test(kernels, calls_have_bounds);
	suite_add_tcase(suite, kernels);
	TCase *planted = tcase_create("planted");
	tcase_set_timeout(planted, 300);
	tcase_add_loop_test(planted, planted_bugs_are_found, 0,
						static_cast<int>(sizeof planted_kernels / sizeof planted_kernels[0]));
	suite_add_tcase(suite, planted);
	return qmdt_run(suite);
}
