"""What the tests of ONNX files share: the driver tests/oracle/onnx_dump and ONNX Runtime."""

import os
import pathlib
import subprocess

import numpy as np
import onnx
import onnxruntime

BUILD = pathlib.Path(os.environ.get("QMD_BUILD", "build-release"))
DUMP = BUILD / "tests" / "onnx_dump"


class Refused(Exception):
    """The library did not import a file; the text is its last error."""


def has_vnni():
    with open("/proc/cpuinfo") as file:
        return "vnni" in file.read()


def import_and_run(path, images, kind, folder):
    """Import a file; what it makes of images in the file's own order of extents (NCHW, or vectors), one row an image.

    kind: "S8" or "U8", of which the logits are computed, or "F32", of which the last layer's output is.
    """
    source, result = folder / "images.bin", folder / "output.bin"
    if images.ndim == 4:
        images = images.transpose(0, 2, 3, 1)
    np.ascontiguousarray(images).tofile(source)
    done = subprocess.run([DUMP, "run", path, source, kind, str(len(images)), result], capture_output=True, text=True)
    if done.returncode == 3:
        raise Refused(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    return np.fromfile(result, np.float32).reshape(len(images), -1)


def in_own_order(values):
    """NCHW to one row an image, in the library's order."""
    return (values.transpose(0, 2, 3, 1) if values.ndim == 4 else values).reshape(len(values), -1)


def run_onnxruntime(model, image, optimized=None):
    """All outputs by name; the optimized graph is written to `optimized`."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if optimized:
        options.optimized_model_filepath = str(optimized)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {session.get_inputs()[0].name: image})))


def operators(path):
    return [node.op_type for node in onnx.load(path).graph.node]
