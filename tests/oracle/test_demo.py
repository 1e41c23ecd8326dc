"""The main job on the bundled trajectories, with the arguments and the defaults of examples/demo.sh."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(os.environ.get("QMD_SOURCE") or Path(__file__).resolve().parents[2])
PROGRAM = os.environ.get("QMD_PROGRAM") or SOURCE / "build-release" / "examples" / "qmd"
MOVING = {*range(30, 68), *range(118, 161)}  # NMP and LID: what moves between the open and the closed state


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    script = (SOURCE / "examples" / "demo.sh").read_text()
    arguments = re.findall(r'--state "([^"]+)"', script)
    assert len(arguments) == 2
    command = [PROGRAM, "study", "-o", tmp_path_factory.mktemp("demo")]
    for argument in arguments:
        command += ["--state", argument.replace("$data", str(SOURCE / "examples" / "data"))]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    return command[3]


def test_both_precisions_tell_the_states_apart(folder):
    report = json.loads((folder / "report.json").read_text())
    assert len(report["folds"]) == 3
    for fold in report["folds"]:
        assert (fold["n_train"], fold["n_test"]) == (160, 80)
        assert fold["fp32"]["test_accuracy"] == 1
        assert fold["int8"]["test_accuracy"] == 1


def test_the_residues_that_move_come_first_in_every_fold(folder):
    for fold in json.loads((folder / "report.json").read_text())["folds"]:
        top = sorted(fold["residues"], key=lambda residue: residue["rank"])[:10]
        assert sum(residue["number"] in MOVING for residue in top) >= 9


def test_a_step_in_integers_is_faster(folder):
    timing = json.loads((folder / "report.json").read_text())["timing_ms"]
    assert timing["int8"]["network"]["median"] < timing["fp32"]["network"]["median"]


def test_everything_named_is_there(folder):
    files = json.loads((folder / "report.json").read_text())["files"]
    names = [name for value in files.values() for name in (value if isinstance(value, list) else [value])]
    assert {"residues.csv", "fold-1.qmd", "fold-3.qme"} <= set(names)
    assert all((folder / name).stat().st_size > 0 for name in names)
