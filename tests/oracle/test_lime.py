"""Superpixels against scikit-image, on frames of the adenylate kinase of the examples and on pictures with corners.

explain_dump runs what the library does inside. QMD_BUILD names the build folder.
"""
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from skimage.segmentation import slic

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "examples" / "data"
DUMP = pathlib.Path(os.environ["QMD_BUILD"]) / "tests" / "explain_dump"
sys.path.insert(0, str(ROOT / "examples" / "python"))
import qmd  # noqa: E402

STATES = {state: (DATA / f"adk-{state}.pdb", [DATA / f"adk-{state}-{i}.nc" for i in (1, 2, 3)])
          for state in ("open", "closed")}


def labels_of(images, folder):
    """What the library makes of images [n][side][side][3]."""
    side = images.shape[1]
    images.tofile(folder / "images")
    kind = "s8" if images.dtype == np.int8 else "u8"
    subprocess.run([DUMP, "slic", folder / "images", kind, str(side), folder / "labels"], check=True)
    return np.fromfile(folder / "labels", np.uint32).reshape(-1, side, side)


def check_labels(images, folder):
    for image, labels in zip(images, labels_of(images, folder)):
        expected = slic(image.astype(float), n_segments=100, compactness=1, sigma=1, start_label=0)
        np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("kind", ["icnnmd", "displacement"])
def test_frames_have_the_segments_of_scikit_image(kind, tmp_path):
    data = qmd.Dataset(**STATES)
    pixels = qmd.Pixels(data, data.split("all"), kind=kind)
    check_labels(pixels(data, np.arange(0, data.n_frames, 4)), tmp_path)


@pytest.mark.parametrize("side", [1, 2, 3, 5, 10, 11, 15, 25, 37, 45, 58, 68])
def test_pictures_of_any_side_have_the_segments_of_scikit_image(side, tmp_path):
    """Noise, whose clusters fall into many parts; bands; and one colour, where only distance counts."""
    random = np.random.default_rng(side)
    check_labels(random.integers(0, 256, (3, side, side, 3), np.uint8), tmp_path)
    bands = random.normal(0, 10, (3, side, side, 3)).cumsum(2)
    check_labels(bands.clip(-128, 127).astype(np.int8), tmp_path)
    check_labels(np.full((1, side, side, 3), 7, np.uint8), tmp_path)
