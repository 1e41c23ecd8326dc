"""The built `qmd` program on the bundled data, step by step: what each command says, and how it fails."""

import shutil

import numpy as np
import pytest

from program_support import BRIEF, DATA, SMALL, STATES, assert_fails, qmd, state, succeed, succeed_json

COMMANDS = ["study", "inspect", "train", "quantize", "run", "pixels", "explain", "merge", "export", "import", "profile", "compare",
            "bench"]


# ---- Help ----


def test_help_and_version():
    assert "study" in succeed("--help")
    assert succeed("--version").startswith("qmd 0.")
    for command in COMMANDS:
        text = succeed(command, "--help")
        assert text.startswith(f"Usage: qmd {command}")
        assert "--json" in text and "Exit codes" in text


# ---- Single steps ----


def test_train_then_quantize_then_run(tmp_path):
    model, engine, fake = tmp_path / "m.qmd", tmp_path / "m.qme", tmp_path / "q.qmd"
    trained = succeed_json("train", *SMALL, "--epochs", 4, "--fold", 1, "-o", model)
    assert (trained["n_train"], trained["n_test"]) == (40, 20)
    assert trained["fp32"]["test_accuracy"] is not None
    quantized = succeed_json(
        "quantize", model, *SMALL, "--fold", 1, "--qat-epochs", 1, "-o", engine, "--save-model", fake
    )
    assert quantized["fp32"] == trained["fp32"]
    rows = succeed_json(
        "run", engine, DATA / "adk-open-1.nc", DATA / "adk-open-2.nc", "--topology", DATA / "adk-open.pdb"
    )
    assert rows["classes"] == ["open", "closed"]
    assert [row["frame"] for row in rows["frames"]] == list(range(80))
    assert succeed_json("inspect", fake)["quantized"] is True
    low = succeed_json(
        "quantize", model, *SMALL, "--qat-epochs", 0, "--weight-bits", 3, "--activation-bits", 4, "--save-model", fake
    )
    assert low["weight_bits"] == 3 and "fake_quant" in low


