"""The programs of examples/snippets: each prints what its first comment says, and together they call every function."""

import os
import pathlib
import re
import subprocess
import sys

import printed
import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
FOLDER = SOURCE / "examples" / "snippets"
BUILD = pathlib.Path(os.environ["QMD_BUILD"])
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.c") if path.stem != "snippets")

sys.path.insert(0, str(SOURCE / "docs"))
import add_examples  # noqa: E402


def promised(program):
    """The arguments in the first comment, and the pattern of what is printed."""
    comment = (FOLDER / f"{program}.c").read_text().split("*/")[0]
    command, *lines = re.findall(r"^ \*     (.+)$", comment, re.MULTILINE)
    assert command.startswith(f"$ {program} ") and lines
    return command.split()[2:], printed.pattern(lines)


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_prints_what_its_first_comment_says(program, tmp_path):
    (tmp_path / "examples").symlink_to(SOURCE / "examples")
    arguments, pattern = promised(program)
    result = subprocess.run([BUILD / "examples" / "snippets" / program, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert pattern.fullmatch(result.stdout), result.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_missing_folder_ends_in_one_line(program, tmp_path):
    result = subprocess.run([BUILD / "examples" / "snippets" / program, "nowhere"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1
    assert re.fullmatch(r"QMD_ERROR_\w+: .*nowhere.*\n", result.stderr)


def test_every_function_is_shown():
    functions = set()
    for header in (SOURCE / "include" / "qmd").glob("*.h"):
        for match in add_examples.FUNCTION.finditer(header.read_text()):
            functions.add(match["name"])
            assert add_examples.find_example(header.stem, match["name"]), (
                f"{header.name}: no piece of examples/snippets/*.c calls {match['name']}()")
    assert functions == set((SOURCE / "tests" / "symbols.txt").read_text().split())


def test_every_piece_shows_something():
    shown = set()
    for header in (SOURCE / "include" / "qmd").glob("*.h"):
        for match in add_examples.FUNCTION.finditer(header.read_text()):
            shown.add(add_examples.find_example(header.stem, match["name"]))
    assert {(file, name) for file, name, _ in add_examples.pieces("")} <= shown
