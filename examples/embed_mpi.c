/*
 * How an MD code that is spread over MPI ranks embeds an engine: each rank owns some of the atoms, and which ones
 * changes from step to step. The engine's atoms are brought to one rank, which runs it and tells the others.
 *
 *     mpiexec -n 3 embed_mpi ENGINE PDB TRAJECTORY
 *
 * The "simulation" replays a trajectory; a rank owns the atoms in its slice of space. Every tenth step is printed. The
 * numbers do not depend on the number of ranks.
 *
 *     mpicc -std=c11 embed_mpi.c $(pkg-config --cflags --libs qmd) -lm -o embed_mpi
 */
#include <mpi.h>
#include <qmd.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* One rank cannot go on without the others. */
static void check(qmd_status status) {
	if (status == QMD_OK)
		return;
	fprintf(stderr, "embed_mpi: %s: %s\n", qmd_status_name(status), qmd_last_error());
	MPI_Abort(MPI_COMM_WORLD, 1);
}

static void *allocate(size_t n, size_t size) {
	void *memory = calloc(n > 0 ? n : 1, size);
	if (!memory) {
		fprintf(stderr, "embed_mpi: out of memory\n");
		MPI_Abort(MPI_COMM_WORLD, 1);
	}
	return memory;
}

/* ---- The simulation ---- */

typedef struct simulation {
	int rank, n_ranks;
	qmd_trajectory *trajectory;
	size_t n_atoms; /* of all ranks */
	qmd_atom *atoms;
	float *xyz;     /* what is replayed */
	size_t n_local; /* atoms that this rank owns */
	size_t *tags;   /* which they are, in no order */
	double *x;      /* n_local * 3, in angstrom */
} simulation;

static void open_simulation(simulation *sim, const char *pdb, const char *path) {
	qmd_topology *topology;
	MPI_Comm_rank(MPI_COMM_WORLD, &sim->rank);
	MPI_Comm_size(MPI_COMM_WORLD, &sim->n_ranks);
	check(qmd_topology_load(pdb, &topology));
	sim->n_atoms = qmd_topology_n_atoms(topology);
	check(qmd_trajectory_open(&path, 1, sim->n_atoms, &sim->trajectory));
	sim->atoms = allocate(sim->n_atoms, sizeof *sim->atoms);
	sim->xyz = allocate(sim->n_atoms, 3 * sizeof *sim->xyz);
	sim->tags = allocate(sim->n_atoms, sizeof *sim->tags);
	sim->x = allocate(sim->n_atoms, 3 * sizeof *sim->x);
	for (size_t i = 0; i < sim->n_atoms; i++)
		check(qmd_topology_atom(topology, i, &sim->atoms[i]));
	qmd_topology_free(topology);
}

/* Atoms move, and change their owner: space is cut along x into slices of 10 angstrom, dealt out to the ranks in turn.
 */
static void advance(simulation *sim, size_t step) {
	check(qmd_trajectory_read(sim->trajectory, step, 1, sim->xyz));
	sim->n_local = 0;
	for (size_t i = sim->n_atoms; i-- > 0;) {
		const int slice = (int)floor((double)sim->xyz[3 * i] / 10) + 1000;
		if (slice % sim->n_ranks != sim->rank)
			continue;
		for (size_t k = 0; k < 3; k++)
			sim->x[3 * sim->n_local + k] = (double)sim->xyz[3 * i + k];
		sim->tags[sim->n_local++] = i;
	}
}

static void close_simulation(simulation *sim) {
	qmd_trajectory_free(sim->trajectory);
	free(sim->atoms);
	free(sim->xyz);
	free(sim->tags);
	free(sim->x);
}

/* ---- The engine beside it ---- */

typedef struct observer {
	qmd_engine *engine;
	qmd_context *context; /* on rank 0 */
	size_t n_atoms, n_classes;
	int32_t *place;     /* of each of the simulation's atoms among the engine's; -1: it is none of them */
	double *mine, *all; /* n_atoms * 4: x, y, z, and by how many ranks it is owned */
	float *probabilities;
} observer;

