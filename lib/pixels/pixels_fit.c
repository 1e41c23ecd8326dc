/* Pixels from the training frames of a data set, and the frames of a data set to pixels. Frames are read one at a time,
 * as often as they are needed: memory does not grow with the trajectories. */
#include <math.h>
#include <string.h>

#include "base/float_environment.h"
#include "base/memory.h"
#include "pixels_frame.h"
#include "trajectory/dataset_internal.h"

#define MIN_SUPERPOSED 3
#define MAX_RANGE 1e6
/* An atom that a simulation holds in place still gets steps of a size that says something. */
#define MIN_SIGMA 0.01

void qmd_pixels_options_init_sized(qmd_pixels_options *options, size_t size) {
	const qmd_pixels_options defaults = {
		.struct_size = sizeof defaults, .kind = QMD_PIXELS_DISPLACEMENT, .range = 5.0, .n_iterations = 3};
	qmdi_struct_fill(options, size, &defaults, sizeof defaults);
}

static qmd_status check_options(const qmd_pixels_options *options) {
	if (options->kind != QMD_PIXELS_DISPLACEMENT && options->kind != QMD_PIXELS_ICNNMD)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_pixels_options: kind is %d, expected %d or %d", options->kind,
						 QMD_PIXELS_DISPLACEMENT, QMD_PIXELS_ICNNMD);
	if (options->range_in_sigma != 0 && options->range_in_sigma != 1)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_pixels_options: range_in_sigma is %d, expected 0 or 1",
						 options->range_in_sigma);
	const double min_range = 127.0 * QMDI_MIN_STEP / (options->range_in_sigma ? MIN_SIGMA : 1.0);
	if (!(options->range >= min_range && options->range <= MAX_RANGE))
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_pixels_options: range is %g, expected %.2g to %g", options->range,
						 min_range, MAX_RANGE);
	if (options->n_iterations < 1)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_pixels_options: n_iterations is 0, expected at least 1");
	return QMD_OK;
}

/* ---- Which atoms ---- */

/* The number of atoms of the data set that are superposed on, and the selection that chooses them. */
static qmd_status choose_selection(const qmd_dataset *dataset, const char **selection, size_t *n) {
	static const char *const defaults[] = {"backbone", "name CA", "all"};
	if (*selection) {
		QMDI_TRY(qmdi_dataset_select(dataset, *selection, n, NULL));
	} else {
		for (size_t i = 0; i < 3 && (i == 0 || *n < MIN_SUPERPOSED); i++) {
			*selection = defaults[i];
			QMDI_TRY(qmdi_dataset_select(dataset, *selection, n, NULL));
		}
	}
	if (*n < MIN_SUPERPOSED)
		return qmdi_fail(QMD_ERROR_MATCH,
						 "qmd_pixels_options: superpose '%s' selects %zu of %zu atoms, expected at least %d",
						 *selection, *n, qmd_dataset_n_atoms(dataset), MIN_SUPERPOSED);
	return QMD_OK;
}

static qmd_status create(const qmd_dataset *dataset, const qmd_pixels_options *options, qmd_pixels **out) {
	const char *selection = options->superpose;
	size_t n = 0;
	QMDI_TRY(choose_selection(dataset, &selection, &n));
	qmd_pixels *pixels;
	QMDI_TRY(qmdi_pixels_allocate(options->kind, qmd_dataset_n_atoms(dataset), n, &pixels));
	qmd_status status = qmdi_dataset_select(dataset, selection, &n, pixels->superposed);
	for (size_t i = 0; i < pixels->n_atoms && status == QMD_OK; i++)
		status = qmd_dataset_atom(dataset, i, &pixels->atoms[i]);
	if (status != QMD_OK) {
		qmd_pixels_free(pixels);
		return status;
	}
	*out = pixels;
	return QMD_OK;
}

/* ---- One frame after the other ---- */

typedef struct frame_reader {
	qmd_dataset *dataset;
	float *xyz;
	double box[9];
	void *workspace; /* for rendering */
} frame_reader;

static void close_reader(frame_reader *reader) {
	qmdi_release(reader->xyz);
	qmdi_release_aligned(reader->workspace);
	*reader = (frame_reader){0};
}

static qmd_status open_reader(const qmd_pixels *pixels, qmd_dataset *dataset, frame_reader *reader) {
	*reader = (frame_reader){.dataset = dataset};
	reader->xyz = qmdi_array(pixels->n_atoms, 3 * sizeof *reader->xyz);
	reader->workspace = qmdi_aligned(qmdi_pixels_workspace_size(pixels), 1);
	if (reader->xyz && reader->workspace)
		return QMD_OK;
	close_reader(reader);
	return QMD_ERROR_MEMORY;
}

static qmd_status read_frame(frame_reader *reader, uint32_t index, qmd_frame *frame) {
	int has_box;
	QMDI_TRY(qmd_dataset_read(reader->dataset, index, reader->xyz));
	QMDI_TRY(qmd_dataset_box(reader->dataset, index, reader->box, &has_box));
	qmd_frame_init(frame);
	frame->xyz = reader->xyz;
	frame->n_atoms = qmd_dataset_n_atoms(reader->dataset);
	frame->box = has_box ? reader->box : NULL;
	return QMD_OK;
}

