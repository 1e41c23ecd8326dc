"""The icnnmd network in every form that a runtime may like best: FP32 and INT8, as it is and collapsed, input bound as 8 bits."""

import ctypes
import dataclasses
import logging
import pathlib

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import qmd
from qmd import _c

N_CALIBRATION = 8

# The quantizer advises a step of preparation that has nothing to do here.
logging.getLogger().setLevel(logging.ERROR)


def call(name, *arguments):
    """A function of libqmd that the package does not wrap; raises as the package does."""
    function = getattr(_c.library(), name)
    status = function(*arguments)
    if status != 0:
        library = _c.library()
        raise _c.Error(status, library.qmd_status_name(status).decode(), library.qmd_last_error().decode(errors="replace"))


def quantized_on_images(model, images, collapse):
    """Calibrated, not fine-tuned: what the weights are does not change a time."""
    out = ctypes.c_void_p()
    labels = np.zeros(len(images), np.uint32)
    options = _c.QuantizeOptions(epochs=0, linear_collapse=int(collapse))
    image_type = _c.S8 if images.dtype == np.int8 else _c.U8
    call("qmd_quantize_images", ctypes.c_void_p(model._pointer), ctypes.c_void_p(images.ctypes.data), image_type,
         ctypes.c_void_p(labels.ctypes.data), ctypes.c_size_t(len(images)), ctypes.byref(options), ctypes.byref(out))
    return qmd.Model(out.value)


# ---- Graphs ----


def initializers(graph):
    return {tensor.name: tensor for tensor in graph.initializer}


def set_initializer(graph, name, array):
    initializers(graph)[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))


def collapse(model):
    """The first two convolutions as one, 5x5 with padding 1: nothing stands between them (docs/numerics.md)."""
    graph = model.graph
    first, second = [node for node in graph.node if node.op_type == "Conv"][:2]
    assert second.input[0] == first.output[0]
    w1, b1, w2, b2 = (numpy_helper.to_array(initializers(graph)[name]).astype(np.float64)
                      for name in (*first.input[1:], *second.input[1:]))
    w = np.zeros((len(w2), w1.shape[1], 5, 5))
    for y in range(3):
        for x in range(3):
            w[:, :, y:y + 3, x:x + 3] += np.einsum("om,mikl->oikl", w2[:, :, y, x], w1)
    set_initializer(graph, first.input[1], w)
    set_initializer(graph, first.input[2], b2 + np.einsum("omyx,m->o", w2, b1))
    for attribute in first.attribute:
        if attribute.name == "kernel_shape":
            attribute.ints[:] = [5, 5]
        if attribute.name == "pads":
            attribute.ints[:] = [1, 1, 1, 1]
    first.output[0] = second.output[0]
    for name in second.input[1:]:
        graph.initializer.remove(initializers(graph)[name])
    graph.node.remove(second)
    return model


def bind_bytes(model):
    """Let the input be what the first QuantizeLinear gives, and return its scale and zero point."""
    graph = model.graph
    image = graph.input[0]
    name, found = image.name, None
    while True:
        readers = [node for node in graph.node if name in node.input]
        if len(readers) != 1 or readers[0].op_type not in ("QuantizeLinear", "DequantizeLinear"):
            break
        if readers[0].op_type == "QuantizeLinear":
            found = readers[0]
        name = readers[0].output[0]
    if found is None:  # the input is bytes already: the scale is that of the DequantizeLinear that reads it
        found = [node for node in graph.node if image.name in node.input][0]
        scale, zero = (numpy_helper.to_array(initializers(graph)[n]) for n in found.input[1:3])
        return float(scale), zero
    scale, zero = (numpy_helper.to_array(initializers(graph)[n]) for n in found.input[1:3])
    new = onnx.helper.make_tensor_value_info(found.output[0], onnx.helper.np_dtype_to_tensor_dtype(zero.dtype), None)
    new.type.tensor_type.shape.CopyFrom(image.type.tensor_type.shape)
    before = {found.output[0]}
    for node in reversed(list(graph.node)):  # what led to it goes
        if before & set(node.output):
            before |= set(node.input)
            graph.node.remove(node)
    graph.input.remove(image)
    graph.input.append(new)
    return float(scale), zero


