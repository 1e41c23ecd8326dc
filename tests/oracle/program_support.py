"""The built `qmd` program (QMD_PROGRAM) on the bundled data: how tests run it, and arguments of studies that end in a moment."""

import csv
import json
import os
import pathlib
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DATA = SOURCE / "examples" / "data"
PROGRAM = os.environ.get("QMD_PROGRAM", str(SOURCE / "build-release" / "examples" / "qmd"))


def state(name, replicas=(1, 2, 3), folder=DATA):
    files = [folder / f"adk-{name}.pdb"] + [folder / f"adk-{name}-{r}.nc" for r in replicas]
    return ["--state", f"{name}=" + ",".join(map(str, files))]


# Alpha carbons of every fourth frame: an image of 15 x 15, trained in a moment.
STATES = state("open") + state("closed")
SMALL = STATES + ["--select", "name CA", "--stride", "4"]
BRIEF = ["--trust-frames", "4", "--epochs", "4", "--qat-epochs", "1", "--learning-rate", "0.001"]


def qmd(*arguments, timeout=300):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=timeout)


def succeed(*arguments):
    result = qmd(*arguments)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # no progress bars where there is no terminal
    return result.stdout


def succeed_json(*arguments):
    return json.loads(succeed(*arguments, "--json"))


def assert_fails(result, code, part):
    """One clear line and the exit code; anything else (a signal, a sanitizer's report) is a bug."""
    assert result.returncode == code, (result.returncode, result.stderr)
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("qmd"), result.stderr
    assert part in lines[0], lines[0]


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
