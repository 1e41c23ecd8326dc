/*
 * Running an engine: on frames, on images, with outputs by name, and where its time goes.
 *
 *     $ engine_run examples/data
 *     states.qme: 214 atoms, the first is CA of MET1; images 15 x 15 x 3 of s8; classes open, closed
 *     the host's atom 1 is the engine's first
 *     probabilities: 0.00... 0.99...
 *     on ..., which computes the first step by ...
 *     logits: -... ...
 *     the same from an image: yes
 *     done: 0.00... 0.99...
 *     a step of the simulation costs ... microseconds at best
 *     conv2d_1+relu_1 on 15 x 15 x 3 by conv_x8s8_..., 73008 multiplications: ... microseconds
 *     dense_1 on 1 x 1 x 2704 by dense_x8s8_..., 5408 multiplications: ... microseconds
 *     softmax_1 on 1 x 1 x 2 by softmax_f32, 0 multiplications: ... microseconds
 *     batch-norm folding: nothing to fold
 *     ...
 *     fusion: 1 relu and 0 maxpool computed by the step before them
 *     ...
 */
#include "snippets.h"

#include <stdio.h>
#include <stdlib.h>

/* [load] */
static qmd_engine *load(const char *path) {
	qmd_engine *engine;
	qmd_atom atom;
	check(qmd_engine_load(path, &engine));
	check(qmd_engine_atom(engine, 0, &atom));
	const qmd_shape shape = qmd_engine_image_shape(engine);
	printf("%s: %zu atoms, the first is %s of %s%d; images %u x %u x %u of %s; classes", path,
		   qmd_engine_n_atoms(engine), atom.name, atom.residue_name, atom.residue_number, shape.h, shape.w, shape.c,
		   qmd_engine_image_type(engine) == QMD_S8 ? "s8" : "u8");
	for (size_t i = 0; i < qmd_engine_n_classes(engine); i++)
		printf("%s%s", i > 0 ? ", " : " ", qmd_engine_class_name(engine, i));
	printf("\n");
	return engine; /* for any number of threads; qmd_engine_free() when it is done with */
}
/* [load] */

/* [match] */
static uint32_t *find_atoms(const qmd_engine *engine, const qmd_topology *host) {
	const size_t n = qmd_topology_n_atoms(host);
	qmd_atom *atoms = allocate(n, sizeof *atoms);
	uint32_t *indices = allocate(qmd_engine_n_atoms(engine), sizeof *indices);
	for (size_t i = 0; i < n; i++)
		check(qmd_topology_atom(host, i, &atoms[i]));
	check(qmd_engine_match(engine, atoms, n, indices)); /* once, not at every step */
	printf("the host's atom %u is the engine's first\n", indices[0]);
	free(atoms);
	return indices;
}
/* [match] */

/* [run] */
static void run(const qmd_engine *engine, const double *x, size_t n_atoms, const uint32_t *indices) {
	qmd_context_options options;
	qmd_context_options_init(&options);
	options.n_threads = 1;
	options.max_batch = 1; /* one frame at a time */
	qmd_context *context;  /* one thread's */
	check(qmd_context_create(engine, &options, &context));

	float probabilities[2];
	qmd_frame frame;
	qmd_frame_init(&frame);
	frame.xyz = x; /* the host's own array: here in double precision and nanometres */
	frame.type = QMD_F64;
	frame.unit = QMD_NM;
	frame.n_atoms = n_atoms;
	frame.indices = indices;
	check(qmd_context_run(context, &frame, 1, probabilities)); /* at every step */
	printf("probabilities: %.3f %.3f\n", (double)probabilities[0], (double)probabilities[1]);
	qmd_context_free(context);
}
/* [run] */

/* [outputs] */
static void run_outputs(qmd_context *context, const qmd_frame *frame, float logits[2]) {
	float probabilities[2];
	const qmd_output outputs[2] = {{"logits", logits}, {"probabilities", probabilities}};
	check(qmd_context_run_outputs(context, frame, 1, outputs, 2));
	printf("logits: %.3f %.3f\n", (double)logits[0], (double)logits[1]);
}
/* [outputs] */

/* [images] */
static void run_image(const qmd_engine *engine, qmd_context *context, const qmd_frame *frame, const float expected[2]) {
	const qmd_shape shape = qmd_engine_image_shape(engine);
	int8_t *image = allocate((size_t)shape.h * shape.w * shape.c, 1);
	float logits[2];
	const qmd_output output = {"logits", logits};
	check(qmd_pixels_run(qmd_engine_pixels(engine), frame, 1, image));
	check(qmd_context_run_images(context, image, 1, &output, 1));
	printf("the same from an image: %s\n", logits[0] == expected[0] && logits[1] == expected[1] ? "yes" : "no");
	free(image);
}
/* [images] */

