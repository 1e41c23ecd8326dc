#include "cudnn_graph.h"

#include <stdbool.h>
#include <stdio.h>

#include "base/memory.h"

#define ALIGNMENT 16
#define MESSAGE_SIZE 1024
#define MAX_CONFIGS 64               /* that a heuristic is asked for */
#define MAX_OWNED (24 + MAX_CONFIGS) /* descriptors of the longest plan, and room */

/* Bytes that a plan may take to work. A limit by what is free would let the choice, and so the bits of a result, depend
 * on what else the device holds. */
#define MAX_WORKSPACE ((int64_t)512 << 20)

/* Which tensor is which in a graph; from CONVOLVED on they live between two operations of it. */
enum { X = 1, W, B, S, Y, CONVOLVED };

struct qmdi_cudnn_plan {
	const qmdi_cudnn *cudnn;
	int has_bias, has_scales;
	cudnnBackendDescriptor_t owned[MAX_OWNED]; /* all that the plan was made of, in order */
	size_t n_owned;
	cudnnBackendDescriptor_t plan; /* one of them */
	int64_t workspace_size, engine;
	uint32_t notes;
};

/* ---- Errors ---- */

static qmd_status status_of(cudnnStatus_t status) {
	if (status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
		status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)
		return QMD_ERROR_MEMORY;
	return CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED ? QMD_ERROR_UNSUPPORTED : QMD_ERROR_INTERNAL;
}

qmd_status qmdi_cudnn_check(const qmdi_vendor *vendor, cudnnStatus_t status, const char *call) {
	char words[MESSAGE_SIZE] = "";
	if (status == CUDNN_STATUS_SUCCESS)
		return QMD_OK;
	vendor->cudnnGetLastErrorString(words, sizeof words);
	return qmdi_fail(status_of(status), "cuDNN: %s: %s: %s", call, vendor->cudnnGetErrorString(status), words);
}

/* ---- Descriptors ---- */

#define CALL(plan, ...) QMDI_CUDNN_CALL((plan)->cudnn->vendor, __VA_ARGS__)

/* A new descriptor, the plan's. */
static qmd_status create(qmdi_cudnn_plan *plan, cudnnBackendDescriptorType_t type,
						 cudnnBackendDescriptor_t *descriptor) {
	if (plan->n_owned == MAX_OWNED)
		return qmdi_fail(QMD_ERROR_INTERNAL, "cuDNN: a plan of more than %d descriptors", MAX_OWNED);
	QMDI_TRY(CALL(plan, cudnnBackendCreateDescriptor, type, descriptor));
	plan->owned[plan->n_owned++] = *descriptor;
	return QMD_OK;
}

/* Destroy all descriptors but the first n, the last made first. */
static void disown(qmdi_cudnn_plan *plan, size_t n) {
	while (plan->n_owned > n)
		(void)plan->cudnn->vendor->cudnnBackendDestroyDescriptor(plan->owned[--plan->n_owned]);
}

/* An attribute to set. */
typedef struct attribute {
	cudnnBackendAttributeName_t name;
	cudnnBackendAttributeType_t type;
	int64_t n;
	const void *values;
} attribute;

/* Set attributes, and finalize. */
static qmd_status define(const qmdi_cudnn_plan *plan, cudnnBackendDescriptor_t descriptor, const attribute *attributes,
						 size_t n) {
	for (size_t i = 0; i < n; i++) {
		const attribute *a = &attributes[i];
		QMDI_TRY(CALL(plan, cudnnBackendSetAttribute, descriptor, a->name, a->type, a->n, a->values));
	}
	return CALL(plan, cudnnBackendFinalize, descriptor);
}

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define DEFINE(plan, descriptor, attributes) define(plan, descriptor, attributes, LENGTH(attributes))

/* ---- Tensors ---- */

