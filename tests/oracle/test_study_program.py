"""`qmd study` on the bundled data: what it writes, against NumPy, and how it goes on after an interruption."""

import csv
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from program_support import BRIEF, DATA, PROGRAM, SMALL, assert_fails, qmd, read_csv, state, succeed, succeed_json

# What shows scores of residues on the structure.
STRUCTURE = {"residues.xlsx", "atoms.csv", "residues.pdb", "residues.pml", "residues.vmd", "residues.cxc"}


# ---- The study ----


def test_study_writes_what_it_says(study):
    folder, report = study
    names = {"report.json", "study.json", "residues.csv", "residues.svg", "frames.png", "report.html"} | STRUCTURE
    names |= {f"fold-{k}.{suffix}" for k in (1, 2, 3) for suffix in ("qmd", "qme", "json", "training.json")}
    assert {path.name for path in folder.iterdir()} == names
    assert json.loads((folder / "report.json").read_text()) == report
    assert report["schema"] == "qmd-study-1"
    assert [s["name"] for s in report["states"]] == ["open", "closed"]
    assert [s["n_frames"] for s in report["states"]] == [30, 30]
    assert len(report["folds"]) == 3
    for k, fold in enumerate(report["folds"], 1):
        assert [pathlib.Path(h["file"]).name for h in fold["held_out"]] == [f"adk-open-{k}.nc", f"adk-closed-{k}.nc"]
        assert (fold["n_train"], fold["n_test"]) == (40, 20)
        for classifier in ("fp32", "int8", "nearest_mean", "ridge"):
            assert set(fold[classifier]) == {"train_accuracy", "test_accuracy", "test_auc"}
        assert 0 <= fold["agreement"] <= 1
    for numbers in ("fp32", "int8"):
        for part in ("pixels", "network"):
            times = report["timing_ms"][numbers][part]
            assert 0 < times["median"] <= times["p99"]
    files = report["files"]
    singles = [files[key] for key in ("residues", "residue_profile", "atoms", "residue_structure", "frames")]
    for name in files["models"] + files["engines"] + files["structure_scripts"] + singles:
        assert (folder / name).exists()


def test_means_are_over_folds(study):
    _, report = study
    for classifier in ("fp32", "int8", "nearest_mean", "ridge"):
        for key in ("train_accuracy", "test_accuracy", "test_auc"):
            values = [fold[classifier][key] for fold in report["folds"]]
            assert report["mean"][classifier][key] == pytest.approx(np.mean(values), abs=1e-8)
    assert report["mean"]["agreement"] == pytest.approx(np.mean([f["agreement"] for f in report["folds"]]), abs=1e-8)


