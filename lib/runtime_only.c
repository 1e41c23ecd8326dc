/*
 * What a runtime-only build leaves out (QMD_RUNTIME_ONLY): the same symbols, so that one program links against either
 * library. What could fail fails with QMD_ERROR_UNSUPPORTED and makes no handle; what counts says 0; what is borrowed
 * is NULL.
 */
#include <qmd.h>

#include "base/error.h"

/* The parameters are the headers', their values are nothing to a function that is not there. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

#define LEFT_OUT qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s: not in a runtime-only build of libqmd", __func__)

/* A function that would return a status. */
#define FAILS(name, ...)                                                                                               \
	qmd_status name(__VA_ARGS__) {                                                                                     \
		return LEFT_OUT;                                                                                               \
	}

/* A function that would make a handle, `made` being its last parameter. */
#define MAKES_NONE(name, made, ...)                                                                                    \
	qmd_status name(__VA_ARGS__) {                                                                                     \
		if (made)                                                                                                      \
			*(made) = NULL;                                                                                            \
		return LEFT_OUT;                                                                                               \
	}

/* A function that counts, or lends what there is none of. */
#define GIVES_NOTHING(type, name, ...)                                                                                 \
	type name(__VA_ARGS__) {                                                                                           \
		return 0;                                                                                                      \
	}

/* A handle that nobody has. */
#define FREES_NOTHING(name, type)                                                                                      \
	void name(type *handle) {                                                                                          \
	}

#define HAS_NO_DEFAULTS(name, type)                                                                                    \
	void name(type *options, size_t size) {                                                                            \
		const type defaults = {.struct_size = sizeof defaults};                                                        \
		qmdi_struct_fill(options, size, &defaults, sizeof defaults);                                                   \
	}

/* One declaration a line, as in the headers. */
/* clang-format off */
/* NOLINTBEGIN(misc-unused-parameters) */

/* ---- trajectory.h ---- */

MAKES_NONE(qmd_topology_load, topology, const char *path, qmd_topology **topology)
MAKES_NONE(qmd_topology_create, topology, const qmd_atom *atoms, size_t n_atoms, qmd_topology **topology)
FREES_NOTHING(qmd_topology_free, qmd_topology)
GIVES_NOTHING(size_t, qmd_topology_n_atoms, const qmd_topology *topology)
GIVES_NOTHING(size_t, qmd_topology_n_residues, const qmd_topology *topology)
FAILS(qmd_topology_atom, const qmd_topology *topology, size_t index, qmd_atom *atom)
FAILS(qmd_topology_coordinates, const qmd_topology *topology, float *xyz)
FAILS(qmd_topology_select, const qmd_topology *topology, const char *selection, size_t *n, uint32_t *indices)

MAKES_NONE(qmd_trajectory_open, trajectory, const char *const *paths, size_t n_paths, size_t n_atoms,
           qmd_trajectory **trajectory)
FREES_NOTHING(qmd_trajectory_free, qmd_trajectory)
GIVES_NOTHING(size_t, qmd_trajectory_n_atoms, const qmd_trajectory *trajectory)
GIVES_NOTHING(size_t, qmd_trajectory_n_frames, const qmd_trajectory *trajectory)
GIVES_NOTHING(size_t, qmd_trajectory_n_files, const qmd_trajectory *trajectory)
GIVES_NOTHING(size_t, qmd_trajectory_n_file_frames, const qmd_trajectory *trajectory, size_t file)
FAILS(qmd_trajectory_read, qmd_trajectory *trajectory, size_t first, size_t n, float *xyz)
FAILS(qmd_trajectory_time_ps, qmd_trajectory *trajectory, size_t frame, double *time_ps)
FAILS(qmd_trajectory_box, qmd_trajectory *trajectory, size_t frame, double box[9], int *has_box)

HAS_NO_DEFAULTS(qmd_dataset_options_init_sized, qmd_dataset_options)
MAKES_NONE(qmd_dataset_create, dataset, const qmd_dataset_options *options, qmd_dataset **dataset)
FREES_NOTHING(qmd_dataset_free, qmd_dataset)
FAILS(qmd_dataset_add_state, qmd_dataset *dataset, const char *name, const char *topology_path,
      const char *const *trajectory_paths, size_t n_paths)
FAILS(qmd_dataset_add_frames, qmd_dataset *dataset, const char *name, const qmd_topology *topology, const float *xyz,
      size_t n_frames)
