/**
 * @file model.h
 * A network as a small graph of layers with FP32 weights.
 */
#ifndef QMD_MODEL_H
#define QMD_MODEL_H

#include <qmd/pixels.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A graph of layers, its weights, and, once it is trained, the pixels it was trained on and the names of its classes.
 * For one thread at a time while it changes; any number may read it. */
typedef struct qmd_model qmd_model;

/** Kind of a layer. Images are NHWC, weights of conv2d [filters][kh][kw][channels], of dense [units][inputs]. */
typedef enum qmd_layer_kind {
	QMD_LAYER_INPUT = 1,  /**< made by qmd_model_create() */
	QMD_LAYER_CONV2D = 2, /**< cross-correlation + bias */
	QMD_LAYER_DENSE = 3,  /**< W x + b on a flat input */
	QMD_LAYER_RELU = 4,
	QMD_LAYER_MAXPOOL = 5, /**< window `kernel`, step `stride`, no padding; what does not fill a window is dropped */
	QMD_LAYER_AVGPOOL = 6, /**< as maxpool */
	QMD_LAYER_GLOBAL_AVGPOOL = 7, /**< [h][w][c] to [1][1][c] */
	QMD_LAYER_BATCHNORM = 8,      /**< per channel; running statistics are used for inference */
	QMD_LAYER_DROPOUT = 9,        /**< inverted dropout: scaled by 1 / (1 - rate) in training, nothing in inference */
	QMD_LAYER_ADD = 10,           /**< sum of two inputs of one shape */
	QMD_LAYER_FLATTEN = 11,       /**< [h][w][c] to [h * w * c] */
	QMD_LAYER_SOFTMAX = 12        /**< over classes; the last layer; its input are the logits */
} qmd_layer_kind;

/** Padding of a convolution. */
typedef enum qmd_padding {
	QMD_PADDING_VALID = 1,   /**< none */
	QMD_PADDING_SAME = 2,    /**< output is ceil(input / stride); an odd pixel goes to bottom and right (TensorFlow) */
	QMD_PADDING_EXPLICIT = 3 /**< `pad_*` say */
} qmd_padding;

/** The layer before: the default of `inputs`. */
#define QMD_PREVIOUS (-1)

/** One layer. Initialize with qmd_layer_init(); only what its kind uses is read. */
typedef struct qmd_layer {
	uint32_t struct_size;
	int32_t kind;                /**< a qmd_layer_kind */
	const char *name;            /**< unique, at most 63 bytes; NULL: made from kind and number ("conv2d_1"). Copied */
	int32_t inputs[2];           /**< layers that feed it, as numbered by qmd_model_add(); the second for add only */
	uint32_t units;              /**< conv2d: filters; dense: outputs */
	uint32_t kernel_h, kernel_w; /**< conv2d, maxpool, avgpool; at least 1 */
	uint32_t stride_h, stride_w; /**< conv2d: default 1; maxpool, avgpool: default 0, which is the kernel */
	int32_t padding;             /**< conv2d: a qmd_padding; default valid */
	uint32_t pad_top, pad_left, pad_bottom,
		pad_right;  /**< with QMD_PADDING_EXPLICIT, each below the kernel; on reading a layer back: what is used */
	float rate;     /**< dropout: share that is dropped, 0 <= rate < 1 */
	float epsilon;  /**< batchnorm: default 1e-3 */
	float momentum; /**< batchnorm: share of the old running statistics; default 0.99 */
} qmd_layer;

/** Fill in defaults for a kind. @since 0.1 */
QMD_API void qmd_layer_init_sized(qmd_layer *layer, size_t size, int32_t kind);
#define qmd_layer_init(layer, kind) qmd_layer_init_sized((layer), sizeof *(layer), (kind))

/** Height, width and channels; a flat vector is 1, 1, n. */
typedef struct qmd_shape {
	uint32_t h, w, c;
} qmd_shape;

/**
 * New model with an input layer (number 0, named "input") and nothing else.
 *
 * @param input       every extent at least 1, their product below 2^31
 * @param[out] model  free with qmd_model_free()
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_RANGE; QMD_ERROR_MEMORY
 * @since 0.1
 */
QMD_API qmd_status qmd_model_create(qmd_shape input, qmd_model **model);

/**
 * A network by name, with weights drawn by seed.
 *
 * "icnnmd": conv 32 3x3 same - conv 32 3x3 valid - relu - maxpool 2 - dropout .25 - conv 64 3x3 same - relu - conv 64
 * 3x3 valid - relu - maxpool 2 - dropout .25 - flatten - dense 512 - relu - dropout .5 - dense n_classes - softmax.
 *
 * @param input       at least 10 x 10 for "icnnmd"
 * @param n_classes   at least 2
 * @param seed        as in qmd_model_initialize()
 * @param[out] model  free with qmd_model_free()
 * @return QMD_OK; QMD_ERROR_ARGUMENT for an unknown name; QMD_ERROR_RANGE; QMD_ERROR_SHAPE; QMD_ERROR_MEMORY
 * @since 0.1
 */
QMD_API qmd_status qmd_model_create_preset(const char *name, qmd_shape input, uint32_t n_classes, uint64_t seed,
										   qmd_model **model);

