/* The residue profile as an SVG figure: a bar with its standard error for each residue, the first ten named. */
#ifndef QMD_SVG_H
#define QMD_SVG_H

#include "residues.h"

int svg_write_profile(const char *path, const profile_residue *residues, size_t n, const char *title);

#endif
