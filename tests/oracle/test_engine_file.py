"""Engine files read by docs/files.md alone, and run in NumPy by docs/numerics.md alone: the engine's own logits, bit for bit.

QMD_LIBRARY names libqmd.so; the package `qmd` is that of examples/python.
"""
import math
import pathlib
import sys

import numpy as np
import onnx
import pytest
from files_support import Reader, read_container
from onnx_support import Graph

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "examples" / "data"
sys.path.insert(0, str(ROOT / "examples" / "python"))
import qmd  # noqa: E402

CONV2D, DENSE, MAXPOOL, AVGPOOL, ADD, SOFTMAX = 1, 2, 3, 4, 5, 6
F = np.float32


# ---- The file ----


def read_engine(data):
    sections = read_container(data, b"QMDENGIN")
    assert set(sections) == {"plan", "weights", "classes", "passes", "pixels"}
    engine = read_plan(Reader(sections["plan"]))
    read_weights(Reader(sections["weights"]), engine["steps"])
    classes = Reader(sections["classes"])
    engine["classes"] = [classes.text() for _ in range(classes.number())]
    passes = Reader(sections["passes"])
    engine["passes"] = passes.text().splitlines()
    engine["pixels"], pixels = read_pixels(Reader(sections["pixels"]))
    assert classes.is_at_its_end() and passes.is_at_its_end() and pixels.is_at_its_end()
    return engine


def read_plan(plan):
    shape, image_type, steps = plan.numbers("3I"), plan.number("i"), []
    for _ in range(plan.number()):
        names = ("name", "op", "inputs", "shape", "units", "kernel", "stride", "padding", "pool", "low", "is_float", "scale")
        values = (plan.text(), plan.number("i"), plan.numbers("2I"), plan.numbers("3I"), plan.number(), plan.numbers("2I"),
                  plan.numbers("2I"), plan.numbers("4I"), plan.number(), plan.number("i"), plan.number("i"), F(plan.number("f")))
        steps.append(dict(zip(names, values)))
    outputs = {plan.text(): plan.number() for _ in range(plan.number())}
    assert plan.is_at_its_end()
    return {"shape": shape, "image_type": image_type, "steps": steps, "outputs": outputs}


def read_weights(weights, steps):
    for step in steps:
        if step["op"] in (CONV2D, DENSE):
            depth = step["shape"][2] if step["op"] == CONV2D else math.prod(step["shape"])
            step["weights"] = weights.array("i1", step["units"], *step["kernel"], depth).astype(np.int64)
            step["biases"] = weights.array("<i4", step["units"]).astype(np.int64)
            step["scales"] = weights.array("<f4", step["units"])
    assert weights.is_at_its_end()


def read_pixels(section):
    kind, n, n_superposed = section.numbers("3I")
    atoms = []
    for _ in range(n):
        names = [section.text() for _ in range(4)]
        atoms.append((*names, *section.numbers("iBBI")))
    superposed = section.array("<u4", n_superposed)
    reference = section.array("<f4", n, 3)
    range_or_background = section.array("<f4", n) if kind == 1 else section.array("u1", *[math.isqrt(n - 1) + 1] * 2, 3)
    return {"kind": kind, "atoms": atoms, "superposed": superposed, "reference": reference, "rest": range_or_background}, section


# ---- The numbers ----


def rounded(x, low):
    return np.rint(np.clip(x, F(low), F(127))).astype(np.int64)


def windows(x, kernel, stride, padding=(0, 0, 0, 0)):
    """[n][rows][columns][kernel height][kernel width][channels]"""
    top, left, bottom, right = padding
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))[:, ::stride[0], ::stride[1]]
    return view.transpose(0, 1, 2, 4, 5, 3)


def multiply_add(step, x, input_scale):
    x = windows(x, step["kernel"], step["stride"], step["padding"])
    acc = step["biases"] + np.tensordot(x, step["weights"], ([3, 4, 5], [1, 2, 3]))
    assert np.abs(acc).max() < 2**31
    if step["is_float"]:
        return acc.astype(F) * (input_scale * step["scales"])
    q = rounded(acc.astype(F) * ((input_scale * step["scales"]) / step["scale"]), step["low"])
    return windows(q, (2, 2), (2, 2)).max((3, 4)) if step["pool"] == 2 else q


def average(step, x, input_scale):
    sums = F(0)
    x = windows(x, step["kernel"], step["stride"]).reshape(len(x), -1, math.prod(step["kernel"]), x.shape[-1])
    for i in range(x.shape[2]):
        sums = sums + x[:, :, i].astype(F) * input_scale
    q = rounded(sums / F(x.shape[2]) / step["scale"], step["low"])
    rows = (step["shape"][0] - step["kernel"][0]) // step["stride"][0] + 1
    return q.reshape(len(q), rows, -1, q.shape[-1])


