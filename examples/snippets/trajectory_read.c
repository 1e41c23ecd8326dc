/*
 * What the atoms are and where they are: topologies, selections and trajectories.
 *
 *     $ trajectory_read examples/data
 *     adk-open.pdb: 1656 atoms in 214 residues, the first is N of MET1
 *     it stands at -11.921 26.307 10.410
 *     LID domain: 43 alpha carbons, the first is atom 885
 *     two of them as a topology of their own: 2 atoms in 2 residues
 *     3 files, 120 frames of 1656 atoms, 40 of them in the first file
 *     frame 119 at 40 ps, without a box, its first atom at -11.110 26.168 7.988
 */
#include "snippets.h"

#include <stdio.h>
#include <stdlib.h>

/* [topology] */
static qmd_topology *load_topology(const char *path) {
	qmd_topology *topology;
	qmd_atom atom;
	check(qmd_topology_load(path, &topology));
	check(qmd_topology_atom(topology, 0, &atom));
	printf("adk-open.pdb: %zu atoms in %zu residues, the first is %s of %s%d\n", qmd_topology_n_atoms(topology),
		   qmd_topology_n_residues(topology), atom.name, atom.residue_name, atom.residue_number);

	float *xyz = allocate(qmd_topology_n_atoms(topology), 3 * sizeof *xyz);
	check(qmd_topology_coordinates(topology, xyz));
	printf("it stands at %.3f %.3f %.3f\n", (double)xyz[0], (double)xyz[1], (double)xyz[2]); /* angstrom */
	free(xyz);
	return topology; /* qmd_topology_free() when it is done with */
}
/* [topology] */

/* [select] */
static uint32_t *select_lid(const qmd_topology *topology, size_t *n) {
	const char *selection = "name CA and resid 118 to 160";
	check(qmd_topology_select(topology, selection, n, NULL)); /* how many */
	uint32_t *indices = allocate(*n, sizeof *indices);
	check(qmd_topology_select(topology, selection, n, indices)); /* which */
	printf("LID domain: %zu alpha carbons, the first is atom %u\n", *n, indices[0]);
	return indices;
}
/* [select] */

/* [topology from memory] */
static void make_topology(const qmd_topology *whole, const uint32_t indices[2]) {
	qmd_atom atoms[2]; /* as a host fills them in: names, residue, chain; {0} before */
	qmd_topology *part;
	for (size_t i = 0; i < 2; i++)
		check(qmd_topology_atom(whole, indices[i], &atoms[i]));
	check(qmd_topology_create(atoms, 2, &part));
	printf("two of them as a topology of their own: %zu atoms in %zu residues\n", qmd_topology_n_atoms(part),
		   qmd_topology_n_residues(part));
	qmd_topology_free(part);
}
/* [topology from memory] */

/* [read] */
static void read_last_frame(const char *const paths[3], size_t n_atoms) {
	qmd_trajectory *trajectory; /* three files, read as one */
	check(qmd_trajectory_open(paths, 3, n_atoms, &trajectory));
	const size_t n_frames = qmd_trajectory_n_frames(trajectory), last = n_frames - 1;
	printf("%zu files, %zu frames of %zu atoms, %zu of them in the first file\n", qmd_trajectory_n_files(trajectory),
		   n_frames, qmd_trajectory_n_atoms(trajectory), qmd_trajectory_n_file_frames(trajectory, 0));

	float *xyz = allocate(n_atoms, 3 * sizeof *xyz); /* angstrom */
	double time_ps, box[9];
	int has_box;
	check(qmd_trajectory_read(trajectory, last, 1, xyz));
	check(qmd_trajectory_time_ps(trajectory, last, &time_ps));
	check(qmd_trajectory_box(trajectory, last, box, &has_box));
	printf("frame %zu at %g ps, %s a box, its first atom at %.3f %.3f %.3f\n", last, time_ps,
		   has_box ? "with" : "without", (double)xyz[0], (double)xyz[1], (double)xyz[2]);
	free(xyz);
	qmd_trajectory_free(trajectory);
}
/* [read] */

int main(int argc, char **argv) {
	if (argc != 2)
		return 2;
	char pdb[1024], files[3][1024];
	const char *paths[3];
	snprintf(pdb, sizeof pdb, "%s/adk-open.pdb", argv[1]);
	for (int i = 0; i < 3; i++) {
		snprintf(files[i], sizeof files[i], "%s/adk-open-%d.nc", argv[1], i + 1);
		paths[i] = files[i];
	}
	qmd_topology *topology = load_topology(pdb);
	size_t n;
	uint32_t *lid = select_lid(topology, &n);
	make_topology(topology, lid);
	read_last_frame(paths, qmd_topology_n_atoms(topology));
	free(lid);
	qmd_topology_free(topology);
	return 0;
}
