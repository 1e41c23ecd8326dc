"""What the tests of ONNX files share: graphs, the driver tests/oracle/onnx_dump and ONNX Runtime."""

import os
import pathlib
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

BUILD = pathlib.Path(os.environ.get("QMD_BUILD", "build-release"))
DUMP = BUILD / "tests" / "onnx_dump"
FLOAT = TensorProto.FLOAT


class Graph:
    def __init__(self, input_shape, opset=17, seed=1):
        self.nodes, self.initializers, self.n, self.opset = [], [], 0, opset
        self.input = helper.make_tensor_value_info("input", FLOAT, input_shape)
        self.random = np.random.default_rng(seed)

    def constant(self, array, name=None):
        self.n += 1
        name = name or f"onnx::constant_{self.n}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, *shape):
        fan_in = np.prod(shape[1:])
        return self.constant(self.random.normal(0, fan_in**-0.5, shape).astype(np.float32))

    def node(self, op, *inputs, name=None, **attributes):
        self.n += 1
        output = f"/{op}_{self.n}_output_0"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=name or f"/{op}_{self.n}", **attributes))
        return output

    def model(self, *outputs):
        infos = [helper.make_tensor_value_info(output, FLOAT, None) for output in outputs]
        graph = helper.make_graph(self.nodes, "main_graph", [self.input], infos, self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


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


def run_onnxruntime(model, image, optimized=None, optimize=True):
    """All outputs by name; the optimized graph is written to `optimized`."""
    options = onnxruntime.SessionOptions()
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
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


def refusal(model, tmp_path):
    """What the library says of a model that it must not import."""
    onnx.save(model, tmp_path / "model.onnx")
    dims = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    with pytest.raises(Refused) as caught:
        import_and_run(tmp_path / "model.onnx", np.zeros((1, *np.minimum(dims, 64)), np.float32), "F32", tmp_path)
    assert "model.onnx: " in str(caught.value)
    return str(caught.value)
