"""What a page or a comment says that a command prints, as a pattern."""

import re


def pattern(lines):
    """`...` stands for anything within a line, and alone on a line for any lines, also none."""
    parts = [r"(?:.*\n)*?" if line.strip() == "..." else re.escape(line + "\n").replace(re.escape("..."), ".*") for line in lines]
    return re.compile("".join(parts))
