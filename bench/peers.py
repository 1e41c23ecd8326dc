#!/usr/bin/env python3
"""libqmd's INT8 engine beside ONNX Runtime, OpenVINO and PyTorch, on the same network, in turns, in one process.

    bench/run.sh            # makes the environment, builds, runs this and qmd_bench, and writes tables, JSON and a plot
    QMD_MAX_ISA=avx2 ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 bench/run.sh    # all held to AVX2 who can be

Every peer gets its best form: the input bound as 8 bits where it computes in integers (conversion is not timed), all its
optimizations, the network as it is and with its first two convolutions collapsed into one. Times are medians over blocks of
at least 5 ms, in milliseconds a frame, of one thread in processor time, of more by wall clock; the spread is half the
distance of the quartiles.
"""

import argparse
import json
import logging
import os
import pathlib
import tempfile
import time
import warnings

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait leave the processor to whose turn it is

import numpy as np

import bar_chart
import peer_networks
import peer_runtimes
import qmd
import training_epoch
from bench_text import cpu_name, numbers, say

# Held to worse instructions than the processor has: those who do not ask oneDNN for theirs would not be.
IS_HELD = "ONEDNN_MAX_CPU_ISA" in os.environ

BLOCK_SECONDS = 0.005
LEAST_ROUNDS, MOST_ROUNDS = 5, 200


# ---- Measuring ----


def time_calls(run, n, clock):
    start = clock()
    for _ in range(n):
        run()
    return clock() - start


def calls_of_block(run, clock):
    run()
    n = 1
    while time_calls(run, n, clock) < BLOCK_SECONDS:
        n *= 2
    return n


def measure(runs, seconds, n_threads):
    """Seconds of one call of each, [n_runs][n_rounds]: subjects take turns block by block."""
    clock = time.process_time if n_threads == 1 else time.perf_counter
    n_calls = [calls_of_block(run, clock) for run in runs]
    times, start = [], time.perf_counter()
    while len(times) < LEAST_ROUNDS or (len(times) < MOST_ROUNDS and time.perf_counter() - start < seconds):
        row = []
        for run, n in zip(runs, n_calls):
            if n_threads > 1:
                time.sleep(0.01)  # the threads of the subject before go to sleep
            run()
            row.append(time_calls(run, n, clock) / n)
        times.append(row)
    return np.array(times).T


# ---- Subjects ----


def make_subjects(forms, engines, images, n_threads):
    """(runtime, form's name, collapsed, object)."""
    subjects = [("libqmd", f"INT8 {kind}", True, peer_runtimes.Libqmd(engine, images[kind], n_threads))
                for kind, engine in engines.items()]
    u8 = np.ascontiguousarray(images["u8"].transpose(0, 3, 1, 2))
    for form in forms:
        inputs = form.inputs(images[form.kind])

        def add(runtime, name, *arguments):
            subjects.append((runtime.name, name, form.collapsed, runtime(form, *arguments)))

        if not IS_HELD:
            add(peer_runtimes.OnnxRuntime, form.name, inputs, n_threads)
        if form.is_int8:
            add(peer_runtimes.OpenVino, form.name, inputs, n_threads)
            continue
        add(peer_runtimes.OpenVino, "FP32", inputs, n_threads, "f32")
        if peer_runtimes.OpenVino.has_bf16() and not IS_HELD:
            add(peer_runtimes.OpenVino, "BF16", inputs, n_threads, "bf16")
        add(peer_runtimes.PyTorch, "FP32", inputs, n_threads)
        if not IS_HELD:
            add(peer_runtimes.PyTorchInt8, "INT8 u8s8", u8, n_threads)
    return subjects


def check_results(subjects):
    """All compute one function: INT8 up to the error of quantization, and where instructions without VNNI are asked of
    peers, up to their saturating sums, which are said."""
    references = {"u8": None, "s8": None}
    for runtime, name, _, subject in subjects:
        subject.run()
        kind = "u8" if "u8" in name else "s8"
        logits = np.array(subject.result(), np.float64)
        if references[kind] is None:
            references[kind] = logits
        error = np.abs(logits - references[kind]).max() / np.abs(references[kind]).max()
        if not error < 0.1:
            message = f"{runtime} {name} computes something else: error {error:.3f} of the largest logit"
            if not IS_HELD:
                raise SystemExit(message)
            print(message)


def pin(n_threads, processors):
    os.sched_setaffinity(0, {min(processors)} if n_threads == 1 else processors)


def bench_cell(arguments, side, batch, n_threads, forms, engines):
    images = {kind: peer_networks.noise(kind, batch, side) for kind in ("u8", "s8")}
    subjects = make_subjects(forms, engines, images, n_threads)
    check_results(subjects)
    times = measure([subject.run for *_, subject in subjects], arguments.seconds, n_threads)
    rows = []
    for (runtime, name, collapsed, _), values in zip(subjects, times):
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
        rows.append({"side": side, "batch": batch, "threads": n_threads, "runtime": runtime, "form": name,
                     "collapsed": collapsed, "ms": 1e3 * median / batch, "spread": (high - low) / 2 / median,
                     "least_ms": 1e3 * values.min() / batch})
    return rows


# ---- Saying ----


def fastest(rows, **wanted):
    chosen = [row for row in rows if row["runtime"] != "libqmd" and row["form"].startswith(wanted["form"])
              and row["collapsed"] in wanted["collapsed"]]
    return min(chosen, key=lambda row: row["ms"])


