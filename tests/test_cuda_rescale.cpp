/* The kernel rescale on the host back end, against its formula in FP64, and half precision against its definition. */
#include "cuda_fixture.h"

#include <cfenv>
#include <cmath>

#include "cuda/device.h"
#include "cuda/train/rescale.h"

extern "C" {
#include "support.h"
}

namespace {

/* ---- Half precision ---- */

/* The value of a binary16 by its definition: (-1)^s 2^(e-15) (1 + f/1024), or 2^-14 f/1024. */
double value_of_half(unsigned bits) {
	const int exponent = static_cast<int>(bits >> 10 & 31), fraction = static_cast<int>(bits & 1023);
	const double magnitude = exponent == 31  ? (fraction ? NAN : INFINITY)
							 : exponent == 0 ? fraction / 1024.0 * std::pow(2.0, -14)
											 : (1 + fraction / 1024.0) * std::pow(2.0, exponent - 15);
	return bits >> 15 ? -magnitude : magnitude;
}

START_TEST(every_half_is_what_it_is_defined_to_be) {
	for (unsigned bits = 0; bits < 65536; ++bits) {
		const double expected = value_of_half(bits),
					 got = static_cast<double>(qmdi::from_half(static_cast<uint16_t>(bits)));
		ck_assert_msg(std::isnan(expected) ? std::isnan(got)
										   : got == expected && std::signbit(got) == (bits >> 15 != 0),
					  "half %04x is %a", bits, got);
	}
}
END_TEST

/* Between two neighbours the nearer, half way the even one. */
START_TEST(floats_become_the_nearest_half) {
	for (unsigned bits = 0; bits < 0x7c00; ++bits) {
		const double low = value_of_half(bits), high = bits == 0x7bff ? 65536 : value_of_half(bits + 1);
		const auto middle = static_cast<float>((low + high) / 2);
		const unsigned even = bits % 2 == 0 ? bits : bits + 1;
		const struct {
			float value;
			unsigned half;
		} cases[] = {{static_cast<float>(low), bits},
					 {std::nextafterf(middle, 0), bits},
					 {middle, even},
					 {std::nextafterf(middle, INFINITY), bits + 1}};
		for (const auto &c : cases) {
			ck_assert_uint_eq(qmdi::round_to_half(c.value), c.half);
			ck_assert_uint_eq(qmdi::round_to_half(-c.value), c.half | 0x8000);
		}
	}
	ck_assert_uint_eq(qmdi::round_to_half(INFINITY), 0x7c00);
	ck_assert_uint_eq(qmdi::round_to_half(-1e30f), 0xfc00);
	ck_assert(std::isnan(qmdi::from_half(qmdi::round_to_half(NAN))));
}
END_TEST

/* ---- The kernel ---- */

const qmdi_cuda_number all_types[] = {QMDI_CUDA_U8, QMDI_CUDA_S8, QMDI_CUDA_S32, QMDI_CUDA_F16, QMDI_CUDA_F32};

class numbers {
  public:
	numbers(qmdi_cuda_number type_, size_t n_) : type(type_), n(n_), memory((n_ + 1) * qmdi_cuda_number_size(type_)) {
		memset(memory.bytes, QMDT_GUARD, (n + 1) * qmdi_cuda_number_size(type));
	}

	void draw() {
		for (size_t i = 0; i < n; ++i) {
			const double word = static_cast<int32_t>(qmdt_random());
			set(i, word / (type == QMDI_CUDA_S32 ? 4096 : 1 << 22));
		}
	}

	void set(size_t i, double value) {
		const auto bytes = memory.bytes + i * qmdi_cuda_number_size(type);
		const auto real = static_cast<float>(value);
		const auto integer = static_cast<int32_t>(value);
		const uint16_t half = qmdi::round_to_half(real);
		const void *source = type == QMDI_CUDA_F32   ? static_cast<const void *>(&real)
							 : type == QMDI_CUDA_F16 ? static_cast<const void *>(&half)
													 : &integer;
		memcpy(bytes, source, qmdi_cuda_number_size(type));
	}

	double get(size_t i) const {
		const unsigned char *bytes = memory.bytes + i * qmdi_cuda_number_size(type);
		int32_t integer;
		uint16_t half;
		float real;
		switch (type) {
		case QMDI_CUDA_U8:
			return *bytes;
		case QMDI_CUDA_S8:
			return static_cast<signed char>(*bytes);
		case QMDI_CUDA_S32:
			memcpy(&integer, bytes, sizeof integer);
			return integer;
		case QMDI_CUDA_F16:
			memcpy(&half, bytes, sizeof half);
			return value_of_half(half);
		default:
			memcpy(&real, bytes, sizeof real);
			return static_cast<double>(real);
		}
	}

	bool has_its_guard() const {
		return memory.bytes[n * qmdi_cuda_number_size(type)] == QMDT_GUARD;
	}

