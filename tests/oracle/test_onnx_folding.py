"""What exporters leave for others to compute: operators on constants and on shapes, and the many ways to write one layer. The
oracle is ONNX Runtime; what cannot be a model must be refused for the reason that it has."""

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_support import Graph, import_and_run, in_own_order, refusal, run_onnxruntime

N = 5  # images


def row(*numbers, dtype=np.int64):
    return np.array(numbers, dtype)


def dense_by(make_weight, opset=17, n=6):
    """A dense whose weight [n, any] is what make_weight(g) makes."""
    g = Graph(["N", n], opset=opset)
    return g.model(g.node("MatMul", "input", make_weight(g)))


def on_image(make, opset=17, shape=("N", 3, 4, 5)):
    """What make(g, x) makes of the output of a layer."""
    g = Graph(list(shape), opset=opset)
    return g.model(make(g, g.node("Relu", "input")))


def flatten_by(make_shape, opset=17):
    """An image of 60 numbers that is reshaped to what make_shape(g, x) makes, for a dense."""
    def make(g, x):
        return g.node("MatMul", g.node("Reshape", x, make_shape(g, x)), g.weight(60, 4))

    return on_image(make, opset)


def value_of(g, **attributes):
    return g.node("Constant", **attributes)


def integers(g, op="Identity", axis=0, scales=4, **attributes):
    """int8 [4, 6] behind DequantizeLinear and one more operator."""
    q = g.constant(g.random.integers(-127, 128, (4, 6)).astype(np.int8))
    s = g.constant(g.random.uniform(0.01, 0.1, scales).astype(np.float32))
    real = g.node("DequantizeLinear", q, s, g.constant(np.zeros(scales, np.int8)), axis=axis)
    return g.node(op, real, *attributes.pop("inputs", []), **attributes)


def turned(g, weight):
    return g.node("Transpose", weight, perm=[1, 0])


def one_size(g, x, index=0):
    """The extent of x at an index, as a row of one."""
    size = g.node("Gather", g.node("Shape", x), value_of(g, value_int=index), axis=0)
    return g.node("Unsqueeze", size, g.constant(row(0)))


def joined(g, *rows, **attributes):
    return g.node("Concat", *rows, axis=0, **attributes)


def first_of_shape(g, x, start, end, steps=None):
    inputs = [g.constant(row(start)), g.constant(row(end)), g.constant(row(0))]
    inputs += [g.constant(row(steps))] if steps else []
    return joined(g, g.node("Slice", g.node("Shape", x), *inputs), g.constant(row(-1)))


def there_and_back(g, x):
    narrow = g.node("Cast", joined(g, one_size(g, x), g.constant(row(60))), to=TensorProto.INT32)
    return g.node("Cast", narrow, to=TensorProto.INT64)


def old_view(g, x):
    size = g.node("Unsqueeze", g.node("Gather", g.node("Shape", x), g.constant(np.int64(0))), axes=[0])
    return joined(g, size, g.constant(row(60)))


def dense(g, x, n_in=3):
    return g.node("MatMul", x, g.weight(n_in, 4))


def images_of_vectors(g, x):
    image = g.node("Unsqueeze", g.node("Flatten", g.node("GlobalAveragePool", x)), g.constant(row(2, 3)))
    return g.node("Conv", image, g.weight(4, 3, 1, 1))


def normalized(g, x, n=3):
    values = [g.constant(g.random.uniform(0.5, 1.5, n).astype(np.float32)) for _ in range(4)]
    return g.node("BatchNormalization", x, *values)


def in_nhwc(g, x, op, *inputs, **attributes):
    return g.node(op, g.node("Transpose", x, perm=[0, 2, 3, 1]), *inputs, **attributes)


