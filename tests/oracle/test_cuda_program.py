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


# ---- Training ----


def study(folder, device, emulated=True):
    states = []
    for name in ("open", "closed"):
        files = [DATA / f"adk-{name}.pdb", DATA / f"adk-{name}-1.nc", DATA / f"adk-{name}-2.nc"]
        states += ["--state", f"{name}=" + ",".join(map(str, files))]
    return qmd("study", *states, "--select", "name CA", "--stride", 8, "--epochs", 2, "--qat-epochs", 1, "--device",
               device, "-o", folder, emulated=emulated)


def losses(folder):
    return [loss for k in (1, 2) for part in ("train", "fine_tune")
            for loss in json.loads((folder / f"fold-{k}.training.json").read_text())[part]["loss"]]


def test_a_study_trains_on_a_gpu_as_on_the_cpu(tmp_path):
    result = study(tmp_path / "gpu", "cuda")
    if "built without training on a GPU" in result.stderr:
        pytest.skip("SKIPPED: no headers of cuDNN and cuBLAS on this machine, training on the GPU was not tested")
    assert result.returncode == 0, result.stderr
    assert study(tmp_path / "again", "cuda:1").returncode == 0
    assert study(tmp_path / "cpu", "cpu").returncode == 0
    for k in (1, 2):
        for suffix in ("qmd", "qme", "training.json"):
            name = f"fold-{k}.{suffix}"
            assert (tmp_path / "gpu" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert len(losses(tmp_path / "cpu")) == 6
    assert losses(tmp_path / "gpu") == pytest.approx(losses(tmp_path / "cpu"), rel=1e-4)


def test_a_study_says_why_it_cannot_train(tmp_path):
    without = study(tmp_path / "none", "cuda", emulated=False)
    assert without.returncode == 1 and len(without.stderr.splitlines()) == 1
    assert "'cuda'" in without.stderr and "built without" in without.stderr
