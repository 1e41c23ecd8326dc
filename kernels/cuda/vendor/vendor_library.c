/* The vendor's libraries, opened when they are first asked for. */
#include "vendor.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define TEXT_OF(value) #value
#define NUMBER_TEXT(macro) TEXT_OF(macro)

#define CUDNN_FILE "libcudnn.so.9"
#define CUBLAS_FILE "libcublas.so." NUMBER_TEXT(CUBLAS_VER_MAJOR)

#define MESSAGE_SIZE 1024
#define PATH_SIZE 4096

/* A function of a library, and where its pointer goes in the table. */
typedef struct vendor_function {
	const char *name;
	size_t offset;
} vendor_function;

#define FUNCTION(function) {#function, offsetof(qmdi_vendor, function)},

static const vendor_function cudnn_functions[] = {QMDI_CUDNN_FUNCTIONS(FUNCTION)};
static const vendor_function cublas_functions[] = {QMDI_CUBLAS_FUNCTIONS(FUNCTION)};

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

static qmd_status fail_to_open(const char *file) {
	return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s cannot be opened: %s (LD_LIBRARY_PATH may name its folder)", file,
					 dlerror());
}

/* Libraries stay open: other parts of the host may use them too, and they have threads and exit handlers of their own.
 */
static qmd_status open_library(const char *file, const vendor_function *functions, size_t n_functions,
							   qmdi_vendor *vendor) {
	void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return fail_to_open(file);
	for (size_t i = 0; i < n_functions; i++) {
		void *function = dlsym(library, functions[i].name);
		if (!function)
			return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s has no %s: %s", file, functions[i].name, dlerror());
		memcpy((char *)vendor + functions[i].offset, &function, sizeof function);
	}
	return QMD_OK;
}

/*
 * cuDNN is a shim that opens the libraries which do the work, beside it or where the system looks, and ends the process
 * with abort() at the first call of a function whose library it does not find. So look first.
 */
static qmd_status check_part(const qmdi_vendor *vendor, const char *file) {
	char path[PATH_SIZE];
	Dl_info shim;
	void *function;
	memcpy(&function, &vendor->cudnnCreate, sizeof function);
	if (dladdr(function, &shim) && shim.dli_fname && strrchr(shim.dli_fname, '/')) {
		const int n = (int)(strrchr(shim.dli_fname, '/') - shim.dli_fname);
		snprintf(path, sizeof path, "%.*s/%s", n, shim.dli_fname, file);
		if (dlopen(path, RTLD_NOW | RTLD_LOCAL))
			return QMD_OK;
	}
	return dlopen(file, RTLD_NOW | RTLD_LOCAL) ? QMD_OK : fail_to_open(file);
}

static qmd_status check_cudnn(const qmdi_vendor *vendor) {
	QMDI_TRY(check_part(vendor, "libcudnn_graph.so.9"));
	QMDI_TRY(check_part(vendor, "libcudnn_ops.so.9"));
	const size_t version = vendor->cudnnGetVersion();
	const size_t major = version < 10000 ? 1000 : 10000; /* until version 8, and since */
	if (version < QMDI_CUDNN_OLDEST)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s is cuDNN %zu.%zu.%zu, %d.%d or newer is needed", CUDNN_FILE,
						 version / major, version % major / 100, version % 100, QMDI_CUDNN_OLDEST / 10000,
						 QMDI_CUDNN_OLDEST / 100 % 100);
	return QMD_OK;
}

static qmd_status check_cublas(const qmdi_vendor *vendor) {
	int major = 0;
	if (vendor->cublasGetProperty(MAJOR_VERSION, &major) != CUBLAS_STATUS_SUCCESS || major != CUBLAS_VER_MAJOR)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s is cuBLAS %d, this libqmd was built for %d", CUBLAS_FILE, major,
						 CUBLAS_VER_MAJOR);
	return QMD_OK;
}

static qmd_status open_libraries(qmdi_vendor *vendor) {
	QMDI_TRY(open_library(CUBLAS_FILE, cublas_functions, LENGTH(cublas_functions), vendor));
	QMDI_TRY(check_cublas(vendor));
	QMDI_TRY(open_library(CUDNN_FILE, cudnn_functions, LENGTH(cudnn_functions), vendor));
	return check_cudnn(vendor);
}

/* ---- Once a process ---- */

static pthread_once_t opened = PTHREAD_ONCE_INIT;
static qmdi_vendor the_vendor;
static qmd_status the_status;
static char the_message[MESSAGE_SIZE];

static void open_once(void) {
	the_status = open_libraries(&the_vendor);
	if (the_status != QMD_OK)
		snprintf(the_message, sizeof the_message, "%s", qmd_last_error());
}

qmd_status qmdi_vendor_open(const qmdi_vendor **vendor) {
	(void)pthread_once(&opened, open_once);
	if (the_status != QMD_OK)
		return qmdi_fail(the_status, "%s", the_message);
	*vendor = &the_vendor;
	return QMD_OK;
}
