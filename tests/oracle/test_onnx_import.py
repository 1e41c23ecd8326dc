"""ONNX files of others: written as the exporters of PyTorch, TensorFlow and JAX write them, and ONNX Runtime's own
quantizer; and files that must be refused."""

import pathlib
import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_support import FLOAT, Graph, Refused, import_and_run, in_own_order, refusal, run_onnxruntime


def conv_as_torch(g, tensor, channels, units, kernel=3, pads=0):
    return g.node("Conv", tensor, g.weight(units, channels, kernel, kernel), g.weight(units), dilations=[1, 1], group=1,
                  kernel_shape=[kernel, kernel], pads=[pads] * 4, strides=[1, 1])


def norm_as_torch(g, tensor, n):
    values = [g.constant(g.random.uniform(0.5, 1.5, n).astype(np.float32)) for _ in range(4)]
    return g.node("BatchNormalization", tensor, *values, epsilon=1e-5, momentum=0.9, training_mode=0)


def pool_as_torch(g, tensor):
    return g.node("MaxPool", tensor, ceil_mode=0, dilations=[1, 1], kernel_shape=[2, 2], pads=[0] * 4, strides=[2, 2])


def gemm_as_torch(g, tensor, n, units):
    return g.node("Gemm", tensor, g.weight(units, n), g.weight(units), alpha=1.0, beta=1.0, transB=1)


def as_torch(flatten, batch="batch"):
    g = Graph([batch, 3, 13, 11])
    x = g.node("Relu", norm_as_torch(g, conv_as_torch(g, "input", 3, 8, pads=1), 8))
    x = pool_as_torch(g, x)  # 6 x 5
    x = g.node("Relu", conv_as_torch(g, x, 8, 7))  # 4 x 3
    x = g.node("Relu", gemm_as_torch(g, flatten(g, x), 7 * 4 * 3, 10))
    return g.model(gemm_as_torch(g, x, 10, 4))


def view_of_dynamic_batch(g, x):
    """x.view(x.size(0), -1)"""
    size = g.node("Gather", g.node("Shape", x), g.node("Constant", value=numpy_helper.from_array(np.int64(0))), axis=0)
    axes = g.constant(np.array([0], np.int64))
    open_end = g.node("Constant", value=numpy_helper.from_array(np.array([-1], np.int64)))
    return g.node("Reshape", x, g.node("Concat", g.node("Unsqueeze", size, axes), open_end, axis=0), allowzero=0)


def residual_as_torch():
    g = Graph(["batch", 3, 9, 9])
    stem = g.node("Relu", conv_as_torch(g, "input", 3, 6, pads=1))
    x = norm_as_torch(g, conv_as_torch(g, stem, 6, 6, pads=1), 6)
    x = g.node("Relu", g.node("Add", x, stem))
    x = g.node("AveragePool", x, ceil_mode=0, count_include_pad=1, kernel_shape=[2, 2], pads=[0] * 4, strides=[2, 2])
    x = g.node("Flatten", g.node("GlobalAveragePool", x), axis=1)
    return g.model(gemm_as_torch(g, g.node("Identity", x), 6, 3))


def dense_as_tensorflow(g, tensor, n, units):
    return g.node("Add", g.node("MatMul", tensor, g.weight(n, units)), g.weight(units))


def as_tensorflow():
    """tf2onnx: NHWC outside, NCHW inside, MatMul and Add, a Softmax."""
    g = Graph(["unk__5", 12, 10, 3], opset=13)
    x = g.node("Transpose", "input", perm=[0, 3, 1, 2])
    x = g.node("Conv", x, g.weight(8, 3, 3, 3), g.weight(8), dilations=[1, 1], group=1, kernel_shape=[3, 3],
               pads=[1, 1, 1, 1], strides=[1, 1])
    x = g.node("MaxPool", g.node("Relu", x), kernel_shape=[2, 2], strides=[2, 2])  # 6 x 5
    x = g.node("Relu", g.node("Conv", x, g.weight(5, 8, 2, 2), g.weight(5), auto_pad="SAME_UPPER", kernel_shape=[2, 2],
                              strides=[2, 2]))  # 3 x 3
    x = g.node("Transpose", x, perm=[0, 2, 3, 1])
    x = g.node("Reshape", x, g.constant(np.array([-1, 45], np.int64)))
    x = g.node("Relu", dense_as_tensorflow(g, x, 45, 9))
    return g.model(g.node("Softmax", dense_as_tensorflow(g, x, 9, 3), axis=-1))


