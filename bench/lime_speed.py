"""Residues behind the decision: time a frame and model, by libqmd and by `lime` on TensorFlow, one thread each, in one run.

Usage: lime_speed.py [--atoms N] [--samples N] [--frames N] [--json FILE]. Needs the packages tensorflow-cpu, lime, scikit-image,
onnx and examples/python, and QMD_LIBRARY where the loader does not find libqmd; best under `taskset -c 0`.

Both explain the ICNNMD network with the same weights on the same images of random trajectories: `lime` as ICNNMD's script
calls it (SLIC superpixels, hidden pixels black, two labels, batches of 10 through Keras' predict()), and once more with the
network as a compiled TensorFlow function, which its script does not do. Times are the lowest of the frames.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import onnx
import tensorflow as tf
from lime.lime_image import LimeImageExplainer
from onnx import numpy_helper
from skimage.segmentation import slic

import qmd
from pixels import write_topology, write_trajectory

SAMPLES_A_RESIDUE = 4  # at least, for SHAP


def make_states(folder, n_atoms, n_frames):
    """Two states of a random cloud of atoms, of which the second has every tenth residue elsewhere."""
    random = np.random.default_rng(1)
    mean = random.uniform(0, 40, (n_atoms, 3)).astype(np.float32)
    states, xyz = {}, []
    for state in ("first", "second"):
        moved = (np.arange(n_atoms) // 8 % 10 == 3)[:, None] * (state == "second") * 3
        frames = (mean + moved + random.normal(0, 1, (n_frames, n_atoms, 3))).astype(np.float32)
        write_topology(folder / f"{state}.pdb", mean)
        write_trajectory(folder / f"{state}.nc", frames)
        states[state] = (folder / f"{state}.pdb", [folder / f"{state}.nc"])
        xyz.append(frames)
    return qmd.Dataset(**states), np.concatenate(xyz)


def keras_network(model, side, folder):
    """The network in Keras, as ICNNMD builds it, with the weights of the model."""
    layers = tf.keras.layers
    network = tf.keras.Sequential([
        layers.Input((side, side, 3)),
        layers.Conv2D(32, 3, padding="same"), layers.Conv2D(32, 3), layers.Activation("relu"),
        layers.MaxPooling2D(2), layers.Dropout(0.25),
        layers.Conv2D(64, 3, padding="same"), layers.Activation("relu"), layers.Conv2D(64, 3), layers.Activation("relu"),
        layers.MaxPooling2D(2), layers.Dropout(0.25),
        layers.Flatten(), layers.Dense(512), layers.Activation("relu"), layers.Dropout(0.5),
        layers.Dense(2), layers.Activation("softmax")])
    model.export_onnx(folder / "model.onnx")
    graph = onnx.load(folder / "model.onnx").graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = [[arrays[name] for name in node.input[1:3]] for node in graph.node if node.op_type in ("Conv", "Gemm")]
    _, height, width, channels = next(layer for layer in network.layers if isinstance(layer, layers.Flatten)).input.shape
    flattened = weights[4][0].reshape(-1, channels, height, width)  # ONNX flattens channels first
    weights[4][0] = flattened.transpose(0, 2, 3, 1).reshape(len(flattened), -1)
    for layer, (weight, bias) in zip([layer for layer in network.layers if layer.weights], weights):
        layer.set_weights([weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T, bias])
    return network


def time_lime(classifier, images, n_samples):
    """The lowest time of a frame, in seconds."""
    times = []
    for image in images:
        explainer = LimeImageExplainer(random_state=1)
        start = time.perf_counter()
        explainer.explain_instance(image.astype(float), classifier, top_labels=2, hide_color=0, num_samples=n_samples,
                                   segmentation_fn=lambda image: slic(image, n_segments=100, compactness=1, sigma=1))
        times.append(time.perf_counter() - start)
    return min(times)


def time_qmd(subject, data, frames, **options):
    """The lowest time of a frame, in seconds."""
    times = []
    for frame in frames:
        start = time.perf_counter()
        qmd.explain(subject, data, [frame], n_threads=1, **options)
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atoms", type=int, default=3341)
    parser.add_argument("--samples", type=int, default=1000,
                        help="of SHAP and of lime beside it; at least 4 a residue")
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, xyz = make_states(folder, arguments.atoms, 12)
        split = data.split("all")
        pixels = qmd.Pixels(data, split, kind="icnnmd")
        model = qmd.Model.preset("icnnmd", pixels.side, 2, seed=1)
        model.train(data, split, pixels, epochs=1, learning_rate=2e-5, n_threads=1)
        engine = qmd.Engine.compile(model.quantize(data, split, epochs=0, n_threads=1))
        network = keras_network(model, pixels.side, folder)
    frames = np.arange(arguments.frames) * 5
    images = pixels(data, frames)
    compiled = tf.function(network)

    def predict(batch):
        return network.predict(batch / 255, verbose=0)

    def call(batch):
        return compiled(tf.constant(batch / 255, tf.float32)).numpy()

    assert np.abs(predict(images) - model.predict(xyz[frames])).max() < 1e-4
    assert np.abs(call(images) - model.predict(xyz[frames])).max() < 1e-4
    call(np.repeat(images[:1], 10, 0))

    n = max(arguments.samples, SAMPLES_A_RESIDUE * data.n_residues)
    seconds = {f"lime, {count} samples, {name}": time_lime(classifier, images, count)
               for count in sorted({1000, n}) for name, classifier in (("Keras predict", predict), ("compiled", call))}
    seconds["libqmd, leave one residue out"] = time_qmd(engine, data, frames)
    seconds["libqmd, SLIC-LIME, 1000 samples"] = time_qmd(engine, data, frames, method="slic-lime", n_samples=1000)
    seconds[f"libqmd, SHAP, {n} samples"] = time_qmd(engine, data, frames, method="shap", n_samples=n)

    print(f"{data.n_atoms} atoms, {data.n_residues} residues, TensorFlow {tf.__version__}; seconds a frame")
    for name, value in seconds.items():
        print(f"{name:45s} {value:9.4f}")
    ratios = {}
    for ours, count in [("libqmd, leave one residue out", 1000), ("libqmd, SLIC-LIME, 1000 samples", 1000),
                        (f"libqmd, SHAP, {n} samples", n)]:
        for name in ("Keras predict", "compiled"):
            ratios[f"{ours} / lime, {count} samples, {name}"] = seconds[f"lime, {count} samples, {name}"] / seconds[ours]
    for name, value in ratios.items():
        print(f"{name:75s} {value:7.1f} x")
    if arguments.json:
        arguments.json.write_text(json.dumps({"seconds": seconds, "times_faster": ratios}, indent=1) + "\n")


if __name__ == "__main__":
    main()
