/* What a residue's pixels become where it is left out. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "explain/explain_internal.h"

#define FRAMES_AT_A_TIME 64

/* Sums of the pixels of each class's frames. */
typedef struct image_sums {
	int64_t *sums;   /* [class][image_size] */
	size_t *n;       /* [class] */
	uint32_t *chunk; /* frames */
	unsigned char *images;
} image_sums;

static qmd_status add_frames(const qmdi_explain_job *job, qmd_dataset *dataset, image_sums *s, size_t first, size_t n) {
	const size_t size = job->subject.image_size;
	const int is_signed = qmd_pixels_type(job->subject.pixels) == QMD_S8;
	for (size_t i = 0; i < n; i++)
		s->chunk[i] = (uint32_t)(first + i);
	QMDI_TRY(qmd_pixels_run_dataset(job->subject.pixels, dataset, s->chunk, n, s->images));
	for (size_t i = 0; i < n; i++) {
		qmd_frame_origin origin;
		QMDI_TRY(qmd_dataset_frame_origin(dataset, first + i, &origin));
		const uint32_t class = job->class_of_state[origin.state];
		const unsigned char *image = s->images + i * size;
		int64_t *sums = s->sums + class * size;
		for (size_t p = 0; p < size; p++)
			sums[p] += is_signed ? (signed char)image[p] : image[p];
		s->n[class]++;
	}
	return QMD_OK;
}

/* The mean of all frames but those of a class, to the nearest whole pixel. */
static qmd_status average_others(const qmdi_explain_job *job, const image_sums *s, size_t class) {
	const size_t size = job->subject.image_size;
	size_t n = 0;
	for (size_t c = 0; c < job->subject.n_classes; c++)
		n += c == class ? 0 : s->n[c];
	if (s->n[class] > 0 && n == 0)
		return qmdi_fail(QMD_ERROR_STATE,
						 "qmd_explain: the background is the mean of the other states' frames, and the "
						 "data set has none of another state");
	for (size_t p = 0; n > 0 && p < size; p++) {
		int64_t sum = 0;
		for (size_t c = 0; c < job->subject.n_classes; c++)
			sum += c == class ? 0 : s->sums[c * size + p];
		job->backgrounds[class * size + p] = (unsigned char)(int)rint((double)sum / (double)n);
	}
	return QMD_OK;
}

static qmd_status average(qmdi_explain_job *job, qmd_dataset *dataset, image_sums *s) {
	const size_t n_frames = qmd_dataset_n_frames(dataset);
	if (!s->sums || !s->n || !s->chunk || !s->images)
		return QMD_ERROR_MEMORY;
	for (size_t first = 0; first < n_frames; first += FRAMES_AT_A_TIME)
		QMDI_TRY(add_frames(job, dataset, s, first,
							n_frames - first < FRAMES_AT_A_TIME ? n_frames - first : FRAMES_AT_A_TIME));
	for (size_t c = 0; c < job->subject.n_classes; c++)
		QMDI_TRY(average_others(job, s, c));
	return QMD_OK;
}

static qmd_status average_other_states(qmdi_explain_job *job, qmd_dataset *dataset) {
	const size_t n_classes = job->subject.n_classes, size = job->subject.image_size;
	image_sums s = {.sums = qmdi_zeroed(n_classes * size, sizeof(int64_t)),
					.n = qmdi_zeroed(n_classes, sizeof(size_t)),
					.chunk = qmdi_array(FRAMES_AT_A_TIME, sizeof(uint32_t)),
					.images = qmdi_array(FRAMES_AT_A_TIME, size)};
	const qmd_status status = average(job, dataset, &s);
	qmdi_release(s.sums);
	qmdi_release(s.n);
	qmdi_release(s.chunk);
	qmdi_release(s.images);
	return status;
}

qmd_status qmdi_explain_set_backgrounds(qmdi_explain_job *job, qmd_dataset *dataset, int32_t background) {
	const size_t size = job->subject.image_size;
	job->backgrounds = qmdi_array(job->subject.n_classes, size);
	if (!job->backgrounds)
		return QMD_ERROR_MEMORY;
	if (background == QMD_BACKGROUND_OTHER_STATES)
		return average_other_states(job, dataset);
	if (background != QMD_BACKGROUND_PIXELS)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain: background is %d, not a qmd_explain_background", background);
	QMDI_TRY(qmd_pixels_background(job->subject.pixels, job->backgrounds));
	for (size_t c = 1; c < job->subject.n_classes; c++)
		memcpy(job->backgrounds + c * size, job->backgrounds, size);
	return QMD_OK;
}