def test_run_to_a_file_and_by_any_number_of_threads(study, tmp_path):
    folder, _ = study
    base = ["run", folder / "fold-1.qme", DATA / "adk-closed-3.nc", "--topology", DATA / "adk-closed.pdb"]
    text = succeed(*base, "--threads", 1)
    succeed(*base, "--threads", 2, "-o", tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text() == text
    lines = text.splitlines()
    assert lines[0] == "frame,time_ps,p_open,p_closed"
    assert succeed(*base, "--stride", 7).splitlines() == lines[:1] + lines[1::7]


def test_pixels(tmp_path):
    out = succeed_json("pixels", *STATES, "--stride", 20, "--pixels", "icnnmd", "-o", tmp_path / "x.npy")
    x = np.load(tmp_path / "x.npy")
    assert x.shape == (12, 41, 41, 3) and x.dtype == np.uint8
    assert (x.reshape(12, -1, 3).max(1) == 255).all()
    assert (x.reshape(12, -1, 3)[:, 1656:] == 0).all()
    assert [s["first_frame"] for s in out["states"]] == [0, 6]
    succeed("pixels", *STATES, "--stride", 20, "--pixels", "icnnmd", "--frame", 7, "-o", tmp_path / "x7.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "x7.npy")[0], x[7])
    succeed("pixels", *STATES, "--stride", 20, "--frame", 7, "-o", tmp_path / "x7.png")
    assert (tmp_path / "x7.png").read_bytes().startswith(b"\x89PNG")


def test_inspect(study):
    folder, _ = study
    pdb = succeed_json("inspect", DATA / "adk-open.pdb", "--select", "resid 30 to 67 and name CA")
    assert (pdb["n_atoms"], pdb["n_residues"]) == (1656, 214)
    assert pdb["selections"][-1] == {"selection": "resid 30 to 67 and name CA", "n_atoms": 38}
    netcdf = succeed_json("inspect", DATA / "adk-open-1.nc")
    assert (netcdf["n_frames"], netcdf["n_atoms"]) == (40, 1656)
    assert (netcdf["first_time_ps"], netcdf["last_time_ps"]) == (1, 40)
    model = succeed_json("inspect", folder / "fold-1.qmd")
    assert model["quantized"] is False and model["classes"] == ["open", "closed"]
    assert sum(layer["n_parameters"] for layer in model["layers"]) == model["n_parameters"]
    engine = succeed_json("inspect", folder / "fold-1.qme")
    assert engine["pixels"]["n_atoms"] == 214
    assert all(step["kernel"] for step in engine["plan"])
    assert "linear collapse" in engine["passes"]
    for path in (DATA / "adk-open.pdb", DATA / "adk-open-1.nc", folder / "fold-1.qmd", folder / "fold-1.qme"):
        assert str(path) in succeed("inspect", path)


# ---- Devices ----

NOWHERE = ["--state", "open=no.pdb,no.nc", "--state", "closed=no.pdb,no.nc"]


@pytest.mark.parametrize("command", ["train", "quantize", "study"])
@pytest.mark.parametrize(
    ("device", "part"),
    [
        ("gpu", "'gpu', expected cpu, cuda, cuda:N or reference"),
        ("CPU", "'CPU', expected"),
        ("cuda:", "'cuda:', expected"),
        ("cuda:-1", "'cuda:-1', expected"),
        ("reference:0", "'reference:0', expected"),
        ("cuda", "CUDA"),
        ("cuda:99", "CUDA"),
    ],
)
def test_a_device_that_is_not_there_is_said_before_data_are_read(command, device, part, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = ["no.qmd"] if command == "quantize" else []
    assert_fails(qmd(command, *model, *NOWHERE, "-o", "x", "--device", device), 1, part)
    assert list(tmp_path.iterdir()) == []


def parameters(model, folder):
    """Weights and biases, in the order of the layers."""
    onnx = pytest.importorskip("onnx")
    succeed("export", model, "-o", folder / "weights.onnx")
    arrays = [onnx.numpy_helper.to_array(w) for w in onnx.load(folder / "weights.onnx").graph.initializer]
    return [array for array in arrays if array.ndim > 0]  # without the rates of dropout


@pytest.mark.parametrize(("first", "second"), [("cpu", "reference"), ("reference", "cpu")])
def test_a_checkpoint_goes_on_on_another_device(first, second, tmp_path):
    train = ["train", *SMALL, "--target-loss", "0", "--checkpoint", tmp_path / "c", "--json"]
    succeed(*train, "--device", first, "--epochs", 3, "-o", tmp_path / "a.qmd")
    succeed(*train, "--device", second, "--epochs", 3, "-o", tmp_path / "b.qmd")  # nothing is left to be done
    assert (tmp_path / "a.qmd").read_bytes() == (tmp_path / "b.qmd").read_bytes()
    shutil.copy(tmp_path / "c", tmp_path / "kept")
    for device in (first, second):
        shutil.copy(tmp_path / "kept", tmp_path / "c")
        succeed(*train, "--device", device, "--epochs", 4, "-o", tmp_path / f"{device}.qmd")
    before, same, other = (parameters(tmp_path / f"{name}.qmd", tmp_path) for name in ("a", first, second))
    assert len(before) == len(same) == len(other) == 12
    for start, here, there in zip(before, same, other):
        # The same batches and masks. Adam divides by a gradient's own size: sums in another order weigh most where it is
        # next to nothing, so look at the mean.
        assert np.abs(there - here).mean() < 1e-3 * np.abs(here - start).max()
    assert_fails(qmd(*train, "--device", second, "--epochs", 5, "--seed", 2, "-o", tmp_path / "b.qmd"), 1, "another")


def test_a_study_by_scalar_loops_is_the_cpus(study, tmp_path):
    _, by_cpu = study
    by_loops = succeed_json("study", *SMALL, *BRIEF, "--device", "reference", "-o", tmp_path)
    assert (by_cpu["made_with"]["device"], by_loops["made_with"]["device"]) == ("cpu", "reference")
    assert by_loops["made_with"]["device_name"] is None
    for fold, other in zip(by_cpu["folds"], by_loops["folds"]):
        assert other["fp32"]["test_accuracy"] == pytest.approx(fold["fp32"]["test_accuracy"], abs=0.051)  # one frame
        assert other["training"]["train"]["loss"] == pytest.approx(fold["training"]["train"]["loss"], rel=1e-3)
    assert "Trained on device reference, " in (tmp_path / "report.html").read_text()


# ---- Wrong command lines: exit code 2 ----


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "command is missing"),
        (["learn"], "no command 'learn'"),
        (["study", "--frobnicate"], "'--frobnicate'"),
        (["study", "-o"], "needs a value"),
        (["study", "--json=yes"], "takes no value"),
        (["study", *STATES], "-o DIR"),
        (["study", "-o", "x"], "state is missing"),
        (["study", *state("open"), "-o", "x"], "tell apart"),
        (["study", *STATES, "-o", "x", "surplus"], "'surplus'"),
        (["study", "--state", "open", "-o", "x"], "NAME=PDB,NC"),
        (["study", "--state", "=a.pdb,b.nc", "-o", "x"], "NAME=PDB,NC"),
        (["study", "--state", "open=a.pdb", "-o", "x"], "no trajectory"),
        (["study", "--state", "open=a.pdb,,b.nc", "-o", "x"], "empty"),
        (["study", "--epochs", "0"], "--epochs"),
        (["study", "--epochs", "ten"], "'ten'"),
        (["study", "--seed", "-1"], "'-1'"),
        (["study", "--seed", "99999999999999999999999"], "--seed"),
        (["study", "--threads", "0"], "--threads"),
        (["study", "--range", "nan"], "'nan'"),
        (["study", "--range", "-5"], "'-5'"),
        (["study", "--pixels", "jpeg"], "displacement, icnnmd"),
        (["study", "--split", "random"], "replica, block, icnnmd"),
        (["study", *STATES, "--folds", "4", "-o", "x"], "no state has more than 3"),
        (["study", *STATES, "--split", "block", "--folds", "1", "-o", "x"], "needs 2"),
        (["train", *STATES], "-o MODEL"),
        (["train", *STATES, "--target-loss", "-0.1", "-o", "x"], "at least 0"),
        (["train", *STATES, "--fold", "4", "-o", "x"], "there are 3 folds"),
        (["quantize", "--state", "a=b,c"], "something is missing"),
        (["quantize", "m.qmd", *STATES], "-o ENGINE"),
        (["quantize", "m.qmd", *STATES, "--weight-bits", "4", "-o", "x"], "8 bits"),
        (["quantize", "m.qmd", *STATES, "--weight-bits", "9", "-o", "x"], "from 2 to 8"),
        (["run", "engine.qme"], "something is missing"),
        (["inspect"], "something is missing"),
        (["inspect", "a", "b"], "'b'"),
        (["pixels", *STATES], ".npy"),
        (["pixels", *STATES, "-o", "x.jpg"], ".npy"),
    ],
)
def test_usage_errors(arguments, part, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_fails(qmd(*arguments), 2, part)
    assert list(tmp_path.iterdir()) == []


# ---- Bad files and data: exit code 1 ----


@pytest.fixture
def broken(tmp_path):
    """A copy of one replica of each state, to be broken."""
    for name in ("open", "closed"):
        for path in (f"adk-{name}.pdb", f"adk-{name}-1.nc"):
            shutil.copy(DATA / path, tmp_path / path)
    return tmp_path


def study_of(folder, *more):
    states = state("open", [1], folder) + state("closed", [1], folder)
    return qmd("study", *states, *more, "--epochs", "1", "-o", folder / "out")


def test_missing_files(broken):
    (broken / "adk-closed-1.nc").unlink()
    assert_fails(study_of(broken), 1, "adk-closed-1.nc")
    (broken / "adk-open.pdb").unlink()
    assert_fails(study_of(broken), 1, "adk-open.pdb")
    assert not (broken / "out").exists()


@pytest.mark.parametrize("size", [0, 3, 40, 400, 100_000, 795_551])
def test_truncated_trajectory(broken, size):
    path = broken / "adk-open-1.nc"
    path.write_bytes(path.read_bytes()[:size])
    assert_fails(study_of(broken), 1, "adk-open-1.nc")
    assert_fails(qmd("inspect", path), 1, "adk-open-1.nc")


def test_empty_and_cut_topology(broken):
    path = broken / "adk-open.pdb"
    text = path.read_bytes()
    path.write_bytes(b"")
    assert_fails(study_of(broken), 1, "adk-open.pdb")
    path.write_bytes(text[: text.index(b"ATOM    800") + 40])
    assert_fails(study_of(broken), 1, "adk-open.pdb")
    path.write_bytes(bytes(range(256)) * 100)
    assert_fails(study_of(broken), 1, "adk-open.pdb")
    assert_fails(qmd("inspect", path), 1, "adk-open.pdb")


def test_nan_coordinate(broken):
    path = broken / "adk-closed-1.nc"
    contents = bytearray(path.read_bytes())
    contents[-4:] = b"\x7f\xc0\x00\x00"  # the last coordinate of the last frame
    path.write_bytes(contents)
    assert_fails(study_of(broken), 1, "adk-closed-1.nc")
    assert_fails(qmd("inspect", path), 1, "frame 39")


def test_selections_that_leave_nothing(broken):
    assert_fails(study_of(broken, "--select", "resname XYZ"), 1, "resname XYZ")
    assert_fails(study_of(broken, "--select", "resid 1 to"), 1, "column")
    assert_fails(study_of(broken, "--superpose", "name XX"), 1, "name XX")
    assert_fails(study_of(broken, "--select", "resid 1 to 3"), 1, "icnnmd")  # an image too small for the network


def test_states_that_do_not_fit(broken):
    twice = qmd("study", *state("open", [1]), *state("open", [2]), "-o", broken / "out")
    assert_fails(twice, 1, "'open'")
    other = ["--state", f"other={broken / 'adk-open.pdb'},{broken / 'few.nc'}"]
    shutil.copy(broken / "adk-open.pdb", broken / "few.nc")  # not NetCDF at all
    assert_fails(qmd("study", *state("open", [1]), *other, "-o", broken / "out"), 1, "few.nc")
    cut = broken / "cut.pdb"
    lines = (broken / "adk-open.pdb").read_text().splitlines(keepends=True)
    cut.write_text("".join(line for line in lines if not (line.startswith("ATOM") and int(line[22:26]) > 50)))
    mixed = ["--state", f"cut={cut},{broken / 'adk-open-1.nc'}"]
    assert_fails(qmd("study", *state("open", [1]), *mixed, "-o", broken / "out"), 1, "adk-open-1.nc")


def test_map_and_output_that_cannot_be(broken):
    assert_fails(study_of(broken, "--map", broken / "none.map"), 1, "none.map")
    (broken / "out").write_text("a file stands here")
    assert_fails(study_of(broken), 1, "out")


def test_broken_engines_and_models(study, tmp_path):
    folder, _ = study
    nc, pdb = DATA / "adk-open-1.nc", DATA / "adk-open.pdb"
    engine, model = (folder / "fold-1.qme").read_bytes(), (folder / "fold-1.qmd").read_bytes()
    path = tmp_path / "broken.qme"
    for broken_bytes in (b"", engine[:7], engine[:100], engine[: len(engine) // 2], engine[:-1], model):
        path.write_bytes(broken_bytes)
        assert_fails(qmd("run", path, nc, "--topology", pdb), 1, "broken.qme")
    flipped = bytearray(engine)
    flipped[len(engine) // 2] ^= 1
    path.write_bytes(flipped)
    assert_fails(qmd("run", path, nc, "--topology", pdb), 1, "broken.qme")
    assert_fails(qmd("inspect", path), 1, "broken.qme")
    path.write_bytes(model[:-9])
    assert_fails(qmd("inspect", path), 1, "broken.qme")
    assert_fails(qmd("inspect", tmp_path / "absent"), 1, "absent")
    assert_fails(qmd("inspect", tmp_path), 1, str(tmp_path))


def test_atoms_that_the_engine_does_not_know(study, tmp_path):
    folder, _ = study
    engine = folder / "fold-1.qme"
    assert_fails(qmd("run", engine, DATA / "adk-open-1.nc"), 1, "--topology")
    lines = (DATA / "adk-open.pdb").read_text().splitlines(keepends=True)
    renamed = tmp_path / "renamed.pdb"
    renamed.write_text("".join(line[:12] + " CX " + line[16:] if line[12:16] == " CA " else line for line in lines))
    assert_fails(qmd("run", engine, DATA / "adk-open-1.nc", "--topology", renamed), 1, "CA")
    assert_fails(qmd("explain", engine, *STATES), 1, "1656 atoms")
    assert_fails(qmd("pixels", *STATES, "--model", engine, "-o", tmp_path / "x.npy"), 1, "214")
    other = ["--state", f"ajar={DATA / 'adk-open.pdb'},{DATA / 'adk-open-1.nc'}", "--select", "name CA"]
    assert_fails(qmd("explain", engine, *other), 1, "'ajar'")
    assert_fails(qmd("quantize", folder / "fold-1.qmd", *other, "-o", tmp_path / "x.qme"), 1, "'ajar'")


def test_outputs_that_cannot_be_written(study, tmp_path):
    folder, _ = study
    nowhere = tmp_path / "nowhere" / "file"
    base = [DATA / "adk-open-1.nc", "--topology", DATA / "adk-open.pdb"]
    assert_fails(qmd("run", folder / "fold-1.qme", *base, "-o", nowhere), 1, "nowhere")
    for name in ("x.npy", "x.png"):
        assert_fails(qmd("pixels", *SMALL, "-o", tmp_path / "nowhere" / name), 1, "nowhere")
    assert_fails(qmd("explain", folder / "fold-1.qme", *SMALL, "-o", nowhere), 1, "nowhere")
    assert_fails(qmd("pixels", *SMALL, "--frame", 60, "-o", tmp_path / "x.png"), 1, "60 frames")


# ---- Timing ----


def test_profile_times_the_plan(study, monkeypatch):
    folder, _ = study
    engine = folder / "fold-1.qme"
    plan = succeed_json("inspect", engine)["plan"]
    profile = succeed_json("profile", engine, "--batch", 2, "--repeats", 20)
    assert (profile["batch"], profile["threads"]) == (2, 1)
    assert [step["layers"] for step in profile["steps"]] == [step["name"] for step in plan]
    assert [step["n_macs"] for step in profile["steps"]] == [2 * step["n_macs"] for step in plan]
    assert profile["pixels_ms"] > 0
    assert profile["network_ms"] == pytest.approx(sum(step["ms"] for step in profile["steps"]), rel=1e-6)
    for step in profile["steps"]:
        assert step["share"] == pytest.approx(step["ms"] / profile["network_ms"], rel=1e-6)
        assert (step["gmacs_per_second"] is None) == (step["n_macs"] == 0)
    first = profile["steps"][0]
    assert first["n_bytes"] == first["weight_bytes"] + 2 * (15 * 15 * 3 + 6 * 6 * 32)
    text = succeed("profile", engine, "--repeats", 2)
    assert all(step["layers"] in text and step["why"] in text for step in profile["steps"])
    assert [step["inputs"] for step in profile["steps"]] == [[i - 1] for i in range(len(plan))]  # a chain
    monkeypatch.setenv("QMD_MAX_ISA", "ref")
    limited = succeed_json("profile", engine, "--repeats", 2)
    assert "(ref, " in limited["steps"][0]["why"] and limited["steps"][0]["kernel"].endswith("_ref")


def test_compare_aligns_by_layers(study, tmp_path):
    folder, _ = study
    apart = tmp_path / "apart.qme"
    succeed("quantize", folder / "fold-1.qmd", *SMALL, "--fold", 1, "--no-collapse", "--qat-epochs", 0, "-o", apart)
    comparison = succeed_json("compare", folder / "fold-1.qme", apart, "--repeats", 20)
    groups = comparison["groups"]
    n = len(groups)
    # The first two convolutions are one step of A and two of B; after them steps stand side by side.
    assert [g["a_steps"] for g in groups] == [[i, i + 1] for i in range(n)]
    assert [g["b_steps"] for g in groups] == [[0, 2]] + [[i + 1, i + 2] for i in range(1, n)]
    for group in groups:
        for side in "ab":
            begin, end = group[f"{side}_steps"]
            ms = sum(step["ms"] for step in comparison[side]["steps"][begin:end])
            assert group[f"{side}_ms"] == pytest.approx(ms, rel=1e-6)
    assert groups[0]["a_ms"] < groups[0]["b_ms"]  # half the multiplications
    succeed("compare", folder / "fold-1.qme", apart, "--repeats", 2)


def test_timing_refuses_what_is_no_engine(study, tmp_path):
    folder, _ = study
    engine = folder / "fold-1.qme"
    assert_fails(qmd("profile", folder / "fold-1.qmd"), 1, "QMDENGIN")
    assert_fails(qmd("profile", tmp_path / "none.qme"), 1, "none.qme")
    assert_fails(qmd("profile", engine, "--batch", 0), 2, "--batch")
    assert_fails(qmd("compare", engine), 2, "missing")
    assert_fails(qmd("compare", engine, folder / "fold-1.qmd"), 1, "QMDENGIN")
