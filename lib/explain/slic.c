#include "explain/slic.h"

#include <float.h>
#include <math.h>

#include "base/memory.h"

#define CHANNELS 3
#define N_SEGMENTS 100 /* about: as many as a grid of square cells has */
#define MAX_ROUNDS 10
#define RADIUS 4 /* of the Gaussian: four sigma */
#define NO_LABEL UINT32_MAX

/* A cluster: the mean place and colour of its pixels. */
typedef struct cluster {
	double y, x, color[CHANNELS];
	size_t n_pixels; /* one without any takes no further part */
} cluster;

typedef struct slic {
	size_t side, n_pixels;
	double *colors;    /* [n_pixels][CHANNELS], CIE L*a*b* */
	double *smooth;    /* the same, one way of the Gaussian done */
	double *distances; /* [n_pixels], to the nearest cluster so far */
	uint32_t *nearest; /* [n_pixels] */
	uint32_t *queue;   /* [n_pixels] */
	cluster *clusters;
	size_t n_clusters, step; /* of the grid they start on */
} slic;

/* ---- Colours ---- */

/* sRGB's own curve to linear light (IEC 61966-2-1). */
static double linear_light(double value) {
	return value > 0.04045 ? pow((value + 0.055) / 1.055, 2.4) : value / 12.92;
}

static double lightness(double value) {
	return value > 0.008856 ? cbrt(value) : 7.787 * value + 16.0 / 116.0;
}

/* To CIE XYZ by sRGB's primaries, then to L*a*b* with the white of D65 (CIE 15). */
static void to_lab(const double rgb[CHANNELS], double lab[CHANNELS]) {
	static const double xyz_of_rgb[3][CHANNELS] = {
		{0.412453, 0.357580, 0.180423}, {0.212671, 0.715160, 0.072169}, {0.019334, 0.119193, 0.950227}};
	static const double white[3] = {0.95047, 1.0, 1.08883};
	double f[3];
	for (int i = 0; i < 3; i++) {
		const double *row = xyz_of_rgb[i];
		f[i] = lightness((row[0] * rgb[0] + row[1] * rgb[1] + row[2] * rgb[2]) / white[i]);
	}
	lab[0] = 116.0 * f[1] - 16.0;
	lab[1] = 500.0 * (f[0] - f[1]);
	lab[2] = 200.0 * (f[1] - f[2]);
}

static int value_of(const unsigned char *image, int32_t type, size_t i) {
	return type == QMD_S8 ? (signed char)image[i] : image[i];
}

static void read_colors(slic *s, const unsigned char *image, int32_t type) {
	int least = value_of(image, type, 0), greatest = least;
	for (size_t i = 1; i < s->n_pixels * CHANNELS; i++) {
		const int value = value_of(image, type, i);
		least = value < least ? value : least;
		greatest = value > greatest ? value : greatest;
	}
	const int range = greatest > least ? greatest - least : 1;
	double light[UINT8_MAX + 1] = {0};
	for (int level = 0; level <= range; level++)
		light[level] = linear_light((double)level / range);
	for (size_t p = 0; p < s->n_pixels; p++) {
		double rgb[CHANNELS];
		for (size_t c = 0; c < CHANNELS; c++)
			rgb[c] = light[value_of(image, type, p * CHANNELS + c) - least];
		to_lab(rgb, s->colors + p * CHANNELS);
	}
}

/* ---- Gaussian of sigma 1 ---- */

/* Beyond its edges a line goes on as its own mirror image. */
static size_t mirror(long i, long n) {
	const long period = 2 * n, place = ((i % period) + period) % period;
	return (size_t)(place < n ? place : period - 1 - place);
}

/* One line of n pixels, `stride` numbers apart, one channel. */
static void smooth_line(const double *from, double *to, size_t n, size_t stride, const double weights[RADIUS + 1]) {
	for (size_t i = 0; i < n; i++) {
		double sum = from[i * stride] * weights[0];
		for (long r = RADIUS; r > 0; r--) {
			const size_t before = mirror((long)i - r, (long)n), after = mirror((long)i + r, (long)n);
			sum += (from[before * stride] + from[after * stride]) * weights[r];
		}
		to[i * stride] = sum;
	}
}

