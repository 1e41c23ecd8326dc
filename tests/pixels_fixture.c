#include "pixels_fixture.h"

#include "support.h"

const float qmdt_octahedron[8][3] = {{8, 0, 0}, {-8, 0, 0}, {0, 8, 0}, {0, -8, 0},
									 {0, 0, 8}, {0, 0, -8}, {1, 2, 3}, {16, -8, 4}};

qmd_pixels *qmdt_pixels_make(int32_t kind, size_t n_atoms, const float (*reference)[3], size_t n_superposed,
							 float step) {
	qmd_pixels *pixels;
	qmdt_ok(qmdi_pixels_allocate(kind, n_atoms, n_superposed, &pixels));
	for (size_t i = 0; i < n_atoms; i++) {
		pixels->atoms[i] = (qmd_atom){.name = "CA",
									  .residue_name = "GLY",
									  .chain = "A",
									  .element = "C",
									  .residue_number = (int32_t)i + 10,
									  .residue = (uint32_t)i};
		if (pixels->steps)
			pixels->steps[i] = step;
	}
	for (size_t i = 0; i < n_superposed; i++)
		pixels->superposed[i] = (uint32_t)i;
	memcpy(pixels->reference, reference, n_atoms * sizeof *reference);
	qmdt_ok(qmdi_pixels_prepare(pixels));
	return pixels;
}

qmd_frame qmdt_frame_of(const void *xyz, size_t n_atoms) {
	qmd_frame frame;
	qmd_frame_init(&frame);
	frame.xyz = xyz;
	frame.n_atoms = n_atoms;
	return frame;
}
