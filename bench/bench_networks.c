/* The icnnmd network as a whole: the INT8 engine beside FP32 and INT8 by oneDNN, and what a time-step costs. */
#include "bench.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>

#include "onednn_int8.h"

#define N_CALIBRATION 4 /* images */
#define N_COLD 30
#define ATOMS_PER_RESIDUE 8

static const uint32_t sides[] = {41, 49, 68, 100};
static const uint32_t batches[] = {1, 8, 32, 128};
#define N_OF(array) (sizeof(array) / sizeof *(array))

/* One network on images of one size. */
typedef struct network {
	uint32_t side;
	qmd_pixels *pixels;
	qmd_model *model; /* FP32 */
	qmd_engine *engine;
	double n_macs; /* of one image in the engine */
	float *xyz;    /* a frame */
	unsigned char *images;
} network;

/* ---- Making one ---- */

static qmd_topology *make_topology(size_t n_atoms) {
	static const char *const names[ATOMS_PER_RESIDUE] = {"N", "CA", "C", "O", "CB", "CG", "CD", "CE"};
	qmd_atom *atoms = bench_memory(calloc(n_atoms, sizeof *atoms));
	qmd_topology *topology;
	for (size_t i = 0; i < n_atoms; i++) {
		snprintf(atoms[i].name, sizeof atoms[i].name, "%s", names[i % ATOMS_PER_RESIDUE]);
		snprintf(atoms[i].residue_name, sizeof atoms[i].residue_name, "LYS");
		snprintf(atoms[i].chain, sizeof atoms[i].chain, "A");
		atoms[i].residue_number = (int32_t)(1 + i / ATOMS_PER_RESIDUE);
	}
	bench_check(qmd_topology_create(atoms, n_atoms, &topology));
	free(atoms);
	return topology;
}

/* A coil as wide as a protein of that many atoms, shaken by up to an angstrom. */
static float *make_frames(size_t n_atoms, size_t n_frames) {
	float *xyz = bench_memory(calloc(n_frames * n_atoms, 3 * sizeof *xyz));
	unsigned char *noise = bench_noise(n_frames * n_atoms * 3);
	const double radius = 2 * cbrt((double)n_atoms);
	for (size_t i = 0; i < n_frames * n_atoms; i++) {
		const double t = (double)(i % n_atoms) / (double)n_atoms;
		const double ideal[3] = {radius * cos(60 * t), radius * sin(60 * t), radius * (2 * t - 1)};
		for (size_t k = 0; k < 3; k++)
			xyz[3 * i + k] = (float)(ideal[k] + noise[3 * i + k] / 128.0 - 1);
	}
	free(noise);
	return xyz;
}

/* Pixels fitted on made-up frames, and images of these. */
static void make_pixels(network *net) {
	const size_t n_atoms = (size_t)net->side * net->side;
	qmd_topology *topology = make_topology(n_atoms);
	qmd_dataset_options options;
	qmd_dataset *dataset;
	qmd_split *split;
	qmd_dataset_options_init(&options);
	options.selection = "all";
	net->xyz = make_frames(n_atoms, 4);
	bench_check(qmd_dataset_create(&options, &dataset));
	bench_check(qmd_dataset_add_frames(dataset, "a", topology, net->xyz, 2));
	bench_check(qmd_dataset_add_frames(dataset, "b", topology, net->xyz + 2 * n_atoms * 3, 2));
	bench_check(qmd_split_all(dataset, &split));
	bench_check(qmd_pixels_fit(dataset, split, NULL, &net->pixels));
	qmd_split_free(split);
	qmd_dataset_free(dataset);
	qmd_topology_free(topology);
}

static network make_network(uint32_t side) {
	static const uint32_t labels[N_CALIBRATION];
	network net = {.side = side};
	qmd_model *quantized;
	qmd_quantize_options options;
	qmd_quantize_options_init(&options);
	options.epochs = 0;
	make_pixels(&net);
	net.images = bench_noise((size_t)batches[N_OF(batches) - 1] * side * side * 3);
	bench_check(qmd_model_create_preset("icnnmd", (qmd_shape){side, side, 3}, 2, 1, &net.model));
	bench_check(qmd_model_bind(net.model, net.pixels, NULL));
	bench_check(qmd_quantize_images(net.model, net.images, QMD_S8, labels, N_CALIBRATION, &options, &quantized));
	bench_check(qmd_engine_compile(quantized, NULL, &net.engine));
	qmd_model_free(quantized);
	for (size_t i = 0; i < qmd_engine_n_layers(net.engine); i++) {
		qmd_engine_layer layer = {.struct_size = sizeof layer};
		bench_check(qmd_engine_layer_info(net.engine, i, &layer));
		net.n_macs += (double)layer.n_macs;
	}
	return net;
}