/* Of cuDNN's order of dimensions, channels second; in memory they are last. */
static qmd_status create_tensor(qmdi_cudnn_plan *plan, int64_t id, cudnnDataType_t data_type, const int64_t nchw[4],
								cudnnBackendDescriptor_t *tensor) {
	const int64_t strides[4] = {nchw[1] * nchw[2] * nchw[3], 1, nchw[1] * nchw[3], nchw[1]};
	const int64_t alignment = ALIGNMENT;
	const bool is_virtual = id >= CONVOLVED;
	const attribute attributes[] = {
		{CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id},
		{CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &data_type},
		{CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, nchw},
		{CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides},
		{CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment},
		{CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual},
	};
	QMDI_TRY(create(plan, CUDNN_BACKEND_TENSOR_DESCRIPTOR, tensor));
	return DEFINE(plan, *tensor, attributes);
}

static void dimensions_of_images(size_t n, const qmd_shape *image, int64_t nchw[4]) {
	nchw[0] = (int64_t)n;
	nchw[1] = image->c;
	nchw[2] = image->h;
	nchw[3] = image->w;
}

/* ---- Operations ---- */

/* Of sums of products. */
static cudnnDataType_t compute_type_of(const qmdi_cudnn_convolution *convolution) {
	return convolution->data_type == CUDNN_DATA_INT8 ? CUDNN_DATA_INT32 : CUDNN_DATA_FLOAT;
}

static int has_scales(const qmdi_cudnn_convolution *convolution) {
	return convolution->data_type == CUDNN_DATA_INT8 && convolution->has_bias;
}

static cudnnDataType_t output_type_of(const qmdi_cudnn_convolution *convolution) {
	return convolution->data_type == CUDNN_DATA_INT8 && !convolution->has_bias ? CUDNN_DATA_INT32
																			   : convolution->data_type;
}

static qmd_status create_convolution(qmdi_cudnn_plan *plan, const qmdi_cudnn_convolution *wanted,
									 cudnnBackendDescriptor_t *convolution) {
	const qmdi_linear_shape *shape = wanted->shape;
	const cudnnDataType_t compute_type = compute_type_of(wanted);
	const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
	const int64_t n_dimensions = 2, dilations[2] = {1, 1};
	const int64_t strides[2] = {shape->stride_h, shape->stride_w};
	const int64_t before[2] = {shape->pad_top, shape->pad_left}, after[2] = {shape->pad_bottom, shape->pad_right};
	const attribute attributes[] = {
		{CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute_type},
		{CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode},
		{CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &n_dimensions},
		{CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before},
		{CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after},
		{CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides},
		{CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilations},
	};
	QMDI_TRY(create(plan, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, convolution));
	return DEFINE(plan, *convolution, attributes);
}

/* What cuDNN calls a direction and its arguments. */
static const struct {
	cudnnBackendDescriptorType_t type;
	cudnnBackendAttributeName_t convolution, x, w, y, alpha, beta;
	const char *what;
} directions[] = {
	[QMDI_CUDNN_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
							CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
							CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
							CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
							CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, "the convolution"},
	[QMDI_CUDNN_BACKWARD_INPUT] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
								   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
								   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
								   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
								   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
								   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
								   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, "the gradient of the input"},
	[QMDI_CUDNN_BACKWARD_WEIGHTS] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
									 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
									 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
									 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
									 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
									 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
									 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, "the gradient of the weights"},
};

