"""Logits of engines against ONNX Runtime, bit for bit, where it computes in integers as well."""

import json
import os
import pathlib
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

BUILD = pathlib.Path(os.environ.get("QMD_BUILD", "build-release"))
INPUT, CONV2D, DENSE, RELU, MAXPOOL, DROPOUT, FLATTEN, SOFTMAX = 1, 2, 3, 4, 5, 9, 11, 12


def has_vnni():
    with open("/proc/cpuinfo") as file:
        return "vnni" in file.read()


@pytest.fixture(scope="module")
def dumps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    subprocess.run([BUILD / "tests" / "engine_dump", folder], check=True)
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


class Graph:
    """A QDQ graph: Conv -> Q -> DQ -> Relu -> Q -> DQ with one scale, weights and biases as integers behind DQ.

    ONNX Runtime wants one type in and out of a convolution: where images are u8, s8 is written as u8 around 128.
    """

    def __init__(self, is_u8):
        self.nodes, self.constants, self.n = [], [], 0
        self.image_zero = np.uint8(0) if is_u8 else np.int8(0)
        self.zero = np.uint8(128) if is_u8 else np.int8(0)

    def constant(self, array):
        self.n += 1
        name = f"constant_{self.n}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, op, inputs, **attributes):
        self.n += 1
        name = f"{op}_{self.n}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def quantized(self, tensor, scale, zero):
        scale, zero = self.constant(np.float32(scale)), self.constant(zero)
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [tensor, scale, zero]), scale, zero])

    def parameters(self, layer, weights, input_scale):
        """Integers made here, by the rules of docs/numerics.md."""
        scales = np.array(layer["weight_scales"], np.float32)
        shaped = scales.reshape(-1, *[1] * (weights.ndim - 1))
        q = np.rint(np.clip(weights / shaped, np.float32(-127), np.float32(127))).astype(np.int8)
        exact = np.array(layer["bias"], np.float32).astype(np.float64)
        bias = np.rint(exact / (np.float64(input_scale) * scales.astype(np.float64))).astype(np.int32)
        w = self.node("DequantizeLinear", [self.constant(q), self.constant(scales),
                                           self.constant(np.zeros(len(scales), np.int8))], axis=0)
        b = self.node("DequantizeLinear", [self.constant(bias), self.constant(np.float32(input_scale) * scales),
                                           self.constant(np.zeros(len(scales), np.int32))], axis=0)
        return w, b


def add_layer(graph, layer, tensor, input_scale, spatial):
    """The layer's tensor; its scale is the layer's activation_scale, or none for the logits."""
    kind = layer["kind"]
    h, w, c = layer["input_shape"]
    scale = layer["activation_scale"]
    if kind == CONV2D:
        weights = np.array(layer["weights"], np.float32).reshape(layer["units"], *layer["kernel"], c)
        w_, b = graph.parameters(layer, weights.transpose(0, 3, 1, 2), input_scale)
        tensor = graph.node("Conv", [tensor, w_, b], kernel_shape=layer["kernel"], strides=layer["stride"],
                            pads=layer["pads"])
    elif kind == DENSE:
        weights = np.array(layer["weights"], np.float32)
        if spatial:  # flattened NHWC there, NCHW here
            weights = weights.reshape(layer["units"], *spatial).transpose(0, 3, 1, 2)
        weights = weights.reshape(layer["units"], -1)
        w_, b = graph.parameters(layer, weights, input_scale)
        tensor = graph.node("Gemm", [tensor, w_, b], transB=1)
    elif kind == RELU:
        tensor = graph.node("Relu", [tensor])
    elif kind == MAXPOOL:
        tensor = graph.node("MaxPool", [tensor], kernel_shape=layer["kernel"], strides=layer["stride"])
    elif kind == FLATTEN:
        tensor = graph.node("Flatten", [tensor])
        scale = input_scale
    return graph.quantized(tensor, scale, graph.zero) if scale > 0 else tensor


def build(dump):
    h, w, c = dump["shape"]
    is_u8 = dump["image_type"] == "u8"
    image_scale = np.float32(1) / np.float32(255 if is_u8 else 127)
    graph = Graph(is_u8)
    tensors = {0: graph.quantized("image", image_scale, graph.image_zero)}
    scales, spatial = {0: image_scale}, {0: None}
    for i, layer in enumerate(dump["layers"][1:], 1):
        source = layer["input"]
        if layer["kind"] == SOFTMAX:
            break
        if layer["kind"] == DROPOUT:
            tensors[i], scales[i], spatial[i] = tensors[source], scales[source], spatial[source]
            continue
        tensors[i] = add_layer(graph, layer, tensors[source], scales[source], spatial[source])
        scales[i] = layer["activation_scale"]
        spatial[i] = layer["input_shape"] if layer["kind"] == FLATTEN else None
        if layer["kind"] == FLATTEN:
            scales[i] = scales[source]
        last = tensors[i]
    output = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", "classes"])
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", c, h, w])
    model = helper.make_model(helper.make_graph(graph.nodes, "engine", [image], [output], graph.constants),
                              opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model, image_scale


def run(dump, tmp_path):
    model, image_scale = build(dump)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    h, w, c = dump["shape"]
    integers = np.array(dump["images"], np.uint8).reshape(-1, h, w, c)
    if dump["image_type"] == "s8":
        integers = integers.view(np.int8)
    images = (integers.astype(np.float32) * image_scale).transpose(0, 3, 1, 2)
    logits = session.run(None, {"image": np.ascontiguousarray(images)})[0]
    ops = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    return logits, ops


@pytest.mark.parametrize("network", ["plain-s8", "plain-u8", "icnnmd-s8", "icnnmd-u8"])
def test_logits_equal_onnxruntime(dumps, network, tmp_path):
    dump = dumps[network]
    if dump["image_type"] == "u8" and not has_vnni():
        pytest.skip("without VNNI, ONNX Runtime's u8 x s8 convolution saturates")
    logits, ops = run(dump, tmp_path)
    kinds = [layer["kind"] for layer in dump["layers"]]
    assert ops.count("QLinearConv") == kinds.count(CONV2D), ops
    assert ops.count("QGemm") == kinds.count(DENSE), ops
    assert "Conv" not in ops and "FusedConv" not in ops and "Gemm" not in ops, ops
    expected = np.array(dump["logits"], np.float32).reshape(logits.shape)
    assert len(np.unique(expected[:, 0])) > 10
    np.testing.assert_array_equal(logits.view(np.int32), expected.view(np.int32))
