/**
 * @file trajectory.h
 * Topologies, trajectories, and data sets of several states that are matched atom by atom.
 */
#ifndef QMD_TRAJECTORY_H
#define QMD_TRAJECTORY_H

#include <qmd/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Topology: what the atoms are ---- */

/** The atoms of a system, in order. Immutable; any number of threads may read it. */
typedef struct qmd_topology qmd_topology;

/** One atom. Texts are NUL-terminated, without padding blanks. */
typedef struct qmd_atom {
	char name[8];           /**< "CA" */
	char residue_name[8];   /**< "GLY" */
	char chain[8];          /**< "A"; "" where there is none */
	char element[4];        /**< "C", "Cl"; "" if unknown */
	int32_t residue_number; /**< as in the file */
	char insertion_code;    /**< 'A'; 0 where there is none */
	uint8_t hetero;         /**< 1 for a HETATM record */
	uint16_t reserved;      /**< 0 */
	uint32_t residue;       /**< index of its residue in its topology, 0-based */
} qmd_atom;

/**
 * Read the topology (and the first model's coordinates) of a PDB file by its columns (wwPDB format 3.3).
 *
 * @param path           file name
 * @param[out] topology  new topology; free with qmd_topology_free()
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_IO; QMD_ERROR_FORMAT (the message names file, line and column);
 *         QMD_ERROR_RANGE for a coordinate that is not finite; QMD_ERROR_MEMORY
 *
 * A new residue starts where chain, number, insertion code or name changes. A missing element column is filled from
 * the atom's name. Of alternate locations the one of highest occupancy is kept, else the first. @since 0.1
 */
QMD_API qmd_status qmd_topology_load(const char *path, qmd_topology **topology);

/**
 * Make a topology from the host's own list of atoms.
 *
 * @param atoms    n_atoms atoms, copied; `residue` is ignored and counted anew; an empty `element` is filled from the
 *                 atom's name
 * @param n_atoms  at least 1
 * @return QMD_OK; QMD_ERROR_ARGUMENT for a text that does not end in its array, holds blanks or other invisible
 *         characters, or an empty name (the message names the atom); QMD_ERROR_MEMORY
 * @since 0.1
 */
QMD_API qmd_status qmd_topology_create(const qmd_atom *atoms, size_t n_atoms, qmd_topology **topology);

/** Free a topology; NULL is allowed. @since 0.1 */
QMD_API void qmd_topology_free(qmd_topology *topology);

/** Number of atoms; 0 for NULL. @since 0.1 */
QMD_API size_t qmd_topology_n_atoms(const qmd_topology *topology);

/** Number of residues; 0 for NULL. @since 0.1 */
QMD_API size_t qmd_topology_n_residues(const qmd_topology *topology);

/** One atom, by index (0-based). QMD_ERROR_RANGE beyond the last. @since 0.1 */
QMD_API qmd_status qmd_topology_atom(const qmd_topology *topology, size_t index, qmd_atom *atom);

/** The file's own coordinates, n_atoms * 3 floats, in angstrom. QMD_ERROR_STATE if it was made from memory. @since 0.1
 */
QMD_API qmd_status qmd_topology_coordinates(const qmd_topology *topology, float *xyz);

/**
 * Choose atoms by a selection, a subset of VMD's language.
 *
 * Words: `all`, `none`, `protein`, `backbone` (N CA C O of protein), `sidechain`, `hydrogen`, `noh`, `water`, `hetero`,
 * `name CA CB`, `resname ALA GLY`, `resid 30 to 67 90`, `chain A B`, `element C N`, `index 0 to 99` (0-based), joined
 * by `and`, `or`, `not` and parentheses; `and` binds tighter than `or`, `not` tighter than both.
 *
 * @param selection     text
 * @param[in,out] n     in: room in `indices`; out: number of atoms matched
 * @param[out] indices  matched atoms, ascending, or NULL to count only
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_FORMAT (the message names the column and what was expected);
 *         QMD_ERROR_RANGE if `indices` is too small (`n` is set). No match is QMD_OK with n = 0.
 * @since 0.1
 */
QMD_API qmd_status qmd_topology_select(const qmd_topology *topology, const char *selection, size_t *n,
									   uint32_t *indices);

/* ---- Trajectory: where the atoms are ---- */

/** One or more trajectory files, read as one. For one thread at a time. */
typedef struct qmd_trajectory qmd_trajectory;

