/**
 * @file base.h
 * Status codes, error text, version, memory, logging and progress: what every other header builds on.
 */
#ifndef QMD_BASE_H
#define QMD_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define QMD_API __attribute__((visibility("default")))
#else
#define QMD_API
#endif

#define QMD_VERSION_MAJOR 0
#define QMD_VERSION_MINOR 1
#define QMD_VERSION_PATCH 0
#define QMD_VERSION_STRING "0.1.0"

/** Version of the library that is linked at run time, for example "0.1.0". Static text. @since 0.1 */
QMD_API const char *qmd_version(void);

/** Result of a call: QMD_OK (0) or one of the QMD_ERROR_ numbers below, which are never reused. */
typedef int32_t qmd_status;

/** Every status: X(name, number, meaning). */
#define QMD_STATUS_LIST(X)                                                                                             \
	X(OK, 0, "success")                                                                                                \
	X(ERROR_ARGUMENT, 1, "an argument is NULL, empty, or not one of the allowed values")                               \
	X(ERROR_MEMORY, 2, "out of memory")                                                                                \
	X(ERROR_IO, 3, "a file cannot be opened, read or written")                                                         \
	X(ERROR_FORMAT, 4, "a file or text is not what its format demands")                                                \
	X(ERROR_RANGE, 5, "a number or an index is out of its range, or not finite")                                       \
	X(ERROR_UNSUPPORTED, 6, "valid, but this build or this version cannot do it")                                      \
	X(ERROR_SHAPE, 7, "shapes do not fit together")                                                                    \
	X(ERROR_STATE, 8, "the object is not ready for this call")                                                         \
	X(ERROR_CANCELLED, 9, "a progress callback asked to stop")                                                         \
	X(ERROR_MATCH, 10, "the atoms of two topologies do not match")                                                     \
	X(ERROR_VERSION, 11, "a file was written by a newer version")                                                      \
	X(ERROR_CORRUPT, 12, "a file's checksum does not match its content")                                               \
	X(ERROR_INTERNAL, 13, "a library that libqmd calls failed in a way that should not happen")

enum {
#define QMD_STATUS_ENUM(name, number, meaning) QMD_##name = number,
	QMD_STATUS_LIST(QMD_STATUS_ENUM)
#undef QMD_STATUS_ENUM
};

/** Name of a status, for example "QMD_ERROR_IO"; "QMD_ERROR_UNKNOWN" for any other number. Static text. @since 0.1 */
QMD_API const char *qmd_status_name(qmd_status status);

/** Meaning of a status in one line of English. Static text. @since 0.1 */
QMD_API const char *qmd_status_meaning(qmd_status status);

/**
 * What went wrong in the calling thread's latest failed call: the file, the byte offset or the argument, what was
 * expected and what was found. One line; never NULL; empty if nothing failed yet.
 *
 * The text belongs to the thread and is valid until its next call that fails. @since 0.1
 */
QMD_API const char *qmd_last_error(void);

/** Type of an element of an array. */
typedef enum qmd_type {
	QMD_F32 = 1, /**< IEEE 754 single precision */
	QMD_F64 = 2, /**< IEEE 754 double precision */
	QMD_S8 = 3,  /**< signed 8-bit integer */
	QMD_U8 = 4,  /**< unsigned 8-bit integer */
	QMD_S32 = 5  /**< signed 32-bit integer */
} qmd_type;

/** Unit of a length that a caller hands in. */
typedef enum qmd_unit {
	QMD_ANGSTROM = 1, /**< 1e-10 m; what the library itself uses */
	QMD_NM = 2        /**< 1e-9 m; GROMACS, OpenMM */
} qmd_unit;

/** Memory functions of the host. `allocate` returns memory aligned to at least 16 bytes, or NULL. */
typedef struct qmd_allocator {
	void *(*allocate)(void *user, size_t size);
	void *(*reallocate)(void *user, void *pointer, size_t size);
	void (*release)(void *user, void *pointer); /**< accepts NULL */
	void *user;
} qmd_allocator;

/**
 * Use the host's memory functions instead of malloc, realloc and free.
 *
 * @param allocator  copied; NULL goes back to malloc. All three functions must be set.
 * @return QMD_OK; QMD_ERROR_ARGUMENT
 *
 * Call it before any handle exists and while no other thread is in the library. Libraries that libqmd calls (NetCDF-C,
 * oneDNN, jansson, libpng) keep their own. @since 0.1
 */
QMD_API qmd_status qmd_set_allocator(const qmd_allocator *allocator);

/** How much a log line matters. */
typedef enum qmd_log_level { QMD_LOG_DEBUG = 1, QMD_LOG_INFO = 2, QMD_LOG_WARNING = 3 } qmd_log_level;

/** Receives one log line without a newline; valid during the call only. May be called from any thread. */
typedef void (*qmd_log_fn)(void *user, qmd_log_level level, const char *line);

/** Send log lines of this process to `log`; NULL (the default) drops them. Thread-safe. @since 0.1 */
QMD_API void qmd_set_log(qmd_log_fn log, void *user);

/** How long the parts of a run took, in seconds. */
typedef struct qmd_run_time {
	double input;   /**< coordinates or images to the device; 0 on the CPU */
	double compute; /**< pixels and network */
	double output;  /**< results to the host; 0 on the CPU */
	double total;   /**< of a run as a whole, by wall clock, until its results are there */
} qmd_run_time;

/** How far a long call has come. */
typedef struct qmd_progress {
	uint32_t struct_size;
	const char *phase; /**< "train", "calibrate", "fine-tune", "explain", ...; static text */
	size_t done;       /**< units of work done */
	size_t total;      /**< units of work in all, at least 1 */
	double loss;       /**< mean loss of the epoch so far, or NaN */
	double accuracy;   /**< share of right answers of the epoch so far, 0 to 1, or NaN */
} qmd_progress;

/** Called by a long call from the thread that made it. A return value other than 0 cancels: the call then returns
 * QMD_ERROR_CANCELLED and leaves its handles usable. */
typedef int (*qmd_progress_fn)(void *user, const qmd_progress *progress);

#ifdef __cplusplus
}
#endif

#endif
