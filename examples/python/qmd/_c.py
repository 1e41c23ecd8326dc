"""The C library by ctypes: structs and functions as the headers declare them, and errors as exceptions."""

import ctypes
import ctypes.util
import os
from ctypes import POINTER, byref, c_char, c_char_p, c_double, c_float, c_int, c_int32, c_size_t, c_uint8, c_uint16
from ctypes import c_uint32, c_uint64, c_void_p

F32, F64, S8, U8, S32 = 1, 2, 3, 4, 5
ANGSTROM, NM = 1, 2


class Error(Exception):
    """A call of libqmd that failed. `status` is its number, `name` for example "QMD_ERROR_IO"."""

    def __init__(self, status, name, text):
        super().__init__(f"{name}: {text}")
        self.status = status
        self.name = name


class Atom(ctypes.Structure):
    _fields_ = [("name", c_char * 8), ("residue_name", c_char * 8), ("chain", c_char * 8), ("element", c_char * 4),
                ("residue_number", c_int32), ("insertion_code", c_char), ("hetero", c_uint8), ("reserved", c_uint16),
                ("residue", c_uint32)]


class Progress(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("phase", c_char_p), ("done", c_size_t), ("total", c_size_t),
                ("loss", c_double), ("accuracy", c_double)]


PROGRESS = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(Progress))


class Options(ctypes.Structure):
    """A struct that its own _init() function fills with defaults; keyword arguments are set over them."""

    def __init__(self, **values):
        super().__init__()
        getattr(library(), self._init_ + "_sized")(byref(self), ctypes.sizeof(self))
        for name, value in values.items():
            if name not in {field[0] for field in self._fields_}:
                raise TypeError(f"{type(self).__name__} has no option '{name}'")
            setattr(self, name, value.encode() if isinstance(value, str) else value)


class DatasetOptions(Options):
    _init_ = "qmd_dataset_options_init"
    _fields_ = [("struct_size", c_uint32), ("selection", c_char_p), ("map_path", c_char_p), ("stride", c_size_t)]


class FrameOrigin(ctypes.Structure):
    _fields_ = [("state", c_uint32), ("replica", c_uint32), ("frame", c_uint64)]


class PixelsOptions(Options):
    _init_ = "qmd_pixels_options_init"
    _fields_ = [("struct_size", c_uint32), ("kind", c_int32), ("superpose", c_char_p), ("range", c_double),
                ("range_in_sigma", c_int32), ("n_iterations", c_uint32)]


class Frame(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("type", c_int32), ("unit", c_int32), ("xyz", c_void_p), ("stride", c_size_t),
                ("n_atoms", c_size_t), ("indices", c_void_p), ("box", c_void_p)]


class Shape(ctypes.Structure):
    _fields_ = [("h", c_uint32), ("w", c_uint32), ("c", c_uint32)]


class TrainOptions(Options):
    _init_ = "qmd_train_options_init"
    _fields_ = [("struct_size", c_uint32), ("optimizer", c_int32), ("learning_rate", c_double), ("beta1", c_double),
                ("beta2", c_double), ("epsilon", c_double), ("weight_decay", c_double), ("batch_size", c_uint32),
                ("epochs", c_uint32), ("target_loss", c_double), ("patience", c_uint32), ("seed", c_uint64),
                ("n_threads", c_uint32), ("checkpoint_path", c_char_p), ("checkpoint_interval", c_uint32),
                ("progress", PROGRESS), ("user", c_void_p), ("device", c_char_p)]


class PredictorOptions(Options):
    _init_ = "qmd_predictor_options_init"
    _fields_ = [("struct_size", c_uint32), ("batch_size", c_uint32), ("n_threads", c_uint32), ("device", c_char_p),
                ("engine", c_char_p)]


class QuantizeOptions(Options):
    _init_ = "qmd_quantize_options_init"
    _fields_ = [("struct_size", c_uint32), ("weight_bits", c_uint32), ("activation_bits", c_uint32),
                ("observer", c_int32), ("percentile", c_double), ("linear_collapse", c_int32), ("epochs", c_uint32),
                ("learning_rate", c_double), ("batch_size", c_uint32), ("seed", c_uint64), ("n_threads", c_uint32),
                ("progress", PROGRESS), ("user", c_void_p), ("device", c_char_p)]


