/**
 * @file pixels.h
 * Frames to pixel images: superposition, then one pixel an atom.
 */
#ifndef QMD_PIXELS_H
#define QMD_PIXELS_H

#include <qmd/trajectory.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What turns raw coordinates into an image, fitted on training frames: selection, atoms, reference, range. Immutable
 * and counted: any number of threads may use it, and models and engines that hold it keep it alive. */
typedef struct qmd_pixels qmd_pixels;

/** What a pixel holds. */
typedef enum qmd_pixels_kind {
	/** s8: displacement of the atom from the mean of the training frames, +-range to +-127, 0 = no displacement. */
	QMD_PIXELS_DISPLACEMENT = 1,
	/** u8: rgb = M xyz, then min-max to 0..255 per frame and channel, truncated; as ICNNMD does. */
	QMD_PIXELS_ICNNMD = 2
} qmd_pixels_kind;

/** How pixels are fitted. Initialize with qmd_pixels_options_init(). */
typedef struct qmd_pixels_options {
	uint32_t struct_size;
	int32_t kind;           /**< a qmd_pixels_kind; default QMD_PIXELS_DISPLACEMENT */
	const char *superpose;  /**< selection to superpose on, within the data set's atoms; NULL (default): backbone, else
							   CA, else all */
	double range;           /**< displacement that becomes 127; default 5; 0.0005 to 1e6 (angstrom),
							   0.05 to 1e6 (sigma) */
	int32_t range_in_sigma; /**< 0 (default): range is in angstrom; 1: in units of each atom's own standard deviation
							   over the training frames, its three axes together, at least 0.01 angstrom */
	uint32_t n_iterations;  /**< superpositions on the mean, each followed by a new mean; default 3, at least 1; icnnmd
							   superposes on the first training frame and ignores it */
} qmd_pixels_options;

/** Fill in defaults. @since 0.1 */
QMD_API void qmd_pixels_options_init_sized(qmd_pixels_options *options, size_t size);
#define qmd_pixels_options_init(options) qmd_pixels_options_init_sized((options), sizeof *(options))

/**
 * Fit pixels on the training frames of a split.
 *
 * @param options  copied; NULL for the defaults
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_FORMAT if `superpose` is not a selection; QMD_ERROR_MATCH if it
 *         selects fewer than 3 atoms; QMD_ERROR_STATE for fewer than 2 training frames with range_in_sigma; the errors
 *         of qmd_dataset_read() and qmd_pixels_run()
 *
 * Frames are read one at a time, n_iterations + 2 times each: memory does not grow with their number. Frames that have
 * a box are made whole first (qmd_frame.box).
 * @since 0.1
 */
QMD_API qmd_status qmd_pixels_fit(qmd_dataset *dataset, const qmd_split *split, const qmd_pixels_options *options,
								  qmd_pixels **pixels);

/** Give up one hold on pixels; NULL is allowed. @since 0.1 */
QMD_API void qmd_pixels_free(qmd_pixels *pixels);

/** A qmd_pixels_kind; 0 for NULL. @since 0.1 */
QMD_API int32_t qmd_pixels_kind_of(const qmd_pixels *pixels);

/** Side of the square image: ceil(sqrt(number of atoms)). @since 0.1 */
QMD_API size_t qmd_pixels_side(const qmd_pixels *pixels);

/** Number of atoms that an image shows. @since 0.1 */
QMD_API size_t qmd_pixels_n_atoms(const qmd_pixels *pixels);

/** Number of atoms that are superposed on. @since 0.1 */
QMD_API size_t qmd_pixels_n_superposed(const qmd_pixels *pixels);

/** Type of a pixel's channel: QMD_S8 (displacement) or QMD_U8 (icnnmd). @since 0.1 */
QMD_API qmd_type qmd_pixels_type(const qmd_pixels *pixels);

/** What one step of a pixel is to the network: 1/127 (displacement) or 1/255 (icnnmd). @since 0.1 */
QMD_API float qmd_pixels_scale(const qmd_pixels *pixels);

/** One of the atoms, as the first state of the data set names it. QMD_ERROR_RANGE beyond the last. @since 0.1 */
QMD_API qmd_status qmd_pixels_atom(const qmd_pixels *pixels, size_t index, qmd_atom *atom);

/** The reference that frames are superposed on, n_atoms * 3 floats, in angstrom; the mean of the atoms that are
 * superposed on lies in the origin, but for less than 0.00005 angstrom an iteration of the fit. @since 0.1 */
QMD_API qmd_status qmd_pixels_reference(const qmd_pixels *pixels, float *xyz);

/** The image that says nothing: zeros (displacement) or the mean image of the training frames (icnnmd). side * side * 3
 * bytes. @since 0.1 */
QMD_API qmd_status qmd_pixels_background(const qmd_pixels *pixels, void *image);

/** One frame as a host has it. Initialize with qmd_frame_init(). */
typedef struct qmd_frame {
	uint32_t struct_size;
	int32_t type;            /**< QMD_F32 (default) or QMD_F64 */
	int32_t unit;            /**< QMD_ANGSTROM (default) or QMD_NM, of xyz and box */
	const void *xyz;         /**< coordinates, x y z of an atom side by side; borrowed for the call */
	size_t stride;           /**< elements from one atom to the next; default 3, at least 3 */
	size_t n_atoms;          /**< atoms in xyz */
	const uint32_t *indices; /**< where in xyz each of the pixels' atoms stands (qmd_pixels_n_atoms() numbers below
								n_atoms), or NULL: xyz holds just those atoms in order; borrowed for the call */
	const double *box; /**< 9 doubles, box vectors a, b, c as rows, a along x, b in the xy plane; the molecule is then
						  made whole atom after atom by minimum image. NULL (default): it is whole. Borrowed */
} qmd_frame;

/** Fill in defaults. @since 0.1 */
QMD_API void qmd_frame_init_sized(qmd_frame *frame, size_t size);
#define qmd_frame_init(frame) qmd_frame_init_sized((frame), sizeof *(frame))

/**
 * Frames to images.
 *
 * @param frames       n_frames frames
 * @param[out] images  n_frames * side * side * 3 bytes, NHWC, of type qmd_pixels_type()
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_SHAPE for a wrong number of atoms; QMD_ERROR_RANGE for an index, a
 *         coordinate that is not finite, or an atom more than 512 angstrom along x, y or z from the
 *         first one superposed on
 *
 * Thread-safe. The result is the same byte for byte on every machine (docs/numerics.md). @since 0.1
 */
QMD_API qmd_status qmd_pixels_run(const qmd_pixels *pixels, const qmd_frame *frames, size_t n_frames, void *images);

/**
 * Frames of a data set to images; as qmd_pixels_run(). A data set is read by one thread at a time.
 *
 * @param indices  n frames of the data set
 * @return as qmd_pixels_run(), the errors of qmd_dataset_read(), and QMD_ERROR_SHAPE or QMD_ERROR_MATCH if the number
 * or the names of the data set's atoms are not those of the pixels
 * @since 0.1
 */
QMD_API qmd_status qmd_pixels_run_dataset(const qmd_pixels *pixels, qmd_dataset *dataset, const uint32_t *indices,
										  size_t n, void *images);

/** Write an image as an 8-bit RGB PNG; s8 is shown as q + 128, so grey is no displacement. @since 0.1 */
QMD_API qmd_status qmd_pixels_write_png(const qmd_pixels *pixels, const void *image, const char *path);

#ifdef __cplusplus
}
#endif

#endif
