"""Times of gpu_peers.py: what programs print as numbers, rounds as one result, ratios, layers side by side, tables.

A summary is {"least", "mean", "median", "p90", "p99"} in ms. What a peer measures in a round is {batch: {part: summary}}.
"""

import re

import numpy as np

PARTS = ("input", "compute", "output", "end to end")
STATISTICS = ("least", "mean", "median", "p90", "p99")

OURS = "libqmd INT8"
BOUNDS = ((1, 4), (128, 2))  # (batch, times as fast as the best FP16 of the run)

PUBLISHED = """\
Published elsewhere, not measured here (the work that libqmd continues; a V100 with TensorRT, ms a time-step):
  FP16 0.166, accuracy 0.93
  INT8 0.042, accuracy 0.93; 4.0 times as fast
"""


def summarize(ms):
    median, p90, p99 = np.quantile(ms, [0.5, 0.9, 0.99])
    values = (np.min(ms), np.mean(ms), median, p90, p99)
    return {name: float(value) for name, value in zip(STATISTICS, values)}


# ---- What programs print ----


GPU_FIELDS = {  # nvidia-smi --query-gpu: name here
    "name": "name", "driver_version": "driver", "pstate": "power_state", "clocks.sm": "sm_mhz", "clocks.max.sm": "most_sm_mhz",
    "clocks.mem": "memory_mhz", "temperature.gpu": "celsius", "power.draw": "watts", "power.limit": "most_watts",
    "utilization.gpu": "busy_percent"}


def gpu_of_nvidia_smi(line):
    """A GPU by a line of `nvidia-smi --query-gpu=... --format=csv,noheader,nounits`; None is what it does not tell."""
    words = [word.strip() for word in line.split(",")]
    if len(words) != len(GPU_FIELDS):
        raise ValueError(f"nvidia-smi: {len(GPU_FIELDS)} fields expected, not {line!r}")
    gpu = {name: None if word.startswith("[") or word == "N/A" else word for name, word in zip(GPU_FIELDS.values(), words)}
    for name in ("sm_mhz", "most_sm_mhz", "memory_mhz", "celsius", "watts", "most_watts", "busy_percent"):
        gpu[name] = None if gpu[name] is None else float(gpu[name])
    return gpu


def gpu_text(gpu):
    def number(name):
        return "?" if gpu[name] is None else f"{gpu[name]:.0f}"

    return (f"{gpu['power_state'] or '?'}, SM {number('sm_mhz')} of {number('most_sm_mhz')} MHz, "
            f"memory {number('memory_mhz')} MHz, {number('watts')} of {number('most_watts')} W, {number('celsius')} C, "
            f"{number('busy_percent')} % busy")


def times_of_qmd(result):
    """Of `qmd bench --json`: by one graph where a batch ran with and without."""
    if result["device"] == "cpu":
        raise RuntimeError("it ran on the CPU")
    cases = sorted(result["cases"], key=lambda case: case["graph"])
    keys = [{"least": "min_ms"}.get(name, name + "_ms") for name in STATISTICS]
    return {case["batch"]: {part: dict(zip(STATISTICS, (case["parts"][part][key] for key in keys))) for part in PARTS}
            for case in cases}


def times_of_trtexec(trace, warm_up_ms):
    """Of `trtexec --exportTimes`, queries after the warm-up: its end to end is the sum of the parts, by the GPU's clock."""
    queries = [query for query in trace if query["startComputeMs"] >= warm_up_ms]
    keys = ("h2dMs", "computeMs", "d2hMs", "latencyMs")
    return {part: summarize([query[key] for query in queries]) for part, key in zip(PARTS, keys)}


def layers_of_trtexec(profile):
    """Of `trtexec --exportProfile`: (TensorRT's name, ms)."""
    return [(layer["name"], layer["averageMs"]) for layer in profile if "name" in layer]


def version_of_trtexec(text):
    """As it is printed, 101300 for 10.13.0; None if it is not there."""
    found = re.search(r"TensorRT v(\d+)", text)
    return found and found.group(1)


# ---- Rounds ----


def rotated(items, round_):
    at = round_ % len(items) if items else 0
    return items[at:] + items[:at]


def merged(rounds):
    """Summaries of rounds as one: the least of all, of the others the median; spread: how far the medians are apart."""
    medians = [summary["median"] for summary in rounds]
    one = {name: float(np.median([summary[name] for summary in rounds])) for name in STATISTICS}
    one["least"] = min(summary["least"] for summary in rounds)
    return {**one, "spread": (max(medians) - min(medians)) / one["median"], "rounds": len(rounds)}


