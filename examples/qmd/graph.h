/* The graph of an engine's plan as SVG: a box for each step, the darker the longer it takes. */
#ifndef QMD_GRAPH_H
#define QMD_GRAPH_H

#include <stdio.h>

#include "profile.h"

extern const char graph_style[];

/* The graphs of one engine or of two, side by side, from the image at the top to the output at the bottom. */
void graph_draw(FILE *out, const engine_profile *profiles, size_t n_profiles);

#endif