class OnnxExportOptions(Options):
    _init_ = "qmd_onnx_export_options_init"
    _fields_ = [("struct_size", c_uint32), ("target", c_int32), ("layout", c_int32), ("opset", c_uint32),
                ("activations_type", c_int32)]


class OnnxImportOptions(Options):
    _init_ = "qmd_onnx_import_options_init"
    _fields_ = [("struct_size", c_uint32), ("clip_weights", c_int32)]


class EngineOptions(Options):
    _init_ = "qmd_engine_options_init"
    _fields_ = [("struct_size", c_uint32), ("fuse", c_int32)]


class EngineLayer(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("name", c_char_p), ("op", c_char_p), ("kernel", c_char_p), ("input", Shape),
                ("output", Shape), ("n_macs", c_uint64), ("weight_bytes", c_uint64), ("output_scale", c_float),
                ("inputs", c_int32 * 2), ("why", c_char_p)]


class ContextOptions(Options):
    _init_ = "qmd_context_options_init"
    _fields_ = [("struct_size", c_uint32), ("n_threads", c_uint32), ("max_batch", c_uint32), ("device", c_char_p),
                ("stream", c_void_p), ("parallel", c_void_p), ("parallel_user", c_void_p), ("input_memory", c_int32),
                ("output_memory", c_int32), ("graph", c_int32)]


class ContextDevice(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("n_launches", c_uint32), ("device", c_char_p), ("name", c_char_p),
                ("note", c_char_p), ("weight_bytes", c_uint64), ("memory_bytes", c_uint64)]


class Output(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("data", c_void_p)]


class ExplainOptions(Options):
    _init_ = "qmd_explain_options_init"
    _fields_ = [("struct_size", c_uint32), ("n_threads", c_uint32), ("progress", PROGRESS), ("user", c_void_p),
                ("method", c_int32), ("n_samples", c_uint32), ("seed", c_uint64),
                ("as_published", c_int32), ("background", c_int32), ("n_segments", c_uint32),
                ("segment_of_residue", c_void_p), ("n_shards", c_uint32), ("shard", c_uint32)]


class ResidueScore(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("residue", Atom), ("score", c_double), ("standard_error", c_double),
                ("rank", c_uint32), ("n_atoms", c_uint32)]


_HANDLE = c_void_p
_OUT = POINTER(c_void_p)

