"""bench/gpu_peers.py without a GPU: what it reads and computes, by numbers worked out by hand, and a whole run with libqmd on
an emulated device and stand-ins for nvidia-smi and trtexec, which print what NVIDIA documents that they do."""

import json
import os
import pathlib
import subprocess
import sys
import types
import xml.etree.ElementTree

import numpy as np
import pytest

from program_support import DATA, PROGRAM, SOURCE, succeed

sys.path.insert(0, str(SOURCE / "bench"))
import bar_chart  # noqa: E402
import gpu_times  # noqa: E402

EMULATED = os.environ.get("QMD_EMULATED", "")

NVIDIA_SMI = "NVIDIA H200, 580.65.06, P0, 1980, 1980, 3201, 41, 118.52, 700.00, 37"

# Of three queries the first came in the warm-up of 200 ms.
TRTEXEC_TIMES = """[
  { "startEnqMs" : 1.5, "endEnqMs" : 1.6, "startH2dMs" : 1.5, "endH2dMs" : 1.9, "startComputeMs" : 1.9, "endComputeMs" : 9.9\
, "startD2hMs" : 9.9, "endD2hMs" : 9.95, "h2dMs" : 0.4, "computeMs" : 8, "d2hMs" : 0.05, "latencyMs" : 8.45 }
, { "startEnqMs" : 300, "endEnqMs" : 300.1, "startH2dMs" : 300, "endH2dMs" : 300.01, "startComputeMs" : 300.01\
, "endComputeMs" : 300.11, "startD2hMs" : 300.11, "endD2hMs" : 300.13, "h2dMs" : 0.01, "computeMs" : 0.1, "d2hMs" : 0.02\
, "latencyMs" : 0.13 }
, { "startEnqMs" : 301, "endEnqMs" : 301.1, "startH2dMs" : 301, "endH2dMs" : 301.03, "startComputeMs" : 301.03\
, "endComputeMs" : 301.33, "startD2hMs" : 301.33, "endD2hMs" : 301.35, "h2dMs" : 0.03, "computeMs" : 0.3, "d2hMs" : 0.02\
, "latencyMs" : 0.35 }
]
"""

TRTEXEC_PROFILE = """[
  { "count" : 2 }
, { "name" : "Reformatting CopyNode for Network Input image", "timeMs" : 0.01, "averageMs" : 0.005, "percentage" : 2 }
, { "name" : "conv2d_1", "timeMs" : 0.02, "averageMs" : 0.01, "percentage" : 4 }
, { "name" : "conv2d_2 + relu_1", "timeMs" : 0.04, "averageMs" : 0.02, "percentage" : 8 }
, { "name" : "maxpool_1", "timeMs" : 0.06, "averageMs" : 0.03, "percentage" : 12 }
, { "name" : "{ForeignNode[conv2d_3...dense_1]}", "timeMs" : 0.08, "averageMs" : 0.04, "percentage" : 74 }
]
"""


# ---- What programs print ----


def test_summaries_are_quantiles():
    summary = gpu_times.summarize([float(101 - i) for i in range(101)])
    assert summary == {"least": 1, "mean": 51, "median": 51, "p90": 91, "p99": 100}


def test_nvidia_smi_is_read():
    gpu = gpu_times.gpu_of_nvidia_smi(NVIDIA_SMI)
    assert gpu == {"name": "NVIDIA H200", "driver": "580.65.06", "power_state": "P0", "sm_mhz": 1980, "most_sm_mhz": 1980,
                   "memory_mhz": 3201, "celsius": 41, "watts": 118.52, "most_watts": 700, "busy_percent": 37}
    assert gpu_times.gpu_text(gpu) == "P0, SM 1980 of 1980 MHz, memory 3201 MHz, 119 of 700 W, 41 C, 37 % busy"


def test_what_nvidia_smi_does_not_tell_is_none():
    gpu = gpu_times.gpu_of_nvidia_smi("A, 1.2, P8, 300, [N/A], 405, N/A, [Not Supported], [Unknown Error], 0")
    assert [gpu[name] for name in ("most_sm_mhz", "celsius", "watts", "most_watts")] == [None] * 4
    assert gpu_times.gpu_text(gpu) == "P8, SM 300 of ? MHz, memory 405 MHz, ? of ? W, ? C, 0 % busy"


@pytest.mark.parametrize("line", ["", "No devices were found", NVIDIA_SMI + "\n" + NVIDIA_SMI])
def test_nvidia_smi_that_says_something_else_is_refused(line):
    with pytest.raises(ValueError, match="fields expected"):
        gpu_times.gpu_of_nvidia_smi(line)


