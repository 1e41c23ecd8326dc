/* The manual page qmd(1), made of the same tables as --help. */
#ifndef QMD_MANUAL_H
#define QMD_MANUAL_H

#include "arguments.h"

/* Print the page to stdout, in the language of mdoc(7); `commands` ends in NULL. */
void manual_print(const program_command *const *commands);

#endif
