"""From pixels to a trained and a quantized model."""

import ctypes

import numpy as np

from . import _c

_PIXELS = {"displacement": 1, "icnnmd": 2}
_OPTIMIZERS = {"adam": 1, "rmsprop": 2}
_OBSERVERS = {"ema-max": 1, "percentile": 2}
_ONNX_TARGETS = {"default": 1, "tensorrt": 2}
_ONNX_LAYOUTS = {"nchw": 1, "nhwc": 2}
_ACTIVATIONS = {"s8": _c.S8, "u8": _c.U8}


def _one_of(choices, value, what):
    try:
        return choices[value]
    except KeyError:
        raise ValueError(f"{what} is '{value}', expected one of {', '.join(choices)}") from None


class Pixels(_c.Handle):
    """What turns coordinates into images, fitted on the training frames of a split.

    Options: kind ("displacement" or "icnnmd"), superpose (a selection), range, range_in_sigma, n_iterations.
    """

    _free = "qmd_pixels_free"

    def __init__(self, data, split, kind="displacement", superpose=None, **options):
        options = _c.PixelsOptions(kind=_one_of(_PIXELS, kind, "kind"), superpose=_c.text_bytes(superpose), **options)
        super().__init__(_c.made_by("qmd_pixels_fit", data._pointer, split._pointer, ctypes.byref(options)))

    @property
    def side(self):
        return _c.library().qmd_pixels_side(self._pointer)

    @property
    def dtype(self):
        return np.int8 if _c.library().qmd_pixels_type(self._pointer) == _c.S8 else np.uint8

    def __call__(self, data, frames):
        """Images of frames of a data set, [n][side][side][3]."""
        frames = np.ascontiguousarray(frames, np.uint32)
        images = np.empty((len(frames), self.side, self.side, 3), self.dtype)
        _c.library().qmd_pixels_run_dataset(self._pointer, data._pointer, frames.ctypes.data, len(frames),
                                            images.ctypes.data)
        return images