SAME = {
    # weights
    "value_floats": lambda: dense_by(lambda g: g.node("Reshape", value_of(g, value_floats=np.linspace(-1, 1, 24)), g.constant(row(6, -1)))),
    "value_ints": lambda: dense_by(lambda g: g.node("Reshape", g.weight(4, 6), value_of(g, value_ints=[6, 4]))),
    "reshape-by-0": lambda: dense_by(lambda g: g.node("Reshape", g.weight(6, 2, 2), g.constant(row(0, -1)))),
    "transpose-all": lambda: dense_by(lambda g: g.node("Transpose", g.weight(4, 6))),
    "transpose-of-3": lambda: dense_by(lambda g: g.node("Reshape", g.node("Transpose", g.weight(2, 3, 4), perm=[1, 0, 2]), g.constant(row(6, 4)))),
    "squeeze-all": lambda: dense_by(lambda g: g.node("Squeeze", g.weight(1, 6, 1, 4))),
    "squeeze-some": lambda: dense_by(lambda g: g.node("Squeeze", g.weight(6, 4, 1), g.constant(row(-1)))),
    "squeeze-old": lambda: dense_by(lambda g: g.node("Squeeze", g.weight(1, 6, 4), axes=[0]), opset=11),
    "unsqueeze": lambda: dense_by(lambda g: g.node("Squeeze", g.node("Unsqueeze", g.weight(6, 4), g.constant(row(0, -1))))),
    "cast-to-its-own": lambda: dense_by(lambda g: g.node("Cast", g.weight(6, 4), to=TensorProto.FLOAT)),
    "scales-transposed": lambda: dense_by(lambda g: integers(g, "Transpose", perm=[1, 0])),
    "scales-unsqueezed": lambda: dense_by(lambda g: turned(g, g.node("Squeeze", integers(g, "Unsqueeze", inputs=[g.constant(row(0))])))),
    "scales-reshaped": lambda: dense_by(lambda g: turned(g, g.node("Reshape", integers(g, "Reshape", inputs=[g.constant(row(4, 2, 3))]), g.constant(row(4, 6))))),
    "one-scale-reshaped": lambda: dense_by(lambda g: integers(g, "Reshape", scales=1, inputs=[g.constant(row(6, 4))])),
    "reshape-of-a-row": lambda: dense_by(lambda g: g.node("Reshape", g.weight(24), g.constant(row(6, 4)))),
    "int32-data": lambda: dense_by(lambda g: g.node("DequantizeLinear", constant_of(g, TensorProto(name="w", data_type=TensorProto.INT8, dims=[6, 4], int32_data=range(-12, 12))), g.constant(np.float32(0.05)), g.constant(np.int8(0)))),
    # shapes
    "view-by-0": lambda: flatten_by(lambda g, x: g.constant(row(0, -1))),
    "view": lambda: flatten_by(lambda g, x: joined(g, one_size(g, x), g.constant(row(-1)))),
    "view-from-the-end": lambda: flatten_by(lambda g, x: joined(g, one_size(g, x, -4), g.constant(row(-1)))),
    "view-by-products": lambda: flatten_by(lambda g, x: joined(g, one_size(g, x), g.node("Identity", g.constant(row(60))))),
    "view-old": lambda: flatten_by(old_view, opset=11),
    "view-by-slice": lambda: flatten_by(lambda g, x: first_of_shape(g, x, 0, 1)),
    "view-by-slice-from-the-end": lambda: flatten_by(lambda g, x: first_of_shape(g, x, -9, -3, steps=1)),
    "view-through-int32": lambda: flatten_by(there_and_back),
    "view-of-parts": lambda: flatten_by(lambda g, x: joined(g, one_size(g, x), g.node("Slice", g.constant(row(60, 7)), g.constant(row(0)), g.constant(row(1))), g.node("Slice", g.constant(row(3)), g.constant(row(1)), g.constant(row(9))))),
    # layers
    "transpose-twice": lambda: on_image(lambda g, x: g.node("Transpose", in_nhwc(g, x, "Relu"), perm=[0, 3, 1, 2])),
    "transpose-by-nothing": lambda: on_image(lambda g, x: g.node("Transpose", x, perm=[0, 1, 2, 3])),
    "reshape-by-nothing": lambda: on_image(lambda g, x: g.node("Reshape", x, g.constant(row(0, 3, 4, 5)))),
    "flatten-from-the-end": lambda: on_image(lambda g, x: dense(g, g.node("Flatten", x, axis=-3), 60)),
    "flatten-twice": lambda: on_image(lambda g, x: dense(g, g.node("Flatten", g.node("Flatten", x)), 60)),
    "pad-by-nothing": lambda: on_image(lambda g, x: g.node("Conv", g.node("Pad", x, g.constant(row(*[0] * 8))), g.weight(2, 3, 3, 3))),
    "pad-by-nothing-old": lambda: on_image(lambda g, x: g.node("Conv", g.node("Pad", x, pads=[0] * 8), g.weight(2, 3, 3, 3)), opset=10),
    "valid": lambda: on_image(lambda g, x: g.node("Conv", x, g.weight(2, 3, 3, 3), auto_pad="VALID")),
    "pool-that-fits": lambda: on_image(lambda g, x: g.node("MaxPool", x, kernel_shape=[2, 5], strides=[2, 1], ceil_mode=1)),
    "vectors-as-images": lambda: on_image(images_of_vectors),
    "mean": lambda: on_image(lambda g, x: dense(g, g.node("Squeeze", g.node("ReduceMean", x, axes=[-1, -2]), g.constant(row(2, 3))))),
    "mean-dropped": lambda: on_image(lambda g, x: dense(g, g.node("ReduceMean", x, axes=[2, 3], keepdims=0))),
    "mean-of-nhwc": lambda: on_image(lambda g, x: dense(g, in_nhwc(g, x, "ReduceMean", axes=[1, 2], keepdims=0))),
    "squeeze-of-nhwc": lambda: on_image(lambda g, x: dense(g, g.node("Squeeze", in_nhwc(g, x, "ReduceMean", axes=[1, 2]), g.constant(row(1, 2))))),
    "norm": lambda: on_image(normalized),
    "norm-of-vectors": lambda: on_image(lambda g, x: dense(g, normalized(g, g.node("Flatten", x), 60), 60)),
    "factor": lambda: on_image(lambda g, x: g.node("Mul", value_of(g, value_float=2.5), x)),
    "factors-of-nhwc": lambda: on_image(lambda g, x: in_nhwc(g, x, "Mul", g.constant(row(1, 2, 3, dtype=np.float32)))),
    "dropout": lambda: on_image(lambda g, x: dense(g, g.node("Dropout", g.node("Flatten", x), g.constant(np.float32(0.3)), g.constant(np.array(False))), 60)),
    "softmax-of-nhwc": lambda: on_image(lambda g, x: g.node("Softmax", in_nhwc(g, x, "ReduceMean", axes=[1, 2]), axis=-1)),
    "bias-of-norm": lambda: on_image(lambda g, x: g.node("Add", g.node("Mul", x, g.weight(3, 1, 1)), g.weight(1, 3, 1, 1))),
}


