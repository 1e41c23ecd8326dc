/*
 * How an MD code embeds an engine: load it once, find its atoms once, call it at every step.
 *
 *     embed ENGINE PDB NETCDF
 *
 * The "simulation" here replays a trajectory, but holds it as an MD code would: in double precision and nanometres, in
 * an order of atoms of its own, drifting through a periodic box, every atom wrapped back into it. At the end it says
 * whether the engine told the same as of the trajectory as it is: not wrapped, in single precision and angstrom.
 *
 *     cc -std=c11 embed.c $(pkg-config --cflags --libs qmd) -lm -o embed
 */
#include <qmd.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Give up with the library's own words. */
static void check(qmd_status status) {
	if (status == QMD_OK)
		return;
	fprintf(stderr, "embed: %s: %s\n", qmd_status_name(status), qmd_last_error());
	exit(1);
}

static void *allocate(size_t n, size_t size) {
	void *memory = calloc(n > 0 ? n : 1, size);
	if (!memory) {
		fprintf(stderr, "embed: out of memory\n");
		exit(1);
	}
	return memory;
}

static double now_ms(void) {
	struct timespec time;
	timespec_get(&time, TIME_UTC);
	return 1e3 * (double)time.tv_sec + 1e-6 * (double)time.tv_nsec;
}

/* ---- The simulation ---- */

typedef struct simulation {
	qmd_trajectory *trajectory;
	size_t n_atoms, n_steps;
	qmd_atom *atoms;  /* in the simulation's order */
	size_t *origin;   /* where each stands in the PDB */
	float *angstrom;  /* the frame as it was read, in the PDB's order */
	double *x;        /* n_atoms * 3, in nm, wrapped */
	double box[3][3]; /* box vectors as rows, in nm */
} simulation;

/* A truncated octahedron that holds the molecule with room to spare; its vectors are those that GROMACS writes. */
static void make_box(simulation *sim) {
	double extent = 0;
	for (size_t k = 0; k < 3; k++) {
		double low = INFINITY, high = -INFINITY;
		for (size_t i = 0; i < sim->n_atoms; i++) {
			low = fmin(low, 0.1 * (double)sim->angstrom[3 * i + k]);
			high = fmax(high, 0.1 * (double)sim->angstrom[3 * i + k]);
		}
		extent = fmax(extent, high - low);
	}
	const double side = 1.3 * extent + 1.0;
	const double box[3][3] = {
		{side, 0, 0}, {side / 3, side * sqrt(8.0) / 3, 0}, {-side / 3, side * sqrt(2.0) / 3, side * sqrt(6.0) / 3}};
	memcpy(sim->box, box, sizeof box);
}

static void open_simulation(simulation *sim, const char *pdb, const char *netcdf) {
	qmd_topology *topology;
	check(qmd_topology_load(pdb, &topology));
	sim->n_atoms = qmd_topology_n_atoms(topology);
	check(qmd_trajectory_open(&netcdf, 1, sim->n_atoms, &sim->trajectory));
	sim->n_steps = qmd_trajectory_n_frames(sim->trajectory);
	sim->atoms = allocate(sim->n_atoms, sizeof *sim->atoms);
	sim->origin = allocate(sim->n_atoms, sizeof *sim->origin);
	sim->angstrom = allocate(sim->n_atoms, 3 * sizeof *sim->angstrom);
	sim->x = allocate(sim->n_atoms, 3 * sizeof *sim->x);
	for (size_t i = 0; i < sim->n_atoms; i++) {
		sim->origin[i] = sim->n_atoms - 1 - i;
		check(qmd_topology_atom(topology, sim->origin[i], &sim->atoms[i]));
	}
	qmd_topology_free(topology);
	if (sim->n_steps > 0)
		check(qmd_trajectory_read(sim->trajectory, 0, 1, sim->angstrom));
	make_box(sim);
}

/* Into the box: along c, then b, then a, since c leans over b and a, and b over a. */
static void wrap(double box[3][3], double x[3]) {
	for (size_t k = 3; k-- > 0;) {
		const double images = floor(x[k] / box[k][k]);
		for (size_t i = 0; i < 3; i++)
			x[i] -= images * box[k][i];
	}
}

static void advance(simulation *sim, size_t step) {
	const double drift[3] = {0.37 * (double)step, -0.23 * (double)step, 0.11 * (double)step};
	check(qmd_trajectory_read(sim->trajectory, step, 1, sim->angstrom));
	for (size_t i = 0; i < sim->n_atoms; i++) {
		for (size_t k = 0; k < 3; k++)
			sim->x[3 * i + k] = 0.1 * (double)sim->angstrom[3 * sim->origin[i] + k] + drift[k];
		wrap(sim->box, &sim->x[3 * i]);
	}
}

