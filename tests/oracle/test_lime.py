"""Superpixels against scikit-image, LIME against the package of its authors, and both against ICNNMD's way with them.

explain_dump runs what the library does inside; networks run in ONNX Runtime, in FP32. The trajectories are those of the
adenylate kinase of the examples. QMD_BUILD names the build folder.
"""
import os
import pathlib
import subprocess
import sys

import mdtraj
import numpy as np
import onnxruntime
import pytest
from lime.lime_image import LimeImageExplainer
from skimage.segmentation import slic

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "examples" / "data"
DUMP = pathlib.Path(os.environ["QMD_BUILD"]) / "tests" / "explain_dump"
sys.path.insert(0, str(ROOT / "examples" / "python"))
import qmd  # noqa: E402

STATES = {state: (DATA / f"adk-{state}.pdb", [DATA / f"adk-{state}-{i}.nc" for i in (1, 2, 3)])
          for state in ("open", "closed")}
N_SAMPLES = 250  # enough for the same numbers, and the package is slow
SEED = 5


@pytest.fixture(scope="module")
def data():
    return qmd.Dataset(**STATES)


# ---- SLIC ----


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
def test_frames_have_the_segments_of_scikit_image(data, kind, tmp_path):
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


# ---- LIME ----


class Masks:
    """Stands in for the generator that the package draws its masks with."""

    def __init__(self, frame, folder):
        self.frame, self.folder = int(frame), folder

    def randint(self, low, high=None, size=None):
        if size is None:
            return 0  # a seed, of segmentations that are random
        n = size // N_SAMPLES
        path = self.folder / "masks"
        subprocess.run([DUMP, "masks", str(SEED), str(self.frame), str(N_SAMPLES), str(n), path], check=True)
        self.masks = np.fromfile(path, np.uint8)
        return self.masks.astype(int)


class Network:
    """A model in ONNX Runtime: images in pixels' numbers to probabilities, which it keeps."""

    def __init__(self, model, folder):
        model.export_onnx(folder / "model.onnx", layout="nhwc")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", options)
        self.input = self.session.get_inputs()[0].name

    def start(self, scale):
        self.scale, self.seen = scale, []
        return self

    def __call__(self, images):
        logits = self.session.run(None, {self.input: (images * self.scale).astype(np.float32)})[0].astype(float)
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        self.seen.append(exponentials / exponentials.sum(1, keepdims=True))
        return self.seen[-1]


def explain_by_package(network, image, frame, scale, folder):
    """LIME with the library's segments and masks; its explanation, the masks, and the probabilities that it saw."""
    explainer = LimeImageExplainer()
    explainer.random_state = masks = Masks(frame, folder)
    labels = labels_of(image[None], folder)[0].astype(int)
    explanation = explainer.explain_instance(image.astype(float), network.start(scale), top_labels=2, hide_color=0,
                                             num_samples=N_SAMPLES, segmentation_fn=lambda image: labels)
    return explanation, masks.masks, np.concatenate(network.seen)


@pytest.fixture(scope="module", params=["icnnmd", "displacement"])
def trained(request, data, tmp_path_factory):
    """Pixels, a model, and that model in ONNX Runtime."""
    pixels = qmd.Pixels(data, data.split("all"), kind=request.param)
    model = qmd.Model.preset("icnnmd", pixels.side, 2, seed=3)
    model.train(data, data.split("all"), pixels, epochs=1, learning_rate=2e-5, seed=3)
    return pixels, model, Network(model, tmp_path_factory.mktemp("network"))


@pytest.mark.parametrize("frame", [0, 131])
def test_weights_are_those_of_the_package(data, trained, frame, tmp_path):
    pixels, model, network = trained
    image = pixels(data, [frame])[0]
    scale = 1 / 255 if image.dtype == np.uint8 else 1 / 127
    explanation, masks, probabilities = explain_by_package(network, image, frame, scale, tmp_path)
    masks = masks.reshape(N_SAMPLES, -1)
    masks.tofile(tmp_path / "masks")
    for label in (0, 1):
        probabilities[:, label].tofile(tmp_path / "values")
        subprocess.run([DUMP, "lime", tmp_path / "masks", tmp_path / "values", str(masks.shape[1]), tmp_path / "weights"],
                       check=True)
        *weights, intercept, r2 = np.fromfile(tmp_path / "weights")
        expected = dict(explanation.local_exp[label])
        assert np.ptp(list(expected.values())) > 1e-4  # the explanation says something
        np.testing.assert_allclose(weights, [expected[k] for k in range(len(weights))], rtol=0, atol=1e-10)
        np.testing.assert_allclose(intercept, explanation.intercept[label], rtol=0, atol=1e-10)
    np.testing.assert_allclose(r2, explanation.score, rtol=0, atol=1e-10)  # the package keeps that of one class


