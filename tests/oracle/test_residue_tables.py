"""Tables of residues that `qmd explain` and `qmd study` write: the user's own numbering, and workbooks."""

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess

import onnx
import openpyxl
import pytest

from program_support import BRIEF, PROGRAM, SMALL, STATES, assert_fails, qmd, read_csv, succeed, succeed_json

EXPLAIN = [*SMALL, "--fold", 1, "--explain-frames", 4]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    succeed("train", *SMALL, "--fold", 1, "--epochs", 2, "--learning-rate", "0.001", "-o", folder / "a.qmd")
    succeed("quantize", folder / "a.qmd", *SMALL, "--fold", 1, "--qat-epochs", 0, "-o", folder / "a.qme")
    return folder / "a.qme"


def table(tmp_path, text, name="numbers.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def explain(engine, path, *more):
    return qmd("explain", engine, *EXPLAIN, "--numbering", path, *more)


# ---- Numbering ----


def test_labels_stand_beside_the_residues(engine, tmp_path):
    labels = {number: f"{1 + number // 30}.{50 + number % 30}" for number in range(1, 215)}
    path = table(tmp_path, "".join(f",{number},{label}\n" for number, label in labels.items()))
    rows = list(csv.DictReader(io.StringIO(succeed("explain", engine, *EXPLAIN, "--numbering", path))))
    assert [row["label"] for row in rows] == list(labels.values())
    plain = list(csv.DictReader(io.StringIO(succeed("explain", engine, *EXPLAIN))))
    assert [{**row, "label": ""} for row in rows] == plain
    residues = succeed_json("explain", engine, *EXPLAIN, "--numbering", path)["residues"]
    assert [residue["label"] for residue in residues] == list(labels.values())
    top = next(row for row in rows if row["rank"] == "1")
    svg = tmp_path / "profile.svg"
    text = succeed("explain", engine, *EXPLAIN, "--numbering", path, "-o", svg)
    assert f"{top['name']} {top['number']} ({top['label']})" in text
    assert f">{top['name']}{top['number']} ({top['label']})</text>" in svg.read_text()


def test_forms_of_a_table(engine, tmp_path):
    expected = {"10": "1.50", "11": "one, with a comma", "12": ""}
    text = "\ufeffchain\tresidue\tlabel\r\n# Ballesteros and Weinstein 1995\r\n\r\n"
    text += '\t10\t1.50\r\n""\t11\t"one, with a comma"\r\n  \t 12 \t\r\n'
    result = explain(engine, table(tmp_path, text, "numbers.tsv"))
    assert result.returncode == 0
    assert result.stderr.splitlines() == [
        f"qmd: warning: {tmp_path / 'numbers.tsv'}: no label for 212 of 214 residues"
    ]
    rows = {row["number"]: row["label"] for row in csv.DictReader(io.StringIO(result.stdout))}
    assert {number: rows[number] for number in expected} == expected
    assert sum(label != "" for label in rows.values()) == 2


def test_residues_that_are_not_scored_may_be_labelled(engine, tmp_path):
    # Residue 3 is in the topology; the engine of alpha carbons up to 110 would not see 200.
    path = table(tmp_path, ",200,a label\n")
    short = STATES + ["--select", "name CA and resid 1 to 110", "--stride", 4]
    succeed("study", *short, "--folds", 2, "--epochs", 1, "--qat-epochs", 0, "--explain-frames", 1, "-o", tmp_path / "o")
    result = qmd("explain", tmp_path / "o" / "fold-1.qme", *short, "--explain-frames", 1, "--numbering", path)
    assert result.returncode == 0
    assert "no label for 110 of 110 residues" in result.stderr
    # Nothing is said of residues of which no atom is looked at: no line with a score of 0.
    assert len(list(csv.DictReader(io.StringIO(result.stdout)))) == 110


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (",10,1.50\n,500,9.99\n", "line 2: there is no residue 500 in chain ''"),
        ("B,10,1.50\n", "line 1: there is no residue 10 in chain 'B': the first state begins with residue 1 of chain ''"),
        (",10A,1.50\n", "line 1: there is no residue 10A"),
        (",10,1.50\n\n,11,1.51\n,10,1.52\n", "line 4: residue 10 of chain '' stands in line 1 already"),
        ("chain,number,label\n,ten,1.50\n", "line 2: 'ten' is no residue number"),
        (",x12,1.50\n", "line 1: 'x12' is no residue number"),
        (",12AB,1.50\n", "line 1: '12AB' is no residue number"),
        (",99999999999,1.50\n", "line 1: '99999999999' is no residue number"),
        (",10\n", "line 1: 2 fields, expected 3"),
        (",10,1.50,more\n", "line 1: 4 fields, expected 3"),
        (",10," + 32 * "x" + "\n", "longer than 31 bytes"),
        (b",10,\xff\n", "line 1: the label is no UTF-8 text"),
        (b",10,a\x07\n", "line 1: the label is no UTF-8 text"),
        (b",10,\0\n", "line 1: holds a zero byte"),
    ],
)
def test_bad_tables(engine, tmp_path, text, part):
    path = table(tmp_path, text)
    assert_fails(explain(engine, path), 1, part)
    assert_fails(explain(engine, path), 1, str(path))


