/* Operators on shapes: most change no number, and only say how a layer's output is laid out from there on. */
#include "onnx_import.h"

#include <string.h>

/* Input 0, integers or real. */
static qmd_status get_input(const qmdi_onnx_call *call, qmdi_onnx_activation *input) {
	*input = call->inputs[0]->activation;
	if (call->inputs[0]->kind != QMDI_ONNX_ACTIVATION)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "input 0 ('%s') is a constant, expected the output of a layer",
						 call->inputs[0]->name);
	return QMD_OK;
}

/* The extents that ONNX sees, the batch as QMDI_ONNX_BATCH. Returns their number. */
static size_t extents_of(const qmdi_importer *im, const qmdi_onnx_activation *activation, int64_t dims[4]) {
	const qmd_shape s = qmdi_onnx_shape(im, activation);
	dims[0] = QMDI_ONNX_BATCH;
	if (activation->form == QMDI_ONNX_FORM_FLAT) {
		dims[1] = (int64_t)s.h * s.w * s.c;
		return 2;
	}
	const int is_nchw = activation->form == QMDI_ONNX_FORM_NCHW;
	dims[1] = is_nchw ? s.c : s.h;
	dims[2] = is_nchw ? s.h : s.w;
	dims[3] = is_nchw ? s.w : s.c;
	return 4;
}

static int is_vector(qmd_shape shape) {
	return shape.h == 1 && shape.w == 1;
}

qmd_status qmdi_onnx_identity(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input;
	(void)im;
	QMDI_TRY(get_input(call, &input));
	return qmdi_onnx_give_alias(call, 0, input);
}

/* Some exporters pad by nothing. */
qmd_status qmdi_onnx_pad(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input;
	const Onnx__AttributeProto *attribute = qmdi_onnx_attribute(call, "pads");
	const qmdi_onnx_tensor *pads = NULL;
	int64_t largest = 0;
	(void)im;
	QMDI_TRY(get_input(call, &input));
	QMDI_TRY(qmdi_onnx_constant(call, 1, &pads));
	if (pads && pads->type != QMDI_ONNX_S64)
		return qmdi_fail(QMD_ERROR_FORMAT, "its pads are %s, expected int64", qmdi_onnx_type_name(pads->type));
	for (size_t i = 0; attribute && i < attribute->n_ints; i++)
		largest = attribute->ints[i] != 0 ? attribute->ints[i] : largest;
	for (size_t i = 0; pads && i < pads->n; i++)
		largest = qmdi_onnx_integer(pads, i) != 0 ? qmdi_onnx_integer(pads, i) : largest;
	if (largest != 0)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "it pads by %lld: only a convolution of a model pads",
						 (long long)largest);
	return qmdi_onnx_give_alias(call, 0, input);
}

/* ---- Flattening ---- */

/* What is a vector already gets no layer. */
static qmd_status flatten(qmdi_importer *im, const qmdi_onnx_call *call, qmdi_onnx_activation input) {
	qmdi_onnx_activation output;
	const qmd_shape shape = qmdi_onnx_shape(im, &input);
	const int is_nchw = input.form == QMDI_ONNX_FORM_NCHW;
	if (input.form == QMDI_ONNX_FORM_FLAT)
		return qmdi_onnx_give_alias(call, 0, input);
	input.form = QMDI_ONNX_FORM_FLAT;
	input.order = (qmd_shape){1, 1, shape.h * shape.w * shape.c};
	if (is_vector(shape))
		return qmdi_onnx_give_alias(call, 0, input);
	qmd_layer layer;
	qmd_layer_init(&layer, QMD_LAYER_FLATTEN);
	QMDI_TRY(qmdi_onnx_add_layer(im, call, &layer, input.layer, &output));
	input.layer = output.layer;
	if (is_nchw)
		input.order = shape;
	im->scales[output.layer] = input.scale;
	im->ranges[output.layer] = input.range;
	return qmdi_onnx_give_layer(call, input);
}

