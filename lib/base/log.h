/* Log lines for the host. The library itself prints nothing. */
#ifndef QMD_LIB_LOG_H
#define QMD_LIB_LOG_H

#include <qmd/base.h>

__attribute__((format(printf, 2, 3))) void qmdi_log(qmd_log_level level, const char *format, ...);

/* Report progress to a callback that may be NULL. QMD_ERROR_CANCELLED if it asks to stop. */
qmd_status qmdi_progress(qmd_progress_fn progress, void *user, const char *phase, size_t done, size_t total,
						 double loss, double accuracy);

#endif
