/**
 * @file explain.h
 * Which residues drive the decision.
 */
#ifndef QMD_EXPLAIN_H
#define QMD_EXPLAIN_H

#include <qmd/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Scores of residues. Immutable. */
typedef struct qmd_explanation qmd_explanation;

/** How residues are scored. */
typedef enum qmd_explain_method {
	/** Leave-one-residue-out: margin(whole) - margin(without the residue). Exact, cheap, and blind to what two residues
	 * say alike: without either of them the margin stays. */
	QMD_EXPLAIN_LEAVE_ONE_OUT = 1,
	/** KernelSHAP (Lundberg and Lee 2017) with paired samples: the residue's Shapley value, its share of
	 * margin(whole) - margin(background); the shares of all residues add up to it. Signed and sampled. */
	QMD_EXPLAIN_SHAP = 2,
	/** Integrated gradients (Sundararajan, Taly and Yan 2017) from the background to the image, of a model in FP32: the
	 * sum over the residue's pixels. The scores of all residues add up to margin(whole) - margin(background). */
	QMD_EXPLAIN_INTEGRATED_GRADIENTS = 3,
	/** What ICNNMD does, for comparison: LIME (Ribeiro et al. 2016) over about 100 superpixels of the image (SLIC,
	 * Achanta et al. 2012), on the probability of the true class. A superpixel mixes several residues, since the image
	 * has atoms in file order. The score is the share of the residue's atoms in superpixels of positive weight, from 0
	 * to 1. Hidden superpixels are zero. Sampled. */
	QMD_EXPLAIN_SLIC_LIME = 4
} qmd_explain_method;

/** What a residue's pixels become where it is left out. */
typedef enum qmd_explain_background {
	/** What says nothing: no displacement, or the mean image of the training frames (qmd_pixels_background()). */
	QMD_BACKGROUND_PIXELS = 1,
	/** The mean image of the data set's frames of the states that are not the frame's own: scores then say what makes
	 * the frame its own state rather than another. */
	QMD_BACKGROUND_OTHER_STATES = 2
} qmd_explain_background;

/** How residues are scored. Initialize with qmd_explain_options_init(). */
typedef struct qmd_explain_options {
	uint32_t struct_size;
	uint32_t n_threads;       /**< default 1; 0 for all that the process may use */
	qmd_progress_fn progress; /**< or NULL */
	void *user;               /**< handed to progress */
	int32_t method;           /**< a qmd_explain_method; default QMD_EXPLAIN_LEAVE_ONE_OUT */
	uint32_t n_samples;       /**< SHAP: images a frame, rounded up to pairs, 4 a residue to 2^24; 0 (default): as many
								 as settle the frame's top 20 (qmd_explain_fit). Integrated gradients: steps along the
								 way, up to 2^24; 0: 32, then three times as many until the scores add up to within 1 %,
								 or where they cancel each other, to within 0.1 % of the sum of their magnitudes.
								 SLIC-LIME: 2 to 2^24; 0: 1000 */
	uint64_t seed;            /**< SHAP, SLIC-LIME: of the samples, which differ from frame to frame; default 1 */
	int32_t as_published; /**< SLIC-LIME: 1 for three defects of ICNNMD's script too: the network is given pixels from
							 0 to 255 (it was trained on 0 to 1), which takes qmd_explain_model(); atoms' scores
							 count for the residue of the atom before; the last residue has none. Default 0 */
	int32_t background;   /**< a qmd_explain_background; default QMD_BACKGROUND_PIXELS. SLIC-LIME hides by
							 zeros whatever it is */
	uint32_t n_segments;  /**< segments that are scored instead of residues; default 0: residues */
	const uint32_t *segment_of_residue; /**< or NULL; else the segment of each of the data set's residues, from 0 to
										   n_segments - 1, each with a residue of its own at least: domains, helices,
										   ranges. What the explanation has of residues it then has of segments, and
										   qmd_residue_score.residue is the first atom of the segment. Borrowed for the
										   call */
	uint32_t n_shards; /**< cut the frames into so many parts, at most as many as there are frames and 65536, and
						  score one of them (qmd_explanation_save()); 0 (default): score all */
	uint32_t shard;    /**< which of them, from 0 */
} qmd_explain_options;

/** Fill in defaults. @since 0.1 */
QMD_API void qmd_explain_options_init_sized(qmd_explain_options *options, size_t size);
#define qmd_explain_options_init(options) qmd_explain_options_init_sized((options), sizeof *(options))

