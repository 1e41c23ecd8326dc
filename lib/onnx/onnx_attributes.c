/* What a node says beside its inputs. */
#include "onnx_import.h"

#include <stdio.h>
#include <string.h>

const Onnx__AttributeProto *qmdi_onnx_attribute(const qmdi_onnx_call *call, const char *name) {
	for (size_t i = 0; i < call->node->n_attribute; i++)
		if (call->node->attribute[i]->name && strcmp(call->node->attribute[i]->name, name) == 0)
			return call->node->attribute[i];
	return NULL;
}

static qmd_status fail_type(const char *name, const char *expected) {
	return qmdi_fail(QMD_ERROR_FORMAT, "attribute '%s' is not %s", name, expected);
}

qmd_status qmdi_onnx_get_int(const qmdi_onnx_call *call, const char *name, int64_t *value) {
	const Onnx__AttributeProto *attribute = qmdi_onnx_attribute(call, name);
	if (!attribute)
		return QMD_OK;
	if (!attribute->has_i)
		return fail_type(name, "an integer");
	*value = attribute->i;
	return QMD_OK;
}

qmd_status qmdi_onnx_get_float(const qmdi_onnx_call *call, const char *name, float *value) {
	const Onnx__AttributeProto *attribute = qmdi_onnx_attribute(call, name);
	if (!attribute)
		return QMD_OK;
	if (!attribute->has_f)
		return fail_type(name, "a number");
	*value = attribute->f;
	return QMD_OK;
}

qmd_status qmdi_onnx_get_string(const qmdi_onnx_call *call, const char *name, char *text, size_t size) {
	const Onnx__AttributeProto *attribute = qmdi_onnx_attribute(call, name);
	if (!attribute)
		return QMD_OK;
	if (!attribute->has_s || attribute->s.len >= size)
		return fail_type(name, "a short text");
	memcpy(text, attribute->s.data, attribute->s.len);
	text[attribute->s.len] = '\0';
	return QMD_OK;
}

qmd_status qmdi_onnx_get_ints(const qmdi_onnx_call *call, const char *name, size_t n, int64_t *values, int *found) {
	const Onnx__AttributeProto *attribute = qmdi_onnx_attribute(call, name);
	*found = attribute != NULL;
	if (!attribute)
		return QMD_OK;
	if (attribute->n_ints != n)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "attribute '%s' has %zu integers, expected %zu", name,
						 attribute->n_ints, n);
	memcpy(values, attribute->ints, n * sizeof *values);
	return QMD_OK;
}

qmd_status qmdi_onnx_demand_int(const qmdi_onnx_call *call, const char *name, int64_t expected) {
	int64_t value = expected;
	QMDI_TRY(qmdi_onnx_get_int(call, name, &value));
	if (value != expected)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "attribute '%s' is %lld, a model can express %lld alone", name,
						 (long long)value, (long long)expected);
	return QMD_OK;
}

qmd_status qmdi_onnx_check_attributes(const qmdi_onnx_call *call, const qmdi_onnx_operator *operator) {
	for (size_t i = 0; i < call->node->n_attribute; i++) {
		const char *name = call->node->attribute[i]->name ? call->node->attribute[i]->name : "";
		char word[64];
		snprintf(word, sizeof word, " %.60s ", name);
		if (!strstr(operator->attributes, word))
			return qmdi_fail(QMD_ERROR_UNSUPPORTED, "attribute '%s' is not known", name);
	}
	return QMD_OK;
}

/* *n is at most QMDI_ONNX_MAX_DIMS, or the call fails. */
static qmd_status raw_axes(const qmdi_onnx_call *call, int64_t raw[QMDI_ONNX_MAX_DIMS], size_t *n) {
	const Onnx__AttributeProto *attribute = qmdi_onnx_attribute(call, "axes");
	const qmdi_onnx_tensor *tensor = NULL;
	if (call->n_inputs > 1)
		QMDI_TRY(qmdi_onnx_constant(call, 1, &tensor));
	*n = attribute ? attribute->n_ints : tensor ? tensor->n : 0;
	if (*n > QMDI_ONNX_MAX_DIMS)
		return qmdi_fail(QMD_ERROR_FORMAT, "%zu axes, expected at most %d", *n, QMDI_ONNX_MAX_DIMS);
	if (!attribute && tensor && tensor->type != QMDI_ONNX_S64)
		return qmdi_fail(QMD_ERROR_FORMAT, "axes are %s, expected int64", qmdi_onnx_type_name(tensor->type));
	for (size_t i = 0; i < *n; i++)
		raw[i] = attribute ? attribute->ints[i] : qmdi_onnx_integer(tensor, i);
	return QMD_OK;
}

qmd_status qmdi_onnx_get_axes(const qmdi_onnx_call *call, size_t n_dims, size_t axes[QMDI_ONNX_MAX_DIMS], size_t *n) {
	int64_t raw[QMDI_ONNX_MAX_DIMS] = {0};
	QMDI_TRY(raw_axes(call, raw, n));
	for (size_t i = 0; i < *n; i++) {
		const int64_t axis = raw[i] < 0 && raw[i] >= -(int64_t)n_dims ? raw[i] + (int64_t)n_dims : raw[i];
		if (axis < 0 || axis >= (int64_t)n_dims)
			return qmdi_fail(QMD_ERROR_FORMAT, "axis %lld of %zu", (long long)raw[i], n_dims);
		axes[i] = (size_t)axis;
	}
	return QMD_OK;
}
