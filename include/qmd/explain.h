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

/** How residues are scored. Initialize with qmd_explain_options_init(). */
typedef struct qmd_explain_options {
	uint32_t struct_size;
	uint32_t n_threads;       /**< default 1; 0 for all that the process may use */
	qmd_progress_fn progress; /**< or NULL */
	void *user;               /**< handed to progress */
} qmd_explain_options;

/** Fill in defaults. @since 0.1 */
QMD_API void qmd_explain_options_init_sized(qmd_explain_options *options, size_t size);
#define qmd_explain_options_init(options) qmd_explain_options_init_sized((options), sizeof *(options))

/** One residue's score. Set struct_size to sizeof(qmd_residue_score) before the call that fills it. */
typedef struct qmd_residue_score {
	uint32_t struct_size;
	qmd_atom residue;      /**< its first atom: chain, number, insertion code and name */
	double score;          /**< mean over frames of how much the margin of the true class falls without the residue */
	double standard_error; /**< of that mean over frames; 0 for one frame */
	uint32_t rank;         /**< 1 is the highest score; ties by order in the molecule */
	uint32_t n_atoms;      /**< its pixels */
} qmd_residue_score;

/**
 * Score residues by leave-one-residue-out.
 *
 * The margin is the logit of the frame's own class minus the largest other. A residue's pixels are set to the
 * background (qmd_pixels_background()), and the score is the mean over `frames` of margin(whole) - margin(without).
 *
 * @param frames    n_frames frames of the data set, at least 1
 * @param[out] explanation  free with qmd_explanation_free()
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_MATCH if the data set's atoms are not the engine's; QMD_ERROR_CANCELLED
 *
 * Deterministic: the same for any number of threads. @since 0.1
 */
QMD_API qmd_status qmd_explain(const qmd_engine *engine, qmd_dataset *dataset, const uint32_t *frames, size_t n_frames,
							   const qmd_explain_options *options, qmd_explanation **explanation);

/** Free an explanation; NULL is allowed. @since 0.1 */
QMD_API void qmd_explanation_free(qmd_explanation *explanation);

/** Number of residues. @since 0.1 */
QMD_API size_t qmd_explanation_n_residues(const qmd_explanation *explanation);

/** One residue, in the order of the molecule. QMD_ERROR_RANGE beyond the last. @since 0.1 */
QMD_API qmd_status qmd_explanation_residue(const qmd_explanation *explanation, size_t index, qmd_residue_score *score);

#ifdef __cplusplus
}
#endif

#endif