def qmd_case(batch, graph, ms):
    part = {"min_ms": ms, "mean_ms": 2 * ms, "median_ms": 3 * ms, "p90_ms": 4 * ms, "p99_ms": 5 * ms}
    return {"batch": batch, "graph": graph, "parts": dict.fromkeys(gpu_times.PARTS, part)}


def test_qmd_bench_is_read_by_its_graphs():
    cases = [qmd_case(1, True, 1), qmd_case(1, False, 7), qmd_case(8, False, 9), qmd_case(8, True, 2)]
    times = gpu_times.times_of_qmd({"device": "cuda:0", "cases": cases})
    assert list(times) == [1, 8] and list(times[1]) == ["input", "compute", "output", "end to end"]
    assert times[8]["output"] == {"least": 2, "mean": 4, "median": 6, "p90": 8, "p99": 10}
    assert times[1]["compute"]["least"] == 1
    with pytest.raises(RuntimeError, match="CPU"):
        gpu_times.times_of_qmd({"device": "cpu", "cases": []})


def test_trtexec_is_read_after_its_warm_up():
    times = gpu_times.times_of_trtexec(json.loads(TRTEXEC_TIMES), 200)
    assert {part: summary["median"] for part, summary in times.items()} == pytest.approx(
        {"input": 0.02, "compute": 0.2, "output": 0.02, "end to end": 0.24})
    assert times["compute"]["least"] == 0.1 and times["compute"]["p90"] == pytest.approx(0.28)


def test_trtexec_tells_its_version():
    text = "&&&& RUNNING TensorRT.trtexec [TensorRT v101300] [b35] # trtexec --help\n=== Model Options ==="
    assert gpu_times.version_of_trtexec(text) == "101300"
    assert gpu_times.version_of_trtexec("none") is None


# ---- Rounds ----


def test_each_peer_comes_first_once():
    orders = [gpu_times.rotated(["a", "b", "c"], i) for i in range(3)]
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]
    assert gpu_times.rotated([], 1) == []


def times(ms):
    """What a peer measured: a batch's parts all alike."""
    return {batch: dict.fromkeys(gpu_times.PARTS, {"least": median / 2, "mean": median + 1, "median": median,
                                                   "p90": median + 2, "p99": median + 3}) for batch, median in ms.items()}


def test_rounds_become_one_result():
    rows = gpu_times.merge([{"a": times({1: 10, 8: 40}), "b": times({1: 2})}, {"b": times({1: 3}), "a": times({1: 30})},
                            {"a": times({1: 20})}])
    assert [(row["batch"], row["peer"], row["part"]) for row in rows[::4]] == [(1, "a", "input"), (1, "b", "input"),
                                                                               (8, "a", "input")]
    assert rows[3] == {"batch": 1, "peer": "a", "part": "end to end", "least": 5, "mean": 21, "median": 20, "p90": 22, "p99": 23,
                       "spread": 1, "rounds": 3}
    assert (rows[4]["least"], rows[4]["median"], rows[4]["spread"], rows[4]["rounds"]) == (1, 2.5, 0.4, 2)
    assert rows[8]["rounds"] == 1 and len(rows) == 12


def bounds_of(**ms):
    names = {"ours": "libqmd INT8", "cudnn": "cuDNN FP16", "torch": "PyTorch FP16 graph", "other": "TensorRT INT8"}
    rows = gpu_times.merge([{names[name]: times(values) for name, values in ms.items()}])
    return {(bound["batch"], bound["part"]): bound for bound in gpu_times.bounds(rows)}


def test_bounds_are_met_against_the_best_fp16():
    bounds = bounds_of(ours={1: 1, 128: 10}, cudnn={1: 5, 128: 25}, torch={1: 4, 128: 19}, other={1: 0.1, 128: 0.1})
    one, many = bounds[1, "end to end"], bounds[128, "compute"]
    assert (one["best_fp16"], one["times"], one["is_met"]) == ("PyTorch FP16 graph", 4, True)
    assert (many["best_fp16"], many["times"], many["is_met"]) == ("PyTorch FP16 graph", 1.9, False)
    assert gpu_times.bound_text(one) == ("batch 1, end to end: at least 4 times as fast as the best FP16: 4.00, met "
                                         "(libqmd INT8 1.0000 ms, PyTorch FP16 graph 4.0000 ms)")
    assert "1.90, NOT MET" in gpu_times.bound_text(many)