static void free_network(network *net) {
	qmd_engine_free(net->engine);
	qmd_model_free(net->model);
	qmd_pixels_free(net->pixels);
	free(net->xyz);
	free(net->images);
}

/* ---- Subjects ---- */

typedef struct job {
	const network *net;
	qmd_context *context;
	qmd_predictor *predictor;
	uint32_t batch;
	float *logits;
} job;

static void run_engine(void *user) {
	const job *j = user;
	const qmd_output output = {"logits", j->logits};
	bench_check(qmd_context_run_images(j->context, j->net->images, j->batch, &output, 1));
}

static void run_onednn(void *user) {
	const job *j = user;
	bench_check(qmd_predictor_run_images(j->predictor, j->net->images, QMD_S8, j->batch, j->logits, NULL));
}

static qmd_frame frame_of(const network *net) {
	qmd_frame frame;
	qmd_frame_init(&frame);
	frame.xyz = net->xyz;
	frame.n_atoms = (size_t)net->side * net->side;
	return frame;
}

static void run_pixels(void *user) {
	const job *j = user;
	const qmd_frame frame = frame_of(j->net);
	bench_check(qmd_pixels_run(j->net->pixels, &frame, 1, j->net->images));
}

static void run_step(void *user) {
	const job *j = user;
	const qmd_frame frame = frame_of(j->net);
	const qmd_output output = {"logits", j->logits};
	bench_check(qmd_context_run_outputs(j->context, &frame, 1, &output, 1));
}

static job make_job(const network *net, uint32_t batch, uint32_t n_threads) {
	job j = {.net = net, .batch = batch};
	qmd_context_options options;
	qmd_context_options_init(&options);
	options.n_threads = n_threads;
	bench_check(qmd_context_create(net->engine, &options, &j.context));
	qmd_predictor_options predicting;
	qmd_predictor_options_init(&predicting);
	predicting.batch_size = batch;
	predicting.n_threads = n_threads;
	bench_check(qmd_predictor_create(net->model, &predicting, &j.predictor));
	j.logits = bench_memory(calloc(batch, 2 * sizeof *j.logits));
	return j;
}

static void free_job(job *j) {
	qmd_context_free(j->context);
	qmd_predictor_free(j->predictor);
	free(j->logits);
}

/* ---- Rows ---- */

