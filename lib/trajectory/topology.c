#include "topology_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "elements.h"
#include "selection.h"

static int starts_residue(const qmd_atom *atom, const qmd_atom *before) {
	return atom->residue_number != before->residue_number || atom->insertion_code != before->insertion_code ||
		   strcmp(atom->chain, before->chain) != 0 || strcmp(atom->residue_name, before->residue_name) != 0;
}

size_t qmdi_number_residues(qmd_atom *atoms, size_t n_atoms) {
	uint32_t residue = 0;
	for (size_t i = 0; i < n_atoms; i++) {
		if (i > 0 && starts_residue(&atoms[i], &atoms[i - 1]))
			residue++;
		atoms[i].residue = residue;
	}
	return n_atoms > 0 ? (size_t)residue + 1 : 0;
}

int qmdi_compare_identity(const qmd_atom *a, const qmd_atom *b) {
	int order = strcmp(a->chain, b->chain);
	if (order == 0)
		order = (a->residue_number > b->residue_number) - (a->residue_number < b->residue_number);
	if (order == 0)
		order = (a->insertion_code > b->insertion_code) - (a->insertion_code < b->insertion_code);
	if (order == 0)
		order = strcmp(a->residue_name, b->residue_name);
	return order != 0 ? order : strcmp(a->name, b->name);
}

const char *qmdi_atom_text(const qmd_atom *atom, char text[QMDI_ATOM_TEXT_SIZE]) {
	const char insertion_code[2] = {atom->insertion_code, 0};
	snprintf(text, QMDI_ATOM_TEXT_SIZE, "chain %s residue %d%s %s atom %s", atom->chain[0] ? atom->chain : "-",
			 atom->residue_number, insertion_code, atom->residue_name, atom->name);
	return text;
}

qmd_status qmdi_topology_take(qmd_atom *atoms, size_t n_atoms, float *xyz, qmd_topology **topology) {
	qmd_topology *made = qmdi_zeroed(1, sizeof *made);
	if (!made) {
		qmdi_release(atoms);
		qmdi_release(xyz);
		return QMD_ERROR_MEMORY;
	}
	made->atoms = atoms;
	made->n_atoms = n_atoms;
	made->xyz = xyz;
	made->n_residues = qmdi_number_residues(atoms, n_atoms);
	*topology = made;
	return QMD_OK;
}

/* Texts of the host's atoms must end inside their arrays and hold visible characters alone. */
static qmd_status check_text(const char *text, size_t size, size_t atom, const char *member) {
	if (!memchr(text, 0, size))
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_topology_create: atoms[%zu].%s has no terminating NUL", atom, member);
	for (; *text; text++)
		if (*text <= ' ' || *text > '~')
			return qmdi_fail(QMD_ERROR_ARGUMENT,
							 "qmd_topology_create: atoms[%zu].%s: expected visible characters, found byte %d", atom,
							 member, (unsigned char)*text);
	return QMD_OK;
}

static qmd_status check_atom(const qmd_atom *atom, size_t index) {
	QMDI_TRY(check_text(atom->name, sizeof atom->name, index, "name"));
	QMDI_TRY(check_text(atom->residue_name, sizeof atom->residue_name, index, "residue_name"));
	QMDI_TRY(check_text(atom->chain, sizeof atom->chain, index, "chain"));
	QMDI_TRY(check_text(atom->element, sizeof atom->element, index, "element"));
	const char insertion_code[2] = {atom->insertion_code, 0};
	QMDI_TRY(check_text(insertion_code, sizeof insertion_code, index, "insertion_code"));
	if (!atom->name[0])
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_topology_create: atoms[%zu].name is empty", index);
	return QMD_OK;
}

qmd_status qmd_topology_create(const qmd_atom *atoms, size_t n_atoms, qmd_topology **topology) {
	QMDI_REQUIRE(topology);
	*topology = NULL;
	QMDI_REQUIRE(atoms);
	if (n_atoms == 0 || n_atoms > QMDI_MAX_ATOMS)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_topology_create: n_atoms is %zu, expected 1 to %zu", n_atoms,
						 QMDI_MAX_ATOMS);
	for (size_t i = 0; i < n_atoms; i++)
		QMDI_TRY(check_atom(&atoms[i], i));
	qmd_atom *copy = qmdi_copy(atoms, n_atoms, sizeof *copy);
	if (!copy)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < n_atoms; i++) {
		copy[i].hetero = copy[i].hetero != 0;
		copy[i].reserved = 0;
		if (!copy[i].element[0])
			qmdi_guess_element(copy[i].name, copy[i].residue_name, 0, copy[i].element);
	}
	return qmdi_topology_take(copy, n_atoms, NULL, topology);
}

void qmd_topology_free(qmd_topology *topology) {
	if (!topology)
		return;
	qmdi_release(topology->atoms);
	qmdi_release(topology->xyz);
	qmdi_release(topology);
}

size_t qmd_topology_n_atoms(const qmd_topology *topology) {
	return topology ? topology->n_atoms : 0;
}

size_t qmd_topology_n_residues(const qmd_topology *topology) {
	return topology ? topology->n_residues : 0;
}

qmd_status qmd_topology_atom(const qmd_topology *topology, size_t index, qmd_atom *atom) {
	QMDI_REQUIRE(topology);
	QMDI_REQUIRE(atom);
	if (index >= topology->n_atoms)
		return qmdi_fail(QMD_ERROR_RANGE, "qmd_topology_atom: index is %zu, but there are %zu atoms", index,
						 topology->n_atoms);
	*atom = topology->atoms[index];
	return QMD_OK;
}

qmd_status qmd_topology_coordinates(const qmd_topology *topology, float *xyz) {
	QMDI_REQUIRE(topology);
	QMDI_REQUIRE(xyz);
	if (!topology->xyz)
		return qmdi_fail(QMD_ERROR_STATE, "qmd_topology_coordinates: a topology made from memory has no coordinates");
	memcpy(xyz, topology->xyz, topology->n_atoms * 3 * sizeof *xyz);
	return QMD_OK;
}

qmd_status qmd_topology_select(const qmd_topology *topology, const char *selection, size_t *n, uint32_t *indices) {
	QMDI_REQUIRE(topology);
	QMDI_REQUIRE(selection);
	QMDI_REQUIRE(n);
	return qmdi_select("qmd_topology_select", topology->atoms, topology->n_atoms, selection, n, indices);
}
