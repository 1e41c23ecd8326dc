"""Topologies, selections and trajectories against MDTraj and MDAnalysis, which must see the same, bit for bit.

All PDB, NetCDF, XTC and DCD files of MDAnalysis's own tests are among them; what differs says docs/trajectory.md.

QMD_BUILD is the build folder, whose program trajectory_dump says what libqmd reads.
"""
import bz2
import functools
import gzip
import itertools
import os
import pathlib
import struct
import subprocess
import tempfile
import warnings

import mdtraj
import MDAnalysis
import MDAnalysisTests
import numpy as np
import pytest
from MDAnalysis.coordinates.DCD import DCDReader
from MDAnalysis.coordinates.TRJ import NCDFReader
from MDAnalysis.coordinates.XTC import XTCReader
from mdtraj.formats import AmberNetCDFRestartFile, DCDTrajectoryFile, NetCDFTrajectoryFile, XTCTrajectoryFile
from mdtraj.utils import lengths_and_angles_to_box_vectors

warnings.filterwarnings("ignore")

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUNDLED = ROOT / "examples" / "data"
SHARED = pathlib.Path(os.environ.get("QMD_TEST_DATA") or ROOT / ".." / "shared" / "data")
PUBLIC = pathlib.Path(MDAnalysisTests.__file__).parent / "data"
DUMP = pathlib.Path(os.environ["QMD_BUILD"]) / "tests" / "trajectory_dump"

ADK = sorted(BUNDLED.glob("adk-*.pdb"))
MOR = [SHARED / "mor" / f"mor-{state}.pdb" for state in ("apo", "bu72")]
ADK_FRAMES = sorted(BUNDLED.glob("adk-*.nc"))
MOR_FRAMES = [SHARED / "mor" / f"mor-{state}-{i}.nc" for state in ("apo", "bu72") for i in (1, 2, 3)]
PUBLIC_FRAMES = sorted(path for pattern in ("*.nc", "*.ncdf", "*.ncrst") for path in PUBLIC.rglob(pattern))
PUBLIC_XTC = sorted(PUBLIC.rglob("*.xtc"))
PUBLIC_DCD = sorted(PUBLIC.rglob("*.dcd"))

# What libqmd refuses, and why.
REFUSED = {"empty.dcd": "offset 0: not a trajectory"}

UNPACKED = tempfile.TemporaryDirectory()


def public_pdb():
    """MDAnalysis's PDB files, unpacked where they are packed; some only have the names of packed files."""
    unpack = {".gz": gzip.decompress, ".bz2": bz2.decompress}
    for path in sorted(PUBLIC.rglob("*.pdb*")) + sorted(PUBLIC.rglob("*.ent")):
        if path.suffix in (".pdb", ".ent"):
            data = path.read_bytes()
        elif path.suffixes[-2:-1] == [".pdb"] and path.suffix in unpack:
            try:
                data = unpack[path.suffix](path.read_bytes())
            except OSError:
                data = path.read_bytes()
        else:
            continue
        unpacked = pathlib.Path(UNPACKED.name) / ("-".join(path.relative_to(PUBLIC).parts) + ".pdb")
        unpacked.write_bytes(data)
        yield unpacked


PUBLIC_PDB = list(public_pdb())
# Numbers of five digits, which MDAnalysis reads by the name of another format.
XPDB = "5digitResid.pdb.pdb"


def parameters(paths):
    """Test parameters; what is not there is skipped by name."""
    return [pytest.param(path, id=path.name, marks=pytest.mark.skipif(not path.exists(), reason=f"no {path}"))
            for path in paths]