# name: (result, arguments); a result of None is nothing, of Error a status that is raised unless it is QMD_OK.
_FUNCTIONS = {
    "qmd_version": (c_char_p, []),
    "qmd_status_name": (c_char_p, [c_int32]),
    "qmd_last_error": (c_char_p, []),
    "qmd_dataset_options_init_sized": (None, [POINTER(DatasetOptions), c_size_t]),
    "qmd_dataset_create": (Error, [POINTER(DatasetOptions), _OUT]),
    "qmd_dataset_free": (None, [_HANDLE]),
    "qmd_dataset_add_state": (Error, [_HANDLE, c_char_p, c_char_p, POINTER(c_char_p), c_size_t]),
    "qmd_dataset_n_states": (c_size_t, [_HANDLE]),
    "qmd_dataset_state_name": (c_char_p, [_HANDLE, c_size_t]),
    "qmd_dataset_n_replicas": (c_size_t, [_HANDLE, c_size_t]),
    "qmd_dataset_n_frames": (c_size_t, [_HANDLE]),
    "qmd_dataset_n_atoms": (c_size_t, [_HANDLE]),
    "qmd_dataset_n_residues": (c_size_t, [_HANDLE]),
    "qmd_dataset_atom": (Error, [_HANDLE, c_size_t, POINTER(Atom)]),
    "qmd_dataset_frame_origin": (Error, [_HANDLE, c_size_t, POINTER(FrameOrigin)]),
    "qmd_dataset_shuffle_labels": (Error, [_HANDLE, c_uint64]),
    "qmd_dataset_read": (Error, [_HANDLE, c_size_t, c_void_p]),
    "qmd_split_by_replica": (Error, [_HANDLE, c_size_t, _OUT]),
    "qmd_split_by_block": (Error, [_HANDLE, c_size_t, c_size_t, c_size_t, _OUT]),
    "qmd_split_icnnmd": (Error, [_HANDLE, c_size_t, c_size_t, c_uint64, _OUT]),
    "qmd_split_all": (Error, [_HANDLE, _OUT]),
    "qmd_split_free": (None, [_HANDLE]),
    "qmd_split_train": (POINTER(c_uint32), [_HANDLE, POINTER(c_size_t)]),
    "qmd_split_test": (POINTER(c_uint32), [_HANDLE, POINTER(c_size_t)]),
    "qmd_pixels_options_init_sized": (None, [POINTER(PixelsOptions), c_size_t]),
    "qmd_pixels_fit": (Error, [_HANDLE, _HANDLE, POINTER(PixelsOptions), _OUT]),
    "qmd_pixels_free": (None, [_HANDLE]),
    "qmd_pixels_side": (c_size_t, [_HANDLE]),
    "qmd_pixels_n_atoms": (c_size_t, [_HANDLE]),
    "qmd_pixels_type": (c_int32, [_HANDLE]),
    "qmd_pixels_run_dataset": (Error, [_HANDLE, _HANDLE, c_void_p, c_size_t, c_void_p]),
    "qmd_pixels_write_png": (Error, [_HANDLE, c_void_p, c_char_p]),
    "qmd_frame_init_sized": (None, [POINTER(Frame), c_size_t]),
    "qmd_model_create_preset": (Error, [c_char_p, Shape, c_uint32, c_uint64, _OUT]),
    "qmd_model_load": (Error, [c_char_p, _OUT]),
    "qmd_model_save": (Error, [_HANDLE, c_char_p]),
    "qmd_model_free": (None, [_HANDLE]),
    "qmd_model_bind": (Error, [_HANDLE, _HANDLE, POINTER(c_char_p)]),
    "qmd_model_is_quantized": (c_int, [_HANDLE]),
    "qmd_model_n_classes": (c_size_t, [_HANDLE]),
    "qmd_model_n_parameters": (c_size_t, [_HANDLE]),
    "qmd_model_n_macs": (c_uint64, [_HANDLE]),
    "qmd_train_options_init_sized": (None, [POINTER(TrainOptions), c_size_t]),
    "qmd_train": (Error, [_HANDLE, _HANDLE, _HANDLE, _HANDLE, POINTER(TrainOptions)]),
    "qmd_predictor_options_init_sized": (None, [POINTER(PredictorOptions), c_size_t]),
    "qmd_predictor_create": (Error, [_HANDLE, POINTER(PredictorOptions), _OUT]),
    "qmd_predictor_free": (None, [_HANDLE]),
    "qmd_predictor_run": (Error, [_HANDLE, POINTER(Frame), c_size_t, c_void_p, c_void_p]),
    "qmd_quantize_options_init_sized": (None, [POINTER(QuantizeOptions), c_size_t]),
    "qmd_quantize": (Error, [_HANDLE, _HANDLE, _HANDLE, POINTER(QuantizeOptions), _OUT]),
    "qmd_onnx_export_options_init_sized": (None, [POINTER(OnnxExportOptions), c_size_t]),
    "qmd_onnx_export": (Error, [_HANDLE, POINTER(OnnxExportOptions), c_char_p]),
    "qmd_onnx_import_options_init_sized": (None, [POINTER(OnnxImportOptions), c_size_t]),
    "qmd_onnx_import": (Error, [c_char_p, POINTER(OnnxImportOptions), _OUT]),
    "qmd_engine_options_init_sized": (None, [POINTER(EngineOptions), c_size_t]),
    "qmd_engine_compile": (Error, [_HANDLE, POINTER(EngineOptions), _OUT]),
    "qmd_engine_save": (Error, [_HANDLE, c_char_p]),
    "qmd_engine_load": (Error, [c_char_p, _OUT]),
    "qmd_engine_free": (None, [_HANDLE]),
    "qmd_engine_n_classes": (c_size_t, [_HANDLE]),
    "qmd_engine_class_name": (c_char_p, [_HANDLE, c_size_t]),
    "qmd_engine_n_atoms": (c_size_t, [_HANDLE]),
    "qmd_engine_atom": (Error, [_HANDLE, c_size_t, POINTER(Atom)]),
    "qmd_engine_match": (Error, [_HANDLE, POINTER(Atom), c_size_t, c_void_p]),
    "qmd_engine_n_layers": (c_size_t, [_HANDLE]),
    "qmd_engine_layer_info": (Error, [_HANDLE, c_size_t, POINTER(EngineLayer)]),
    "qmd_engine_passes": (c_char_p, [_HANDLE]),
    "qmd_context_options_init_sized": (None, [POINTER(ContextOptions), c_size_t]),
    "qmd_context_create": (Error, [_HANDLE, POINTER(ContextOptions), _OUT]),
    "qmd_context_free": (None, [_HANDLE]),
    "qmd_context_device_info": (Error, [_HANDLE, POINTER(ContextDevice)]),
    "qmd_context_run_outputs": (Error, [_HANDLE, POINTER(Frame), c_size_t, POINTER(Output), c_size_t]),
    "qmd_explain_options_init_sized": (None, [POINTER(ExplainOptions), c_size_t]),
    "qmd_explain_deletion": (Error, [_HANDLE, _HANDLE, c_void_p, c_size_t, c_void_p, c_size_t, POINTER(ExplainOptions), c_void_p]),
    "qmd_explain": (Error, [_HANDLE, _HANDLE, c_void_p, c_size_t, POINTER(ExplainOptions), _OUT]),
    "qmd_explain_model": (Error, [_HANDLE, _HANDLE, c_void_p, c_size_t, POINTER(ExplainOptions), _OUT]),
    "qmd_explanation_free": (None, [_HANDLE]),
    "qmd_explanation_n_residues": (c_size_t, [_HANDLE]),
    "qmd_explanation_residue": (Error, [_HANDLE, c_size_t, POINTER(ResidueScore)]),
}