/* One thread stays on one processor; with more the system places them. */
static void pin(uint32_t n_threads) {
	static cpu_set_t all;
	static int has_all;
	if (!has_all && sched_getaffinity(0, sizeof all, &all) != 0)
		return;
	has_all = 1;
	cpu_set_t set = all;
	for (size_t cpu = 0; n_threads == 1 && cpu < CPU_SETSIZE && CPU_COUNT(&set) > 1; cpu++)
		CPU_CLR(cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
}

/* What the network is timed as: the engine, and oneDNN. */
enum { ENGINE, FP32, INT8, INT8_COLLAPSED, N_FORMS };

static void put_row(bench *b, const network *net, const char *caches, uint32_t batch, uint32_t n_threads,
					const bench_sample *samples) {
	const double rate = net->n_macs * batch / samples[ENGINE].median;
	const double share = b->peak > 0 ? rate / (b->peak * n_threads) : 0;
	double ms[N_FORMS], spreads[N_FORMS];
	for (int i = 0; i < N_FORMS; i++) {
		ms[i] = 1e3 * samples[i].median / batch;
		spreads[i] = bench_spread(&samples[i]);
	}
	printf("%4u %6u %8u  %-5s %10.4f %7.1f%% %10.1f %8.1f%%", net->side, batch, n_threads, caches, ms[ENGINE],
		   100 * spreads[ENGINE], rate * 1e-9, 100 * share);
	for (int i = FP32; i < N_FORMS; i++)
		printf(" %9.4f %6.1f%% %5.2f", ms[i], 100 * spreads[i], ms[i] / ms[ENGINE]);
	putchar('\n');
	fflush(stdout);
	bench_row(b,
			  "\"part\": \"network\", \"side\": %u, \"batch\": %u, \"threads\": %u, \"caches\": \"%s\", "
			  "\"engine_ms\": %.6g, \"engine_spread\": %.3g, \"engine_least_ms\": %.6g, \"gmacs\": %.5g, "
			  "\"share_of_peak\": %.4g, \"onednn_fp32_ms\": %.6g, \"onednn_fp32_spread\": %.3g, "
			  "\"onednn_int8_ms\": %.6g, \"onednn_int8_spread\": %.3g, "
			  "\"onednn_int8_collapsed_ms\": %.6g, \"onednn_int8_collapsed_spread\": %.3g",
			  net->side, batch, n_threads, caches, ms[ENGINE], spreads[ENGINE], 1e3 * samples[ENGINE].least / batch,
			  rate * 1e-9, share, ms[FP32], spreads[FP32], ms[INT8], spreads[INT8], ms[INT8_COLLAPSED],
			  spreads[INT8_COLLAPSED]);
}

static void bench_network(bench *b, const network *net, uint32_t batch, uint32_t n_threads) {
	bench_sample samples[N_FORMS];
	pin(n_threads);
	job j = make_job(net, batch, n_threads);
	onednn_int8 *original = onednn_int8_create(net->side, batch, n_threads, 0, net->images);
	onednn_int8 *collapsed = onednn_int8_create(net->side, batch, n_threads, 1, net->images);
	const bench_subject subjects[N_FORMS] = {[ENGINE] = {run_engine, &j},
											 [FP32] = {run_onednn, &j},
											 [INT8] = {onednn_int8_run, original},
											 [INT8_COLLAPSED] = {onednn_int8_run, collapsed}};
	bench_measure(subjects, N_FORMS, b->seconds, n_threads, samples);
	put_row(b, net, "warm", batch, n_threads, samples);
	if (batch == 1) {
		bench_measure_cold(subjects, N_FORMS, N_COLD, n_threads, samples);
		put_row(b, net, "cold", batch, n_threads, samples);
	}
	onednn_int8_free(collapsed);
	onednn_int8_free(original);
	free_job(&j);
}

/* That oneDNN in INT8 computes what it should: it is timed on noise, which would hide that it does not. */
static void check_onednn(const network *net) {
	size_t n;
	int largest;
	onednn_int8 *original = onednn_int8_create(net->side, 1, 1, 0, net->images);
	onednn_int8_run(original);
	const size_t n_mismatches = onednn_int8_mismatches(original, &n, &largest);
	printf("\noneDNN INT8, first convolution: %zu of %zu integers differ from plain C, by %d at most\n", n_mismatches,
		   n, largest);
	onednn_int8_free(original);
}

static void bench_step(bench *b, const network *net) {
	bench_sample samples[3];
	pin(1);
	job j = make_job(net, 1, 1);
	const bench_subject subjects[3] = {{run_pixels, &j}, {run_engine, &j}, {run_step, &j}};
	bench_measure(subjects, 3, b->seconds, 1, samples);
	const double share = samples[0].median / samples[2].median;
	printf("%4u %6zu %12.4f %12.4f %12.4f %9.1f%%\n", net->side, qmd_pixels_n_atoms(net->pixels),
		   1e3 * samples[0].median, 1e3 * samples[1].median, 1e3 * samples[2].median, 100 * share);
	fflush(stdout);
	bench_row(b,
			  "\"part\": \"step\", \"side\": %u, \"n_atoms\": %zu, \"pixels_ms\": %.6g, \"network_ms\": %.6g, "
			  "\"step_ms\": %.6g, \"step_spread\": %.3g, \"share_of_pixels\": %.4g",
			  net->side, qmd_pixels_n_atoms(net->pixels), 1e3 * samples[0].median, 1e3 * samples[1].median,
			  1e3 * samples[2].median, bench_spread(&samples[2]), share);
	free_job(&j);
}

void bench_networks(bench *b) {
	network nets[N_OF(sides)];
	for (size_t s = 0; s < N_OF(sides); s++)
		nets[s] = make_network(sides[s]);
	check_onednn(&nets[0]);
	printf("\n%56s oneDNN FP32, INT8, and INT8 of the collapsed network, ratio to the engine\n", "");
	printf("%4s %6s %8s  %-5s %10s %8s %10s %9s", "side", "batch", "threads", "cache", "engine ms", "spread", "GMAC/s",
		   "of peak");
	for (int i = FP32; i < N_FORMS; i++)
		printf(" %9s %7s %5s", "ms", "spread", "ratio");
	putchar('\n');
	for (size_t s = 0; s < N_OF(sides); s++)
		for (size_t i = 0; i < N_OF(batches); i++)
			for (uint32_t n_threads = 1; n_threads <= b->n_threads; n_threads++)
				bench_network(b, &nets[s], batches[i], n_threads);
	printf("\n%4s %6s %12s %12s %12s %10s\n", "side", "atoms", "pixels ms", "network ms", "step ms", "pixels");
	for (size_t s = 0; s < N_OF(sides); s++)
		bench_step(b, &nets[s]);
	pin(0);
	for (size_t s = 0; s < N_OF(sides); s++)
		free_network(&nets[s]);
}