def test_residues_of_all_folds_together(study):
    folder, report = study
    rows = read_csv(folder / "residues.csv")
    assert list(rows[0]) == ["chain", "number", "insertion_code", "name", "score", "standard_error", "rank", "label"]
    assert [int(row["number"]) for row in rows] == list(range(1, 215))
    n = np.array([fold["n_explained"] for fold in report["folds"]], float)
    scores = np.array([[r["score"] for r in fold["residues"]] for fold in report["folds"]])
    errors = np.array([[r["standard_error"] for r in fold["residues"]] for fold in report["folds"]])
    mean = n @ scores / n.sum()
    # The variance of all frames: within folds, and between them.
    within = ((n * (n - 1))[:, None] * errors**2).sum(0)
    between = (n[:, None] * (scores - mean) ** 2).sum(0)
    expected_errors = np.sqrt((within + between) / (n.sum() - 1) / n.sum())
    np.testing.assert_allclose([float(row["score"]) for row in rows], mean, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose([float(row["standard_error"]) for row in rows], expected_errors, rtol=1e-5, atol=1e-8)
    order = np.argsort([-float(row["score"]) for row in rows], kind="stable")
    assert [int(rows[i]["rank"]) for i in order] == list(range(1, 215))


def test_residue_profile_and_frames_are_images(study):
    folder, _ = study
    import xml.dom.minidom

    svg = xml.dom.minidom.parse(str(folder / "residues.svg"))
    assert len(svg.getElementsByTagName("title")) == 214
    assert (folder / "frames.png").read_bytes().startswith(b"\x89PNG")


def test_atoms_have_their_residues_scores(study):
    folder, _ = study
    import MDAnalysis

    scores = {row["number"]: row["score"] for row in read_csv(folder / "residues.csv")}
    rows = read_csv(folder / "atoms.csv")
    assert list(rows[0]) == ["index", "chain", "number", "insertion_code", "name", "atom", "score"]
    assert len(rows) == 214
    topology = MDAnalysis.Universe(DATA / "adk-open.pdb").atoms
    for row in rows:
        atom = topology[int(row["index"])]
        assert (str(atom.resid), atom.resname, atom.name) == (row["number"], row["name"], row["atom"])
        assert row["score"] == scores[row["number"]]


def test_structure_holds_the_scores_as_b_factors(study):
    folder, _ = study
    import MDAnalysis

    scores = {int(row["number"]): float(row["score"]) for row in read_csv(folder / "residues.csv")}
    ours = MDAnalysis.Universe(folder / "residues.pdb").atoms
    original = MDAnalysis.Universe(DATA / "adk-open.pdb").select_atoms("not resname HOH WAT TIP3")
    for attribute in ("names", "resnames", "resids", "chainIDs", "elements"):
        assert list(getattr(ours, attribute)) == list(getattr(original, attribute)), attribute
    np.testing.assert_allclose(ours.positions, original.positions, atol=1e-3)
    np.testing.assert_allclose(ours.tempfactors, [scores[number] for number in ours.resids], atol=0.00051)
    assert np.abs(ours.tempfactors).max() > 0
    assert (ours.occupancies == 1).all()
    for line in (folder / "residues.pdb").read_text().splitlines()[1:-1]:
        assert len(line) == 78 and line.startswith(("ATOM  ", "HETATM"))


def test_scripts_show_the_ten_highest(study):
    folder, _ = study
    import MDAnalysis

    top = {int(row["number"]) for row in read_csv(folder / "residues.csv") if int(row["rank"]) <= 10}
    ours = MDAnalysis.Universe(folder / "residues.pdb").atoms
    largest = max(abs(float(row["score"])) for row in read_csv(folder / "residues.csv"))
    markers = {"residues.pml": r"b > (\S+)", "residues.vmd": r"beta > ([^}]+)}", "residues.cxc": r"bfactor>(\S+)"}
    for name, marker in markers.items():
        text = (folder / name).read_text()
        shown = set(ours.resids[ours.tempfactors > float(re.search(marker, text)[1])].tolist())
        assert top <= shown and len(shown) <= 12  # equal after rounding
        assert f"{largest:g}" in text


def test_explain_writes_a_folder_of_its_own(study, tmp_path):
    folder, _ = study
    output = tmp_path / "new" / "folder"
    succeed("explain", folder / "fold-2.qme", *SMALL, "--fold", 2, "-o", f"{output}/")
    assert {path.name for path in output.iterdir()} == STRUCTURE | {"residues.csv", "residues.svg"}


def test_shapley_values_add_up_to_the_margin(study):
    folder, _ = study
    engine = folder / "fold-2.qme"
    shap = ["explain", engine, *SMALL, "--fold", 2, "--method", "shap", "--samples", 1000]
    result = succeed_json(*shap, "--threads", 1)
    assert (result["method"], result["n_frames"]) == ("shap", 20)
    margins = []
    for own, other in (("open", "closed"), ("closed", "open")):
        text = succeed("run", engine, DATA / f"adk-{own}-2.nc", "--topology", DATA / f"adk-{own}.pdb")
        rows = list(csv.DictReader(io.StringIO(text)))[::4]
        margins += [np.log(float(row[f"p_{own}"]) / float(row[f"p_{other}"])) for row in rows]
    # What no displacement says for one state it says against the other, and there are as many frames of either.
    total = sum(r["score"] for r in result["residues"])
    assert total == pytest.approx(np.mean(margins), rel=1e-3)
    assert result["residues"] == succeed_json(*shap, "--threads", 3)["residues"]
    assert result["residues"] != succeed_json(*shap, "--seed", 2)["residues"]
    assert_fails(qmd(*shap[:-1], 855), 1, "856")
    assert_fails(qmd(*shap, "--method", "lime"), 2, "leave-one-out, shap")


def test_unscored_atoms_have_occupancy_0(hard_study):
    folder, _ = hard_study
    import MDAnalysis

    ours = MDAnalysis.Universe(folder / "residues.pdb").atoms
    np.testing.assert_array_equal(ours.occupancies == 1, ours.resids <= 110)
    assert (ours.tempfactors[ours.resids > 110] == 0).all()


# States whose replicas are open in one fold and closed in the other: trained on one and tested on the other, nothing
# is right but by chance, so that the numbers differ from 1.
HARD = ["--select", "name CA and resid 1 to 110"]
for replica in (1, 2):
    files = [DATA / "adk-open.pdb", DATA / f"adk-open-{replica}.nc", DATA / f"adk-closed-{replica}.nc"]
    HARD += ["--state", f"r{replica}=" + ",".join(map(str, files))]


@pytest.fixture(scope="session")
def hard_study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hard")
    brief = ["--epochs", "2", "--qat-epochs", "0", "--explain-frames", "1"]
    return folder, succeed_json("study", *HARD, *brief, "-o", folder)


def held_out(fold):
    """Fold 1 holds out the first 40 frames of either state, fold 2 the last 40."""
    return np.arange(160) % 80 // 40 == fold - 1


def auc(log_odds, positive):
    wins = (log_odds[positive][:, None] > log_odds[~positive]).mean()
    return wins + 0.5 * (log_odds[positive][:, None] == log_odds[~positive]).mean()


def compare_quality(reported, scores, labels, test):
    right = scores.argmax(1) == labels
    assert reported["train_accuracy"] == pytest.approx(right[~test].mean(), abs=1e-8)
    assert reported["test_accuracy"] == pytest.approx(right[test].mean(), abs=1e-8)
    log_odds = (scores[:, 1] - scores[:, 0])[test]
    assert reported["test_auc"] == pytest.approx(auc(log_odds, labels[test] == 1), abs=1e-8)


def test_int8_quality_is_the_engines_own(hard_study):
    """`qmd run` gives the report's INT8 numbers."""
    folder, report = hard_study
    for k, fold in enumerate(report["folds"], 1):
        p = []
        for replica in (1, 2):
            files = [DATA / f"adk-{name}-{replica}.nc" for name in ("open", "closed")]
            text = succeed("run", folder / f"fold-{k}.qme", *files, "--topology", DATA / "adk-open.pdb")
            rows = list(csv.DictReader(io.StringIO(text)))
            assert [int(row["frame"]) for row in rows] == list(range(80))
            assert [float(row["time_ps"]) for row in rows] == 2 * list(range(1, 41))
            p += [[float(row["p_r1"]), float(row["p_r2"])] for row in rows]
        p = np.array(p)
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-6)
        assert (fold["n_train"], fold["n_test"]) == (80, 80)
        compare_quality(fold["int8"], np.log(p), np.repeat([0, 1], 80), held_out(k))


