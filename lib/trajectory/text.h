/* Numbers in text. Not strtod(): its decimal point depends on the host's locale. */
#ifndef QMD_LIB_TEXT_H
#define QMD_LIB_TEXT_H

#include <stdint.h>

/* An int32 at the start of a text. Returns where it ends, or NULL if there is none or it does not fit. */
const char *qmdi_parse_int32(const char *text, int32_t *value);

/* A whole text as a decimal number with at most 15 digits, correctly rounded; "nan" and "inf" too. 0 if it is none. */
int qmdi_parse_decimal(const char *text, double *value);

#endif
