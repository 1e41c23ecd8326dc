#!/usr/bin/env python3
"""libqmd's INT8 engine on an NVIDIA GPU beside cuDNN, PyTorch and TensorRT, on the same network, in turns, in one run.

    bench/gpu_peers.py MODEL.qmd QUANTIZED.qmd ENGINE.qme --qmd build-cuda/examples/qmd -o FOLDER

    qmd train ... -o MODEL.qmd                                                  # makes the three files
    qmd quantize MODEL.qmd ... --save-model QUANTIZED.qmd -o ENGINE.qme

**It has not run on a GPU yet.** What does not need one is tested: tests/oracle/test_gpu_peers.py.

Needs nvidia-smi and a `qmd` with CUDA. PyTorch, and ONNX files for TensorRT, need bench/requirements.txt and the package
examples/python (QMD_LIBRARY, PYTHONPATH); TensorRT is its trtexec, of TensorRT 10 or newer, if there is one on PATH. A peer
that cannot run is named and left out; the exit code is 1 if libqmd is that peer, or if there is no GPU.

A round is one turn of each peer over all batches; the order is another in each round, and clocks and power are read before
and after it. Of a round least, mean, median, 90th and 99th percentile; of all rounds the least of the least and the median of
the others, and how far the medians are apart (spread). Clocks are left as they are: `nvidia-smi --lock-gpu-clocks` holds
them, where one may. Peers have page-locked memory, and CUDA graphs where they can; PyTorch runs three times, eager, compiled
and as one graph, channels last. What is not the same for all:

- libqmd is given coordinates and draws the image (in "compute"). The others are given the image: cuDNN in 8 bits, PyTorch and
  TensorRT in FP16, TensorRT's INT8 in FP32, which it quantizes as its file says.
- libqmd and INT8 peers have the network of QUANTIZED.qmd, whose first convolutions are collapsed unless `qmd quantize` was
  told otherwise; FP16 peers have it as it is, or with --collapsed collapsed as well (PyTorch and TensorRT).
- "end to end" is wall clock, from memory of the host to memory of the host. trtexec's is the sum of the parts by the GPU's
  clock, without what the host adds, which is in its favour.
- PyTorch's logits are compared with FP32 on the CPU, up to a tenth of the largest. TensorRT's are not looked at.

Layer by layer: steps of `qmd profile`, modules of PyTorch as CUDA graphs of their own, trtexec's profile, side by side in the
smallest groups of the network's layers that no step crosses. torch.compile says nothing of layers and is not among them.
Which layers cuDNN and cuBLAS refuse to compute in INT8 or FP16, `qmd profile QUANTIZED.qmd --engine cudnn-int8` says.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import bar_chart
import gpu_programs
import gpu_times
from bench_text import cpu_name, numbers, say

LAYER_BATCHES = (1, 128)


# ---- The GPU ----


def read_gpu(gpu):
    command = ["nvidia-smi", "-i", gpu, "--query-gpu=" + ",".join(gpu_times.GPU_FIELDS), "--format=csv,noheader,nounits"]
    try:
        return gpu_times.gpu_of_nvidia_smi(gpu_programs.output_of(*command).strip())
    except (OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f"gpu_peers.py: no NVIDIA GPU: {error}")


# ---- Peers ----


class Networks:
    """The models as ONNX files for inference, made when a peer first wants them: "model", "half" (it in FP16), "quantized"."""

    def __init__(self, arguments, folder):
        self.arguments, self.folder, self.made = arguments, folder, {}
        self.layers = []  # of the model, in order, once it was made

    def path(self, kind):
        if kind not in self.made:
            self.made[kind] = self.make(kind)
        return self.made[kind]

    def make(self, kind):
        import onnx

        import peer_networks

        path = self.folder / f"{kind}.onnx"
        if kind == "half":
            onnx.save(peer_networks.to_half(onnx.load(self.path("model"))), path)
            return path
        gpu_programs.output_of(self.arguments.qmd, "export", getattr(self.arguments, kind), "--target", "tensorrt", "-o", path)
        network = onnx.load(path)
        if kind == "model":
            self.layers = [node.name for node in network.graph.node]
        peer_networks.for_inference(network)
        if kind == "model" and self.arguments.collapsed:
            peer_networks.collapse(network)
        onnx.save(network, path)
        return path

    def image_shape(self, kind):
        """C, H, W."""
        import onnx

        return [d.dim_value for d in onnx.load(self.path(kind)).graph.input[0].type.tensor_type.shape.dim[1:]]


def make_peers(arguments, networks):
    """Name: how it is made."""
    def qmd(file, engine=None):
        return lambda: gpu_programs.Qmd(arguments.qmd, file, engine)

    def pytorch(how):
        def make():
            import gpu_torch

            return gpu_torch.PyTorch(networks.path("model"), networks.image_shape("model"), how)
        return make

    def tensorrt(kind):
        return lambda: gpu_programs.TensorRT(networks.path(kind), networks.image_shape(kind), networks.folder)

    return {gpu_times.OURS: qmd(arguments.engine),
            "cuDNN FP16": qmd(arguments.model, "cudnn-fp16"),
            "cuDNN INT8": qmd(arguments.quantized, "cudnn-int8"),
            "PyTorch FP16": pytorch("eager"),
            "PyTorch FP16 compiled": pytorch("compile"),
            "PyTorch FP16 graph": pytorch("graph"),
            "TensorRT FP16": tensorrt("half"),
            "TensorRT INT8": tensorrt("quantized")}


class Attempts:
    """Calls of what others wrote and this machine may lack: who fails is named, and asked no more."""

    def __init__(self, file):
        self.file, self.left_out = file, {}

    def call(self, what, function, *arguments):
        """None if it failed, now or before."""
        if what in self.left_out:
            return None
        try:
            return function(*arguments)
        except Exception as error:  # of any kind: a peer's trouble is not the comparison's
            reason = str(error).strip().splitlines()
            self.left_out[what] = reason[0] if reason else type(error).__name__
            say(f"{what}: left out: {self.left_out[what]}", self.file)
            return None


# ---- Versions ----


def said_by(*command):
    """What a program says of itself, whatever its exit code; "none" where there is no such program."""
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return "none"
    return (result.stdout + result.stderr).strip()


def versions_of(arguments, gpu):
    versions = {"driver": gpu["driver"], "libqmd": said_by(arguments.qmd, "--version").split()[-1],
                "TensorRT": gpu_times.version_of_trtexec(said_by("trtexec", "--help")), "Python": sys.version.split()[0]}
    if "torch" in sys.modules:
        import torch

        versions |= {"PyTorch": torch.__version__, "PyTorch's CUDA": torch.version.cuda,
                     "PyTorch's cuDNN": torch.backends.cudnn.version()}
    return {name: version for name, version in versions.items() if version}


# ---- The run ----


def run_round(arguments, round_, peers, attempts):
    """What stands of it even if a peer fails: clocks, order, times."""
    order = gpu_times.rotated(list(peers), round_)
    before, times = read_gpu(arguments.gpu), {}
    say(f"round {round_ + 1} before: {gpu_times.gpu_text(before)}", attempts.file)
    for peer in order:
        measured = attempts.call(peer, peers[peer].measure, arguments.batches, arguments.repeats)
        if measured is not None:
            times[peer] = measured
    after = read_gpu(arguments.gpu)
    say(f"round {round_ + 1} after:  {gpu_times.gpu_text(after)}", attempts.file)
    return {"order": order, "before": before, "after": after, "times": times}


def run_layers(arguments, peers, networks, attempts):
    """Layers side by side, of each batch that was measured; nothing where there is no ONNX to tell the network's layers."""
    cells = []
    for batch in [batch for batch in LAYER_BATCHES if batch in arguments.batches and networks.layers]:
        profiles = {}
        for peer in [peer for peer in peers if peer not in attempts.left_out and "compiled" not in peer]:
            profile = attempts.call(f"layers of {peer}", peers[peer].layers, batch, arguments.repeats)
            if profile is not None:
                profiles[peer] = profile
        rows = [{"layers": layers, "ms": ms} for layers, ms in gpu_times.align(networks.layers, profiles)]
        cells.append({"batch": batch, "peers": list(profiles), "rows": rows})
    return cells


