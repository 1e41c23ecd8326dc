/**
 * @file onnx.h
 * Models as ONNX files: out to other runtimes and in from other frameworks (docs/onnx.md).
 */
#ifndef QMD_ONNX_H
#define QMD_ONNX_H

#include <qmd/quantize.h>

#ifdef __cplusplus
extern "C" {
#endif

/** For whom a quantized model is written. A model in FP32 is written alike for all. */
typedef enum qmd_onnx_target {
	/** ONNX Runtime and OpenVINO: the integers of the engine, layer by layer; the input is the bytes of an image. */
	QMD_ONNX_TARGET_DEFAULT = 1,
	/** TensorRT: s8 only, biases in float, the layers that read a u8 image in float; the input is real numbers. */
	QMD_ONNX_TARGET_TENSORRT = 2
} qmd_onnx_target;

/** Order of the extents of the input. */
typedef enum qmd_onnx_layout {
	QMD_ONNX_NCHW = 1, /**< [N][c][h][w], what ONNX computes in */
	QMD_ONNX_NHWC = 2  /**< [N][h][w][c], what libqmd computes in; the file begins with a transposition */
} qmd_onnx_layout;

/** How a model is written. Initialize with qmd_onnx_export_options_init(). */
typedef struct qmd_onnx_export_options {
	uint32_t struct_size;
	int32_t target;           /**< a qmd_onnx_target */
	int32_t layout;           /**< a qmd_onnx_layout; default NCHW */
	uint32_t opset;           /**< version of the operators, 13 (default) to 17 */
	int32_t activations_type; /**< QMD_S8 (default), or QMD_U8 around a zero point of 128: the same integers, which some
								 runtimes compute faster; not for TensorRT */
} qmd_onnx_export_options;

/** Fill in defaults. @since 0.1 */
QMD_API void qmd_onnx_export_options_init_sized(qmd_onnx_export_options *options, size_t size);
#define qmd_onnx_export_options_init(options) qmd_onnx_export_options_init_sized((options), sizeof *(options))

/**
 * Write a model as an ONNX file; atomic. The same model gives the same bytes.
 *
 * A quantized model is written with QuantizeLinear and DequantizeLinear around its layers, one weight scale a channel;
 * a model in FP32 as it is. The input is called "image", the outputs "logits" and, where the model ends in a softmax,
 * "probabilities".
 *
 * @param options  NULL for the defaults
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_RANGE for an opset beyond 13 to 17; QMD_ERROR_STATE for a model without
 *         layers; QMD_ERROR_UNSUPPORTED if activations are quantized to less than 8 bits, or if the file would exceed
 *         the 2 GiB that the format can hold; QMD_ERROR_IO
 * @since 0.1
 */
QMD_API qmd_status qmd_onnx_export(const qmd_model *model, const qmd_onnx_export_options *options, const char *path);

/** How a file is read. Initialize with qmd_onnx_import_options_init(). */
typedef struct qmd_onnx_import_options {
	uint32_t struct_size;
	int32_t clip_weights; /**< 0 (default): a quantized weight of -128 is refused; 1: it becomes -127 */
} qmd_onnx_import_options;

/** Fill in defaults. @since 0.1 */
QMD_API void qmd_onnx_import_options_init_sized(qmd_onnx_import_options *options, size_t size);
#define qmd_onnx_import_options_init(options) qmd_onnx_import_options_init_sized((options), sizeof *(options))

/**
 * Read an ONNX file as a model: quantized if the file has QuantizeLinear nodes, else in FP32.
 *
 * Layers take the names of their nodes where these are fit. docs/onnx.md lists the operators, and what is converted.
 *
 * @param options     NULL for the defaults
 * @param[out] model  new; not bound to pixels. Free with qmd_model_free()
 * @return QMD_OK; QMD_ERROR_IO; QMD_ERROR_FORMAT if the file is not ONNX or contradicts itself; QMD_ERROR_UNSUPPORTED
 *         for an operator, an attribute, a type or a quantization that a model cannot express (the message names the
 *         node and its operator); QMD_ERROR_SHAPE; QMD_ERROR_RANGE for numbers that are not finite, for scales that are
 *         0, and for weights of -128
 * @since 0.1
 */
QMD_API qmd_status qmd_onnx_import(const char *path, const qmd_onnx_import_options *options, qmd_model **model);

#ifdef __cplusplus
}
#endif

#endif
