/*
 * States of one molecule, seen through the atoms that they share; and which of their frames train, which test.
 *
 *     $ trajectory_states examples/data
 *     open: 3 replicas, 856 atoms selected, 0 of them only there
 *     closed: 3 replicas, 856 atoms selected, 0 of them only there
 *     240 frames of 856 shared atoms in 214 residues, the last is O of GLY214
 *     frame 130 is frame 10 of replica 1 of closed, without a box; its first shared atom is atom 0 of the file
 *     from memory: 2 states, 4 frames
 *     by replica: 160 frames train, 80 test, the first of them frame 0
 *     by block: 186 frames train, 48 test, the first of them frame 0
 *     icnnmd: 192 frames train, 48 test, the first of them frame 0
 *     all: 240 frames train, 0 test
 *     shuffled: 240 frames of 2 states as before
 */
#include "snippets.h"

#include <stdio.h>
#include <stdlib.h>

/* [states] */
static qmd_dataset *match(const char *folder) {
	static const char *const names[2] = {"open", "closed"};
	qmd_dataset_options options;
	qmd_dataset_options_init(&options);
	options.selection = "backbone";
	qmd_dataset *dataset;
	check(qmd_dataset_create(&options, &dataset));
	for (size_t s = 0; s < 2; s++) {
		char topology[1024], files[3][1024];
		const char *trajectories[3]; /* one a replica: an independent simulation */
		snprintf(topology, sizeof topology, "%s/adk-%s.pdb", folder, names[s]);
		for (int r = 0; r < 3; r++) {
			snprintf(files[r], sizeof files[r], "%s/adk-%s-%d.nc", folder, names[s], r + 1);
			trajectories[r] = files[r];
		}
		check(qmd_dataset_add_state(dataset, names[s], topology, trajectories, 3));
	}
	return dataset; /* qmd_dataset_free() closes the files */
}
/* [states] */

/* [what is shared] */
static void print_shared(const qmd_dataset *dataset) {
	for (size_t s = 0; s < qmd_dataset_n_states(dataset); s++) {
		size_t n_selected, n_dropped = 0;
		check(qmd_topology_select(qmd_dataset_topology(dataset, s), "backbone", &n_selected, NULL));
		check(qmd_dataset_dropped(dataset, s, &n_dropped, NULL));
		printf("%s: %zu replicas, %zu atoms selected, %zu of them only there\n", qmd_dataset_state_name(dataset, s),
			   qmd_dataset_n_replicas(dataset, s), n_selected, n_dropped);
	}
	qmd_atom last;
	check(qmd_dataset_atom(dataset, qmd_dataset_n_atoms(dataset) - 1, &last));
	printf("%zu frames of %zu shared atoms in %zu residues, the last is %s of %s%d\n", qmd_dataset_n_frames(dataset),
		   qmd_dataset_n_atoms(dataset), qmd_dataset_n_residues(dataset), last.name, last.residue_name,
		   last.residue_number);
}
/* [what is shared] */

/* [a frame] */
static void read_frame(qmd_dataset *dataset, size_t frame) {
	const size_t n_atoms = qmd_dataset_n_atoms(dataset);
	float *xyz = allocate(n_atoms, 3 * sizeof *xyz);
	uint32_t *indices = allocate(n_atoms, sizeof *indices);
	qmd_frame_origin origin;
	double box[9];
	int has_box;
	check(qmd_dataset_frame_origin(dataset, frame, &origin));
	check(qmd_dataset_read(dataset, frame, xyz)); /* the shared atoms alone, in angstrom */
	check(qmd_dataset_box(dataset, frame, box, &has_box));
	check(qmd_dataset_atom_indices(dataset, origin.state, indices));
	printf("frame %zu is frame %llu of replica %u of %s, %s a box; its first shared atom is atom %u of the file\n",
		   frame, (unsigned long long)origin.frame, origin.replica + 1, qmd_dataset_state_name(dataset, origin.state),
		   has_box ? "with" : "without", indices[0]);
	free(indices);
	free(xyz);
}
/* [a frame] */

/* [frames from memory] */
static void add_from_memory(const qmd_topology *topology) {
	const size_t n_numbers = 3 * qmd_topology_n_atoms(topology);
	float *xyz = allocate(2 * n_numbers, sizeof *xyz); /* two frames, copied by the call */
	check(qmd_topology_coordinates(topology, xyz));
	check(qmd_topology_coordinates(topology, xyz + n_numbers));
	qmd_dataset *dataset;
	check(qmd_dataset_create(NULL, &dataset));
	check(qmd_dataset_add_frames(dataset, "as it is", topology, xyz, 2));
	check(qmd_dataset_add_frames(dataset, "once more", topology, xyz, 2));
	printf("from memory: %zu states, %zu frames\n", qmd_dataset_n_states(dataset), qmd_dataset_n_frames(dataset));
	qmd_dataset_free(dataset);
	free(xyz);
}
/* [frames from memory] */

/* [frames of a split] */
static void print_split(const char *name, qmd_split *split) {
	size_t n_train, n_test;
	qmd_split_train(split, &n_train);
	const uint32_t *test = qmd_split_test(split, &n_test); /* borrowed until the split is freed */
	printf("%s: %zu frames train, %zu test", name, n_train, n_test);
	if (n_test > 0)
		printf(", the first of them frame %u", test[0]);
	printf("\n");
	qmd_split_free(split);
}
/* [frames of a split] */

/* [splits] */
static void part_frames(const qmd_dataset *dataset) {
	qmd_split *split;
	/* Whole simulations are held out: what to use where there are several of each state. */
	check(qmd_split_by_replica(dataset, 0, &split));
	print_split("by replica", split);
	/* The first fifth of each, and a frame beyond it that is used for nothing: where there is one of each. */
	check(qmd_split_by_block(dataset, 5, 0, 1, &split));
	print_split("by block", split);
	/* To compare with published numbers: neighbours in time of most test frames train, and the log says so. */
	check(qmd_split_icnnmd(dataset, 5, 0, 1, &split));
	print_split("icnnmd", split);
	/* For a network that is not to be tested here. */
	check(qmd_split_all(dataset, &split));
	print_split("all", split);
}
/* [splits] */

/* [shuffled labels] */
static void shuffle(qmd_dataset *dataset) {
	/* What a network learns from this, and what explains it, is chance: a control of everything that follows. */
	check(qmd_dataset_shuffle_labels(dataset, 1));
	printf("shuffled: %zu frames of %zu states as before\n", qmd_dataset_n_frames(dataset),
		   qmd_dataset_n_states(dataset));
}
/* [shuffled labels] */

int main(int argc, char **argv) {
	if (argc != 2)
		return 2;
	qmd_dataset *dataset = match(argv[1]);
	print_shared(dataset);
	read_frame(dataset, 130);
	add_from_memory(qmd_dataset_topology(dataset, 0));
	part_frames(dataset);
	shuffle(dataset);
	qmd_dataset_free(dataset);
	return 0;
}
