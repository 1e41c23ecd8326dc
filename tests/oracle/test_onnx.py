"""ONNX files that the library writes: against ONNX Runtime, bit for bit where it computes in integers as well; and read
back."""

import json
import subprocess

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_support import DUMP, Refused, has_vnni, import_and_run, operators, run_onnxruntime

QUANTIZED = ["plain-s8", "plain-u8", "residual-s8", "residual-u8", "fork", "lopsided", "pools-first-s8", "icnnmd-s8",
             "icnnmd-u8"]
FP32 = ["icnnmd-fp32", "every-kind-fp32"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx")
    subprocess.run([DUMP, "export", path], check=True, stdout=subprocess.DEVNULL)
    return path


class Network:
    """One that onnx_dump wrote: its file in one form, images, logits, and the integers between."""

    def __init__(self, folder, name, form=""):
        self.name, self.form = name, form
        self.about = json.loads((folder / f"{name}.json").read_text())
        self.path = folder / f"{name}{form}.onnx"
        self.kind = self.about["image_type"].upper()
        self.images = np.fromfile(folder / f"{name}.images", np.uint8 if self.kind == "U8" else np.int8)
        self.images = self.images.reshape(-1, *self.about["shape"])
        self.logits = np.fromfile(folder / f"{name}.logits", np.float32).reshape(len(self.images), -1)

    def input(self):
        images = self.images
        if not self.about["quantized"] or self.form == "-tensorrt":
            images = images.astype(np.float32) * (np.float32(1) / np.float32(255 if self.kind == "U8" else 127))
        return images if self.form == "-nhwc" else np.ascontiguousarray(images.transpose(0, 3, 1, 2))

    def load(self):
        model = onnx.load(self.path)
        onnx.checker.check_model(model, full_check=True)
        return model


def skip_where_ort_saturates(network):
    if network.form == "-u8s8" and not has_vnni():
        pytest.skip("without VNNI, ONNX Runtime's u8 x s8 convolution saturates")


def assert_in_integers(network, ops):
    assert ops.count("QLinearConv") == network.about["n_conv2d"], ops
    assert ops.count("QGemm") == network.about["n_dense"], ops
    assert not {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul"} & set(ops), ops


def assert_same_bits(found, expected):
    np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))


@pytest.mark.parametrize("form", ["", "-nhwc", "-u8s8"])
@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized_logits_equal_the_engine(folder, name, form, tmp_path):
    network = Network(folder, name, form)
    skip_where_ort_saturates(network)
    values = run_onnxruntime(network.load(), network.input(), tmp_path / "optimized.onnx")
    assert_in_integers(network, operators(tmp_path / "optimized.onnx"))
    logits = values["logits"].reshape(network.logits.shape)
    if name == "lopsided":  # its logits are a mean of floats, which ONNX Runtime sums in another order
        np.testing.assert_allclose(logits, network.logits, atol=1e-6, rtol=0)
    else:
        assert_same_bits(logits, network.logits)


@pytest.mark.parametrize("form", ["", "-u8s8"])
@pytest.mark.parametrize("name", QUANTIZED)
def test_every_integer_equals_the_engine(folder, name, form, tmp_path):
    network = Network(folder, name, form)
    skip_where_ort_saturates(network)
    model, layers = network.load(), network.about["layers"]
    kind = TensorProto.UINT8 if form == "-u8s8" else TensorProto.INT8
    model.graph.output.extend(
        helper.make_tensor_value_info(f"{layer['name']}/quantized", kind, None) for layer in layers)
    values = run_onnxruntime(model, network.input())
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
def test_fp32_equals_the_predictor(folder, name, form):
    network = Network(folder, name, form)
    values = run_onnxruntime(network.load(), network.input())
    np.testing.assert_allclose(values["logits"], network.logits, atol=1e-4, rtol=0)
    np.testing.assert_allclose(values["probabilities"].sum(axis=1), 1, atol=1e-5)


# ---- TensorRT's rules ----


def producers(model):
    return {output: node for node in model.graph.node for output in node.output}


@pytest.mark.parametrize("name", QUANTIZED)
def test_tensorrt_gets_what_it_takes(folder, name):
    """int8 around 0 alone, int8 weights behind DequantizeLinear, float biases, nothing between a layer and its relu; where
    the image is u8, its readers are in float."""
    network = Network(folder, name, "-tensorrt")
    model = network.load()
    made_by, constants = producers(model), {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    n_float = 0
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert constants[node.input[2]].dtype == np.int8 and not constants[node.input[2]].any()
        if node.op_type == "QuantizeLinear" and not network.name.startswith("lopsided"):
            reader = [r for r in model.graph.node if node.input[0] in r.input and r is not node]
            assert not [r for r in reader if r.op_type == "Relu"]
        if node.op_type in ("Conv", "Gemm"):
            assert constants[node.input[2]].dtype == np.float32
            is_float = node.input[1] in constants
            n_float += is_float
            assert is_float or made_by[node.input[1]].op_type == "DequantizeLinear"
            assert is_float == (network.kind == "U8" and node.input[0] == "image")
    assert n_float == (1 if network.kind == "U8" else 0)


@pytest.mark.parametrize("name", QUANTIZED)
def test_tensorrt_computes_about_the_same(folder, name):
    network = Network(folder, name, "-tensorrt")
    logits = run_onnxruntime(network.load(), network.input())["logits"].reshape(network.logits.shape)
    assert np.abs(logits - network.logits).max() < 0.1 * network.logits.std()


# ---- Back again ----


@pytest.mark.parametrize("form", ["", "-nhwc", "-u8s8", "-tensorrt"])
@pytest.mark.parametrize("name", QUANTIZED + FP32)
def test_what_was_exported_comes_back(folder, name, form, tmp_path):
    network = Network(folder, name, form)
    images = network.images.transpose(0, 3, 1, 2)
    if form == "-tensorrt" and network.about["quantized"] and network.kind == "U8":
        with pytest.raises(Refused, match="quantized as a whole or not at all"):
            import_and_run(network.path, images, network.kind, tmp_path)
        return
    assert_same_bits(import_and_run(network.path, images, network.kind, tmp_path), network.logits)