/* ---- The fit ---- */

typedef struct pixels_fit {
	qmd_pixels *pixels;
	const uint32_t *frames; /* the training frames */
	size_t n_frames;
	frame_reader reader;
	double *sums; /* three an atom */
} pixels_fit;

/* What becomes of each training frame once it lies on the reference: at[] is where one of its atoms is. */
typedef void (*visit_fn)(pixels_fit *fit, size_t atom, const double at[3]);

static void add_place(pixels_fit *fit, size_t atom, const double at[3]) {
	for (size_t axis = 0; axis < 3; axis++)
		fit->sums[3 * atom + axis] += at[axis];
}

static void add_squares(pixels_fit *fit, size_t atom, const double at[3]) {
	for (size_t axis = 0; axis < 3; axis++) {
		const double d = at[axis] - (double)fit->pixels->reference[3 * atom + axis];
		fit->sums[3 * atom + axis] += d * d;
	}
}

static qmd_status visit_frame(pixels_fit *fit, uint32_t index, visit_fn visit) {
	const size_t n = fit->pixels->n_atoms;
	qmd_frame frame;
	const int32_t *grid;
	qmdi_placement placement;
	QMDI_TRY(read_frame(&fit->reader, index, &frame));
	QMDI_TRY(qmdi_pixels_place(fit->pixels, &frame, fit->reader.workspace, &grid, &placement));
	for (size_t i = 0; i < n; i++) {
		double at[3];
		for (int k = 0; k < 3; k++) {
			const double *turn = placement.turn[k];
			at[k] = ((turn[0] * grid[i] + turn[1] * grid[n + i]) + turn[2] * grid[2 * n + i]) + placement.shift[k];
		}
		visit(fit, i, at);
	}
	return QMD_OK;
}

/* Sums over all training frames, in their order. */
static qmd_status visit_frames(pixels_fit *fit, visit_fn visit) {
	memset(fit->sums, 0, fit->pixels->n_atoms * 3 * sizeof *fit->sums);
	for (size_t i = 0; i < fit->n_frames; i++) {
		const qmd_status status = visit_frame(fit, fit->frames[i], visit);
		if (status != QMD_OK)
			return qmdi_fail_within(status, "frame %u of the data set", fit->frames[i]);
	}
	return QMD_OK;
}

/* The first training frame becomes the reference, its centre in the origin. */
static qmd_status start_from_first_frame(pixels_fit *fit) {
	qmd_pixels *pixels = fit->pixels;
	const size_t n = pixels->n_atoms;
	double *xyz = fit->reader.workspace;
	int32_t *grid = (int32_t *)(xyz + 3 * n);
	qmd_frame frame;
	QMDI_TRY(read_frame(&fit->reader, fit->frames[0], &frame));
	const qmd_status status = qmdi_frame_to_grid(pixels, &frame, xyz, grid);
	if (status != QMD_OK)
		return qmdi_fail_within(status, "frame %u of the data set", fit->frames[0]);
	for (size_t axis = 0; axis < 3; axis++) {
		int64_t sum = 0;
		for (size_t i = 0; i < pixels->n_superposed; i++)
			sum += grid[axis * n + pixels->superposed[i]];
		const double centre = (double)sum / (double)pixels->n_superposed;
		for (size_t i = 0; i < n; i++)
			pixels->reference[3 * i + axis] = (float)((grid[axis * n + i] - centre) * QMDI_PIXELS_FRACTION);
	}
	return qmdi_pixels_prepare(pixels);
}

static qmd_status fit_displacement(pixels_fit *fit, const qmd_pixels_options *options) {
	qmd_pixels *pixels = fit->pixels;
	const double n_frames = (double)fit->n_frames;
	for (uint32_t iteration = 0; iteration <= options->n_iterations; iteration++) {
		QMDI_TRY(visit_frames(fit, add_place));
		for (size_t i = 0; i < 3 * pixels->n_atoms; i++)
			pixels->reference[i] = (float)(fit->sums[i] / n_frames);
		QMDI_TRY(qmdi_pixels_prepare(pixels));
	}
	if (options->range_in_sigma)
		QMDI_TRY(visit_frames(fit, add_squares));
	for (size_t i = 0; i < pixels->n_atoms; i++) {
		double unit = 1.0;
		if (options->range_in_sigma) {
			const double *squares = fit->sums + 3 * i;
			const double sigma = sqrt(((squares[0] + squares[1]) + squares[2]) / (3.0 * n_frames));
			unit = sigma > MIN_SIGMA ? sigma : MIN_SIGMA;
		}
		pixels->steps[i] = (float)(options->range * unit / 127.0);
	}
	return QMD_OK;
}

