"""docs/guide.md as a reader follows it: every command of it is run, and the study of the bundled trajectories is looked at.

The guide's own trajectories, apo and holo, are the bundled ones under those names.
"""

import json
import os
import pathlib
import re
import subprocess

import printed
import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DATA = SOURCE / "examples" / "data"
MOVING = {*range(30, 68), *range(118, 161)}  # NMP and LID: what moves between the open and the closed state
# A block of commands, and what it prints if the page says so.
BLOCK = re.compile(r"^```sh\n(.*?)^```(?:\n\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
END = "-- end of a block --"


def blocks():
    return BLOCK.findall((SOURCE / "docs" / "guide.md").read_text())


def link_own_files(folder):
    for own, bundled in (("apo", "open"), ("holo", "closed")):
        (folder / f"{own}.pdb").symlink_to(DATA / f"adk-{bundled}.pdb")
        for i in (1, 2, 3):
            (folder / f"{own}-{i}.nc").symlink_to(DATA / f"adk-{bundled}-{i}.nc")


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """The folder in which the whole page was run, and what each block printed."""
    folder = tmp_path_factory.mktemp("guide")
    (folder / "examples").symlink_to(SOURCE / "examples")
    link_own_files(folder)
    script = "set -euo pipefail\n" + "".join(f"{commands}\necho '{END}'\n" for commands, _ in blocks())
    program = pathlib.Path(os.environ["QMD_PROGRAM"])
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    result = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    assert (result.returncode, result.stderr) == (0, "")
    return folder, result.stdout.split(END + "\n")


@pytest.fixture(scope="module")
def report(walk):
    return json.loads((walk[0] / "study" / "report.json").read_text())


def test_every_block_prints_what_the_page_says(walk):
    outputs = walk[1]
    assert len(blocks()) >= 8 and len(outputs) == len(blocks()) + 1
    for (commands, promised), output in zip(blocks(), outputs):
        if promised:
            assert printed.pattern(promised.splitlines()).fullmatch(output), f"{commands}\n{output}"


def test_the_demo_runs_the_first_study_of_the_page():
    demo = re.findall(r'--state "([^"]+)"', (SOURCE / "examples" / "demo.sh").read_text())
    page = [re.findall(r"--state (\S+)", commands) for commands, _ in blocks() if commands.startswith("qmd study")]
    assert len(demo) == 2 and demo == page[0]


def test_both_precisions_tell_the_states_apart(report):
    assert len(report["folds"]) == 3
    for fold in report["folds"]:
        assert (fold["n_train"], fold["n_test"]) == (160, 80)
        assert fold["fp32"]["test_accuracy"] == 1
        assert fold["int8"]["test_accuracy"] == 1


def test_the_residues_that_move_come_first_in_every_fold(report):
    for fold in report["folds"]:
        top = sorted(fold["residues"], key=lambda residue: residue["rank"])[:10]
        assert sum(residue["number"] in MOVING for residue in top) >= 9


def test_a_step_in_integers_is_faster(report):
    timing = report["timing_ms"]
    assert timing["int8"]["network"]["median"] < timing["fp32"]["network"]["median"]


def test_everything_that_a_study_names_is_there(walk, report):
    names = [name for value in report["files"].values() for name in (value if isinstance(value, list) else [value])]
    assert {"residues.csv", "fold-1.qmd", "fold-3.qme"} <= set(names)
    assert all((walk[0] / "study" / name).stat().st_size > 0 for name in names)


def test_every_file_that_the_page_names_was_written(walk):
    page = (SOURCE / "docs" / "guide.md").read_text()
    folder = walk[0]
    names = set(re.findall(r"`(?:\w+ (?:-e )?)?((?:study/)?(?:residues|report|frames|fold)[\w-]*\.\w+)`", page))
    outputs = re.findall(r"(?:-o|--output) ([\w./-]+)", " ".join(commands for commands, _ in blocks()))
    assert names and outputs
    for name in names:
        assert (folder / "study" / name.removeprefix("study/")).stat().st_size > 0, name
    for output in outputs:
        assert (folder / output).exists(), output
