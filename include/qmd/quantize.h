/**
 * @file quantize.h
 * From FP32 weights to integers: calibration and quantization-aware training (QAT).
 */
#ifndef QMD_QUANTIZE_H
#define QMD_QUANTIZE_H

#include <qmd/train.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How the range of an activation is found. */
typedef enum qmd_observer {
	QMD_OBSERVER_EMA_MAX = 1,   /**< exponential moving average of each batch's largest magnitude */
	QMD_OBSERVER_PERCENTILE = 2 /**< a percentile of the magnitudes over all calibration frames */
} qmd_observer;

/** How a model is quantized. Initialize with qmd_quantize_options_init(). */
typedef struct qmd_quantize_options {
	uint32_t struct_size;
	uint32_t weight_bits;     /**< 2 to 8; default 8. Below 8 the model runs in a predictor, not in an engine */
	uint32_t activation_bits; /**< 2 to 8; default 8 */
	int32_t observer;         /**< a qmd_observer; default QMD_OBSERVER_EMA_MAX */
	double percentile;        /**< for the percentile observer, 50 to 100; default 99.99 */
	int32_t linear_collapse;  /**< 1 (default): two convolutions with nothing between become one where that is exact and
								 cheaper */
	uint32_t epochs;          /**< fine-tuning with fake-quant; default 5; 0: calibration alone */
	double learning_rate;     /**< of fine-tuning, by Adam; default 1e-5; at 4 bits and below 1e-4 and 10 epochs
								 serve better */
	uint32_t batch_size;      /**< default 16 */
	uint64_t seed;            /**< default 1 */
	uint32_t n_threads;       /**< default 0: all that the process may use */
	qmd_progress_fn progress; /**< or NULL */
	void *user;               /**< handed to progress */
	const char *device;       /**< what computes, as in qmd_train_options */
} qmd_quantize_options;

/** Fill in defaults. @since 0.1 */
QMD_API void qmd_quantize_options_init_sized(qmd_quantize_options *options, size_t size);
#define qmd_quantize_options_init(options) qmd_quantize_options_init_sized((options), sizeof *(options))

/**
 * Quantize a trained model by symmetric per-channel quantization (docs/numerics.md).
 *
 * The passes, in order: dropout removal for inference, batch-norm folding, linear collapse; then calibration on the
 * training frames, then fine-tuning on them with fake-quant and straight-through gradients. The model itself is not
 * changed.
 *
 * @param model           bound to pixels (qmd_train() or qmd_model_bind())
 * @param[out] quantized  new model that carries the scales, bound as `model` is; free with qmd_model_free()
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_RANGE; QMD_ERROR_STATE if the model is not bound or already quantized;
 *         QMD_ERROR_UNSUPPORTED for a layer that cannot be quantized (the message names it), or without the device;
 *         QMD_ERROR_CANCELLED
 * @since 0.1
 */
QMD_API qmd_status qmd_quantize(const qmd_model *model, qmd_dataset *dataset, const qmd_split *split,
								const qmd_quantize_options *options, qmd_model **quantized);

/** Quantize on images from memory; as qmd_quantize(), for a model that need not be bound. @since 0.1 */
QMD_API qmd_status qmd_quantize_images(const qmd_model *model, const void *images, qmd_type image_type,
									   const uint32_t *labels, size_t n_images, const qmd_quantize_options *options,
									   qmd_model **quantized);

#ifdef __cplusplus
}
#endif

#endif