static void close_simulation(simulation *sim) {
	qmd_trajectory_free(sim->trajectory);
	free(sim->atoms);
	free(sim->origin);
	free(sim->angstrom);
	free(sim->x);
}

/* ---- The comparison ---- */

/* What the engine says of the step's frame as the trajectory has it. */
static void run_unwrapped(qmd_context *context, const simulation *sim, const uint32_t *indices, float *probabilities) {
	qmd_frame frame;
	qmd_frame_init(&frame);
	frame.xyz = sim->angstrom;
	frame.n_atoms = sim->n_atoms;
	frame.indices = indices;
	check(qmd_context_run(context, &frame, 1, probabilities));
}

static size_t largest(const float *values, size_t n) {
	size_t best = 0;
	for (size_t i = 1; i < n; i++)
		best = values[i] > values[best] ? i : best;
	return best;
}

static int compare_times(const void *a, const void *b) {
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* ---- The MD loop ---- */

static int run(const qmd_engine *engine, simulation *sim) {
	/* Once: a context for this thread, and where the engine's atoms stand among the host's. */
	qmd_context *context;
	check(qmd_context_create(engine, NULL, &context));
	const size_t n_wanted = qmd_engine_n_atoms(engine), n_classes = qmd_engine_n_classes(engine);
	uint32_t *indices = allocate(n_wanted, sizeof *indices), *unwrapped_indices = allocate(n_wanted, sizeof *indices);
	check(qmd_engine_match(engine, sim->atoms, sim->n_atoms, indices));
	for (size_t i = 0; i < n_wanted; i++)
		unwrapped_indices[i] = (uint32_t)sim->origin[indices[i]];
	float *probabilities = allocate(n_classes, sizeof *probabilities),
		  *expected = allocate(n_classes, sizeof *expected);
	double *times = allocate(sim->n_steps, sizeof *times);

	size_t n_same = 0;
	double difference = 0;
	for (size_t step = 0; step < sim->n_steps; step++) {
		advance(sim, step);

		/* Every step: point at the coordinates, and run. */
		qmd_frame frame;
		qmd_frame_init(&frame);
		frame.xyz = sim->x;
		frame.type = QMD_F64;
		frame.unit = QMD_NM;
		frame.n_atoms = sim->n_atoms;
		frame.indices = indices;
		frame.box = &sim->box[0][0];
		const double start = now_ms();
		check(qmd_context_run(context, &frame, 1, probabilities));
		times[step] = now_ms() - start;

		run_unwrapped(context, sim, unwrapped_indices, expected);
		double step_difference = 0;
		for (size_t i = 0; i < n_classes; i++)
			step_difference = fmax(step_difference, fabs((double)probabilities[i] - (double)expected[i]));
		n_same += step_difference == 0;
		difference = fmax(difference, step_difference);
		if (step % 50 == 0) {
			const size_t best = largest(probabilities, n_classes);
			printf("step %4zu: %s %.4f\n", step, qmd_engine_class_name(engine, best), (double)probabilities[best]);
		}
	}
	qsort(times, sim->n_steps, sizeof *times, compare_times);
	printf("%zu steps, %zu with the probabilities of the unwrapped trajectory, largest difference %.1e\n", sim->n_steps,
		   n_same, difference);
	if (sim->n_steps > 0)
		printf("median %.3f ms a step\n", times[sim->n_steps / 2]);
	const int same = n_same == sim->n_steps;
	printf("%s\n", same ? "same answer" : "NOT the same answer");

	free(times);
	free(expected);
	free(probabilities);
	free(unwrapped_indices);
	free(indices);
	qmd_context_free(context);
	return same ? 0 : 1;
}

int main(int argc, char **argv) {
	if (argc != 4) {
		fprintf(stderr, "usage: embed ENGINE PDB NETCDF\n");
		return 2;
	}
	qmd_engine *engine;
	simulation sim;
	check(qmd_engine_load(argv[1], &engine));
	open_simulation(&sim, argv[2], argv[3]);
	printf("%s: looks at %zu of the simulation's %zu atoms\n", argv[1], qmd_engine_n_atoms(engine), sim.n_atoms);
	const int result = run(engine, &sim);
	close_simulation(&sim);
	qmd_engine_free(engine);
	return result;
}
