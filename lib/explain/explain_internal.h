/*
 * A job of explaining: frames are shared out to workers, each scores a frame at a time by the job's method. A frame's
 * scores depend on nothing but the frame, so that neither the number of threads nor the other frames change anything.
 */
#ifndef QMD_LIB_EXPLAIN_INTERNAL_H
#define QMD_LIB_EXPLAIN_INTERNAL_H

#include <qmd/explain.h>

#include "base/threads.h"
#include "explain/subject.h"

#define QMDI_EXPLAIN_MESSAGE_SIZE 512

/* Atoms of one residue lie in [first, end); others may lie there too. */
typedef struct qmdi_atom_span {
	uint32_t first, end;
} qmdi_atom_span;

typedef struct qmdi_explain_worker {
	qmdi_runner *runner;             /* NULL until qmdi_explain_values() needs it */
	unsigned char *images;           /* [QMDI_RUNNER_BATCH][image_size] */
	float *logits;                   /* [QMDI_RUNNER_BATCH][n_classes] */
	void *state;                     /* of the method */
	qmd_explain_work work;           /* so far */
	const unsigned char *background; /* of the frame's class */
	qmd_explain_fit *fit; /* of the frame that is scored, and the errors of its scores: a method may set them */
	double *errors;       /* [residue] */
	qmd_status status;
	char message[QMDI_EXPLAIN_MESSAGE_SIZE]; /* the last error is the worker's thread's: carried to the caller's */
} qmdi_explain_worker;

typedef struct qmdi_explain_method qmdi_explain_method;

typedef struct qmdi_explain_job {
	qmdi_subject subject;
	const qmdi_explain_method *method;
	void *state; /* of the method, for all workers */
	size_t n_atoms, n_residues;
	size_t n_more_scores, n_scores; /* of a frame, beyond one a residue, and in all */
	uint32_t *residue_of_atom;
	qmdi_atom_span *spans;      /* one a residue */
	unsigned char *backgrounds; /* [class][image_size]: what says nothing in a frame of the class */
	uint32_t *class_of_state;
	qmdi_pool *pool;
	qmdi_explain_worker *workers;
	size_t n_workers;
	/* One chunk of frames. */
	size_t chunk_capacity;
	const uint32_t *frames; /* [frame] of the data set */
	unsigned char *images;  /* [frame][image_size] */
	uint32_t *classes;      /* [frame] */
	double *scores;         /* [frame][n_scores] */
	double *errors;         /* [frame][n_scores] */
	qmd_explain_fit *fits;  /* [frame] */
} qmdi_explain_job;

/* A way to score. create() and create_worker() set `state`, which destroy() and destroy_worker() release even where
 * those failed half-way; all but score() may be NULL. */
struct qmdi_explain_method {
	int32_t id; /* a qmd_explain_method */
	qmd_status (*create)(qmdi_explain_job *job, const qmd_explain_options *options);
	void (*destroy)(qmdi_explain_job *job);
	qmd_status (*create_worker)(const qmdi_explain_job *job, qmdi_explain_worker *worker);
	void (*destroy_worker)(qmdi_explain_worker *worker);
	/* The scores of frame `frame` of the chunk, [n_scores]. */
	qmd_status (*score)(const qmdi_explain_job *job, size_t frame, qmdi_explain_worker *worker, double *scores);
};

extern const qmdi_explain_method qmdi_explain_leave_one_out;
extern const qmdi_explain_method qmdi_explain_shap;
extern const qmdi_explain_method qmdi_explain_integrated_gradients;
extern const qmdi_explain_method qmdi_explain_lime;

/* Make a copy of a frame's image a variant of it: the variant-th of a method. */
typedef void (*qmdi_draw_fn)(const qmdi_explain_job *job, const qmdi_explain_worker *worker, size_t variant,
							 unsigned char *image);

/* What a method reads from logits, of the frame's own class. */
typedef double (*qmdi_read_fn)(const float *logits, size_t n_classes, size_t own);

/* The logit of class `own` minus the largest other; and the class's softmax. */
double qmdi_explain_margin(const float *logits, size_t n_classes, size_t own);
double qmdi_explain_probability(const float *logits, size_t n_classes, size_t own);

/* values[variant] for variants [first, end) */
qmd_status qmdi_explain_values(const qmdi_explain_job *job, size_t frame, qmdi_explain_worker *worker, size_t first,
							   size_t end, qmdi_draw_fn draw, qmdi_read_fn read, double *values);

/* Set a residue's pixels to the background. */
void qmdi_explain_leave_out(const qmdi_explain_job *job, const qmdi_explain_worker *worker, size_t residue,
							unsigned char *image);

/* Make the backgrounds of all classes, of a kind that is a qmd_explain_background. */
qmd_status qmdi_explain_set_backgrounds(qmdi_explain_job *job, qmd_dataset *dataset, int32_t background);

/*
 * Run a job, which is released. What it is given with: the subject; n_more_scores; and a method, or NULL for the one of
 * the options. The explanation's residues are then n_scores too.
 */
qmd_status qmdi_explain_run(qmdi_explain_job *job, qmd_dataset *dataset, const uint32_t *frames, size_t n_frames,
							const qmd_explain_options *options, qmd_explanation **explanation);

/* ---- shard.c ---- */

#define QMDI_MOST_SHARDS 65536u

/* What a run is, and which part of its frames an explanation has. */
typedef struct qmdi_shard {
	uint64_t subject, dataset, frames; /* hashes */
	int32_t method, as_published, background;
	uint32_t n_samples;
	uint64_t seed;
	uint64_t segments;        /* a hash; 0 for none */
	uint32_t n_shards, index; /* n_shards 0: a run that was not cut into shards, of which nothing else is noted */
	uint32_t n_frames;        /* of the whole run */
} qmdi_shard;

/* The shard that the options ask for. QMD_ERROR_ARGUMENT if there is no such part of so many frames. */
qmd_status qmdi_shard_describe(const qmdi_subject *subject, const qmd_dataset *dataset, const uint32_t *frames,
							   size_t n_frames, const qmd_explain_options *options, qmdi_shard *shard);

/* The first frame of shard `index`; that of shard n_shards is the end. */
size_t qmdi_shard_first(const qmdi_shard *shard, uint32_t index);

/* ---- explanation.c ---- */

struct qmd_explanation {
	qmd_residue_score *residues;
	size_t n_residues, n_frames;
	double *frame_scores; /* [n_frames][n_residues] */
	double *frame_errors;
	qmd_explain_fit *fits; /* [n_frames] */
	qmd_explain_work work;
	qmdi_shard shard;
	char *note, *path; /* of the file it was loaded from, or NULL */
};

/* Of zeros. */
qmd_status qmdi_explanation_create(size_t n_residues, size_t n_frames, qmd_explanation **explanation);

/* From the scores of frames to means, standard errors and ranks. */
qmd_status qmdi_explanation_finish(qmd_explanation *explanation);

#endif
