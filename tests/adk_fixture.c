#include "adk_fixture.h"

#include <stdio.h>

static void add_state(qmd_dataset *dataset, const char *state) {
	char pdb[64], netcdf[64];
	snprintf(pdb, sizeof pdb, "adk-%s.pdb", state);
	snprintf(netcdf, sizeof netcdf, "adk-%s-1.nc", state);
	const char *file = qmdt_bundled(netcdf);
	qmdt_ok(qmd_dataset_add_state(dataset, state, qmdt_bundled(pdb), &file, 1));
}

static qmd_engine *make_engine(qmd_dataset *dataset, int32_t kind) {
	static const char *const names[] = {"open", "closed"};
	qmd_pixels_options pixels_options;
	qmd_quantize_options quantize_options;
	qmd_split *split;
	qmd_pixels *pixels;
	qmd_model *model, *quantized;
	qmd_engine *engine;
	qmd_pixels_options_init(&pixels_options);
	qmd_quantize_options_init(&quantize_options);
	pixels_options.kind = kind;
	quantize_options.epochs = 0;
	qmdt_ok(qmd_split_all(dataset, &split));
	qmdt_ok(qmd_pixels_fit(dataset, split, &pixels_options, &pixels));
	const uint32_t side = (uint32_t)qmd_pixels_side(pixels);
	qmdt_ok(qmd_model_create_preset("icnnmd", (qmd_shape){side, side, 3}, 2, 1, &model));
	qmdt_ok(qmd_model_bind(model, pixels, names));
	qmdt_ok(qmd_quantize(model, dataset, split, &quantize_options, &quantized));
	qmdt_ok(qmd_engine_compile(quantized, NULL, &engine));
	qmd_model_free(quantized);
	qmd_model_free(model);
	qmd_pixels_free(pixels);
	qmd_split_free(split);
	return engine;
}

void qmdt_adk_make(qmdt_adk *adk, int32_t kind) {
	qmdt_ok(qmd_dataset_create(NULL, &adk->dataset));
	add_state(adk->dataset, "open");
	add_state(adk->dataset, "closed");
	adk->engine = make_engine(adk->dataset, kind);
	adk->n_frames = qmd_dataset_n_frames(adk->dataset);
	adk->n_atoms = qmd_engine_n_atoms(adk->engine);
	adk->xyz = malloc(adk->n_frames * adk->n_atoms * 3 * sizeof *adk->xyz);
	ck_assert_ptr_nonnull(adk->xyz);
	for (size_t i = 0; i < adk->n_frames; i++)
		qmdt_ok(qmd_dataset_read(adk->dataset, i, adk->xyz + i * adk->n_atoms * 3));
}

void qmdt_adk_free(qmdt_adk *adk) {
	qmd_engine_free(adk->engine);
	qmd_dataset_free(adk->dataset);
	free(adk->xyz);
}

qmd_frame qmdt_adk_frame(const qmdt_adk *adk, size_t index) {
	qmd_frame frame;
	qmd_frame_init(&frame);
	frame.xyz = adk->xyz + index * adk->n_atoms * 3;
	frame.n_atoms = adk->n_atoms;
	return frame;
}
