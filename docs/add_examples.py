#!/usr/bin/env python3
"""Doxygen's input filter: print a header with an example below the description of each function.

The examples are the pieces of examples/snippets/*.c between two comments of one name, /* [name] */. A function is shown in
the first piece that calls it, those of its header's own programs first (pixels.h: pixels_*.c). What comes with a macro of
its own, qmd_x_init() for qmd_x_init_sized(), is called by that.

Usage: add_examples.py HEADER
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PIECE = re.compile(r"^/\* \[(?P<name>[a-z ]+)\] \*/\n(?P<code>.*?)^/\* \[(?P=name)\] \*/$", re.MULTILINE | re.DOTALL)
# The description of a function and what follows it, up to the function's name.
FUNCTION = re.compile(r"/\*\*(?P<text>(?:(?!\*/).)*)\*/(?P<declaration>\s*QMD_API\s[^;(]*?(?P<name>\w+)\()", re.DOTALL)


def pieces(header):
    """(file, name, code without comments) of each piece, those of a header's own programs first."""
    programs = (ROOT / "examples" / "snippets").glob("*.c")
    for path in sorted(programs, key=lambda path: (not path.name.startswith(f"{header}_"), path.name)):
        for match in PIECE.finditer(path.read_text()):
            yield path.name, match["name"], re.sub(r"/\*.*?\*/", "", match["code"], flags=re.DOTALL)


def find_example(header, function):
    """(file, name) of the piece that shows a function, or None."""
    call = re.compile(rf"\b{function.removesuffix('_sized')}\(")
    return next(((file, name) for file, name, code in pieces(header) if call.search(code)), None)


def add_examples(path):
    """The text of a header with the examples in it."""

    def add(match):
        example = find_example(path.stem, match["name"])
        if not example:
            return match[0]
        file, name = example
        text = match["text"].rstrip().removesuffix("\n *")
        return (f"/**{text}\n *\n * @par Example\n * From examples/snippets/{file}:\n * @snippet {file} {name}\n */"
                f"{match['declaration']}")

    return FUNCTION.sub(add, path.read_text())


if __name__ == "__main__":
    sys.stdout.write(add_examples(pathlib.Path(sys.argv[1])))
