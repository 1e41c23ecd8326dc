/**
 * @file train.h
 * FP32 training and FP32 inference: on the CPU by oneDNN, on NVIDIA GPUs by cuDNN and cuBLAS.
 */
#ifndef QMD_TRAIN_H
#define QMD_TRAIN_H

#include <qmd/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How weights follow gradients. */
typedef enum qmd_optimizer {
	QMD_OPTIMIZER_ADAM = 1,   /**< Kingma and Ba 2015, with bias correction */
	QMD_OPTIMIZER_RMSPROP = 2 /**< Hinton's lecture 6e: rho 0.9, no momentum */
} qmd_optimizer;

/** How a model is trained. Initialize with qmd_train_options_init(). */
typedef struct qmd_train_options {
	uint32_t struct_size;
	int32_t optimizer;            /**< a qmd_optimizer; default Adam */
	double learning_rate;         /**< default 3e-4 */
	double beta1, beta2;          /**< Adam: 0.9, 0.999; RMSprop: beta2 is rho (set it to 0.9) */
	double epsilon;               /**< default 1e-7 */
	double weight_decay;          /**< decoupled (AdamW), of weights of conv2d and dense; default 0 */
	uint32_t batch_size;          /**< default 16 */
	uint32_t epochs;              /**< at most so many; default 30 */
	double target_loss;           /**< stop after an epoch whose mean training loss is below; default 0.05; 0: never */
	uint32_t patience;            /**< stop after so many epochs without a lower training loss; 0 (default): never */
	uint64_t seed;                /**< order of the frames and dropout masks; default 1 */
	uint32_t n_threads;           /**< default 0: all that the process may use. More than 1 are refused with
									 QMD_ERROR_STATE in a process that was forked after they had been used */
	const char *checkpoint_path;  /**< saved after every checkpoint_interval epochs, and read at the start if it is
									 there; or NULL */
	uint32_t checkpoint_interval; /**< default 1 */
	qmd_progress_fn progress;     /**< or NULL */
	void *user;                   /**< handed to progress */
	const char *device;           /**< what computes: "cpu" (or NULL, the default), "cuda" for the thread's current
									 GPU, "cuda:N", or "reference", scalar loops on one thread, for checking the
									 others. Seed and frames give the same batches and masks on each */
} qmd_train_options;

/** Fill in defaults. @since 0.1 */
QMD_API void qmd_train_options_init_sized(qmd_train_options *options, size_t size);
#define qmd_train_options_init(options) qmd_train_options_init_sized((options), sizeof *(options))

/**
 * Train a model on the training frames of a split with cross-entropy, from the weights it has, and bind it to the
 * pixels.
 *
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_SHAPE if the model does not fit the pixels or the number of states;
 *         QMD_ERROR_STATE if the model is quantized, or the checkpoint is of another training; QMD_ERROR_RANGE if the
 *         loss stops being finite, a batch has 2^31 numbers or more in a layer, or there is no GPU of that number;
 *         QMD_ERROR_UNSUPPORTED without the device, its driver or its libraries;
 *         QMD_ERROR_MEMORY, saying what batch would fit a GPU; QMD_ERROR_CANCELLED; the errors of qmd_dataset_read()
 *
 * After QMD_ERROR_CANCELLED the model has the weights it had reached, after any other error those it came with. A
 * checkpoint goes on on any device; on the device that began it, to the same bits.
 * @since 0.1
 */
QMD_API qmd_status qmd_train(qmd_model *model, qmd_dataset *dataset, const qmd_split *split, qmd_pixels *pixels,
							 const qmd_train_options *options);

/**
 * Train on images from memory; as qmd_train(), without binding.
 *
 * @param images      n_images * h * w * c bytes, NHWC; borrowed for the call
 * @param image_type  QMD_S8 (a step is 1/127) or QMD_U8 (a step is 1/255)
 * @param labels      n_images classes, each below the number of classes
 * @since 0.1
 */
QMD_API qmd_status qmd_train_images(qmd_model *model, const void *images, qmd_type image_type, const uint32_t *labels,
									size_t n_images, const qmd_train_options *options);

/** Inference of a model, with its buffers. For one thread at a time. In FP32 it computes of a quantized model the
 * fake-quantized network: what the integers stand for, in floats. */
typedef struct qmd_predictor qmd_predictor;

