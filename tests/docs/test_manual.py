"""The manual page qmd(1), as the build writes it, against what the program says of itself and what mandoc says of it."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["QMD_BUILD"])
PROGRAM = os.environ["QMD_PROGRAM"]
PAGE = BUILD / "examples" / "qmd.1"


def qmd(*arguments):
    return subprocess.run([PROGRAM, *arguments], check=True, capture_output=True, text=True).stdout


def commands():
    names = re.findall(r"^  (\S+) ", qmd("--help"), re.MULTILINE)
    assert len(names) >= 11
    return names


def rendered(needs):
    if not shutil.which(needs[0]):
        pytest.skip(f"SKIPPED: {needs[0]} is not installed")
    result = subprocess.run([*needs, PAGE], check=True, capture_output=True, text=True)
    return re.sub(r".\x08", "", result.stdout)


def sections(text, depth):
    """Texts of a rendered page by their headings, which are indented by `depth`."""
    parts = re.split(rf"^ {{{depth}}}(\S.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def test_the_built_page_is_what_the_program_prints():
    assert PAGE.read_text() == qmd("--man")


def test_mandoc_finds_nothing_to_complain_of():
    if not shutil.which("mandoc"):
        pytest.skip("SKIPPED: mandoc is not installed")
    lint = subprocess.run(["mandoc", "-T", "lint", PAGE], capture_output=True, text=True)
    assert (lint.stdout + lint.stderr, lint.returncode) == ("", 0)


def test_man_finds_nothing_to_complain_of():
    if not shutil.which("man") or not shutil.which("groff"):
        pytest.skip("SKIPPED: man with groff is not installed")
    man = subprocess.run(["man", "--warnings", "-l", PAGE], capture_output=True, text=True)
    assert (man.stderr, man.returncode) == ("", 0)


def test_every_command_and_every_option_is_on_the_page():
    page = sections(rendered(["mandoc", "-T", "ascii", "-O", "width=200"]), 0)
    of_command = sections(page["COMMANDS"], 3)
    explained = set(re.findall(r"^     (?:-\w, )?(--[a-z0-9-]+)", page["OPTIONS"], re.MULTILINE))
    printed_by_all = set()
    for command in commands():
        help_text = qmd(command, "--help")
        printed = re.findall(r"^  (?:-\w,|   ) (--[a-z0-9-]+)", help_text, re.MULTILINE)
        assert len(printed) >= 3
        listed = re.findall(r"--[a-z0-9-]+", of_command[command].split("Options:")[1])
        assert listed == printed, command
        printed_by_all |= set(printed)
        summary = help_text.split("\n\n")[1].split(".\n")[0]
        assert summary in " ".join(of_command[command].split())
    assert explained == printed_by_all


def test_the_levels_of_instructions_are_those_of_the_library():
    header = (ROOT / "include" / "qmd" / "engine.h").read_text()
    levels = re.search(r"QMD_MAX_ISA \(([^)]*)\)", header)[1].split(", ")
    source = PAGE.read_text().split(".It Ev QMD_MAX_ISA\n")[1].split(".El\n")[0]
    assert re.findall(r"^\.Cm (\S+)", source, re.MULTILINE) == levels
