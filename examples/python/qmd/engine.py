"""The INT8 engine, and which residues drive it."""

import ctypes

import numpy as np

from . import _c
from .model import frames_of


class Engine(_c.Handle):
    """A compiled network: coordinates in, class probabilities out.

    engine(xyz) runs float32 or float64 coordinates [n_frames][n_atoms][3] and gives float32 [n_frames][n_classes]. An Engine
    object holds one context and is for one thread at a time; engine.clone() shares the weights with another thread.
    `device` is "cpu", "cuda" or "cuda:N".
    """

    _free = "qmd_engine_free"

    def __init__(self, pointer, n_threads=1, max_batch=32, device="cpu", owner=None):
        super().__init__(pointer if owner is None else None)
        self._owner = owner  # of a clone: whose pointer it borrows
        self._engine = pointer
        options = _c.ContextOptions(n_threads=n_threads, max_batch=max_batch, device=device.encode())
        self._context = _Context(_c.made_by("qmd_context_create", pointer, ctypes.byref(options)))

    @classmethod
    def load(cls, path, **options):
        return cls(_c.made_by("qmd_engine_load", _c.path_bytes(path)), **options)

    @classmethod
    def compile(cls, quantized, fuse=True, **options):
        engine_options = _c.EngineOptions(fuse=int(fuse))
        return cls(_c.made_by("qmd_engine_compile", quantized._pointer, ctypes.byref(engine_options)), **options)

    def clone(self, **options):
        """A second context on the same engine."""
        return Engine(self._engine, owner=self._owner or self, **options)

    def save(self, path):
        _c.library().qmd_engine_save(self._engine, _c.path_bytes(path))

    @property
    def classes(self):
        lib = _c.library()
        return [lib.qmd_engine_class_name(self._engine, i).decode() for i in range(lib.qmd_engine_n_classes(self._engine))]

    @property
    def device(self):
        """What it runs on: "cpu" or "cuda:N", the device's name, and why it is not the device that was asked for."""
        device = _c.ContextDevice(struct_size=ctypes.sizeof(_c.ContextDevice))
        _c.library().qmd_context_device_info(self._context._pointer, ctypes.byref(device))
        return device.device.decode(), device.name.decode(), device.note.decode()

    @property
    def n_atoms(self):
        return _c.library().qmd_engine_n_atoms(self._engine)

    def atom(self, index):
        atom = _c.Atom()
        _c.library().qmd_engine_atom(self._engine, index, ctypes.byref(atom))
        return atom

    def match(self, atoms):
        """Where the engine's atoms stand in a host's list of (chain, residue number, residue name, atom name).

        The result is what run() takes as `indices`. Where no atom of the host has a chain, chains are not compared.
        """
        rows = (_c.Atom * len(atoms))(*(
            _c.Atom(name=name.encode(), residue_name=residue_name.encode(), chain=chain.encode(), residue_number=number)
            for chain, number, residue_name, name in atoms))
        indices = np.empty(self.n_atoms, np.uint32)
        _c.library().qmd_engine_match(self._engine, rows, len(rows), indices.ctypes.data)
        return indices

    @property
    def passes(self):
        """What the compiler's passes did, a line each."""
        return _c.library().qmd_engine_passes(self._engine).decode().splitlines()

    def plan(self):
        """The steps of the plan as dictionaries."""
        steps = []
        for i in range(_c.library().qmd_engine_n_layers(self._engine)):
            layer = _c.EngineLayer(struct_size=ctypes.sizeof(_c.EngineLayer))
            _c.library().qmd_engine_layer_info(self._engine, i, ctypes.byref(layer))
            steps.append({"name": layer.name.decode(), "op": layer.op.decode(), "kernel": layer.kernel.decode(),
                          "input": (layer.input.h, layer.input.w, layer.input.c),
                          "output": (layer.output.h, layer.output.w, layer.output.c),
                          "n_macs": layer.n_macs, "weight_bytes": layer.weight_bytes,
                          "inputs": tuple(i for i in layer.inputs if i != -2), "why": layer.why.decode()})
        return steps

    def run(self, xyz, output="probabilities", unit="angstrom", box=None, indices=None, out=None):
        """One named output ("probabilities" or "logits") of frames; `out` takes it without a new array."""
        frames, n, _keep = frames_of(xyz, unit, box, indices)
        shape = (n, _c.library().qmd_engine_n_classes(self._engine))
        if out is None:
            out = np.empty(shape, np.float32)
        elif out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise ValueError(f"out must be a contiguous float32 array of shape {shape}")
        outputs = _c.Output(output.encode(), out.ctypes.data)
        _c.library().qmd_context_run_outputs(self._context._pointer, frames, n, ctypes.byref(outputs), 1)
        return out

    __call__ = run