static void smooth_colors(slic *s) {
	double weights[RADIUS + 1] = {1}, sum = 1;
	for (int r = 1; r <= RADIUS; r++) {
		weights[r] = exp(-0.5 * r * r);
		sum += 2 * weights[r];
	}
	for (int r = 0; r <= RADIUS; r++)
		weights[r] /= sum;
	const size_t row = s->side * CHANNELS;
	for (size_t i = 0; i < row; i++)
		smooth_line(s->colors + i, s->smooth + i, s->side, row, weights);
	for (size_t y = 0; y < s->side; y++)
		for (size_t c = 0; c < CHANNELS; c++)
			smooth_line(s->smooth + y * row + c, s->colors + y * row + c, s->side, CHANNELS, weights);
}

/* ---- k-means, each cluster looking no further than two steps of the grid ---- */

static size_t window_first(double center, size_t step) {
	return (size_t)fmax(center - 2 * (double)step, 0);
}

static size_t window_end(double center, size_t step, size_t side) {
	return (size_t)fmin(center + 2 * (double)step + 1, (double)side);
}

/* Pixels nearer to this cluster than to those before it become its own. */
static int claim_pixels(slic *s, uint32_t label) {
	const cluster *own = &s->clusters[label];
	const size_t first = window_first(own->x, s->step), end = window_end(own->x, s->step, s->side);
	const double weight = 1.0 / (double)(s->step * s->step);
	int changed = 0;
	for (size_t y = window_first(own->y, s->step); y < window_end(own->y, s->step, s->side); y++) {
		const double dy = own->y - (double)y;
		for (size_t x = first; x < end; x++) {
			const size_t p = y * s->side + x;
			const double dx = own->x - (double)x, *color = s->colors + p * CHANNELS;
			double of_color = 0;
			for (size_t c = 0; c < CHANNELS; c++)
				of_color += (color[c] - own->color[c]) * (color[c] - own->color[c]);
			const double distance = (dy * dy + dx * dx) * weight + of_color;
			if (distance < s->distances[p]) {
				s->distances[p] = distance;
				s->nearest[p] = label;
				changed = 1;
			}
		}
	}
	return changed;
}

static void move_clusters(slic *s) {
	for (size_t k = 0; k < s->n_clusters; k++)
		s->clusters[k] = (cluster){0};
	for (size_t p = 0; p < s->n_pixels; p++) {
		const size_t y = p / s->side, x = p % s->side;
		cluster *own = &s->clusters[s->nearest[p]];
		own->n_pixels++;
		own->y += (double)y;
		own->x += (double)x;
		for (size_t c = 0; c < CHANNELS; c++)
			own->color[c] += s->colors[p * CHANNELS + c];
	}
	for (size_t k = 0; k < s->n_clusters; k++) {
		cluster *own = &s->clusters[k];
		if (own->n_pixels == 0)
			continue;
		const double n = (double)own->n_pixels;
		own->y /= n;
		own->x /= n;
		for (size_t c = 0; c < CHANNELS; c++)
			own->color[c] /= n;
	}
}

/* Distances are found anew each round, so a round without a change is one without clusters. */
static void find_clusters(slic *s) {
	for (int round = 0; round < MAX_ROUNDS; round++) {
		for (size_t p = 0; p < s->n_pixels; p++)
			s->distances[p] = DBL_MAX;
		int changed = 0;
		for (size_t k = 0; k < s->n_clusters; k++)
			if (s->clusters[k].n_pixels > 0)
				changed |= claim_pixels(s, (uint32_t)k);
		if (!changed)
			break;
		move_clusters(s);
	}
}

/* ---- Connected segments ---- */

/* Label what is connected with pixel `start` in its cluster, at most `max_size` pixels of it, and queue it.
 * neighbour: a label met at its edge, if any. */
