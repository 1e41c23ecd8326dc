/* Operators on constants: what exporters leave for others to fold. */
#include "onnx_import.h"

#include <string.h>

static const qmdi_onnx_tensor *input_of(const qmdi_onnx_call *call, size_t i) {
	return &call->inputs[i]->tensor;
}

/* ---- Constant ---- */

static qmd_status scalar_or_row(const qmdi_onnx_call *call, int32_t type, const void *data, size_t n, int is_row) {
	qmdi_onnx_tensor tensor = {.type = type, .n = n, .data = data, .n_dims = is_row ? 1 : 0};
	tensor.dims[0] = n;
	return qmdi_onnx_give_constant(call, tensor);
}

qmd_status qmdi_onnx_fold_constant(qmdi_importer *im, const qmdi_onnx_call *call) {
	const Onnx__AttributeProto *attribute;
	qmdi_onnx_tensor tensor;
	if ((attribute = qmdi_onnx_attribute(call, "value")) && attribute->t) {
		QMDI_TRY(qmdi_onnx_tensor_read(&im->arena, attribute->t, &tensor));
		return qmdi_onnx_give_constant(call, tensor);
	}
	if ((attribute = qmdi_onnx_attribute(call, "value_float")) && attribute->has_f)
		return scalar_or_row(call, QMDI_ONNX_FLOAT, &attribute->f, 1, 0);
	if ((attribute = qmdi_onnx_attribute(call, "value_floats")))
		return scalar_or_row(call, QMDI_ONNX_FLOAT, attribute->floats, attribute->n_floats, 1);
	if ((attribute = qmdi_onnx_attribute(call, "value_int")) && attribute->has_i)
		return scalar_or_row(call, QMDI_ONNX_S64, &attribute->i, 1, 0);
	if ((attribute = qmdi_onnx_attribute(call, "value_ints")))
		return scalar_or_row(call, QMDI_ONNX_S64, attribute->ints, attribute->n_ints, 1);
	return qmdi_fail(QMD_ERROR_FORMAT, "it has no value");
}

/* ---- Moving elements ---- */

qmd_status qmdi_onnx_fold_identity(qmdi_importer *im, const qmdi_onnx_call *call) {
	(void)im;
	return qmdi_onnx_give_constant(call, *input_of(call, 0));
}

/* Which axis of the input each axis of the output is. */
static qmd_status get_permutation(const qmdi_onnx_call *call, size_t n_dims, size_t axes[QMDI_ONNX_MAX_DIMS]) {
	int64_t perm[QMDI_ONNX_MAX_DIMS];
	int found;
	unsigned seen = 0;
	QMDI_TRY(qmdi_onnx_get_ints(call, "perm", n_dims, perm, &found));
	for (size_t i = 0; i < n_dims; i++) {
		axes[i] = found && perm[i] >= 0 && perm[i] < (int64_t)n_dims ? (size_t)perm[i] : n_dims - 1 - i;
		seen |= 1u << axes[i];
	}
	if (seen != (1u << n_dims) - 1)
		return qmdi_fail(QMD_ERROR_FORMAT, "attribute 'perm' is not a permutation of %zu axes", n_dims);
	return QMD_OK;
}

/* Where the element of index `at` (counted in the output's extents) stands in the input. */
static size_t source_of(const qmdi_onnx_tensor *output, const size_t strides[QMDI_ONNX_MAX_DIMS], size_t at) {
	size_t from = 0;
	for (size_t d = output->n_dims; d-- > 0;) {
		from += at % output->dims[d] * strides[d];
		at /= output->dims[d];
	}
	return from;
}

qmd_status qmdi_onnx_fold_transpose(qmdi_importer *im, const qmdi_onnx_call *call) {
	const qmdi_onnx_tensor *input = input_of(call, 0);
	const size_t size = qmdi_onnx_type_size(input->type);
	size_t axes[QMDI_ONNX_MAX_DIMS], input_strides[QMDI_ONNX_MAX_DIMS], strides[QMDI_ONNX_MAX_DIMS];
	QMDI_TRY(get_permutation(call, input->n_dims, axes));
	unsigned char *data = qmdi_arena_take(&im->arena, input->n, size);
	if (!data)
		return QMD_ERROR_MEMORY;
	size_t stride = 1;
	for (size_t d = input->n_dims; d-- > 0; stride *= input->dims[d])
		input_strides[d] = stride;
	qmdi_onnx_tensor output = *input;
	for (size_t d = 0; d < input->n_dims; d++) {
		output.dims[d] = input->dims[axes[d]];
		strides[d] = input_strides[axes[d]];
		if (axes[d] == input->axis)
			output.axis = d;
	}
	for (size_t i = 0; i < input->n; i++)
		memcpy(data + i * size, (const unsigned char *)input->data + source_of(&output, strides, i) * size, size);
	output.data = data;
	return qmdi_onnx_give_constant(call, output);
}