GIVES_NOTHING(size_t, qmd_dataset_n_states, const qmd_dataset *dataset)
GIVES_NOTHING(const char *, qmd_dataset_state_name, const qmd_dataset *dataset, size_t state)
GIVES_NOTHING(size_t, qmd_dataset_n_replicas, const qmd_dataset *dataset, size_t state)
GIVES_NOTHING(size_t, qmd_dataset_n_frames, const qmd_dataset *dataset)
GIVES_NOTHING(size_t, qmd_dataset_n_atoms, const qmd_dataset *dataset)
GIVES_NOTHING(size_t, qmd_dataset_n_residues, const qmd_dataset *dataset)
FAILS(qmd_dataset_atom, const qmd_dataset *dataset, size_t index, qmd_atom *atom)
FAILS(qmd_dataset_atom_indices, const qmd_dataset *dataset, size_t state, uint32_t *indices)
FAILS(qmd_dataset_dropped, const qmd_dataset *dataset, size_t state, size_t *n, uint32_t *indices)
GIVES_NOTHING(const qmd_topology *, qmd_dataset_topology, const qmd_dataset *dataset, size_t state)
FAILS(qmd_dataset_frame_origin, const qmd_dataset *dataset, size_t frame, qmd_frame_origin *origin)
FAILS(qmd_dataset_read, qmd_dataset *dataset, size_t frame, float *xyz)
FAILS(qmd_dataset_box, qmd_dataset *dataset, size_t frame, double box[9], int *has_box)
FAILS(qmd_dataset_shuffle_labels, qmd_dataset *dataset, uint64_t seed)

MAKES_NONE(qmd_split_by_replica, split, const qmd_dataset *dataset, size_t fold, qmd_split **split)
MAKES_NONE(qmd_split_by_block, split, const qmd_dataset *dataset, size_t n_folds, size_t fold, size_t gap,
           qmd_split **split)
MAKES_NONE(qmd_split_icnnmd, split, const qmd_dataset *dataset, size_t n_folds, size_t fold, uint64_t seed,
           qmd_split **split)
MAKES_NONE(qmd_split_all, split, const qmd_dataset *dataset, qmd_split **split)
FREES_NOTHING(qmd_split_free, qmd_split)

const uint32_t *qmd_split_train(const qmd_split *split, size_t *n) {
	if (n)
		*n = 0;
	return NULL;
}

const uint32_t *qmd_split_test(const qmd_split *split, size_t *n) {
	return qmd_split_train(split, n);
}

/* ---- pixels.h ---- */

HAS_NO_DEFAULTS(qmd_pixels_options_init_sized, qmd_pixels_options)
MAKES_NONE(qmd_pixels_fit, pixels, qmd_dataset *dataset, const qmd_split *split, const qmd_pixels_options *options,
           qmd_pixels **pixels)
FAILS(qmd_pixels_run_dataset, const qmd_pixels *pixels, qmd_dataset *dataset, const uint32_t *indices, size_t n,
      void *images)
FAILS(qmd_pixels_write_png, const qmd_pixels *pixels, const void *image, const char *path)

/* ---- model.h ---- */

void qmd_layer_init_sized(qmd_layer *layer, size_t size, int32_t kind) {
	const qmd_layer defaults = {.struct_size = sizeof defaults, .kind = kind};
	qmdi_struct_fill(layer, size, &defaults, sizeof defaults);
}

MAKES_NONE(qmd_model_create, model, qmd_shape input, qmd_model **model)
MAKES_NONE(qmd_model_create_preset, model, const char *name, qmd_shape input, uint32_t n_classes, uint64_t seed,
           qmd_model **model)
FAILS(qmd_model_add, qmd_model *model, const qmd_layer *layer, int32_t *id)
FAILS(qmd_model_initialize, qmd_model *model, uint64_t seed)
FREES_NOTHING(qmd_model_free, qmd_model)
GIVES_NOTHING(size_t, qmd_model_n_layers, const qmd_model *model)
FAILS(qmd_model_layer, const qmd_model *model, size_t id, qmd_layer *layer, qmd_shape *output)
GIVES_NOTHING(size_t, qmd_model_n_parameters, const qmd_model *model)
GIVES_NOTHING(uint64_t, qmd_model_n_macs, const qmd_model *model)
GIVES_NOTHING(size_t, qmd_model_n_classes, const qmd_model *model)
GIVES_NOTHING(const char *, qmd_model_class_name, const qmd_model *model, size_t index)
FAILS(qmd_model_parameters, const qmd_model *model, const char *layer, const char *parameter, size_t *n, float *values)
FAILS(qmd_model_set_parameters, qmd_model *model, const char *layer, const char *parameter, size_t n,
      const float *values)
FAILS(qmd_model_bind, qmd_model *model, qmd_pixels *pixels, const char *const *class_names)
GIVES_NOTHING(const qmd_pixels *, qmd_model_pixels, const qmd_model *model)
GIVES_NOTHING(int, qmd_model_is_quantized, const qmd_model *model)
FAILS(qmd_model_save, const qmd_model *model, const char *path)
MAKES_NONE(qmd_model_load, model, const char *path, qmd_model **model)

/* ---- train.h ---- */

HAS_NO_DEFAULTS(qmd_train_options_init_sized, qmd_train_options)
FAILS(qmd_train, qmd_model *model, qmd_dataset *dataset, const qmd_split *split, qmd_pixels *pixels,
      const qmd_train_options *options)