def test_baselines_against_numpy(hard_study, tmp_path):
    folder, report = hard_study
    for k, fold in enumerate(report["folds"], 1):
        succeed("pixels", *HARD, "--model", folder / f"fold-{k}.qmd", "-o", tmp_path / "x.npy")
        x = np.load(tmp_path / "x.npy")
        assert x.shape == (160, 11, 11, 3) and x.dtype == np.int8
        x = x.reshape(160, -1).astype(float)
        labels = np.repeat([0, 1], 80)
        test = held_out(k)
        train = ~test
        means = np.array([x[train & (labels == c)].mean(0) for c in (0, 1)])
        compare_quality(fold["nearest_mean"], -((x[:, None] - means) ** 2).sum(2), labels, test)
        centred = x - x[train].mean(0)
        kernel = centred[train] @ centred[train].T
        targets = np.where(labels[train][:, None] == [0, 1], 1.0, -1.0)
        ridge = np.trace(kernel) / len(kernel)
        alphas = np.linalg.solve(kernel + ridge * np.eye(len(kernel)), targets - targets.mean(0))
        scores = centred @ centred[train].T @ alphas + targets.mean(0)
        compare_quality(fold["ridge"], scores, labels, test)


def test_explain_gives_the_folds_scores(study, tmp_path):
    folder, report = study
    result = succeed_json("explain", folder / "fold-2.qme", *SMALL, "--fold", 2, "-o", tmp_path / "r.csv")
    assert result["n_frames"] == 20
    assert result["residues"] == report["folds"][1]["residues"]
    text = succeed("explain", folder / "fold-2.qme", *SMALL, "--fold", 2)
    assert text == (tmp_path / "r.csv").read_text()
    assert text.startswith("chain,number,insertion_code,name,score,standard_error,rank,label\n")


