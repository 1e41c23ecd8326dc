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


def states(replicas=2, stride=8):
    arguments = ["--select", "name CA", "--stride", stride]
    for name in ("open", "closed"):
        files = [DATA / f"adk-{name}.pdb"] + [DATA / f"adk-{name}-{i + 1}.nc" for i in range(replicas)]
        arguments += ["--state", f"{name}=" + ",".join(map(str, files))]
    return arguments


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cuda") / "study"
    succeed("study", *states(stride=4), "--epochs", "2", "--qat-epochs", "1", "-o", folder, emulated=False)
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


def study(folder, device, *more, emulated=True):
    return qmd("study", *states(), "--epochs", 2, "--qat-epochs", 1, "--device", device, *more, "-o", folder,
               emulated=emulated)


@pytest.fixture(scope="session")
def gpu_study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "gpu"
    result = study(folder, "cuda")
    if "built without training on a GPU" in result.stderr:
        pytest.skip("SKIPPED: no headers of cuDNN and cuBLAS on this machine, training on the GPU was not tested")
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def losses(folder):
    return [loss for k in (1, 2) for part in ("train", "fine_tune")
            for loss in json.loads((folder / f"fold-{k}.training.json").read_text())[part]["loss"]]


def test_a_study_trains_on_a_gpu_as_on_the_cpu(gpu_study, tmp_path):
    folder, _ = gpu_study
    assert study(tmp_path / "again", "cuda:1").returncode == 0
    assert study(tmp_path / "cpu", "cpu").returncode == 0
    for k in (1, 2):
        for suffix in ("qmd", "qme", "training.json"):
            name = f"fold-{k}.{suffix}"
            assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert len(losses(tmp_path / "cpu")) == 6
    assert losses(folder) == pytest.approx(losses(tmp_path / "cpu"), rel=1e-4)
    gpu, cpu = (json.loads((path / "report.json").read_text()) for path in (folder, tmp_path / "cpu"))
    for numbers in ("fp32", "int8"):
        for key in ("train_accuracy", "test_accuracy"):
            assert gpu["mean"][numbers][key] == pytest.approx(cpu["mean"][numbers][key], abs=0.051)  # a frame of a fold
    assert (cpu["made_with"]["device"], cpu["made_with"]["device_name"]) == ("cpu", None)


def test_a_study_names_the_gpu(gpu_study):
    folder, text = gpu_study
    report = json.loads((folder / "report.json").read_text())
    assert report["arguments"]["device"] == "cuda"
    assert (report["made_with"]["device"], report["made_with"]["device_name"]) == ("cuda:0", "emulated on the CPU")
    for said in (text, (folder / "report.html").read_text()):
        assert "Trained on device cuda:0 (emulated on the CPU)" in said


# ---- Models by cuDNN and cuBLAS ----


def test_a_study_has_the_accuracies_of_comparators(gpu_study):
    folder, text = gpu_study
    report = json.loads((folder / "report.json").read_text())
    for row in [report["mean"], *report["folds"]]:
        for key in ("train_accuracy", "test_accuracy"):
            assert row["cudnn_fp16"][key] == pytest.approx(row["fp32"][key], abs=0.051)  # a frame of a fold
            assert row["cudnn_int8"][key] == pytest.approx(row["int8"][key], abs=0.051)
    for said in (text, (folder / "report.html").read_text()):
        assert "test FP16 cuDNN" in said and "test INT8 cuDNN" in said


def test_a_study_on_the_cpu_has_none(engine):
    report = json.loads((engine.parent / "report.json").read_text())
    assert set(report["mean"]) == {"fp32", "int8", "nearest_mean", "ridge", "agreement"}
    assert "cuDNN" not in (engine.parent / "report.html").read_text()
    assert not list(engine.parent.glob("*-quantized.qmd"))


COMPARATORS = [("fold-1.qmd", "cudnn-fp16", "FP16"), ("fold-1-quantized.qmd", "cudnn-int8", "INT8")]