def dump(*arguments):
    return subprocess.run([DUMP, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


class Topology:
    """What libqmd reads from a PDB file, a column an array."""

    def __init__(self, path):
        rows = [line.split("\t") for line in dump("topology", path).splitlines()]
        columns = list(zip(*rows))
        self.names, self.residue_names, self.chains, self.elements = map(list, columns[:4])
        self.numbers = list(map(int, columns[4]))
        self.insertion_codes = list(columns[5])
        self.hetero = [value == "1" for value in columns[6]]
        self.residues = list(map(int, columns[7]))
        self.xyz = np.array([[float.fromhex(value) for value in row[8:]] for row in rows], np.float64)


def kept_locations(atoms):
    """Indices of what is left when each atom keeps its likeliest alternate location."""
    best = {}
    for atom in atoms:
        key = (atom.chainID, atom.resid, atom.icode, atom.resname, atom.name)
        if atom.altLoc and (key not in best or atom.occupancy > best[key].occupancy):
            best[key] = atom
    chosen = {atom.index for atom in best.values()}
    return [atom.index for atom in atoms if not atom.altLoc or atom.index in chosen]


@pytest.mark.parametrize("path", parameters(ADK + MOR + PUBLIC_PDB))
def test_pdb_fields_are_those_of_mdanalysis(path):
    ours = Topology(path)
    every = MDAnalysis.Universe(path, topology_format="XPDB" if path.name == XPDB else None).atoms
    atoms = every[kept_locations(every)]
    assert ours.names == list(atoms.names)
    assert ours.residue_names == list(atoms.resnames)
    assert ours.chains == list(atoms.chainIDs)
    # MDAnalysis goes on counting where four columns start again from 0.
    assert all(a == b or a == b % 10000 for a, b in zip(ours.numbers, atoms.resids, strict=True))
    assert ours.insertion_codes == list(atoms.icodes)
    assert ours.hetero == [kind == "HETATM" for kind in atoms.record_types]
    assert np.array_equal(ours.xyz.astype(np.float32), atoms.positions)
    keys = list(zip(ours.chains, ours.numbers, ours.insertion_codes, ours.residue_names))
    assert ours.residues == [0] + list(itertools.accumulate(a != b for a, b in zip(keys, keys[1:])))
    if hasattr(atoms, "elements"):
        assert [(i, a, b) for i, (a, b) in enumerate(zip(ours.elements, atoms.elements)) if b and a != b] == []


@pytest.mark.parametrize("path", parameters(ADK + MOR))
def test_pdb_coordinates_and_elements_are_those_of_mdtraj(path):
    ours = Topology(path)
    theirs = mdtraj.load_pdb(path, standard_names=False)
    assert ours.elements == [atom.element.symbol for atom in theirs.topology.atoms]
    assert ours.residues == [atom.residue.index for atom in theirs.topology.atoms]
    # MDTraj rounds nanometers to float32, we angstrom.
    np.testing.assert_array_max_ulp((ours.xyz / 10).astype(np.float32), theirs.xyz[0], maxulp=1)


# Ours, MDAnalysis's, MDTraj's.
SELECTIONS = [
    ("all", "all", "all"),
    ("protein", "protein", "protein"),
    ("not protein", "not protein", "not protein"),
    ("backbone", "backbone", "backbone"),
    ("sidechain", None, "sidechain"),
    ("water", "water", "water"),
    ("name CA", "name CA", "name CA"),
    ("name CA CB N", "name CA CB N", "name CA CB N"),
    ("resname ALA GLY TIP3", "resname ALA GLY TIP3", "resname ALA GLY TIP3"),
    ("resid 30 to 67", "resid 30:67", "resSeq 30 to 67"),
    ("resid 70 118 to 160 and name CA", "resid 70 118:160 and name CA",
     "(resSeq 70 or resSeq 118 to 160) and name CA"),
    ("chain A 0", "chainID A 0", None),
    ("index 0 to 99 120", "index 0:99 120", "index 0 to 99 or index 120"),
    ("element C N", "element C N", "element C N"),
    ("protein and noh", "protein and not element H", "protein and not element H"),
    ("hydrogen", "element H", "element H"),
    ("protein or resname SOL and name OW", "protein or (resname SOL and name OW)", "protein or (resname SOL and name OW)"),
    ("not (backbone or resid 1 to 20) and not name CB", "not (backbone or resid 1:20) and not name CB",
     "not (backbone or resSeq 1 to 20) and not name CB"),
]


def selected(path, selection):
    return list(map(int, dump("select", path, selection).split()))


@pytest.mark.parametrize("ours,theirs", [(ours, theirs) for ours, theirs, _ in SELECTIONS if theirs])
@pytest.mark.parametrize("path", parameters(ADK + MOR + [PUBLIC / "4E43.pdb", PUBLIC / "cobrotoxin.pdb"]))
def test_selections_are_those_of_mdanalysis(path, ours, theirs):
    universe, kept = universe_of(path)
    chosen = set(universe.select_atoms(theirs).indices)
    assert selected(path, ours) == [i for i, atom in enumerate(kept) if atom in chosen]


@pytest.mark.parametrize("ours,theirs", [(ours, theirs) for ours, _, theirs in SELECTIONS if theirs])
@pytest.mark.parametrize("path", parameters(ADK + MOR))
def test_selections_are_those_of_mdtraj(path, ours, theirs):
    assert selected(path, ours) == list(mdtraj_topology_of(path).select(theirs))


@functools.cache
def universe_of(path):
    """MDAnalysis's atoms, and the indices of those that libqmd keeps."""
    universe = MDAnalysis.Universe(path)
    if not hasattr(universe.atoms, "elements"):
        universe.guess_TopologyAttrs(to_guess=["elements"])
    return universe, kept_locations(universe.atoms)


@functools.cache
def mdtraj_topology_of(path):
    return mdtraj.load_pdb(path, standard_names=False).topology


def read(folder, *paths):
    """Coordinates, times and boxes as libqmd reads them."""
    output = folder / "frames.bin"
    dump("trajectory", output, *paths)
    data = output.read_bytes()
    n_frames, n_atoms = np.frombuffer(data, np.uint64, 2).astype(int)
    xyz = np.frombuffer(data, np.float32, n_frames * n_atoms * 3, 16).reshape(n_frames, n_atoms, 3)
    rest = np.frombuffer(data, np.float64, n_frames * 10, 16 + xyz.nbytes).reshape(n_frames, 10)
    return xyz, rest[:, 0], rest[:, 1:].reshape(n_frames, 3, 3)


@pytest.mark.parametrize("path", parameters(ADK_FRAMES + MOR_FRAMES + PUBLIC_FRAMES))
def test_frames_are_those_of_mdtraj(path, tmp_path):
    xyz, times, boxes = read(tmp_path, path)
    with NetCDFTrajectoryFile(str(path)) as file:
        their_xyz, their_times, lengths, angles = file.read()
    assert np.array_equal(xyz, np.asarray(their_xyz).astype(np.float32))
    if their_times is None:
        assert np.isnan(times).all()
    else:
        assert np.array_equal(times, np.asarray(their_times).astype(np.float64))
    if lengths is None:
        assert not boxes.any()
    else:
        vectors = lengths_and_angles_to_box_vectors(*np.asarray(lengths, np.float64).T,
                                                    *np.asarray(angles, np.float64).T)
        has_box = np.all(np.asarray(lengths) > 0, axis=1)
        assert np.allclose(boxes[has_box], np.stack(vectors, axis=1)[has_box], rtol=0, atol=1e-5)
        assert not boxes[~has_box].any()


@pytest.mark.parametrize("path", parameters(ADK_FRAMES + MOR_FRAMES + PUBLIC_FRAMES))
def test_frames_are_those_of_mdanalysis(path, tmp_path):
    xyz, times, boxes = read(tmp_path, path)
    with NCDFReader(str(path)) as reader:
        assert len(xyz) == reader.n_frames
        for i, step in enumerate(reader):
            assert np.array_equal(xyz[i], step.positions)
            if not np.isnan(times[i]):
                assert times[i] == step.time
            if step.dimensions is not None and boxes[i].any():
                assert np.allclose(boxes[i], step.triclinic_dimensions, rtol=0, atol=1e-4)


def compare_with_mdanalysis(path, folder, reader):
    xyz, times, boxes = read(folder, path)
    assert len(xyz) == reader.n_frames
    for i, step in enumerate(reader):
        assert np.array_equal(xyz[i], step.positions)
        # DCD: they have another last digit of CHARMM's unit of time.
        assert np.isnan(times[i]) or abs(times[i] - step.time) <= 1e-7 * step.time
        if step.dimensions is None:
            assert not boxes[i].any()
        else:
            # A symmetric box matrix, which they turn into lengths and angles, we refuse.
            assert np.allclose(boxes[i], step.triclinic_dimensions, rtol=0, atol=2e-5) or np.isnan(boxes[i]).all()


def readable(paths):
    return parameters([path for path in paths if path.name not in REFUSED])


@pytest.mark.parametrize("path", readable(PUBLIC_XTC))
def test_xtc_frames_are_those_of_mdanalysis_and_mdtraj(path, tmp_path):
    with XTCReader(str(path), refresh_offsets=True) as reader:
        compare_with_mdanalysis(path, tmp_path, reader)
    xyz, times, _ = read(tmp_path, path)
    with XTCTrajectoryFile(str(path)) as file:
        their_xyz, their_times, _, _ = file.read()
    assert np.array_equal(xyz, their_xyz * np.float32(10))
    assert np.array_equal(times, their_times)


@pytest.mark.parametrize("path", readable(PUBLIC_DCD))
def test_dcd_frames_are_those_of_mdanalysis_and_mdtraj(path, tmp_path):
    with DCDReader(str(path)) as reader:
        compare_with_mdanalysis(path, tmp_path, reader)
    with DCDTrajectoryFile(str(path)) as file:
        assert np.array_equal(read(tmp_path, path)[0], file.read()[0])


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(name, tmp_path):
    path, = PUBLIC.rglob(name)
    result = subprocess.run([DUMP, "trajectory", tmp_path / "none", path], capture_output=True, text=True)
    assert result.returncode == 1
    assert REFUSED[name] in result.stderr


def test_every_kind_of_public_file_is_there():
    """Each is compared above or refused by name: none is read otherwise."""
    found = {"PDB": len(PUBLIC_PDB), "NetCDF": len(PUBLIC_FRAMES), "XTC": len(PUBLIC_XTC), "DCD": len(PUBLIC_DCD)}
    print(f"public files: {found}, of them refused: {len(REFUSED)}, wrong: 0")
    assert all(n > 0 for n in found.values())


def write_dcd(path, xyz, order="<", marker="i", fixed=(), charmm=24, cell=None, n_said=None):
    """A DCD file of any kind, record by record."""
    n_frames, n_atoms, _ = xyz.shape
    free = [i for i in range(n_atoms) if i not in fixed]

    def record(data):
        size = struct.pack(order + marker, len(data))
        return size + data + size

    control = [n_frames if n_said is None else n_said, 10, 5, 0, 0, 0, 0, 0, len(fixed)]
    step = struct.pack(order + "fi", 0.25, cell is not None) if charmm else struct.pack(order + "d", 0.25)
    header = b"CORD" + struct.pack(order + "9i", *control) + step + struct.pack(order + "9i", *[0] * 8, charmm)
    data = record(header) + record(struct.pack(order + "i", 1) + b" " * 80) + record(struct.pack(order + "i", n_atoms))
    if fixed:
        data += record(struct.pack(f"{order}{len(free)}i", *[i + 1 for i in free]))
    for i, frame in enumerate(xyz):
        if cell is not None:
            data += record(struct.pack(order + "6d", *cell))
        for axis in range(3):
            values = frame[free if fixed and i > 0 else slice(None), axis]
            data += record(values.astype(order + "f4").tobytes())
    path.write_bytes(data)


DCD_KINDS = [dict(order=order, marker=marker, fixed=fixed, charmm=charmm, cell=cell, n_said=n_said)
             for order in "<>" for marker in "iq" for fixed in ((), (0, 3)) for n_said in (None, 0)
             for charmm, cell in ((0, None), (24, None), (24, (30, 80, 40, 95, 110, 50)), (24, (30, 0, 40, 0, 0.5, 50)))]


@pytest.mark.parametrize("kind", DCD_KINDS, ids=str)
def test_dcd_of_every_kind_is_that_of_mdtraj_and_mdanalysis(kind, tmp_path):
    path = tmp_path / "made.dcd"
    xyz = np.random.default_rng(5).normal(0, 20, (4, 7, 3)).astype(np.float32)
    write_dcd(path, xyz, **kind)
    xyz[:, kind["fixed"]] = xyz[0, kind["fixed"]]
    ours, times, boxes = read(tmp_path, path)
    assert np.array_equal(ours, xyz)
    assert np.allclose(times, (10 + 5 * np.arange(4)) * 0.25 * 0.0488882129, rtol=1e-12, atol=0)
    with DCDTrajectoryFile(str(path)) as file:
        their_xyz, lengths, angles = file.read()
    # MDTraj reads no frame of X-PLOR's files with markers of 64 bits.
    assert np.array_equal(ours, their_xyz) or (kind["marker"], kind["charmm"]) == ("q", 0)
    if kind["cell"]:
        vectors = lengths_and_angles_to_box_vectors(*np.asarray(lengths, np.float64).T, *np.asarray(angles, np.float64).T)
        assert np.allclose(boxes, np.stack(vectors, axis=1), rtol=0, atol=1e-4)
    if kind["marker"] == "i" and kind["order"] == "<":
        with DCDReader(str(path)) as reader:
            compare_with_mdanalysis(path, tmp_path, reader)


def test_restart_files_are_those_of_mdtraj(tmp_path):
    path = tmp_path / "restart.ncrst"
    xyz = np.random.default_rng(7).normal(0, 20, (1, 11, 3))
    with AmberNetCDFRestartFile(str(path), "w") as file:
        file.write(xyz, time=2.5, cell_lengths=[30, 40, 50], cell_angles=[80, 95, 110])
    ours, times, boxes = read(tmp_path, path)
    with AmberNetCDFRestartFile(str(path)) as file:
        their_xyz, their_time, lengths, angles = file.read()
    assert np.array_equal(ours, np.asarray(their_xyz).astype(np.float32))
    assert times[0] == their_time
    assert np.allclose(boxes, np.stack(lengths_and_angles_to_box_vectors(*lengths.T, *angles.T), axis=1), rtol=0,
                       atol=1e-5)


def test_scale_factors_are_those_of_mdanalysis(tmp_path):
    """A file that MDAnalysis writes with scale factors, and reads with float32 products."""
    path = tmp_path / "scaled.nc"
    universe = MDAnalysis.Universe(ADK[0])
    with MDAnalysis.coordinates.TRJ.NCDFWriter(str(path), len(universe.atoms), scale_coordinates=0.3,
                                               scale_time=0.7) as writer:
        writer.write(universe)
    xyz, _, _ = read(tmp_path, path)
    with NCDFReader(str(path)) as reader:
        assert np.array_equal(xyz[0], reader.ts.positions)
    assert np.allclose(xyz[0], universe.atoms.positions, rtol=0, atol=1e-4)


def test_files_are_one_trajectory(tmp_path):
    xyz, times, _ = read(tmp_path, *ADK_FRAMES)
    parts = []
    for path in ADK_FRAMES:
        with NetCDFTrajectoryFile(str(path)) as file:
            parts.append(file.read())
    assert np.array_equal(xyz, np.concatenate([part[0] for part in parts]))
    assert np.array_equal(times, np.concatenate([part[1] for part in parts]))