def test_three_states_and_block_split(tmp_path):
    third = ["--state", f"middle={DATA / 'adk-open.pdb'},{DATA / 'adk-closed-1.nc'}"]
    report = succeed_json(
        "study", *state("open", [1]), *state("closed", [2]), *third, "--select", "name CA", "--stride", 2, "--folds", 2,
        "--gap", 2, "--epochs", 1, "--qat-epochs", 0, "--explain-frames", 3, "-o", tmp_path,
    )  # fmt: skip
    assert report["arguments"]["split"] == "block"
    for k, fold in enumerate(report["folds"], 1):
        # Blocks of ten frames; a gap of two on the inner side.
        assert (fold["n_train"], fold["n_test"], fold["n_explained"]) == (24, 30, 3)
        p = []
        for name, replica in (("open", 1), ("closed", 2), ("closed", 1)):
            trajectory = DATA / f"adk-{name}-{replica}.nc"
            rows = succeed_json("run", tmp_path / f"fold-{k}.qme", trajectory, "--topology", DATA / "adk-open.pdb",
                                "--stride", 2)["frames"]  # fmt: skip
            p += [row["probabilities"] for row in rows[10 * (k - 1) : 10 * k]]
        p, labels = np.array(p), np.repeat([0, 1, 2], 10)
        assert fold["int8"]["test_accuracy"] == pytest.approx((p.argmax(1) == labels).mean(), abs=1e-8)
        one_against_rest = [auc(np.log(p[:, c]) - np.log(1 - p[:, c]), labels == c) for c in range(3)]
        assert fold["int8"]["test_auc"] == pytest.approx(np.mean(one_against_rest), abs=1e-8)


def test_progress_bars_on_a_terminal(tmp_path):
    import pty

    terminal, end = pty.openpty()
    command = [PROGRAM, "train", *SMALL, "--epochs", "8", "-o", str(tmp_path / "m.qmd"), "--json"]
    drawn = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=end) as process:
        os.close(end)
        try:
            while True:
                drawn += os.read(terminal, 4096).decode()
        except OSError:  # the program has ended
            pass
        out = process.stdout.read()
        assert process.wait(timeout=300) == 0
    os.close(terminal)
    assert "train" in drawn and "#" in drawn and "loss" in drawn
    assert drawn.endswith("\r\x1b[K")  # nothing is left behind
    assert json.loads(out)["n_train"] == 60


# ---- Going on after an interruption ----


def without_times(report):
    report = json.loads(json.dumps(report))
    del report["timing_ms"]
    for fold in report["folds"]:
        del fold["seconds"]
    return report