def machine_text(result):
    return f"{result['gpu']['name']}, {result['cpu']}; " + ", ".join(f"{k} {v}" for k, v in result["versions"].items())


def say_result(result, file):
    say("\n" + gpu_times.PUBLISHED, file)
    say(gpu_times.times_text(result["rows"]) + "\n", file)
    for bound in result["bounds"]:
        say(gpu_times.bound_text(bound), file)
    for cell in result["layers"]:
        say(f"\nms a layer, batch {cell['batch']}", file)
        say(gpu_times.layers_text([(row["layers"], row["ms"]) for row in cell["rows"]], cell["peers"]), file)


def compare(arguments, gpu, folder, file):
    attempts, networks = Attempts(file), Networks(arguments, folder)
    made = {name: attempts.call(name, make) for name, make in make_peers(arguments, networks).items()}
    peers = {name: peer for name, peer in made.items() if peer is not None}
    result = {"gpu": gpu, "cpu": cpu_name(), "versions": versions_of(arguments, gpu), "repeats": arguments.repeats,
              "collapsed": arguments.collapsed, "published": gpu_times.PUBLISHED, "left_out": attempts.left_out, "rounds": []}
    say(machine_text(result), file)
    for round_ in range(arguments.rounds):
        result["rounds"].append(run_round(arguments, round_, peers, attempts))
        save(arguments, result)  # what stands stays, whatever comes
    result["rows"] = gpu_times.merge([round_["times"] for round_ in result["rounds"]])
    result["bounds"] = gpu_times.bounds(result["rows"])
    save(arguments, result)
    result["layers"] = run_layers(arguments, peers, networks, attempts)
    return result