/* y has the id Y, or is virtual where more is to be done with it. */
static qmd_status create_linear(qmdi_cudnn_plan *plan, const qmdi_cudnn_convolution *convolution,
								cudnnBackendDescriptor_t y, cudnnBackendDescriptor_t *operation) {
	const qmdi_linear_shape *shape = convolution->shape;
	const float alpha = 1, beta = 0;
	cudnnBackendDescriptor_t description = NULL, x = NULL, w = NULL;
	int64_t x_dimensions[4];
	const int64_t w_dimensions[4] = {shape->output.c, shape->input.c, shape->kernel_h, shape->kernel_w};
	dimensions_of_images(shape->batch, &shape->input, x_dimensions);
	QMDI_TRY(create_convolution(plan, convolution, &description));
	QMDI_TRY(create_tensor(plan, X, convolution->data_type, x_dimensions, &x));
	QMDI_TRY(create_tensor(plan, W, convolution->data_type, w_dimensions, &w));
	const attribute attributes[] = {
		{directions[convolution->direction].convolution, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &description},
		{directions[convolution->direction].x, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x},
		{directions[convolution->direction].w, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &w},
		{directions[convolution->direction].y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &y},
		{directions[convolution->direction].alpha, CUDNN_TYPE_FLOAT, 1, &alpha},
		{directions[convolution->direction].beta, CUDNN_TYPE_FLOAT, 1, &beta},
	};
	QMDI_TRY(create(plan, directions[convolution->direction].type, operation));
	return DEFINE(plan, *operation, attributes);
}

/* y = x + b or x * b, or y = relu(x) where b is NULL; in FP32. */
static qmd_status create_pointwise(qmdi_cudnn_plan *plan, cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t x,
								   cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t y,
								   cudnnBackendDescriptor_t *operation) {
	const cudnnDataType_t compute_type = CUDNN_DATA_FLOAT;
	cudnnBackendDescriptor_t description = NULL;
	const attribute what[] = {
		{CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode},
		{CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute_type},
	};
	QMDI_TRY(create(plan, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, &description));
	QMDI_TRY(DEFINE(plan, description, what));
	const attribute attributes[] = {
		{CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &description},
		{CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x},
		{CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &y},
		{CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &b},
	};
	QMDI_TRY(create(plan, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, operation));
	return define(plan, *operation, attributes, b ? 4 : 3);
}

/* ---- The graph ---- */

/* What is done to each number that a convolution gives, and with what: B, S or none. */
typedef struct stage {
	cudnnPointwiseMode_t mode;
	int64_t operand;
} stage;

#define MAX_STAGES 3

static int64_t stages_of(const qmdi_cudnn_convolution *convolution, stage stages[MAX_STAGES]) {
	int64_t n = 0;
	if (convolution->has_bias)
		stages[n++] = (stage){CUDNN_POINTWISE_ADD, B};
	if (has_scales(convolution))
		stages[n++] = (stage){CUDNN_POINTWISE_MUL, S};
	if (convolution->has_relu)
		stages[n++] = (stage){CUDNN_POINTWISE_RELU_FWD, 0};
	return n;
}

/* A number for each channel. */
static qmd_status create_operand(qmdi_cudnn_plan *plan, const qmdi_cudnn_convolution *convolution, int64_t id,
								 cudnnBackendDescriptor_t *operand) {
	const int64_t nchw[4] = {1, convolution->shape->output.c, 1, 1};
	const int is_integer = convolution->data_type == CUDNN_DATA_INT8;
	return id ? create_tensor(plan, id, is_integer ? CUDNN_DATA_FLOAT : convolution->data_type, nchw, operand) : QMD_OK;
}

/* The operations in order, each of what the one before it left. */
static qmd_status create_operations(qmdi_cudnn_plan *plan, const qmdi_cudnn_convolution *convolution,
									cudnnBackendDescriptor_t operations[1 + MAX_STAGES], int64_t *n) {
	stage stages[MAX_STAGES];
	int64_t nchw[4];
	const int64_t n_stages = stages_of(convolution, stages);
	const cudnnDataType_t output_type = output_type_of(convolution);
	cudnnBackendDescriptor_t now = NULL;
	dimensions_of_images(convolution->shape->batch, &convolution->shape->output, nchw);
	QMDI_TRY(create_tensor(plan, n_stages ? CONVOLVED : Y, n_stages ? compute_type_of(convolution) : output_type, nchw,
						   &now));
	QMDI_TRY(create_linear(plan, convolution, now, &operations[0]));
	for (int64_t i = 0; i < n_stages; i++) {
		const int is_last = i == n_stages - 1;
		cudnnBackendDescriptor_t operand = NULL, next = NULL;
		QMDI_TRY(create_operand(plan, convolution, stages[i].operand, &operand));
		QMDI_TRY(create_tensor(plan, is_last ? Y : CONVOLVED + 1 + i, is_last ? output_type : CUDNN_DATA_FLOAT, nchw,
							   &next));
		QMDI_TRY(create_pointwise(plan, stages[i].mode, now, operand, next, &operations[1 + i]));
		now = next;
	}
	*n = 1 + n_stages;
	return QMD_OK;
}

