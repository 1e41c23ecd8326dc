/*
 * SLIC superpixels (Achanta et al., IEEE Transactions on Pattern Analysis and Machine Intelligence 34, 2274, 2012), as
 * scikit-image finds them with n_segments=100, compactness=1, sigma=1: what ICNNMD explains pictures with.
 */
#ifndef QMD_LIB_SLIC_H
#define QMD_LIB_SLIC_H

#include <qmd/base.h>

/*
 * Label the pixels of a square RGB image.
 *
 * image   [side][side][3] bytes of `type`, QMD_U8 or QMD_S8; its least and greatest value become 0 and 1
 * labels  [side][side], each from 0 to *n_labels - 1; every label occurs
 */
qmd_status qmdi_slic(const void *image, int32_t type, size_t side, uint32_t *labels, size_t *n_labels);

#endif
