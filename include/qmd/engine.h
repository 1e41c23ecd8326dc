/* clang-format off */
/**
 * @file engine.h
 * The INT8 engine: raw coordinates in, class probabilities out. All that an MD code needs.
 *
 *     qmd_engine *engine;
 *     qmd_context *context;
 *     qmd_engine_load("fold-1.qme", &engine);
 *     qmd_context_create(engine, NULL, &context);
 *     qmd_engine_match(engine, atoms, n_atoms, indices);    // once: where the engine's atoms stand in the host's order
 *
 *     qmd_frame frame;
 *     qmd_frame_init(&frame);
 *     frame.xyz = x; frame.type = QMD_F64; frame.unit = QMD_NM; frame.n_atoms = n_atoms; frame.indices = indices;
 *     frame.box = box;
 *     qmd_context_run(context, &frame, 1, probabilities);   // each step
 */
/* clang-format on */
#ifndef QMD_ENGINE_H
#define QMD_ENGINE_H

#include <qmd/quantize.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A compiled network: pixels, plan, packed weights. Immutable: any number of threads may share it. Counted: a context
 * keeps its engine alive, so the order in which they are freed does not matter. */
typedef struct qmd_engine qmd_engine;

/** What one thread needs to run an engine. Running allocates nothing. */
typedef struct qmd_context qmd_context;

/** How an engine is compiled. Initialize with qmd_engine_options_init(). */
typedef struct qmd_engine_options {
	uint32_t struct_size;
	int32_t fuse; /**< 1 (default): bias, ReLU and 2x2 maxpool are fused into the convolution before them */
} qmd_engine_options;

/** Fill in defaults. @since 0.1 */
QMD_API void qmd_engine_options_init_sized(qmd_engine_options *options, size_t size);
#define qmd_engine_options_init(options) qmd_engine_options_init_sized((options), sizeof *(options))

/**
 * Compile a quantized model.
 *
 * @param quantized  from qmd_quantize() at 8 bits; bound to pixels if frames are to be run. Copied
 * @param options    NULL for the defaults
 * @return QMD_OK; QMD_ERROR_STATE if the model is not quantized; QMD_ERROR_UNSUPPORTED for other widths than 8 bits;
 *         QMD_ERROR_RANGE if a layer's int32 accumulator could overflow (the message names it)
 * @since 0.1
 */
QMD_API qmd_status qmd_engine_compile(const qmd_model *quantized, const qmd_engine_options *options,
									  qmd_engine **engine);

/** Save an engine; atomic. What is saved does not depend on the machine. @since 0.1 */
QMD_API qmd_status qmd_engine_save(const qmd_engine *engine, const char *path);

/**
 * Load an engine and pack its weights for this machine's best kernels.
 *
 * The environment variable QMD_MAX_ISA (ref, avx2, avx512bw, avxvnni, avx512vnni) forbids better ones.
 * @return QMD_OK; QMD_ERROR_IO; QMD_ERROR_FORMAT; QMD_ERROR_CORRUPT (the message names section and offset);
 *         QMD_ERROR_VERSION
 * @since 0.1
 */
QMD_API qmd_status qmd_engine_load(const char *path, qmd_engine **engine);

/** Give up one hold on an engine; NULL is allowed. @since 0.1 */
QMD_API void qmd_engine_free(qmd_engine *engine);

/** Number of classes. @since 0.1 */
QMD_API size_t qmd_engine_n_classes(const qmd_engine *engine);

/** Name of a class ("" if it has none), or NULL beyond the last; borrowed until the engine is freed. @since 0.1 */
QMD_API const char *qmd_engine_class_name(const qmd_engine *engine, size_t index);

/** The pixels of the engine, or NULL if it was compiled without; borrowed until the engine is freed. @since 0.1 */
QMD_API const qmd_pixels *qmd_engine_pixels(const qmd_engine *engine);

/** Number of atoms the engine looks at; 0 without pixels. @since 0.1 */
QMD_API size_t qmd_engine_n_atoms(const qmd_engine *engine);

/** One of these atoms, to be found in the host's list. QMD_ERROR_RANGE beyond the last. @since 0.1 */
QMD_API qmd_status qmd_engine_atom(const qmd_engine *engine, size_t index, qmd_atom *atom);

/**
 * Find the engine's atoms in the host's list, by chain, residue number, insertion code, residue name and atom name.
 *
 * @param atoms         n_atoms atoms of the host; where no atom of the host has a chain, chains are not compared
 * @param[out] indices  qmd_engine_n_atoms() indices into `atoms`, for qmd_frame.indices
 * @return QMD_OK; QMD_ERROR_MATCH if one is missing or found twice (the message names it)
 * @since 0.1
 */
QMD_API qmd_status qmd_engine_match(const qmd_engine *engine, const qmd_atom *atoms, size_t n_atoms, uint32_t *indices);