/** One residue's score. Set struct_size to sizeof(qmd_residue_score) before the call that fills it. */
typedef struct qmd_residue_score {
	uint32_t struct_size;
	qmd_atom residue;      /**< its first atom: chain, number, insertion code and name */
	double score;          /**< mean over frames of what the method says of the margin of the true class; NaN: none
							  (as_published) */
	double standard_error; /**< of that mean over frames, the error of sampling within it; for one frame the error of
							  sampling, which leave-one-out does not have */
	uint32_t rank;         /**< 1 is the highest score; ties by order in the molecule; those without a score last */
	uint32_t n_atoms;      /**< its pixels */
} qmd_residue_score;

/** How the scores of one frame were sampled. Set struct_size to sizeof(qmd_explain_fit) before the call that fills it.
 */
typedef struct qmd_explain_fit {
	uint32_t struct_size;
	uint32_t n_samples; /**< images; 0: the method does not sample. Where their number is left to SHAP, they are doubled
						   until no more than one of the 20 highest residues leaves them, 5 times at most */
	int32_t is_settled; /**< SHAP: 1, or 0 if the 20 highest were still changing when it stopped */
	double r2; /**< share of the variance, over the samples, that a sum of scores explains; NaN where it is not fitted
				  or the samples do not vary */
} qmd_explain_fit;

/** What an explanation cost. Set struct_size to sizeof(qmd_explain_work) before the call that fills it. */
typedef struct qmd_explain_work {
	uint32_t struct_size;
	uint32_t reserved;     /**< 0 */
	uint64_t n_macs;       /**< multiplications that were done; 1 - n_macs / n_macs_whole is the share saved */
	uint64_t n_macs_whole; /**< those of computing each perturbed image whole */
} qmd_explain_work;

/**
 * Score residues: by leave-one-residue-out, or as the options say.
 *
 * The margin is the logit of the frame's own class minus the largest other. Where a residue is left out, its pixels are
 * set to the background of the options. A score is a mean over `frames`.
 *
 * @param frames    n_frames frames of the data set, at least 1
 * @param[out] explanation  free with qmd_explanation_free(); NULL after an error, but after QMD_ERROR_CANCELLED it
 *                          holds the frames that were scored by then, if there are any (qmd_explanation_n_frames())
 * @return QMD_OK; QMD_ERROR_ARGUMENT, also for a state that is none of the engine's classes, and for integrated
 *         gradients and as_published, which an engine does not have; QMD_ERROR_MATCH if the data set's atoms are not
 *         the engine's; QMD_ERROR_STATE for an engine without pixels or with one class, for a background of other
 *         states where there are none, for SHAP of one residue, and if its samples do not determine the scores;
 *         QMD_ERROR_CANCELLED; the errors of qmd_pixels_run_dataset()
 *
 * A residue none of whose atoms are in the data set has no pixels, and is not among the explanation's. A network that
 * says the same whatever it is shown has a score of 0 for every residue.
 *
 * Deterministic: the same for any number of threads, and a frame's part of the mean does not depend on the other
 * frames.
 * @since 0.1
 */
QMD_API qmd_status qmd_explain(const qmd_engine *engine, qmd_dataset *dataset, const uint32_t *frames, size_t n_frames,
							   const qmd_explain_options *options, qmd_explanation **explanation);

/**
 * Score residues by a model in FP32, or, of a quantized model, by what its integers stand for; as qmd_explain().
 *
 * @param model  tied to pixels and to the names of its classes, as qmd_train() or qmd_model_bind() leaves it; else
 *               QMD_ERROR_STATE, as for integrated gradients of a quantized model
 * @return as qmd_explain(), and QMD_ERROR_RANGE if 2592 steps of integrated gradients do not add up
 * @since 0.1
 */
QMD_API qmd_status qmd_explain_model(const qmd_model *model, qmd_dataset *dataset, const uint32_t *frames,
									 size_t n_frames, const qmd_explain_options *options,
									 qmd_explanation **explanation);