def save(arguments, result):
    (arguments.output / "gpu_peers.json").write_text(json.dumps(result, indent=1) + "\n")


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path, help="MODEL.qmd, in FP32")
    parser.add_argument("quantized", type=pathlib.Path, help="QUANTIZED.qmd, what `qmd quantize --save-model` made of it")
    parser.add_argument("engine", type=pathlib.Path, help="ENGINE.qme, made in the same run")
    parser.add_argument("--qmd", default="qmd", help="the program, built with CUDA")
    parser.add_argument("--gpu", default=os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0], help="index or UUID")
    parser.add_argument("--batches", type=numbers, default=[1, 8, 32, 128, 1024])
    parser.add_argument("--repeats", type=int, default=1000, help="of each batch in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--collapsed", action="store_true", help="collapse the first two convolutions of FP16 peers as well")
    parser.add_argument("-o", "--output", type=pathlib.Path, default=pathlib.Path("."), help="folder of gpu_peers.{txt,json,svg}")
    return parser.parse_args()


def main():
    arguments = read_arguments()
    os.environ |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": arguments.gpu}
    gpu = read_gpu(arguments.gpu)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with open(arguments.output / "gpu_peers.txt", "w") as file, tempfile.TemporaryDirectory() as folder:
        result = compare(arguments, gpu, pathlib.Path(folder), file)
        say_result(result, file)
    save(arguments, result)
    bar_chart.write(arguments.output / "gpu_peers.svg", gpu_times.panels(result["rows"]), machine_text(result))
    return int(gpu_times.OURS in result["left_out"])


if __name__ == "__main__":
    sys.exit(main())
