"""What the benches read from the command line and of the machine, and how they say it."""

import pathlib


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return "unknown"


def numbers(text):
    return [int(word) for word in text.split(",")]


def say(text, file):
    print(text, flush=True)
    file.write(text + "\n")