static size_t label_part(slic *s, size_t start, uint32_t label, size_t max_size, uint32_t *labels,
						 uint32_t *neighbour) {
	static const int steps[4][2] = {{0, 1}, {0, -1}, {1, 0}, {-1, 0}};
	const long side = (long)s->side;
	size_t size = 1;
	labels[start] = label;
	s->queue[0] = (uint32_t)start;
	for (size_t i = 0; i < size && size < max_size; i++)
		for (int direction = 0; direction < 4 && size < max_size; direction++) {
			const long y = s->queue[i] / side + steps[direction][0], x = s->queue[i] % side + steps[direction][1];
			if (y < 0 || y >= side || x < 0 || x >= side)
				continue;
			const size_t p = (size_t)(y * side + x);
			if (labels[p] == NO_LABEL && s->nearest[p] == s->nearest[start]) {
				labels[p] = label;
				s->queue[size++] = (uint32_t)p;
			} else if (labels[p] != NO_LABEL && labels[p] != label) {
				*neighbour = labels[p];
			}
		}
	return size;
}

/* Parts below half a cluster's fair share of pixels go to a neighbour; beyond three times that they are cut. */
static size_t connect_segments(slic *s, uint32_t *labels) {
	const double share = (double)s->n_pixels / (double)s->n_clusters;
	const size_t min_size = (size_t)(0.5 * share), max_size = (size_t)(3 * share);
	uint32_t next = 0;
	for (size_t p = 0; p < s->n_pixels; p++)
		labels[p] = NO_LABEL;
	for (size_t p = 0; p < s->n_pixels; p++) {
		if (labels[p] != NO_LABEL)
			continue;
		uint32_t neighbour = next;
		const size_t size = label_part(s, p, next, max_size, labels, &neighbour);
		if (size >= min_size)
			next++; /* else the next part takes the same label */
		else
			for (size_t i = 0; i < size; i++)
				labels[s->queue[i]] = neighbour;
	}
	size_t n_labels = 0;
	for (size_t p = 0; p < s->n_pixels; p++)
		n_labels = labels[p] < n_labels ? n_labels : (size_t)labels[p] + 1;
	return n_labels;
}

/* ---- */

/* One cluster in the middle of each cell of a grid. */
static qmd_status place_clusters(slic *s) {
	const double cell = sqrt((double)s->n_pixels / N_SEGMENTS);
	const size_t start = cell > 1 ? (size_t)(cell / 2) : 0;
	s->step = cell > 1 ? (size_t)rint(cell) : 1;
	const size_t n = (s->side - start + s->step - 1) / s->step;
	s->clusters = qmdi_zeroed(n * n, sizeof *s->clusters);
	if (!s->clusters)
		return QMD_ERROR_MEMORY;
	s->n_clusters = n * n;
	for (size_t k = 0; k < s->n_clusters; k++) {
		const size_t y = start + k / n * s->step, x = start + k % n * s->step;
		s->clusters[k] = (cluster){.y = (double)y, .x = (double)x, .n_pixels = 1};
	}
	return QMD_OK;
}

static qmd_status allocate(slic *s) {
	s->colors = qmdi_array(s->n_pixels, CHANNELS * sizeof *s->colors);
	s->smooth = qmdi_array(s->n_pixels, CHANNELS * sizeof *s->smooth);
	s->distances = qmdi_array(s->n_pixels, sizeof *s->distances);
	s->nearest = qmdi_zeroed(s->n_pixels, sizeof *s->nearest);
	s->queue = qmdi_array(s->n_pixels, sizeof *s->queue);
	if (!s->colors || !s->smooth || !s->distances || !s->nearest || !s->queue)
		return QMD_ERROR_MEMORY;
	return place_clusters(s);
}

qmd_status qmdi_slic(const void *image, int32_t type, size_t side, uint32_t *labels, size_t *n_labels) {
	slic s = {.side = side, .n_pixels = side * side};
	const qmd_status status = allocate(&s);
	if (status == QMD_OK) {
		read_colors(&s, image, type);
		smooth_colors(&s);
		find_clusters(&s);
		*n_labels = connect_segments(&s, labels);
	}
	qmdi_release(s.colors);
	qmdi_release(s.smooth);
	qmdi_release(s.distances);
	qmdi_release(s.nearest);
	qmdi_release(s.queue);
	qmdi_release(s.clusters);
	return status;
}
