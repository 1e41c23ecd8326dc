"""What the pages refer to is there: files, headings, commands and their options, functions."""

import functools
import os
import pathlib
import re
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ["QMD_PROGRAM"]
PAGES = sorted(path for path in SOURCE.rglob("*.md") if not any(part.startswith(("build-", ".")) for part in path.relative_to(SOURCE).parts))


def name_of(page):
    return str(page.relative_to(SOURCE))


def code_of(text):
    """Lines of code: fenced, indented, and between backticks; continued lines are joined."""
    joined = re.sub(r" *\\\n *", " ", text)
    fenced = re.findall(r"^```\w*\n(.*?)^```", joined, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^    (\S.*)", joined, re.MULTILINE)
    return [line.strip() for block in fenced for line in block.splitlines()] + indented + re.findall(r"`([^`\n]+)`", joined)


def anchors(page):
    """Headings as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@functools.cache
def options_of(command):
    text = subprocess.run([PROGRAM, *command, "--help"], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", text))


def test_there_are_pages():
    assert len(PAGES) >= 14


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```|^    .*?$|`[^`\n]+`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists() and there.is_relative_to(SOURCE), target
        if anchor:
            assert anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_exist(page):
    for token in re.findall(r"`([\w.*{}<>/-]+)`", page.read_text()):
        if re.match(r"(bench|cmake|docs|examples|include|kernels|lib|tests)/", token) and "<" not in token:
            patterns = [token]
            if braces := re.search(r"\{(.*)\}", token):
                patterns = [token.replace(braces[0], choice) for choice in braces[1].split(",")]
            for pattern in patterns:
                assert list(SOURCE.glob(pattern.rstrip("/"))), token


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_their_options_exist(page):
    for line in code_of(page.read_text()):
        words = re.sub(r"\s[|>#].*", "", line).split()
        if words[:1] != ["qmd"] or len(words) < 2 or not re.fullmatch(r"[a-z]+|--[a-z]+", words[1]):
            continue
        known = options_of(()) if words[1].startswith("-") else options_of((words[1],))
        for word in words[1:]:
            if re.match(r"--?[a-z]", word):
                assert word.split("=")[0] in known, line


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name == "docs"], ids=name_of)
def test_options_that_stand_alone_exist(page):
    commands = re.findall(r"^  (\w+) ", subprocess.run([PROGRAM, "--help"], check=True, capture_output=True, text=True).stdout, re.MULTILINE)
    known = set.union(options_of(()), *(options_of((command,)) for command in commands))
    for option in re.findall(r"`(--[a-z-]+)[ `]", page.read_text()):
        assert option in known, option


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_functions_exist(page):
    headers = "".join(path.read_text() for path in (SOURCE / "include" / "qmd").glob("*.h"))
    for function in re.findall(r"\b(qmd_\w+)\(", page.read_text()):
        if "_x_" in function:  # stands for many
            continue
        assert re.search(rf"\b{function}(_sized)?\(", headers), function