@pytest.mark.parametrize("name", SAME)
def test_what_can_be_a_model_gives_the_same_output(name, tmp_path):
    model = SAME[name]()
    onnx.save(model, tmp_path / "model.onnx")
    dims = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    image = np.random.default_rng(3).uniform(-1, 1, (N, *dims)).astype(np.float32)
    expected, = run_onnxruntime(model, image, optimize=False).values()  # which would round weights on its own
    found = import_and_run(tmp_path / "model.onnx", image, "F32", tmp_path)
    expected = expected.reshape(N, -1) if name.endswith("of-nhwc") else in_own_order(expected)  # the library's order
    assert expected.std() > 1e-2
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


def constant_of(g, tensor):
    g.initializers.append(tensor)
    return tensor.name


def floats(*dims, **fields):
    return TensorProto(name="given", data_type=TensorProto.FLOAT, dims=dims, **fields)


def computed(g, x):
    """A value that is computed from the image, where a constant must stand."""
    return g.node("Flatten", x)


def norm_with(**attributes):
    def make(g, x):
        values = [g.constant(np.ones(3, np.float32)) for _ in range(4)]
        return g.node("BatchNormalization", x, *values, **attributes)

    return on_image(make)


def two_orders():
    """Two vectors of 60, of images of other shapes."""
    def make(g, x):
        other = g.node("Conv", x, g.weight(60, 3, 4, 5))
        wide = g.node("Conv", x, g.weight(15, 3, 1, 2), strides=[2, 3])
        return dense(g, g.node("Add", g.node("Flatten", wide), g.node("Flatten", other)), 60)

    return on_image(make)


def quantized(g, x, scale=1 / 127, zero=np.int8(0), **attributes):
    """QuantizeLinear and DequantizeLinear around x; attributes are the latter's inputs where they differ."""
    s, z = g.constant(np.array(scale, np.float32)), g.constant(np.array(zero))
    q = g.node("QuantizeLinear", x, s, z)
    return g.node("DequantizeLinear", q, attributes.get("scale_back", s), attributes.get("zero_back", z))