/** How a predictor computes. Initialize with qmd_predictor_options_init(). */
typedef struct qmd_predictor_options {
	uint32_t struct_size;
	uint32_t batch_size; /**< images at a time; a last batch is filled up; default 32 */
	uint32_t n_threads;  /**< default 0: all that the process may use */
	const char *device;  /**< as in qmd_train_options */
	/**
	 * What computes: "fp32" (or NULL, the default), or one of NVIDIA's libraries as they are, to compare libqmd's own
	 * kernels with: "cudnn-fp16" (weights and activations in FP16, sums in FP32; of a model that is not quantized,
	 * batch normalizations folded) or "cudnn-int8" (of a quantized one, by its scales, 8 bits; sums in INT32). These
	 * take a device "cuda" (their default) or "cuda:N". A layer that cuDNN or cuBLAS refuses in a type is computed in
	 * the next wider one: qmd_predictor_layer_info() tells. Neither is exact: "cudnn-int8" differs from an engine by
	 * cuDNN's rounding to INT8 and by the layers that are not computed in it.
	 */
	const char *engine;
} qmd_predictor_options;

/** Fill in defaults. @since 0.1 */
QMD_API void qmd_predictor_options_init_sized(qmd_predictor_options *options, size_t size);
#define qmd_predictor_options_init(options) qmd_predictor_options_init_sized((options), sizeof *(options))

/**
 * New predictor; the weights are copied.
 *
 * @param options  NULL for the defaults
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_SHAPE if the model has no layer beside its input; QMD_ERROR_RANGE for
 *         a GPU that is not there, or a batch of 2^31 numbers or more in a layer; QMD_ERROR_UNSUPPORTED without the
 * device, its driver or its libraries, for an engine on a device that is none of its, or for a layer that it does not
 * have; QMD_ERROR_STATE if a model is quantized for "cudnn-fp16" or not for "cudnn-int8"; QMD_ERROR_MEMORY
 * @since 0.1
 */
QMD_API qmd_status qmd_predictor_create(const qmd_model *model, const qmd_predictor_options *options,
										qmd_predictor **predictor);

/** Free a predictor; NULL is allowed. @since 0.1 */
QMD_API void qmd_predictor_free(qmd_predictor *predictor);

/**
 * Images to logits and probabilities.
 *
 * @param images              n * h * w * c bytes of `image_type`, NHWC
 * @param[out] logits         n * n_classes floats, or NULL
 * @param[out] probabilities  n * n_classes floats, or NULL
 * @since 0.1
 */
QMD_API qmd_status qmd_predictor_run_images(qmd_predictor *predictor, const void *images, qmd_type image_type, size_t n,
											float *logits, float *probabilities);

/** Frames to logits and probabilities; the model must be bound to pixels. @since 0.1 */
QMD_API qmd_status qmd_predictor_run(qmd_predictor *predictor, const qmd_frame *frames, size_t n, float *logits,
									 float *probabilities);

/** A layer as a predictor computes it. Texts are borrowed until the predictor is freed. */
typedef struct qmd_predictor_layer {
	uint32_t struct_size;
	const char *name;        /**< the model's */
	const char *computed_by; /**< for people to read: "cuDNN FP16 conv+bias+ReLU", and what was refused, in the words
								of who refused it */
	uint32_t computed_with;  /**< the number of the layer whose computation does it too: a convolution's, of the ReLU
								behind it; its own for all others */
} qmd_predictor_layer;

/** Layers of the model as it is computed: without batch normalizations that were folded. 0 for NULL. @since 0.1 */
QMD_API size_t qmd_predictor_n_layers(const qmd_predictor *predictor);

/** One layer. QMD_ERROR_RANGE beyond the last; QMD_ERROR_ARGUMENT for a struct_size that no version had. @since 0.1 */
QMD_API qmd_status qmd_predictor_layer_info(const qmd_predictor *predictor, size_t index, qmd_predictor_layer *layer);

/**
 * Time runs of the same images: what qmd_predictor_run_images() costs.
 *
 * @param images      n * h * w * c bytes of `image_type`, NHWC
 * @param n           1 to the batch size; the batch is filled up
 * @param n_repeats   1 to 100,000. With "fp32" each is one run, whose parts are not told apart; with the other engines
 *                    two, one as a whole for `total`, and one in parts with the device's clock between them
 * @param[out] times  n_repeats
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_RANGE; QMD_ERROR_MEMORY; the errors of qmd_predictor_run_images()
 * @since 0.1
 */
QMD_API qmd_status qmd_predictor_time(qmd_predictor *predictor, const void *images, qmd_type image_type, size_t n,
									  uint32_t n_repeats, qmd_run_time *times);

/**
 * Time every layer, launch by launch, by the device's clock. As qmd_predictor_time().
 *
 * @param[out] times  qmd_predictor_n_layers() * n_repeats seconds; 0 for a layer that another one computes
 * @return also QMD_ERROR_UNSUPPORTED with "fp32"
 * @since 0.1
 */
QMD_API qmd_status qmd_predictor_time_layers(qmd_predictor *predictor, const void *images, qmd_type image_type,
											 size_t n, uint32_t n_repeats, double *times);

#ifdef __cplusplus
}
#endif

#endif