def for_inference(model):
    """Logits alone, no dropout, nothing that is not used."""
    graph = model.graph
    for output in [o for o in graph.output if o.name != "logits"]:
        graph.output.remove(output)
    for node in [n for n in graph.node if n.op_type == "Softmax"]:
        graph.node.remove(node)
    for dropout in [n for n in graph.node if n.op_type == "Dropout"]:
        for node in graph.node:
            node.input[:] = [dropout.input[0] if name == dropout.output[0] else name for name in node.input]
        graph.node.remove(dropout)
    used = {name for node in graph.node for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in used]:
        graph.initializer.remove(tensor)
    return model


def to_half(model):
    """A file in FP32 in FP16: weights, input and outputs."""
    graph = model.graph
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    return model


# ---- Forms ----


def noise(kind, n, side):
    """Images of a kind: "u8" is q / 255 (icnnmd pixels), "s8" is q / 127 (displacements)."""
    low, high = (0, 256) if kind == "u8" else (-127, 128)
    return np.random.default_rng(1).integers(low, high, (n, side, side, 3)).astype(np.uint8 if kind == "u8" else np.int8)


def reals(images):
    return images.astype(np.float32) / np.float32(127 if images.dtype == np.int8 else 255)


def make_model(side):
    """A network that has learned something, so that its logits are no small differences of large numbers."""
    images = noise("s8", 32, side)
    labels = (np.arange(32) % 2).astype(np.uint32)
    images[1::2, : side // 2] //= 2
    model = qmd.Model.preset("icnnmd", side, 2)
    options = _c.TrainOptions(epochs=4, target_loss=0, batch_size=8)
    call("qmd_train_images", ctypes.c_void_p(model._pointer), ctypes.c_void_p(images.ctypes.data), _c.S8,
         ctypes.c_void_p(labels.ctypes.data), ctypes.c_size_t(32), ctypes.byref(options))
    return model


@dataclasses.dataclass
class Form:
    """One network file. Real numbers of an image are scale * (q - zero point); an FP32 file has no scale."""

    name: str
    kind: str  # of the images that it is made for: "u8" or "s8"
    collapsed: bool
    path: pathlib.Path
    scale: float = None
    zero: np.ndarray = None

    @property
    def is_int8(self):
        return self.scale is not None

    def inputs(self, images):
        """What the file takes for images, NCHW."""
        nchw = np.ascontiguousarray(reals(images).transpose(0, 3, 1, 2))
        if not self.is_int8:
            return nchw
        limits = np.iinfo(self.zero.dtype)
        return np.clip(np.rint(nchw / self.scale) + float(self.zero), limits.min, limits.max).astype(self.zero.dtype)


class Reader(CalibrationDataReader):
    def __init__(self, images):
        self.batches = iter([{"image": np.ascontiguousarray(reals(images).transpose(0, 3, 1, 2))}])

    def get_next(self):
        return next(self.batches, None)


def form_of_quantizer(kind, collapsed, fp32, side, path):
    """What ONNX Runtime's own quantizer makes of an FP32 file: per-channel weights, activations of the images' type."""
    quantize_static(str(fp32), str(path), Reader(noise(kind, N_CALIBRATION, side)), quant_format=QuantFormat.QDQ,
                    per_channel=True, activation_type=QuantType.QUInt8 if kind == "u8" else QuantType.QInt8,
                    weight_type=QuantType.QInt8)
    model = onnx.load(path)
    scale, zero = bind_bytes(model)
    onnx.save(model, path)
    return Form(f"INT8 {kind}s8", kind, collapsed, path, scale, zero)


def form_of_libqmd(model, collapsed, side, path):
    """What libqmd exports: symmetric, the integers of its engine."""
    quantized_on_images(model, noise("s8", N_CALIBRATION, side), collapsed).export_onnx(path)
    exported = for_inference(onnx.load(path))
    scale, zero = bind_bytes(exported)
    onnx.save(exported, path)
    return Form("INT8 exported", "s8", collapsed, path, scale, zero)


def make_forms(model, side, folder):
    forms = []
    for collapsed in (False, True):
        name = f"{side}-collapsed" if collapsed else f"{side}"
        fp32 = folder / f"{name}-fp32.onnx"
        model.export_onnx(fp32)
        graph = for_inference(onnx.load(fp32))
        onnx.save(collapse(graph) if collapsed else graph, fp32)
        forms.append(Form("FP32", "s8", collapsed, fp32))
        for kind in ("u8", "s8"):
            forms.append(form_of_quantizer(kind, collapsed, fp32, side, folder / f"{name}-{kind}s8.onnx"))
        forms.append(form_of_libqmd(model, collapsed, side, folder / f"{name}-exported.onnx"))
    return forms
