"""Whole training steps against an implementation in NumPy, in double precision, written from the definitions.

QMD_LIBRARY names libqmd.so.
"""
import ctypes as ct
import os

import numpy as np
import pytest

CONV2D, DENSE, RELU, MAXPOOL, FLATTEN, SOFTMAX = 2, 3, 4, 5, 11, 12
VALID, SAME = 1, 2
ADAM, RMSPROP = 1, 2
S8 = 3


class Layer(ct.Structure):
    _fields_ = [("struct_size", ct.c_uint32), ("kind", ct.c_int32), ("name", ct.c_char_p), ("inputs", ct.c_int32 * 2),
                ("units", ct.c_uint32), ("kernel_h", ct.c_uint32), ("kernel_w", ct.c_uint32),
                ("stride_h", ct.c_uint32), ("stride_w", ct.c_uint32), ("padding", ct.c_int32),
                ("pads", ct.c_uint32 * 4), ("rate", ct.c_float), ("epsilon", ct.c_float), ("momentum", ct.c_float)]


class Shape(ct.Structure):
    _fields_ = [("h", ct.c_uint32), ("w", ct.c_uint32), ("c", ct.c_uint32)]


class TrainOptions(ct.Structure):
    _fields_ = [("struct_size", ct.c_uint32), ("optimizer", ct.c_int32), ("learning_rate", ct.c_double),
                ("beta1", ct.c_double), ("beta2", ct.c_double), ("epsilon", ct.c_double),
                ("weight_decay", ct.c_double), ("batch_size", ct.c_uint32), ("epochs", ct.c_uint32),
                ("patience", ct.c_uint32), ("seed", ct.c_uint64), ("n_threads", ct.c_uint32),
                ("checkpoint_path", ct.c_char_p), ("checkpoint_interval", ct.c_uint32), ("progress", ct.c_void_p),
                ("user", ct.c_void_p)]


@pytest.fixture(scope="module")
def qmd():
    library = ct.CDLL(os.environ["QMD_LIBRARY"])
    library.qmd_last_error.restype = ct.c_char_p
    return library


def ok(qmd, status):
    assert status == 0, qmd.qmd_last_error().decode()


# A network of every kind of step that the preset has, small enough for NumPy.
LAYERS = [
    dict(kind=CONV2D, units=6, kernel_h=3, kernel_w=3, padding=SAME),
    dict(kind=CONV2D, units=5, kernel_h=3, kernel_w=3, padding=VALID),
    dict(kind=RELU),
    dict(kind=MAXPOOL, kernel_h=2, kernel_w=2, stride_h=2, stride_w=2),
    dict(kind=CONV2D, units=4, kernel_h=3, kernel_w=3, padding=SAME),
    dict(kind=RELU),
    dict(kind=FLATTEN),
    dict(kind=DENSE, units=7),
    dict(kind=RELU),
    dict(kind=DENSE, units=3),
    dict(kind=SOFTMAX),
]
SIDE, N_IMAGES = 11, 9


def make_model(qmd, weights):
    model = ct.c_void_p()
    ok(qmd, qmd.qmd_model_create(Shape(SIDE, SIDE, 3), ct.byref(model)))
    for number, fields in enumerate(LAYERS):
        layer = Layer()
        qmd.qmd_layer_init(ct.byref(layer), fields["kind"])
        for name, value in fields.items():
            setattr(layer, name, value)
        layer.name = b"layer%d" % number
        ok(qmd, qmd.qmd_model_add(model, ct.byref(layer), None))
    for (number, parameter), values in weights.items():
        flat = np.ascontiguousarray(values, np.float32)
        ok(qmd, qmd.qmd_model_set_parameters(model, b"layer%d" % number, parameter.encode(), ct.c_size_t(flat.size),
                                             flat.ctypes.data_as(ct.c_void_p)))
    return model


def read_weights(qmd, model, like):
    weights = {}
    for (number, parameter), values in like.items():
        flat = np.empty(values.shape, np.float32)
        n = ct.c_size_t(flat.size)
        ok(qmd, qmd.qmd_model_parameters(model, b"layer%d" % number, parameter.encode(), ct.byref(n),
                                         flat.ctypes.data_as(ct.c_void_p)))
        weights[number, parameter] = flat
    return weights


# ---- The same in NumPy ----

def windows(x, size):
    """[n][h][w][c] to [n][h'][w'][size][size][c]."""
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return view.transpose(0, 1, 2, 4, 5, 3)


def convolve(x, w, b, pad):
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return np.einsum("nyxijc,oijc->nyxo", windows(x, 3), w) + b


def convolve_backward(x, w, pad, d_out):
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    d_w = np.einsum("nyxijc,nyxo->oijc", windows(padded, 3), d_out)
    d_x = np.zeros_like(padded)
    height, width = d_out.shape[1:3]
    for i in range(3):
        for j in range(3):
            d_x[:, i:i + height, j:j + width] += np.einsum("nyxo,oc->nyxc", d_out, w[:, i, j])
    side = x.shape[1]
    return d_x[:, pad:pad + side, pad:pad + side], d_w, d_out.sum((0, 1, 2))