@pytest.mark.parametrize("ms", [{"ours": {1: 1}}, {"torch": {1: 1}}, {"ours": {1: 1}, "other": {1: 9}}])
def test_bounds_need_both(ms):
    bound = bounds_of(**ms)[1, "compute"]
    assert bound["is_met"] is None
    assert gpu_times.bound_text(bound).endswith("the best FP16: not measured")


# ---- Layers ----

ORDER = ["conv2d_1", "conv2d_2", "relu_1", "maxpool_1", "conv2d_3", "relu_2", "dense_1", "softmax_1"]


@pytest.mark.parametrize(("name", "layers"), [
    ("conv2d_1+conv2d_2+relu_1", ["conv2d_1", "conv2d_2", "relu_1"]),
    ("conv2d_3/weight + conv2d_3/quantized + conv2d_3 || relu_2", ["conv2d_3", "relu_2"]),
    ("conv2d_10", []), ("my_relu_1", []), ("Reformatting CopyNode for Network Input image", []),
    ("{ForeignNode[maxpool_1...dense_1]}", ["maxpool_1", "conv2d_3", "relu_2", "dense_1"]),
    ("{ForeignNode[maxpool_1/pool...nothing]}", ["maxpool_1"])])
def test_layers_are_found_in_names(name, layers):
    assert gpu_times.layers_in(name, ORDER) == layers


def test_steps_are_aligned_by_layers():
    profiles = {"libqmd": [("conv2d_1+conv2d_2+relu_1", 1), ("maxpool_1", 2), ("conv2d_3+relu_2", 4), ("dense_1", 8),
                           ("softmax_1", 0)],
                "trtexec": gpu_times.layers_of_trtexec(json.loads(TRTEXEC_PROFILE)),
                "modules": [(layer, 1) for layer in ORDER[:5]]}
    rows = gpu_times.align(ORDER, profiles)
    assert [layers for layers, _ in rows] == [("conv2d_1", "conv2d_2", "relu_1"), ("maxpool_1",),
                                              ("conv2d_3", "relu_2", "dense_1"), ()]
    assert [ms.get("libqmd") for _, ms in rows] == [1, 2, 12, None]
    assert [ms.get("trtexec") for _, ms in rows] == [pytest.approx(0.03), 0.03, 0.04, 0.005]
    assert [ms.get("modules") for _, ms in rows] == [3, 1, 1, None]
    assert sum(ms["libqmd"] for _, ms in rows if "libqmd" in ms) == 15  # nothing is lost or counted twice
    text = gpu_times.layers_text(rows, list(profiles)).splitlines()
    assert text[0].split() == ["layers", *profiles]
    assert text[3].split() == ["conv2d_3", "relu_2", "dense_1", "12.0000", "0.0400", "1.0000"]
    assert len(set(map(len, text))) == 1


# ---- The plot ----


def test_the_plot_has_a_bar_a_peer(tmp_path):
    rows = gpu_times.merge([{"PyTorch FP16": times({1: 4}), "libqmd INT8": times({1: 1, 8: 3})}])
    bar_chart.write(tmp_path / "plot.svg", gpu_times.panels(rows), "A & B")
    root = xml.etree.ElementTree.parse(tmp_path / "plot.svg").getroot()
    bars = root.findall("{http://www.w3.org/2000/svg}rect")[1:]
    texts = [text.text for text in root.findall("{http://www.w3.org/2000/svg}text")]
    assert texts == ["batch 1, end to end: milliseconds", "libqmd INT8", "1.000", "PyTorch FP16", "4.000", "A & B"]
    ours, theirs = (float(bar.get("width")) for bar in bars)
    assert theirs == pytest.approx(4 * ours, rel=1e-3)
    assert [bar.get("fill") for bar in bars] == [bar_chart.COLOURS["libqmd"], bar_chart.COLOURS["FP16"]]


# ---- The program ----


def compare(path, *arguments, timeout=120, **environment):
    """bench/gpu_peers.py, with the programs of a folder alone."""
    return subprocess.run([sys.executable, SOURCE / "bench" / "gpu_peers.py", *map(str, arguments)], capture_output=True,
                          text=True, timeout=timeout, env={**os.environ, "PATH": str(path), **environment})


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize(("nvidia_smi", "reason"), [
    (None, "nvidia-smi"), ("echo No devices were found", "No devices were found"),
    ("echo 'NVIDIA-SMI has failed'; exit 9", "NVIDIA-SMI has failed")])
