"""Peers of gpu_peers.py that are programs. A peer has measure(), {batch: {part: summary}}, and layers(), [(name, ms)]."""

import json
import subprocess

import gpu_times

WARM_UP_MS = 200


def output_of(*command):
    """What a command prints; RuntimeError with the last line it said if it fails."""
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if result.returncode != 0:
        lines = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
        raise RuntimeError(lines[-1] if lines else f"exit code {result.returncode}")
    return result.stdout


class Qmd:
    """`qmd bench` and `qmd profile`: libqmd's engine, or a model by a library of the vendor's (`engine`)."""

    def __init__(self, program, file, engine=None):
        self.program, self.file = program, file
        self.options = ["--device", "cuda", "--json"] + (["--engine", engine] if engine else [])

    def measure(self, batches, repeats):
        text = output_of(self.program, "bench", self.file, *self.options, "--batches", ",".join(map(str, batches)),
                         "--repeats", repeats)
        return gpu_times.times_of_qmd(json.loads(text))

    def layers(self, batch, repeats):
        text = output_of(self.program, "profile", self.file, *self.options, "--batch", batch, "--repeats", repeats)
        return [(step["layers"], step["ms"]) for step in json.loads(text)["steps"]]


class TensorRT:
    """`trtexec` on an ONNX file, one engine a batch, built when it is first met. The file's types are what it computes in:
    what TensorRT 11 always does, and TensorRT 10 if it is told to."""

    def __init__(self, path, image_shape, folder):
        self.path, self.folder = path, folder
        self.image = "x".join(map(str, image_shape))  # CxHxW

    def run(self, batch, *options):
        return output_of("trtexec", f"--shapes=image:{batch}x{self.image}", *options)

    def engine_of(self, batch):
        engine = self.folder / f"{self.path.stem}-{batch}.engine"
        if not engine.exists():
            self.run(batch, f"--onnx={self.path}", f"--saveEngine={engine}", "--stronglyTyped", "--skipInference")
        return f"--loadEngine={engine}"

    def measure(self, batches, repeats):
        times, result = self.folder / "times.json", {}
        for batch in batches:
            self.run(batch, self.engine_of(batch), "--useCudaGraph", "--useSpinWait", "--exposeDMA", f"--warmUp={WARM_UP_MS}",
                     f"--iterations={repeats}", "--duration=0", f"--exportTimes={times}")
            result[batch] = gpu_times.times_of_trtexec(json.loads(times.read_text()), WARM_UP_MS)
        return result

    def layers(self, batch, repeats):
        profile = self.folder / "profile.json"
        self.run(batch, self.engine_of(batch), "--dumpProfile", "--separateProfileRun", f"--iterations={repeats}",
                 f"--exportProfile={profile}")
        return gpu_times.layers_of_trtexec(json.loads(profile.read_text()))
