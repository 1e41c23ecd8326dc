/* Pixels as the engine and the fit see them. */
#ifndef QMD_LIB_PIXELS_INTERNAL_H
#define QMD_LIB_PIXELS_INTERNAL_H

#include <qmd/pixels.h>

#include <stdatomic.h>

#include "base/bytes.h"

#define QMDI_PIXEL_CHANNELS 3
/* Coordinates are rounded to this fraction of an angstrom before they are summed in integers. */
#define QMDI_PIXELS_FRACTION 0x1p-13

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
};

/* Hold pixels once more; the other end is qmd_pixels_free(). */
qmd_pixels *qmdi_pixels_retain(const qmd_pixels *pixels);

/* Bytes of scratch memory that rendering one frame needs. */
size_t qmdi_pixels_workspace_size(const qmd_pixels *pixels);

/*
 * One frame to one image whose rows begin `row_stride` bytes apart. Allocates nothing; workspace is aligned to 16
 * bytes. The caller has entered the default floating-point environment. Writes every byte of the side * side * 3 and
 * none beside them.
 */
qmd_status qmdi_pixels_render(const qmd_pixels *pixels, const qmd_frame *frame, void *workspace, void *image,
							  size_t row_stride);

/* The "pixels" section of model and engine files. */
void qmdi_pixels_put(const qmd_pixels *pixels, qmdi_writer *writer);
qmd_status qmdi_pixels_get(qmdi_reader *reader, qmd_pixels **pixels);

#endif