class _Context(_c.Handle):
    _free = "qmd_context_free"


_BACKGROUNDS = {"pixels": 1, "other": 2}
_METHODS = {"leave-one-out": 1, "shap": 2, "integrated-gradients": 3, "slic-lime": 4}


class _Explanation(_c.Handle):
    _free = "qmd_explanation_free"


def explain(subject, data, frames, n_threads=1, progress=None, method="leave-one-out", n_samples=0, seed=1,
            as_published=False, background="pixels", segments=None):
    """Scores of residues: a list of (residue, score, standard error, rank), in the order of the molecule.

    `subject` is an Engine, or a Model in FP32. `residue` reads "A:127:VAL". `method` is "leave-one-out"; "shap" with
    `n_samples` images a frame (0: as many as settle the top 20), drawn by `seed`; "integrated-gradients", of a model in
    FP32, with `n_samples` steps (0: as many as it takes to add up); or "slic-lime", as ICNNMD does (0: 1000), of a model
    also with the defects of its script (`as_published`). Residues that are left out become `background`: what
    says nothing to the "pixels", or the mean of the "other" states. `segments`, the number of a segment from 0 for each
    residue, scores segments; then `residue` is the segment's first.
    """
    frames = np.ascontiguousarray(frames, np.uint32)
    segments = np.ascontiguousarray([] if segments is None else segments, np.uint32)
    if segments.size not in (0, data.n_residues):
        raise ValueError(f"segments must have a number for each of the {data.n_residues} residues")
    options = _c.ExplainOptions(n_threads=n_threads, method=_METHODS[method], n_samples=n_samples, seed=seed,
                                as_published=int(as_published), background=_BACKGROUNDS[background])
    if segments.size:
        options.n_segments, options.segment_of_residue = segments.max() + 1, segments.ctypes.data
    name, handle = ("qmd_explain", subject._engine) if isinstance(subject, Engine) else ("qmd_explain_model", subject._pointer)
    out = ctypes.c_void_p()
    with _c.ProgressCall(progress) as options.progress:
        try:
            getattr(_c.library(), name)(handle, data._pointer, frames.ctypes.data, len(frames), ctypes.byref(options),
                                        ctypes.byref(out))
        finally:  # cancelled, it has the frames until then
            explanation = _Explanation(out.value)
    scores = []
    for i in range(_c.library().qmd_explanation_n_residues(explanation._pointer)):
        score = _c.ResidueScore(struct_size=ctypes.sizeof(_c.ResidueScore))
        _c.library().qmd_explanation_residue(explanation._pointer, i, ctypes.byref(score))
        scores.append((_c.residue_label(score.residue), score.score, score.standard_error, score.rank))
    return scores


def deletion_curve(engine, data, frames, order, n_steps=None, n_threads=1, progress=None):
    """The mean margin over frames as residues are left out, in so many steps (None: one at a time): an array of n_steps + 1.

    `order` has the index of each residue once, the first to be left out first.
    """
    frames, order = np.ascontiguousarray(frames, np.uint32), np.ascontiguousarray(order, np.uint32)
    if order.shape != (data.n_residues,):
        raise ValueError(f"order must have the {data.n_residues} residues, each once")
    n_steps = len(order) if n_steps is None else n_steps
    options, margins = _c.ExplainOptions(n_threads=n_threads), np.empty(n_steps + 1)
    with _c.ProgressCall(progress) as options.progress:
        _c.library().qmd_explain_deletion(engine._engine, data._pointer, frames.ctypes.data, len(frames), order.ctypes.data,
                                          n_steps, ctypes.byref(options), margins.ctypes.data)
    return margins
