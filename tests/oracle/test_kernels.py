"""The kernels against ONNX Runtime, bit for bit, where it computes in integers.

kernels_dump writes random steps of a plan and what this machine's best kernels make of them. Here each becomes a model
in QDQ form (DequantizeLinear, operator, QuantizeLinear), which ONNX Runtime turns into its own integer operators; that
it did is read from the graph it optimized.

QMD_BUILD names the build folder.
"""
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

DUMP = Path(os.environ["QMD_BUILD"]) / "tests" / "kernels_dump"
CONV2D, DENSE, MAXPOOL, AVGPOOL, ADD = 1, 2, 3, 4, 5
U8 = 1
N_CASES = 600

# The integer operator that each must become.
INTEGER_OPERATORS = {CONV2D: "QLinearConv", DENSE: "QGemm", MAXPOOL: "MaxPool", AVGPOOL: "QLinearAveragePool",
                     ADD: "QLinearAdd"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    subprocess.run([DUMP, folder, str(N_CASES)], check=True)
    return folder


class Graph:
    """A model in the making: names, constants and nodes."""

    def __init__(self, byte):
        self.byte = byte
        self.nodes, self.constants = [], []

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, operator, inputs, output, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def zero(self, type_=None):
        name = "zero_" + np.dtype(type_ or self.byte).name
        if name not in [constant.name for constant in self.constants]:
            self.constant(name, np.zeros((), type_ or self.byte))
        return name

    def dequantize(self, name, scale):
        return self.node("DequantizeLinear", [name, self.constant(name + "_scale", np.float32(scale)), self.zero()],
                         name + "_real")

    def dequantize_weights(self, name, array, scales):
        zeros = self.constant(name + "_zeros", np.zeros(len(scales), array.dtype))
        inputs = [self.constant(name, array), self.constant(name + "_scales", scales), zeros]
        return self.node("DequantizeLinear", inputs, name + "_real", axis=0)

    def quantize(self, name, scale):
        return self.node("QuantizeLinear", [name, self.constant(name + "_scale", np.float32(scale)), self.zero()],
                         name + "_q")


def load(folder, number, what, type_, *shape):
    return np.fromfile(folder / f"{number}.{what}", type_).reshape(shape)


def add_operator(graph, case, folder, number):
    """The operator on real numbers; the name of what it gives, and its scale."""
    windows = dict(kernel_shape=case["window"], strides=case["stride"])
    x = graph.dequantize("a", case["scale_a"])
    if case["op"] == ADD:
        return graph.node("Add", [x, graph.dequantize("b", case["scale_b"])], "y")
    if case["op"] == MAXPOOL:
        return graph.node("MaxPool", [x], "y", **windows)
    if case["op"] == AVGPOOL:
        return graph.node("AveragePool", [x], "y", **windows)
    out_c, in_c = case["out"][2], case["in"][2]
    scales = load(folder, number, "weight_scales", np.float32, out_c)
    weights = load(folder, number, "weights", np.int8, out_c, *case["window"], in_c).transpose(0, 3, 1, 2)
    bias = graph.dequantize_weights("bias", load(folder, number, "bias", np.int32, out_c),
                                    np.float32(case["scale_a"]) * scales)
    if case["op"] == DENSE:
        w = graph.dequantize_weights("weights", np.ascontiguousarray(weights.reshape(out_c, in_c)), scales)
        return graph.node("Gemm", [x, w, bias], "y", transB=1)
    w = graph.dequantize_weights("weights", np.ascontiguousarray(weights), scales)
    return graph.node("Conv", [x, w, bias], "y", pads=case["pads"], **windows)


def build(case, folder, number):
    """Model and inputs, NCHW."""
    byte = np.uint8 if case["operand"] == U8 else np.int8
    graph = Graph(byte)
    y = add_operator(graph, case, folder, number)
    scale = case["scale_a"] if case["op"] == MAXPOOL else case["scale_out"]
    if not case["float"]:
        y = graph.quantize(y, scale)
        if case["pool"] == 2:
            y = graph.quantize(graph.node("MaxPool", [graph.dequantize(y, scale)], "pooled", kernel_shape=[2, 2],
                                          strides=[2, 2]), scale)
        if case["low"] == 0 and case["op"] != MAXPOOL:
            y = graph.quantize(graph.node("Relu", [graph.dequantize(y, scale)], "relu"), scale)
    flat = case["op"] == DENSE
    names = ["a", "b"] if case["op"] == ADD else ["a"]
    feeds = {}
    for name in names:
        array = load(folder, number, name, byte, case["n"], *case["in"])
        feeds[name] = array.reshape(case["n"], -1) if flat else np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    element = helper.np_dtype_to_tensor_dtype(np.dtype(byte))
    model = helper.make_model(helper.make_graph(
        graph.nodes, "case", [helper.make_tensor_value_info(name, element, feeds[name].shape) for name in names],
        [helper.make_tensor_value_info(y, TensorProto.FLOAT if case["float"] else element, None)],
        initializer=graph.constants), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model, feeds


def run(model, feeds, path):
    """Outputs, and the operators of the graph that ONNX Runtime ran."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.optimized_model_filepath = str(path)
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    output = session.run(None, feeds)[0]
    return output, [node.op_type for node in onnx.load(path).graph.node]


def contracted_sum(case, feeds):
    """An add with one multiplication and the addition in one rounding (FMA), as ONNX Runtime's operator compiles to on
    some machines. docs/numerics.md rounds each, so that all machines agree: where the two differ, it is by one."""
    ratios = [np.float32(case[scale]) / np.float32(case["scale_out"]) for scale in ("scale_a", "scale_b")]
    b = (feeds["b"].astype(np.float32) * ratios[1]).astype(np.float64)
    total = (feeds["a"].astype(np.float64) * np.float64(ratios[0]) + b).astype(np.float32)
    return np.rint(np.clip(total, case["low"], 127)).astype(np.int8)


@pytest.mark.parametrize("op", list(INTEGER_OPERATORS))
def test_kernels_equal_onnx_runtime(folder, op):
    compared = 0
    for number, case in enumerate(json.loads((folder / "cases.json").read_text())):
        if case["op"] != op:
            continue
        model, feeds = build(case, folder, number)
        theirs, operators = run(model, feeds, folder / "optimized.onnx")
        assert INTEGER_OPERATORS[op] in operators, (case, operators)
        ours = load(folder, number, "output", theirs.dtype, case["n"], *case["out"]).transpose(0, 3, 1, 2)
        theirs = theirs.reshape(ours.shape)
        differ = ours != theirs
        if op == ADD:
            differ &= theirs != contracted_sum(case, feeds)
            assert np.abs(ours.astype(np.int32) - theirs).max() <= 1
        assert not differ.any(), (case, ours[differ], theirs[differ])
        compared += ours.size
    assert compared > 10000
