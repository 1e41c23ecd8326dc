/*
 * Which residues drive an engine's decision, and an FP32 model's.
 *
 *     $ explain_residues examples/data
 *     214 residues, scored on 20 held-out frames
 *     ... the margin falls by ... (...) without it
 *     ...
 *     ...
 *     frame 0 alone scores residue ... highest, ...
 *     mean margin ..., without the ten best residues ...
 *     ... % of the multiplications were saved
 *     frame ... by Shapley values, from ... samples: R2 ..., residue 1 ... +- ...
 *     20 held-out frames, in shards:
 *     ... the margin falls by ... (...) without it
 *     in FP32:
 *     ... the margin falls by ... (...) without it
 */
#include "snippets.h"

#include <stdio.h>

/* [scores] */
static void print_best(const qmd_explanation *explanation, uint32_t n) {
	for (size_t i = 0; i < qmd_explanation_n_residues(explanation); i++) {
		qmd_residue_score score;
		score.struct_size = sizeof score;
		check(qmd_explanation_residue(explanation, i, &score)); /* in the order of the molecule */
		if (score.rank <= n)
			printf("%u. %s%d: the margin falls by %.4f (%.4f) without it\n", score.rank, score.residue.residue_name,
				   score.residue.residue_number, score.score, score.standard_error);
	}
}
/* [scores] */

/* [frame scores] */
static void print_best_of_frame(const qmd_explanation *explanation, const uint32_t *frames, size_t frame) {
	const size_t n_residues = qmd_explanation_n_residues(explanation);
	if (frame >= qmd_explanation_n_frames(explanation))
		return;
	const double *scores = qmd_explanation_frame_scores(explanation) + frame * n_residues;
	size_t best = 0;
	for (size_t i = 1; i < n_residues; i++)
		best = scores[i] > scores[best] ? i : best;
	printf("frame %u alone scores residue %zu highest, %.4f\n", frames[frame], best + 1, scores[best]);
}
/* [frame scores] */

/* [deletion] */
static void delete_best_first(const qmd_engine *engine, qmd_dataset *dataset, const qmd_split *split,
							  const qmd_explanation *explanation) {
	enum { N_RESIDUES = 214 };
	uint32_t order[N_RESIDUES];
	double margins[N_RESIDUES / 10 + 1];
	for (uint32_t i = 0; i < N_RESIDUES; i++) {
		qmd_residue_score score = {.struct_size = sizeof score};
		check(qmd_explanation_residue(explanation, i, &score));
		order[score.rank - 1] = i;
	}
	size_t n;
	const uint32_t *frames = qmd_split_test(split, &n);
	check(qmd_explain_deletion(engine, dataset, frames, n, order, N_RESIDUES / 10, NULL, margins));
	printf("mean margin %.4f, without the ten best residues %.4f\n", margins[0], margins[1]);
}
/* [deletion] */

/* [explain by sampling] */
static void explain_by_sampling(const qmd_engine *engine, qmd_dataset *dataset, uint32_t frame) {
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.method = QMD_EXPLAIN_SHAP;
	options.n_samples = 1000; /* 0: as many as it takes */
	qmd_explanation *explanation;
	check(qmd_explain(engine, dataset, &frame, 1, &options, &explanation));
	qmd_explain_fit fit;
	fit.struct_size = sizeof fit;
	check(qmd_explanation_fit(explanation, 0, &fit));
	printf("frame %u by Shapley values, from %u samples: R2 %.2f, residue 1 %.4f +- %.4f\n", frame, fit.n_samples,
		   fit.r2, qmd_explanation_frame_scores(explanation)[0], qmd_explanation_frame_errors(explanation)[0]);
	qmd_explanation_free(explanation);
}
/* [explain by sampling] */

/* [explain] */
static void explain(const qmd_engine *engine, qmd_dataset *dataset, const qmd_split *split) {
	size_t n;
	const uint32_t *frames = qmd_split_test(split, &n);
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.n_threads = 0; /* all that the process may use: the result is the same */
	qmd_explanation *explanation;
	check(qmd_explain(engine, dataset, frames, n, &options, &explanation));
	printf("%zu residues, scored on %zu held-out frames\n", qmd_explanation_n_residues(explanation), n);
	print_best(explanation, 3);
	print_best_of_frame(explanation, frames, 0);
	delete_best_first(engine, dataset, split, explanation);

	qmd_explain_work work = {.struct_size = sizeof work};
	check(qmd_explanation_work(explanation, &work));
	printf("%.0f %% of the multiplications were saved\n", 100 - 100 * (double)work.n_macs / (double)work.n_macs_whole);
	qmd_explanation_free(explanation);
	explain_by_sampling(engine, dataset, frames[0]);
}
/* [explain] */

/* [explain in shards] */
#define N_SHARDS 2

/* As jobs of their own would: each saves its shard, and one that comes after them puts them together. */
static void explain_in_shards(const qmd_engine *engine, qmd_dataset *dataset, const qmd_split *split) {
	static const char *const paths[N_SHARDS] = {"shard-1.qmx", "shard-2.qmx"};
	qmd_explanation *shards[N_SHARDS], *whole;
	size_t n;
	const uint32_t *frames = qmd_split_test(split, &n);
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.n_shards = N_SHARDS;
	for (options.shard = 0; options.shard < N_SHARDS; options.shard++) {
		qmd_explanation *shard;
		check(qmd_explain(engine, dataset, frames, n, &options, &shard));
		check(qmd_explanation_save(shard, "held-out frames", paths[options.shard]));
		qmd_explanation_free(shard);
	}
	for (size_t i = 0; i < N_SHARDS; i++)
		check(qmd_explanation_load(paths[i], &shards[i]));
	check(qmd_explanation_merge((const qmd_explanation *const *)shards, N_SHARDS, &whole));
	printf("%zu %s, in shards:\n", qmd_explanation_n_frames(whole), qmd_explanation_note(whole));
	print_best(whole, 1);
	for (size_t i = 0; i < N_SHARDS; i++)
		qmd_explanation_free(shards[i]);
	qmd_explanation_free(whole);
}
/* [explain in shards] */

/* [explain a model] */
static void explain_model(qmd_dataset *dataset, const qmd_split *split, qmd_pixels *pixels) {
	qmd_model *model = train_briefly(dataset, split, pixels); /* bound to the pixels */
	size_t n;
	const uint32_t *frames = qmd_split_test(split, &n);
	qmd_explanation *explanation;
	check(qmd_explain_model(model, dataset, frames, n, NULL, &explanation));
	printf("in FP32:\n");
	print_best(explanation, 1);
	qmd_explanation_free(explanation);
	qmd_model_free(model);
}
/* [explain a model] */

int main(int argc, char **argv) {
	if (argc != 2)
		return 2;
	example e = open_example(argv[1]);
	qmd_engine *engine = make_engine(e.dataset, e.split, e.pixels);
	explain(engine, e.dataset, e.split);
	explain_in_shards(engine, e.dataset, e.split);
	explain_model(e.dataset, e.split, e.pixels);
	qmd_engine_free(engine);
	close_example(&e);
	return 0;
}