static qmd_status create_graph(qmdi_cudnn_plan *plan, const qmdi_cudnn_convolution *convolution,
							   cudnnBackendDescriptor_t *graph) {
	cudnnBackendDescriptor_t operations[1 + MAX_STAGES];
	int64_t n = 0;
	QMDI_TRY(create_operations(plan, convolution, operations, &n));
	const attribute attributes[] = {
		{CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n, operations},
		{CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &plan->cudnn->handle},
	};
	QMDI_TRY(create(plan, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, graph));
	return define(plan, *graph, attributes, plan->cudnn->handle ? 2 : 1);
}

/* ---- Engines ---- */

/* Reads what a configuration's engine takes liberties with, and its number. */
static qmd_status describe_engine(qmdi_cudnn_plan *plan, cudnnBackendDescriptor_t config) {
	cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
	cudnnBackendDescriptor_t engine = NULL;
	int64_t n = 0;
	QMDI_TRY(create(plan, CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine));
	QMDI_TRY(CALL(plan, cudnnBackendGetAttribute, config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
				  &n, &engine));
	QMDI_TRY(CALL(plan, cudnnBackendGetAttribute, engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &n,
				  &plan->engine));
	QMDI_TRY(CALL(plan, cudnnBackendGetAttribute, engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
				  CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n, notes));
	plan->notes = 0;
	for (int64_t i = 0; i < n && i < CUDNN_NUMERICAL_NOTE_TYPE_COUNT; i++)
		plan->notes |= 1U << notes[i];
	return QMD_OK;
}

/* Not those whose sums come in any order; and for FP32 not those that take it for less, nor those that sum something
 * else than the products, whose errors are of the size of an output's neighbours. */
static uint32_t forbidden_notes(cudnnDataType_t data_type) {
	const uint32_t in_any_order = 1U << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
	const uint32_t not_fp32 = 1U << CUDNN_NUMERICAL_NOTE_TENSOR_CORE | 1U << CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS |
							  1U << CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
	const uint32_t not_products = 1U << CUDNN_NUMERICAL_NOTE_FFT | 1U << CUDNN_NUMERICAL_NOTE_WINOGRAD;
	return data_type == CUDNN_DATA_FLOAT ? in_any_order | not_fp32 | not_products : in_any_order;
}

/* What the heuristics had to offer, for the error where nothing served. */
typedef struct offers {
	size_t n, n_unfit;
	char words[MESSAGE_SIZE]; /* of the last refusal */
} offers;

/* Go on with what comes next, except where memory is short: then the choice would depend on what else runs. */
static qmd_status refuse(qmdi_cudnn_plan *plan, size_t n_owned, qmd_status status, offers *offered) {
	snprintf(offered->words, sizeof offered->words, "%s", qmd_last_error());
	disown(plan, n_owned);
	return status == QMD_ERROR_MEMORY ? status : QMD_ERROR_UNSUPPORTED;
}