def test_without_a_gpu_it_says_so(tmp_path, nvidia_smi, reason):
    if nvidia_smi:
        write_program(tmp_path / "nvidia-smi", f"#!/bin/sh\n{nvidia_smi}\n")
    result = compare(tmp_path, "m.qmd", "q.qmd", "e.qme", "-o", tmp_path / "out")
    assert result.returncode == 1 and result.stdout == "" and not (tmp_path / "out").exists()
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("gpu_peers.py: no NVIDIA GPU: ") and reason in result.stderr


def test_without_libqmd_there_is_no_comparison(tmp_path):
    write_program(tmp_path / "nvidia-smi", f"#!/bin/sh\necho '{NVIDIA_SMI}'\n")
    result = compare(tmp_path, "m.qmd", "q.qmd", "e.qme", "--qmd", tmp_path / "none", "--rounds", 1, "-o", tmp_path)
    assert (result.returncode, result.stderr) == (1, "")
    assert "libqmd INT8: left out: " in result.stdout and "batch 1, compute" in result.stdout
    assert json.loads((tmp_path / "gpu_peers.json").read_text())["rows"] == []


TRTEXEC = f"""#!{sys.executable}
import pathlib, sys
folder = pathlib.Path(__file__).parent
with open(folder / "trtexec.log", "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
options = dict(word.lstrip("-").partition("=")[::2] for word in sys.argv[1:])
if "help" in options:
    print("&&&& RUNNING TensorRT.trtexec [TensorRT v101300] [b35] # trtexec --help")
if "quantized" in options.get("onnx", ""):
    sys.exit("[E] INT8 is refused here")
if "saveEngine" in options:
    assert pathlib.Path(options["onnx"]).exists() and "stronglyTyped" in options
    pathlib.Path(options["saveEngine"]).touch()
elif "help" not in options:
    assert pathlib.Path(options["loadEngine"]).exists()
for name in ("exportTimes", "exportProfile"):
    if name in options:
        pathlib.Path(options[name]).write_text((folder / name).read_text())
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two rounds of batch 1, with what is there: libqmd on an emulated device, cuDNN if it is emulated too, TensorRT's
    stand-in."""
    if not EMULATED:
        pytest.skip("SKIPPED: this build has no emulated CUDA devices")
    folder = tmp_path_factory.mktemp("gpu_peers")
    data = ["--select", "name CA", "--stride", 8]
    for name in ("open", "closed"):
        data += ["--state", f"{name}={DATA / f'adk-{name}.pdb'},{DATA / f'adk-{name}-1.nc'}"]
    model, quantized, engine = folder / "m.qmd", folder / "q.qmd", folder / "e.qme"
    succeed("train", *data, "--epochs", 1, "-o", model)
    succeed("quantize", model, *data, "--qat-epochs", 0, "--save-model", quantized, "-o", engine)
    write_program(folder / "nvidia-smi", f"#!/bin/sh\necho read >> {folder}/nvidia-smi.log\necho '{NVIDIA_SMI}'\n")
    write_program(folder / "trtexec", TRTEXEC)
    write_program(folder / "qmd", f"""#!/bin/sh
case " $* " in *" cudnn-int8 "*) echo "qmd bench: no INT8 here" >&2; exit 1;; esac
LD_PRELOAD={EMULATED} exec {PROGRAM} "$@"
""")
    (folder / "exportTimes").write_text(TRTEXEC_TIMES)
    (folder / "exportProfile").write_text(TRTEXEC_PROFILE)
    (folder / "torch.py").write_text("raise ImportError('no PyTorch here')\n")
    result = compare(folder, model, quantized, engine, "--rounds", 2, "--repeats", 2, "--batches", "1", "-o", folder / "out",
                     PYTHONPATH=str(folder))
    assert result.returncode == 0, result.stderr
    return folder, result.stdout, json.loads((folder / "out" / "gpu_peers.json").read_text())


def peers_of(result):
    """Those that stand in the first round's order; a build without cuDNN's headers says so."""
    cudnn = [] if "cuDNN FP16" in result["left_out"] else ["cuDNN FP16"]
    return ["libqmd INT8", *cudnn, "TensorRT FP16"]


def test_a_run_measures_who_is_there(run):
    _, _, result = run
    measured = [(row["peer"], row["batch"], row["rounds"], row["part"]) for row in result["rows"]]
    assert measured == [(peer, 1, 2, part) for peer in peers_of(result) for part in gpu_times.PARTS]
    for row in result["rows"]:
        values = [row[name] for name in ("least", "median", "p90", "p99")]
        assert values == sorted(values) and values[0] > 0
    left_out = {what: why for what, why in result["left_out"].items() if what != "cuDNN FP16"}
    assert left_out == {**dict.fromkeys(("PyTorch FP16", "PyTorch FP16 compiled", "PyTorch FP16 graph"),
                                        "no PyTorch here"),
                        "cuDNN INT8": "qmd bench: no INT8 here", "TensorRT INT8": "[E] INT8 is refused here"}


