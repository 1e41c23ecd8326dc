"""What the README claims where generalization is hard: the mu-opioid receptor, held out replica by replica, five seeds."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

SOURCE = Path(os.environ["QMD_SOURCE"])
sys.path.insert(0, str(SOURCE / "bench"))

import accuracy  # noqa: E402

FOLDER = Path(os.environ.get("QMD_TEST_DATA") or SOURCE.parent / "shared" / "data") / "mor"
WIDTHS = {name: accuracy.WIDTHS[name] for name in ("2 bits, calibration alone", "2 bits, QAT")}


@pytest.fixture(scope="module")
def means():
    """Mean over folds and seeds of each method's accuracy, and of its agreement with FP32."""
    if not FOLDER.is_dir():
        pytest.skip(f"SKIPPED for lack of data: {FOLDER}")
    data = accuracy.dataset(FOLDER)
    right, agrees = {}, {}
    for seed in range(1, 6):
        for fold in range(3):
            classes, labels = accuracy.run_fold(data, fold, seed, WIDTHS)
            for name, predicted in classes.items():
                right.setdefault(name, []).append(np.mean(predicted == labels))
                agrees.setdefault(name, []).append(np.mean(predicted == classes["FP32"]))
    return {name: np.mean(v) for name, v in right.items()}, {name: np.mean(v) for name, v in agrees.items()}


def test_fp32_generalizes(means):
    assert means[0]["FP32"] >= 0.92


def test_int8_is_as_good_as_fp32(means):
    assert abs(means[0]["INT8 engine, QAT"] - means[0]["FP32"]) <= 0.02
    assert means[1]["INT8 engine, QAT"] >= 0.97


def test_both_are_above_the_baselines(means):
    for baseline in accuracy.BASELINES:
        assert means[0][baseline] < min(means[0]["FP32"], means[0]["INT8 engine, QAT"]) - 0.05


def test_training_at_2_bits_wins_back_what_calibration_loses(means):
    lost = means[0]["FP32"] - means[0]["2 bits, calibration alone"]
    won = means[0]["2 bits, QAT"] - means[0]["2 bits, calibration alone"]
    assert lost >= 0.05
    assert won >= lost / 2
