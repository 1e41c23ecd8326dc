"""`qmd explain` (QMD_PROGRAM) on the bundled data: segments, backgrounds, samples, superpixels, and how it fails."""

import pytest

from program_support import assert_fails, qmd, read_csv, state, succeed, succeed_json

# Alpha carbons of every fourth frame: an image of 15 x 15, trained in a moment.
SMALL = [*state("open", [1, 2]), *state("closed", [1, 2]), "--select", "name CA", "--stride", "4"]
SEGMENTS = "# domains of adenylate kinase\n\nNMP :30-67\nLID\t:118-160\nends :1-5,9 :214\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With a model and an engine of displacement pixels and of icnnmd's, and a file of segments."""
    folder = tmp_path_factory.mktemp("explain")
    for kind in ("displacement", "icnnmd"):
        succeed("train", *SMALL, "--pixels", kind, "--epochs", 4, "--learning-rate", 0.001, "-o", folder / f"{kind}.qmd")
        succeed("quantize", folder / f"{kind}.qmd", *SMALL, "--qat-epochs", 0, "-o", folder / f"{kind}.qme")
    (folder / "segments.txt").write_text(SEGMENTS)
    return folder


@pytest.fixture(scope="module")
def explain(folder):
    def run(file, *arguments):
        return succeed_json("explain", folder / file, *SMALL, "--explain-frames", 6, *arguments)
    return run


def test_segments_stand_in_the_place_of_residues(folder, explain, tmp_path):
    result = explain("displacement.qme", "--segments", folder / "segments.txt", "-o", f"{tmp_path}/")
    segments = {row["segment"]: row for row in result["segments"]}
    assert {name: row["residues"] for name, row in segments.items()} == {"NMP": 38, "LID": 43, "ends": 7, "(rest)": 126}
    assert all(row["atoms"] == row["residues"] for row in segments.values())  # alpha carbons
    assert sorted(row["rank"] for row in segments.values()) == [1, 2, 3, 4]
    rows = read_csv(tmp_path / "segments.csv")
    assert [row["segment"] for row in rows] == list(segments)
    residues = read_csv(tmp_path / "residues.csv")
    by_number = {int(row["number"]): float(row["score"]) for row in residues}
    for number, name in ((30, "NMP"), (67, "NMP"), (118, "LID"), (6, "(rest)"), (9, "ends"), (214, "ends")):
        assert by_number[number] == pytest.approx(segments[name]["score"], rel=1e-8)
    shares = explain("displacement.qme", "--segments", folder / "segments.txt", "--method", "shap")
    alone = explain("displacement.qme", "--method", "shap", "--samples", 2000)
    assert sum(row["score"] for row in shares["segments"]) == pytest.approx(sum(row["score"] for row in alone["residues"]))
    assert (shares["r2"] > 0.9, alone["fewest_samples"], alone["most_samples"], alone["n_settled"]) == (True, 2000, 2000, 0)


def test_samples_are_taken_until_the_top_settles(folder, explain):
    result = explain("displacement.qme", "--method", "shap")
    first = 2048 + 2 * 214  # and what it is doubled to, five times at most
    assert result["fewest_samples"] in [first * 2**k for k in range(1, 6)]
    assert result["most_samples"] in [first * 2**k for k in range(1, 6)]
    assert result["n_settled"] == 6 or result["most_samples"] == 32 * first
    text = succeed("explain", folder / "displacement.qme", *SMALL, "--explain-frames", 6, "--method", "shap", "-o",
                   folder / "shap.csv")
    assert "images a frame, R2 " in text and "the top 20 settled in" in text


def test_backgrounds(folder, explain):
    none = explain("displacement.qme", "--background", "none")
    assert none["background"] == "none"
    assert none["residues"] == explain("displacement.qme")["residues"]
    assert none["residues"] == explain("displacement.qme", "--background", "mean")["residues"]
    other = explain("displacement.qme", "--background", "other")
    assert other["residues"] != none["residues"]
    # The other state says the opposite of this one, and no displacement says neither.
    assert sum(r["score"] for r in other["residues"]) > sum(r["score"] for r in none["residues"])
    assert explain("icnnmd.qme")["background"] == "mean"
    assert_fails(qmd("explain", folder / "icnnmd.qme", *SMALL, "--background", "none"), 2, "these are icnnmd")
    assert_fails(qmd("explain", folder / "icnnmd.qme", *SMALL, "--method", "slic-lime", "--background", "other"), 2,
                 "hides by zeros")


