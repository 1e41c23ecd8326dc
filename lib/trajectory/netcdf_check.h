/* A gate in front of NetCDF-C, which aborts on some malformed files. */
#ifndef QMD_LIB_NETCDF_CHECK_H
#define QMD_LIB_NETCDF_CHECK_H

#include "base/error.h"

/*
 * Check that a file is CDF-1, CDF-2 or CDF-5, that its header is well formed, and that all the data the header promises
 * lie inside the file. Gives the number of records, counted from the file's size where a writer that was still at it
 * did not store one. QMD_ERROR_FORMAT names the byte offset; QMD_ERROR_UNSUPPORTED for NetCDF-4 (HDF5).
 */
qmd_status qmdi_netcdf_check(const char *path, uint64_t *n_records);

#endif
