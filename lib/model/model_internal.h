/* The graph as training, quantization and the engine's compiler see it. */
#ifndef QMD_LIB_MODEL_INTERNAL_H
#define QMD_LIB_MODEL_INTERNAL_H

#include <qmd/model.h>

#define QMDI_LAYER_NAME_SIZE 64
#define QMDI_MAX_PARAMETERS 4

/* Limits of every graph, whether it comes from the API or from a file: products of extents fit into int32. */
#define QMDI_MAX_LAYERS 1024
#define QMDI_MAX_ELEMENTS 0x7fffffffu           /* of one image's tensor, and of one layer's parameter */
#define QMDI_MAX_LAYER_MACS (UINT64_C(1) << 52) /* of one image, so that their sum cannot overflow */

/* Index of a parameter in qmdi_layer.parameters. */
enum {
	QMDI_WEIGHT = 0,
	QMDI_BIAS = 1, /* conv2d, dense */
	QMDI_GAMMA = 0,
	QMDI_BETA = 1,
	QMDI_MEAN = 2,
	QMDI_VARIANCE = 3 /* batchnorm; mean and variance are not trained */
};

typedef struct qmdi_layer {
	qmd_layer definition; /* name points to `name`; inputs are layer numbers, -1 for one that its kind does not have;
							 strides and pad_* are what is used; fields that its kind does not use are 0 */
	char *name;           /* owned, where it is until the model is freed */
	qmd_shape input;      /* of its (first) input */
	qmd_shape output;
	float *parameters[QMDI_MAX_PARAMETERS]; /* weights of conv2d [units][kh][kw][c], of dense [units][inputs] */
	size_t n_parameters[QMDI_MAX_PARAMETERS];
	/* Quantization (docs/numerics.md). */
	float activation_scale; /* real = activation_scale * q of the layer's output; 0: its output is not quantized */
	float *weight_scales;   /* [units], conv2d and dense; NULL: its weights are not quantized */
} qmdi_layer;

/*
 * In a quantized model every layer up to the logits has an activation_scale. Where the only consumer of a conv2d, dense
 * or add is a relu, both carry the relu's scale, and the integers are clamped to [0, qmax] at once. Relu, maxpool,
 * flatten and dropout carry the scale of their input. The logits (the output of the last layer before the softmax) stay
 * float: scale 0.
 */
struct qmd_model {
	qmdi_layer *layers;
	size_t n_layers, capacity;
	qmd_pixels *pixels; /* held, or NULL */
	char **class_names; /* n_class_names texts, or NULL */
	size_t n_class_names;
	uint32_t weight_bits, activation_bits; /* 0: not quantized */
	int32_t image_type;                    /* QMD_S8 or QMD_U8 once quantized, else 0 */
	char *passes; /* what the passes of quantization did, a line each, or NULL; copied, saved and freed with it */
};

/* qmd_model_add() with a bound on the number of the layer's parameters, checked before they are allocated: what a file
 * can still hold. */
qmd_status qmdi_model_add_within(qmd_model *model, const qmd_layer *layer, size_t most_parameters, int32_t *id);

/* "conv2d", "dense", ...; NULL for a number that is no kind. Static text. */
const char *qmdi_layer_kind_name(int32_t kind);

/* The name of a layer's parameter, "weight" or "variance"; NULL where it has none of that index. Static text. */
const char *qmdi_parameter_name(const qmdi_layer *layer, size_t parameter);

/* A copy of everything; the pixels are held once more. */
qmd_status qmdi_model_copy(const qmd_model *model, qmd_model **copy);

/* A hash of all that a file would hold. */
qmd_status qmdi_model_hash(const qmd_model *model, uint64_t *hash);

/* Number of layers that read `layer`; the last of them in `consumer` (may be NULL). */
size_t qmdi_model_consumers(const qmd_model *model, size_t layer, size_t *consumer);

/* The layer whose output are the logits: the last, or the one before a softmax. */
size_t qmdi_model_logits(const qmd_model *model);

/* 1 if a layer's output cannot be negative: relu, u8 input, and what passes them on. */
int qmdi_model_is_nonnegative(const qmd_model *model, size_t layer);

/* Largest weight, and smallest and largest activation in integers, for a number of bits: 2^(bits-1) - 1; 0 or
 * -2^(bits-1). */
static inline int32_t qmdi_quantized_max(uint32_t bits) {
	return (int32_t)((1u << (bits - 1)) - 1u);
}
static inline int32_t qmdi_quantized_min(uint32_t bits, int nonnegative) {
	return nonnegative ? 0 : -qmdi_quantized_max(bits) - 1;
}

/* real = qmdi_image_scale() * q of an image: 1/127 (QMD_S8) or 1/255 (QMD_U8). */
static inline float qmdi_image_scale(int32_t image_type) {
	return image_type == QMD_U8 ? 1.0f / 255.0f : 1.0f / 127.0f;
}

#endif
