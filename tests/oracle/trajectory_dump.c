/*
 * What libqmd reads, for test_trajectory.py to compare:
 *
 *     trajectory_dump topology PDB            an atom a line, members separated by tabs, coordinates in hexadecimal
 *     trajectory_dump select PDB SELECTION    an index a line
 *     trajectory_dump trajectory OUT FILE...  u64 frames, u64 atoms, f32 [frame][atom][3], then for each frame f64 time
 *                                             (NaN: none) and f64 box[9] (zeros: none; NaN: refused)
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qmd.h>

static void check(qmd_status status) {
	if (status == QMD_OK)
		return;
	fprintf(stderr, "%s: %s\n", qmd_status_name(status), qmd_last_error());
	exit(EXIT_FAILURE);
}

static void *allocate(size_t n, size_t size) {
	void *memory = calloc(n ? n : 1, size);
	if (!memory)
		abort();
	return memory;
}

static void dump_topology(const qmd_topology *topology) {
	const size_t n_atoms = qmd_topology_n_atoms(topology);
	float *xyz = allocate(n_atoms, 3 * sizeof *xyz);
	check(qmd_topology_coordinates(topology, xyz));
	for (size_t i = 0; i < n_atoms; i++) {
		qmd_atom atom;
		check(qmd_topology_atom(topology, i, &atom));
		const char insertion_code[2] = {atom.insertion_code, 0};
		printf("%s\t%s\t%s\t%s\t%" PRId32 "\t%s\t%d\t%" PRIu32 "\t%a\t%a\t%a\n", atom.name, atom.residue_name,
			   atom.chain, atom.element, atom.residue_number, insertion_code, atom.hetero, atom.residue,
			   (double)xyz[3 * i], (double)xyz[3 * i + 1], (double)xyz[3 * i + 2]);
	}
	free(xyz);
}

static void dump_selection(const qmd_topology *topology, const char *selection) {
	size_t n = qmd_topology_n_atoms(topology);
	uint32_t *indices = allocate(n, sizeof *indices);
	check(qmd_topology_select(topology, selection, &n, indices));
	for (size_t i = 0; i < n; i++)
		printf("%" PRIu32 "\n", indices[i]);
	free(indices);
}

static void put(const void *data, size_t size, FILE *file) {
	if (fwrite(data, 1, size, file) != size)
		abort();
}

static void dump_trajectory(qmd_trajectory *trajectory, const char *path) {
	const uint64_t n_frames = qmd_trajectory_n_frames(trajectory), n_atoms = qmd_trajectory_n_atoms(trajectory);
	const size_t frame_size = n_atoms * 3 * sizeof(float);
	float *xyz = allocate(n_frames, frame_size);
	FILE *file = fopen(path, "wb");
	if (!file)
		abort();
	check(qmd_trajectory_read(trajectory, 0, n_frames, xyz));
	put(&n_frames, sizeof n_frames, file);
	put(&n_atoms, sizeof n_atoms, file);
	put(xyz, n_frames * frame_size, file);
	for (uint64_t i = 0; i < n_frames; i++) {
		double time, box[9];
		int has_box;
		const qmd_status status = qmd_trajectory_time_ps(trajectory, i, &time);
		if (status == QMD_ERROR_STATE)
			time = NAN;
		else
			check(status);
		const qmd_status box_status = qmd_trajectory_box(trajectory, i, box, &has_box);
		if (box_status == QMD_ERROR_UNSUPPORTED)
			for (size_t j = 0; j < 9; j++)
				box[j] = NAN;
		else
			check(box_status);
		put(&time, sizeof time, file);
		put(box, sizeof box, file);
	}
	if (fclose(file) != 0)
		abort();
	free(xyz);
}

int main(int argc, char **argv) {
	if (argc >= 4 && strcmp(argv[1], "trajectory") == 0) {
		qmd_trajectory *trajectory;
		check(qmd_trajectory_open((const char *const *)argv + 3, (size_t)argc - 3, 0, &trajectory));
		dump_trajectory(trajectory, argv[2]);
		qmd_trajectory_free(trajectory);
		return EXIT_SUCCESS;
	}
	const int selects = argc == 4 && strcmp(argv[1], "select") == 0;
	if (!selects && !(argc == 3 && strcmp(argv[1], "topology") == 0)) {
		fprintf(stderr, "usage: trajectory_dump topology PDB | select PDB SELECTION | trajectory OUT FILE...\n");
		return 2;
	}
	qmd_topology *topology;
	check(qmd_topology_load(argv[2], &topology));
	if (selects)
		dump_selection(topology, argv[3]);
	else
		dump_topology(topology);
	qmd_topology_free(topology);
	return EXIT_SUCCESS;
}