def test_superpixels_as_published(folder):
    arguments = [*SMALL, "--method", "slic-lime", "--samples", 200]
    result = succeed_json("explain", folder / "icnnmd.qme", *arguments)
    assert (result["n_frames"], result["most_samples"]) == (4, 200)  # every tenth of 40
    assert len(result["residues"]) == 214
    assert all(0 <= row["score"] <= 1 for row in result["residues"])
    model = succeed_json("explain", folder / "icnnmd.qmd", *arguments, "--as-published")
    assert [row["number"] for row in model["residues"]] == list(range(1, 214))
    text = succeed("explain", folder / "icnnmd.qmd", *arguments, "--as-published", "-o", folder / "published.csv")
    assert "positive weight" in text
    assert_fails(qmd("explain", folder / "icnnmd.qme", *arguments, "--as-published"), 1, "give a model in FP32")
    assert_fails(qmd("explain", folder / "icnnmd.qmd", *arguments, "--as-published", "-o", f"{folder}/"), 2, "last residue")
    assert_fails(qmd("explain", folder / "icnnmd.qmd", *SMALL, "--as-published"), 1, "of SLIC-LIME alone")


@pytest.mark.parametrize("text, part", [
    ("", "names no segment"),
    ("# nothing\n\n", "names no segment"),
    ("NMP\n", "line 1: segment 'NMP' has no residues"),
    ("NMP 30-67\n", "line 1: '30-67' is not CHAIN:FIRST-LAST"),
    ("NMP B:30-67\n", "line 1: there is no chain 'B'"),
    ("a :1-2\nNMP :30-400\n", "line 2: chain '' has no residue 400: its residues are 1 to 214"),
    ("NMP :0-4\n", "line 1: chain '' has no residue 0"),
    ("NMP :67-30\n", "line 1: '67-30' is no range"),
    ("NMP :30-\n", "line 1: '30-' is no range"),
    ("NMP :30-67,\n", "line 1: '' is no range"),
    ("NMP :3x\n", "line 1: '3x' is no range"),
    ("NMP :99999999999\n", "line 1: '99999999999' is no range"),
    ("a :1-9\n\nb :20,9-11\n", "line 3: residue 9 of chain '' is in segment 'a' of line 1 already"),
    ("a :1\na :2\n", "line 2: segment 'a' stands in line 1 already"),
    ("a\x1b :1\n", "line 1: the name is no UTF-8 text"),
    ("a :1\0\n", "line 1: holds a zero byte"),
])
def test_segments_that_are_wrong_are_named(folder, tmp_path, text, part):
    path = tmp_path / "segments"
    path.write_text(text)
    result = qmd("explain", folder / "displacement.qme", *SMALL, "--segments", path)
    assert_fails(result, 1, part)
    assert str(path) in result.stderr
    assert result.stdout == ""


def test_segments_that_are_not_there(folder, tmp_path):
    assert_fails(qmd("explain", folder / "displacement.qme", *SMALL, "--segments", tmp_path / "none"), 1, "cannot be read")


# ---- Shards ----


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("options", [[], ["--method", "shap", "--samples", "1000", "--seed", "7"], ["--segments", "segments.txt"]],
                         ids=["leave-one-out", "shap", "segments"])
