"""Whole training steps, computed anew in NumPy: forward, loss, backward, steps of Adam; in floats and in fake-quant.

training_step_dump writes what the library computes; nothing here is taken from it but the graph, the images and the
parameters that both start from (in fake-quant also each layer's input, so that a value that lies near a tie, and is
rounded the other way, does not spread).
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

DUMP = Path(os.environ["QMD_BUILD"]) / "tests" / "training_step_dump"


class Dump:
    def __init__(self, case, device, folder):
        subprocess.run([DUMP, case, device, folder], check=True)
        self.folder = Path(folder)
        self.graph = json.loads((self.folder / "graph.json").read_text())
        self.layers = self.graph["layers"]
        self.is_quantized = self.graph["weight_bits"] > 0

    def read(self, stage, layer, what):
        path = self.folder / f"{stage}.{layer}.{what}.f32"
        return np.fromfile(path, np.float32).astype(np.float64) if path.exists() else None

    def output(self, i):
        layer = self.layers[i]
        return self.read("forward", layer["name"], "output").reshape(self.graph["batch"], *layer["shape"])


@pytest.fixture(params=["cpu", "reference"])
def device(request):
    return request.param


@pytest.fixture
def dump(request, device, tmp_path):
    return Dump(request.param, device, tmp_path)


# Random numbers: Philox 4x32-10 (Salmon et al., SC11).


def philox(seed, stream, counter):
    """Four words for each counter."""
    mask = np.uint64(0xFFFFFFFF)
    c = [np.asarray(counter, np.uint64) & mask, np.asarray(counter, np.uint64) >> np.uint64(32)]
    c += [np.full_like(c[0], stream & 0xFFFFFFFF), np.full_like(c[0], stream >> 32)]
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        high_a, high_b = a >> np.uint64(32), b >> np.uint64(32)
        c = [high_b ^ c[1] ^ np.uint64(key[0]), b & mask, high_a ^ c[3] ^ np.uint64(key[1]), a & mask]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, axis=-1)


def test_philox_gives_the_published_numbers():
    """Known answers of Random123: counter 0, key 0."""
    assert [hex(w) for w in philox(0, 0, [0])[0]] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


def dropout_mask(shape, rate, seed, step, layer):
    n = int(np.prod(shape))
    words = philox(seed, (1 << 63) | (step << 16) | layer, np.arange((n + 3) // 4)).reshape(-1)[:n]
    is_kept = (words >> np.uint64(8)) / 2.0**24 >= np.float32(rate)
    return (is_kept / (1.0 - np.float32(rate))).reshape(shape)


# Layers. Each takes x and returns the output, and a function from d_output to d_x and the parameters' gradients.


def windows(x, kernel, stride, out):
    """The value of x at each place of each output pixel's window: [place][n][oh][ow][c], as views."""
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i, i + (out[0] - 1) * stride[0] + 1, stride[0])
            columns = slice(j, j + (out[1] - 1) * stride[1] + 1, stride[1])
            yield (i, j), x[:, rows, columns, :]


def conv2d(layer, x, weight, bias):
    top, bottom, left, right = layer["pad"]
    kernel, stride, out = layer["kernel"], layer["stride"], layer["shape"][:2]
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    w = weight.reshape(layer["units"], *kernel, x.shape[3])
    y = bias + sum(window @ w[:, i, j].T for (i, j), window in windows(padded, kernel, stride, out))

    def backward(d):
        d_weight, d_padded = np.zeros_like(w), np.zeros_like(padded)
        for (i, j), window in windows(padded, kernel, stride, out):
            d_weight[:, i, j] = np.einsum("nyxu,nyxc->uc", d, window)
        for (i, j), window in windows(d_padded, kernel, stride, out):
            window += d @ w[:, i, j]
        d_x = d_padded[:, top : top + x.shape[1], left : left + x.shape[2]]
        return d_x, (d_weight.reshape(-1), d.sum((0, 1, 2)))

    return y, backward


def dense(layer, x, weight, bias):
    w = weight.reshape(layer["units"], -1)
    flat = x.reshape(len(x), -1)

    def backward(d):
        d = d.reshape(len(x), -1)
        return (d @ w).reshape(x.shape), ((d.T @ flat).reshape(-1), d.sum(0))

    return (flat @ w.T + bias).reshape(len(x), 1, 1, -1), backward