def run(engine, images):
    """Logits of images."""
    tensors, scales = [images.astype(np.int64)], [F(1) / F(127 if engine["image_type"] == 3 else 255)]
    for step in engine["steps"]:
        first, second = step["inputs"]
        x, scale = tensors[first].reshape(-1, *step["shape"]), scales[first]
        if step["op"] == SOFTMAX:
            y = np.exp(x - x.max(-1, keepdims=True))
            y = y / y.sum(-1, keepdims=True)
        elif step["op"] in (CONV2D, DENSE):
            y = multiply_add(step, x if step["op"] == CONV2D else x.reshape(len(x), 1, 1, -1), scale)
        elif step["op"] == MAXPOOL:
            y = windows(x, step["kernel"], step["stride"]).max((3, 4))
        elif step["op"] == AVGPOOL:
            y = average(step, x, scale)
        else:
            assert step["op"] == ADD
            other = tensors[second].reshape(x.shape)
            y = rounded(x.astype(F) * (scale / step["scale"]) + other.astype(F) * (scales[second] / step["scale"]), step["low"])
        tensors.append(y)
        scales.append(step["scale"])
    return {name: tensors[number].reshape(len(images), -1) for name, number in engine["outputs"].items()}


# ---- Engines of three networks ----


def residual_network(path, side):
    """A branch that is added, pools of both kinds, an average over all that is left."""
    g = Graph(["n", 3, side, side], opset=13, seed=5)

    def bias(n):
        return g.constant(g.random.normal(size=n).astype(np.float32))

    def conv(tensor, channels, units):
        return g.node("Conv", tensor, g.weight(units, channels, 3, 3), bias(units), kernel_shape=[3, 3], pads=[1] * 4)

    first = g.node("Relu", conv("input", 3, 12))
    second = conv(g.node("Relu", conv(first, 12, 12)), 12, 12)
    tensor = g.node("Relu", g.node("Add", first, second))
    tensor = g.node("MaxPool", tensor, kernel_shape=[2, 2], strides=[2, 2])
    tensor = g.node("AveragePool", conv(tensor, 12, 8), kernel_shape=[3, 2], strides=[2, 2])
    tensor = g.node("Flatten", g.node("GlobalAveragePool", tensor))
    weight = g.constant(g.random.normal(size=(2, 8)).astype(np.float32))
    onnx.save(g.model(g.node("Gemm", tensor, weight, bias(2), transB=1)), path)


@pytest.fixture(scope="module")
def data():
    states = {name: (DATA / f"adk-{name}.pdb", [DATA / f"adk-{name}-{i}.nc" for i in (1, 2)]) for name in ("open", "closed")}
    return qmd.Dataset(select="name CA", stride=8, **states)


@pytest.fixture(scope="module", params=["icnnmd", "icnnmd on icnnmd pixels", "residual"])
def case(request, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    split = data.split("replica", 1)
    pixels = qmd.Pixels(data, split, kind="icnnmd" if "pixels" in request.param else "displacement")
    if request.param == "residual":
        residual_network(folder / "residual.onnx", pixels.side)
        model = qmd.Model.import_onnx(folder / "residual.onnx").bind(pixels, ["open", "closed"])
    else:
        model = qmd.Model.preset("icnnmd", pixels.side, 2, seed=3).train(data, split, pixels, epochs=1)
    engine = qmd.Engine.compile(model.quantize(data, split, epochs=0))
    engine.save(folder / "engine.qme")
    return request.param, engine, pixels, read_engine((folder / "engine.qme").read_bytes())


def test_a_file_says_what_the_engine_says(case, data):
    name, engine, pixels, file = case
    assert file["classes"] == engine.classes == ["open", "closed"]
    assert file["passes"] == engine.passes
    assert [step["name"] for step in file["steps"]] == [step["name"] for step in engine.plan()]
    assert file["shape"] == (pixels.side, pixels.side, 3)
    assert file["image_type"] == (4 if "pixels" in name else 3)
    ops = {step["op"] for step in file["steps"]}
    assert ops == {CONV2D, DENSE, SOFTMAX} | ({MAXPOOL, AVGPOOL, ADD} if name == "residual" else set())
    atoms = file["pixels"]["atoms"]
    assert len(atoms) == engine.n_atoms == 214
    for i in (0, 100, 213):
        atom = engine.atom(i)
        assert atoms[i] == (atom.name.decode(), atom.residue_name.decode(), atom.chain.decode(), atom.element.decode(),
                            atom.residue_number, 0, 0, i)
    assert list(file["pixels"]["superposed"]) == list(range(214))
    assert np.abs(file["pixels"]["reference"].mean(0)).max() < 4 * 0.00005  # the fit superposes four times


def test_a_file_gives_the_engines_logits(case, data):
    _, engine, pixels, file = case
    frames = np.arange(data.n_frames)
    xyz = data.read(frames)
    outputs = run(file, pixels(data, frames))
    logits = engine.run(xyz, "logits")
    assert len(np.unique(logits)) > 20
    np.testing.assert_array_equal(outputs["logits"].view(np.int32), logits.view(np.int32))
    if "probabilities" in outputs:
        np.testing.assert_allclose(outputs["probabilities"], engine.run(xyz), rtol=1e-6, atol=1e-12)
