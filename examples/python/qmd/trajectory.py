"""Data sets of several states, and which of their frames train and which test."""

import ctypes

import numpy as np

from . import _c


class Split(_c.Handle):
    """Frames parted into `train` and `test` (arrays of frame numbers)."""

    _free = "qmd_split_free"

    def _frames(self, name):
        n = ctypes.c_size_t()
        pointer = getattr(_c.library(), name)(self._pointer, ctypes.byref(n))
        return np.ctypeslib.as_array(pointer, (n.value,)).copy() if n.value else np.empty(0, np.uint32)

    @property
    def train(self):
        return self._frames("qmd_split_train")

    @property
    def test(self):
        return self._frames("qmd_split_test")


class Dataset(_c.Handle):
    """Trajectories of two or more states of one molecule.

    Dataset(apo=("apo.pdb", ["apo-1.nc", "apo-2.nc"]), holo=("holo.pdb", [...]), select="protein and noh")
    """

    _free = "qmd_dataset_free"

    def __init__(self, select=None, map_path=None, stride=1, **states):
        options = _c.DatasetOptions(stride=stride)
        if select is not None:
            options.selection = select.encode()
        if map_path is not None:
            options.map_path = _c.path_bytes(map_path)
        super().__init__(_c.made_by("qmd_dataset_create", ctypes.byref(options)))
        for name, (topology, trajectories) in states.items():
            self.add_state(name, topology, trajectories)

    def add_state(self, name, topology, trajectories):
        paths = (ctypes.c_char_p * len(trajectories))(*map(_c.path_bytes, trajectories))
        _c.library().qmd_dataset_add_state(self._pointer, name.encode(), _c.path_bytes(topology), paths, len(paths))

    def shuffle_labels(self, seed=1):
        """Hand the frames out among the states at random: a control, which must find nothing."""
        _c.library().qmd_dataset_shuffle_labels(self._pointer, seed)

    @property
    def states(self):
        lib = _c.library()
        return [lib.qmd_dataset_state_name(self._pointer, i).decode()
                for i in range(lib.qmd_dataset_n_states(self._pointer))]

    @property
    def n_frames(self):
        return _c.library().qmd_dataset_n_frames(self._pointer)

    @property
    def n_atoms(self):
        return _c.library().qmd_dataset_n_atoms(self._pointer)

    @property
    def n_residues(self):
        return _c.library().qmd_dataset_n_residues(self._pointer)

    def n_replicas(self, state):
        """Number of replicas of a state (by its number)."""
        return _c.library().qmd_dataset_n_replicas(self._pointer, state)

    def atom(self, index):
        atom = _c.Atom()
        _c.library().qmd_dataset_atom(self._pointer, index, ctypes.byref(atom))
        return atom

    def labels(self, frames):
        """The state of each frame, by its number."""
        origin = _c.FrameOrigin()
        labels = np.empty(len(frames), np.uint32)
        for i, frame in enumerate(frames):
            _c.library().qmd_dataset_frame_origin(self._pointer, int(frame), ctypes.byref(origin))
            labels[i] = origin.state
        return labels

    def read(self, frames):
        """Coordinates of frames, float32 [n][n_atoms][3], in angstrom."""
        xyz = np.empty((len(frames), self.n_atoms, 3), np.float32)
        for i, frame in enumerate(frames):
            _c.library().qmd_dataset_read(self._pointer, int(frame), xyz[i].ctypes.data)
        return xyz

    def split(self, how="replica", fold=0, n_folds=5, gap=1, seed=1):
        """Split by "replica", "block" (n_folds contiguous blocks, `gap` frames beside them unused), "icnnmd" or "all"."""
        if how == "replica":
            return Split(_c.made_by("qmd_split_by_replica", self._pointer, fold))
        if how == "block":
            return Split(_c.made_by("qmd_split_by_block", self._pointer, n_folds, fold, gap))
        if how == "icnnmd":
            return Split(_c.made_by("qmd_split_icnnmd", self._pointer, n_folds, fold, seed))
        if how == "all":
            return Split(_c.made_by("qmd_split_all", self._pointer))
        raise ValueError(f"split is '{how}', expected 'replica', 'block', 'icnnmd' or 'all'")