def maxpool(layer, x):
    kernel, stride, out = layer["kernel"], layer["stride"], layer["shape"][:2]
    values = np.stack([window for _, window in windows(x, kernel, stride, out)])
    largest = values.argmax(0)

    def backward(d):
        d_x = np.zeros_like(x)
        for place, (_, window) in enumerate(windows(d_x, kernel, stride, out)):
            window += np.where(largest == place, d, 0.0)
        return d_x, ()

    return values.max(0), backward


def avgpool(kernel, stride, out, x):
    n = kernel[0] * kernel[1]

    def backward(d):
        d_x = np.zeros_like(x)
        for _, window in windows(d_x, kernel, stride, out):
            window += d / n
        return d_x, ()

    return sum(window for _, window in windows(x, kernel, stride, out)) / n, backward


def batchnorm(layer, x, gamma, beta):
    axes = (0, 1, 2)
    mean, variance = x.mean(axes), x.var(axes)
    deviation = np.sqrt(variance + layer["epsilon"])
    normalized = (x - mean) / deviation

    def backward(d):
        d_normalized = d * gamma
        d_x = (d_normalized - d_normalized.mean(axes) - normalized * (d_normalized * normalized).mean(axes)) / deviation
        return d_x, ((d * normalized).sum(axes), d.sum(axes))

    return normalized * gamma + beta, backward


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# Fake-quant, by docs/numerics.md.


def divide(x, scale):
    """In float32: whether a weight of largest magnitude lies within the range hangs on its last bit."""
    return (np.float32(x) / np.float32(scale)).astype(np.float64)


def quantize(x, scale, low, high):
    return np.rint(np.clip(divide(x, scale), low, high))


def lsq_gradient(x, d, scale, low, high, n):
    """Esser et al. 2020, equation 3; d_x too."""
    q = divide(x, scale)
    slope = np.where(q <= low, low, np.where(q >= high, high, np.rint(q) - q))
    return (d * slope).sum() / np.sqrt(n * high), np.where((q < low) | (q > high), 0.0, d)


def quantize_weights(weight, scales, high):
    w = weight.reshape(len(scales), -1)
    return (quantize(w, scales[:, None], -high, high) * scales[:, None]).reshape(-1)


def inputs_of(layer):
    return [i for i in layer["inputs"] if i >= 0]


