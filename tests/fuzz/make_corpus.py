"""Write the small XTC and DCD files of tests/fuzz/corpus with MDTraj and MDAnalysis; the tests know what is in them.

    python make_corpus.py
"""
import pathlib
import warnings

import MDAnalysis
import numpy as np
from mdtraj.formats import XTCTrajectoryFile

warnings.filterwarnings("ignore")

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
BOX = np.array([[3, 0, 0], [0.5, 2.5, 0], [-0.25, 0.75, 2]], np.float32)


def water(n_frames, n_molecules, spread):
    """Thousandths of a nanometer, [frame][atom][axis]: an oxygen and two hydrogens near it, `spread` times apart."""
    f, m, j, k = np.meshgrid(np.arange(n_frames), np.arange(n_molecules), np.arange(3), np.arange(3), indexing="ij")
    oxygen = ((m * 371 + f * 113 + k * 529) % 2001 - 1000) * spread
    near = np.where(j == 1, 57 + 10 * k, np.where(j == 2, 7 * k - 43, 0))
    return (oxygen + near).reshape(n_frames, 3 * n_molecules, 3)


def write_xtc(name, integers):
    n_frames = len(integers)
    with XTCTrajectoryFile(str(CORPUS / "xtc" / name), "w") as file:
        file.write((integers / 1000).astype(np.float32), time=0.5 * np.arange(n_frames, dtype=np.float32),
                   step=np.arange(n_frames), box=np.tile(BOX, (n_frames, 1, 1)))


def write_large_magic(name, source):
    """One frame as GROMACS writes it for more than 298,261,617 atoms: magic 2023, a byte count of 64 bits."""
    data = (CORPUS / "xtc" / source).read_bytes()
    n_bytes = int.from_bytes(data[88:92], "big")
    frame = data[:92 + (n_bytes + 3) // 4 * 4]
    (CORPUS / "xtc" / name).write_bytes((2023).to_bytes(4, "big") + frame[4:88] + bytes(4) + frame[88:])


def write_dcd(name, integers):
    universe = MDAnalysis.Universe.empty(integers.shape[1], trajectory=True)
    with MDAnalysis.coordinates.DCD.DCDWriter(str(CORPUS / "dcd" / name), integers.shape[1], dt=0.5, nsavc=1,
                                              istart=0) as file:
        for frame in integers:
            universe.atoms.positions = frame / 8
            universe.dimensions = [30, 25, 20, 80, 95, 110]
            file.write(universe)


if __name__ == "__main__":
    write_xtc("plain.xtc", water(2, 3, 1))
    write_xtc("water.xtc", water(3, 8, 1))
    write_xtc("joint-69-bits.xtc", water(2, 5, 4001))
    write_xtc("plain-ranges.xtc", water(2, 5, 20001))
    write_large_magic("large-magic.xtc", "water.xtc")
    write_dcd("mdanalysis.dcd", water(3, 2, 1))