def gray_as_tensorflow():
    """One channel: tf2onnx reshapes instead of transposing; a convolution's bias is an Add of its own."""
    g = Graph(["unk__5", 9, 8, 1], opset=12)
    x = g.node("Reshape", "input", g.constant(np.array([-1, 1, 9, 8], np.int64)))
    x = g.node("Conv", x, g.weight(4, 1, 3, 3), kernel_shape=[3, 3], pads=[0, 1, 2, 1], strides=[2, 1])
    x = g.node("Relu", g.node("Add", x, g.constant(g.random.normal(size=(1, 4, 1, 1)).astype(np.float32))))
    x = g.node("ReduceMean", x, axes=[2, 3], keepdims=0)
    return g.model(dense_as_tensorflow(g, x, 4, 3))


def squeezed_as_tensorflow():
    g = Graph([None, 7, 7, 3], opset=11)
    x = g.node("Transpose", "input", perm=[0, 3, 1, 2])
    x = g.node("Conv", x, g.weight(4, 3, 3, 3), auto_pad="SAME_LOWER", kernel_shape=[3, 3], strides=[2, 2])
    x = g.node("Squeeze", g.node("GlobalAveragePool", x), axes=[2, 3])
    x = g.node("Dropout", x, ratio=0.3)
    return g.model(g.node("Softmax", dense_as_tensorflow(g, x, 4, 3)))


def as_jax():
    """Vectors alone; the transposition of a weight is left to the reader, and so is a scale of it in integers."""
    g = Graph(["b", 12])
    w = g.node("Transpose", g.weight(9, 12), perm=[1, 0])
    x = g.node("Relu", g.node("Add", g.weight(1, 9), g.node("MatMul", "input", w)))
    integers = g.constant(g.random.integers(-127, 128, (5, 9)).astype(np.int8))
    scales, zeros = g.constant(g.random.uniform(0.001, 0.01, 5).astype(np.float32)), g.constant(np.zeros(5, np.int8))
    w = g.node("Transpose", g.node("DequantizeLinear", integers, scales, zeros, axis=0), perm=[1, 0])
    return g.model(g.node("Gemm", x, w))