qmd_status qmdi_onnx_flatten(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input;
	int64_t axis = 1;
	QMDI_TRY(get_input(call, &input));
	QMDI_TRY(qmdi_onnx_get_int(call, "axis", &axis));
	const int64_t n_dims = input.form == QMDI_ONNX_FORM_FLAT ? 2 : 4;
	if (axis != 1 && axis != 1 - n_dims)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "attribute 'axis' is %lld, expected 1 (the batch stays)",
						 (long long)axis);
	return flatten(im, call, input);
}

/* ---- Reshape ---- */

/* The shape that is asked for, with 0 and -1 filled in. */
static qmd_status resolve_shape(const qmdi_importer *im, const qmdi_onnx_call *call, const int64_t *from, size_t n_from,
								int64_t to[QMDI_ONNX_MAX_DIMS], size_t *n_to) {
	const qmdi_onnx_tensor *shape;
	QMDI_TRY(qmdi_onnx_constant(call, 1, &shape));
	QMDI_TRY(qmdi_onnx_demand_int(call, "allowzero", 0));
	if (shape->type != QMDI_ONNX_S64 || shape->n == 0 || shape->n > QMDI_ONNX_MAX_DIMS)
		return qmdi_fail(QMD_ERROR_FORMAT, "its shape is %zu numbers of type %s", shape->n,
						 qmdi_onnx_type_name(shape->type));
	int64_t n_elements = 1, product = 1;
	size_t n_open = 0, open = 0;
	for (size_t i = 1; i < n_from; i++)
		n_elements *= from[i];
	*n_to = shape->n;
	for (size_t i = 0; i < shape->n; i++) {
		to[i] = qmdi_onnx_integer(shape, i);
		if (to[i] == 0 && i < n_from)
			to[i] = from[i];
		if (i == 0 && (to[i] == -1 || (im->batch > 0 && to[i] == im->batch)))
			to[i] = QMDI_ONNX_BATCH;
		if (i == 0)
			continue;
		if (to[i] == -1 && n_open++ == 0)
			open = i;
		else if (to[i] < 1 || to[i] > n_elements / product)
			return qmdi_fail(QMD_ERROR_UNSUPPORTED, "extent %zu of its shape is %lld, of images of %lld elements", i,
							 (long long)to[i], (long long)n_elements);
		else
			product *= to[i];
	}
	if (n_open > 0)
		to[open] = n_elements / product;
	if (to[0] != QMDI_ONNX_BATCH || product * (n_open > 0 ? to[open] : 1) != n_elements)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "it does not keep the batch, or not the %lld elements of an image",
						 (long long)n_elements);
	return QMD_OK;
}

/* From one order of extents to the other, where that moves no element: one of them is 1. */
static qmdi_onnx_form other_form(const qmdi_onnx_activation *input, qmd_shape s, const int64_t to[4]) {
	const int moves_none = s.c == 1 || is_vector(s);
	if (moves_none && to[1] == (int64_t)s.c && to[2] == (int64_t)s.h)
		return QMDI_ONNX_FORM_NCHW;
	if (moves_none && to[1] == (int64_t)s.h && to[2] == (int64_t)s.w)
		return QMDI_ONNX_FORM_NHWC;
	return input->form;
}

qmd_status qmdi_onnx_reshape(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input;
	int64_t from[4], to[QMDI_ONNX_MAX_DIMS] = {0};
	size_t n_to = 0;
	QMDI_TRY(get_input(call, &input));
	const size_t n_from = extents_of(im, &input, from);
	const qmd_shape shape = qmdi_onnx_shape(im, &input);
	QMDI_TRY(resolve_shape(im, call, from, n_from, to, &n_to));
	if (n_to == 2)
		return flatten(im, call, input);
	if (n_to == 4 && n_from == 4 && memcmp(from, to, sizeof from) == 0)
		return qmdi_onnx_give_alias(call, 0, input);
	qmdi_onnx_activation output = input;
	if (n_to == 4 && !qmdi_onnx_is_reordered(&input))
		output.form = other_form(&input, shape, to);
	int64_t given[4];
	if (n_to == 4 && extents_of(im, &output, given) == 4 && memcmp(given, to, sizeof given) == 0)
		return qmdi_onnx_give_alias(call, 0, output);
	return qmdi_fail(QMD_ERROR_UNSUPPORTED, "it reshapes images to %zu extents otherwise than to flatten them", n_to);
}

