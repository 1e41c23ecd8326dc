/* Frames to images in one launch: what render_pixels.cu takes, in plain C. All pointers are of the device. */
#ifndef QMD_KERNELS_CUDA_RENDER_PIXELS_H
#define QMD_KERNELS_CUDA_RENDER_PIXELS_H

#include <stdint.h>

#include "launch.h"
#include "pixels/pixels_math.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One frame. */
typedef struct qmdi_cuda_frame {
	const void *xyz;         /* floats or doubles, x y z of an atom side by side */
	const uint32_t *indices; /* where in xyz each of the pixels' atoms stands; NULL: in order */
	uint64_t stride;         /* elements from one atom to the next */
	double unit;             /* angstrom that 1 stands for */
	qmdi_box box;            /* if has_box: the molecule is made whole */
	uint32_t is_double, has_box;
	uint32_t number; /* in the run that it is of */
	uint32_t unused;
} qmdi_cuda_frame;

/* struct qmd_pixels (pixels_internal.h), as far as rendering needs it. */
typedef struct qmdi_cuda_pixels {
	int32_t kind;
	uint32_t n_atoms, side, n_superposed, first; /* first: of the superposed atoms */
	const uint32_t *superposed;
	const int32_t *anchors; /* x, y and z as planes of n_superposed */
	int64_t anchor_sums[3];
	double centre[3];
	const float *reference; /* x, y and z as planes of n_atoms */
	const float *steps;     /* displacement */
} qmdi_cuda_pixels;

typedef struct qmdi_cuda_render {
	qmdi_cuda_pixels pixels;
	const qmdi_cuda_frame *frames;
	uint32_t n_frames;
	uint32_t n_shares;    /* blocks that share a frame */
	int32_t *scratch;     /* qmdi_cuda_render_scratch() bytes */
	uint64_t *failures;   /* n_frames: QMDI_CUDA_NO_FAILURE, or, once a frame fails, number << 32 | atom, for good */
	unsigned char *image; /* of the first frame */
	uint64_t row_stride, image_stride; /* bytes */
} qmdi_cuda_render;

/* An atom is not finite or off the grid. The image is then of zeros. */
#define QMDI_CUDA_NO_FAILURE UINT64_MAX

/* Into how many shares frames are cut on a device with so many multiprocessors. */
uint32_t qmdi_cuda_render_shares(const qmdi_cuda_pixels *pixels, uint32_t n_frames, uint32_t n_multiprocessors);

/* Bytes of scratch memory, for any number of frames up to n_frames; may be 0. */
uint64_t qmdi_cuda_render_scratch(const qmdi_cuda_pixels *pixels, uint32_t n_frames, uint32_t n_multiprocessors);

void qmdi_cuda_render_launch(const qmdi_cuda_render *render, qmdi_cuda_launch *launch);

#ifdef __cplusplus
}
#endif

#endif
