"""Time from file to image, one core: 3,341 atoms, the size for which the Python original (MDTraj, then NumPy) takes 30 ms a frame.

Usage: pixels.py [--atoms N] [--frames N]. Writes a trajectory of random displacements into a temporary folder, reads it with
libqmd, superposes each frame and renders it; the median over repeats of the mean time a frame, file reading included. Needs
NumPy, SciPy, the package examples/python, and QMD_LIBRARY where the loader does not find libqmd.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.io import netcdf_file

import qmd

ORIGINAL_MS = 30.0  # per frame, as its authors' script was timed
BACKBONE = ("N", "CA", "C", "O")


def write_topology(path, xyz):
    """A chain of residues of eight atoms, four of them backbone."""
    names = (*BACKBONE, "CB", "CG", "CD", "CE")
    with open(path, "w") as file:
        for i, (x, y, z) in enumerate(xyz):
            name, residue = names[i % 8], i // 8 + 1
            file.write(f"ATOM  {i + 1:5d}  {name:<3s} LYS A{residue:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00"
                       f"           {name[0]}\n")
        file.write("END\n")


def write_trajectory(path, frames):
    with netcdf_file(path, "w", version=2) as file:
        file.Conventions, file.ConventionVersion, file.program = b"AMBER", b"1.0", b"bench"
        file.createDimension("frame", None)
        file.createDimension("spatial", 3)
        file.createDimension("atom", frames.shape[1])
        coordinates = file.createVariable("coordinates", "f4", ("frame", "atom", "spatial"))
        coordinates.units = b"angstrom"
        coordinates[:] = frames


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atoms", type=int, default=3341)
    parser.add_argument("--frames", type=int, default=500)
    arguments = parser.parse_args()

    random = np.random.default_rng(1)
    mean = random.uniform(0, 60, (arguments.atoms, 3))
    frames = (mean + random.normal(0, 1.0, (arguments.frames, arguments.atoms, 3))).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_topology(folder / "a.pdb", mean)
        write_trajectory(folder / "a.nc", frames)
        data = qmd.Dataset(a=(folder / "a.pdb", [folder / "a.nc"]))
        everything = np.arange(data.n_frames)
        print(f"{data.n_atoms} atoms, {data.n_frames} frames, one thread, reading included")
        for kind in ("displacement", "icnnmd"):
            pixels = qmd.Pixels(data, data.split("all"), kind=kind)
            times = []
            for _ in range(9):
                start = time.perf_counter()
                pixels(data, everything)
                times.append((time.perf_counter() - start) / len(everything) * 1e3)
            median = float(np.median(times))
            print(f"{kind:13} {median:.4f} ms a frame ({min(times):.4f} to {max(times):.4f}), "
                  f"{ORIGINAL_MS / median:.0f}x faster than {ORIGINAL_MS:.0f} ms")


if __name__ == "__main__":
    main()