_library = None


def _raise_unless_ok(status, function, arguments):
    if status != 0:
        name = _library.qmd_status_name(status).decode()
        raise Error(status, name, _library.qmd_last_error().decode(errors="replace"))
    return status


def library():
    """The loaded library: QMD_LIBRARY, else what the system's loader finds."""
    global _library
    if _library is not None:
        return _library
    path = os.environ.get("QMD_LIBRARY") or ctypes.util.find_library("qmd") or "libqmd.so.0"
    try:
        loaded = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(f"libqmd cannot be loaded ({error}); set QMD_LIBRARY to the path of libqmd.so") from error
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(loaded, name)
        function.argtypes = arguments
        function.restype = c_int32 if result is Error else result
        if result is Error:
            function.errcheck = _raise_unless_ok
    _library = loaded
    return loaded


class Handle:
    """An opaque handle that is freed with its Python object."""

    _free = None  # name of the function that frees it

    def __init__(self, pointer):
        self._pointer = pointer

    def __del__(self):
        if getattr(self, "_pointer", None) and _library is not None:
            getattr(_library, self._free)(self._pointer)
            self._pointer = None


def made_by(name, *arguments):
    """Call a function whose last argument receives a new handle; the handle."""
    out = c_void_p()
    getattr(library(), name)(*arguments, byref(out))
    return out.value


def path_bytes(path):
    return os.fsencode(os.fspath(path))


def text_bytes(text):
    return None if text is None else text.encode()


class ProgressCall:
    """A Python function (phase, done, total, loss, accuracy) as a callback of C; a true result cancels.

    An exception in it cancels too, and is raised again from the call that made the progress.
    """

    def __init__(self, function):
        self.error = None
        self.function = function
        self.callback = PROGRESS(self._call) if function else PROGRESS()

    def _call(self, _user, progress):
        p = progress.contents
        try:
            return 1 if self.function(p.phase.decode(), p.done, p.total, p.loss, p.accuracy) else 0
        except BaseException as error:  # must not travel through C
            self.error = error
            return 1

    def __enter__(self):
        return self.callback

    def __exit__(self, kind, value, traceback):
        if self.error is not None:
            raise self.error
        return False


def residue_label(atom):
    """Chain, number with insertion code, name: "A:127:VAL"."""
    insertion = atom.insertion_code.strip(b"\0").decode()
    return f"{atom.chain.decode()}:{atom.residue_number}{insertion}:{atom.residue_name.decode()}"