def test_resume_makes_only_what_is_missing(study, tmp_path):
    folder, report = study
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "fold-2.json").unlink()
    (copy / "fold-2.qme").unlink()
    (copy / "fold-3.json").unlink()
    kept = (copy / "fold-2.qmd").stat().st_mtime_ns
    resumed = succeed_json("study", *SMALL, *BRIEF, "--resume", "-o", copy)
    for name in ("residues.csv", "atoms.csv", "residues.pdb", "residues.svg"):
        assert (copy / name).read_bytes() == (folder / name).read_bytes(), name
    assert (copy / "fold-2.qmd").stat().st_mtime_ns == kept
    assert (copy / "fold-2.qme").read_bytes() == (folder / "fold-2.qme").read_bytes()
    assert without_times(resumed) == without_times(report)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (["--seed", "2"], "seed was 1, now it is 2"),
        (["--epochs", "5"], "epochs was 4, now it is 5"),
        (["--target-loss", "0"], "target-loss was 0.05, now it is 0"),
        (["--device", "reference"], 'device was "cpu", now it is "reference"'),
        (["--superpose", "resid 1 to 20"], "superpose"),
        (["--state", f"more={DATA / 'adk-open.pdb'},{DATA / 'adk-open-1.nc'}", "--split", "replica"], "--state differs"),
    ],
)
def test_resume_refuses_other_arguments(study, change, part):
    folder, _ = study
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert_fails(qmd("study", *SMALL, *BRIEF, *change, "--resume", "-o", folder), 1, part)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_interrupt_and_resume(study, tmp_path):
    _, report = study
    arguments = ["study", *SMALL, *BRIEF, "-o", str(tmp_path), "--json"]
    with subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "fold-1.json").exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=300)
    assert process.returncode == 130, error
    assert error == "qmd study: interrupted\n"
    assert out == ""
    assert not (tmp_path / "report.json").exists()
    resumed = succeed_json(*arguments[:-1], "--resume")
    assert without_times(resumed) == without_times(report)


def test_interrupted_training_goes_on_from_its_checkpoint(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    arguments = ["study", *SMALL, "--folds", "1", "--epochs", "20", "--qat-epochs", "0", "--json", "-o"]
    expected = succeed_json(*arguments[:-2], "-o", whole)
    with subprocess.Popen([PROGRAM, *arguments, str(cut)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not (cut / "fold-1.checkpoint").exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
    assert process.returncode == 130
    assert {path.name for path in cut.iterdir()} == {"study.json", "fold-1.checkpoint", "fold-1.training.json"}
    resumed = succeed_json(*arguments, cut, "--resume")
    assert without_times(resumed) == without_times(expected)
    assert (cut / "fold-1.qmd").read_bytes() == (whole / "fold-1.qmd").read_bytes()
    assert not (cut / "fold-1.checkpoint").exists()


def test_a_new_study_clears_an_old_one_only_if_it_can_begin(study, tmp_path):
    folder, _ = study
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    names = {path.name for path in copy.iterdir()}
    assert_fails(qmd("study", *SMALL, "--superpose", "resid 300", "-o", copy), 1, "resid 300")
    assert {path.name for path in copy.iterdir()} == names
    (copy / "fold-1-quantized.qmd").write_bytes(b"left by a study on a GPU")
    succeed("study", *SMALL, *BRIEF, "--folds", 2, "-o", copy)
    assert {path.name for path in copy.iterdir()} == {name for name in names if not name.startswith("fold-3")}


def test_the_leaking_split_warns_once(tmp_path):
    result = qmd("study", *SMALL, *BRIEF, "--split", "icnnmd", "--folds", 2, "-o", tmp_path, "--json")
    assert result.returncode == 0
    assert len(result.stderr.splitlines()) == 1 and result.stderr.startswith("qmd: warning: ")
    assert len(json.loads(result.stdout)["folds"]) == 2
