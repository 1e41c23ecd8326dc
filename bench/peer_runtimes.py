"""One class a runtime: made for a network file, a batch and a number of threads; run() computes one batch."""

import ctypes

import numpy as np
import onnx
import onnxruntime
import openvino
import torch
from onnx import numpy_helper

from qmd import _c


def libqmd_version():
    return _c.library().qmd_version().decode()


class Libqmd:
    """The engine, through its C interface: images and logits stay where they are."""

    def __init__(self, engine, images, n_threads):
        library = _c.library()
        self.engine = engine.clone(n_threads=n_threads, max_batch=min(len(images), 32))
        self.images = np.ascontiguousarray(images)
        self.logits = np.zeros((len(images), 2), np.float32)
        self.output = _c.Output(b"logits", self.logits.ctypes.data)
        self.function = library.qmd_context_run_images
        self.arguments = (ctypes.c_void_p(self.engine._context._pointer), ctypes.c_void_p(self.images.ctypes.data),
                          ctypes.c_size_t(len(images)), ctypes.byref(self.output), ctypes.c_size_t(1))

    def run(self):
        if self.function(*self.arguments) != 0:
            raise RuntimeError(_c.library().qmd_last_error().decode())

    def result(self):
        return self.logits


class OnnxRuntime:
    name = "ONNX Runtime"
    version = onnxruntime.__version__

    def __init__(self, form, images, n_threads):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = n_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Its threads spin while it runs, and stop when it is another's turn.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = onnxruntime.InferenceSession(str(form.path), options, ["CPUExecutionProvider"])
        self.binding = self.session.io_binding()
        self.images = images
        self.logits = np.zeros((len(images), 2), np.float32)
        self.binding.bind_input(self.session.get_inputs()[0].name, "cpu", 0, images.dtype, images.shape, images.ctypes.data)
        self.binding.bind_output("logits", "cpu", 0, np.float32, self.logits.shape, self.logits.ctypes.data)

    def run(self):
        self.session.run_with_iobinding(self.binding)

    def result(self):
        return self.logits


class OpenVino:
    name = "OpenVINO"
    version = openvino.__version__.split("-")[0]

    @staticmethod
    def has_bf16():
        """Where the processor has BF16, it is what OpenVINO computes FP32 files in unless it is told not to."""
        return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")

    def __init__(self, form, images, n_threads, precision=None):
        core = openvino.Core()
        model = core.read_model(form.path)
        model.reshape(list(images.shape))
        options = {"INFERENCE_NUM_THREADS": n_threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
        if precision is not None:
            options["INFERENCE_PRECISION_HINT"] = precision
        compiled = core.compile_model(model, "CPU", options)
        self.images = images
        self.request = compiled.create_infer_request()
        self.request.set_input_tensor(openvino.Tensor(images, shared_memory=True))

    def run(self):
        self.request.infer()

    def result(self):
        return self.request.get_output_tensor().data


# ---- PyTorch ----


def layers_of(path):
    """An FP32 file of the icnnmd network as (operator, weight, bias, padding)."""
    graph = onnx.load(path).graph
    arrays = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        weight, bias = (arrays[name] for name in node.input[1:3]) if node.op_type in ("Conv", "Gemm") else (None, None)
        yield node.op_type, weight, bias, attributes.get("pads", [0])[0]


def module_of(path):
    modules = []
    for op, weight, bias, padding in layers_of(path):
        if op == "Conv":
            modules.append(torch.nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], padding=padding))
        elif op == "Gemm":
            modules.append(torch.nn.Linear(weight.shape[1], weight.shape[0]))
        else:
            modules.append({"Relu": torch.nn.ReLU, "MaxPool": lambda: torch.nn.MaxPool2d(2), "Flatten": torch.nn.Flatten}[op]())
        if weight is not None:
            modules[-1].weight.data, modules[-1].bias.data = weight, bias
    return torch.nn.Sequential(*modules).eval()


class PyTorch:
    """FP32: channels last, traced, frozen and optimized for inference."""

    name = "PyTorch"
    version = torch.__version__.split("+")[0]

    def __init__(self, form, images, n_threads):
        self.n_threads = n_threads
        torch.set_num_threads(n_threads)
        self.images = torch.from_numpy(images).to(memory_format=torch.channels_last)
        module = module_of(form.path).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            traced = torch.jit.freeze(torch.jit.trace(module, self.images))
            self.network = torch.jit.optimize_for_inference(traced)
        self.logits = None

    def run(self):
        torch.set_num_threads(self.n_threads)
        with torch.inference_mode():
            self.logits = self.network(self.images)

    def result(self):
        return self.logits.numpy()


class PyTorchInt8:
    """PyTorch's quantized operators (u8 activations, s8 weights by channel), convolution and ReLU fused, packed once."""

    name = "PyTorch"
    version = PyTorch.version

    def __init__(self, form, images, n_threads):
        self.n_threads = n_threads
        torch.set_num_threads(n_threads)
        real = torch.from_numpy(images).float().to(memory_format=torch.channels_last) / 255
        self.image = torch.quantize_per_tensor(real, 1 / 255, 0, torch.quint8)
        self.steps = list(self.prepare(list(layers_of(form.path)), real))
        self.logits = None

    @staticmethod
    def prepare(layers, x):
        """Steps as functions; scales by the maxima of the images themselves."""
        for i, (op, weight, bias, padding) in enumerate(layers):
            has_relu = i + 1 < len(layers) and layers[i + 1][0] == "Relu"
            if op == "MaxPool":
                x = torch.nn.functional.max_pool2d(x, 2)
                yield lambda q: torch.ops.quantized.max_pool2d(q, [2, 2], [2, 2], [0, 0], [1, 1], False)
            elif op == "Flatten":
                x = x.flatten(1)
                yield lambda q: q.flatten(1)
            elif op in ("Conv", "Gemm"):
                scales = weight.abs().flatten(1).amax(1).double() / 127
                quantized = torch.quantize_per_channel(weight, scales, torch.zeros(len(weight), dtype=torch.long), 0, torch.qint8)
                if op == "Conv":
                    x = torch.nn.functional.conv2d(x, weight, bias, padding=padding)
                    packed = torch.ops.quantized.conv2d_prepack(quantized, bias, [1, 1], [padding] * 2, [1, 1], 1)
                    function = torch.ops.quantized.conv2d_relu if has_relu else torch.ops.quantized.conv2d
                else:
                    x = torch.nn.functional.linear(x, weight, bias)
                    packed = torch.ops.quantized.linear_prepack(quantized, bias)
                    function = torch.ops.quantized.linear_relu if has_relu else torch.ops.quantized.linear
                x = x.relu() if has_relu else x
                zero = 0 if has_relu else 128
                scale = float(x.abs().max()) / (255 if has_relu else 127)
                yield lambda q, f=function, p=packed, s=scale, z=zero: f(q, p, s, z)

    def run(self):
        torch.set_num_threads(self.n_threads)
        with torch.inference_mode():
            q = self.image
            for step in self.steps:
                q = step(q)
            self.logits = q.dequantize()

    def result(self):
        return self.logits.numpy()
