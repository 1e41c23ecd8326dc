#include "report.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

#define FORMAT (JSON_INDENT(2) | JSON_REAL_PRECISION(9))

json_t *report_number(double value) {
	return isfinite(value) ? json_real(value) : json_null();
}

int report_is_text(const char *text) {
	json_t *string = json_string(text); /* NULL unless it is UTF-8 */
	int is_text = string != NULL;
	json_decref(string);
	for (; *text; text++)
		is_text &= (unsigned char)*text >= 0x20 && *text != 0x7f;
	return is_text;
}

json_t *report_quality(const classifier_quality *quality) {
	return json_pack("{s:o, s:o, s:o}", "train_accuracy", report_number(quality->train_accuracy), "test_accuracy",
					 report_number(quality->test_accuracy), "test_auc", report_number(quality->test_auc));
}

json_t *report_step_time(const step_time *time) {
	return json_pack("{s:{s:f, s:f}, s:{s:f, s:f}}", "pixels", "median", time->pixels_median, "p99", time->pixels_p99,
					 "network", "median", time->network_median, "p99", time->network_p99);
}

json_t *report_residue(const profile_residue *residue) {
	const char insertion_code[2] = {residue->insertion_code, 0};
	const char *label = residue->label[0] ? residue->label : NULL;
	return json_pack("{s:s, s:i, s:s, s:s, s:o, s:o, s:i, s:s*}", "chain", residue->chain, "number",
					 (int)residue->number, "insertion_code", insertion_code, "name", residue->name, "score",
					 report_number(residue->score), "standard_error", report_number(residue->standard_error), "rank",
					 (int)residue->rank, "label", label);
}

static double get(const json_t *json, va_list keys) {
	for (const char *key; (key = va_arg(keys, const char *)) != NULL;)
		json = json_object_get(json, key);
	return json_is_number(json) ? json_number_value(json) : NAN;
}

double report_get(const json_t *json, ...) {
	va_list keys;
	va_start(keys, json);
	const double value = get(json, keys);
	va_end(keys);
	return value;
}

const char *report_text(const json_t *json, const char *key) {
	const char *text = json_string_value(json_object_get(json, key));
	return text ? text : "";
}

double report_mean(const json_t *items, ...) {
	double sum = 0;
	size_t n = 0, i;
	const json_t *item;
	json_array_foreach(items, i, item) {
		va_list keys;
		va_start(keys, items);
		const double value = get(item, keys);
		va_end(keys);
		if (isnan(value))
			continue;
		sum += value;
		n++;
	}
	return n ? sum / (double)n : NAN;
}

int report_fail(void) {
	return fail("JSON cannot be made: a name is not valid UTF-8, or memory has run out");
}

int report_write(const char *path, const json_t *json) {
	char *text = json ? json_dumps(json, FORMAT) : NULL;
	if (!text)
		return report_fail();
	const size_t length = strlen(text);
	text[length] = '\n'; /* in place of the 0 */
	const int code = files_write(path, text, length + 1);
	free(text);
	return code;
}

int report_print(const json_t *json) {
	char *text = json ? json_dumps(json, FORMAT) : NULL;
	if (!text)
		return report_fail();
	puts(text);
	free(text);
	return PROGRAM_OK;
}

int report_load(const char *path, json_t **json) {
	json_error_t error;
	*json = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (!*json)
		return fail("%s: line %d: %s", path, error.line, error.text);
	if (!json_is_object(*json))
		return fail("%s: holds no JSON object", path);
	return PROGRAM_OK;
}