	qmdi_cuda_number type;
	size_t n;
	qmdt_device_memory memory;
};

/* The formula: in FP64, rounded to FP32 after each operation. */
double expected_of(const qmdi_cuda_rescale &p, const numbers &a, const numbers *b, const numbers *bias,
				   const numbers *factors, size_t i) {
	const size_t unit = i % p.n_units;
	const double factor = factors ? factors->get(unit) : static_cast<double>(p.factor);
	auto value =
		static_cast<float>(a.get(p.a_units != 0 ? i / p.n_units * p.a_units + unit : i) + (bias ? bias->get(unit) : 0));
	value = static_cast<float>(static_cast<double>(value) * factor);
	if (b) {
		const auto second = static_cast<float>(b->get(i) * static_cast<double>(p.b_factor));
		value = static_cast<float>(static_cast<double>(value) + static_cast<double>(second));
	}
	value = std::fmax(value, p.low);
	return p.to == QMDI_CUDA_S8    ? std::nearbyint(std::fmin(static_cast<double>(value), 127.0))
		   : p.to == QMDI_CUDA_F16 ? value_of_half(qmdi::round_to_half(value))
								   : static_cast<double>(value);
}

struct variant {
	bool has_b, has_bias, has_factors;
	float low;
	uint32_t a_units;
};

void check(qmdi_cuda_number from, qmdi_cuda_number to, size_t n, uint32_t n_units, const variant &v) {
	numbers a(from, v.a_units != 0 ? n / n_units * v.a_units : n), b(from, n), y(to, n),
		factors(QMDI_CUDA_F32, n_units);
	numbers bias(from == QMDI_CUDA_S32 ? QMDI_CUDA_S32 : QMDI_CUDA_F32, n_units);
	qmdi_cuda_launch launch;
	a.draw();
	b.draw();
	bias.draw();
	for (size_t i = 0; i < n_units; ++i) {
		factors.set(i, (1 + static_cast<double>(i)) / 3.0);
	}
	const qmdi_cuda_rescale p = {a.memory.bytes,
								 v.has_b ? b.memory.bytes : nullptr,
								 v.has_bias ? bias.memory.bytes : nullptr,
								 v.has_factors ? reinterpret_cast<const float *>(factors.memory.bytes) : nullptr,
								 0.37f,
								 -1.7f,
								 v.low,
								 y.memory.bytes,
								 from,
								 to,
								 static_cast<uint32_t>(n),
								 n_units,
								 v.a_units};
	ck_assert_int_eq(qmdi_cuda_rescale_launch(&p, &launch), 0);
	ck_assert_msg(qmdi_host_launch(&launch, n, 80, nullptr) == 0, "%s", qmdi_host_error());
	for (size_t i = 0; i < n; ++i) {
		const double expected = expected_of(p, a, v.has_b ? &b : nullptr, v.has_bias ? &bias : nullptr,
											v.has_factors ? &factors : nullptr, i);
		ck_assert_msg(y.get(i) == expected, "type %d to %d: number %zu of %zu is %a instead of %a", from, to, i, n,
					  y.get(i), expected);
	}
	ck_assert(y.has_its_guard());
}

START_TEST(every_type_becomes_every_other_by_the_formula) {
	const variant variants[] = {{false, false, false, -128, 0},
								{false, true, true, 0, 0},
								{true, false, false, -128, 0},
								{true, true, true, 0, 0},
								{false, true, true, -128, 9}};
	for (const auto from : all_types) {
		for (const auto to : {QMDI_CUDA_S8, QMDI_CUDA_F16, QMDI_CUDA_F32}) {
			for (const variant &v : variants) {
				check(from, to, 1, 1, v);
				check(from, to, 770, 7, v);
			}
		}
	}
}
END_TEST

START_TEST(what_is_no_number_becomes_the_lower_bound_of_an_integer) {
	numbers a(QMDI_CUDA_F32, 3), y(QMDI_CUDA_S8, 3);
	qmdi_cuda_launch launch;
	a.set(0, NAN);
	a.set(1, INFINITY);
	a.set(2, -INFINITY);
	const qmdi_cuda_rescale p = {a.memory.bytes, nullptr,       nullptr,      nullptr, 1, 0, -128,
								 y.memory.bytes, QMDI_CUDA_F32, QMDI_CUDA_S8, 3,       1, 0};
	ck_assert_int_eq(qmdi_cuda_rescale_launch(&p, &launch), 0);
	ck_assert_int_eq(qmdi_host_launch(&launch, 0, 80, nullptr), 0);
	ck_assert(y.get(0) == -128 && y.get(1) == 127 && y.get(2) == -128);
}
END_TEST

START_TEST(launches_that_cannot_be_are_not_described) {
	qmdi_cuda_launch launch;
	qmdi_cuda_rescale p = {};
	p.from = QMDI_CUDA_F32;
	p.to = QMDI_CUDA_F16;
	p.n_units = 1;
	ck_assert_int_eq(qmdi_cuda_rescale_launch(&p, &launch), -1);
	p.n = 0x80000000u;
	ck_assert_int_eq(qmdi_cuda_rescale_launch(&p, &launch), -1);
	p.n = 1;
	ck_assert_int_eq(qmdi_cuda_rescale_launch(&p, &launch), 0);
	p.n_units = 0;
	ck_assert_int_eq(qmdi_cuda_rescale_launch(&p, &launch), -1);
	p.n_units = 1;
	p.n = 0x7fffffff;
	p.a_units = 3;
	ck_assert_int_eq(qmdi_cuda_rescale_launch(&p, &launch), -1);
	p.n = 1;
	p.to = QMDI_CUDA_S32;
	ck_assert_int_eq(qmdi_cuda_rescale_launch(&p, &launch), -1);
}
END_TEST

} // namespace

int main() {
	Suite *suite = suite_create("cuda_rescale");
	TCase *tests = tcase_create("all");
	tcase_set_timeout(tests, 0);
	tcase_add_test(tests, every_half_is_what_it_is_defined_to_be);
	tcase_add_test(tests, floats_become_the_nearest_half);
	tcase_add_test(tests, every_type_becomes_every_other_by_the_formula);
	tcase_add_test(tests, what_is_no_number_becomes_the_lower_bound_of_an_integer);
	tcase_add_test(tests, launches_that_cannot_be_are_not_described);
	suite_add_tcase(suite, tests);
	return qmdt_run(suite);
}
