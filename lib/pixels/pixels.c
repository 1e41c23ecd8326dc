#include "pixels_internal.h"

#include <math.h>
#include <string.h>

#include "base/float_environment.h"
#include "base/memory.h"
#include "base/vectorized.h"
#include "pixels_frame.h"

/* Images of more atoms would not be images any more, and their indices still fit 32 bits. */
#define MAX_ATOMS ((size_t)1 << 24)

/* ---- The handle ---- */

static size_t side_of(size_t n_atoms) {
	size_t side = 1;
	while (side * side < n_atoms)
		side++;
	return side;
}

static size_t image_size(const qmd_pixels *pixels) {
	return pixels->side * pixels->side * QMDI_PIXEL_CHANNELS;
}

qmd_status qmdi_pixels_allocate(int32_t kind, size_t n_atoms, size_t n_superposed, qmd_pixels **out) {
	if (n_atoms < 1 || n_atoms > MAX_ATOMS)
		return qmdi_fail(QMD_ERROR_RANGE, "pixels: %zu atoms, expected 1 to %zu", n_atoms, MAX_ATOMS);
	if (n_superposed < 1 || n_superposed > n_atoms || n_superposed > QMDI_MAX_SUPERPOSED)
		return qmdi_fail(QMD_ERROR_RANGE, "pixels: %zu superposed atoms, expected 1 to %zu, of %zu atoms", n_superposed,
						 QMDI_MAX_SUPERPOSED, n_atoms);
	qmd_pixels *pixels = qmdi_zeroed(1, sizeof *pixels);
	if (!pixels)
		return QMD_ERROR_MEMORY;
	atomic_init(&pixels->n_holds, 1);
	pixels->kind = kind;
	pixels->n_atoms = n_atoms;
	pixels->side = side_of(n_atoms);
	pixels->n_superposed = n_superposed;
	pixels->atoms = qmdi_zeroed(n_atoms, sizeof *pixels->atoms);
	pixels->superposed = qmdi_zeroed(n_superposed, sizeof *pixels->superposed);
	pixels->reference = qmdi_zeroed(n_atoms, 3 * sizeof *pixels->reference);
	pixels->planes = qmdi_zeroed(n_atoms, 3 * sizeof *pixels->planes);
	pixels->grid = qmdi_zeroed(n_superposed, 3 * sizeof *pixels->grid);
	const int displacement = kind == QMD_PIXELS_DISPLACEMENT;
	if (displacement)
		pixels->steps = qmdi_zeroed(n_atoms, sizeof *pixels->steps);
	else
		pixels->background = qmdi_zeroed(image_size(pixels), 1);
	if (!pixels->atoms || !pixels->superposed || !pixels->reference || !pixels->planes || !pixels->grid ||
		!(displacement ? (void *)pixels->steps : (void *)pixels->background)) {
		qmd_pixels_free(pixels);
		return QMD_ERROR_MEMORY;
	}
	*out = pixels;
	return QMD_OK;
}

void qmd_pixels_free(qmd_pixels *pixels) {
	if (!pixels || atomic_fetch_sub(&pixels->n_holds, 1) > 1)
		return;
	qmdi_release(pixels->atoms);
	qmdi_release(pixels->superposed);
	qmdi_release(pixels->reference);
	qmdi_release(pixels->steps);
	qmdi_release(pixels->background);
	qmdi_release(pixels->planes);
	qmdi_release(pixels->grid);
	qmdi_release(pixels);
}

qmd_pixels *qmdi_pixels_retain(const qmd_pixels *pixels) {
	qmd_pixels *held = (qmd_pixels *)pixels;
	atomic_fetch_add(&held->n_holds, 1);
	return held;
}

/* The anchors of one axis. */
static void prepare_axis(qmd_pixels *pixels, size_t axis) {
	const size_t n = pixels->n_superposed;
	const float *plane = pixels->planes + axis * pixels->n_atoms;
	const double origin = (double)plane[pixels->superposed[0]];
	int32_t *grid = pixels->grid + axis * n;
	int64_t sum = 0;
	for (size_t i = 0; i < n; i++) {
		grid[i] = (int32_t)qmdi_to_grid((double)plane[pixels->superposed[i]] - origin);
		sum += grid[i];
	}
	const double mean = (double)sum / (double)n;
	const int32_t rounded = (int32_t)qmdi_round_even(mean);
	for (size_t i = 0; i < n; i++)
		grid[i] -= rounded;
	pixels->anchors.sums[axis] = sum - (int64_t)n * rounded;
	pixels->centre[axis] = origin + mean * QMDI_PIXELS_FRACTION;
}