FAILS(qmd_train_images, qmd_model *model, const void *images, qmd_type image_type, const uint32_t *labels,
      size_t n_images, const qmd_train_options *options)
HAS_NO_DEFAULTS(qmd_predictor_options_init_sized, qmd_predictor_options)
MAKES_NONE(qmd_predictor_create, predictor, const qmd_model *model, const qmd_predictor_options *options,
           qmd_predictor **predictor)
FREES_NOTHING(qmd_predictor_free, qmd_predictor)
FAILS(qmd_predictor_run_images, qmd_predictor *predictor, const void *images, qmd_type image_type, size_t n,
      float *logits, float *probabilities)
FAILS(qmd_predictor_run, qmd_predictor *predictor, const qmd_frame *frames, size_t n, float *logits,
      float *probabilities)
GIVES_NOTHING(size_t, qmd_predictor_n_layers, const qmd_predictor *predictor)
FAILS(qmd_predictor_layer_info, const qmd_predictor *predictor, size_t index, qmd_predictor_layer *layer)
FAILS(qmd_predictor_time, qmd_predictor *predictor, const void *images, qmd_type image_type, size_t n,
      uint32_t n_repeats, qmd_run_time *times)
FAILS(qmd_predictor_time_layers, qmd_predictor *predictor, const void *images, qmd_type image_type, size_t n,
      uint32_t n_repeats, double *times)

/* ---- quantize.h ---- */

HAS_NO_DEFAULTS(qmd_quantize_options_init_sized, qmd_quantize_options)
MAKES_NONE(qmd_quantize, quantized, const qmd_model *model, qmd_dataset *dataset, const qmd_split *split,
           const qmd_quantize_options *options, qmd_model **quantized)
MAKES_NONE(qmd_quantize_images, quantized, const qmd_model *model, const void *images, qmd_type image_type,
           const uint32_t *labels, size_t n_images, const qmd_quantize_options *options, qmd_model **quantized)

/* ---- onnx.h ---- */

HAS_NO_DEFAULTS(qmd_onnx_export_options_init_sized, qmd_onnx_export_options)
FAILS(qmd_onnx_export, const qmd_model *model, const qmd_onnx_export_options *options, const char *path)
HAS_NO_DEFAULTS(qmd_onnx_import_options_init_sized, qmd_onnx_import_options)
MAKES_NONE(qmd_onnx_import, model, const char *path, const qmd_onnx_import_options *options, qmd_model **model)

/* ---- engine.h ---- */

MAKES_NONE(qmd_engine_compile, engine, const qmd_model *quantized, const qmd_engine_options *options,
           qmd_engine **engine)

/* ---- explain.h ---- */

HAS_NO_DEFAULTS(qmd_explain_options_init_sized, qmd_explain_options)
MAKES_NONE(qmd_explain, explanation, const qmd_engine *engine, qmd_dataset *dataset, const uint32_t *frames,
           size_t n_frames, const qmd_explain_options *options, qmd_explanation **explanation)
MAKES_NONE(qmd_explain_model, explanation, const qmd_model *model, qmd_dataset *dataset, const uint32_t *frames,
           size_t n_frames, const qmd_explain_options *options, qmd_explanation **explanation)
FAILS(qmd_explanation_save, const qmd_explanation *explanation, const char *note, const char *path)
MAKES_NONE(qmd_explanation_load, explanation, const char *path, qmd_explanation **explanation)
GIVES_NOTHING(const char *, qmd_explanation_note, const qmd_explanation *explanation)
MAKES_NONE(qmd_explanation_merge, explanation, const qmd_explanation *const *shards, size_t n,
           qmd_explanation **explanation)
FREES_NOTHING(qmd_explanation_free, qmd_explanation)
GIVES_NOTHING(size_t, qmd_explanation_n_residues, const qmd_explanation *explanation)
FAILS(qmd_explanation_residue, const qmd_explanation *explanation, size_t index, qmd_residue_score *score)
GIVES_NOTHING(size_t, qmd_explanation_n_frames, const qmd_explanation *explanation)
GIVES_NOTHING(const double *, qmd_explanation_frame_scores, const qmd_explanation *explanation)
FAILS(qmd_explain_deletion, const qmd_engine *engine, qmd_dataset *dataset, const uint32_t *frames, size_t n_frames,
      const uint32_t *order, size_t n_steps, const qmd_explain_options *options, double *margins)
FAILS(qmd_explanation_work, const qmd_explanation *explanation, qmd_explain_work *work)
FAILS(qmd_explanation_fit, const qmd_explanation *explanation, size_t index, qmd_explain_fit *fit)
GIVES_NOTHING(const double *, qmd_explanation_frame_errors, const qmd_explanation *explanation)

/* NOLINTEND(misc-unused-parameters) */