/**
 * Open trajectory files as one trajectory: AMBER NetCDF (Convention 1.0; CDF-1, CDF-2 and CDF-5), XTC of GROMACS, and
 * DCD of CHARMM, NAMD and others (docs/trajectory.md says what is read of each).
 *
 * @param paths    n_paths file names, in order; the first bytes of each file tell its format
 * @param n_paths  at least 1
 * @param n_atoms  number of atoms that every file must have, or 0 for whatever the first has
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_IO; QMD_ERROR_FORMAT (none of these formats, truncated, a missing or
 *         mistyped variable); QMD_ERROR_SHAPE if the numbers of atoms differ; QMD_ERROR_UNSUPPORTED for an unknown
 * unit, NetCDF-4, velocities or four dimensions in a DCD file; QMD_ERROR_MEMORY
 *
 * Sizes are checked against the file's before anything is allocated, and before NetCDF-C sees the file. NetCDF-C is not
 * thread-safe: libqmd holds a lock around its own calls, and cannot exclude the host's. @since 0.1
 */
QMD_API qmd_status qmd_trajectory_open(const char *const *paths, size_t n_paths, size_t n_atoms,
									   qmd_trajectory **trajectory);

/** Close a trajectory; NULL is allowed. @since 0.1 */
QMD_API void qmd_trajectory_free(qmd_trajectory *trajectory);

/** Number of atoms; 0 for NULL. @since 0.1 */
QMD_API size_t qmd_trajectory_n_atoms(const qmd_trajectory *trajectory);

/** Number of frames of all files together; 0 for NULL. @since 0.1 */
QMD_API size_t qmd_trajectory_n_frames(const qmd_trajectory *trajectory);

/** Number of files; 0 for NULL. @since 0.1 */
QMD_API size_t qmd_trajectory_n_files(const qmd_trajectory *trajectory);

/** Number of frames of one file (0-based); 0 beyond the last. @since 0.1 */
QMD_API size_t qmd_trajectory_n_file_frames(const qmd_trajectory *trajectory, size_t file);

/**
 * Read frames [first, first + n).
 *
 * @param first     index of the first frame, 0-based
 * @param n         number of frames; first + n must not exceed qmd_trajectory_n_frames()
 * @param[out] xyz  n * n_atoms * 3 floats, row-major [frame][atom][x y z], in angstrom
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_RANGE (also if a coordinate is not finite: the message names file,
 *         frame and atom); QMD_ERROR_FORMAT if packed coordinates of an XTC file or records of a DCD file are damaged;
 *         QMD_ERROR_IO
 *
 * Units are converted, in NetCDF by the file's `units` and `scale_factor` attributes. @since 0.1
 */
QMD_API qmd_status qmd_trajectory_read(qmd_trajectory *trajectory, size_t first, size_t n, float *xyz);

/** Time of one frame in picoseconds. QMD_ERROR_STATE if the file has no times; QMD_ERROR_RANGE beyond the last frame,
 * or if the time is not finite. @since 0.1 */
QMD_API qmd_status qmd_trajectory_time_ps(qmd_trajectory *trajectory, size_t frame, double *time_ps);

/**
 * Box of one frame.
 *
 * @param[out] box      9 doubles, the box vectors a, b, c as rows, in angstrom; a along x, b in the xy plane
 * @param[out] has_box  1 if the file has a box for this frame with a volume, else 0 (and box is all 0)
 * @return QMD_OK; QMD_ERROR_ARGUMENT; QMD_ERROR_RANGE beyond the last frame, or if a length or an angle is not finite;
 *         QMD_ERROR_UNSUPPORTED for vectors in other directions (XTC) and CHARMM's symmetric box matrix (DCD);
 *         QMD_ERROR_IO
 * @since 0.1
 */
QMD_API qmd_status qmd_trajectory_box(qmd_trajectory *trajectory, size_t frame, double box[9], int *has_box);

/* ---- Data set: the states to tell apart ---- */

/** Trajectories of two or more states of one molecule, matched atom by atom. Adding is for one thread; reading frames
 * is for one thread at a time. */
typedef struct qmd_dataset qmd_dataset;