class Step:
    """Forward and backward passes of the graph, by its own parameters."""

    def __init__(self, dump):
        self.dump, self.graph, self.layers = dump, dump.graph, dump.layers
        self.n = len(self.layers)
        self.logits = self.n - 2  # all nets end in softmax
        self.trained = {}
        for layer in self.layers:
            names = ("gamma", "beta") if layer["kind"] == "batchnorm" else ("weight", "bias")
            arrays = tuple(dump.read("before", layer["name"], name) for name in names)
            if arrays[0] is not None:
                self.trained[layer["name"]] = list(arrays)
        self.find_owners()

    def consumers(self, i):
        return [j for j, layer in enumerate(self.layers) if i in inputs_of(layer)]

    def find_owners(self):
        """Who rounds its output: what computes, or the relu that alone follows it."""
        computes = ("conv2d", "dense", "add")
        fused, self.owners = set(), set()
        for i, layer in enumerate(self.layers):
            if layer["kind"] in computes and [self.layers[j]["kind"] for j in self.consumers(i)] == ["relu"]:
                fused.add(i)
        for i, layer in enumerate(self.layers):
            kind = layer["kind"]
            if (kind in computes and i not in fused) or kind in ("avgpool", "global_avgpool", "batchnorm"):
                self.owners.add(i)
            if kind == "relu" and layer["inputs"][0] in fused:
                self.owners.add(i)

    def is_nonnegative(self, i):
        layer = self.layers[i]
        if layer["kind"] == "relu":
            return True
        if layer["kind"] in ("input", "conv2d", "dense", "batchnorm"):
            return False
        return all(self.is_nonnegative(j) for j in inputs_of(layer))

    def used_parameters(self, layer):
        weight, bias = self.trained[layer["name"]]
        if not self.dump.is_quantized or layer["kind"] == "batchnorm":
            return weight, bias
        high = 2 ** (self.graph["weight_bits"] - 1) - 1
        if self.graph["weight_bits"] > 4:
            scales = np.abs(weight.reshape(layer["units"], -1)).max(1) / high
            scales = scales.astype(np.float32).astype(np.float64)
        else:
            scales = self.dump.read("before", layer["name"], "weight_scales")
        step = self.layers[layer["inputs"][0]]["activation_scale"] * scales
        return quantize_weights(weight, scales, high), np.rint(bias / step) * step

    def apply(self, i, xs, step):
        layer = self.layers[i]
        kind, x = layer["kind"], xs[0]
        if kind in ("conv2d", "dense", "batchnorm"):
            function = {"conv2d": conv2d, "dense": dense, "batchnorm": batchnorm}[kind]
            return function(layer, x, *self.used_parameters(layer))
        if kind == "maxpool":
            return maxpool(layer, x)
        if kind == "avgpool":
            return avgpool(layer["kernel"], layer["stride"], layer["shape"][:2], x)
        if kind == "global_avgpool":
            return avgpool(x.shape[1:3], (1, 1), (1, 1), x)
        if kind == "relu":
            return np.maximum(x, 0.0), lambda d: (d * (x > 0.0), ())
        if kind == "dropout":
            mask = dropout_mask(x.shape, layer["rate"], self.graph["seed"], step, i)
            return x * mask, lambda d: (d * mask, ())
        if kind == "add":
            return xs[0] + xs[1], lambda d: (d, ())
        if kind == "flatten":
            return x.reshape(len(x), 1, 1, -1), lambda d: (d.reshape(x.shape), ())
        return softmax(x), None

    def forward(self, images, step, forced=None):
        """`forced`: outputs to go on from, after each was compared."""
        self.outputs, self.computed, self.backwards = [images], [images], [None]
        for i in range(1, self.n):
            source = forced if forced else self.outputs
            y, backward = self.apply(i, [source[j] for j in inputs_of(self.layers[i])], step)
            self.computed.append(y)
            self.backwards.append(backward)
            self.outputs.append(self.round_output(i, y))
        return self.outputs

    def limits(self, i):
        high = 2 ** (self.graph["activation_bits"] - 1) - 1
        return (0 if self.is_nonnegative(i) else -high - 1), high

    def rounds(self, i):
        return i in self.owners and self.layers[i]["activation_scale"] > 0.0

    def round_output(self, i, y):
        scale = self.layers[i]["activation_scale"]
        return quantize(y, scale, *self.limits(i)) * scale if self.rounds(i) else y

    def backward(self, logits):
        n_real, labels = self.graph["n_real"], self.graph["labels"]
        rows = np.arange(n_real)
        probabilities = softmax(logits.reshape(len(logits), -1))[:n_real]
        loss = -np.log(probabilities[rows, labels[:n_real]]).mean()
        d_logits = np.zeros((len(logits), probabilities.shape[1]))
        d_logits[:n_real] = probabilities
        d_logits[rows, labels[:n_real]] -= 1.0
        d = {self.logits: d_logits.reshape(logits.shape) / n_real}
        gradients, self.scale_gradients = {}, {}
        for i in range(self.logits, 0, -1):
            d_i = d[i]
            if self.rounds(i):
                scale, size = self.layers[i]["activation_scale"], int(np.prod(self.layers[i]["shape"]))
                self.scale_gradients[i], d_i = lsq_gradient(self.computed[i], d_i, scale, *self.limits(i), size)
            d_x, of_parameters = self.backwards[i](d_i)
            if of_parameters:
                gradients[self.layers[i]["name"]] = of_parameters
            for j in inputs_of(self.layers[i]):
                d[j] = d.get(j, 0.0) + d_x
        return loss, gradients

    def adam(self, gradients, moments, t):
        o = self.graph["adam"]
        for name, arrays in self.trained.items():
            for p in range(2):
                m, v = moments.setdefault((name, p), (0.0, 0.0))
                g = gradients[name][p]
                m, v = o["beta1"] * m + (1 - o["beta1"]) * g, o["beta2"] * v + (1 - o["beta2"]) * g * g
                moments[name, p] = m, v
                m_hat, v_hat = m / (1 - o["beta1"] ** t), v / (1 - o["beta2"] ** t)
                arrays[p] = arrays[p] - o["rate"] * m_hat / (np.sqrt(v_hat) + o["epsilon"])


def close(found, expected, tolerance=1e-5, least=0.0):
    """Float32 sums of up to 1,000 terms: relative to the largest value of the array, or to `least`."""
    size = max(np.abs(expected).max(), least)
    assert found.shape == expected.shape
    assert size > 0.0
    assert np.abs(found - expected).max() <= tolerance * size