def summary(rows):
    """libqmd against the fastest peer of each class, in one cell."""
    ours = max((row for row in rows if row["runtime"] == "libqmd"), key=lambda row: row["ms"])
    int8 = fastest(rows, form="INT8", collapsed=(False,))
    collapsed = fastest(rows, form="INT8", collapsed=(False, True))
    fp32 = fastest(rows, form="FP32", collapsed=(False, True))
    return {"side": ours["side"], "batch": ours["batch"], "threads": ours["threads"], "libqmd_ms": ours["ms"],
            "int8": int8, "int8_collapsed": collapsed, "fp32": fp32, "times_int8": int8["ms"] / ours["ms"],
            "times_int8_collapsed": collapsed["ms"] / ours["ms"], "times_fp32": fp32["ms"] / ours["ms"]}


def say_cell(rows, file):
    for row in rows:
        say(f"{row['side']:4} {row['batch']:5} {row['threads']:7}  {row['runtime']:13} {row['form']:14} "
            f"{'collapsed' if row['collapsed'] else 'original':10} {row['ms']:8.4f} {100 * row['spread']:6.1f}%", file)


def say_summaries(summaries, file):
    say(f"\n{'side':>4} {'batch':>5} {'threads':>7} {'libqmd':>8} {'INT8 peer':>10} {'times':>6} {'collapsed':>10} {'times':>6} "
        f"{'FP32 peer':>10} {'times':>6}", file)
    for s in summaries:
        say(f"{s['side']:4} {s['batch']:5} {s['threads']:7} {s['libqmd_ms']:8.4f} {s['int8']['ms']:10.4f} {s['times_int8']:6.2f} "
            f"{s['int8_collapsed']['ms']:10.4f} {s['times_int8_collapsed']:6.2f} {s['fp32']['ms']:10.4f} {s['times_fp32']:6.2f}"
            f"   {s['int8']['runtime']} {s['int8']['form']}; {s['int8_collapsed']['runtime']} {s['int8_collapsed']['form']}; "
            f"{s['fp32']['runtime']}", file)


def panels(result):
    """The cells that are drawn: one thread, batch 1 and the largest, of 68 pixels or the largest size."""
    sides = {row["side"] for row in result["rows"]}
    side = 68 if 68 in sides else max(sides)
    rows = [row for row in result["rows"] if row["side"] == side and row["threads"] == min(r["threads"] for r in result["rows"])]
    batches = sorted({row["batch"] for row in rows})
    for batch in ([1, 32] if {1, 32} <= set(batches) else batches[:2]):
        cell = sorted((row for row in rows if row["batch"] == batch), key=lambda row: row["ms"])
        if cell:
            yield f"{side} x {side} pixels, batch {batch}, {cell[0]['threads']} thread: milliseconds a frame", map(bar, cell)


def bar(row):
    is_ours = row["runtime"] == "libqmd"
    label = f"{row['runtime']} {row['form']}{', collapsed' if row['collapsed'] and not is_ours else ''}"
    return label, "libqmd" if is_ours else row["form"].split()[0], row["ms"]


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=numbers, default=[41, 49, 68, 100])
    parser.add_argument("--batches", type=numbers, default=[1, 8, 32, 128])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=2, help="a row of the grid takes about so long")
    parser.add_argument("--no-epoch", action="store_true", help="leave training out")
    parser.add_argument("-o", "--output", type=pathlib.Path, default=pathlib.Path("."), help="folder of peers.{txt,json,svg}")
    return parser.parse_args()


def save(arguments, result):
    (arguments.output / "peers.json").write_text(json.dumps(result, indent=1) + "\n")


def bench_networks(arguments, folder, result, file):
    result["rows"], result["summaries"] = [], []
    processors = os.sched_getaffinity(0)
    for side in arguments.sides:
        model = peer_networks.make_model(side)
        forms = peer_networks.make_forms(model, side, folder)
        engines = {kind: qmd.Engine.compile(peer_networks.quantized_on_images(model, peer_networks.noise(kind, 8, side), True))
                   for kind in ("u8", "s8")}
        for batch in arguments.batches:
            for n_threads in arguments.threads:
                pin(n_threads, processors)
                cell = bench_cell(arguments, side, batch, n_threads, forms, engines)
                say_cell(cell, file)
                result["rows"] += cell
                result["summaries"].append(summary(cell))
                save(arguments, result)  # what stands stays, whatever comes
    os.sched_setaffinity(0, processors)
    say_summaries(result["summaries"], file)


def main():
    arguments = read_arguments()
    warnings.filterwarnings("ignore")
    logging.getLogger().setLevel(logging.ERROR)
    arguments.output.mkdir(parents=True, exist_ok=True)
    versions = {runtime.name: runtime.version for runtime in
                (peer_runtimes.OnnxRuntime, peer_runtimes.OpenVino, peer_runtimes.PyTorch)}
    versions["libqmd"] = peer_runtimes.libqmd_version()
    result = {"cpu": cpu_name(), "versions": versions, "load": os.getloadavg()[0]}
    with open(arguments.output / "peers.txt", "w") as file, tempfile.TemporaryDirectory() as folder:
        say(f"{result['cpu']}; " + ", ".join(f"{k} {v}" for k, v in versions.items()) + f"; load {result['load']:.2f}\n", file)
        bench_networks(arguments, pathlib.Path(folder), result, file)
        if not arguments.no_epoch:
            result["epoch"] = training_epoch.bench()
            say("\n" + training_epoch.text(result["epoch"]), file)
    save(arguments, result)
    note = f"{result['cpu']}; " + ", ".join(f"{name} {version}" for name, version in versions.items())
    bar_chart.write(arguments.output / "peers.svg", panels(result), note)


if __name__ == "__main__":
    main()
