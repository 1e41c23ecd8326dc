"""How far scores of residues depend on the seed: the mean share that the top 20 of two seeds have in common.

Usage: explain_stability.py FOLDER [--seeds N] [--frames N] [--json FILE], FOLDER as for accuracy.py. Needs the package
examples/python, and QMD_LIBRARY where the loader does not find libqmd.

SHAP draws other coalitions for each seed, of an INT8 engine's margins on held-out frames. LIME draws other pictures, of a
model in FP32 on every tenth frame: as ICNNMD's script has it ("as published") and without its defects. Networks, pixels and
frames are the same for all seeds of a method.
"""

import argparse
import itertools
import json
from pathlib import Path

import numpy as np

import qmd
from accuracy import dataset

N_TOP = 20


def overlap(subject, data, frames, seeds, **options):
    """The mean over pairs of seeds."""
    tops = []
    for seed in seeds:
        scores = np.nan_to_num([row[1] for row in qmd.explain(subject, data, frames, seed=seed, n_threads=0, **options)],
                               nan=-np.inf)
        tops.append(set(np.argsort(-scores, kind="stable")[:N_TOP]))
    return float(np.mean([len(a & b) / N_TOP for a, b in itertools.combinations(tops, 2)]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data = dataset(arguments.folder)
    seeds = range(1, arguments.seeds + 1)
    split = data.split("replica", fold=0)

    pixels = qmd.Pixels(data, split)
    model = qmd.Model.preset("icnnmd", pixels.side, 2, seed=1).train(data, split, pixels)
    engine = qmd.Engine.compile(model.quantize(data, split))
    held_out = split.test[np.linspace(0, len(split.test) - 1, arguments.frames).astype(int)]
    published_pixels = qmd.Pixels(data, split, kind="icnnmd")
    published = qmd.Model.preset("icnnmd", published_pixels.side, 2, seed=1).train(data, split, published_pixels)
    tenth = np.arange(0, data.n_frames, 10)

    overlaps = {
        "SHAP until the top settles": overlap(engine, data, held_out, seeds, method="shap"),
        "SHAP, 2624 samples": overlap(engine, data, held_out, seeds, method="shap", n_samples=2624),
        "SLIC-LIME as published": overlap(published, data, tenth, seeds, method="slic-lime", as_published=True),
        "SLIC-LIME without its script's defects": overlap(published, data, tenth, seeds, method="slic-lime"),
    }
    for name, value in overlaps.items():
        print(f"{name:40s} {value:.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(overlaps, indent=1) + "\n")


if __name__ == "__main__":
    main()
