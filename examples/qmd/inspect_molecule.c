#include "inspect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "table.h"

/* ---- PDB ---- */

/* Chains in the order of their first atom: {"chain", "n_residues", "n_atoms", "first", "last"} */
static int list_chains(const qmd_topology *topology, json_t *chains) {
	qmd_atom atom;
	uint32_t last_residue = UINT32_MAX;
	for (size_t i = 0; i < qmd_topology_n_atoms(topology); i++) {
		TRY_QMD(qmd_topology_atom(topology, i, &atom));
		json_t *chain = NULL, *entry;
		size_t c;
		json_array_foreach(chains, c, entry) {
			if (strcmp(json_string_value(json_object_get(entry, "chain")), atom.chain) == 0)
				chain = entry;
		}
		if (!chain) {
			chain = json_pack("{s:s, s:i, s:i, s:i}", "chain", atom.chain, "n_residues", 0, "n_atoms", 0,
							  "first_residue", (int)atom.residue_number);
			if (!chain || json_array_append_new(chains, chain) != 0)
				return report_fail();
		}
		const json_int_t n_residues = json_integer_value(json_object_get(chain, "n_residues"));
		const json_int_t n_atoms = json_integer_value(json_object_get(chain, "n_atoms"));
		json_object_set_new(chain, "n_residues", json_integer(n_residues + (atom.residue != last_residue)));
		json_object_set_new(chain, "n_atoms", json_integer(n_atoms + 1));
		json_object_set_new(chain, "last_residue", json_integer(atom.residue_number));
		last_residue = atom.residue;
	}
	return PROGRAM_OK;
}

static int count_selections(const program_arguments *arguments, const qmd_topology *topology, json_t *counts) {
	const char *const selections[] = {"all",      "protein", "protein and noh", "backbone",          "name CA",
									  "hydrogen", "water",   "hetero",          arguments->selection};
	for (size_t i = 0; i < sizeof selections / sizeof *selections && selections[i]; i++) {
		size_t n = 0;
		TRY_QMD(qmd_topology_select(topology, selections[i], &n, NULL));
		json_array_append_new(counts, json_pack("{s:s, s:I}", "selection", selections[i], "n_atoms", (json_int_t)n));
	}
	return PROGRAM_OK;
}

static void print_topology(const char *path, const json_t *json) {
	static const char *const chain_headings[] = {"<chain", "residues", "atoms", "first", "last", NULL};
	static const char *const selection_headings[] = {"<selection", "atoms", NULL};
	printf("%s: PDB, %.0f atoms of %.0f residues\n\n", path, report_get(json, "n_atoms", NULL),
		   report_get(json, "n_residues", NULL));
	table t;
	size_t i;
	json_t *row;
	table_start(&t, chain_headings);
	json_array_foreach(json_object_get(json, "chains"), i, row) {
		table_cell(&t, "%s", json_string_value(json_object_get(row, "chain")));
		table_number(&t, report_get(row, "n_residues", NULL), 0);
		table_number(&t, report_get(row, "n_atoms", NULL), 0);
		table_number(&t, report_get(row, "first_residue", NULL), 0);
		table_number(&t, report_get(row, "last_residue", NULL), 0);
	}
	table_print(&t, stdout);
	printf("\n");
	table_start(&t, selection_headings);
	json_array_foreach(json_object_get(json, "selections"), i, row) {
		table_cell(&t, "%s", json_string_value(json_object_get(row, "selection")));
		table_number(&t, report_get(row, "n_atoms", NULL), 0);
	}
	table_print(&t, stdout);
}

int inspect_topology(const program_arguments *arguments, const char *path) {
	qmd_topology *topology = NULL;
	TRY_QMD(qmd_topology_load(path, &topology));
	json_t *json = json_pack("{s:s, s:s, s:I, s:I, s:[], s:[]}", "file", path, "kind", "pdb", "n_atoms",
							 (json_int_t)qmd_topology_n_atoms(topology), "n_residues",
							 (json_int_t)qmd_topology_n_residues(topology), "chains", "selections");
	int code = json ? list_chains(topology, json_object_get(json, "chains")) : report_fail();
	if (code == PROGRAM_OK)
		code = count_selections(arguments, topology, json_object_get(json, "selections"));
	if (code == PROGRAM_OK && arguments->json)
		code = report_print(json);
	else if (code == PROGRAM_OK)
		print_topology(path, json);
	json_decref(json);
	qmd_topology_free(topology);
	return code;
}

/* ---- Trajectories ---- */

/* What all frames have in common. Every frame is read: a file that is inspected can be used. */
typedef struct extent {
	float low[3], high[3];    /* angstrom */
	double first_ps, last_ps; /* NaN: the file has no times */
	double box[9];            /* of the first frame */
	int has_box;
} extent;

