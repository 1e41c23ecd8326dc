"""Accuracy of FP32, INT8 and narrower widths where it is hard: trajectories whose replicas differ, held out one by one.

Usage: accuracy.py FOLDER [--seeds N] [--json FILE], FOLDER with mor-{apo,bu72}.pdb and mor-{apo,bu72}-{1,2,3}.nc (the mu-opioid
receptor, GPCRmd dynamics 151 and 169). Needs the package examples/python, and QMD_LIBRARY where the loader does not find libqmd.

Every figure is a mean over seeds and folds on the held-out replicas. INT8 runs in the engine, from raw coordinates; the
other widths are fake-quant in the predictor. All options are the defaults but for QAT at 2 bits (10 epochs at 1e-4).
"""

import argparse
import json
from pathlib import Path

import numpy as np

import qmd

WIDTHS = {  # name: options of Model.quantize()
    "8 bits, calibration alone": {"epochs": 0},
    "4 bits, calibration alone": {"weight_bits": 4, "activation_bits": 4, "epochs": 0},
    "3 bits, calibration alone": {"weight_bits": 3, "activation_bits": 3, "epochs": 0},
    "2 bits, calibration alone": {"weight_bits": 2, "activation_bits": 2, "epochs": 0},
    "2 bits, QAT": {"weight_bits": 2, "activation_bits": 2, "epochs": 10, "learning_rate": 1e-4},
}


def nearest_mean(images, labels, test_images):
    """Class of the nearest class mean: a baseline that learns nothing but two averages."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    means = [flat[labels == c].mean(axis=0) for c in np.unique(labels)]
    test = test_images.reshape(len(test_images), -1).astype(np.float64)
    return np.argmin([((test - mean) ** 2).sum(axis=1) for mean in means], axis=0)


def ridge(images, labels, test_images):
    """Ridge regression on centred pixels, in its dual form; the penalty is the mean squared norm of an image."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    centre = flat.mean(axis=0)
    flat = flat - centre
    targets = np.eye(labels.max() + 1)[labels]
    products = flat @ flat.T
    weights = np.linalg.solve(products + np.trace(products) / len(flat) * np.eye(len(flat)), targets - targets.mean(axis=0))
    test = test_images.reshape(len(test_images), -1).astype(np.float64) - centre
    return (test @ flat.T @ weights + targets.mean(axis=0)).argmax(1)


BASELINES = {"nearest mean": nearest_mean, "ridge": ridge}


def dataset(folder):
    """The two states of the receptor, three replicas each."""
    return qmd.Dataset(**{name: (folder / f"mor-{name}.pdb", [folder / f"mor-{name}-{i}.nc" for i in (1, 2, 3)])
                          for name in ("apo", "bu72")})


def run_fold(data, fold, seed, widths=WIDTHS):
    """Predicted classes of the held-out frames by each method, and the true ones."""
    split = data.split("replica", fold=fold)
    pixels = qmd.Pixels(data, split)
    model = qmd.Model.preset("icnnmd", pixels.side, len(data.states), seed=seed)
    model.train(data, split, pixels, seed=seed)
    xyz = data.read(split.test)
    classes = {"FP32": model.predict(xyz).argmax(1)}
    engine = qmd.Engine.compile(model.quantize(data, split, seed=seed))
    classes["INT8 engine, QAT"] = engine(xyz).argmax(1)
    for name, options in widths.items():
        classes[name] = model.quantize(data, split, seed=seed, **options).predict(xyz).argmax(1)
    for name, baseline in BASELINES.items():
        classes[name] = baseline(pixels(data, split.train), data.labels(split.train), pixels(data, split.test))
    return classes, data.labels(split.test)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    data = dataset(arguments.folder)
    accuracy, agreement = {}, {}
    for seed in range(1, arguments.seeds + 1):
        for fold in range(3):
            classes, labels = run_fold(data, fold, seed)
            for name, predicted in classes.items():
                accuracy.setdefault(name, []).append(float(np.mean(predicted == labels)))
                agreement.setdefault(name, []).append(float(np.mean(predicted == classes["FP32"])))
        print(f"seed {seed}:", *(f"{a:.2f}" for a in accuracy["FP32"][-3:]), flush=True)

    print(f"{'':28} test accuracy  agrees with FP32")
    for name, values in accuracy.items():
        print(f"{name:28} {np.mean(values):13.3f} {np.mean(agreement[name]):16.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"accuracy": accuracy, "agreement": agreement}, indent=1))


if __name__ == "__main__":
    main()
