"""The node tests and the converted PyTorch files that the `onnx` package ships, for the operators that a model has.

A test is either passed or named in OUT_OF_SCOPE with what the library says: there is no third way, so that neither a test
that is new nor one that becomes possible goes unseen.
"""

import pathlib
import re
import warnings

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_support import Refused, import_and_run, in_own_order

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases

    CASES = {case.name: case for case in collect_testcases(None)}

OPERATORS = {"Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "Gemm", "MatMul", "BatchNormalization",
             "QuantizeLinear", "DequantizeLinear"}

DIMENSIONS = "has [356] extents"
# Names of tests, and the reason that the library gives.
OUT_OF_SCOPE = {
    "averagepool_[13]d_.*|maxpool_[13]d_.*|matmul_3d": DIMENSIONS,
    "(average|max)pool_2d_(precomputed_pads.*|precomputed_same_upper|same_.*|pads.*)": "it pads by",
    "maxpool_with_argmax_2d_precomputed_pads": "it pads by|its output 1",
    "maxpool_with_argmax_2d_precomputed_strides": "its output 1",
    "averagepool_2d_ceil_last_window_starts_on_pad": "it pads by",
    "maxpool_2d_ceil_output_size_reduce_by_one|(average|max)pool_2d_ceil": "'ceil_mode' is 1",
    "(average|max)pool_2d_dilations": "dilated by",
    "maxpool_2d_uint8": "integers that no DequantizeLinear makes real",
    "batchnorm_.*_training_mode": "its output 1",
    "gemm_(alpha|all_attributes)": "'alpha' is",
    "gemm_beta": "'beta' is",
    "gemm_transposeA": "'transA' is 1",
    "gemm_default_matrix_bias": "its bias has 12 elements",
    "matmul_(4d|bcast)": "expected \\[N\\]\\[n\\]",
    "matmul_1d_.*": "has 1 extents",
    "matmul_4d_1d": "expected \\[N\\]\\[n\\]",
    "(de)?quantizelinear_axis": "zero points are not equal",
    "(de)?quantizelinear_(e4m3|e5m2|u?int(2|4|16)|float4).*": "its type is",
    "(de)?quantizelinear_blocked.*": "'block_size' is|in 2 extents|in 4 extents",
}


def is_in(case):
    operators = {node.op_type for node in case.model.graph.node}
    return operators <= OPERATORS and len(case.model.graph.node) == 1


def reason(name):
    found = [why for names, why in OUT_OF_SCOPE.items() if re.fullmatch(f"test_({names})", name)]
    return found[0] if found else None


def constant(value, name):
    if not isinstance(value, TensorProto):  # which it is for types that NumPy has not
        return numpy_helper.from_array(np.asarray(value), name)
    named = TensorProto.FromString(value.SerializeToString())
    named.name = name
    return named


def with_constants(model, arrays):
    """The inputs but the first as initializers: a model's weights are constants."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    names = [value.name for value in model.graph.input]
    for name, array in list(zip(names, arrays))[1:]:
        model.graph.initializer.append(constant(array, name))
    del model.graph.input[1:]
    return model


def around_quantization(model, arrays):
    """All inputs are constants; what the node makes of them is a weight [1, n] of a MatMul, its input a 1."""
    model = with_constants(model, arrays)
    node = model.graph.node[0]
    model.graph.initializer.append(constant(arrays[0], node.input[0]))
    result = node.output[0]
    if node.op_type == "QuantizeLinear":
        like = next((t for t in model.graph.initializer if len(node.input) > 2 and t.name == node.input[2]), None)
        zero = TensorProto(name="zero", data_type=like.data_type if like else TensorProto.UINT8, raw_data=b"\0")
        model.graph.initializer.extend([numpy_helper.from_array(np.float32(1), "one"), zero])
        model.graph.node.append(helper.make_node("DequantizeLinear", [result, "one", "zero"], ["real"]))
        result = "real"
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, -1], np.int64), "row"))
    model.graph.node.extend([helper.make_node("Reshape", [result, "row"], ["weight"]),
                             helper.make_node("MatMul", ["input", "weight"], ["product"])])
    del model.graph.input[:], model.graph.output[:]
    model.graph.input.append(helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 1]))
    model.graph.output.append(helper.make_tensor_value_info("product", TensorProto.FLOAT, ["N", None]))
    return model


def check(name, model, image, expected, tmp_path):
    onnx.save(model, tmp_path / "model.onnx")
    why = reason(name)
    try:
        found = import_and_run(tmp_path / "model.onnx", image, "F32", tmp_path)
    except Refused as refused:
        assert why, f"{name} is refused: {refused}"
        assert re.search(why, str(refused)), f"{name}: {refused}"
        return
    assert not why, f"{name} is no longer out of scope"
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(name for name, case in CASES.items() if is_in(case)))
def test_node(name, tmp_path):
    case = CASES[name]
    inputs, outputs = case.data_sets[0]
    if "QuantizeLinear" in case.model.graph.node[0].op_type or "DequantizeLinear" in case.model.graph.node[0].op_type:
        model = around_quantization(case.model, inputs)
        is_known = not isinstance(outputs[0], TensorProto)
        expected = np.asarray(outputs[0]).astype(np.float32).reshape(1, -1) if is_known else None
        check(name, model, np.ones((1, 1), np.float32), expected, tmp_path)
        return
    model = with_constants(case.model, inputs)
    check(name, model, np.asarray(inputs[0]), in_own_order(np.atleast_1d(outputs[0])), tmp_path)


# ---- Files that PyTorch wrote ----

CONVERTED = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data" / "pytorch-converted"
FILES = ["AvgPool2d", "AvgPool2d_stride", "BatchNorm2d_eval", "BatchNorm2d_momentum_eval", "Conv2d", "Conv2d_no_bias",
         "Conv2d_padding", "Conv2d_strided", "Linear", "ReLU", "Softmax", "softmax_lastdim"]
REFUSED = {"Conv2d_dilated": "dilated by 2 x 2", "Conv2d_groups": "'group' is 2", "Conv2d_depthwise": "'group' is 4",
           "Conv1d": "has 3 extents", "Conv3d": "has 5 extents", "MaxPool2d": "it pads by 1, 1, 1, 1", "MaxPool1d": "\\(Squeeze|\\(Unsqueeze|has 3 extents",
           "PixelShuffle": "\\(Reshape\\)",
           "Softmin": "operator Neg", "Tanh": "operator Tanh", "ZeroPad2d": "\\(Pad\\): it pads by 2"}


def array(path):
    return numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))


@pytest.mark.parametrize("name", FILES + list(REFUSED))
def test_a_file_that_pytorch_wrote(name, tmp_path):
    folder = CONVERTED / f"test_{name}"
    model = onnx.load(folder / "model.onnx")
    image, expected = (array(folder / "test_data_set_0" / f"{kind}_0.pb") for kind in ("input", "output"))
    onnx.save(model, tmp_path / "model.onnx")
    if name in REFUSED:
        with pytest.raises(Refused, match=REFUSED[name]):
            import_and_run(tmp_path / "model.onnx", image, "F32", tmp_path)
        return
    found = import_and_run(tmp_path / "model.onnx", image, "F32", tmp_path)
    np.testing.assert_allclose(found, in_own_order(expected), rtol=1e-4, atol=1e-5)