def test_a_bad_table_is_found_before_a_study_begins(tmp_path):
    out = tmp_path / "out"
    result = qmd("study", *SMALL, *BRIEF, "--numbering", table(tmp_path, "A,500,1\n"), "-o", out)
    assert_fails(result, 1, "residue 500")
    assert not out.exists()
    assert_fails(qmd("study", *SMALL, *BRIEF, "--numbering", tmp_path / "none.csv", "-o", out), 1, "none.csv")
    assert_fails(qmd("study", *SMALL, *BRIEF, "--numbering", tmp_path, "-o", out), 1, str(tmp_path))


def test_labels_in_a_study(tmp_path):
    out = tmp_path / "out"
    path = table(tmp_path, "".join(f",{number},n{number}\n" for number in range(1, 215)))
    brief = ["--folds", 1, "--epochs", 1, "--qat-epochs", 0, "--explain-frames", 1]
    succeed("study", *SMALL, *brief, "--numbering", path, "-o", out)
    rows = read_csv(out / "residues.csv")
    assert [row["label"] for row in rows] == [f"n{row['number']}" for row in rows]
    top = next(row for row in rows if row["rank"] == "1")
    assert f"{top['name']} {top['number']} ({top['label']})" in (out / "report.html").read_text()
    assert json.loads((out / "report.json").read_text())["numbering"] == str(path)


def test_segments_below_the_profile(tmp_path):
    """Each run of residues of a segment spans their bars."""
    out, path = tmp_path / "out", table(tmp_path, "NMP :30-67\nLID&lid :118-160\nends :1-3,210-214\n", "segments.txt")
    brief = ["--folds", 1, "--epochs", 1, "--qat-epochs", 0, "--explain-frames", 1, "--trust-frames", 1]
    succeed("study", *SMALL, *brief, "--segments", path, "-o", out)
    for name in ("residues.svg", "report.html"):
        text = (out / name).read_text()
        bars = re.findall(r'<rect class="(?:bar|named)" x="([\d.]+)" y="[^"]*" width="([\d.]+)"', text)
        segments = re.findall(r'<rect class="segment (f\d)" x="([\d.]+)"[^>]*width="([\d.]+)"[^>]*><title>([^<]*)<', text)
        assert [(color, title) for color, _, _, title in segments] == [
            ("f0", "ends"), ("f1", "NMP"), ("f2", "LID&amp;lid"), ("f0", "ends")]
        for (_, x, width, _), (first, last) in zip(segments, [(1, 3), (30, 67), (118, 160), (210, 214)]):
            left, right = float(x), float(x) + float(width)
            middles = [float(bar[0]) + float(bar[1]) / 2 for bar in bars]
            assert [n for n, middle in enumerate(middles, 1) if left < middle < right] == list(range(first, last + 1))
        assert re.findall(r'class="in-segment"[^>]*>([^<]*)<', text)[:2] == ["NMP", "LID&amp;lid"]
    result = qmd("study", *SMALL, *brief, "--segments", table(tmp_path, "NMP :30-670\n"), "-o", tmp_path / "no")
    assert_fails(result, 1, "670")
    assert not (tmp_path / "no").exists()


# ---- Workbooks, read by openpyxl ----


def sheet(path, name):
    rows = list(openpyxl.load_workbook(path)[name].iter_rows(values_only=True))
    return [dict(zip(rows[0], row)) for row in rows[1:]]


def assert_same(rows, expected):
    """A sheet holds what a CSV file does, numbers as numbers and nothing where a field is empty."""
    assert len(rows) == len(expected)
    for row, line in zip(rows, expected):
        assert list(row) == list(line)
        for key, text in line.items():
            if isinstance(row[key], (int, float)):
                assert row[key] == pytest.approx(float(text), rel=1e-8, abs=1e-300)
            else:
                assert key in ("chain", "insertion_code", "name", "atom", "label") and (row[key] or "") == text


def test_a_workbook_holds_what_the_tables_do(engine, tmp_path):
    labels = table(tmp_path, ",10,'=1+1\n,11,<&>\n")
    output = tmp_path / "out"
    assert explain(engine, labels, "-o", f"{output}/").returncode == 0
    residues = read_csv(output / "residues.csv")
    assert_same(sheet(output / "residues.xlsx", "residues"), residues)
    assert_same(sheet(output / "residues.xlsx", "atoms"), read_csv(output / "atoms.csv"))
    assert [row["label"] for row in residues[9:11]] == ["'=1+1", "<&>"]


