"""Can a network tell the states apart from one frame, does it still in INT8, and which residues gave it away."""

import sys
from collections import namedtuple

import numpy as np

from .engine import Engine, explain
from .model import Model, Pixels

Study = namedtuple("Study", "report engines")


def progress_bar(phase, done, total, loss, accuracy):
    """A progress bar on standard error, where that is a terminal."""
    if sys.stderr.isatty():
        filled = 30 * done // total
        end = "\n" if done == total else ""
        print(f"\r{phase:>10} [{'#' * filled}{'.' * (30 - filled)}] {done}/{total}", end=end, file=sys.stderr, flush=True)
    return 0


def _accuracy(probabilities, labels):
    return float(np.mean(np.argmax(probabilities, axis=1) == labels))


def _fold(data, split, kind, preset, train, quantize, seed, device, progress):
    pixels = Pixels(data, split, kind=kind)
    model = Model.preset(preset, pixels.side, len(data.states), seed=seed)
    model.train(data, split, pixels, seed=seed, device=device, progress=progress, **train)
    quantized = model.quantize(data, split, seed=seed, device=device, progress=progress, **quantize)
    engine = Engine.compile(quantized)

    result = {"n_train": len(split.train), "n_test": len(split.test), "fp32": {}, "int8": {}}
    for part, frames in (("train", split.train), ("test", split.test)):
        xyz, labels = data.read(frames), data.labels(frames)
        fp32, int8 = model.predict(xyz, device=device), engine(xyz)
        result["fp32"][f"{part}_accuracy"] = _accuracy(fp32, labels)
        result["int8"][f"{part}_accuracy"] = _accuracy(int8, labels)
        result["agreement"] = float(np.mean(fp32.argmax(1) == int8.argmax(1)))  # of the test frames, the last part
    scores = explain(engine, data, split.test, progress=progress)
    result["top_residues"] = [residue for residue, _, _, rank in sorted(scores, key=lambda s: s[3])[:10]]
    return result, engine


def study(data, split="replica", n_folds=None, kind="displacement", preset="icnnmd", train=None, quantize=None, seed=1,
          progress=progress_bar, device="cpu"):
    """Train, quantize, compile, test and explain, fold by fold.

    Returns Study(report, engines): `report` is a dictionary with `folds` and their `mean`, `engines` has one Engine a fold.
    `train` and `quantize` are dictionaries of options of Model.train() and Model.quantize().
    `device` is what trains and answers in FP32, as for Model; the engine runs on the CPU, with the same bytes as on a GPU.
    """
    if n_folds is None:
        n_folds = max(data.n_replicas(i) for i in range(len(data.states))) if split == "replica" else 5
    folds, engines = [], []
    for k in range(n_folds):
        part = data.split(split, fold=k, n_folds=n_folds)
        result, engine = _fold(data, part, kind, preset, train or {}, quantize or {}, seed, device, progress)
        folds.append(result)
        engines.append(engine)
    mean = {precision: {key: float(np.mean([fold[precision][key] for fold in folds])) for key in folds[0][precision]}
            for precision in ("fp32", "int8")}
    return Study({"states": data.states, "folds": folds, "mean": mean}, engines)