static qmd_status prepare(qmd_pixels *pixels) {
	const float *origin = pixels->reference + 3 * (size_t)pixels->superposed[0];
	for (size_t i = 0; i < 3 * pixels->n_atoms; i++) {
		const double x = (double)pixels->reference[i];
		if (qmdi_off_grid(qmdi_to_grid(x - (double)origin[i % 3])) < 0)
			return qmdi_fail(QMD_ERROR_RANGE,
							 "pixels: the reference of atom %zu has %c = %g, expected a finite number at most %g "
							 "angstrom from that of atom %u",
							 i / 3, "xyz"[i % 3], x, QMDI_MAX_DISTANCE, pixels -> superposed[0]);
		pixels->planes[i % 3 * pixels->n_atoms + i / 3] = pixels->reference[i];
	}
	for (size_t axis = 0; axis < 3; axis++)
		prepare_axis(pixels, axis);
	pixels->anchors.indices = pixels->superposed;
	pixels->anchors.n = pixels->n_superposed;
	pixels->anchors.grid = pixels->grid;
	return QMD_OK;
}

qmd_status qmdi_pixels_prepare(qmd_pixels *pixels) {
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	const qmd_status status = prepare(pixels);
	qmdi_float_leave(&saved);
	return status;
}

/* ---- What pixels say about themselves ---- */

int32_t qmd_pixels_kind_of(const qmd_pixels *pixels) {
	return pixels ? pixels->kind : 0;
}

size_t qmd_pixels_side(const qmd_pixels *pixels) {
	return pixels ? pixels->side : 0;
}

size_t qmd_pixels_n_atoms(const qmd_pixels *pixels) {
	return pixels ? pixels->n_atoms : 0;
}

size_t qmd_pixels_n_superposed(const qmd_pixels *pixels) {
	return pixels ? pixels->n_superposed : 0;
}

qmd_type qmd_pixels_type(const qmd_pixels *pixels) {
	return pixels && pixels->kind == QMD_PIXELS_ICNNMD ? QMD_U8 : QMD_S8;
}

float qmd_pixels_scale(const qmd_pixels *pixels) {
	return qmd_pixels_type(pixels) == QMD_U8 ? 1.0f / 255.0f : 1.0f / 127.0f;
}

qmd_status qmd_pixels_atom(const qmd_pixels *pixels, size_t index, qmd_atom *atom) {
	QMDI_REQUIRE(pixels);
	QMDI_REQUIRE(atom);
	if (index >= pixels->n_atoms)
		return qmdi_fail(QMD_ERROR_RANGE, "%s: index is %zu, expected less than %zu", __func__, index, pixels->n_atoms);
	*atom = pixels->atoms[index];
	return QMD_OK;
}

qmd_status qmd_pixels_reference(const qmd_pixels *pixels, float *xyz) {
	QMDI_REQUIRE(pixels);
	QMDI_REQUIRE(xyz);
	memcpy(xyz, pixels->reference, pixels->n_atoms * 3 * sizeof *xyz);
	return QMD_OK;
}

qmd_status qmd_pixels_background(const qmd_pixels *pixels, void *image) {
	QMDI_REQUIRE(pixels);
	QMDI_REQUIRE(image);
	if (pixels->background)
		memcpy(image, pixels->background, image_size(pixels));
	else
		memset(image, 0, image_size(pixels));
	return QMD_OK;
}

/* ---- Frames to images ---- */

void qmd_frame_init_sized(qmd_frame *frame, size_t size) {
	const qmd_frame defaults = {.struct_size = sizeof defaults, .type = QMD_F32, .unit = QMD_ANGSTROM, .stride = 3};
	qmdi_struct_fill(frame, size, &defaults, sizeof defaults);
}

/* The workspace holds three planes of doubles, then three of integers. */
size_t qmdi_pixels_workspace_size(const qmd_pixels *pixels) {
	return pixels->n_atoms * 3 * (sizeof(double) + sizeof(int32_t));
}

qmd_status qmdi_pixels_place(const qmd_pixels *pixels, const qmd_frame *frame, void *workspace, const int32_t **grid,
							 qmdi_placement *placement) {
	double *xyz = workspace;
	int32_t *integers = (int32_t *)(xyz + 3 * pixels->n_atoms);
	qmdi_superposition superposition;
	QMDI_TRY(qmdi_frame_to_grid(pixels, frame, xyz, integers));
	qmdi_superpose(&pixels->anchors, integers, pixels->n_atoms, &superposition);
	qmdi_place(&superposition, pixels->centre, placement);
	*grid = integers;
	return QMD_OK;
}