def pool(x):
    n, h, w, c = x.shape
    return x[:, :h // 2 * 2, :w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))


def pool_backward(x, out, d_out):
    d_x = np.zeros_like(x)
    h, w = out.shape[1] * 2, out.shape[2] * 2
    up = out.repeat(2, 1).repeat(2, 2)
    d_x[:, :h, :w] = np.where(x[:, :h, :w] == up, d_out.repeat(2, 1).repeat(2, 2), 0)
    return d_x


def gradients(weights, x, labels):
    inputs = []
    for number, fields in enumerate(LAYERS[:-1]):
        inputs.append(x)
        kind = fields["kind"]
        if kind == CONV2D:
            x = convolve(x, weights[number, "weight"], weights[number, "bias"], int(fields["padding"] == SAME))
        elif kind == DENSE:
            x = x @ weights[number, "weight"].T + weights[number, "bias"]
        elif kind == RELU:
            x = np.maximum(x, 0)
        elif kind == MAXPOOL:
            x = pool(x)
        else:
            x = x.reshape(len(x), -1)
    inputs.append(x)
    p = np.exp(x - x.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    d = (p - np.eye(p.shape[1])[labels]) / len(labels)
    result = {}
    for number in reversed(range(len(LAYERS) - 1)):
        kind, before, after = LAYERS[number]["kind"], inputs[number], inputs[number + 1]
        if kind == CONV2D:
            pad = int(LAYERS[number]["padding"] == SAME)
            d, d_w, d_b = convolve_backward(before, weights[number, "weight"], pad, d)
            result[number, "weight"], result[number, "bias"] = d_w, d_b
        elif kind == DENSE:
            result[number, "weight"], result[number, "bias"] = d.T @ before, d.sum(0)
            d = d @ weights[number, "weight"]
        elif kind == RELU:
            d = d * (before > 0)
        elif kind == MAXPOOL:
            d = pool_backward(before, after, d)
        else:
            d = d.reshape(before.shape)
    return result


def train(weights, x, labels, optimizer, n_steps, o):
    weights = {key: values.astype(np.float64) for key, values in weights.items()}
    m = {key: 0.0 for key in weights}
    v = {key: 0.0 for key in weights}
    for t in range(1, n_steps + 1):
        for key, g in gradients(weights, x, labels).items():
            m[key] = o.beta1 * m[key] + (1 - o.beta1) * g
            v[key] = o.beta2 * v[key] + (1 - o.beta2) * g * g
            if optimizer == ADAM:
                step = m[key] / (1 - o.beta1 ** t) / (np.sqrt(v[key] / (1 - o.beta2 ** t)) + o.epsilon)
            else:
                step = g / (np.sqrt(v[key]) + o.epsilon)
            if key[1] == "weight":
                weights[key] = weights[key] * (1 - o.learning_rate * o.weight_decay)
            weights[key] = weights[key] - o.learning_rate * step
    return weights


def random_weights(rng):
    shapes = {0: (6, 3, 3, 3), 1: (5, 3, 3, 6), 4: (4, 3, 3, 5), 7: (7, 4 * 4 * 4), 9: (3, 7)}
    weights = {}
    for number, shape in shapes.items():
        weights[number, "weight"] = rng.uniform(-0.3, 0.3, shape).astype(np.float32)
        weights[number, "bias"] = rng.uniform(-0.1, 0.1, shape[0]).astype(np.float32)
    return weights


@pytest.mark.parametrize("optimizer", [ADAM, RMSPROP])
def test_steps_are_those_of_numpy(qmd, optimizer):
    rng = np.random.default_rng(optimizer)
    weights = random_weights(rng)
    images = rng.integers(-127, 128, (N_IMAGES, SIDE, SIDE, 3), np.int8)
    labels = (np.arange(N_IMAGES) % 3).astype(np.uint32)
    options = TrainOptions()
    qmd.qmd_train_options_init(ct.byref(options))
    options.optimizer = optimizer
    options.beta2 = 0.999 if optimizer == ADAM else 0.9
    options.batch_size = N_IMAGES  # one batch an epoch, so that the order of the images is nothing
    options.epochs = 3
    options.weight_decay = 0.1
    options.learning_rate = 1e-2
    options.epsilon = 1e-2  # a step is smooth in the gradient: rounding must not turn its sign
    options.n_threads = 1

    expected = train(weights, images / 127.0, labels, optimizer, 3, options)
    model = make_model(qmd, weights)
    ok(qmd, qmd.qmd_train_images(model, images.ctypes.data_as(ct.c_void_p), S8, labels.ctypes.data_as(ct.c_void_p),
                                 ct.c_size_t(N_IMAGES), ct.byref(options)))
    found = read_weights(qmd, model, weights)
    qmd.qmd_model_free(model)
    for key in weights:
        moved = np.abs(expected[key] - weights[key]).max()
        assert moved > 1e-4, key
        np.testing.assert_allclose(found[key], expected[key], rtol=0, atol=1e-3 * moved, err_msg=str(key))
