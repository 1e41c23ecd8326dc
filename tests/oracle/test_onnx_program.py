"""`qmd export` and `qmd import`: a network trained on the bundled trajectories, on its real frames, in ONNX Runtime; and
one of another framework that becomes an engine."""

import numpy as np
import onnx
import pytest

from onnx_support import has_vnni, import_and_run, operators, run_onnxruntime
from program_support import DATA, SMALL, assert_fails, qmd, succeed, succeed_json


@pytest.fixture(scope="module", params=["displacement", "icnnmd"])
def trained(request, tmp_path_factory):
    """A folder with a trained model, its quantized model and engine, and the images of all frames."""
    folder = tmp_path_factory.mktemp(request.param)
    succeed("train", *SMALL, "--pixels", request.param, "--epochs", 3, "-o", folder / "model.qmd")
    succeed("quantize", folder / "model.qmd", *SMALL, "--qat-epochs", 1, "-o", folder / "net.qme", "--save-model",
            folder / "quantized.qmd")
    succeed("pixels", *SMALL, "--model", folder / "model.qmd", "-o", folder / "images.npy")
    return folder


def images_of(folder):
    images = np.load(folder / "images.npy")
    return images, "U8" if images.dtype == np.uint8 else "S8"


@pytest.mark.parametrize("activations", ["s8", "u8"])
def test_real_frames_give_the_engines_logits(trained, activations, tmp_path):
    if activations == "u8" and not has_vnni():
        pytest.skip("without VNNI, ONNX Runtime's u8 x s8 convolution saturates")
    path = tmp_path / "net.onnx"
    said = succeed_json("export", trained / "quantized.qmd", "--activations", activations, "-o", path)
    assert said["quantized"] is True and said["opset"] == 13
    images, kind = images_of(trained)
    nchw = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    values = run_onnxruntime(onnx.load(path), nchw, tmp_path / "optimized.onnx")
    ops = operators(tmp_path / "optimized.onnx")
    assert ops.count("QGemm") == 2 and ops.count("QLinearConv") >= 3 and "Conv" not in ops
    engine = import_and_run(path, nchw, kind, tmp_path)
    assert len(images) == 60 and len(np.unique(engine)) > 30
    np.testing.assert_array_equal(values["logits"].view(np.int32), engine.view(np.int32))


def test_probabilities_are_those_of_the_engine(trained, tmp_path):
    """The engine file, on raw coordinates, against the exported file, on images."""
    succeed("export", trained / "quantized.qmd", "--layout", "nhwc", "-o", tmp_path / "net.onnx")
    values = run_onnxruntime(onnx.load(tmp_path / "net.onnx"), images_of(trained)[0])
    rows = succeed_json("run", trained / "net.qme", DATA / "adk-open-1.nc", "--topology", DATA / "adk-open.pdb")["frames"]
    found = np.array([row["probabilities"] for row in rows])[::4]
    np.testing.assert_allclose(found, values["probabilities"][: len(found)], atol=1e-6)


def test_fp32_goes_out_and_comes_back(trained, tmp_path):
    path, back, again = tmp_path / "net.onnx", tmp_path / "back.qmd", tmp_path / "again.onnx"
    succeed("export", trained / "model.qmd", "-o", path, "--opset", 17)
    said = succeed_json("import", path, "--model", trained / "model.qmd", "-o", back)
    assert said["quantized"] is False and said["has_pixels"] is True
    succeed("export", back, "-o", again, "--opset", 17)
    assert path.read_bytes() == again.read_bytes()
    succeed("quantize", back, *SMALL, "--qat-epochs", 0, "-o", tmp_path / "net.qme")
    rows = succeed("run", tmp_path / "net.qme", DATA / "adk-open-1.nc", "--topology", DATA / "adk-open.pdb")
    assert rows.splitlines()[0] == "frame,time_ps,p_open,p_closed"


def test_an_imported_engine_is_the_same(trained, tmp_path):
    path, engine = tmp_path / "net.onnx", tmp_path / "net.qme"
    succeed("export", trained / "quantized.qmd", "-o", path)
    succeed("import", path, "--model", trained / "model.qmd", "-o", tmp_path / "back.qmd", "--save-engine", engine)
    run = [DATA / "adk-open-1.nc", "--topology", DATA / "adk-open.pdb"]
    assert succeed("run", engine, *run) == succeed("run", trained / "net.qme", *run)


def test_what_cannot_be_is_said(trained, tmp_path):
    path = tmp_path / "net.onnx"
    succeed("export", trained / "model.qmd", "-o", path)
    assert_fails(qmd("export", trained / "net.qme", "-o", tmp_path / "other.onnx"), 1, "is an engine")
    assert_fails(qmd("export", trained / "model.qmd"), 2, "give -o FILE.onnx")
    assert_fails(qmd("export", trained / "model.qmd", "--target", "tpu", "-o", path), 2, "--target is one of default, tensorrt")
    assert_fails(qmd("export", trained / "model.qmd", "--opset", 12, "-o", path), 2, "--opset is a whole number from 13 to 17")
    u8_for_tensorrt = ["--target", "tensorrt", "--activations", "u8"]
    assert_fails(qmd("export", trained / "quantized.qmd", *u8_for_tensorrt, "-o", path), 1, "TensorRT takes no u8")
    assert_fails(qmd("import", path), 2, "give -o MODEL.qmd")
    assert_fails(qmd("import", path, "-o", tmp_path / "m.qmd", "--save-engine", tmp_path / "m.qme"), 1, "is in FP32")
    assert_fails(qmd("import", DATA / "adk-open.pdb", "-o", tmp_path / "m.qmd"), 1, "not an ONNX")
    assert not (tmp_path / "m.qmd").exists()