def of_quantized(make, **attributes):
    """What make(g, x) makes of a quantized image."""
    g = Graph(["N", 3, 4, 5])
    return g.model(make(g, quantized(g, "input", **attributes)))


def back_by(make_scale=None, make_zero=None):
    """An image that is dequantized by another scale or zero point than it was quantized by."""
    g = Graph(["N", 3, 4, 5])
    other = {"scale_back": make_scale(g)} if make_scale else {"zero_back": make_zero(g)}
    return g.model(g.node("Relu", quantized(g, "input", **other)))


def dense_of_integers(integers, scale, zero, op="DequantizeLinear", is_quantized=False, **attributes):
    g = Graph(["N", 6])
    weight = g.node(op, *[g.constant(np.asarray(x)) for x in (integers, scale, zero)], **attributes)
    return g.model(g.node("MatMul", quantized(g, "input") if is_quantized else "input", weight))


ONES = np.ones((6, 4), np.int8)

REFUSED = {
    # quantization
    "its scale is 1 numbers of type int64 in 0 extents": lambda: dense_of_integers(ONES, np.int64(1), np.int8(0)),
    "its scale is 24 numbers of type float in 2 extents": lambda: dense_of_integers(ONES, np.ones((6, 4), np.float32), np.int8(0)),
    "its scale is 0 numbers of type float": lambda: dense_of_integers(ONES, np.ones(0, np.float32), np.int8(0)),
    "its scale 1 is -1, expected a finite normal number above 0": lambda: dense_of_integers(ONES, row(1, -1, 1, 1, dtype=np.float32), row(0, 0, 0, 0, dtype=np.int8)),
    "its zero point is 2 numbers of type int8, expected 1": lambda: dense_of_integers(ONES, np.float32(1), row(0, 0, dtype=np.int8)),
    "its zero point is 1 numbers of type int64": lambda: dense_of_integers(ONES, np.float32(1), np.int64(0)),
    "attribute 'axis' is 2, of 2 extents": lambda: dense_of_integers(ONES, np.ones(4, np.float32), np.zeros(4, np.int8), axis=2),
    "attribute 'axis' is -1, of 2 extents": lambda: dense_of_integers(ONES, np.ones(4, np.float32), np.zeros(4, np.int8), axis=-3),
    "it has 4 scales for axis 0 of a tensor of 2 extents": lambda: dense_of_integers(ONES, np.ones(4, np.float32), np.zeros(4, np.int8), axis=0),
    "its input is int8, its zero point uint8": lambda: dense_of_integers(ONES, np.float32(1), np.uint8(0)),
    "its zero point is 3, expected 0 of an int32": lambda: dense_of_integers(ONES.astype(np.int32), np.float32(1), np.int32(3)),
    "its weight is int32 behind DequantizeLinear, expected int8": lambda: dense_of_integers(ONES.astype(np.int32), np.float32(1), np.int32(0), is_quantized=True),
    "its weight has 6 scales along axis 0, expected 1, or 4 along 1": lambda: dense_of_integers(ONES, np.ones(6, np.float32), np.zeros(6, np.int8), axis=0, is_quantized=True),
    "it makes int32 of float": lambda: dense_of_integers(np.ones((6, 4), np.float32), np.float32(1), np.int32(0), op="QuantizeLinear"),
    "it has 3 scales for an activation, expected 1": lambda: of_quantized(lambda g, x: x, scale=[1, 1, 1], zero=np.zeros(3, np.int8)),
    "its zero point is 3 of int8: expected symmetric": lambda: of_quantized(lambda g, x: x, zero=np.int8(3)),
    "its zero point is 7 of uint8": lambda: of_quantized(lambda g, x: x, zero=np.uint8(7)),
    "its scale is 0.5, QuantizeLinear's was": lambda: back_by(make_scale=lambda g: g.constant(np.float32(0.5))),
    "DequantizeLinear.*its input is int8, its zero point uint8": lambda: back_by(make_zero=lambda g: g.constant(np.uint8(128))),
    "its input is real numbers already": lambda: on_image(lambda g, x: g.node("DequantizeLinear", x, g.constant(np.float32(1)), g.constant(np.int8(0)))),
    "its scale or zero point is computed from the image": lambda: on_image(lambda g, x: g.node("Add", x, g.node("DequantizeLinear", g.constant(np.int8(1)), computed(g, x)))),
    "its image is not quantized": lambda: on_image(lambda g, x: quantized(g, x)),
    "in a quantized model: fold it into the layer before it first": lambda: of_quantized(normalized),
    "a constant factor for each channel of a model in FP32": lambda: of_quantized(lambda g, x: g.node("Mul", x, g.constant(np.float32(2)))),
    "layer .* was quantized by scale": lambda: of_quantized(lambda g, x: g.node("Add", quantized(g, x, 0.5), quantized(g, x, 0.25))),
    # constants
    "\\(Constant\\): it has no value": lambda: dense_by(lambda g: value_of(g)),
    "attribute 'value_string' is not known": lambda: dense_by(lambda g: value_of(g, value_string="x")),
    "attribute 'perm' is not a permutation of 2 axes": lambda: dense_by(lambda g: g.node("Transpose", g.weight(4, 6), perm=[1, 1])),
    "attribute 'perm' has 3 integers, expected 2": lambda: dense_by(lambda g: g.node("Transpose", g.weight(4, 6), perm=[2, 1, 0])),
    "24 elements do not make 20": lambda: dense_by(lambda g: g.node("Reshape", g.weight(6, 4), g.constant(row(5, 4)))),
    "extent 1 of its shape is -1": lambda: dense_by(lambda g: g.node("Reshape", g.weight(6, 4), g.constant(row(-1, -1)))),
    "extent 0 of its shape is -2": lambda: dense_by(lambda g: g.node("Reshape", g.weight(6, 4), g.constant(row(-2, 4)))),
    "its shape is 2 numbers of type int32": lambda: dense_by(lambda g: g.node("Reshape", g.weight(6, 4), g.constant(row(6, 4, dtype=np.int32)))),
    "its shape is 9 numbers of type int64": lambda: dense_by(lambda g: g.node("Reshape", g.weight(6, 4), g.constant(row(*[1] * 9)))),
    "attribute 'allowzero' is 1": lambda: dense_by(lambda g: g.node("Reshape", g.weight(6, 4), g.constant(row(6, 4)), allowzero=1)),
    "it takes apart the axis that the scales belong to": lambda: dense_by(lambda g: integers(g, "Reshape", inputs=[g.constant(row(6, 4))])),
    "extent 1 is 4, not 1": lambda: dense_by(lambda g: g.node("Squeeze", g.weight(6, 4, 1), g.constant(row(1)))),
    "axis 3 of 2": lambda: dense_by(lambda g: g.node("Squeeze", g.weight(6, 4), g.constant(row(3)))),
    "axis -3 of 2": lambda: dense_by(lambda g: g.node("Squeeze", g.weight(6, 4), g.constant(row(-3)))),
    "axes are int32, expected int64": lambda: dense_by(lambda g: g.node("Squeeze", g.weight(6, 4, 1), g.constant(row(2, dtype=np.int32)))),
    "9 axes, expected at most 8": lambda: dense_by(lambda g: g.node("Squeeze", g.weight(6, 4), g.constant(row(*range(9))))),
    "it adds 0 extents to 2": lambda: dense_by(lambda g: g.node("Unsqueeze", g.weight(6, 4), g.constant(row()))),
    "it adds 0 extents to 2$": lambda: dense_by(lambda g: g.node("Unsqueeze", g.weight(6, 4), "")),
    "it adds 7 extents to 2": lambda: dense_by(lambda g: g.node("Unsqueeze", g.weight(6, 4), g.constant(row(*range(7))))),
    "an axis is given twice": lambda: dense_by(lambda g: g.node("Unsqueeze", g.weight(6, 4), g.constant(row(0, 0)))),
    "it makes double of float": lambda: dense_by(lambda g: g.node("Cast", g.weight(6, 4), to=TensorProto.DOUBLE)),
    "element 0 is 4294967296, beyond int32": lambda: flatten_by(lambda g, x: g.node("Cast", g.constant(row(1 << 32)), to=TensorProto.INT32)),
    "input 0 .* is not a row of int64 or int32": lambda: dense_by(lambda g: joined(g, g.weight(3, 4), g.weight(3, 4))),
    "its input 1 is left out or of another type": lambda: flatten_by(lambda g, x: joined(g, g.constant(row(1)), g.constant(row(1, dtype=np.int32)))),
    "\\(Concat\\): attribute 'axis' is 1": lambda: flatten_by(lambda g, x: g.node("Concat", g.constant(row(1)), axis=1)),
    "\\(Gather\\): attribute 'axis' is 1": lambda: flatten_by(lambda g, x: g.node("Gather", g.constant(row(1)), g.constant(row(0)), axis=1)),
    "index 4 of 4": lambda: flatten_by(lambda g, x: joined(g, one_size(g, x, 4), g.constant(row(-1)))),
    "index -5 of 4": lambda: flatten_by(lambda g, x: joined(g, one_size(g, x, -5), g.constant(row(-1)))),
    "input 1 has 2 numbers, expected 1": lambda: flatten_by(lambda g, x: g.node("Slice", g.node("Shape", x), g.constant(row(0, 1)), g.constant(row(1, 2)))),
    "its step is not 1": lambda: flatten_by(lambda g, x: first_of_shape(g, x, 0, 4, steps=2)),
    "attribute 'end'": lambda: flatten_by(lambda g, x: g.node("Shape", x, end=1)),
    "attribute 'start' is 1": lambda: flatten_by(lambda g, x: g.node("Shape", x, start=1)),
    "element 1 of its input is inf": lambda: dense_by(lambda g: g.node("QuantizeLinear", constant_of(g, numpy_helper.from_array(row(1, np.inf, dtype=np.float32), "w")), g.constant(np.float32(1)), g.constant(np.int8(0)))),
    "it makes uint8 of int64": lambda: dense_by(lambda g: g.node("QuantizeLinear", g.constant(row(1, 2)), g.constant(np.float32(1)))),
    # attributes of another type than theirs
    "attribute 'axis' is not an integer": lambda: on_image(lambda g, x: g.node("Flatten", x, axis=1.5)),
    "attribute 'epsilon' is not a number": lambda: norm_with(epsilon=[1, 2]),
    "attribute 'auto_pad' is not a short text": lambda: on_image(lambda g, x: g.node("Conv", x, g.weight(2, 3, 3, 3), auto_pad="V" * 99)),
    "attribute 'auto_pad' is 'NONE'": lambda: on_image(lambda g, x: g.node("Conv", x, g.weight(2, 3, 3, 3), auto_pad="NONE")),
    "attribute 'strides' has 0": lambda: on_image(lambda g, x: g.node("Conv", x, g.weight(2, 3, 3, 3), strides=[0, 1])),
    # layers
    "its weight has 3 extents, expected 4": lambda: on_image(lambda g, x: g.node("Conv", x, g.weight(2, 3, 3))),
    "\\(Conv\\): input 1 .* is computed from the image": lambda: on_image(lambda g, x: g.node("Conv", x, x)),
    "\\(Conv\\): input 2 .* is computed from the image": lambda: on_image(lambda g, x: g.node("Conv", x, g.weight(2, 3, 3, 3), computed(g, x))),
    "\\(Conv\\): its inputs are all constants": lambda: on_image(lambda g, x: g.node("Add", g.node("Conv", g.weight(1, 3, 4, 5), g.weight(2, 3, 3, 3)), x)),
    "\\(Pad\\): it pads by 1": lambda: on_image(lambda g, x: g.node("Pad", x, g.constant(row(0, 0, 0, 1, 0, 0, 0, 0)))),
    "its pads are int32, expected int64": lambda: on_image(lambda g, x: g.node("Pad", x, g.constant(row(*[0] * 8, dtype=np.int32)))),
    "attribute 'axis' is 2, expected 1 \\(the batch stays\\)": lambda: on_image(lambda g, x: g.node("Flatten", x, axis=2)),
    "it is not a transposition between": lambda: on_image(lambda g, x: g.node("Transpose", x, perm=[0, 1, 3, 2])),
    "its axes are not height and width": lambda: on_image(lambda g, x: g.node("Squeeze", g.node("GlobalAveragePool", x), g.constant(row(2)))),
    "its input is not an image of one pixel": lambda: on_image(lambda g, x: g.node("Squeeze", x, g.constant(row(2, 3)))),
    "its input is not a vector": lambda: on_image(lambda g, x: g.node("Unsqueeze", x, g.constant(row(0)))),
    "it is not a mean over height and width": lambda: on_image(lambda g, x: g.node("ReduceMean", x, axes=[1, 2])),
    "its input is \\[N\\]\\[h\\]\\[w\\]\\[c\\], expected \\[N\\]\\[c\\]\\[h\\]\\[w\\] or \\[N\\]\\[n\\]": lambda: on_image(lambda g, x: normalized(g, in_nhwc(g, x, "Relu"))),
    "attribute 'training_mode' is 1": lambda: norm_with(training_mode=1),
    "its gamma has 2 elements, expected 3": lambda: on_image(lambda g, x: normalized(g, x, 2)),
    "its bias is int64, expected float": lambda: on_image(lambda g, x: g.node("Conv", x, g.weight(2, 3, 3, 3), g.constant(row(1, 2)))),
    "its weight is int64, expected float": lambda: dense_by(lambda g: g.constant(np.ones((6, 4), np.int64))),
    "it drops in inference too": lambda: on_image(lambda g, x: g.node("Dropout", x, g.constant(np.float32(0.3)), g.constant(np.array(True)))),
    "input 1 \\('ratio'\\) is not a number": lambda: on_image(lambda g, x: g.node("Dropout", x, g.constant(row(1)))),
    "it is not a constant factor for each channel": lambda: on_image(lambda g, x: g.node("Mul", x, g.node("Relu", x))),
    "its inputs were flattened from images of other shapes": two_orders,
    "not as the bias of a convolution or dense": lambda: on_image(lambda g, x: g.node("Add", g.node("Conv", x, g.weight(2, 3, 3, 3), g.weight(2)), g.weight(2, 1, 1))),
    "its outputs are not those of a last layer": lambda: on_image(lambda g, x: g.node("Identity", "input")),
    "is a flattened image, whose order is another": lambda: on_image(lambda g, x: g.node("Flatten", x)),
    "does not depend on the input": lambda: on_image(lambda g, x: g.node("Identity", g.weight(3))),
    # tensors
    "it has 9 extents, at most 8 are read": lambda: dense_by(lambda g: constant_of(g, floats(*[1] * 9, float_data=[1]))),
    "its extents ask for 24 elements, float_data holds 23": lambda: dense_by(lambda g: constant_of(g, floats(6, 4, float_data=[1] * 23))),
    "it is only a segment of a tensor": lambda: dense_by(lambda g: constant_of(g, floats(1, float_data=[1], segment=TensorProto.Segment(begin=0, end=1)))),
    "element 1 is 200, beyond int8": lambda: dense_by(lambda g: constant_of(g, TensorProto(name="w", data_type=TensorProto.INT8, dims=[2], int32_data=[1, 200]))),
    "its type is another type": lambda: dense_by(lambda g: constant_of(g, TensorProto(name="w", data_type=99, dims=[2]))),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_a_model_is_refused(text, tmp_path):
    said = refusal(REFUSED[text](), tmp_path)
    assert re.search(text, said), said


def test_graphs_are_checked(tmp_path):
    def changed(change):
        model = on_image(lambda g, x: g.node("Relu", x))
        change(model.graph)
        return refusal(model, tmp_path)

    sparse = onnx.SparseTensorProto(values=TensorProto(name="s", data_type=TensorProto.FLOAT, dims=[0]), dims=[1])
    assert "value '/Relu_1_output_0' is computed twice" in changed(lambda g: g.node.append(g.node[0]))
    assert "it has sparse initializers" in changed(lambda g: g.sparse_initializer.append(sparse))
    assert "its output 1 ('/Relu_2_output_0') is read" in changed(lambda g: g.node[1].output.insert(0, ""))
    assert "it has 2 inputs, expected 1 to 1" in changed(lambda g: g.node[1].input.append("input"))
    assert "is not a tensor that has a shape" in changed(lambda g: g.input[0].type.Clear())

    def set_type(g):
        g.input[0].type.tensor_type.elem_type = TensorProto.INT64

    def set_extent(g):
        g.input[0].type.tensor_type.shape.dim[2].dim_value = 1 << 40

    assert "is int64, expected float, uint8 or int8" in changed(set_type)
    assert "extent 2 is 1099511627776" in changed(set_extent)


def test_a_graph_of_constants_has_no_input(tmp_path):
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["output"])], "g", [],
                              [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(np.ones(3, np.float32), "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3]))
    assert "it has no input" in refusal(model, tmp_path)