static void open_observer(observer *obs, const char *path, const simulation *sim) {
	check(qmd_engine_load(path, &obs->engine));
	if (sim->rank == 0)
		check(qmd_context_create(obs->engine, NULL, &obs->context));
	obs->n_atoms = qmd_engine_n_atoms(obs->engine);
	obs->n_classes = qmd_engine_n_classes(obs->engine);
	obs->place = allocate(sim->n_atoms, sizeof *obs->place);
	obs->mine = allocate(obs->n_atoms, 4 * sizeof *obs->mine);
	obs->all = allocate(obs->n_atoms, 4 * sizeof *obs->all);
	obs->probabilities = allocate(obs->n_classes, sizeof *obs->probabilities);

	uint32_t *indices = allocate(obs->n_atoms, sizeof *indices);
	check(qmd_engine_match(obs->engine, sim->atoms, sim->n_atoms, indices));
	for (size_t i = 0; i < sim->n_atoms; i++)
		obs->place[i] = -1;
	for (size_t i = 0; i < obs->n_atoms; i++)
		obs->place[indices[i]] = (int32_t)i;
	free(indices);
}

/* Each step, on all ranks. An atom has one owner, and adding the others' zeros changes no bit. */
static void observe(observer *obs, const simulation *sim) {
	for (size_t i = 0; i < 4 * obs->n_atoms; i++)
		obs->mine[i] = 0;
	for (size_t i = 0; i < sim->n_local; i++) {
		const int32_t place = obs->place[sim->tags[i]];
		if (place < 0)
			continue;
		double *atom = &obs->mine[4 * (size_t)place];
		for (size_t k = 0; k < 3; k++)
			atom[k] = sim->x[3 * i + k];
		atom[3] = 1;
	}
	MPI_Reduce(obs->mine, obs->all, (int)(4 * obs->n_atoms), MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);

	if (sim->rank == 0) {
		for (size_t i = 0; i < obs->n_atoms; i++)
			if (obs->all[4 * i + 3] < 0.5 || obs->all[4 * i + 3] > 1.5) {
				fprintf(stderr, "embed_mpi: atom %zu of the engine is owned by %g ranks\n", i, obs->all[4 * i + 3]);
				MPI_Abort(MPI_COMM_WORLD, 1);
			}
		qmd_frame frame;
		qmd_frame_init(&frame);
		frame.xyz = obs->all;
		frame.type = QMD_F64;
		frame.stride = 4;
		frame.n_atoms = obs->n_atoms; /* just the engine's atoms, in its order: no indices */
		check(qmd_context_run(obs->context, &frame, 1, obs->probabilities));
	}
	MPI_Bcast(obs->probabilities, (int)obs->n_classes, MPI_FLOAT, 0, MPI_COMM_WORLD);
}

static void close_observer(observer *obs) {
	qmd_context_free(obs->context);
	qmd_engine_free(obs->engine);
	free(obs->place);
	free(obs->mine);
	free(obs->all);
	free(obs->probabilities);
}

int main(int argc, char **argv) {
	MPI_Init(&argc, &argv);
	if (argc != 4) {
		fprintf(stderr, "usage: embed_mpi ENGINE PDB TRAJECTORY\n");
		MPI_Abort(MPI_COMM_WORLD, 2);
		return 2;
	}
	simulation sim = {0};
	observer obs = {0};
	open_simulation(&sim, argv[2], argv[3]);
	open_observer(&obs, argv[1], &sim);
	const size_t n_steps = qmd_trajectory_n_frames(sim.trajectory);
	for (size_t step = 0; step < n_steps; step++) {
		advance(&sim, step);
		observe(&obs, &sim);
		if (sim.rank > 0 || step % 10 > 0)
			continue;
		printf("step %3zu:", step);
		for (size_t c = 0; c < obs.n_classes; c++)
			printf(" %s %.9g", qmd_engine_class_name(obs.engine, c), (double)obs.probabilities[c]);
		printf("\n");
	}
	close_observer(&obs);
	close_simulation(&sim);
	MPI_Finalize();
	return 0;
}