/* ---- Other changes of the extents ---- */

qmd_status qmdi_onnx_transpose(qmdi_importer *im, const qmdi_onnx_call *call) {
	static const int64_t to_nchw[4] = {0, 3, 1, 2}, to_nhwc[4] = {0, 2, 3, 1}, same[4] = {0, 1, 2, 3};
	qmdi_onnx_activation input;
	int64_t perm[4];
	int found;
	(void)im;
	QMDI_TRY(get_input(call, &input));
	const size_t n_dims = input.form == QMDI_ONNX_FORM_FLAT ? 2 : 4;
	QMDI_TRY(qmdi_onnx_get_ints(call, "perm", n_dims, perm, &found));
	if (found && memcmp(perm, same, n_dims * sizeof *perm) == 0)
		return qmdi_onnx_give_alias(call, 0, input);
	if (found && input.form == QMDI_ONNX_FORM_NHWC && memcmp(perm, to_nchw, sizeof perm) == 0)
		input.form = QMDI_ONNX_FORM_NCHW;
	else if (found && input.form == QMDI_ONNX_FORM_NCHW && memcmp(perm, to_nhwc, sizeof perm) == 0)
		input.form = QMDI_ONNX_FORM_NHWC;
	else
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "it is not a transposition between [N][c][h][w] and [N][h][w][c]");
	return qmdi_onnx_give_alias(call, 0, input);
}

/* The axes must be height and width, both 1. */
static qmd_status check_spatial_axes(const qmdi_onnx_call *call, qmdi_onnx_form form) {
	size_t axes[QMDI_ONNX_MAX_DIMS], n;
	const size_t h = form == QMDI_ONNX_FORM_NHWC ? 1 : 2;
	QMDI_TRY(qmdi_onnx_get_axes(call, 4, axes, &n));
	if (n != 2 || axes[0] + axes[1] != 2 * h + 1 || (axes[0] != h && axes[1] != h))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its axes are not height and width");
	return QMD_OK;
}

qmd_status qmdi_onnx_squeeze(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input;
	QMDI_TRY(get_input(call, &input));
	if (input.form == QMDI_ONNX_FORM_FLAT || !is_vector(qmdi_onnx_shape(im, &input)))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its input is not an image of one pixel");
	QMDI_TRY(check_spatial_axes(call, input.form));
	return flatten(im, call, input);
}

qmd_status qmdi_onnx_unsqueeze(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input;
	QMDI_TRY(get_input(call, &input));
	if (input.form != QMDI_ONNX_FORM_FLAT || qmdi_onnx_is_reordered(&input))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its input is not a vector");
	QMDI_TRY(check_spatial_axes(call, QMDI_ONNX_FORM_NCHW));
	input.form = QMDI_ONNX_FORM_NCHW;
	(void)im;
	return qmdi_onnx_give_alias(call, 0, input);
}

qmd_status qmdi_onnx_shape_of(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input;
	int64_t *dims = qmdi_arena_take(&im->arena, 4, sizeof *dims);
	if (!dims)
		return QMD_ERROR_MEMORY;
	QMDI_TRY(get_input(call, &input));
	QMDI_TRY(qmdi_onnx_demand_int(call, "start", 0));
	if (qmdi_onnx_attribute(call, "end"))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "attribute 'end'");
	const size_t n = extents_of(im, &input, dims);
	return qmdi_onnx_give_constant(
		call, (qmdi_onnx_tensor){.type = QMDI_ONNX_S64, .n_dims = 1, .dims = {n}, .n = n, .data = dims});
}