FOREIGN = {
    "torch-flatten": lambda: as_torch(lambda g, x: g.node("Flatten", x, axis=1)),
    "torch-view": lambda: as_torch(view_of_dynamic_batch),
    "torch-reshape": lambda: as_torch(lambda g, x: g.node("Reshape", x, g.constant(np.array([0, -1], np.int64)))),
    "torch-fixed-batch": lambda: as_torch(lambda g, x: g.node("Reshape", x, g.constant(np.array([6, 84], np.int64))),
                                          batch=6),
    "torch-residual": residual_as_torch,
    "tensorflow": as_tensorflow,
    "tensorflow-gray": gray_as_tensorflow,
    "tensorflow-squeeze": squeezed_as_tensorflow,
    "jax": as_jax,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_others_give_the_same_output(name, tmp_path):
    model = FOREIGN[name]()
    onnx.save(model, tmp_path / "model.onnx")
    dims = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    image = np.random.default_rng(2).uniform(-1, 1, (6, *dims)).astype(np.float32)
    expected, = run_onnxruntime(model, image).values()
    is_nhwc = name.startswith("tensorflow")
    found = import_and_run(tmp_path / "model.onnx", image.transpose(0, 3, 1, 2) if is_nhwc else image, "F32", tmp_path)
    assert expected.std() > 1e-2
    np.testing.assert_allclose(found, in_own_order(expected), atol=1e-4, rtol=0)


# ---- Written by PyTorch and TensorFlow themselves (make_onnx_files.py) ----

FILES = sorted((pathlib.Path(__file__).parent / "onnx_files").glob("*.onnx"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_of_pytorch_and_tensorflow_give_the_same_output(path, tmp_path):
    model = onnx.load(path)
    dims = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    image = np.random.default_rng(4).uniform(-1, 1, (6, *dims)).astype(np.float32)
    expected, = run_onnxruntime(model, image).values()
    is_nhwc = path.stem.startswith("tensorflow")
    found = import_and_run(path, image.transpose(0, 3, 1, 2) if is_nhwc else image, "F32", tmp_path)
    assert len(np.unique(expected)) >= 6
    np.testing.assert_allclose(found, in_own_order(expected), atol=1e-4, rtol=0)


def test_there_are_files_of_both():
    assert len(FILES) == 8


# ---- Quantized by ONNX Runtime's own tool ----


def quantized_by_onnxruntime(tmp_path, image_scale):
    quantization = pytest.importorskip("onnxruntime.quantization")
    model = as_torch(lambda g, x: g.node("Flatten", x, axis=1))
    for node in [node for node in model.graph.node if node.op_type == "BatchNormalization"]:
        node.op_type = "Identity"  # as if it were folded
        del node.input[1:], node.attribute[:]
    onnx.save(model, tmp_path / "float.onnx")
    random = np.random.default_rng(3)
    images = random.integers(-127, 128, (64, 3, 13, 11)).astype(np.int8)
    images[:, 0, 0, 0] = 127

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.rest = iter(images.astype(np.float32) * image_scale)

        def get_next(self):
            image = next(self.rest, None)
            return None if image is None else {"input": image[None]}

    quantization.quantize_static(
        tmp_path / "float.onnx", tmp_path / "model.onnx", Reader(), quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QInt8, weight_type=quantization.QuantType.QInt8, per_channel=True,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True})
    return onnx.load(tmp_path / "model.onnx"), images


def test_a_net_quantized_by_onnxruntime_runs_in_the_engine(tmp_path):
    scale = np.float32(1) / np.float32(127)
    model, images = quantized_by_onnxruntime(tmp_path, scale)
    found = import_and_run(tmp_path / "model.onnx", images, "S8", tmp_path)
    expected, = run_onnxruntime(model, images.astype(np.float32) * scale).values()
    # It leaves the logits in integers, which the engine does not: half a step of these is the difference.
    step = [numpy_helper.to_array(t) for t in model.graph.initializer
            if t.name == [n for n in model.graph.node if n.op_type == "QuantizeLinear"][-1].input[1]][0]
    assert expected.std() > 5 * step
    np.testing.assert_allclose(found, expected, atol=1.51 * step, rtol=0)
    assert np.mean(np.abs(found - expected)) < 0.5 * step


def test_an_image_of_another_scale_is_refused(tmp_path):
    quantized_by_onnxruntime(tmp_path, np.float32(2) / np.float32(127))
    with pytest.raises(Refused, match="its image has a scale of 0.0157.*expected 1/127"):
        import_and_run(tmp_path / "model.onnx", np.zeros((1, 3, 13, 11), np.int8), "S8", tmp_path)


# ---- What must be refused ----


def one_node(op, *shapes, input_shape=("N", 4, 6, 6), domain="", **attributes):
    """One node behind the input; shapes are those of its constants."""
    g = Graph(list(input_shape))
    inputs = ["input"] + [g.weight(*shape) for shape in shapes]
    node = helper.make_node(op, inputs, ["output"], name="the node", domain=domain, **attributes)
    info = helper.make_tensor_value_info("output", FLOAT, None)
    graph = helper.make_graph([node], "main_graph", [g.input], [info], g.initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("model, text", [
    (one_node("HardSwish"), "UNSUPPORTED: .*node 0 'the node' \\(HardSwish\\): no layer .* operator HardSwish"),
    (one_node("Relu", domain="com.microsoft"), "UNSUPPORTED: .*operator com.microsoft.Relu"),
    (one_node("Conv", (4, 1, 3, 3), group=4), "\\(Conv\\): attribute 'group' is 4"),
    (one_node("Conv", (4, 4, 3, 3), dilations=[2, 1]), "dilated by 2 x 1"),
    (one_node("Conv", (4, 3, 3, 3)), "SHAPE: .*its weight is 4 x 3 x 3 x 3, its input has 4 channels"),
    (one_node("Conv", (4, 4, 3, 3), kernel_shape=[5, 5]), "'kernel_shape' is 5 x 5, its weight is 3 x 3"),
    (one_node("Conv", (4, 4, 3, 3), pads=[3, 0, 0, 0]), "pad_top"),
    (one_node("Conv", (4, 4, 3, 3), pads=[-1, 0, 0, 0]), "attribute 'pads' has -1"),
    (one_node("Conv", (4, 4, 7, 7)), "SHAPE: "),
    (one_node("Conv", (4, 4, 3, 3), (3,)), "its bias has 3 elements, expected 4"),
    (one_node("Conv", (4, 4, 3, 3), novelty=1), "attribute 'novelty' is not known"),
    (one_node("MaxPool", kernel_shape=[2, 2], pads=[1, 1, 0, 0]), "\\(MaxPool\\): it pads by 1, 1, 0, 0"),
    (one_node("MaxPool", kernel_shape=[4, 4], strides=[3, 3], ceil_mode=1), "'ceil_mode' is 1"),
    (one_node("AveragePool", strides=[3, 3]), "'kernel_shape' is missing"),
    (one_node("Gemm", (6, 5), input_shape=("N", 6), alpha=0.5), "attribute 'alpha' is 0.5"),
    (one_node("Gemm", (5, 6), input_shape=("N", 6)), "SHAPE: .*5 x 6, its input has 6 elements"),
    (one_node("Gemm", (4, 5)), "is \\[N\\]\\[c\\]\\[h\\]\\[w\\], expected \\[N\\]\\[n\\]"),
    (one_node("Softmax", axis=3), "'axis' is 3"),
    (one_node("Mul", (4, 1, 6)), "varies along extent 2, not along the channels"),
    (one_node("Mul", (3, 1, 1)), "its constant is 3 numbers of type float, for 4 channels"),
    (one_node("Add", (4, 1, 1)), "not as the bias of a convolution or dense"),
    (one_node("Relu", input_shape=("N", 4, "h", 6)), "extent 2 is not fixed"),
    (one_node("Relu", input_shape=("N", 4, 6)), "has 3 extents"),
    (one_node("Relu", input_shape=("N", 4, 0, 6)), "extent 2 is not fixed"),
])
def test_what_a_model_cannot_express_is_refused(model, text, tmp_path):
    assert re.search(text, refusal(model, tmp_path)), refusal(model, tmp_path)


def test_subgraphs_and_second_inputs_are_refused(tmp_path):
    model = one_node("Relu")
    model.graph.input.append(helper.make_tensor_value_info("other", FLOAT, ["N", 3]))
    assert "inputs 'input' and 'other', a model has one" in refusal(model, tmp_path)
    model = one_node("Relu")
    model.graph.node[0].input[0] = "nowhere"
    assert "reads value 'nowhere', which nothing computes" in refusal(model, tmp_path)
    model = one_node("Relu")
    del model.graph.output[:]
    assert "no graph with nodes and outputs" in refusal(model, tmp_path)
    model = as_torch(lambda g, x: g.node("Flatten", x, axis=1))
    model.graph.node.insert(0, model.graph.node.pop(3))
    assert "which no node before it computes" in refusal(model, tmp_path)
    model = as_torch(lambda g, x: g.node("Flatten", x, axis=1))
    model.graph.output.append(helper.make_tensor_value_info(model.graph.node[2].output[0], FLOAT, None))
    assert "but the model goes on to" in refusal(model, tmp_path)
    model = one_node("Relu")
    model.opset_import[0].version = 5
    assert "of version 5, expected at least 6" in refusal(model, tmp_path)


def conv_with(change):
    model = one_node("Conv", (4, 4, 3, 3))
    change(model.graph.initializer[0])
    return model


def test_tensors_are_checked(tmp_path):
    def outside(tensor):
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")

    def of_doubles(tensor):
        tensor.data_type = TensorProto.DOUBLE

    def too_short(tensor):
        tensor.raw_data = tensor.raw_data[:-4]

    def huge(tensor):
        tensor.dims[:] = [1 << 40, 1 << 40, 1, 1]

    def with_nan(tensor):
        tensor.raw_data = np.full(144, np.nan, np.float32).tobytes()

    assert "its data are in another file, which is not opened" in refusal(conv_with(outside), tmp_path)
    assert "its type is double" in refusal(conv_with(of_doubles), tmp_path)
    assert "ask for 576 bytes, raw_data holds 572" in refusal(conv_with(too_short), tmp_path)
    assert "extent 0 is 1099511627776" in refusal(conv_with(huge), tmp_path)
    assert "weight[0] is nan, expected a finite number" in refusal(conv_with(with_nan), tmp_path)