static int read_frames(qmd_trajectory *trajectory, float *xyz, extent *e) {
	const size_t n_frames = qmd_trajectory_n_frames(trajectory), n_atoms = qmd_trajectory_n_atoms(trajectory);
	for (size_t frame = 0; frame < n_frames; frame++) {
		TRY_QMD(qmd_trajectory_read(trajectory, frame, 1, xyz));
		for (size_t i = 0; i < 3 * n_atoms; i++) {
			e->low[i % 3] = fminf(e->low[i % 3], xyz[i]);
			e->high[i % 3] = fmaxf(e->high[i % 3], xyz[i]);
		}
	}
	return PROGRAM_OK;
}

static int measure(qmd_trajectory *trajectory, extent *e) {
	*e = (extent){.low = {INFINITY, INFINITY, INFINITY},
				  .high = {-INFINITY, -INFINITY, -INFINITY},
				  .first_ps = NAN,
				  .last_ps = NAN};
	const size_t n_frames = qmd_trajectory_n_frames(trajectory);
	if (n_frames == 0)
		return PROGRAM_OK;
	float *xyz = malloc(qmd_trajectory_n_atoms(trajectory) * 3 * sizeof *xyz);
	if (!xyz)
		return fail_memory();
	const int code = read_frames(trajectory, xyz, e);
	free(xyz);
	TRY(code);
	qmd_status status = qmd_trajectory_time_ps(trajectory, 0, &e->first_ps);
	if (status == QMD_OK)
		status = qmd_trajectory_time_ps(trajectory, n_frames - 1, &e->last_ps);
	if (status != QMD_OK && status != QMD_ERROR_STATE)
		return fail_status(status);
	TRY_QMD(qmd_trajectory_box(trajectory, 0, e->box, &e->has_box));
	return PROGRAM_OK;
}

static json_t *describe_trajectory(const char *path, const char *kind, const qmd_trajectory *trajectory,
								   const extent *e) {
	json_t *box = json_array();
	for (size_t i = 0; e->has_box && i < 9; i++)
		json_array_append_new(box, report_number(e->box[i]));
	return json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:[o,o,o], s:[o,o,o], s:s}", "file", path, "kind", kind,
					 "n_frames", (json_int_t)qmd_trajectory_n_frames(trajectory), "n_atoms",
					 (json_int_t)qmd_trajectory_n_atoms(trajectory), "first_time_ps", report_number(e->first_ps),
					 "last_time_ps", report_number(e->last_ps), "box", box, "low", report_number((double)e->low[0]),
					 report_number((double)e->low[1]), report_number((double)e->low[2]), "high",
					 report_number((double)e->high[0]), report_number((double)e->high[1]),
					 report_number((double)e->high[2]), "length_unit", "angstrom");
}

static void print_trajectory(const char *path, const char *kind, const qmd_trajectory *trajectory, const extent *e) {
	printf("%s: trajectory (%s), %zu frames of %zu atoms, all read\n", path, kind, qmd_trajectory_n_frames(trajectory),
		   qmd_trajectory_n_atoms(trajectory));
	if (isfinite(e->first_ps))
		printf("time         %.9g to %.9g ps\n", e->first_ps, e->last_ps);
	else
		printf("time         none\n");
	if (isfinite(e->low[0]))
		printf("coordinates  x %.3f to %.3f, y %.3f to %.3f, z %.3f to %.3f angstrom\n", (double)e->low[0],
			   (double)e->high[0], (double)e->low[1], (double)e->high[1], (double)e->low[2], (double)e->high[2]);
	if (!e->has_box) {
		printf("box          none\n");
		return;
	}
	for (size_t i = 0; i < 3; i++)
		printf("box %c        %9.4f %9.4f %9.4f angstrom%s\n", (int)('a' + i), e->box[3 * i], e->box[3 * i + 1],
			   e->box[3 * i + 2], i == 0 ? " (first frame)" : "");
}

int inspect_trajectory(const program_arguments *arguments, const char *path, const char *kind) {
	qmd_trajectory *trajectory = NULL;
	TRY_QMD(qmd_trajectory_open(&path, 1, 0, &trajectory));
	extent e;
	int code = measure(trajectory, &e);
	if (code == PROGRAM_OK && arguments->json) {
		json_t *json = describe_trajectory(path, kind, trajectory, &e);
		code = report_print(json);
		json_decref(json);
	} else if (code == PROGRAM_OK) {
		print_trajectory(path, kind, trajectory, &e);
	}
	qmd_trajectory_free(trajectory);
	return code;
}
