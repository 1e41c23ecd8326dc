#include "atoms.h"

#include <stdlib.h>
#include <string.h>

static int copy_atoms(const qmd_topology *topology, qmd_atom **atoms, size_t *n) {
	*n = qmd_topology_n_atoms(topology);
	*atoms = calloc(*n, sizeof **atoms);
	if (!*atoms)
		return fail_memory();
	for (size_t i = 0; i < *n; i++) {
		const qmd_status status = qmd_topology_atom(topology, i, &(*atoms)[i]);
		if (status == QMD_OK)
			continue;
		free(*atoms);
		*atoms = NULL;
		return fail_status(status);
	}
	return PROGRAM_OK;
}

int atoms_load(const char *path, qmd_atom **atoms, size_t *n) {
	qmd_topology *topology = NULL;
	TRY_QMD(qmd_topology_load(path, &topology));
	const int code = copy_atoms(topology, atoms, n);
	qmd_topology_free(topology);
	return code;
}

int atoms_check_pixels(const qmd_pixels *pixels, const qmd_dataset *dataset) {
	const size_t n = qmd_pixels_n_atoms(pixels);
	if (qmd_dataset_n_atoms(dataset) != n)
		return fail("the states share %zu atoms, the pixels show %zu", qmd_dataset_n_atoms(dataset), n);
	for (size_t i = 0; i < n; i++) {
		qmd_atom own, wanted;
		TRY_QMD(qmd_dataset_atom(dataset, i, &own));
		TRY_QMD(qmd_pixels_atom(pixels, i, &wanted));
		if (strcmp(own.chain, wanted.chain) != 0 || own.residue_number != wanted.residue_number ||
			own.insertion_code != wanted.insertion_code || strcmp(own.residue_name, wanted.residue_name) != 0 ||
			strcmp(own.name, wanted.name) != 0)
			return fail("atom %zu of the states is %s%s%d:%s, of the pixels %s%s%d:%s", i, own.chain, own.residue_name,
						own.residue_number, own.name, wanted.chain, wanted.residue_name, wanted.residue_number,
						wanted.name);
	}
	return PROGRAM_OK;
}

int atoms_find(const qmd_dataset *dataset, uint32_t **indices) {
	*indices = calloc(qmd_dataset_n_atoms(dataset) + 1, sizeof **indices);
	if (!*indices)
		return fail_memory();
	const qmd_status status = qmd_dataset_atom_indices(dataset, 0, *indices);
	if (status == QMD_OK)
		return PROGRAM_OK;
	free(*indices);
	*indices = NULL;
	return fail_status(status);
}