/** How a data set is made. Initialize with qmd_dataset_options_init(). */
typedef struct qmd_dataset_options {
	uint32_t struct_size;
	const char *selection; /**< atoms to use; default "protein and noh" */
	const char
		*map_path; /**< file that says which atoms correspond, or NULL to match by identity. Each line: state, chain,
					  residue number with insertion code, residue name, atom name of that state's atom, then `->`
					  and the same four of the first state's atom; `-` for an empty chain; `#` starts a comment */
	size_t stride; /**< use every stride-th frame of each file, from its first on; default 1 */
} qmd_dataset_options;

/** Fill in defaults. @since 0.1 */
QMD_API void qmd_dataset_options_init_sized(qmd_dataset_options *options, size_t size);
#define qmd_dataset_options_init(options) qmd_dataset_options_init_sized((options), sizeof *(options))

/** New data set without states. `options` is copied; NULL for the defaults. @since 0.1 */
QMD_API qmd_status qmd_dataset_create(const qmd_dataset_options *options, qmd_dataset **dataset);

/** Free a data set and close its files; NULL is allowed. @since 0.1 */
QMD_API void qmd_dataset_free(qmd_dataset *dataset);

/**
 * Add a state: a topology and its trajectory files, one file a replica.
 *
 * Its selected atoms are matched with those of the states before it on (chain, residue number, insertion code, residue
 * name, atom name); only what all states share is used from then on, in the order of the first state. What is dropped
 * is counted and listed (qmd_dataset_dropped()).
 *
 * @param name  unique, not empty
 * @return QMD_OK; the errors of qmd_topology_load() and qmd_trajectory_open(); QMD_ERROR_ARGUMENT for a name that is
 *         taken; QMD_ERROR_MATCH if nothing is selected, two atoms of one state have one identity, or less than half of
 *         the smaller state's atoms are shared. After an error the data set is as before the call.
 * @since 0.1
 */
QMD_API qmd_status qmd_dataset_add_state(qmd_dataset *dataset, const char *name, const char *topology_path,
										 const char *const *trajectory_paths, size_t n_paths);

/**
 * Add frames from memory as one replica: a new state, or one more replica of a state that was added from memory with
 * the same atoms. The stride does not apply to them.
 *
 * @param topology  copied
 * @param xyz       n_frames * n_atoms(topology) * 3 floats, [frame][atom][x y z], in angstrom; copied
 * @param n_frames  at least 1
 * @return QMD_OK; QMD_ERROR_ARGUMENT, also for the name of a state that was added from files; QMD_ERROR_RANGE for a
 *         coordinate that is not finite (the message names frame and atom); QMD_ERROR_SHAPE or QMD_ERROR_MATCH for a
 *         replica with other atoms; for a new state QMD_ERROR_MATCH as qmd_dataset_add_state(). After an error the data
 *         set is as before the call.
 * @since 0.1
 */
QMD_API qmd_status qmd_dataset_add_frames(qmd_dataset *dataset, const char *name, const qmd_topology *topology,
										  const float *xyz, size_t n_frames);

/** Number of states; 0 for NULL. @since 0.1 */
QMD_API size_t qmd_dataset_n_states(const qmd_dataset *dataset);

/** Name of a state, or NULL beyond the last; borrowed until the data set is freed. @since 0.1 */
QMD_API const char *qmd_dataset_state_name(const qmd_dataset *dataset, size_t state);

/** Number of replicas of a state; 0 beyond the last. @since 0.1 */
QMD_API size_t qmd_dataset_n_replicas(const qmd_dataset *dataset, size_t state);

/** Number of frames of all states; 0 for NULL. @since 0.1 */
QMD_API size_t qmd_dataset_n_frames(const qmd_dataset *dataset);

/** Number of atoms that all states share; 0 for NULL. @since 0.1 */
QMD_API size_t qmd_dataset_n_atoms(const qmd_dataset *dataset);

/** Number of residues that those atoms belong to; 0 for NULL. @since 0.1 */
QMD_API size_t qmd_dataset_n_residues(const qmd_dataset *dataset);

/** One shared atom as the first state names it; `residue` counts the shared residues. @since 0.1 */
QMD_API qmd_status qmd_dataset_atom(const qmd_dataset *dataset, size_t index, qmd_atom *atom);

/** Where the shared atoms stand in a state's topology: n_atoms indices, 0-based. @since 0.1 */
QMD_API qmd_status qmd_dataset_atom_indices(const qmd_dataset *dataset, size_t state, uint32_t *indices);

/**
 * The selected atoms of one state that the others do not share.
 *
 * @param[in,out] n     in: room in `indices`; out: their number
 * @param[out] indices  indices in the state's topology, ascending, or NULL to count only
 * @since 0.1
 */