/* The same elements in other extents. One scale for each index of an axis goes along where that axis stays whole. */
static qmd_status give_reshaped(const qmdi_onnx_call *call, size_t n_dims, const size_t *dims) {
	const qmdi_onnx_tensor *input = input_of(call, 0);
	qmdi_onnx_tensor output = *input;
	size_t n = 1, before = 1;
	output.n_dims = n_dims;
	for (size_t d = 0; d < n_dims; d++) {
		output.dims[d] = dims[d];
		n *= dims[d];
	}
	if (n != input->n)
		return qmdi_fail(QMD_ERROR_SHAPE, "%zu elements do not make %zu", input->n, n);
	if (input->n_scales <= 1)
		return qmdi_onnx_give_constant(call, output);
	for (size_t d = 0; d < input->axis; d++)
		before *= input->dims[d];
	size_t at = 1;
	for (size_t d = 0; d < n_dims; at *= dims[d++])
		if (at == before && dims[d] == input->n_scales) {
			output.axis = d;
			return qmdi_onnx_give_constant(call, output);
		}
	return qmdi_fail(QMD_ERROR_UNSUPPORTED, "it takes apart the axis that the scales belong to");
}

qmd_status qmdi_onnx_fold_reshape(qmdi_importer *im, const qmdi_onnx_call *call) {
	const qmdi_onnx_tensor *input = input_of(call, 0), *shape = input_of(call, 1);
	size_t dims[QMDI_ONNX_MAX_DIMS], product = 1, n_open = 0, open = 0;
	(void)im;
	if (shape->type != QMDI_ONNX_S64 || shape->n > QMDI_ONNX_MAX_DIMS)
		return qmdi_fail(QMD_ERROR_FORMAT, "its shape is %zu numbers of type %s", shape->n,
						 qmdi_onnx_type_name(shape->type));
	QMDI_TRY(qmdi_onnx_demand_int(call, "allowzero", 0));
	for (size_t d = 0; d < shape->n; d++) {
		int64_t dim = qmdi_onnx_integer(shape, d);
		if (dim == 0 && d < input->n_dims)
			dim = (int64_t)input->dims[d];
		if (dim == -1 && n_open++ == 0) {
			open = d;
			continue;
		}
		if (dim < 1 || (size_t)dim > input->n / product)
			return qmdi_fail(QMD_ERROR_FORMAT, "extent %zu of its shape is %lld, of %zu elements", d, (long long)dim,
							 input->n);
		dims[d] = (size_t)dim;
		product *= dims[d];
	}
	if (n_open > 0)
		dims[open] = input->n / product;
	return give_reshaped(call, shape->n, dims);
}

qmd_status qmdi_onnx_fold_squeeze(qmdi_importer *im, const qmdi_onnx_call *call) {
	const qmdi_onnx_tensor *input = input_of(call, 0);
	size_t axes[QMDI_ONNX_MAX_DIMS], dims[QMDI_ONNX_MAX_DIMS], n_axes, n_dims = 0;
	(void)im;
	QMDI_TRY(qmdi_onnx_get_axes(call, input->n_dims, axes, &n_axes));
	for (size_t d = 0; d < input->n_dims; d++) {
		int goes = n_axes == 0 && input->dims[d] == 1;
		for (size_t i = 0; i < n_axes; i++)
			goes |= axes[i] == d;
		if (goes && input->dims[d] != 1)
			return qmdi_fail(QMD_ERROR_FORMAT, "extent %zu is %zu, not 1", d, input->dims[d]);
		if (!goes)
			dims[n_dims++] = input->dims[d];
	}
	return give_reshaped(call, n_dims, dims);
}

qmd_status qmdi_onnx_fold_unsqueeze(qmdi_importer *im, const qmdi_onnx_call *call) {
	const qmdi_onnx_tensor *input = input_of(call, 0);
	size_t axes[QMDI_ONNX_MAX_DIMS], dims[QMDI_ONNX_MAX_DIMS], n_axes;
	const Onnx__AttributeProto *attribute = qmdi_onnx_attribute(call, "axes");
	const int has_input = call->n_inputs > 1 && call->inputs[1];
	const size_t n_new = attribute ? attribute->n_ints : has_input ? input_of(call, 1)->n : 0;
	(void)im;
	if (n_new == 0 || n_new > QMDI_ONNX_MAX_DIMS - input->n_dims)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "it adds %zu extents to %zu", n_new, input->n_dims);
	const size_t n_dims = input->n_dims + n_new;
	QMDI_TRY(qmdi_onnx_get_axes(call, n_dims, axes, &n_axes));
	unsigned is_new = 0;
	for (size_t i = 0; i < n_axes; i++)
		is_new |= 1u << axes[i];
	size_t from = 0;
	for (size_t d = 0; d < n_dims; d++) {
		if (!(is_new & 1u << d) && from == input->n_dims)
			return qmdi_fail(QMD_ERROR_FORMAT, "an axis is given twice");
		dims[d] = is_new & 1u << d ? 1 : input->dims[from++];
	}
	return give_reshaped(call, n_dims, dims);
}