/**
 * Add a layer. Its weights are 0 until they are drawn or set.
 *
 * At most 1,024 layers; a layer's output and its weight have fewer than 2^31 elements each. A softmax reads the layer
 * before it and is the last.
 *
 * @param layer    copied
 * @param[out] id  its number, or NULL
 * @return QMD_OK; QMD_ERROR_ARGUMENT for a kind, padding, name or pair of inputs that cannot be; QMD_ERROR_RANGE for a
 *         number; QMD_ERROR_SHAPE if it does not fit its input; QMD_ERROR_STATE after a softmax, or once the model is
 *         bound or quantized; QMD_ERROR_MEMORY. The message names the layer, and the model is as before the call.
 * @since 0.1
 */
QMD_API qmd_status qmd_model_add(qmd_model *model, const qmd_layer *layer, int32_t *id);

/**
 * Draw all weights anew: uniform in +-1 / sqrt(fan_in) (Glorot and Bengio 2010, eq. 1; PyTorch's default), biases 0,
 * batchnorms as if they were not there.
 *
 * @param seed  the weights of a layer are a function of the seed, the layer's number and its shape, on every machine
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_STATE if the model is quantized
 * @since 0.1
 */
QMD_API qmd_status qmd_model_initialize(qmd_model *model, uint64_t seed);

/** Free a model; NULL is allowed. @since 0.1 */
QMD_API void qmd_model_free(qmd_model *model);

/** Number of layers, the input included; 0 for NULL. @since 0.1 */
QMD_API size_t qmd_model_n_layers(const qmd_model *model);

/**
 * A layer as it is used: inputs, strides and padding resolved, what its kind does not use 0 (inputs: -1).
 *
 * @param[in,out] layer  in: struct_size (qmd_layer_init() sets it); out: the layer, its name borrowed until the model
 * is freed; or NULL
 * @param[out] output    shape of its output, or NULL
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_RANGE beyond the last
 * @since 0.1
 */
QMD_API qmd_status qmd_model_layer(const qmd_model *model, size_t id, qmd_layer *layer, qmd_shape *output);

/** Number of trainable parameters. @since 0.1 */
QMD_API size_t qmd_model_n_parameters(const qmd_model *model);

/** Multiplications of one forward pass of one image, of conv2d and dense. @since 0.1 */
QMD_API uint64_t qmd_model_n_macs(const qmd_model *model);

/** Number of outputs of the last layer, or 0. @since 0.1 */
QMD_API size_t qmd_model_n_classes(const qmd_model *model);

/** Name of a class, or NULL if it has none; borrowed until the model is freed. @since 0.1 */
QMD_API const char *qmd_model_class_name(const qmd_model *model, size_t index);

/**
 * Read a layer's parameters.
 *
 * @param parameter   "weight", "bias"; of batchnorm "gamma", "beta", "mean", "variance"
 * @param[in,out] n   in: room in `values`; out: their number
 * @param[out] values or NULL to ask for the number
 * @return QMD_OK; QMD_ERROR_ARGUMENT if there is no such layer or parameter; QMD_ERROR_RANGE if `values` is too small
 *         (`n` is set)
 * @since 0.1
 */
QMD_API qmd_status qmd_model_parameters(const qmd_model *model, const char *layer, const char *parameter, size_t *n,
										float *values);

/**
 * Set a layer's parameters.
 *
 * @param n       exactly their number
 * @param values  n finite numbers, variances not negative; copied
 * @return QMD_OK; QMD_ERROR_ARGUMENT if there is no such layer or parameter; QMD_ERROR_SHAPE for another number;
 *         QMD_ERROR_RANGE (the message names the element); QMD_ERROR_STATE if the model is quantized
 * @since 0.1
 */
QMD_API qmd_status qmd_model_set_parameters(qmd_model *model, const char *layer, const char *parameter, size_t n,
											const float *values);

/**
 * Tie the model to pixels and to the names of its classes, as qmd_train() does; in place of those it was tied to.
 *
 * @param pixels       held, not copied; their side must be the input's, their type what the model was quantized for
 * @param class_names  qmd_model_n_classes() texts, none empty, copied; or NULL
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_SHAPE; QMD_ERROR_MEMORY. After an error the model is as before.
 * @since 0.1
 */
QMD_API qmd_status qmd_model_bind(qmd_model *model, qmd_pixels *pixels, const char *const *class_names);

/** The pixels the model is tied to, or NULL; borrowed until the model is freed. @since 0.1 */
QMD_API const qmd_pixels *qmd_model_pixels(const qmd_model *model);

/** 1 if the model carries quantization parameters (qmd_quantize()), else 0. @since 0.1 */
QMD_API int qmd_model_is_quantized(const qmd_model *model);

/**
 * Save graph, weights, pixels, class names and quantization parameters (docs/files.md).
 *
 * Atomic: whatever fails, a file that was there before stays whole.
 *
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_IO; QMD_ERROR_RANGE if a weight is not finite; QMD_ERROR_MEMORY
 * @since 0.1
 */
QMD_API qmd_status qmd_model_save(const qmd_model *model, const char *path);

/**
 * Load a model.
 *
 * @param[out] model  free with qmd_model_free()
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_IO; QMD_ERROR_FORMAT; QMD_ERROR_CORRUPT for a truncated or damaged file
 *         (the message names section and offset); QMD_ERROR_VERSION; QMD_ERROR_MEMORY
 * @since 0.1
 */
QMD_API qmd_status qmd_model_load(const char *path, qmd_model **model);

#ifdef __cplusplus
}
#endif

#endif
