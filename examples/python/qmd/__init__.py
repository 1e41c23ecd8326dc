"""libqmd from Python, by ctypes and NumPy.

    import qmd
    data = qmd.Dataset(open=("adk-open.pdb", open_files), closed=("adk-closed.pdb", closed_files))
    study = qmd.study(data)
    engine = study.engines[0]
    p = engine(xyz)  # float32 [n_frames][n_atoms][3] -> [n_frames][n_classes]

The library is found through the environment variable QMD_LIBRARY, else by the system's loader.
"""

from ._c import Error, library
from .engine import Engine, deletion_curve, explain
from .model import Model, Pixels
from .study import Study, progress_bar, study
from .trajectory import Dataset, Split

__version__ = library().qmd_version().decode()
__all__ = ["Dataset", "Engine", "Error", "Model", "Pixels", "Split", "Study", "deletion_curve", "explain", "progress_bar", "study"]