/* The background is the mean of the training frames' images. */
static qmd_status fit_icnnmd(pixels_fit *fit) {
	qmd_pixels *pixels = fit->pixels;
	const size_t row = pixels->side * QMDI_PIXEL_CHANNELS, size = pixels->side * row;
	uint64_t *sums = qmdi_zeroed(size, sizeof *sums);
	qmd_status status = sums ? QMD_OK : QMD_ERROR_MEMORY;
	for (size_t i = 0; i < fit->n_frames && status == QMD_OK; i++) {
		qmd_frame frame;
		status = read_frame(&fit->reader, fit->frames[i], &frame);
		if (status == QMD_OK)
			status = qmdi_pixels_render(pixels, &frame, fit->reader.workspace, pixels->background, row);
		if (status != QMD_OK)
			qmdi_fail_within(status, "frame %u of the data set", fit->frames[i]);
		for (size_t j = 0; j < size && status == QMD_OK; j++)
			sums[j] += pixels->background[j];
	}
	for (size_t j = 0; j < size && status == QMD_OK; j++)
		pixels->background[j] = (uint8_t)qmdi_round_even((double)sums[j] / (double)fit->n_frames);
	qmdi_release(sums);
	return status;
}

static qmd_status run_fit(pixels_fit *fit, qmd_dataset *dataset, const qmd_pixels_options *options) {
	QMDI_TRY(open_reader(fit->pixels, dataset, &fit->reader));
	fit->sums = qmdi_array(fit->pixels->n_atoms, 3 * sizeof *fit->sums);
	if (!fit->sums)
		return QMD_ERROR_MEMORY;
	QMDI_TRY(start_from_first_frame(fit));
	return options->kind == QMD_PIXELS_DISPLACEMENT ? fit_displacement(fit, options) : fit_icnnmd(fit);
}

qmd_status qmd_pixels_fit(qmd_dataset *dataset, const qmd_split *split, const qmd_pixels_options *given,
						  qmd_pixels **pixels) {
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(split);
	QMDI_REQUIRE(pixels);
	qmd_pixels_options options;
	qmd_pixels_options_init(&options);
	QMDI_TRY(qmdi_options_copy(&options, sizeof options, sizeof options, given, "qmd_pixels_options"));
	QMDI_TRY(check_options(&options));
	pixels_fit fit = {0};
	fit.frames = qmd_split_train(split, &fit.n_frames);
	if (fit.n_frames < (options.range_in_sigma ? 2 : 1))
		return qmdi_fail(QMD_ERROR_STATE, "%s: the split has %zu training frames, expected at least %d", __func__,
						 fit.n_frames, options.range_in_sigma ? 2 : 1);
	QMDI_TRY(create(dataset, &options, &fit.pixels));
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	const qmd_status status = run_fit(&fit, dataset, &options);
	qmdi_float_leave(&saved);
	qmdi_release(fit.sums);
	close_reader(&fit.reader);
	if (status != QMD_OK) {
		qmd_pixels_free(fit.pixels);
		return status;
	}
	*pixels = fit.pixels;
	return QMD_OK;
}

/* ---- The frames of a data set to images ---- */

/* Not the residues: those of another first state may be mutants. */
static qmd_status check_atoms(const qmd_pixels *pixels, const qmd_dataset *dataset) {
	const size_t n = qmd_dataset_n_atoms(dataset);
	if (n != pixels->n_atoms)
		return qmdi_fail(QMD_ERROR_SHAPE, "the data set has %zu atoms, expected the pixels' %zu", n, pixels->n_atoms);
	for (size_t i = 0; i < n; i++) {
		const qmd_atom *ours = &pixels->atoms[i];
		qmd_atom atom;
		QMDI_TRY(qmd_dataset_atom(dataset, i, &atom));
		if (strcmp(atom.name, ours->name) != 0)
			return qmdi_fail(QMD_ERROR_MATCH, "atom %zu of the data set is %s %d %s, expected the pixels' %s %d %s", i,
							 atom.residue_name, atom.residue_number, atom.name, ours->residue_name,
							 ours->residue_number, ours->name);
	}
	return QMD_OK;
}

qmd_status qmd_pixels_run_dataset(const qmd_pixels *pixels, qmd_dataset *dataset, const uint32_t *indices, size_t n,
								  void *images) {
	QMDI_REQUIRE(pixels);
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(n == 0 || indices);
	QMDI_REQUIRE(n == 0 || images);
	QMDI_TRY(check_atoms(pixels, dataset));
	frame_reader reader;
	QMDI_TRY(open_reader(pixels, dataset, &reader));
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	const size_t row = pixels->side * QMDI_PIXEL_CHANNELS;
	qmd_status status = QMD_OK;
	for (size_t i = 0; i < n && status == QMD_OK; i++) {
		unsigned char *image = (unsigned char *)images + i * pixels->side * row;
		qmd_frame frame;
		status = read_frame(&reader, indices[i], &frame);
		if (status == QMD_OK)
			status = qmdi_pixels_render(pixels, &frame, reader.workspace, image, row);
		if (status != QMD_OK)
			qmdi_fail_within(status, "frame %u of the data set", indices[i]);
	}
	qmdi_float_leave(&saved);
	close_reader(&reader);
	return status;
}