def test_a_run_takes_turns_and_reads_clocks(run):
    folder, text, result = run
    first, second = (round_["order"] for round_ in result["rounds"])
    assert second == first[1:] + first[:1]
    assert len((folder / "nvidia-smi.log").read_text().splitlines()) == 1 + 2 * 2
    for round_ in result["rounds"]:
        assert round_["before"] == round_["after"] == result["gpu"] == gpu_times.gpu_of_nvidia_smi(NVIDIA_SMI)
    assert text.count("SM 1980 of 1980 MHz") == 4


def test_a_run_builds_an_engine_a_batch_once(run):
    folder, _, _ = run
    commands = [line for line in (folder / "trtexec.log").read_text().splitlines() if "quantized.onnx" not in line]
    built = [line for line in commands if "--saveEngine" in line]
    assert len(built) == 1 and "--shapes=image:1x3x15x15" in built[0] and "half.onnx" in built[0]
    assert sum("--exportTimes" in line for line in commands) == 2


def test_networks_are_made_for_each_runtime(run):
    """FP16 with the numbers of FP32 up to its rounding, the network collapsed or not; INT8 with integers (test_onnx.py asks
    which)."""
    import onnx
    import onnxruntime

    import gpu_peers

    folder, _, _ = run
    arguments = types.SimpleNamespace(qmd=PROGRAM, model=folder / "m.qmd", quantized=folder / "q.qmd", collapsed=True)
    networks = gpu_peers.Networks(arguments, folder)
    images = np.random.default_rng(1).random((4, 3, 15, 15), np.float32)

    def logits(path, dtype=np.float32):
        (result,) = onnxruntime.InferenceSession(path).run(None, {"image": images.astype(dtype)})
        assert result.dtype == dtype and result.shape == (4, 2)
        return result

    collapsed, half = logits(networks.path("model")), logits(networks.path("half"), np.float16)
    assert logits(networks.path("quantized")).any() and networks.image_shape("quantized") == [3, 15, 15]
    types_of = {kind: {tensor.data_type for tensor in onnx.load(networks.path(kind)).graph.initializer}
                for kind in ("half", "quantized")}
    assert types_of["half"] == {onnx.TensorProto.FLOAT16} and onnx.TensorProto.INT8 in types_of["quantized"]
    assert networks.layers[:3] == ["conv2d_1", "conv2d_2", "relu_1"] and networks.layers[-1] == "softmax_1"

    arguments.collapsed = False
    expected = logits(gpu_peers.Networks(arguments, folder).path("model"))
    assert np.abs(collapsed - expected).max() < 1e-4 * np.abs(expected).max()
    assert 0 < np.abs(half - expected).max() < 1e-2 * np.abs(expected).max()


def test_a_run_says_what_it_found(run):
    folder, text, result = run
    assert text == (folder / "out" / "gpu_peers.txt").read_text()
    assert text.index("FP16 0.166") < text.index("end to end") and "not measured here" in text
    assert "INT8: left out: [E] INT8 is refused here" in text
    assert "batch 1, end to end: at least 4 times as fast as the best FP16: 0." in text
    assert "batch 128, compute: at least 2 times as fast as the best FP16: not measured" in text
    assert (result["versions"]["TensorRT"], result["versions"]["driver"]) == ("101300", "580.65.06")
    assert "PyTorch" not in result["versions"]
    assert xml.etree.ElementTree.parse(folder / "out" / "gpu_peers.svg").getroot().tag.endswith("svg")


def test_a_run_aligns_layers(run):
    _, text, result = run
    (cell,) = result["layers"]
    assert cell["batch"] == 1 and cell["peers"] == peers_of(result)
    rows = {tuple(row["layers"]): row["ms"] for row in cell["rows"]}
    first = rows["conv2d_1", "conv2d_2", "relu_1", "maxpool_1"]
    assert first["TensorRT FP16"] == pytest.approx(0.06) and first["libqmd INT8"] > 0
    assert rows["dense_2",].keys() == set(peers_of(result)[:-1]) and rows[()]["TensorRT FP16"] == 0.005
    assert "conv2d_1 conv2d_2 relu_1 maxpool_1" in text