/**
 * The deletion curve of an order of residues (Petsiuk, Das and Saenko 2018): the mean margin as they are left out one
 * after another. The sooner it falls, the better the order says what the engine looks at; an order by chance is what to
 * compare with.
 *
 * @param order         the residues, first left out first, as indices in the order of the molecule; each once
 * @param n_steps       1 to the number of residues: how many more are left out at each step is as even as can be
 * @param options       its method, n_samples and seed say nothing here; NULL for the defaults
 * @param[out] margins  n_steps + 1: margins[i] is the mean over `frames` with the first i * n_residues / n_steps
 *                      (rounded down) of the order left out
 * @return QMD_OK; QMD_ERROR_ARGUMENT for an order or a number of steps that is none; else as qmd_explain(), margins
 *         untouched
 * @since 0.1
 */
QMD_API qmd_status qmd_explain_deletion(const qmd_engine *engine, qmd_dataset *dataset, const uint32_t *frames,
										size_t n_frames, const uint32_t *order, size_t n_steps,
										const qmd_explain_options *options, double *margins);

/**
 * Save a shard: an explanation that was made with n_shards set.
 *
 * @param note  a text that qmd_explanation_note() gives back, for example where the data are; all shards of a run must
 *              have the same; NULL for none
 * @param path  the file; replaced at once, an old one stays whole if that fails
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_STATE if it is no shard; QMD_ERROR_RANGE for a note of 1 MiB or more;
 *         QMD_ERROR_IO
 *
 * A cancelled explanation may be saved too: qmd_explanation_merge() says that it is not whole.
 * @since 0.1
 */
QMD_API qmd_status qmd_explanation_save(const qmd_explanation *explanation, const char *note, const char *path);

/**
 * Load a shard.
 *
 * @param[out] explanation  free with qmd_explanation_free()
 * @return QMD_OK; QMD_ERROR_IO; QMD_ERROR_FORMAT for a file that is no shard or contradicts itself; QMD_ERROR_VERSION
 *         for a newer one; QMD_ERROR_CORRUPT for a damaged one
 * @since 0.1
 */
QMD_API qmd_status qmd_explanation_load(const char *path, qmd_explanation **explanation);

/** The note that a shard was saved with, or ""; borrowed until the explanation is freed. @since 0.1 */
QMD_API const char *qmd_explanation_note(const qmd_explanation *explanation);

/**
 * Put the shards of a run together: what comes out is that of one run over all its frames, bit for bit.
 *
 * @param shards  n shards, loaded or as they were made, in any order; they stay the caller's
 * @param[out] explanation  free with qmd_explanation_free(); its note is theirs
 * @return QMD_OK; QMD_ERROR_ARGUMENT if one is missing, there twice, or of another engine, data set, list of frames or
 *         options than the first; QMD_ERROR_STATE if one was interrupted. The message names the file
 * @since 0.1
 */
QMD_API qmd_status qmd_explanation_merge(const qmd_explanation *const *shards, size_t n, qmd_explanation **explanation);

/** Free an explanation; NULL is allowed. @since 0.1 */
QMD_API void qmd_explanation_free(qmd_explanation *explanation);

/** Number of residues. @since 0.1 */
QMD_API size_t qmd_explanation_n_residues(const qmd_explanation *explanation);

/** One residue, in the order of the molecule. QMD_ERROR_RANGE beyond the last. @since 0.1 */
QMD_API qmd_status qmd_explanation_residue(const qmd_explanation *explanation, size_t index, qmd_residue_score *score);

/** Number of frames that were scored; 0 for NULL. @since 0.1 */
QMD_API size_t qmd_explanation_n_frames(const qmd_explanation *explanation);

/** What the method says of each single frame, [n_frames][n_residues], frames in the order they were given in; borrowed
 * until the explanation is freed. @since 0.1 */
QMD_API const double *qmd_explanation_frame_scores(const qmd_explanation *explanation);

/** How the scores of the index-th frame were sampled. QMD_ERROR_RANGE beyond the last. @since 0.1 */
QMD_API qmd_status qmd_explanation_fit(const qmd_explanation *explanation, size_t index, qmd_explain_fit *fit);

/** What sampling leaves uncertain of the scores of each single frame, [n_frames][n_residues] standard errors; zeros for
 * a method that has no such error or does not tell it (SLIC-LIME). Borrowed until the explanation is freed. @since 0.1
 */
QMD_API const double *qmd_explanation_frame_errors(const qmd_explanation *explanation);

/** What it cost. Leave-one-residue-out of an engine computes again only what a residue's pixels reach. @since 0.1 */
QMD_API qmd_status qmd_explanation_work(const qmd_explanation *explanation, qmd_explain_work *work);

#ifdef __cplusplus
}
#endif

#endif
