#include "dataset_fixture.h"

#include <stdio.h>

#include "netcdf_fixture.h"
#include "pdb_fixture.h"

qmd_dataset *qmdt_dataset(const char *selection, const char *map_path, size_t stride) {
	qmd_dataset_options options;
	qmd_dataset *dataset;
	qmd_dataset_options_init(&options);
	if (selection)
		options.selection = selection;
	options.map_path = map_path;
	options.stride = stride;
	qmdt_ok(qmd_dataset_create(&options, &dataset));
	return dataset;
}

qmd_status qmdt_add_frames(qmd_dataset *dataset, const char *name, const char *atoms, size_t n_frames) {
	const char *pdb = qmdt_write_pdb("state.pdb", atoms);
	qmd_topology *topology;
	qmdt_ok(qmd_topology_load(pdb, &topology));
	const qmdt_netcdf content = {.n_frames = n_frames, .n_atoms = qmd_topology_n_atoms(topology)};
	qmd_topology_free(topology);
	char file[64];
	snprintf(file, sizeof file, "%s.nc", *name ? name : "unnamed");
	const char *trajectory = qmdt_write_netcdf(file, &content);
	return qmd_dataset_add_state(dataset, name, pdb, &trajectory, 1);
}

qmd_status qmdt_add_state(qmd_dataset *dataset, const char *name, const char *atoms) {
	return qmdt_add_frames(dataset, name, atoms, 2);
}

void qmdt_check_shared(qmd_dataset *dataset, size_t state, size_t n, const uint32_t *expected) {
	uint32_t indices[QMDT_MOST_ATOMS];
	float xyz[3 * QMDT_MOST_ATOMS];
	ck_assert_uint_eq(qmd_dataset_n_atoms(dataset), n);
	qmdt_ok(qmd_dataset_atom_indices(dataset, state, indices));
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(indices[i], expected[i]);
	for (size_t frame = 0; frame < qmd_dataset_n_frames(dataset); frame++) {
		qmd_frame_origin origin;
		qmdt_ok(qmd_dataset_frame_origin(dataset, frame, &origin));
		if (origin.state != state)
			continue;
		qmdt_ok(qmd_dataset_read(dataset, frame, xyz));
		for (size_t i = 0; i < 3 * n; i++)
			ck_assert_float_eq(xyz[i], (float)qmdt_coordinate(origin.frame, expected[i / 3], i % 3));
	}
}

void qmdt_check_dropped(const qmd_dataset *dataset, size_t state, size_t n, const uint32_t *expected) {
	uint32_t indices[QMDT_MOST_ATOMS];
	size_t found = 0;
	qmdt_ok(qmd_dataset_dropped(dataset, state, &found, NULL));
	ck_assert_uint_eq(found, n);
	found = QMDT_MOST_ATOMS;
	qmdt_ok(qmd_dataset_dropped(dataset, state, &found, indices));
	ck_assert_uint_eq(found, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(indices[i], expected[i]);
	if (n > 0) {
		found = n - 1;
		qmdt_fails(qmd_dataset_dropped(dataset, state, &found, indices), QMD_ERROR_RANGE, "room");
		ck_assert_uint_eq(found, n);
	}
}

void qmdt_keep_line(void *user, qmd_log_level level, const char *text) {
	qmdt_log_lines *lines = user;
	ck_assert_int_eq(level, QMD_LOG_WARNING);
	snprintf(lines->last, sizeof lines->last, "%s", text);
	lines->n++;
}