class Model(_c.Handle):
    """A network with FP32 weights; after quantize() it carries scales too.

    `device` in train(), quantize() and predict() is what computes: "cpu", "cuda" (the thread's current GPU), "cuda:N", or
    "reference", scalar loops for checking the others. It changes no batch and no mask, only the rounding of sums.
    """

    _free = "qmd_model_free"

    @classmethod
    def preset(cls, name, side, n_classes, seed=1, channels=3):
        shape = _c.Shape(side, side, channels)
        return cls(_c.made_by("qmd_model_create_preset", name.encode(), shape, n_classes, seed))

    @classmethod
    def load(cls, path):
        return cls(_c.made_by("qmd_model_load", _c.path_bytes(path)))

    def save(self, path):
        _c.library().qmd_model_save(self._pointer, _c.path_bytes(path))

    @classmethod
    def import_onnx(cls, path, clip_weights=False):
        """The network of an ONNX file; bind() ties it to the pixels that it was trained on."""
        options = _c.OnnxImportOptions(clip_weights=int(clip_weights))
        return cls(_c.made_by("qmd_onnx_import", _c.path_bytes(path), ctypes.byref(options)))

    def export_onnx(self, path, target="default", layout="nchw", activations="s8", **options):
        """Write an ONNX file; target "default" (ONNX Runtime, OpenVINO) or "tensorrt", opset 13 to 17."""
        options = _c.OnnxExportOptions(target=_one_of(_ONNX_TARGETS, target, "target"),
                                       layout=_one_of(_ONNX_LAYOUTS, layout, "layout"),
                                       activations_type=_one_of(_ACTIVATIONS, activations, "activations"), **options)
        _c.library().qmd_onnx_export(self._pointer, ctypes.byref(options), _c.path_bytes(path))

    def bind(self, pixels, class_names):
        """Tie the network to pixels and to the names of its classes."""
        if len(class_names) != self.n_classes:
            raise ValueError(f"{len(class_names)} class names, the network has {self.n_classes} classes")
        names = (ctypes.c_char_p * len(class_names))(*(name.encode() for name in class_names))
        _c.library().qmd_model_bind(self._pointer, pixels._pointer, names)
        return self

    @property
    def is_quantized(self):
        return bool(_c.library().qmd_model_is_quantized(self._pointer))

    @property
    def n_classes(self):
        return _c.library().qmd_model_n_classes(self._pointer)

    @property
    def n_parameters(self):
        return _c.library().qmd_model_n_parameters(self._pointer)

    @property
    def n_macs(self):
        return _c.library().qmd_model_n_macs(self._pointer)

    def train(self, data, split, pixels, optimizer="adam", checkpoint_path=None, progress=None, device="cpu", **options):
        """FP32 training; options as in qmd_train_options (epochs, learning_rate, batch_size, seed, ...).

        A checkpoint goes on on any device; on the one that began it, to the same bits.
        """
        options = _c.TrainOptions(optimizer=_one_of(_OPTIMIZERS, optimizer, "optimizer"), device=device, **options)
        if checkpoint_path is not None:
            options.checkpoint_path = _c.path_bytes(checkpoint_path)
        with _c.ProgressCall(progress) as options.progress:
            _c.library().qmd_train(self._pointer, data._pointer, split._pointer, pixels._pointer, ctypes.byref(options))
        return self

    def quantize(self, data, split, observer=None, progress=None, device="cpu", **options):
        """A new model with scales: calibration, then fine-tuning; options as in qmd_quantize_options."""
        options = _c.QuantizeOptions(device=device, **options)
        if observer is not None:
            options.observer = _one_of(_OBSERVERS, observer, "observer")
        with _c.ProgressCall(progress) as options.progress:
            return Model(_c.made_by("qmd_quantize", self._pointer, data._pointer, split._pointer, ctypes.byref(options)))

    def predict(self, xyz, n_threads=0, device=None, engine="fp32"):
        """Probabilities of the FP32 network (or of the fake-quantized one), or by engine "cudnn-fp16" or "cudnn-int8",
        which compute on "cuda" or "cuda:N", [n_frames][n_classes]."""
        frames, n, _keep = frames_of(xyz)
        options = _c.PredictorOptions(batch_size=min(max(n, 1), 32), n_threads=n_threads, device=device, engine=engine)
        predictor = _Predictor(_c.made_by("qmd_predictor_create", self._pointer, ctypes.byref(options)))
        probabilities = np.empty((n, self.n_classes), np.float32)
        _c.library().qmd_predictor_run(predictor._pointer, frames, n, None, probabilities.ctypes.data)
        return probabilities


class _Predictor(_c.Handle):
    _free = "qmd_predictor_free"


def frames_of(xyz, unit="angstrom", box=None, indices=None):
    """C frames that point into an array [n_frames][n_atoms][3] of float32 or float64, without a copy where it is contiguous.

    Returns the frames, their number and what must stay alive while they are used.
    """
    xyz = np.asarray(xyz)
    if xyz.dtype not in (np.float32, np.float64):
        xyz = xyz.astype(np.float32)
    if xyz.ndim == 2:
        xyz = xyz[None]
    if xyz.ndim != 3 or xyz.shape[2] != 3:
        raise ValueError(f"xyz has shape {xyz.shape}, expected [n_frames][n_atoms][3]")
    xyz = np.ascontiguousarray(xyz)
    n = len(xyz)
    if indices is not None:
        indices = np.ascontiguousarray(indices, np.uint32)
    if box is not None:
        box = np.ascontiguousarray(np.broadcast_to(np.asarray(box, np.float64), (n, 3, 3)))
    frames = (_c.Frame * max(n, 1))()
    for i in range(n):
        frame = frames[i]
        _c.library().qmd_frame_init_sized(ctypes.byref(frame), ctypes.sizeof(frame))
        frame.type = _c.F32 if xyz.dtype == np.float32 else _c.F64
        frame.unit = _one_of({"angstrom": _c.ANGSTROM, "nm": _c.NM}, unit, "unit")
        frame.xyz = xyz.ctypes.data + i * xyz.strides[0]
        frame.n_atoms = xyz.shape[1]
        frame.indices = None if indices is None else indices.ctypes.data
        frame.box = None if box is None else box.ctypes.data + i * box.strides[0]
    return frames, n, (xyz, indices, box)
