"""Model files against a reader and a writer that know docs/files.md alone (struct and zlib).

QMD_LIBRARY names libqmd.so; the package `qmd` is that of examples/python.
"""
import pathlib
import struct
import sys

import numpy as np
import pytest
from files_support import read_container, write_container

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "examples" / "data"
sys.path.insert(0, str(ROOT / "examples" / "python"))
import qmd  # noqa: E402

CONV2D, DENSE, BATCHNORM = 2, 3, 8
LAYER = struct.Struct("<i2i I 2I 2I i 4I 3f")  # all but the name


def read_model(data):
    """Input shape, layers as (name, fields), and the arrays of each layer's parameters."""
    sections = read_container(data, b"QMDMODEL")
    graph, weights = sections["graph"], np.frombuffer(sections["weights"], "<f4")
    shape, (n,) = struct.unpack_from("<3I", graph), struct.unpack_from("<I", graph, 12)
    offset, layers = 16, []
    for _ in range(n):
        (length,) = struct.unpack_from("<I", graph, offset)
        name = graph[offset + 4:offset + 4 + length].decode()
        layers.append((name, LAYER.unpack_from(graph, offset + 4 + length)))
        offset += 4 + length + LAYER.size
    assert offset == len(graph)
    return shape, layers, weights


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "preset.qmd"
    model = qmd.Model.preset("icnnmd", 12, 3, seed=11)
    model.save(path)
    return model, path.read_bytes()


def test_a_saved_model_is_read_by_its_documentation(preset):
    model, data = preset
    shape, layers, weights = read_model(data)
    assert shape == (12, 12, 3)
    assert [name for name, _ in layers][:4] == ["conv2d_1", "conv2d_2", "relu_1", "maxpool_1"]
    assert len(layers) == 17 and len(weights) == model.n_parameters
    kind, first, second, units, kernel_h, kernel_w, *rest = layers[0][1]
    assert (kind, first, second, units, kernel_h, kernel_w) == (CONV2D, 0, -1, 32, 3, 3)
    assert tuple(rest[:7]) == (1, 1, 2, 1, 1, 1, 1)  # strides, 'same', one pixel on each side
    assert layers[4][1][-3] == 0.25


def philox(seed, stream, n):
    """Philox 4x32-10 (Salmon et al., SC11) in NumPy: n words, four to a counter."""
    counter = np.arange(-(-n // 4), dtype=np.uint64)
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    c = [counter & mask, counter >> shift, np.full_like(counter, stream & 0xFFFFFFFF), np.full_like(counter, stream >> 32)]
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(b >> shift) ^ c[1] ^ np.uint64(key[0]), b & mask, (a >> shift) ^ c[3] ^ np.uint64(key[1]), a & mask]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, 1).reshape(-1)[:n]


def test_weights_are_drawn_by_philox_and_fan_in(preset):
    _, layers, weights = read_model(preset[1])
    channels, offset = 3, 0
    for number, (_, fields) in enumerate(layers, 1):
        kind, units, kernel = fields[0], fields[3], fields[4] * fields[5]
        if kind not in (CONV2D, DENSE):
            continue
        fan_in = channels * kernel if kind == CONV2D else {512: 64, 3: 512}[units]
        uniform = (philox(11, 0x474C4F52 << 32 | number, units * fan_in) >> np.uint64(8)).astype("f4") * np.float32(2**-24)
        limit = np.float32(1 / np.sqrt(fan_in))
        expected = (np.float32(2) * uniform - np.float32(1)) * limit
        np.testing.assert_array_equal(weights[offset:offset + units * fan_in], expected)
        assert not weights[offset + units * fan_in:offset + units * fan_in + units].any()
        offset += units * fan_in + units
        channels = units
    assert offset == len(weights)


def text(value):
    return struct.pack("<I", len(value)) + value.encode()


def test_a_file_written_by_the_documentation_is_loaded(tmp_path):
    layers = [("first", (DENSE, 0, -1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0)),
              ("norm", (BATCHNORM, 1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.5, 0.75)),
              ("last", (DENSE, 2, -1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0))]
    graph = struct.pack("<4I", 1, 1, 5, len(layers)) + b"".join(text(n) + LAYER.pack(*f) for n, f in layers)
    weights = np.abs(np.random.default_rng(1).normal(size=4 * 5 + 4 + 4 * 4 + 2 * 4 + 2)).astype("<f4").tobytes()
    data = write_container(b"QMDMODEL", 1, 0, {"graph": graph, "weights": weights})
    path, again = tmp_path / "written.qmd", tmp_path / "again.qmd"
    path.write_bytes(data)
    model = qmd.Model.load(path)
    assert (model.n_classes, model.n_parameters, model.n_macs) == (2, 24 + 8 + 10, 20 + 8)
    model.save(again)
    assert again.read_bytes() == data
    path.write_bytes(write_container(b"QMDMODEL", 1, 7, {"graph": graph, "weights": weights, "later": b"unknown"}))
    assert qmd.Model.load(path).n_parameters == 42
    path.write_bytes(write_container(b"QMDMODEL", 2, 0, {"graph": graph, "weights": weights}))
    with pytest.raises(qmd.Error, match="format version is 2.0, .* reads versions up to 1.x"):
        qmd.Model.load(path)


@pytest.mark.parametrize("optimizer,n_moments", [("adam", 2), ("rmsprop", 1)])
def test_a_checkpoint_is_read_by_its_documentation(optimizer, n_moments, tmp_path):
    states = {name: (DATA / f"adk-{name}.pdb", [DATA / f"adk-{name}-1.nc"]) for name in ("open", "closed")}
    data = qmd.Dataset(select="name CA", stride=5, **states)
    split = data.split("block", 0, n_folds=4)
    pixels = qmd.Pixels(data, split)
    model = qmd.Model.preset("icnnmd", pixels.side, 2)
    path = tmp_path / "training.qmc"
    losses = {}  # mean so far in its epoch, by mini-batches done

    def note(_phase, done, _total, loss, _accuracy):
        losses[done] = loss

    model.train(data, split, pixels, optimizer=optimizer, checkpoint_path=path, epochs=3, batch_size=4, target_loss=0,
                learning_rate=1e-4, progress=note)
    sections = read_container(path.read_bytes(), b"QMDCHECK")
    assert set(sections) == {"state", "weights", "optimizer"}
    _, epochs, batches, best, since = struct.unpack("<QQQdQ", sections["state"])
    n_batches = -(-len(split.train) // 4)
    assert (epochs, batches) == (3, 3 * n_batches)
    of_epochs = [losses[n_batches * epoch] for epoch in (1, 2, 3)]
    assert best == min(of_epochs) and since == 2 - of_epochs.index(best)
    model.save(tmp_path / "trained.qmd")
    assert sections["weights"] == read_container((tmp_path / "trained.qmd").read_bytes(), b"QMDMODEL")["weights"]
    moments = np.frombuffer(sections["optimizer"], "<f4", offset=8)
    assert struct.unpack_from("<Q", sections["optimizer"]) == (3 * n_batches,)
    assert len(moments) == n_moments * model.n_parameters
    if optimizer == "rmsprop":
        assert (moments >= 0).all() and moments.any()
    else:  # first and second moments of the first convolution's weights, one after the other
        n = 32 * 3 * 3 * 3
        assert (moments[:n] < 0).any() and (moments[n:2 * n] >= 0).all() and moments[n:2 * n].any()
