"""report.html of a study: one well-formed page that needs nothing else, with the numbers of report.json."""

import base64
import html.parser
import json
import re
import shutil
import xml.dom.minidom

import numpy as np
import pytest

from program_support import BRIEF, DATA, SMALL, STATES, qmd, succeed, succeed_json

VOID = {"meta", "img"}
HOSTILE = """<img onerror><b>&"'name"""


class Page(html.parser.HTMLParser):
    """Elements as they nest; fails where they do not."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.tables, self.text = [], [], [], ""
        self.graph_names = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes), (tag, attributes)
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "text" and dict(attributes).get("class") == "name":
            self.graph_names.append("")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data
        if self.open[-2:] == ["text", "tspan"]:
            self.graph_names[-1] += data
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data

    def table(self, first_heading):
        return [table for table in self.tables if table[0][0] == first_heading]

    def of(self, tag, **wanted):
        return [a for t, a in self.elements if t == tag and all(a.get(k) == v for k, v in wanted.items())]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    report = succeed_json("study", *SMALL, *BRIEF, "-o", folder)
    return folder, report, (folder / "report.html").read_text(encoding="utf-8")


def number(value, decimals=3):
    return "-" if value is None else f"{value:.{decimals}f}"


def check_it_loads_nothing(page, text):
    without_names = text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<link|<iframe|\son[a-z]+=", without_names)
    for tag, attributes in page.elements:
        assert "href" not in attributes and "srcset" not in attributes
        if "src" in attributes:
            assert tag == "img" and attributes["src"].startswith("data:image/png;base64,")
    assert "default-src 'none'" in page.of("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]


def test_the_page_needs_nothing_else(study):
    _, _, text = study
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    check_it_loads_nothing(page, text)
    assert "prefers-color-scheme:dark" in text and "@media print" in text
    assert page.of("meta", name="viewport")


def test_every_number_of_the_tables_is_there(study):
    _, report, text = study
    page = Page(text)
    (accuracy,) = [t for t in page.table("fold") if "agreement" in t[0]]
    rows = report["folds"] + [report["mean"]]
    assert len(accuracy) == 1 + len(rows)
    for cells, row in zip(accuracy[1:], rows):
        keys = ("train_accuracy", "test_accuracy", "test_auc")
        expected = [number(row[c][key]) for key in keys for c in ("fp32", "int8")]
        expected += [number(row["agreement"])] + [number(row[c]["test_accuracy"]) for c in ("nearest_mean", "ridge")]
        assert cells[2:] == expected
    (timing,) = [t for t in page.table("") if "network median" in t[0]]
    for cells, numbers in zip(timing[1:], ("fp32", "int8")):
        parts = report["timing_ms"][numbers]
        expected = [number(parts[p][s]) for p in ("pixels", "network") for s in ("median", "p99")]
        assert cells[1:5] == expected
    assert timing[3][3] == number(report["timing_ms"]["ratio"]["network"], 2)
    (options,) = page.table("option")
    options = dict(options[1:])
    for key in ("seed", "epochs", "version", "split", "learning-rate"):
        value = report["arguments"][key]
        assert options[key] == (f"{value:.9g}" if isinstance(value, float) else str(value))
    for state in page.table("state")[0][1:]:
        assert [state[1], state[2]] == ["30", "0"] and "adk-" in state[4]


def test_top_residues_and_their_ranks_by_fold(study):
    folder, report, text = study
    (top,) = Page(text).table("rank")
    rows = [line.split(",") for line in (folder / "residues.csv").read_text().splitlines()[1:]]
    order = sorted(range(len(rows)), key=lambda r: int(rows[r][6]))
    assert len(top) == 21
    for cells, r in zip(top[1:], order):
        assert cells[2] == f"{rows[r][3]} {rows[r][1]}"
        assert cells[3:5] == [f"{float(rows[r][4]):.4f}", f"{float(rows[r][5]):.4f}"]
        assert cells[5:] == [str(fold["residues"][r]["rank"]) for fold in report["folds"]]


def held_out(fold, key):
    scores = np.array([row for file in fold["held_out"] for row in file[key]])
    names = [file["state"] for file in fold["held_out"] for _ in file[key]]
    return scores, np.array([["open", "closed"].index(name) for name in names])


def test_logits_of_held_out_frames_give_the_accuracies(study):
    folder, report, text = study
    for k, fold in enumerate(report["folds"], 1):
        assert json.loads((folder / f"fold-{k}.json").read_text()) == fold
        for name in ("fp32", "int8"):
            scores, labels = held_out(fold, f"{name}_logits")
            assert len(scores) == fold["n_test"]
            assert (scores.argmax(1) == labels).mean() == pytest.approx(fold[name]["test_accuracy"], abs=1e-8)
        for file in fold["held_out"]:
            assert file["frames"] == list(range(0, 40, 4))
    matrices = Page(text).table("true state")
    assert len(matrices) == 5  # FP32 and INT8 of all folds, INT8 of each
    second = report["folds"][1:2]
    for matrix, folds, key in [(matrices[0], report["folds"], "fp32_logits"), (matrices[3], second, "int8_logits")]:
        counts = np.zeros((2, 2), int)
        for fold in folds:
            scores, labels = held_out(fold, key)
            np.add.at(counts, (labels, scores.argmax(1)), 1)
        assert [row[1:] for row in matrix[1:]] == [list(map(str, row)) for row in counts]


# A study that is not perfect: two replicas that are open in one fold and closed in the other.
@pytest.fixture(scope="module")
def hard_study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hard")
    arguments = ["--select", "name CA", "--stride", "2"]
    for replica in (1, 2):
        files = [DATA / "adk-open.pdb", DATA / f"adk-open-{replica}.nc", DATA / f"adk-closed-{replica}.nc"]
        arguments += ["--state", f"r{replica}=" + ",".join(map(str, files))]
    report = succeed_json("study", *arguments, "--epochs", 2, "--qat-epochs", 0, "--explain-frames", 1, "-o", folder)
    return report, (folder / "report.html").read_text(encoding="utf-8")


def plots(text):
    """Each plot with its title and the points of its lines, in its own units."""
    for svg in re.findall(r'<svg class="plot"[^>]*role="img">.*?</svg>', text, re.S):
        title = re.search(r'class="title"[^>]*>([^<]*)<', svg)[1]
        lines = [
            (line[0], np.array([point.split(",") for point in line[1].split()], float))
            for line in re.findall(r'<polyline class="([^"]*)" points="([^"]*)"', svg)
        ]
        yield title, lines


def test_the_area_under_the_drawn_roc_curve_is_the_auc(hard_study):
    report, text = hard_study
    drawn = [(title, lines) for title, lines in plots(text) if "AUC" in title]
    assert len(drawn) == len(report["folds"]) == 2
    for (title, lines), fold in zip(drawn, report["folds"]):
        (_, chance), *curves = lines
        (x0, y0), (x1, y1) = chance
        assert len(curves) == 2
        for classes, points in curves:
            x, y = (points[:, 0] - x0) / (x1 - x0), (points[:, 1] - y0) / (y1 - y0)
            area = ((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum()
            expected = fold["fp32" if "dash" in classes else "int8"]["test_auc"]
            assert area == pytest.approx(expected, abs=1e-3)
            assert number(expected) in title


def average_precision(scores, labels, positive):
    """Sum over the thresholds of the gain in recall times the precision there, from the definition."""
    odds = scores[:, positive] - scores[:, 1 - positive]
    is_positive, area, recall = labels == positive, 0, 0
    for threshold in sorted(set(odds), reverse=True):
        taken = odds >= threshold
        gained = (taken & is_positive).sum() / is_positive.sum()
        area += (gained - recall) * (taken & is_positive).sum() / taken.sum()
        recall = gained
    return area


def test_the_area_under_the_drawn_precision_is_the_average_precision(hard_study):
    report, text = hard_study
    drawn = [(title, lines) for title, lines in plots(text) if ": AP " in title]
    assert len(drawn) == len(report["folds"]) == 2
    frame = next(lines for title, lines in plots(text) if "AUC" in title)[0][1]  # from (0, 0) to (1, 1)
    (x0, y0), (x1, y1) = frame
    for (title, lines), fold in zip(drawn, report["folds"]):
        assert [classes for classes, _ in lines] == ["s0", "s1", "s0 dash", "s1 dash"]
        for name, curves in (("int8", lines[:2]), ("fp32", lines[2:])):
            scores = np.array([row for file in fold["held_out"] for row in file[f"{name}_logits"]])
            labels = np.array([["r1", "r2"].index(f["state"]) for f in fold["held_out"] for _ in f["frames"]])
            expected = [average_precision(scores, labels, positive) for positive in (0, 1)]
            assert f"{name.upper()} {np.mean(expected):.3f}" in title
            for (_, points), area in zip(curves, expected):
                x, y = (points[:, 0] - x0) / (x1 - x0), (points[:, 1] - y0) / (y1 - y0)
                assert ((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum() == pytest.approx(area, abs=2e-3)


def test_probabilities_along_a_file(hard_study):
    report, text = hard_study
    drawn = [lines for title, lines in plots(text) if title == "Fold 1: adk-open-1.nc"]
    file = report["folds"][0]["held_out"][0]
    logits = np.array(file["int8_logits"])
    expected = 1 / (1 + np.exp(logits[:, 1] - logits[:, 0]))
    (points,) = [points for classes, points in drawn[0] if classes == "s0"]
    assert len(points) == file["n_frames"]
    # Linear, upwards: the height of 1 is known from p and 1 - p of the two states.
    (others,) = [points for classes, points in drawn[0] if classes == "s1"]
    span = np.polyfit(expected - 0.5, (others[:, 1] - points[:, 1]) / 2, 1)
    np.testing.assert_allclose((others[:, 1] - points[:, 1]) / 2, span[0] * (expected - 0.5), atol=0.02)
    assert span[0] > 50


def test_pictures_are_the_images_that_the_network_sees(study):
    _, _, text = study
    images = Page(text).of("img")
    assert [image["alt"] for image in images] == ["open", "closed", "open, explained", "closed, explained"]
    assert [image["src"] for image in images[2:]] == [image["src"] for image in images[:2]]
    for image in images:
        png = base64.b64decode(image["src"].split(",", 1)[1], validate=True)
        assert png.startswith(b"\x89PNG") and png[16:24] == bytes([0, 0, 0, 15, 0, 0, 0, 15])


def test_outlined_are_the_ten_highest_of_the_frame(study):
    """An atom is a residue here, and a pixel: an outline has four edges."""
    folder, _, text = study
    overlays = re.findall(r'<svg class="overlay".*?</svg>', text, re.S)
    assert len(overlays) == 2
    for state_name, overlay in zip(("open", "closed"), overlays):
        nc = DATA / f"adk-{state_name}-1.nc"
        one = ["--state", f"{state_name}={DATA / f'adk-{state_name}.pdb'},{nc}", "--select", "name CA", "--stride", 1000]
        residues = succeed_json("explain", folder / "fold-1.qme", *one, "--split", "block")["residues"]
        scores = np.array([r["score"] for r in residues])
        outlined = re.findall(r'class="top" d="([^"]*)"><title>(\w+): ([^<]*)</title>', overlay)
        order = [r for r in np.argsort(-scores, kind="stable")[:10] if scores[r] > 0]
        assert [title for _, title, _ in outlined] == [f"{residues[r]['name']}{residues[r]['number']}" for r in sorted(order)]
        for (path, _, score), r in zip(outlined, sorted(order)):
            assert float(score) == pytest.approx(scores[r], rel=1e-3)
            x, y = r % 15, r // 15
            assert path == f"M{x} {y}h1M{x} {y + 1}h1M{x} {y}v1M{x + 1} {y}v1"
        faded = re.findall(r'class="fade" fill-opacity="([^"]*)" d="([^"]*)"', overlay)
        rest = "".join(f"M{i % 15} {i // 15}h1v1h-1z" for i in range(214, 225))  # beyond the atoms
        assert [d for _, d in faded] == [f"M{r % 15} {r // 15}h1v1h-1z" for r in range(214)] + [rest]
        expected = 0.85 * (1 - np.abs(scores) / np.abs(scores).max())
        np.testing.assert_allclose([float(opacity) for opacity, _ in faded], [*expected, 0.85], atol=1e-3)


def test_losses_by_epoch(study):
    folder, report, text = study
    for k, fold in enumerate(report["folds"], 1):
        training = fold["training"]
        assert json.loads((folder / f"fold-{k}.training.json").read_text()) == training
        assert 1 <= len(training["train"]["loss"]) <= 4 and len(training["fine_tune"]["loss"]) == 1
        assert all(loss > 0 for loss in training["train"]["loss"])
        assert all(0 <= share <= 1 for share in training["train"]["accuracy"])
    (lines,) = [lines for title, lines in plots(text) if title == "FP32 training"]
    assert [len(points) for _, points in lines] == [len(fold["training"]["train"]["loss"]) for fold in report["folds"]]


def test_hostile_names_are_escaped(tmp_path):
    topology = tmp_path / f"{HOSTILE.replace('/', '')}.pdb"
    shutil.copy(DATA / "adk-open.pdb", topology)
    states = ["--state", f"{HOSTILE}={topology},{DATA / 'adk-open-1.nc'}"]
    states += ["--state", f"closed={DATA / 'adk-closed.pdb'},{DATA / 'adk-closed-1.nc'}"]
    brief = ["--select", "name CA", "--stride", 4, "--folds", 2, "--epochs", 1, "--qat-epochs", 0]
    succeed("study", *states, *brief, "--explain-frames", 1, "-o", tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "<img onerror" not in text and "<b>" not in text
    assert all(set(attributes) == {"alt", "src"} for attributes in page.of("img"))
    assert page.of("img")[0]["alt"] == HOSTILE
    assert [row[0] for row in page.table("state")[0][1:]] == [HOSTILE, "closed"]
    assert page.table("state")[0][1][3] == str(topology)
    for svg in re.findall(r"<svg.*?</svg>", text, re.S):
        xml.dom.minidom.parseString(svg)


def test_three_states(tmp_path):
    third = ["--state", f"middle={DATA / 'adk-open.pdb'},{DATA / 'adk-closed-3.nc'}"]
    brief = ["--select", "name CA", "--stride", 4, "--folds", 2, "--split", "block", "--epochs", 1, "--qat-epochs", 0]
    succeed("study", *STATES, *third, *brief, "--explain-frames", 1, "-o", tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "open, closed or middle?" in page.text
    assert all(len(matrix) == 4 and len(matrix[1]) == 4 for matrix in page.table("true state"))
    rocs = [lines for title, lines in plots(text) if "AUC" in title]
    assert all(len(lines) == 1 + 2 * 3 for lines in rocs)


def test_a_fold_that_kept_no_logits_is_left_out(study, tmp_path):
    folder, _, _ = study
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    fold = json.loads((copy / "fold-2.json").read_text())
    del fold["training"]
    for file in fold["held_out"]:
        file["int8_logits"] = [["x"]]
        del file["fp32_logits"]
    (copy / "fold-2.json").write_text(json.dumps(fold))
    result = qmd("study", *SMALL, *BRIEF, "--resume", "-o", copy)
    assert result.returncode == 0, result.stderr
    text = (copy / "report.html").read_text(encoding="utf-8")
    Page(text)
    assert sum("adk-" in title for title, _ in plots(text)) == 4


def check_graph(page, profiles):
    """A box for each step and image, an arrow for each input; every name once for each engine, in order."""
    steps = [step for profile in profiles for step in profile["steps"]]
    assert page.graph_names == [step["layers"] for step in steps]
    assert len(page.of("rect", **{"class": "f0 box"})) == len(steps) + len(profiles)
    n_inputs = sum(len(step["inputs"]) for step in steps)
    assert len(page.of("path", **{"class": "edge"})) == len(page.of("path", **{"class": "head"})) == n_inputs


def test_pages_of_engines(study, tmp_path):
    folder, _, _ = study
    a, b = folder / "fold-1.qme", tmp_path / f"{HOSTILE}.qme"
    shutil.copy(folder / "fold-2.qme", b)
    profile = succeed_json("profile", a, "--repeats", 3, "--html", tmp_path / "profile.html")
    text = (tmp_path / "profile.html").read_text(encoding="utf-8")
    page = Page(text)
    check_it_loads_nothing(page, text)
    (steps,) = page.table("step")
    rows = [row for row in steps[1:] if row[0]]
    assert [row[3] for row in rows] == [f"{step['ms']:.4f}" for step in profile["steps"]]
    assert len(page.of("rect", **{"class": "f0"})) == len(rows) + 1  # bars, and the legend's
    check_graph(page, [profile])
    comparison = succeed_json("compare", a, b, "--repeats", 3, "--html", tmp_path / "compare.html")
    text = (tmp_path / "compare.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "<img" not in text and HOSTILE in page.text
    bars = page.of("rect", **{"class": "f0"}) + page.of("rect", **{"class": "f1"})
    assert len(bars) == 2 * len(rows) + 2
    check_graph(page, [comparison["a"], comparison["b"]])
    assert [row[0] for row in page.table("layers")[0][2:-1]] == [row[1] for row in rows]
