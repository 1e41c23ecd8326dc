"""Pixels against superposition by SVD in NumPy and by MDTraj, on the adenylate kinase of the examples.

QMD_LIBRARY names libqmd.so; the package `qmd` is that of examples/python.
"""
import pathlib
import sys

import mdtraj
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "examples" / "data"
sys.path.insert(0, str(ROOT / "examples" / "python"))
import qmd  # noqa: E402

M = np.array([[2.0413690, -0.5649464, -0.3446944], [-0.9692660, 1.8760108, 0.0415560],
              [0.0134474, -0.1183897, 1.0154096]])
STATES = {state: (DATA / f"adk-{state}.pdb", [DATA / f"adk-{state}-{i}.nc" for i in (1, 2, 3)])
          for state in ("open", "closed")}
TRAIN = np.r_[0:80, 120:200]  # the third replica of each state is held out


@pytest.fixture(scope="module")
def data():
    return qmd.Dataset(**STATES)


@pytest.fixture(scope="module")
def trajectory():
    """All frames in the order of the data set, as MDTraj reads them."""
    return mdtraj.join([mdtraj.load([str(f) for f in files], top=str(pdb)) for pdb, files in STATES.values()])


def backbone(trajectory):
    return trajectory.topology.select("protein and name N CA C O")


def superpose(frames, reference, atoms):
    """Kabsch's rotation by a singular value decomposition, frame after frame, in double precision."""
    centre = reference[atoms].mean(0)
    placed = []
    for frame in frames:
        own_centre = frame[atoms].mean(0)
        u, _, v = np.linalg.svd((frame[atoms] - own_centre).T @ (reference[atoms] - centre))
        mirror = np.sign(np.linalg.det(u @ v))
        placed.append((frame - own_centre) @ (u @ np.diag([1, 1, mirror]) @ v) + centre)
    return np.array(placed)


def as_images(values, dtype):
    n = values.shape[1]
    side = int(np.ceil(np.sqrt(n)))
    images = np.zeros((len(values), side * side, 3), dtype)
    images[:, :n] = values.astype(dtype)
    return images.reshape(-1, side, side, 3)


def check_equal_up_to_ones(found, expected, share):
    difference = np.abs(found.astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() < share


def mean_by_svd(frames, atoms, n_iterations):
    mean = superpose(frames, frames[0], atoms).mean(0)
    for _ in range(n_iterations):
        mean = superpose(frames, mean, atoms).mean(0)
    return mean


def displacements(trajectory, n_iterations=3):
    frames = trajectory.xyz.astype(float) * 10.0
    atoms = backbone(trajectory)
    mean = mean_by_svd(frames[TRAIN], atoms, n_iterations)
    return superpose(frames, mean, atoms) - mean


def test_training_frames_are_the_first_two_replicas(data):
    assert np.array_equal(data.split("replica", fold=2).train, TRAIN)


@pytest.mark.parametrize("n_iterations", [1, 3])
def test_displacement_is_that_of_an_svd(data, trajectory, n_iterations):
    pixels = qmd.Pixels(data, data.split("replica", fold=2), n_iterations=n_iterations)
    found = pixels(data, np.arange(data.n_frames))
    q = np.rint(np.clip(displacements(trajectory, n_iterations) / (5 / 127), -127, 127))
    # Steps of 5/127 angstrom on a grid of 2^-13: about one value in 600 is near enough to an edge.
    check_equal_up_to_ones(found, as_images(q, np.int8), 4e-3)


def test_displacement_in_sigma_is_that_of_an_svd(data, trajectory):
    pixels = qmd.Pixels(data, data.split("replica", fold=2), range=4.0, range_in_sigma=1)
    found = pixels(data, np.arange(data.n_frames))
    d = displacements(trajectory)
    sigma = np.sqrt((d[TRAIN] ** 2).mean((0, 2)))
    q = np.rint(np.clip(d / (4 * sigma[:, None] / 127), -127, 127))
    check_equal_up_to_ones(found, as_images(q, np.int8), 4e-3)


def test_icnnmd_is_that_of_mdtraj(data, trajectory):
    found = qmd.Pixels(data, data.split("replica", fold=2), kind="icnnmd")(data, np.arange(data.n_frames))
    own = trajectory[:]
    own.superpose(own, 0, atom_indices=backbone(own))
    rgb = own.xyz.astype(float) @ M.T
    low, high = rgb.min(1, keepdims=True), rgb.max(1, keepdims=True)
    check_equal_up_to_ones(found, as_images((rgb - low) / (high - low) * 255, np.uint8), 1e-3)
