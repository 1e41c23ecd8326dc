"""How far scores of residues can be trusted: the figures of a study, against NumPy and SciPy."""

import pytest

from test_program import BRIEF, SMALL, succeed_json


def test_shuffled_labels_leave_nothing_to_learn(tmp_path):
    report = succeed_json("study", *SMALL, *BRIEF, "--control", "shuffled", "-o", tmp_path)
    assert report["arguments"]["control"] == "shuffled"
    assert "A control: frames were handed out" in (tmp_path / "report.html").read_text()
    # The states are as far apart as can be: unshuffled, the nearest mean is right on every frame.
    for classifier in ("nearest_mean", "ridge", "fp32", "int8"):
        assert 0.3 < report["mean"][classifier]["test_accuracy"] < 0.7, classifier
    shuffled_otherwise = succeed_json("study", *SMALL, *BRIEF, "--control", "shuffled", "--seed", 2, "-o", tmp_path)
    assert shuffled_otherwise["mean"]["nearest_mean"] != report["mean"]["nearest_mean"]
    assert shuffled_otherwise["mean"]["nearest_mean"]["test_accuracy"] == pytest.approx(0.5, abs=0.2)
