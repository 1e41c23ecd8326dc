/* Small quantized networks, and what they compute by the plainest loops over integers: what engines are held against.
 */
#ifndef QMD_TESTS_ENGINE_FIXTURE_H
#define QMD_TESTS_ENGINE_FIXTURE_H

#include "support.h"

#include "model/model_internal.h"

/* A network by number, with weights drawn and quantized by the magnitudes of one image. Free with qmd_model_free(). */
#define QMDT_N_NETWORKS 9
const char *qmdt_network_name(size_t network);
qmd_model *qmdt_network(size_t network);

/* n images with bytes drawn at random; free() them. */
unsigned char *qmdt_images(const qmd_model *model, size_t n, uint64_t seed);
size_t qmdt_image_size(const qmd_model *model);

/* Logits of n images, layer after layer as the model has them; free() them. */
float *qmdt_reference_logits(const qmd_model *model, const unsigned char *images, size_t n);

/* 1 if n floats are equal bit for bit. */
int qmdt_same_floats(const float *a, const float *b, size_t n);

/* Set 8-bit scales by max-abs: of the weights, and of the activations of one image. */
void qmdt_quantize_by_hand(qmd_model *model, qmd_type image_type, const unsigned char *image);

/* Pixels of n_atoms made-up atoms, eight to a residue; and a frame of them, displaced by up to 2 angstrom: n_atoms * 3
 * doubles. Free with qmd_pixels_free() and free(). */
qmd_pixels *qmdt_made_up_pixels(int32_t kind, size_t n_atoms);
double *qmdt_made_up_frame(const qmd_pixels *pixels, uint64_t seed);

/* Compile with or without fusion; a context of so many threads. Free with qmd_engine_free() and qmd_context_free(). */
qmd_engine *qmdt_compile(const qmd_model *model, int fuse);
qmd_context *qmdt_new_context(const qmd_engine *engine, uint32_t n_threads, uint32_t max_batch);

/* Network 2 (s8) or 3 (u8) tied to made-up pixels and to the names "open", "closed" and "apo". */
qmd_model *qmdt_bound_network(qmd_type image_type);

#endif
