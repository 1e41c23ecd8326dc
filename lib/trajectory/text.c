#include "text.h"

#include <ctype.h>
#include <math.h>
#include <stddef.h>
#include <strings.h>

const char *qmdi_parse_int32(const char *text, int32_t *value) {
	const int negative = *text == '-';
	if (*text == '-' || *text == '+')
		text++;
	if (!isdigit((unsigned char)*text))
		return NULL;
	int64_t number = 0;
	for (; isdigit((unsigned char)*text); text++) {
		number = number * 10 + (*text - '0');
		if (number > (int64_t)INT32_MAX + negative)
			return NULL;
	}
	*value = (int32_t)(negative ? -number : number);
	return text;
}

/* Powers of ten that a double holds exactly: with at most 15 digits one multiplication or division rounds once. */
#define MAX_DIGITS 15
#define MAX_POWER 22

static int scale_by_power_of_ten(int64_t digits, int64_t power, double *value) {
	static const double powers[MAX_POWER + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
												 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	if (power > MAX_POWER || power < -MAX_POWER)
		return 0;
	*value = power < 0 ? (double)digits / powers[-power] : (double)digits * powers[power];
	return 1;
}

int qmdi_parse_decimal(const char *text, double *value) {
	const double sign = *text == '-' ? -1.0 : 1.0;
	if (*text == '-' || *text == '+')
		text++;
	if (strcasecmp(text, "nan") == 0 || strcasecmp(text, "inf") == 0 || strcasecmp(text, "infinity") == 0) {
		*value = tolower((unsigned char)*text) == 'n' ? (double)NAN : sign * (double)INFINITY;
		return 1;
	}
	int64_t digits = 0;
	int32_t n_digits = 0, n_decimals = 0, exponent = 0;
	for (int after_point = 0; isdigit((unsigned char)*text) || (*text == '.' && !after_point); text++) {
		if (*text == '.') {
			after_point = 1;
			continue;
		}
		if (++n_digits > MAX_DIGITS)
			return 0;
		n_decimals += after_point;
		digits = digits * 10 + (*text - '0');
	}
	if (n_digits == 0)
		return 0;
	if (*text == 'e' || *text == 'E') {
		text = qmdi_parse_int32(text + 1, &exponent);
		if (!text)
			return 0;
	}
	if (*text || !scale_by_power_of_ten(digits, (int64_t)exponent - n_decimals, value))
		return 0;
	*value *= sign;
	return 1;
}