QMDI_VECTORIZED
static void draw_displacement(const qmd_pixels *pixels, const int32_t *grid, const qmdi_placement *placement,
							  int32_t *values) {
	const size_t n = pixels->n_atoms;
	const int32_t *x = grid, *y = grid + n, *z = grid + 2 * n;
	const float *steps = pixels->steps;
	for (size_t k = 0; k < 3; k++) {
		const double *turn = placement->turn[k];
		const double t_x = turn[0], t_y = turn[1], t_z = turn[2], shift = placement->shift[k];
		const float *reference = pixels->planes + k * n;
		int32_t *restrict out = values + k * n;
		for (size_t i = 0; i < n; i++)
			out[i] = qmdi_displacement(qmdi_turned(t_x, t_y, t_z, x[i], y[i], z[i]) + shift, reference[i], steps[i]);
	}
}

QMDI_VECTORIZED
static void draw_icnnmd(const qmd_pixels *pixels, const int32_t *grid, const qmdi_placement *placement,
						int32_t *values) {
	const size_t n = pixels->n_atoms;
	const int32_t *x = grid, *y = grid + n, *z = grid + 2 * n;
	double mix[3][3], low[3] = {INFINITY, INFINITY, INFINITY}, high[3] = {-INFINITY, -INFINITY, -INFINITY};
	qmdi_icnnmd_mix(placement, mix);
	for (size_t i = 0; i < n; i++) {
		for (int k = 0; k < 3; k++) {
			const double value = qmdi_turned(mix[k][0], mix[k][1], mix[k][2], x[i], y[i], z[i]);
			low[k] = value < low[k] ? value : low[k];
			high[k] = value > high[k] ? value : high[k];
		}
	}
	for (size_t k = 0; k < 3; k++) {
		const double m_x = mix[k][0], m_y = mix[k][1], m_z = mix[k][2], base = low[k];
		const double width = qmdi_icnnmd_width(base, high[k]);
		int32_t *restrict out = values + k * n;
		for (size_t i = 0; i < n; i++)
			out[i] = qmdi_icnnmd_colour(qmdi_turned(m_x, m_y, m_z, x[i], y[i], z[i]), base, width);
	}
}

/* Planes of values to bytes: channels side by side, zeros after the last atom. */
QMDI_VECTORIZED
static void write_image(const qmd_pixels *pixels, const int32_t *values, unsigned char *image, size_t row_stride) {
	const size_t n = pixels->n_atoms, side = pixels->side;
	for (size_t row = 0; row < side; row++) {
		const size_t first = row * side < n ? row * side : n;
		const size_t count = n - first < side ? n - first : side;
		const int32_t *r = values + first, *g = r + n, *b = g + n;
		unsigned char *out = image + row * row_stride;
		for (size_t i = 0; i < count; i++) {
			out[3 * i] = (unsigned char)r[i];
			out[3 * i + 1] = (unsigned char)g[i];
			out[3 * i + 2] = (unsigned char)b[i];
		}
		memset(out + 3 * count, 0, 3 * (side - count));
	}
}

qmd_status qmdi_pixels_render(const qmd_pixels *pixels, const qmd_frame *frame, void *workspace, void *image,
							  size_t row_stride) {
	const int32_t *grid;
	qmdi_placement placement;
	QMDI_TRY(qmdi_pixels_place(pixels, frame, workspace, &grid, &placement));
	int32_t *values = workspace; /* the frame's own coordinates are no longer needed */
	if (pixels->kind == QMD_PIXELS_DISPLACEMENT)
		draw_displacement(pixels, grid, &placement, values);
	else
		draw_icnnmd(pixels, grid, &placement, values);
	write_image(pixels, values, image, row_stride);
	return QMD_OK;
}

qmd_status qmd_pixels_run(const qmd_pixels *pixels, const qmd_frame *frames, size_t n_frames, void *images) {
	QMDI_REQUIRE(pixels);
	QMDI_REQUIRE(n_frames == 0 || frames);
	QMDI_REQUIRE(n_frames == 0 || images);
	void *workspace = qmdi_aligned(qmdi_pixels_workspace_size(pixels), 1);
	if (!workspace)
		return QMD_ERROR_MEMORY;
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	qmd_status status = QMD_OK;
	for (size_t i = 0; i < n_frames && status == QMD_OK; i++) {
		unsigned char *image = (unsigned char *)images + i * image_size(pixels);
		status = qmdi_pixels_render(pixels, &frames[i], workspace, image, pixels->side * QMDI_PIXEL_CHANNELS);
		if (status != QMD_OK && n_frames > 1)
			qmdi_fail_within(status, "frame %zu of %zu", i, n_frames);
	}
	qmdi_float_leave(&saved);
	qmdi_release_aligned(workspace);
	return status;
}