/** One step of an engine's plan. Texts are borrowed until the engine is freed. */
typedef struct qmd_engine_layer {
	uint32_t struct_size;
	const char *name;   /**< source layers, joined by '+': "conv2d_1+conv2d_2+relu_1+maxpool_1" */
	const char *op;     /**< "conv2d", "dense", "maxpool", "avgpool", "add", "softmax" */
	const char *kernel; /**< the kernel that this machine runs: "conv_x8s8_avx512vnni", ... */
	qmd_shape input, output;
	uint64_t n_macs;       /**< multiplications done for one image; what a fused pool would drop is not */
	uint64_t weight_bytes; /**< packed */
	float output_scale;    /**< real = scale * q; 0 where the output is float */
	int32_t inputs[2];     /**< the steps whose outputs it reads; -1: the image, -2: no such input */
	const char *why;       /**< how the kernel was chosen, for people to read */
} qmd_engine_layer;

/** Number of steps of the plan. @since 0.1 */
QMD_API size_t qmd_engine_n_layers(const qmd_engine *engine);

/** One step of the plan. QMD_ERROR_RANGE beyond the last. @since 0.1 */
QMD_API qmd_status qmd_engine_layer_info(const qmd_engine *engine, size_t index, qmd_engine_layer *layer);

/** What the compiler's passes did, one line each; borrowed until the engine is freed. @since 0.1 */
QMD_API const char *qmd_engine_passes(const qmd_engine *engine);

/**
 * The host's own way to run tasks 0 .. n_tasks-1 of a job in parallel. It calls task(job, index, worker) once for each
 * index, in any order, on any threads, and returns when all are done.
 *
 * `worker` numbers the thread that runs a task: below the context's n_threads, and not the same for two tasks at a
 * time. Where an index or a worker is out of range, or the number of tasks run is not n_tasks, the run ends with
 * QMD_ERROR_ARGUMENT, and the context may be run again.
 */
typedef void (*qmd_parallel_fn)(void *user, void (*task)(void *job, size_t index, size_t worker), void *job,
								size_t n_tasks);

/** Where the arrays lie that a host hands in, or wants filled. */
typedef enum qmd_memory {
	QMD_MEMORY_HOST = 1,  /**< memory of the process */
	QMD_MEMORY_DEVICE = 2 /**< memory of the context's device */
} qmd_memory;

/** How a context is made. Initialize with qmd_context_options_init(). */
typedef struct qmd_context_options {
	uint32_t struct_size;
	uint32_t n_threads; /**< default 1; 0: all that the process may use. With more than one the context has a pool of
						   its own, made anew after a fork */
	uint32_t max_batch; /**< images computed at a time; any number may be run. Default 32 */
	const char *device; /**< "cpu" (default, also NULL); "cuda": the calling thread's current CUDA device; "cuda:N" */
	void *stream; /**< CUDA stream (cudaStream_t, CUstream) of that device, the host's own, that runs go to; borrowed
					 until the context is freed. NULL (default): one of the context's own. NULL on the CPU */
	/** Runs the work on the host's threads, at most n_threads at a time; the context then has no pool. NULL (default):
	 * a pool of its own. Called by the thread that runs the context. */
	qmd_parallel_fn parallel;
	void *parallel_user;   /**< handed to `parallel` */
	int32_t input_memory;  /**< a qmd_memory: where qmd_frame.xyz and images lie; default QMD_MEMORY_HOST, the only one
							  on the CPU. Frames themselves, their indices and boxes are always the host's */
	int32_t output_memory; /**< a qmd_memory: where qmd_output.data and probabilities lie; default QMD_MEMORY_HOST. With
							  QMD_MEMORY_DEVICE a run returns before its work is done: see qmd_context_wait() */
	int32_t graph;         /**< CUDA: 1 (default): one graph a batch; 0: kernels are launched one by one */
} qmd_context_options;

/** Fill in defaults. @since 0.1 */
QMD_API void qmd_context_options_init_sized(qmd_context_options *options, size_t size);
#define qmd_context_options_init(options) qmd_context_options_init_sized((options), sizeof *(options))

/**
 * New context.
 *
 * @param options  NULL for the defaults
 * @return QMD_OK; QMD_ERROR_ARGUMENT for a device, a stream or memory that do not go together; QMD_ERROR_RANGE for a
 *         number of threads, images or a device that cannot be; QMD_ERROR_UNSUPPORTED for "cuda" where libqmd was built
 *         without it, where there is no driver or no device, or an old one (the message says which); QMD_ERROR_MEMORY,
 *         of the host or of the device
 *
 * An engine with a layer that CUDA has no kernel for runs on the CPU as a whole: qmd_context_device_info() and a
 * warning in the log say so. With input or output in device memory that cannot be, and is QMD_ERROR_UNSUPPORTED.
 *
 * CUDA: contexts of one engine on one device share its weights there. No call leaves the thread with another current
 * device or context than it had. docs/cuda.md says more. @since 0.1
 */
QMD_API qmd_status qmd_context_create(const qmd_engine *engine, const qmd_context_options *options,
									  qmd_context **context);