QMD_API qmd_status qmd_dataset_dropped(const qmd_dataset *dataset, size_t state, size_t *n, uint32_t *indices);

/** Topology of a state, or NULL beyond the last; borrowed until the data set is freed. @since 0.1 */
QMD_API const qmd_topology *qmd_dataset_topology(const qmd_dataset *dataset, size_t state);

/** Where a frame of a data set comes from. */
typedef struct qmd_frame_origin {
	uint32_t state;   /**< 0-based */
	uint32_t replica; /**< 0-based, within its state */
	uint64_t frame;   /**< 0-based, within its replica's file, the stride counted in */
} qmd_frame_origin;

/** Origin of a frame. Frames are numbered state by state, replica by replica. @since 0.1 */
QMD_API qmd_status qmd_dataset_frame_origin(const qmd_dataset *dataset, size_t frame, qmd_frame_origin *origin);

/**
 * Read the shared atoms of one frame.
 *
 * @param[out] xyz  n_atoms * 3 floats, in angstrom, in the order of qmd_dataset_atom()
 * @return QMD_OK; QMD_ERROR_RANGE beyond the last frame, or if a file's frame has all atoms in one place or one that is
 *         not finite; QMD_ERROR_IO
 * @since 0.1
 */
QMD_API qmd_status qmd_dataset_read(qmd_dataset *dataset, size_t frame, float *xyz);

/** Box of one frame, as qmd_trajectory_box(). Frames from memory have none. @since 0.1 */
QMD_API qmd_status qmd_dataset_box(qmd_dataset *dataset, size_t frame, double box[9], int *has_box);

/**
 * Hand the coordinates of all frames out among the frames at random, so that states say nothing of them: a control, by
 * which a network must do no better than chance and an explanation must find nothing.
 *
 * qmd_dataset_frame_origin() and splits keep saying which state a frame counts for; qmd_dataset_read() and
 * qmd_dataset_box() give what some other frame held. Another call shuffles anew, from the frames as they were added.
 * Frames cannot be added afterwards (QMD_ERROR_STATE).
 *
 * @param seed  the same one shuffles a data set the same way, always
 * @since 0.1
 */
QMD_API qmd_status qmd_dataset_shuffle_labels(qmd_dataset *dataset, uint64_t seed);

/* ---- Split: which frames train, which test ---- */

/** Frames of a data set parted into training and test frames. Immutable; any number of threads may read it. */
typedef struct qmd_split qmd_split;

/** Hold out replica `fold` (0-based) of every state. States with fewer replicas hold out none in the later folds;
 * every state must keep a training frame, and a test frame must exist: else QMD_ERROR_STATE. @since 0.1 */
QMD_API qmd_status qmd_split_by_replica(const qmd_dataset *dataset, size_t fold, qmd_split **split);

/**
 * Cut every replica into n_folds contiguous blocks and hold out block `fold` of each; `gap` frames on both sides of the
 * held-out block are used for nothing, so that neighbours in time are not on both sides. @since 0.1
 */
QMD_API qmd_status qmd_split_by_block(const qmd_dataset *dataset, size_t n_folds, size_t fold, size_t gap,
									  qmd_split **split);

/**
 * As ICNNMD does: the frames of each state in 20 contiguous groups, n_folds random parts in each, part `fold` held out.
 *
 * It leaks: neighbours in time of most test frames are training frames. It says so as a warning in the log. @since 0.1
 */
QMD_API qmd_status qmd_split_icnnmd(const qmd_dataset *dataset, size_t n_folds, size_t fold, uint64_t seed,
									qmd_split **split);

/** Every frame trains, none is held out. @since 0.1 */
QMD_API qmd_status qmd_split_all(const qmd_dataset *dataset, qmd_split **split);

/** Free a split; NULL is allowed. @since 0.1 */
QMD_API void qmd_split_free(qmd_split *split);

/** Training frames, ascending; `*n` is their number. Borrowed until the split is freed. @since 0.1 */
QMD_API const uint32_t *qmd_split_train(const qmd_split *split, size_t *n);

/** Test frames, ascending; `*n` is their number, 0 for qmd_split_all(). Borrowed until the split is freed. @since 0.1
 */
QMD_API const uint32_t *qmd_split_test(const qmd_split *split, size_t *n);

#ifdef __cplusplus
}
#endif

#endif
