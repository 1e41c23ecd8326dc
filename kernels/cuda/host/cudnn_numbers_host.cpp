/* Types and layouts of the emulated cuDNN. */
#include <cmath>
#include <cstring>
#include <limits>

#include "cudnn_host.h"

namespace qmdi::host {

size_t size_of(cudnnDataType_t type) {
	switch (type) {
	case CUDNN_DATA_FLOAT:
	case CUDNN_DATA_INT32:
		return 4;
	case CUDNN_DATA_HALF:
		return 2;
	case CUDNN_DATA_INT8:
		return 1;
	default:
		return 0;
	}
}

size_t layout::n_bytes() const {
	int64_t last = 0;
	for (int i = 0; i < 4; ++i) {
		last += (dims[i] - 1) * strides[i];
	}
	return static_cast<size_t>(last + 1) * size_of(type);
}

/* ---- FP16 and TF32 (IEEE 754-2008, binary16; 11 bits of significand) ---- */

namespace {

/* Keep n bits of significand, to nearest even; exact where the exponent is at its lowest, since all is done in FP64. */
double round_significand(double value, int n_bits, int lowest_exponent) {
	if (value == 0 || !std::isfinite(value)) {
		return value;
	}
	const int exponent = std::max(std::ilogb(value), lowest_exponent) - (n_bits - 1);
	return std::ldexp(std::nearbyint(std::ldexp(value, -exponent)), exponent);
}

double round_to_half(double value) {
	const double rounded = round_significand(value, 11, -14);
	return std::fabs(rounded) > 65504 ? std::copysign(std::numeric_limits<double>::infinity(), rounded) : rounded;
}

uint16_t half_bits(double half) {
	const uint16_t sign = std::signbit(half) ? 0x8000 : 0;
	if (std::isnan(half)) {
		return 0x7e00;
	}
	if (std::isinf(half)) {
		return sign | 0x7c00;
	}
	const double magnitude = std::fabs(half);
	if (magnitude < std::ldexp(1, -14)) {
		return sign | static_cast<uint16_t>(std::ldexp(magnitude, 24));
	}
	const int exponent = std::ilogb(magnitude);
	return sign | static_cast<uint16_t>((exponent + 15) << 10 |
										(static_cast<int>(std::ldexp(magnitude, 10 - exponent)) & 0x3ff));
}

double half_value(uint16_t bits) {
	const int exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
	double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(0x400 | fraction, exponent - 25);
	if (exponent == 31) {
		magnitude = fraction ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
	}
	return bits & 0x8000 ? -magnitude : magnitude;
}

template <class T> double saturate(double value) {
	if (std::isnan(value)) {
		return 0;
	}
	return std::min<double>(std::max<double>(std::nearbyint(value), std::numeric_limits<T>::min()),
							std::numeric_limits<T>::max());
}

} // namespace

double round_to_tf32(double value) {
	return round_significand(value, 11, -126);
}

double round_to(cudnnDataType_t type, double value) {
	switch (type) {
	case CUDNN_DATA_HALF:
		return round_to_half(value);
	case CUDNN_DATA_INT8:
		return saturate<int8_t>(value);
	case CUDNN_DATA_INT32:
		return saturate<int32_t>(value);
	default:
		return static_cast<float>(value);
	}
}

/* ---- Memory ---- */

namespace {

template <class T> T number_at(const void *memory, int64_t i) {
	T value;
	memcpy(&value, static_cast<const T *>(memory) + i, sizeof value);
	return value;
}

double read_number(cudnnDataType_t type, const void *memory, int64_t i) {
	switch (type) {
	case CUDNN_DATA_HALF:
		return half_value(number_at<uint16_t>(memory, i));
	case CUDNN_DATA_INT8:
		return number_at<int8_t>(memory, i);
	case CUDNN_DATA_INT32:
		return number_at<int32_t>(memory, i);
	default:
		return static_cast<double>(number_at<float>(memory, i));
	}
}

void write_number(cudnnDataType_t type, double value, void *memory, int64_t i) {
	const double rounded = round_to(type, value);
	switch (type) {
	case CUDNN_DATA_HALF:
		static_cast<uint16_t *>(memory)[i] = half_bits(rounded);
		return;
	case CUDNN_DATA_INT8:
		static_cast<int8_t *>(memory)[i] = static_cast<int8_t>(rounded);
		return;
	case CUDNN_DATA_INT32:
		static_cast<int32_t *>(memory)[i] = static_cast<int32_t>(rounded);
		return;
	default:
		static_cast<float *>(memory)[i] = static_cast<float>(rounded);
	}
}

/* visit(number, place) for every number in the order n, h, w, c */
template <class Visit> void for_each(const layout &l, Visit visit) {
	size_t number = 0;
	for (int64_t n = 0; n < l.dims[0]; ++n) {
		for (int64_t h = 0; h < l.dims[2]; ++h) {
			for (int64_t w = 0; w < l.dims[3]; ++w) {
				for (int64_t c = 0; c < l.dims[1]; ++c) {
					visit(number++, n * l.strides[0] + c * l.strides[1] + h * l.strides[2] + w * l.strides[3]);
				}
			}
		}
	}
}

} // namespace

std::vector<double> read_numbers(const layout &l, const void *memory) {
	std::vector<double> numbers(static_cast<size_t>(l.n_numbers()));
	for_each(l, [&](size_t i, int64_t at) { numbers[i] = read_number(l.type, memory, at); });
	return numbers;
}

void write_numbers(const layout &l, const std::vector<double> &numbers, void *memory) {
	for_each(l, [&](size_t i, int64_t at) { write_number(l.type, numbers[i], memory, at); });
}

void blend_numbers(const layout &l, std::vector<double> numbers, double alpha, double beta, void *memory) {
	for (double &number : numbers) {
		number *= alpha;
	}
	if (beta != 0) {
		const std::vector<double> old = read_numbers(l, memory);
		for (size_t i = 0; i < old.size(); ++i) {
			numbers[i] += beta * old[i];
		}
	}
	write_numbers(l, numbers, memory);
}

/* ---- Runs that differ ---- */

uint64_t next_run() {
	static uint64_t run;
	return ++run;
}

/* Down, not at all, or up, as a hash has it. */
double disturb(double value, uint64_t run, size_t index) {
	const double last_bit = static_cast<double>(std::numeric_limits<float>::epsilon());
	const uint64_t hash = (run * 0x9e3779b97f4a7c15u ^ index) * 0xbf58476d1ce4e5b9u >> 32;
	return value * (1 + last_bit * (static_cast<double>(hash % 3) - 1));
}

} // namespace qmdi::host
