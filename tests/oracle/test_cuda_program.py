"""`qmd --device cuda` on emulated devices (QMD_EMULATED takes the place of libqmd.so): what it says, and that a GPU's answer
is the CPU's. Times are those of an emulation, and looked at for their form alone."""

import json
import os
import pathlib
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DATA = SOURCE / "examples" / "data"
PROGRAM = os.environ.get("QMD_PROGRAM", str(SOURCE / "build-release" / "examples" / "qmd"))
EMULATED = os.environ.get("QMD_EMULATED", "")

pytestmark = pytest.mark.skipif(not EMULATED, reason="SKIPPED: this build has no emulated CUDA devices")


def qmd(*arguments, emulated=True):
    environment = {**os.environ, "LD_PRELOAD": EMULATED} if emulated else os.environ
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=300, env=environment)


def succeed(*arguments, emulated=True):
    result = qmd(*arguments, emulated=emulated)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cuda") / "study"
    states = []
    for name in ("open", "closed"):
        files = [DATA / f"adk-{name}.pdb", DATA / f"adk-{name}-1.nc", DATA / f"adk-{name}-2.nc"]
        states += ["--state", f"{name}=" + ",".join(map(str, files))]
    succeed("study", *states, "--select", "name CA", "--stride", "4", "--epochs", "2", "--qat-epochs", "1", "-o", folder,
            emulated=False)
    return folder / "fold-1.qme"


TRAJECTORY = [DATA / "adk-closed-3.nc", "--topology", DATA / "adk-closed.pdb"]


def test_run_gives_the_answers_of_the_cpu(engine):
    expected = succeed("run", engine, *TRAJECTORY)
    assert expected == succeed("run", engine, *TRAJECTORY, "--device", "cuda")
    assert expected == succeed("run", engine, *TRAJECTORY, "--device", "cuda:1")
    assert len(expected.splitlines()) > 5


def test_profile_times_kernels(engine):
    profile = json.loads(succeed("profile", engine, "--device", "cuda", "--repeats", 10, "--json"))
    assert profile["device"] == "cuda:0" and profile["pixels_ms"] is None
    kernels = [step["kernel"] for step in profile["steps"]]
    assert any(kernel.endswith("_imma") for kernel in kernels)
    assert all((step["ms"] > 0) == bool(step["kernel"]) for step in profile["steps"])
    assert "cuda:0, emulated on the CPU" in succeed("profile", engine, "--device", "cuda", "--repeats", 10)


def test_bench_has_the_parts_of_a_run(engine):
    bench = json.loads(succeed("bench", engine, "--device", "cuda", "--batches", "1,3", "--repeats", 5, "--json"))
    assert (bench["device"], bench["device_name"]) == ("cuda:0", "emulated on the CPU")
    assert [(case["batch"], case["graph"]) for case in bench["cases"]] == [(1, True), (1, False), (3, True), (3, False)]
    for case in bench["cases"]:
        assert list(case["parts"]) == ["input", "compute", "output", "end to end"]
        for part in case["parts"].values():
            values = [part[key] for key in ("min_ms", "median_ms", "p90_ms", "p99_ms")]
            assert values == sorted(values) and values[0] > 0 and part["mean_ms"] > 0
    assert "emulated on the CPU" in succeed("bench", engine, "--device", "cuda", "--batches", "1", "--repeats", 5)
    alone = json.loads(succeed("bench", engine, "--batches", "2", "--repeats", 5, "--json"))
    assert alone["device"] == "cpu" and list(alone["cases"][0]["parts"]) == ["end to end"]


@pytest.mark.parametrize("command", ["run", "profile", "bench"])
def test_errors_say_what_is_missing(engine, command):
    arguments = [command, engine] + (TRAJECTORY if command == "run" else [])
    without = qmd(*arguments, "--device", "cuda", emulated=False)
    assert without.returncode == 1 and "CUDA" in without.stderr and len(without.stderr.splitlines()) == 1
    beyond = qmd(*arguments, "--device", "cuda:7")
    assert beyond.returncode == 1 and "there are 2" in beyond.stderr
    wrong = qmd(*arguments, "--device", "gpu")
    assert wrong.returncode == 1 and "'cpu', 'cuda' or 'cuda:N'" in wrong.stderr


@pytest.mark.parametrize("batches", ["0", "1,", "x", "5000", ",".join(["1"] * 17)])
def test_batches_are_numbers(engine, batches):
    result = qmd("bench", engine, "--batches", batches)
    assert result.returncode == 2 and "--batches" in result.stderr