/* [device] */
static qmd_context *make_context(const qmd_engine *engine) {
	qmd_context_options options;
	qmd_context_options_init(&options);
	qmd_context *context;
	options.device = "cuda"; /* the best there is, else the CPU: the numbers are the same */
	qmd_status status = qmd_context_create(engine, &options, &context);
	if (status == QMD_ERROR_UNSUPPORTED) {
		options.device = "cpu";
		status = qmd_context_create(engine, &options, &context);
	}
	check(status);

	qmd_context_device device = {.struct_size = sizeof device};
	check(qmd_context_device_info(context, &device));
	printf("on %s, which computes the first step by %s\n", device.device, qmd_context_kernel(context, 0));
	return context;
}
/* [device] */

/* [time] */
static void time_runs(qmd_context *context, const qmd_frame *frame) {
	qmd_run_time times[100];
	double best = 1;
	check(qmd_context_time(context, frame, 1, 100, times));
	for (size_t i = 0; i < 100; i++)
		best = times[i].total < best ? times[i].total : best;
	printf("a step of the simulation costs %.1f microseconds at best\n", 1e6 * best);
}
/* [time] */

/* [wait] */
static void run_and_wait(qmd_context *context, const qmd_frame *frame, float probabilities[2]) {
	check(qmd_context_run(context, frame, 1, probabilities));
	/* The host's own work goes here. With output in device memory the run has only been given to the device: */
	check(qmd_context_wait(context)); /* what went wrong on the way is known now */
	printf("done: %.3f %.3f\n", (double)probabilities[0], (double)probabilities[1]);
}
/* [wait] */

/* [plan] */
static void print_plan(const qmd_engine *engine, qmd_context *context) {
	const size_t n = qmd_engine_n_layers(engine);
	const qmd_shape shape = qmd_engine_image_shape(engine);
	int8_t *image = allocate((size_t)shape.h * shape.w * shape.c, 1);
	double *seconds = allocate(n, sizeof *seconds);
	check(qmd_context_profile(context, image, 1, 100, seconds));
	for (size_t i = 0; i < n; i++) {
		qmd_engine_layer step;
		step.struct_size = sizeof step;
		check(qmd_engine_layer_info(engine, i, &step));
		printf("%s on %u x %u x %u by %s, %llu multiplications: %.1f microseconds\n", step.name, step.input.h,
			   step.input.w, step.input.c, step.kernel, (unsigned long long)step.n_macs, 1e6 * seconds[i]);
	}
	fputs(qmd_engine_passes(engine), stdout);
	free(seconds);
	free(image);
}
/* [plan] */

static void save_engine(const char *folder, const char *path) {
	example e = open_example(folder);
	qmd_engine *engine = make_engine(e.dataset, e.split, e.pixels);
	check(qmd_engine_save(engine, path));
	qmd_engine_free(engine);
	close_example(&e);
}

int main(int argc, char **argv) {
	if (argc != 2)
		return 2;
	save_engine(argv[1], "states.qme");
	char pdb[1024];
	snprintf(pdb, sizeof pdb, "%s/adk-closed.pdb", argv[1]);
	qmd_topology *host;
	check(qmd_topology_load(pdb, &host));
	const size_t n_atoms = qmd_topology_n_atoms(host);
	float *angstrom = allocate(n_atoms, 3 * sizeof *angstrom);
	double *nm = allocate(n_atoms, 3 * sizeof *nm);
	check(qmd_topology_coordinates(host, angstrom));
	for (size_t i = 0; i < 3 * n_atoms; i++)
		nm[i] = 0.1 * (double)angstrom[i];

	qmd_engine *engine = load("states.qme");
	uint32_t *indices = find_atoms(engine, host);
	run(engine, nm, n_atoms, indices);
	qmd_context *context = make_context(engine);
	qmd_frame frame;
	qmd_frame_init(&frame);
	frame.xyz = angstrom;
	frame.n_atoms = n_atoms;
	frame.indices = indices;
	float logits[2], probabilities[2];
	run_outputs(context, &frame, logits);
	run_image(engine, context, &frame, logits);
	run_and_wait(context, &frame, probabilities);
	time_runs(context, &frame);
	print_plan(engine, context);

	qmd_context_free(context);
	qmd_engine_free(engine);
	free(indices);
	free(nm);
	free(angstrom);
	qmd_topology_free(host);
	return 0;
}
