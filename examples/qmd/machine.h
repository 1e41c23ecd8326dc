/* On what a result was computed. */
#ifndef QMD_MACHINE_H
#define QMD_MACHINE_H

#include <jansson.h>

#include "program.h"

/* {"libqmd", "compiler", "system", "processor", "kernels"}: versions, names, and which kernels an engine runs here;
 * NULL if it cannot be made. */
json_t *machine_describe(const qmd_engine *engine);

#endif