static qmd_status build_plan(qmdi_cudnn_plan *plan, cudnnBackendDescriptor_t config) {
	const qmdi_cudnn *cudnn = plan->cudnn;
	int64_t n = 0;
	const attribute device = {CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &cudnn->handle};
	const attribute properties = {CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
								  &cudnn->properties};
	const attribute attributes[] = {
		cudnn->handle ? device : properties,
		{CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config},
	};
	QMDI_TRY(create(plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan->plan));
	QMDI_TRY(DEFINE(plan, plan->plan, attributes));
	QMDI_TRY(CALL(plan, cudnnBackendGetAttribute, plan->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
				  CUDNN_TYPE_INT64, 1, &n, &plan->workspace_size));
	if (plan->workspace_size > MAX_WORKSPACE)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "cuDNN: engine %lld takes %lld bytes to work, the most is %lld",
						 (long long)plan->engine, (long long)plan->workspace_size, (long long)MAX_WORKSPACE);
	return QMD_OK;
}

/* QMD_OK if the configuration became the plan, QMD_ERROR_UNSUPPORTED if it cannot. */
static qmd_status try_config(qmdi_cudnn_plan *plan, cudnnBackendDescriptor_t config, uint32_t forbidden,
							 offers *offered) {
	const size_t n_owned = plan->n_owned;
	qmd_status status = describe_engine(plan, config);
	offered->n++;
	if (status == QMD_OK && (plan->notes & forbidden)) {
		offered->n_unfit++;
		disown(plan, n_owned);
		return QMD_ERROR_UNSUPPORTED;
	}
	if (status == QMD_OK)
		status = build_plan(plan, config);
	return status == QMD_OK ? QMD_OK : refuse(plan, n_owned, status, offered);
}

static qmd_status ask_heuristic(qmdi_cudnn_plan *plan, cudnnBackendDescriptor_t graph, cudnnBackendHeurMode_t mode,
								cudnnBackendDescriptor_t configs[MAX_CONFIGS], int64_t *n) {
	const qmdi_cudnn *cudnn = plan->cudnn;
	cudnnBackendDescriptor_t heuristic = NULL;
	const attribute attributes[] = {
		{CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph},
		{CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode},
		{CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &cudnn->properties},
	};
	QMDI_TRY(create(plan, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristic));
	QMDI_TRY(define(plan, heuristic, attributes, cudnn->handle ? 2 : 3));
	for (size_t i = 0; i < MAX_CONFIGS; i++)
		QMDI_TRY(create(plan, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[i]));
	return CALL(plan, cudnnBackendGetAttribute, heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
				MAX_CONFIGS, n, configs);
}

/* QMD_OK if one of the heuristic's configurations became the plan, QMD_ERROR_UNSUPPORTED if none can. */
static qmd_status try_heuristic(qmdi_cudnn_plan *plan, cudnnBackendDescriptor_t graph, cudnnBackendHeurMode_t mode,
								uint32_t forbidden, offers *offered) {
	cudnnBackendDescriptor_t configs[MAX_CONFIGS];
	const size_t n_owned = plan->n_owned;
	int64_t n = 0;
	const qmd_status asked = ask_heuristic(plan, graph, mode, configs, &n);
	if (asked != QMD_OK)
		return refuse(plan, n_owned, asked, offered);
	for (int64_t i = 0; i < n && i < MAX_CONFIGS; i++) {
		const qmd_status status = try_config(plan, configs[i], forbidden, offered);
		if (status != QMD_ERROR_UNSUPPORTED)
			return status;
	}
	disown(plan, n_owned);
	return QMD_ERROR_UNSUPPORTED;
}

static const char *type_name(cudnnDataType_t type) {
	return type == CUDNN_DATA_FLOAT ? "FP32" : type == CUDNN_DATA_HALF ? "FP16" : "INT8";
}

