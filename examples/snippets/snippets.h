/* What the programs here share, so that each can be about one thing. */
#ifndef QMD_SNIPPETS_H
#define QMD_SNIPPETS_H

#include <qmd.h>

/* Go on if a call succeeded; else say in the library's own words what went wrong, and exit. */
void check(qmd_status status);

/* n elements of zeros, or exit. */
void *allocate(size_t n, size_t size);

/* The bundled states, open and closed, by the alpha carbons of every fourth frame: 214 atoms, 60 frames. */
qmd_dataset *open_states(const char *folder);

/* These, split by replica with the first held out, and pixels fitted on the training frames. */
typedef struct example {
	qmd_dataset *dataset;
	qmd_split *split;
	qmd_pixels *pixels;
} example;

example open_example(const char *folder);
void close_example(example *e);

/* A network of one convolution that has been trained on the training frames. */
qmd_model *train_briefly(qmd_dataset *dataset, const qmd_split *split, qmd_pixels *pixels);

/* The same, quantized and compiled. */
qmd_engine *make_engine(qmd_dataset *dataset, const qmd_split *split, qmd_pixels *pixels);

#endif
