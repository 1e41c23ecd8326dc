/* Pixels as the engine and the fit see them. */
#ifndef QMD_LIB_PIXELS_INTERNAL_H
#define QMD_LIB_PIXELS_INTERNAL_H

#include <qmd/pixels.h>

#include <stdatomic.h>

#include "base/bytes.h"
#include "pixels/superpose.h"

#define QMDI_PIXEL_CHANNELS 3
/* A displacement stays below 2^12 angstrom and hence 2^30 steps of this many angstrom: it is rounded to an int32_t. */
#define QMDI_MIN_STEP 0x1p-18

struct qmd_pixels {
	atomic_size_t n_holds;
	int32_t kind; /* a qmd_pixels_kind */
	size_t n_atoms, side;
	qmd_atom *atoms;
	uint32_t *superposed; /* n_superposed indices into the atoms, ascending */
	size_t n_superposed;
	float *reference;    /* n_atoms * 3, in angstrom: what frames are superposed on */
	float *steps;        /* displacement: n_atoms, angstrom that one step of 1/127 stands for; else NULL */
	uint8_t *background; /* icnnmd: side * side * 3, the mean image; else NULL */

	/* What follows is derived by qmdi_pixels_prepare(). */
	float *planes; /* the reference as x, y and z planes of n_atoms */
	int32_t *grid; /* the anchors' planes */
	qmdi_anchors anchors;
	double centre[3]; /* of the reference's superposed atoms, in angstrom */
};

/* New pixels, held once, with room for n_atoms atoms, n_superposed indices and what their kind needs, all zeros.
 * QMD_ERROR_RANGE for numbers that cannot be. */
qmd_status qmdi_pixels_allocate(int32_t kind, size_t n_atoms, size_t n_superposed, qmd_pixels **pixels);

/* Derive what rendering needs; again after each change of the reference. QMD_ERROR_RANGE if the reference is not finite
 * or too large. */
qmd_status qmdi_pixels_prepare(qmd_pixels *pixels);

/* Hold pixels once more; the other end is qmd_pixels_free(). */
qmd_pixels *qmdi_pixels_retain(const qmd_pixels *pixels);

/* Bytes of scratch memory that rendering one frame needs. */
size_t qmdi_pixels_workspace_size(const qmd_pixels *pixels);

/* Put a frame on the grid, planes of n_atoms integers inside the workspace, and superpose it on the reference. */
qmd_status qmdi_pixels_place(const qmd_pixels *pixels, const qmd_frame *frame, void *workspace, const int32_t **grid,
							 qmdi_placement *placement);

/*
 * One frame to one image whose rows begin `row_stride` bytes apart. Allocates nothing; workspace is aligned to 16
 * bytes. The caller has entered the default floating-point environment. Writes every byte of the side * side * 3 and
 * none beside them.
 */
qmd_status qmdi_pixels_render(const qmd_pixels *pixels, const qmd_frame *frame, void *workspace, void *image,
							  size_t row_stride);

/* An atom in files: four texts, the residue's number, two bytes, the residue's index, which must be less than
 * n_residues. `index` is for messages. */
#define QMDI_MIN_ATOM_SIZE 26
void qmdi_atom_put(const qmd_atom *atom, qmdi_writer *writer);
qmd_status qmdi_atom_get(qmdi_reader *reader, size_t index, size_t n_residues, qmd_atom *atom);

/* The "pixels" section of model and engine files. */
void qmdi_pixels_put(const qmd_pixels *pixels, qmdi_writer *writer);
qmd_status qmdi_pixels_get(qmdi_reader *reader, qmd_pixels **pixels);

#endif