def test_merged_shards_are_one_run_byte_for_byte(folder, tmp_path, options, monkeypatch):
    monkeypatch.chdir(folder)
    common = ["explain", "displacement.qme", *SMALL, "--explain-frames", 11, *options]
    whole = succeed_json(*common, "-o", f"{tmp_path}/whole/")
    for n in (1, 3, 7):
        shards, merged = tmp_path / f"shards-{n}", tmp_path / f"merged-{n}"
        for i in range(n, 0, -1):
            succeed(*common, "--shard", f"{i}/{n}", "--threads", 1 + i % 2, "-o", f"{shards}/")
        assert succeed_json("merge", f"{shards}/", "-o", f"{merged}/") == whole
        assert files_of(merged) == files_of(tmp_path / "whole")
        assert succeed("merge", *sorted(shards.iterdir())) == succeed(*common)


def test_gradients_of_a_model_in_shards(folder, tmp_path):
    common = ["explain", folder / "displacement.qmd", *SMALL, "--explain-frames", 4, "--method", "integrated-gradients"]
    for i in (1, 2):
        succeed(*common, "--shard", f"{i}/2", "-o", tmp_path / f"{i}.qmx")
    assert succeed("merge", tmp_path / "1.qmx", tmp_path / "2.qmx") == succeed(*common)
    assert_fails(qmd("explain", folder / "displacement.qme", *common[2:]), 1, "an engine has no gradients")


def test_shards_that_do_not_make_a_run(folder, tmp_path):
    common = ["explain", folder / "displacement.qme", *SMALL, "--explain-frames", 6]
    for i in (1, 2, 3):
        succeed(*common, "--shard", f"{i}/3", "-o", f"{tmp_path}/")
    first, second, third = (tmp_path / f"shard-{i}-of-3.qmx" for i in (1, 2, 3))
    assert_fails(qmd("merge", first, third), 1, "number 1 (from 0) is missing")
    assert_fails(qmd("merge", first, second, third, second), 1, "shard-2-of-3.qmx: it is shard 1 of 3 (from 0), as is ")
    succeed("explain", folder / "icnnmd.qme", *SMALL, "--explain-frames", 6, "--shard", "3/3", "-o", tmp_path / "other.qmx")
    assert_fails(qmd("merge", first, second, tmp_path / "other.qmx"), 1, "other.qmx: its engine or model is not that of ")
    succeed(*common, "--method", "shap", "--samples", 900, "--shard", "3/3", "-o", tmp_path / "other.qmx")
    assert_fails(qmd("merge", first, second, tmp_path / "other.qmx"), 1, "other.qmx: its method is not that of ")
    third.write_bytes(third.read_bytes()[:-1])
    assert_fails(qmd("merge", f"{tmp_path}/"), 1, "shard-3-of-3.qmx")
    assert_fails(qmd("merge", f"{folder}/"), 1, "holds no files of shards")
    assert_fails(qmd("merge", folder / "displacement.qme"), 1, "displacement.qme")
    assert_fails(qmd("inspect", first), 1, "is a part of an explanation")


def test_shards_that_cannot_be(folder, tmp_path):
    common = ["explain", folder / "displacement.qme", *SMALL, "--explain-frames", 2]
    assert_fails(qmd(*common, "--shard", "1/3", "-o", f"{tmp_path}/"), 1, "n_shards is 3, but there are 2 frames")
    for text in ("0/3", "4/3", "1", "1/3x", "-1/3"):
        assert_fails(qmd(*common, f"--shard={text}", "-o", f"{tmp_path}/"), 2, "--shard is I/N")
    assert_fails(qmd(*common, "--shard", "1/2"), 2, "-o FILE.qmx or -o DIR/")
    assert_fails(qmd(*common, "-o", tmp_path / "x.qmx"), 2, "give --shard I/N")
    seeds = ["--method", "shap", "--samples", 900, "--explain-seeds", 2, "--shard", "1/2", "-o", f"{tmp_path}/"]
    assert_fails(qmd(*common, *seeds), 2, "--shard makes one of a part")


def test_leaving_one_out_says_what_it_saved(explain):
    work = explain("displacement.qme")["work"]
    assert work["share_saved"] == pytest.approx(1 - work["multiplications"] / work["of_whole_images"], abs=1e-8)
    assert 0.1 < work["share_saved"] < 1
    assert explain("displacement.qme", "--method", "shap", "--samples", 900)["work"]["share_saved"] == 0