def check_gradients(dump, gradients):
    """A bias before batchnorm has the gradient 0, of terms that are not."""
    for name, of_parameters in gradients.items():
        for p, expected in enumerate(of_parameters):
            close(dump.read("gradient", name, str(p)), expected, 2e-5, least=0.01)
    assert max(np.abs(d_weight).max() for d_weight, _ in gradients.values()) > 0.01  # not all below `least`


@pytest.mark.parametrize("dump", ["preset", "residual"], indirect=True)
def test_float_step(dump):
    step, moments = Step(dump), {}
    images = dump.output(0)
    for t in range(dump.graph["n_steps"]):
        outputs = step.forward(images, t)
        loss, gradients = step.backward(outputs[step.logits])
        if t == 0:
            for i, expected in enumerate(outputs):
                close(dump.output(i), expected)
            assert abs(loss - dump.graph["loss"]) < 1e-6
            n_real = dump.graph["n_real"]
            right = outputs[step.logits][:n_real].reshape(n_real, -1).argmax(1) == dump.graph["labels"][:n_real]
            assert right.sum() == dump.graph["n_right"]
            check_gradients(dump, gradients)
        step.adam(gradients, moments, t + 1)
    for name, arrays in step.trained.items():
        names = ("gamma", "beta") if name.startswith("batchnorm") else ("weight", "bias")
        for p in range(2):
            before, after = (dump.read(stage, name, names[p]) for stage in ("before", "after"))
            close(after - before, arrays[p] - before, 1e-4, least=0.005)  # of a difference of float32 numbers


@pytest.mark.parametrize("dump", ["residual"], indirect=True)
def test_running_statistics(dump):
    """Ioffe and Szegedy 2015: the running variance is that of the unbiased estimator."""
    (layer,) = [layer for layer in dump.layers if layer["kind"] == "batchnorm"]
    step, moments, keep = Step(dump), {}, layer["momentum"]
    mean, variance = (dump.read("before", layer["name"], what) for what in ("mean", "variance"))
    for t in range(dump.graph["n_steps"]):
        outputs = step.forward(dump.output(0), t)
        x = outputs[layer["inputs"][0]].reshape(-1, layer["shape"][2])
        mean = keep * mean + (1 - keep) * x.mean(0)
        variance = keep * variance + (1 - keep) * x.var(0, ddof=1)
        step.adam(step.backward(outputs[step.logits])[1], moments, t + 1)
    close(dump.read("after", layer["name"], "mean"), mean)
    close(dump.read("after", layer["name"], "variance"), variance)


def check_rounded(found, expected, scale):
    """Equal, but for a few values that lie so near a tie that float32 rounds them the other way."""
    steps = np.abs(found - expected) / scale
    assert steps.max() < 1.0 + 1e-3
    assert (steps > 0.5).mean() <= 0.005
    close(np.where(steps > 0.5, expected, found), expected, 1e-6)


@pytest.mark.parametrize("dump", ["w8a8", "w4a4"], indirect=True)
def test_quantized_step(dump):
    step = Step(dump)
    forced = [dump.output(i) for i in range(step.n)]
    outputs = step.forward(forced[0], 0, forced)
    for i, expected in enumerate(outputs):
        if step.rounds(i):
            check_rounded(forced[i], expected, step.layers[i]["activation_scale"])
        else:
            close(forced[i], expected)
    assert len([i for i in range(step.n) if step.rounds(i)]) >= 7

    loss, gradients = step.backward(forced[step.logits])
    assert abs(loss - dump.graph["loss"]) < 1e-6
    is_lsq = dump.graph["weight_bits"] <= 4
    high = 2 ** (dump.graph["weight_bits"] - 1) - 1
    for name, (d_weight, _) in gradients.items() if is_lsq else ():
        weight = step.trained[name][0]
        scales = dump.read("before", name, "weight_scales")
        rows = zip(weight.reshape(len(scales), -1), d_weight.reshape(len(scales), -1), scales)
        pairs = [lsq_gradient(w, d, scale, -high, high, w.size) for w, d, scale in rows]
        close(dump.read("gradient", name, "weight_scales"), np.array([of_scale for of_scale, _ in pairs]), 1e-4)
        gradients[name] = (np.concatenate([d_w for _, d_w in pairs]), gradients[name][1])
    check_gradients(dump, gradients)
    for i, layer in enumerate(step.layers):
        expected = step.scale_gradients.get(i, 0.0) if is_lsq else 0.0
        found = dump.read("gradient", layer["name"], "activation_scale")[0]
        assert abs(found - expected) <= 1e-4 * max(1.0, abs(expected))
