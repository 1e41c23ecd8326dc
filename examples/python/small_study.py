"""A small study of the bundled trajectories: one fold, few epochs, every fourth frame. Usage: small_study.py [DATA_FOLDER]"""

import sys
from pathlib import Path

import qmd

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "data"


def state(name):
    return folder / f"adk-{name}.pdb", [folder / f"adk-{name}-{i}.nc" for i in (1, 2, 3)]


data = qmd.Dataset(open=state("open"), closed=state("closed"), stride=4)
print(f"{data.n_frames} frames of {', '.join(data.states)}: {data.n_atoms} atoms, {data.n_residues} residues in common")

result = qmd.study(data, n_folds=1, train={"epochs": 10}, quantize={"epochs": 2})
for precision, figures in result.report["mean"].items():
    print(f"{precision}: train accuracy {figures['train_accuracy']:.2f}, test accuracy {figures['test_accuracy']:.2f}")
print("top residues:", ", ".join(result.report["folds"][0]["top_residues"]))
