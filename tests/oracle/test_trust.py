"""How far scores of residues can be trusted: the figures of a study, against NumPy and SciPy."""

import itertools
import re
import shutil

import numpy as np
import pytest
from scipy import stats

from program_support import BRIEF, SMALL, assert_fails, qmd, read_csv, succeed_json
from test_report import Page, plots

SEEDS = ["--explain-seeds", "3"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trust")
    return folder, succeed_json("study", *SMALL, *BRIEF, *SEEDS, "--folds", 2, "-o", folder)


def top(scores, n=20):
    return set(np.argsort(-np.asarray(scores), kind="stable")[:n])


def mean_overlap(rows):
    return np.mean([len(top(a) & top(b)) / 20 for a, b in itertools.combinations(rows, 2)])


def test_overlaps_and_rank_correlation(study):
    _, report = study
    trust, folds = report["trust"], report["folds"]
    assert (trust["n_top"], trust["n_seeds"]) == (20, 3)
    assert trust["overlap_by_chance"] == pytest.approx(20 / 214)
    of_folds = [[residue["score"] for residue in fold["residues"]] for fold in folds]
    assert trust["folds_overlap"] == pytest.approx(mean_overlap(of_folds))
    for fold in folds:
        own = fold["trust"]
        int8, fp32 = own["int8_scores"], own["fp32_scores"]
        assert own["spearman"] == pytest.approx(stats.spearmanr(int8, fp32).statistic, abs=1e-9)
        assert own["top_overlap"] == pytest.approx(mean_overlap([int8, fp32]))
        assert [seed["seed"] for seed in own["seeds"]] == [2, 3]
        assert own["seeds_overlap"] == pytest.approx(mean_overlap([int8] + [seed["scores"] for seed in own["seeds"]]))
    for key, name in (("int8_fp32_spearman", "spearman"), ("int8_fp32_overlap", "top_overlap"), ("seeds_overlap",) * 2):
        assert trust[key] == pytest.approx(np.mean([fold["trust"][name] for fold in folds]), abs=1e-9)


def test_scores_are_those_of_explain(study):
    """INT8, and the network of another seed, on the same four frames."""
    folder, report = study
    own = report["folds"][1]["trust"]
    assert own["n_frames"] == 4
    arguments = [*SMALL, "--folds", 2, "--fold", 2, "--explain-frames", 4]
    for engine, scores in (("fold-2.qme", own["int8_scores"]), ("fold-2.seed-3.qme", own["seeds"][1]["scores"])):
        residues = succeed_json("explain", folder / engine, *arguments)["residues"]
        assert [r["score"] for r in residues] == scores


def test_fp32_scores_are_near_those_of_int8(study):
    _, report = study
    for fold in report["folds"]:
        int8, fp32 = np.array(fold["trust"]["int8_scores"]), np.array(fold["trust"]["fp32_scores"])
        assert not np.array_equal(int8, fp32)
        assert np.abs(int8 - fp32).max() < 0.2 * np.abs(fp32).max()


def test_deletion_curves(study):
    _, report = study
    for fold in report["folds"]:
        deletion, n = fold["trust"]["deletion"], 214
        shares, margins = np.array(deletion["shares"]), np.array(deletion["margins"])
        random = np.array(deletion["random_margins"])
        np.testing.assert_allclose(shares, [i * n // 50 / n for i in range(51)], atol=1e-8)
        assert margins[0] == random[0] and margins[-1] == pytest.approx(random[-1])  # nothing and all left out
        for curve, area in ((margins, deletion["area"]), (random, deletion["random_area"])):
            assert area == pytest.approx(np.trapezoid(curve, shares) / curve[0], abs=1e-6)
        assert deletion["area"] < deletion["random_area"]  # ranks know something
    for key, name in (("deletion_area", "area"), ("random_deletion_area", "random_area")):
        mean = np.mean([fold["trust"]["deletion"][name] for fold in report["folds"]])
        assert report["trust"][key] == pytest.approx(mean, abs=1e-9)


def test_the_page_shows_what_the_report_says(study):
    folder, report = study
    text = (folder / "report.html").read_text()
    trust = report["trust"]
    (table,) = [t for t in Page(text).tables if t[0][1:] == ["found", "by chance"]]
    found = {row[0]: row[1:] for row in table[1:]}
    chance = f"{20 / 214:.2f}"
    assert found["of the 20 highest, what two folds share"] == [f"{trust['folds_overlap']:.2f}", chance]
    assert found["of the 20 highest, what networks of 3 seeds share"] == [f"{trust['seeds_overlap']:.2f}", chance]
    assert found["rank correlation of INT8 and FP32"] == [f"{trust['int8_fp32_spearman']:.4f}", "0"]
    rows = read_csv(folder / "residues.csv")
    n_beyond = sum(abs(float(row["score"])) > 3 * float(row["standard_error"]) for row in rows)
    assert found["residues beyond 3 standard errors"] == [str(n_beyond), "0.6"]
    curves = [lines for title, lines in plots(text) if re.match(r"Fold \d: area", title)]
    assert [[classes for classes, _ in lines] for lines in curves] == [["chance", "s0"]] * 2
    for lines, fold in zip(curves, report["folds"]):
        margins, points = np.array(fold["trust"]["deletion"]["margins"]), lines[1][1]
        scale = np.polyfit(margins, points[:, 1], 1)
        np.testing.assert_allclose(points[:, 1], np.polyval(scale, margins), atol=0.02)


def test_resume_keeps_the_networks_of_other_seeds(study, tmp_path):
    folder, report = study
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "fold-1.json").unlink()
    (copy / "fold-1.seed-3.qme").unlink()
    kept = (copy / "fold-1.seed-2.qme").stat().st_mtime_ns
    arguments = ["study", *SMALL, *BRIEF, "--folds", 2, "-o", copy, "--resume"]
    assert_fails(qmd(*arguments), 1, "explain-seeds was 3, now it is 1")
    assert succeed_json(*arguments, *SEEDS)["trust"] == pytest.approx(report["trust"], abs=1e-8)
    assert (copy / "fold-1.seed-2.qme").stat().st_mtime_ns == kept
    assert (copy / "fold-1.seed-3.qme").read_bytes() == (folder / "fold-1.seed-3.qme").read_bytes()
    succeed_json(*arguments[:-1])  # anew, with one seed
    assert not list(copy.glob("*.seed-*"))


def test_shuffled_labels_leave_nothing_to_learn(tmp_path):
    report = succeed_json("study", *SMALL, *BRIEF, "--control", "shuffled", "-o", tmp_path)
    assert report["arguments"]["control"] == "shuffled"
    assert "A control: frames were handed out" in (tmp_path / "report.html").read_text()
    # The states are as far apart as can be: unshuffled, the nearest mean is right on every frame.
    for classifier in ("nearest_mean", "ridge", "fp32", "int8"):
        assert 0.3 < report["mean"][classifier]["test_accuracy"] < 0.7, classifier
    assert report["trust"]["n_beyond_3_errors"] <= 6  # 0.6 by chance
    assert report["trust"]["seeds_overlap"] is None
    shuffled_otherwise = succeed_json("study", *SMALL, *BRIEF, "--control", "shuffled", "--seed", 2, "-o", tmp_path)
    assert shuffled_otherwise["mean"]["nearest_mean"] != report["mean"]["nearest_mean"]
    assert shuffled_otherwise["mean"]["nearest_mean"]["test_accuracy"] == pytest.approx(0.5, abs=0.2)


def test_explanations_from_other_seeds(study):
    folder, _ = study
    arguments = ["explain", folder / "fold-1.qme", *SMALL, "--folds", 2, "--fold", 1, "--explain-frames", 2]
    shap = [*arguments, "--method", "shap", "--samples", 1000]
    rows = [[r["score"] for r in succeed_json(*shap, "--seed", seed)["residues"]] for seed in (5, 6, 7)]
    together = succeed_json(*shap, "--seed", 5, *SEEDS)
    assert [r["score"] for r in together["residues"]] == rows[0]
    assert together["seeds_overlap"] == pytest.approx(mean_overlap(rows)) and together["seeds_overlap"] < 1
    assert_fails(qmd(*arguments, *SEEDS), 2, "the same for every seed")
