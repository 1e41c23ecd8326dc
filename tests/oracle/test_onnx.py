"""ONNX files: what is exported against ONNX Runtime, bit for bit where it computes in integers as well."""

import json
import os
import pathlib
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

BUILD = pathlib.Path(os.environ.get("QMD_BUILD", "build-release"))
DUMP = BUILD / "tests" / "onnx_dump"
QUANTIZED = ["plain-s8", "plain-u8", "residual-s8", "residual-u8", "fork", "lopsided", "pools-first-s8", "icnnmd-s8",
             "icnnmd-u8"]
FP32 = ["icnnmd-fp32", "every-kind-fp32"]


def has_vnni():
    with open("/proc/cpuinfo") as file:
        return "vnni" in file.read()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx")
    subprocess.run([DUMP, path], check=True, stdout=subprocess.DEVNULL)
    return path


class Network:
    """One that onnx_dump wrote: its file in one form, images, logits, and the integers between."""

    def __init__(self, folder, name, form=""):
        self.folder, self.name, self.form = folder, name, form
        self.about = json.loads((folder / f"{name}.json").read_text())
        self.path = folder / f"{name}{form}.onnx"
        self.is_u8 = self.about["image_type"] == "u8"
        self.images = np.fromfile(folder / f"{name}.images", np.uint8 if self.is_u8 else np.int8)
        self.images = self.images.reshape(-1, *self.about["shape"])
        self.logits = np.fromfile(folder / f"{name}.logits", np.float32).reshape(len(self.images), -1)

    def input(self):
        images = self.images
        if not self.about["quantized"] or self.form == "-tensorrt":
            images = images.astype(np.float32) * (np.float32(1) / np.float32(255 if self.is_u8 else 127))
        return images if self.form == "-nhwc" else np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def run(model, image, tmp_path):
    """All outputs, and the operators that ONNX Runtime made of the graph."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values = dict(zip(names, session.run(None, {"image": image})))
    return values, [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]


def load(network):
    model = onnx.load(network.path)
    onnx.checker.check_model(model, full_check=True)
    return model


def skip_where_ort_saturates(network):
    if network.form == "-u8s8" and not has_vnni():
        pytest.skip("without VNNI, ONNX Runtime's u8 x s8 convolution saturates")


def assert_in_integers(network, ops):
    assert ops.count("QLinearConv") == network.about["n_conv2d"], ops
    assert ops.count("QGemm") == network.about["n_dense"], ops
    assert not {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul"} & set(ops), ops


@pytest.mark.parametrize("form", ["", "-nhwc", "-u8s8"])
@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized_logits_equal_the_engine(folder, name, form, tmp_path):
    network = Network(folder, name, form)
    skip_where_ort_saturates(network)
    values, ops = run(load(network), network.input(), tmp_path)
    assert_in_integers(network, ops)
    logits = values["logits"].reshape(network.logits.shape)
    if name == "lopsided":  # its logits are a mean of floats, which ONNX Runtime sums in another order
        np.testing.assert_allclose(logits, network.logits, atol=1e-6, rtol=0)
    else:
        np.testing.assert_array_equal(logits.view(np.int32), network.logits.view(np.int32))


@pytest.mark.parametrize("form", ["", "-u8s8"])
@pytest.mark.parametrize("name", QUANTIZED)
def test_every_integer_equals_the_engine(folder, name, form, tmp_path):
    network = Network(folder, name, form)
    skip_where_ort_saturates(network)
    model = load(network)
    layers = network.about["layers"]
    kind = TensorProto.UINT8 if form == "-u8s8" else TensorProto.INT8
    model.graph.output.extend(
        helper.make_tensor_value_info(f"{layer['name']}/quantized", kind, None) for layer in layers)
    values, ops = run(model, network.input(), tmp_path)
    assert layers
    for layer in layers:
        expected = np.fromfile(folder / layer["file"], np.float32).reshape(-1, *layer["shape"])
        expected = np.rint(expected / np.float32(layer["scale"])).astype(int)
        found = values[f"{layer['name']}/quantized"].astype(int) - (128 if form == "-u8s8" else 0)
        found = found.transpose(0, 2, 3, 1) if found.ndim == 4 else found.reshape(expected.shape)
        assert len(np.unique(expected)) > 3, layer
        np.testing.assert_array_equal(found, expected, err_msg=str(layer))


@pytest.mark.parametrize("form", ["", "-nhwc"])
@pytest.mark.parametrize("name", FP32)
def test_fp32_equals_the_predictor(folder, name, form, tmp_path):
    network = Network(folder, name, form)
    values, _ = run(load(network), network.input(), tmp_path)
    np.testing.assert_allclose(values["logits"], network.logits, atol=1e-4, rtol=0)
    np.testing.assert_allclose(values["probabilities"].sum(axis=1), 1, atol=1e-5)
