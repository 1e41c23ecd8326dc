"""The ctypes package as a user has it: structs as in C, errors as exceptions, a small study of the bundled data."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import qmd
from qmd import _c

SOURCE = Path(os.environ["QMD_SOURCE"])
DATA = SOURCE / "examples" / "data"


def state(name, n=3):
    return DATA / f"adk-{name}.pdb", [DATA / f"adk-{name}-{i}.nc" for i in range(1, n + 1)]


@pytest.fixture(scope="module")
def data():
    return qmd.Dataset(open=state("open"), closed=state("closed"), stride=8)


@pytest.fixture(scope="module")
def small_study(data):
    return qmd.study(data, n_folds=1, train={"epochs": 6}, quantize={"epochs": 1}, progress=None)


@pytest.mark.parametrize("struct", [_c.DatasetOptions, _c.PixelsOptions, _c.TrainOptions, _c.PredictorOptions, _c.QuantizeOptions,
                                    _c.OnnxExportOptions, _c.OnnxImportOptions, _c.EngineOptions, _c.ContextOptions, _c.ExplainOptions])
def test_options_are_as_large_as_in_c(struct):
    assert struct().struct_size == ctypes.sizeof(struct)


def test_frame_is_as_large_as_in_c():
    frame = _c.Frame()
    _c.library().qmd_frame_init_sized(ctypes.byref(frame), ctypes.sizeof(frame))
    assert frame.struct_size == ctypes.sizeof(_c.Frame)


def test_every_struct_field_lies_where_the_compiler_puts_it(tmp_path):
    structs = {"qmd_atom": _c.Atom, "qmd_progress": _c.Progress, "qmd_dataset_options": _c.DatasetOptions,
               "qmd_frame_origin": _c.FrameOrigin, "qmd_pixels_options": _c.PixelsOptions, "qmd_frame": _c.Frame,
               "qmd_shape": _c.Shape, "qmd_train_options": _c.TrainOptions, "qmd_quantize_options": _c.QuantizeOptions,
               "qmd_predictor_options": _c.PredictorOptions,
               "qmd_onnx_export_options": _c.OnnxExportOptions, "qmd_onnx_import_options": _c.OnnxImportOptions,
               "qmd_engine_options": _c.EngineOptions, "qmd_engine_layer": _c.EngineLayer,
               "qmd_context_options": _c.ContextOptions, "qmd_context_device": _c.ContextDevice,
               "qmd_output": _c.Output,
               "qmd_explain_options": _c.ExplainOptions, "qmd_residue_score": _c.ResidueScore}
    lines = []
    for name, struct in structs.items():
        lines.append(f'printf("%zu\\n", sizeof({name}));')
        lines += [f'printf("%zu\\n", offsetof({name}, {field[0]}));' for field in struct._fields_]
    program = tmp_path / "offsets.c"
    program.write_text("#include <qmd.h>\n#include <stdio.h>\nint main(void){" + "\n".join(lines) + "return 0;}")
    subprocess.run(["gcc", "-std=c11", f"-I{SOURCE}/include", program, "-o", tmp_path / "offsets"], check=True)
    found = [int(line) for line in subprocess.check_output([tmp_path / "offsets"]).split()]
    expected = []
    for struct in structs.values():
        expected.append(ctypes.sizeof(struct))
        expected += [getattr(struct, field[0]).offset for field in struct._fields_]
    assert expected == found


def test_errors_are_exceptions_that_name_the_file():
    with pytest.raises(qmd.Error, match="no-such.pdb") as caught:
        qmd.Dataset(open=("no-such.pdb", ["no-such.nc"]))
    assert caught.value.name == "QMD_ERROR_IO"
    with pytest.raises(qmd.Error, match="no-such.qme"):
        qmd.Engine.load("no-such.qme")
    with pytest.raises(TypeError, match="epoch"):
        _c.TrainOptions(epoch=3)


def test_dataset_reads_what_is_in_the_file(data):
    from scipy.io import netcdf_file  # independent of NetCDF-C

    with netcdf_file(DATA / "adk-open-1.nc", mmap=False) as file:
        expected = file.variables["coordinates"][:]
    assert data.states == ["open", "closed"]
    assert (data.n_atoms, data.n_residues) == (1656, 214)
    np.testing.assert_array_equal(data.read([0, 1]), expected[[0, 8]])


def test_study_tells_open_from_closed(small_study):
    fold = small_study.report["folds"][0]
    assert fold["n_train"] == 20 and fold["n_test"] == 10
    assert small_study.report["mean"]["fp32"]["test_accuracy"] >= 0.9
    assert small_study.report["mean"]["int8"]["test_accuracy"] >= 0.9
    assert len(fold["top_residues"]) == 10


@pytest.fixture(scope="module")
def alpha_carbons():
    return qmd.Dataset(open=state("open"), closed=state("closed"), select="name CA", stride=8)


def test_study_on_another_device(alpha_carbons):
    by_cpu, by_loops = (qmd.study(alpha_carbons, n_folds=1, train={"epochs": 6}, quantize={"epochs": 1}, device=device,
                                  progress=None) for device in ("cpu", "reference"))  # fmt: skip
    assert by_cpu.report["folds"][0]["fp32"]["test_accuracy"] >= 0.9
    for numbers in ("fp32", "int8"):
        assert by_cpu.report["folds"][0][numbers] == by_loops.report["folds"][0][numbers]


def test_devices_of_a_model(alpha_carbons, tmp_path):
    data, split = alpha_carbons, alpha_carbons.split("replica", fold=0)
    pixels = qmd.Pixels(data, split)
    xyz = data.read(split.test)
    models = [qmd.Model.preset("icnnmd", pixels.side, 2) for _ in range(2)]
    models[0].train(data, split, pixels, epochs=2, checkpoint_path=tmp_path / "c", device="reference")
    models[1].train(data, split, pixels, epochs=2, checkpoint_path=tmp_path / "c")  # all is done: the same weights
    for model in (*models, models[0].quantize(data, split, epochs=0, device="reference")):
        by_loops = model.predict(xyz, device="reference")
        np.testing.assert_allclose(by_loops, model.predict(xyz), atol=1e-4)
    np.testing.assert_array_equal(by_loops.shape, (len(xyz), 2))
    np.testing.assert_array_equal(models[0].predict(xyz), models[1].predict(xyz))
    for call in (lambda **device: models[0].train(data, split, pixels, **device),
                 lambda **device: models[0].quantize(data, split, **device),
                 lambda **device: models[0].predict(xyz, **device)):  # fmt: skip
        with pytest.raises(qmd.Error, match="'gpu', expected cpu, cuda, cuda:N or reference") as caught:
            call(device="gpu")
        assert caught.value.name == "QMD_ERROR_ARGUMENT"


def test_onnx_there_and_back(data, tmp_path):
    everything = data.split("all")
    pixels = qmd.Pixels(data, everything)
    model = qmd.Model.preset("icnnmd", pixels.side, 2).bind(pixels, ["open", "closed"])
    quantized = model.quantize(data, everything, epochs=0)
    xyz = data.read(range(4))
    for source in (model, quantized):
        source.export_onnx(tmp_path / "net.onnx", opset=15)
        back = qmd.Model.import_onnx(tmp_path / "net.onnx").bind(pixels, ["open", "closed"])
        assert back.is_quantized == source.is_quantized and back.n_macs == source.n_macs
        np.testing.assert_array_equal(back.predict(xyz), source.predict(xyz))
    with pytest.raises(ValueError, match="1 class names, the network has 2"):
        model.bind(pixels, ["open"])
    with pytest.raises(qmd.Error, match="opset is 3"):
        model.export_onnx(tmp_path / "net.onnx", opset=3)


def test_engine_is_the_same_for_every_way_to_hand_in_coordinates(data, small_study, tmp_path):
    engine = small_study.engines[0]
    xyz = data.read(range(6))
    p = engine(xyz)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    out = np.empty_like(p)
    assert engine(xyz.astype(np.float64), out=out) is out
    np.testing.assert_array_equal(out, p)
    np.testing.assert_array_equal(engine(xyz[3]), p[3:4])

    order = np.random.default_rng(1).permutation(data.n_atoms)
    where = np.empty_like(order)
    where[order] = np.arange(len(order))
    np.testing.assert_array_equal(engine(xyz[:, order], indices=where), p)

    engine.save(tmp_path / "small.qme")
    again = qmd.Engine.load(tmp_path / "small.qme", n_threads=2, max_batch=4)
    assert again.classes == ["open", "closed"]
    np.testing.assert_array_equal(again.run(xyz, output="logits"), engine.run(xyz, output="logits"))


def test_engine_refuses_wrong_shapes(data, small_study):
    engine = small_study.engines[0]
    xyz = data.read([0])
    with pytest.raises(qmd.Error, match="1655"):
        engine(xyz[:, :-1])
    xyz[0, 7, 1] = np.nan
    with pytest.raises(qmd.Error, match="QMD_ERROR_RANGE"):
        engine(xyz)
    with pytest.raises(ValueError, match="shape"):
        engine(np.zeros((2, 3, 4), np.float32))


def test_progress_cancels_and_its_exceptions_come_out(data):
    split = data.split("replica", fold=0)
    pixels = qmd.Pixels(data, split)
    model = qmd.Model.preset("icnnmd", pixels.side, 2)
    with pytest.raises(qmd.Error, match="QMD_ERROR_CANCELLED"):
        model.train(data, split, pixels, epochs=1, progress=lambda *_: True)

    def broken(*_):
        raise RuntimeError("from the callback")

    with pytest.raises(RuntimeError, match="from the callback"):
        model.train(data, split, pixels, epochs=1, progress=broken)


def test_deletion_curves_begin_and_end_alike(data, small_study):
    engine, frames = small_study.engines[0], data.split("replica").test[:4]
    order = np.random.default_rng(3).permutation(data.n_residues)
    curve, back = (qmd.deletion_curve(engine, data, frames, o) for o in (order, order[::-1]))
    assert curve.shape == (data.n_residues + 1,)
    assert (curve[0], curve[-1]) == (back[0], back[-1]) and not np.array_equal(curve, back)
    scores = [score for _, score, _, _ in qmd.explain(engine, data, frames)]
    np.testing.assert_array_equal(qmd.deletion_curve(engine, data, frames, order, n_steps=2), curve[[0, 107, 214]])
    assert curve[0] - curve[1] == pytest.approx(scores[order[0]], abs=1e-9)
    with pytest.raises(ValueError, match="214 residues"):
        qmd.deletion_curve(engine, data, frames, order[1:])
    with pytest.raises(qmd.Error, match="there twice"):
        qmd.deletion_curve(engine, data, frames, 0 * order)


def test_explaining_cancels(data, small_study):
    with pytest.raises(qmd.Error, match="cancel"):
        qmd.explain(small_study.engines[0], data, range(8), progress=lambda phase, done, *_: done > 2)


def test_shuffled_labels_are_the_same_frames():
    data = qmd.Dataset(open=state("open", 1), closed=state("closed", 1), stride=8)
    before = data.read(range(data.n_frames))
    data.shuffle_labels(seed=5)
    after = data.read(range(data.n_frames))
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(np.unique(before, axis=0), np.unique(after, axis=0))


def test_the_script_runs():
    script = SOURCE / "examples" / "python" / "small_study.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert "int8: train accuracy" in done.stdout
    assert "top residues:" in done.stdout
