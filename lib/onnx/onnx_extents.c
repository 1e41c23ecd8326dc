/* Arithmetic on shapes: what exporters write to keep the batch free. All of it is on rows of int64 or int32. */
#include "onnx_import.h"

#include <string.h>

static const qmdi_onnx_tensor *input_of(const qmdi_onnx_call *call, size_t i) {
	return &call->inputs[i]->tensor;
}

static int is_row(const qmdi_onnx_tensor *tensor) {
	return (tensor->type == QMDI_ONNX_S64 || tensor->type == QMDI_ONNX_S32) && tensor->n_dims <= 1 && !tensor->scales;
}

static qmd_status demand_rows(const qmdi_onnx_call *call) {
	for (size_t i = 0; i < call->n_inputs; i++)
		if (call->inputs[i] && !is_row(input_of(call, i)))
			return qmdi_fail(QMD_ERROR_UNSUPPORTED, "input %zu ('%s') is not a row of int64 or int32, as shapes are", i,
							 call->inputs[i]->name);
	return QMD_OK;
}

/* An index into n elements; negative ones count from the end. */
static qmd_status resolve_index(int64_t given, size_t n, size_t *index) {
	const int64_t from_start = given < 0 && given >= -(int64_t)n ? given + (int64_t)n : given;
	if (from_start < 0 || from_start >= (int64_t)n)
		return qmdi_fail(QMD_ERROR_RANGE, "index %lld of %zu", (long long)given, n);
	*index = (size_t)from_start;
	return QMD_OK;
}

static qmd_status give_row(const qmdi_onnx_call *call, int32_t type, const void *data, size_t n) {
	return qmdi_onnx_give_constant(call,
								   (qmdi_onnx_tensor){.type = type, .n_dims = 1, .dims = {n}, .n = n, .data = data});
}

qmd_status qmdi_onnx_fold_gather(qmdi_importer *im, const qmdi_onnx_call *call) {
	QMDI_TRY(demand_rows(call));
	QMDI_TRY(qmdi_onnx_demand_int(call, "axis", 0));
	const qmdi_onnx_tensor *input = input_of(call, 0), *indices = input_of(call, 1);
	const size_t size = qmdi_onnx_type_size(input->type);
	unsigned char *picked = qmdi_arena_take(&im->arena, indices->n, size);
	if (!picked)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < indices->n; i++) {
		size_t index = 0;
		QMDI_TRY(resolve_index(qmdi_onnx_integer(indices, i), input->n, &index));
		memcpy(picked + i * size, (const unsigned char *)input->data + index * size, size);
	}
	qmdi_onnx_tensor output = *indices; /* one index gives a number, a row of them a row */
	output.type = input->type;
	output.data = picked;
	return qmdi_onnx_give_constant(call, output);
}

qmd_status qmdi_onnx_fold_concat(qmdi_importer *im, const qmdi_onnx_call *call) {
	const int32_t type = call->inputs[0] ? input_of(call, 0)->type : QMDI_ONNX_S64;
	const size_t size = qmdi_onnx_type_size(type);
	size_t n = 0, at = 0;
	QMDI_TRY(demand_rows(call));
	QMDI_TRY(qmdi_onnx_demand_int(call, "axis", 0));
	for (size_t i = 0; i < call->n_inputs; i++) {
		if (!call->inputs[i] || input_of(call, i)->type != type)
			return qmdi_fail(QMD_ERROR_FORMAT, "its input %zu is left out or of another type", i);
		n += input_of(call, i)->n;
	}
	unsigned char *joined = qmdi_arena_take(&im->arena, n, size);
	if (!joined)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < call->n_inputs; at += input_of(call, i++)->n)
		if (input_of(call, i)->n > 0)
			memcpy(joined + at * size, input_of(call, i)->data, input_of(call, i)->n * size);
	return give_row(call, type, joined, n);
}

/* One number of an input of Slice, as an index that may lie beyond either end. */
static qmd_status get_bound(const qmdi_onnx_call *call, size_t i, size_t n, size_t *bound) {
	if (input_of(call, i)->n != 1)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "input %zu has %zu numbers, expected 1", i, input_of(call, i)->n);
	const int64_t given = qmdi_onnx_integer(input_of(call, i), 0);
	if (given < 0)
		*bound = given >= -(int64_t)n ? n - (size_t)-given : 0;
	else
		*bound = given < (int64_t)n ? (size_t)given : n;
	return QMD_OK;
}

qmd_status qmdi_onnx_fold_slice(qmdi_importer *im, const qmdi_onnx_call *call) {
	const qmdi_onnx_tensor *input = input_of(call, 0);
	size_t start = 0, end = 0;
	(void)im;
	QMDI_TRY(demand_rows(call));
	QMDI_TRY(get_bound(call, 1, input->n, &start));
	QMDI_TRY(get_bound(call, 2, input->n, &end));
	if (call->n_inputs > 4 && call->inputs[4] &&
		(input_of(call, 4)->n != 1 || qmdi_onnx_integer(input_of(call, 4), 0) != 1))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its step is not 1");
	const unsigned char *data = input->data;
	const size_t n = end > start ? end - start : 0;
	return give_row(call, input->type, n > 0 ? data + start * qmdi_onnx_type_size(input->type) : data, n);
}

/* Between int64 and int32; the batch stays the batch. */
static qmd_status convert_row(qmdi_importer *im, const qmdi_onnx_call *call, int32_t to) {
	const qmdi_onnx_tensor *input = input_of(call, 0);
	void *converted = qmdi_arena_take(&im->arena, input->n, qmdi_onnx_type_size(to));
	if (!converted)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < input->n; i++) {
		const int64_t value = qmdi_onnx_integer(input, i);
		if (to == QMDI_ONNX_S64)
			((int64_t *)converted)[i] = value == INT32_MIN ? QMDI_ONNX_BATCH : value;
		else if (value == QMDI_ONNX_BATCH || (value > INT32_MIN && value <= INT32_MAX))
			((int32_t *)converted)[i] = value == QMDI_ONNX_BATCH ? INT32_MIN : (int32_t)value;
		else
			return qmdi_fail(QMD_ERROR_RANGE, "element %zu is %lld, beyond int32", i, (long long)value);
	}
	qmdi_onnx_tensor output = *input;
	output.type = to;
	output.data = converted;
	return qmdi_onnx_give_constant(call, output);
}

qmd_status qmdi_onnx_fold_cast(qmdi_importer *im, const qmdi_onnx_call *call) {
	const qmdi_onnx_tensor *input = input_of(call, 0);
	int64_t to = 0;
	QMDI_TRY(qmdi_onnx_get_int(call, "to", &to));
	if (to == input->type && !input->scales)
		return qmdi_onnx_give_constant(call, *input);
	if (!is_row(input) || (to != QMDI_ONNX_S64 && to != QMDI_ONNX_S32))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "it makes %s of %s", qmdi_onnx_type_name((int32_t)to),
						 qmdi_onnx_type_name(input->type));
	return convert_row(im, call, (int32_t)to);
}
