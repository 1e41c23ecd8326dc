/*
 * Frames to images: fitting pixels on training frames, and what they hold.
 *
 *     $ pixels_make examples/data
 *     displacement pixels: 214 atoms, 214 of them superposed on, in 15 x 15 x 3 s8, a step is 1/127
 *     the first pixel is CA of MET1, its place in the reference -8.63 15.32 -2.32
 *     a frame of the open state: atom 1 is moved by 28 42 -13 steps
 *     40 training images of 675 bytes
 *     the background is no displacement
 *     wrote open.png
 */
#include "snippets.h"

#include <stdio.h>
#include <stdlib.h>

/* [fit] */
static qmd_pixels *fit(qmd_dataset *dataset, const qmd_split *split) {
	qmd_pixels_options options;
	qmd_pixels_options_init(&options);
	options.superpose = "all"; /* of the data set's atoms; default: the backbone */
	options.range = 5;         /* angstrom that become 127 */
	qmd_pixels *pixels;
	check(qmd_pixels_fit(dataset, split, &options, &pixels));
	return pixels; /* qmd_pixels_free() when it is done with; models and engines hold it too */
}
/* [fit] */

/* [what they are] */
static void print_pixels(const qmd_pixels *pixels) {
	const size_t side = qmd_pixels_side(pixels);
	printf("%s pixels: %zu atoms, %zu of them superposed on, in %zu x %zu x 3 %s, a step is 1/%.0f\n",
		   qmd_pixels_kind_of(pixels) == QMD_PIXELS_DISPLACEMENT ? "displacement" : "icnnmd",
		   qmd_pixels_n_atoms(pixels), qmd_pixels_n_superposed(pixels), side, side,
		   qmd_pixels_type(pixels) == QMD_S8 ? "s8" : "u8", 1 / (double)qmd_pixels_scale(pixels));

	qmd_atom atom;
	float *reference = allocate(qmd_pixels_n_atoms(pixels), 3 * sizeof *reference);
	check(qmd_pixels_atom(pixels, 0, &atom));
	check(qmd_pixels_reference(pixels, reference));
	printf("the first pixel is %s of %s%d, its place in the reference %.2f %.2f %.2f\n", atom.name, atom.residue_name,
		   atom.residue_number, (double)reference[0], (double)reference[1], (double)reference[2]);
	free(reference);
}
/* [what they are] */

/* [run] */
static void look_at_a_frame(const qmd_pixels *pixels, qmd_dataset *dataset, int8_t *image) {
	float *xyz = allocate(qmd_dataset_n_atoms(dataset), 3 * sizeof *xyz);
	check(qmd_dataset_read(dataset, 0, xyz));
	qmd_frame frame; /* here just the pixels' atoms, in order, in angstrom */
	qmd_frame_init(&frame);
	frame.xyz = xyz;
	frame.n_atoms = qmd_dataset_n_atoms(dataset);
	check(qmd_pixels_run(pixels, &frame, 1, image));
	printf("a frame of the open state: atom 1 is moved by %d %d %d steps\n", image[0], image[1], image[2]);
	free(xyz);
}
/* [run] */

/* [run dataset] */
static void look_at_training_frames(const qmd_pixels *pixels, qmd_dataset *dataset, const qmd_split *split) {
	size_t n;
	const uint32_t *frames = qmd_split_train(split, &n);
	const size_t size = qmd_pixels_side(pixels) * qmd_pixels_side(pixels) * 3;
	int8_t *images = allocate(n, size);
	check(qmd_pixels_run_dataset(pixels, dataset, frames, n, images));
	printf("%zu training images of %zu bytes\n", n, size);
	free(images);
}
/* [run dataset] */

/* [background] */
static void look_at_nothing(const qmd_pixels *pixels, int8_t *image, size_t size) {
	check(qmd_pixels_background(pixels, image)); /* what a residue is painted with to leave it out */
	int is_zero = 1;
	for (size_t i = 0; i < size; i++)
		is_zero = is_zero && image[i] == 0;
	printf("the background %s\n", is_zero ? "is no displacement" : "is an image");
}
/* [background] */

/* [png] */
static void write_picture(const qmd_pixels *pixels, const int8_t *image) {
	check(qmd_pixels_write_png(pixels, image, "open.png"));
	printf("wrote open.png\n");
}
/* [png] */

int main(int argc, char **argv) {
	if (argc != 2)
		return 2;
	qmd_dataset *dataset = open_states(argv[1]);
	qmd_split *split;
	check(qmd_split_by_replica(dataset, 0, &split));
	qmd_pixels *pixels = fit(dataset, split);
	print_pixels(pixels);
	const size_t size = qmd_pixels_side(pixels) * qmd_pixels_side(pixels) * 3;
	int8_t *image = allocate(size, 1), *background = allocate(size, 1);
	look_at_a_frame(pixels, dataset, image);
	look_at_training_frames(pixels, dataset, split);
	look_at_nothing(pixels, background, size);
	write_picture(pixels, image);
	free(background);
	free(image);
	qmd_pixels_free(pixels);
	qmd_split_free(split);
	qmd_dataset_free(dataset);
	return 0;
}
