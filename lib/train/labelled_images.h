/* Images with their classes: what training and calibration read. */
#ifndef QMD_LIB_LABELLED_IMAGES_H
#define QMD_LIB_LABELLED_IMAGES_H

#include "model/model_internal.h"

typedef struct qmdi_images {
	const unsigned char *bytes; /* [n][size] of `type` */
	const uint32_t *labels;     /* [n], or NULL */
	size_t n, size;
	int32_t type; /* QMD_S8 or QMD_U8 */
	void *owned_bytes, *owned_labels;
} qmdi_images;

/* QMD_S8 or QMD_U8, else QMD_ERROR_ARGUMENT. */
qmd_status qmdi_image_type_check(int32_t type);

/* The caller's images, checked against the model: type, number, classes. */
qmd_status qmdi_images_borrow(const qmd_model *model, const void *bytes, int32_t type, const uint32_t *labels, size_t n,
							  qmdi_images *images);

/* The training frames of a split, rendered; the class of a frame is its state. */
qmd_status qmdi_images_render(const qmd_model *model, qmd_dataset *dataset, const qmd_split *split,
							  const qmd_pixels *pixels, qmdi_images *images);
void qmdi_images_release(qmdi_images *images);

/* n images, chosen by `order`, as real numbers: what the network reads. */
void qmdi_images_gather(const qmdi_images *images, const uint32_t *order, size_t n, float *out);

/* n bytes of a type as real numbers. */
void qmdi_bytes_to_real(const unsigned char *bytes, int32_t type, size_t n, float *out);

/* Hash of type, images and labels, for checkpoints. */
uint64_t qmdi_images_hash(const qmdi_images *images);

#endif