def merge(rounds):
    """Rows, by batch, then peer as they first came, then part; rounds are {peer: {batch: {part: summary}}}."""
    peers = list(dict.fromkeys(peer for round_ in rounds for peer in round_))
    batches = sorted({batch for round_ in rounds for times in round_.values() for batch in times})
    rows = []
    for batch in batches:
        for peer in peers:
            cells = [round_[peer][batch] for round_ in rounds if batch in round_.get(peer, {})]
            rows += [{"batch": batch, "peer": peer, "part": part, **merged([cell[part] for cell in cells])}
                     for part in PARTS if cells]
    return rows


def bounds(rows):
    """libqmd beside the best FP16 of the run, by medians; is_met is None where either was not measured."""
    result = []
    for batch, wanted in BOUNDS:
        for part in ("compute", "end to end"):
            cell = {row["peer"]: row["median"] for row in rows if (row["batch"], row["part"]) == (batch, part)}
            ours = cell.get(OURS)
            fp16 = min((peer for peer in cell if "FP16" in peer), key=cell.get, default=None)
            times = cell[fp16] / ours if ours and fp16 else None
            result.append({"batch": batch, "part": part, "wanted": wanted, "ms": ours, "best_fp16": fp16,
                           "best_fp16_ms": cell.get(fp16), "times": times, "is_met": times and times >= wanted})
    return result


# ---- Layers ----


def layers_in(name, order):
    """Layers of the network that a runtime's name of a step speaks of; `first...last` is all from one to the other."""
    def is_in(layer, text):
        return re.search(rf"(?<!\w){re.escape(layer)}(?!\w)", text) is not None

    first, dots, last = name.partition("...")
    ends = [i for i, layer in enumerate(order) if is_in(layer, first)][-1:]
    ends += [i for i, layer in enumerate(order) if dots and is_in(layer, last)][:1]
    between = order[ends[0]:ends[1] + 1] if len(ends) == 2 else []
    return [layer for layer in order if is_in(layer, name) or layer in between]


def align(order, profiles):
    """(layers, {peer: ms}) for the smallest groups of layers that no peer's step crosses; () is what speaks of none.

    order: the network's layers; profiles: {peer: [(name of a step, ms)]}. What takes no time is no step."""
    steps = [(peer, set(layers_in(name, order)), ms) for peer, profile in profiles.items() for name, ms in profile if ms]
    groups = []
    for _, layers, _ in steps:
        crossed = [group for group in groups if group & layers]
        groups = [group for group in groups if not group & layers] + [layers.union(*crossed)] * bool(layers)
    groups.sort(key=lambda group: min(map(order.index, group)))
    rows = []
    for group in groups + [set()]:
        ms = {}
        for peer, layers, step_ms in steps:
            if layers <= group and bool(layers) == bool(group):
                ms[peer] = ms.get(peer, 0) + step_ms
        rows.append((tuple(sorted(group, key=order.index)), ms))
    return [row for row in rows if row[1]]


# ---- Saying ----


def table(headings, rows):
    """Text in columns; the first of each row is to the left, the others to the right."""
    cells = [list(map(str, headings))] + [list(map(str, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join([row[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:])])
                     for row in cells)


def times_text(rows):
    return table(("peer", "batch", "part", *STATISTICS, "spread %"),
                 [(row["peer"], row["batch"], row["part"], *(f"{row[name]:.4f}" for name in STATISTICS),
                   f"{100 * row['spread']:.1f}") for row in rows])


def bound_text(bound):
    what = f"batch {bound['batch']}, {bound['part']}: at least {bound['wanted']} times as fast as the best FP16: "
    if bound["times"] is None:
        return what + "not measured"
    return (f"{what}{bound['times']:.2f}, {'met' if bound['is_met'] else 'NOT MET'} ({OURS} {bound['ms']:.4f} ms, "
            f"{bound['best_fp16']} {bound['best_fp16_ms']:.4f} ms)")


def layers_text(aligned, peers):
    rows = []
    for layers, ms in aligned:
        rows.append((" ".join(layers) or "(other)", *(f"{ms[peer]:.4f}" if peer in ms else "" for peer in peers)))
    return table(("layers", *peers), rows)


def panels(rows):
    """What bar_chart draws: end to end, medians, of the batches that have bounds."""
    for batch, _ in BOUNDS:
        cell = sorted((row["median"], row["peer"]) for row in rows if (row["batch"], row["part"]) == (batch, "end to end"))
        if cell:
            yield (f"batch {batch}, end to end: milliseconds",
                   [(peer, "libqmd" if peer == OURS else re.search("INT8|FP16", peer).group(), ms) for ms, peer in cell])