def test_masks_are_fair_coins(tmp_path):
    """Each segment is shown in half of the samples, whatever the others are; frames and seeds have masks of their own."""
    n = 130
    drawn = []
    for seed, stream in [(1, 0), (1, 1), (2, 0)]:
        subprocess.run([DUMP, "masks", str(seed), str(stream), "4000", str(n), tmp_path / "masks"], check=True)
        masks = np.fromfile(tmp_path / "masks", np.uint8).reshape(4000, n)
        assert masks[0].all()
        coins = masks[1:] * 2.0 - 1
        assert np.abs(coins.mean(0)).max() < 5 / np.sqrt(4000)
        products = coins.T @ coins / len(coins)
        assert np.abs(products - np.eye(n)).max() < 6 / np.sqrt(4000)
        drawn.append(masks[1:])
    for a, b in [(0, 1), (0, 2), (1, 2)]:
        assert abs((drawn[a] == drawn[b]).mean() - 0.5) < 0.01


# ---- KernelSHAP ----


@pytest.mark.parametrize("n, n_pairs", [(12, 60), (90, 400), (214, 500)])
def test_shapley_values_are_the_least_squares_of_numpy(n, n_pairs, tmp_path):
    """The sum of scores is fixed by leaving one out of the unknowns; errors are those of a textbook's regression of the
    differences in pairs, which is where paired samples say something of the scores."""
    subprocess.run([DUMP, "shap", "3", "1", str(n), str(n_pairs), tmp_path / "shap"], check=True)
    members = np.fromfile(tmp_path / "shap.members", np.uint8).reshape(-1, n).astype(float)
    values, scores, errors, r2 = np.split(np.fromfile(tmp_path / "shap"), np.cumsum([len(members), n, n]))
    total = values[0] - values[1]
    x, y = members[2:], values[2:] - values[1]
    design = x[:, :-1] - x[:, -1:]
    free = np.linalg.lstsq(design, y - x[:, -1] * total, rcond=None)[0]
    expected = np.append(free, total - free.sum())
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    np.testing.assert_allclose(r2, 1 - np.sum((y - x @ expected) ** 2) / np.sum((y - y.mean()) ** 2), rtol=1e-9)
    signs = x[0::2] - x[1::2]
    design = signs[:, :-1] - signs[:, -1:]
    residual = (y[0::2] - y[1::2]) - signs @ expected
    covariance = np.linalg.inv(design.T @ design) * (residual @ residual) / (n_pairs - (n - 1))
    last = np.sqrt(covariance.sum())
    np.testing.assert_allclose(errors, np.append(np.sqrt(np.diag(covariance)), last), rtol=1e-8)


# ---- ICNNMD's residues ----


def residues_as_it_should_be(counts, numbers):
    return {number: counts[numbers == number].mean() for number in np.unique(numbers)}


def residues_as_published(counts, numbers):
    """What the script's loop over neighbours in the list of atoms gives: an atom's count goes to the residue of the atom
    before it, and the last residue is never finished."""
    return {number: counts[1:][numbers[:-1] == number].mean() for number in np.unique(numbers)[:-1]}


@pytest.mark.parametrize("as_published", [False, True])
def test_residues_are_scored_as_icnnmd_does(data, trained, as_published, tmp_path):
    pixels, model, network = trained
    topology = mdtraj.load_topology(str(DATA / "adk-open.pdb"))
    numbers = np.array([atom.residue.resSeq for atom in topology.atoms])
    frames = [10, 150]
    counts = np.zeros((len(frames), len(numbers)))
    for f, frame in enumerate(frames):
        image = pixels(data, [frame])[0]
        scale = 1 if as_published else 1 / 255 if image.dtype == np.uint8 else 1 / 127
        explanation, _, _ = explain_by_package(network, image, frame, scale, tmp_path)
        own_class = int(frame >= 120)
        _, mask = explanation.get_image_and_mask(own_class, positive_only=True, num_features=100, hide_rest=False)
        counts[f] = mask.ravel()[:len(numbers)]
    expected = (residues_as_published if as_published else residues_as_it_should_be)(counts.mean(0), numbers)

    scores = qmd.explain(model, data, frames, method="slic-lime", n_samples=N_SAMPLES, seed=SEED,
                         as_published=as_published, n_threads=2)
    assert len(scores) == 214
    found = {int(residue.split(":")[1]): score for residue, score, _, _ in scores if not np.isnan(score)}
    assert list(found) == list(expected)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=0, atol=1e-12)
    assert len(set(found.values())) > 5
    ranks = [rank for _, _, _, rank in scores]
    assert sorted(ranks) == list(range(1, 215))
    assert not as_published or ranks[-1] == 214