@pytest.mark.parametrize(("file", "engine", "type"), COMPARATORS)
def test_models_are_timed_by_cudnn(gpu_study, file, engine, type):
    model = gpu_study[0] / file
    bench = json.loads(succeed("bench", model, "--engine", engine, "--batches", "1,3", "--repeats", 3, "--json"))
    assert bench["device"] == "cuda" and [(case["batch"], case["graph"]) for case in bench["cases"]] == [(1, True), (3, True)]
    for case in bench["cases"]:
        assert list(case["parts"]) == ["input", "compute", "output", "end to end"]
        assert all(part["min_ms"] > 0 for part in case["parts"].values())
    assert "graph  end to end" in succeed("bench", model, "--engine", engine, "--batches", "1", "--repeats", 3)
    arguments = ["profile", model, "--engine", engine, "--batch", 2, "--repeats", 3]
    steps = json.loads(succeed(*arguments, "--json"))["steps"]
    names = [name for step in steps for name in step["layers"].split("+")]
    assert names[-1] == "softmax_1" and len(names) == len(set(names))
    of_cudnn = [step for step in steps if step["computed_by"].startswith(f"cuDNN {type} conv+bias")]
    assert len(of_cudnn) >= 2 and all(step["ms"] > 0 for step in of_cudnn)
    assert any("+relu_" in step["layers"] for step in of_cudnn)
    assert f"cuBLAS {type} product" in succeed(*arguments)


def test_models_are_timed_in_fp32(gpu_study):
    model = gpu_study[0] / "fold-1.qmd"
    bench = json.loads(succeed("bench", model, "--engine", "fp32", "--batches", "1", "--repeats", 3, "--json"))
    assert bench["device"] == "cpu" and list(bench["cases"][0]["parts"]) == ["end to end"]


@pytest.mark.parametrize(("arguments", "part"), [
    (["--engine", "cudnn-fp17"], "cudnn-fp17"), (["--engine", "cudnn-int8"], "takes a model that is quantized"),
    (["--engine", "cudnn-fp16", "--device", "cpu"], "the device is 'cpu'"),
    (["--engine", "cudnn-fp16", "--device", "cuda:7"], "there are 2")])  # fmt: skip
@pytest.mark.parametrize("command", ["bench", "profile"])
def test_engines_that_do_not_serve_are_named(gpu_study, command, arguments, part):
    result = qmd(command, gpu_study[0] / "fold-1.qmd", *arguments)
    assert result.returncode == 1 and part in result.stderr and len(result.stderr.splitlines()) == 1


def test_a_build_without_cudnn_says_so(gpu_study):
    result = qmd("bench", gpu_study[0] / "fold-1.qmd", "--engine", "cudnn-fp16", emulated=False)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert "without CUDA and cuDNN" in result.stderr or "driver" in result.stderr or "device" in result.stderr


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_a_study_is_not_gone_on_with_on_another_device(gpu_study, device):
    folder, _ = gpu_study
    result = study(folder, device, "--resume")
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert f'device was "cuda", now it is "{device}"' in result.stderr


@pytest.mark.parametrize(("first", "second"), [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "reference")])
def test_a_checkpoint_goes_to_a_gpu_and_back(gpu_study, tmp_path, first, second):
    train = ["train", *states(1), "--target-loss", 0, "--checkpoint", tmp_path / "c"]
    succeed(*train, "--device", first, "--epochs", 2, "-o", tmp_path / "a.qmd")
    succeed(*train, "--device", second, "--epochs", 2, "-o", tmp_path / "b.qmd")  # nothing is left to be done
    assert (tmp_path / "a.qmd").read_bytes() == (tmp_path / "b.qmd").read_bytes()
    succeed(*train, "--device", second, "--epochs", 3, "-o", tmp_path / "b.qmd")
    assert (tmp_path / "a.qmd").read_bytes() != (tmp_path / "b.qmd").read_bytes()


def test_steps_on_a_gpu_are_those_of_the_study(gpu_study, tmp_path):
    folder, _ = gpu_study
    fold = [*states(), "--fold", 1, "--device", "cuda"]
    succeed("train", *fold, "--epochs", 2, "-o", tmp_path / "m.qmd")
    succeed("quantize", tmp_path / "m.qmd", *fold, "--qat-epochs", 1, "-o", tmp_path / "m.qme")
    for suffix in ("qmd", "qme"):
        assert (tmp_path / f"m.{suffix}").read_bytes() == (folder / f"fold-1.{suffix}").read_bytes()


def fails_to_train(command, folder, device, emulated):
    model = ["no.qmd"] if command == "quantize" else []
    result = qmd(command, *model, *states(1), "-o", folder / "none", "--device", device, emulated=emulated)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert list(folder.iterdir()) == []
    return result.stderr


@pytest.mark.parametrize("command", ["train", "quantize", "study"])
def test_training_says_why_it_cannot_be(tmp_path, command):
    said = fails_to_train(command, tmp_path, "cuda", emulated=False)
    assert "'cuda'" in said and "built without" in said


@pytest.mark.parametrize("command", ["train", "quantize", "study"])
def test_training_says_how_many_gpus_there_are(gpu_study, tmp_path, command):
    assert "device 99, but there are 2" in fails_to_train(command, tmp_path, "cuda:99", emulated=True)