def test_the_same_scores_give_the_same_workbook(engine, tmp_path):
    for name in ("a.xlsx", "b.xlsx"):
        assert f"Written to {tmp_path / name}" in succeed("explain", engine, *EXPLAIN, "-o", tmp_path / name)
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.xlsx", "b.xlsx"}


def test_a_workbook_that_cannot_be_written(engine, tmp_path):
    result = qmd("explain", engine, *EXPLAIN, "-o", tmp_path / "nowhere" / "a.xlsx")
    assert_fails(result, 1, "a.xlsx: cannot be written")
    (tmp_path / "b.xlsx").mkdir()
    assert_fails(qmd("explain", engine, *EXPLAIN, "-o", tmp_path / "b.xlsx"), 1, "b.xlsx: cannot be written")
    assert {path.name for path in tmp_path.iterdir()} == {"b.xlsx"}


# ---- Interrupted, and nothing to say ----


@pytest.fixture(scope="module")
def slow():
    """Arguments of an explanation that takes seconds: Shapley values of all atoms' residues."""
    return [*STATES, "--select", "name CA", "--method", "shap", "--samples", 8000, "--threads", 1]


def interrupt(engine, arguments):
    """Send SIGINT once frames were scored."""
    command = [PROGRAM, "explain", engine, *arguments]
    # Bars are drawn where stderr is a terminal: from it one sees how far it has come.
    terminal, other = pty.openpty()
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=other, text=True) as process:
        os.close(other)
        seen = b""
        while not re.search(rb"\] [1-9]\d*/", seen):
            seen += os.read(terminal, 4096)
        process.send_signal(signal.SIGINT)
        out = process.stdout.read()
        try:
            while chunk := os.read(terminal, 4096):
                seen += chunk
        except OSError:  # the program's end of it is closed
            pass
    os.close(terminal)
    return process.wait(), out, seen.decode().split("\r")[-2].replace("\x1b[K", "")


def test_what_an_interrupted_explanation_has_is_marked_as_partial(engine, slow, tmp_path):
    code, out, error = interrupt(engine, [*slow, "--json", "-o", tmp_path / "scores.v1.csv"])
    partial = tmp_path / "scores.v1.partial.csv"
    assert code == 130
    found = re.fullmatch(rf"qmd explain: interrupted after (\d+) of 200 frames: their scores are in {partial}", error)
    assert found, error
    assert [path.name for path in tmp_path.iterdir()] == [partial.name]
    result = json.loads(out)
    assert result["is_partial"] is True and result["n_frames"] == int(found[1]) < 200
    assert [row["score"] for row in read_csv(partial)] == [f"{r['score']:.9g}" for r in result["residues"]]


def test_a_partial_folder_and_a_partial_table(engine, slow, tmp_path):
    code, _, error = interrupt(engine, [*slow, "-o", f"{tmp_path}/out/"])
    assert code == 130 and f"{tmp_path}/out/partial/" in error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["partial"]
    assert "residues.xlsx" in {path.name for path in (tmp_path / "out" / "partial").iterdir()}
    code, out, error = interrupt(engine, slow)
    assert (code, out) == (130, "") and "interrupted after" in error


def test_a_constant_network_is_an_error(tmp_path):
    """A last layer of zeros, made of an ONNX file: every logit is the bias, whatever the image."""
    model, constant = tmp_path / "m.qmd", tmp_path / "constant.qme"
    succeed("train", *SMALL, "--fold", 1, "--epochs", 1, "-o", model)
    succeed("export", model, "-o", tmp_path / "m.onnx")
    graph = onnx.load(tmp_path / "m.onnx")
    last = next(node for node in reversed(graph.graph.node) if node.op_type in ("Gemm", "MatMul"))
    weights = next(tensor for tensor in graph.graph.initializer if tensor.name == last.input[1])
    zeros = onnx.numpy_helper.to_array(weights) * 0
    weights.CopyFrom(onnx.numpy_helper.from_array(zeros, weights.name))
    onnx.save(graph, tmp_path / "constant.onnx")
    succeed("import", tmp_path / "constant.onnx", "--model", model, "-o", tmp_path / "constant.qmd")
    succeed("quantize", tmp_path / "constant.qmd", *SMALL, "--fold", 1, "--qat-epochs", 0, "-o", constant)
    assert_fails(qmd("explain", constant, *EXPLAIN, "-o", f"{tmp_path}/out/"), 1, "every score is 0")
    assert list((tmp_path / "out").iterdir()) == []