static qmd_status fail_without_plan(const qmdi_cudnn_convolution *convolution, const offers *offered) {
	const qmdi_linear_shape *s = convolution->shape;
	return qmdi_fail(
		QMD_ERROR_UNSUPPORTED,
		"layer '%s': cuDNN has no plan for %s in %s that gives the same bits in each run: %zu images %u x %u x %u, "
		"kernel %u x %u, stride %u x %u, padding %u %u %u %u (top left bottom right), output %u x %u x %u; of %zu "
		"configurations %zu do not promise that%s%s",
		s->name, directions[convolution->direction].what, type_name(convolution->data_type), s->batch, s->input.h,
		s->input.w, s->input.c, s->kernel_h, s->kernel_w, s->stride_h, s->stride_w, s->pad_top, s->pad_left,
		s->pad_bottom, s->pad_right, s->output.h, s->output.w, s->output.c, offered->n, offered->n_unfit,
		offered->words[0] ? "; the last refusal: " : "", offered->words);
}

static qmd_status choose_engine(qmdi_cudnn_plan *plan, const qmdi_cudnn_convolution *convolution) {
	const uint32_t forbidden = forbidden_notes(convolution->data_type);
	cudnnBackendDescriptor_t graph = NULL;
	offers offered = {0};
	qmd_status status = create_graph(plan, convolution, &graph);
	if (status == QMD_OK) {
		status = try_heuristic(plan, graph, CUDNN_HEUR_MODE_A, forbidden, &offered);
		if (status == QMD_ERROR_UNSUPPORTED)
			status = try_heuristic(plan, graph, CUDNN_HEUR_MODE_FALLBACK, forbidden, &offered);
		if (status == QMD_ERROR_UNSUPPORTED)
			return fail_without_plan(convolution, &offered);
	}
	if (status != QMD_OK)
		return qmdi_fail_within(status, "layer '%s': %s", convolution->shape->name,
								directions[convolution->direction].what);
	return QMD_OK;
}

/* ---- Plans ---- */

qmd_status qmdi_cudnn_plan_create(const qmdi_cudnn *cudnn, const qmdi_cudnn_convolution *convolution,
								  qmdi_cudnn_plan **out) {
	qmdi_cudnn_plan *plan = qmdi_zeroed(1, sizeof *plan);
	if (!plan)
		return QMD_ERROR_MEMORY;
	plan->cudnn = cudnn;
	plan->has_bias = convolution->has_bias;
	plan->has_scales = has_scales(convolution);
	const qmd_status status = choose_engine(plan, convolution);
	if (status == QMD_OK)
		*out = plan;
	else
		qmdi_cudnn_plan_free(plan);
	return status;
}

void qmdi_cudnn_plan_free(qmdi_cudnn_plan *plan) {
	if (plan)
		disown(plan, 0);
	qmdi_release(plan);
}

size_t qmdi_cudnn_plan_workspace(const qmdi_cudnn_plan *plan) {
	return (size_t)plan->workspace_size;
}

int64_t qmdi_cudnn_plan_engine(const qmdi_cudnn_plan *plan, uint32_t *notes) {
	*notes = plan->notes;
	return plan->engine;
}

static qmd_status define_and_execute(const qmdi_cudnn_plan *plan, cudnnBackendDescriptor_t pack,
									 const qmdi_cudnn_tensors *tensors, void *workspace) {
	const int64_t ids[] = {X, W, Y, B, S};
	const void *pointers[] = {tensors->x, tensors->w, tensors->y, tensors->b, tensors->s};
	const int64_t n = 3 + plan->has_bias + plan->has_scales;
	const attribute attributes[] = {
		{CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, ids},
		{CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, pointers},
		{CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace},
	};
	QMDI_TRY(DEFINE(plan, pack, attributes));
	return CALL(plan, cudnnBackendExecute, plan->cudnn->handle, plan->plan, pack);
}

qmd_status qmdi_cudnn_plan_run(const qmdi_cudnn_plan *plan, const qmdi_cudnn_tensors *tensors, void *workspace) {
	cudnnBackendDescriptor_t pack = NULL;
	QMDI_TRY(CALL(plan, cudnnBackendCreateDescriptor, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack));
	const qmd_status status = define_and_execute(plan, pack, tensors, workspace);
	(void)plan->cudnn->vendor->cudnnBackendDestroyDescriptor(pack);
	return status;
}
