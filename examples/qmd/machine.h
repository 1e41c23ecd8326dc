/* On what a result was computed. */
#ifndef QMD_MACHINE_H
#define QMD_MACHINE_H

#include <jansson.h>

#include "program.h"

/* {"libqmd", "compiler", "system", "processor", "device", "device_name", "kernels"}: versions, names, on which device
 * of
 * --device was trained, its name if it is a GPU, and which kernels an engine runs on this CPU; NULL if it cannot be
 * made. */
json_t *machine_describe(const qmd_engine *engine, const char *device);

#endif
