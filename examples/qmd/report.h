/* JSON that the program writes and prints. Every function that makes JSON returns NULL where it cannot. */
#ifndef QMD_REPORT_H
#define QMD_REPORT_H

#include <jansson.h>

#include "pipeline.h"
#include "residues.h"
#include "timing.h"

/* A number with 9 digits at most, or null where it is not finite. */
json_t *report_number(double value);

/* Is it UTF-8 without control characters? */
int report_is_text(const char *text);

/* {"train_accuracy", "test_accuracy", "test_auc"} */
json_t *report_quality(const classifier_quality *quality);

/* {"pixels": {"median", "p99"}, "network": {...}} in milliseconds */
json_t *report_step_time(const step_time *time);

/* {"chain", "number", "insertion_code", "name", "score", "standard_error", "rank"} and, where there is one, "label" */
json_t *report_residue(const profile_residue *residue);

/* The number at a path of keys, up to NULL; NaN where there is none. */
double report_get(const json_t *json, ...) __attribute__((sentinel));

/* The text of a key; "" where there is none. */
const char *report_text(const json_t *json, const char *key);

/* The mean of these numbers over the items of an array that have them; NaN if none has. */
double report_mean(const json_t *items, ...) __attribute__((sentinel));

/* Fail because JSON could not be made. */
int report_fail(void);

/* Write to a file at once, or to stdout. NULL fails. The JSON stays the caller's. */
int report_write(const char *path, const json_t *json);
int report_print(const json_t *json);

/* A file that must hold a JSON object. */
int report_load(const char *path, json_t **json);

#endif