/** Free a context, when the work given to it is done; NULL is allowed. @since 0.1 */
QMD_API void qmd_context_free(qmd_context *context);

/** What a context runs on; texts are borrowed until the context is freed. Set struct_size to sizeof(qmd_context_device)
 * before the call that fills it. */
typedef struct qmd_context_device {
	uint32_t struct_size;
	uint32_t n_launches;   /**< CUDA: kernels that a batch launches, from coordinates to probabilities; 0 on the CPU */
	const char *device;    /**< "cpu", or "cuda:N" */
	const char *name;      /**< CUDA: of the device, as its driver has it; "" on the CPU */
	const char *note;      /**< why it is not the device that was asked for; "" if it is */
	uint64_t weight_bytes; /**< CUDA: on the device, shared by the contexts of an engine; 0 on the CPU */
	uint64_t memory_bytes; /**< CUDA: on the device, the context's own; 0 on the CPU */
} qmd_context_device;

/** What a context runs on. QMD_ERROR_ARGUMENT if struct_size is not set. @since 0.1 */
QMD_API qmd_status qmd_context_device_info(const qmd_context *context, qmd_context_device *device);

/** The kernel that computes a step of the plan in this context, or NULL beyond the last; "" where the launch of the
 * step before it does it too. Borrowed until the context is freed. @since 0.1 */
QMD_API const char *qmd_context_kernel(const qmd_context *context, size_t index);

/**
 * Frames to class probabilities.
 *
 * @param frames              n_frames frames
 * @param[out] probabilities  n_frames * n_classes floats
 * @return QMD_OK; QMD_ERROR_STATE if the engine has no pixels; the errors of qmd_pixels_run()
 * @since 0.1
 */
QMD_API qmd_status qmd_context_run(qmd_context *context, const qmd_frame *frames, size_t n_frames,
								   float *probabilities);

/**
 * Wait until all that was given to a context is done.
 *
 * @return QMD_OK; QMD_ERROR_RANGE if since the last wait a frame could not be rendered (the message names the first in
 *         its run, and the atom); what else went wrong on the device
 *
 * Needed with output in device memory, where a run ends before its outcome is known: what was written for such a frame
 * has no meaning. Elsewhere there is nothing to wait for. @since 0.1
 */
QMD_API qmd_status qmd_context_wait(qmd_context *context);

/** A named output and where it goes. */
typedef struct qmd_output {
	const char *name; /**< "logits" or "probabilities" */
	float *data;      /**< n * qmd_engine_n_classes() floats */
} qmd_output;

/** Frames to the outputs that are asked for by name; as qmd_context_run(). @since 0.1 */
QMD_API qmd_status qmd_context_run_outputs(qmd_context *context, const qmd_frame *frames, size_t n_frames,
										   const qmd_output *outputs, size_t n_outputs);

/**
 * Images to the outputs that are asked for by name.
 *
 * @param images  n_images * h * w * c bytes of qmd_engine_image_type(), NHWC
 * @since 0.1
 */
QMD_API qmd_status qmd_context_run_images(qmd_context *context, const void *images, size_t n_images,
										  const qmd_output *outputs, size_t n_outputs);

/**
 * Time each step of the plan on images: where a run spends its time.
 *
 * The images go through the plan as one batch, once to warm up and then `repeats` times, by wall clock, with the
 * context's threads.
 *
 * @param images        n_images * h * w * c bytes of qmd_engine_image_type(), NHWC
 * @param n_images      1 to the context's max_batch
 * @param repeats       1 to 100,000
 * @param[out] seconds  qmd_engine_n_layers() numbers: the median time of each step, for all n_images together
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_RANGE; QMD_ERROR_MEMORY
 *
 * Unlike a run it allocates. Copying the images in is in none of the steps. @since 0.1
 */
QMD_API qmd_status qmd_context_profile(qmd_context *context, const void *images, size_t n_images, uint32_t repeats,
									   double *seconds);

/**
 * Time runs of the same frames: what qmd_context_run() costs at each step.
 *
 * @param frames     n_frames frames
 * @param n_frames   1 to the context's max_batch
 * @param n_repeats  1 to 100,000. On the CPU each is one run; with CUDA two, one as a whole for `total`, and one in
 *                   parts with the device's clock between them
 * @param[out] times  n_repeats
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_RANGE; QMD_ERROR_MEMORY; the errors of qmd_context_run()
 * @since 0.1
 */
QMD_API qmd_status qmd_context_time(qmd_context *context, const qmd_frame *frames, size_t n_frames, uint32_t n_repeats,
									qmd_run_time *times);

/** Shape of the network's input. @since 0.1 */
QMD_API qmd_shape qmd_engine_image_shape(const qmd_engine *engine);

/** Type of the network's input: QMD_S8 or QMD_U8. @since 0.1 */
QMD_API qmd_type qmd_engine_image_type(const qmd_engine *engine);

#ifdef __cplusplus
}
#endif

#endif
