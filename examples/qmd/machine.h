/* On what a result was computed. */
#ifndef QMD_MACHINE_H
#define QMD_MACHINE_H

#include <jansson.h>

#include "program.h"

/* {"libqmd", "compiler", "system", "processor", "device", "device_name", "kernels"}: versions and names; the device
 * that trained, as --device has it, and if it is a GPU its own name; the kernels that an engine runs on this CPU. NULL
 * if it cannot be made. */
json_t *machine_describe(const qmd_engine *engine, const char *device);

#endif
