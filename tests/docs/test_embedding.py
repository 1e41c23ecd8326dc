"""The code of docs/embedding.md is compiled against an installed libqmd and run, and so are the examples of parallel hosts."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["QMD_BUILD"])
DATA = SOURCE / "examples" / "data"
PDB, TRAJECTORY = DATA / "adk-closed.pdb", DATA / "adk-closed-1.nc"
WARNINGS = ["-Wall", "-Wextra", "-Werror"]

sys.path.insert(0, str(SOURCE / "examples" / "python"))
import qmd  # noqa: E402

# What the page takes for granted of a host: here it holds the atoms of a PDB file, in nm.
HOST = """
#include <stdio.h>
#include <stdlib.h>
#include <qmd.h>
static qmd_atom *atoms;
static size_t n_atoms;
static double *x;
static void open_host(const char *pdb) {
	qmd_topology *topology;
	if (qmd_topology_load(pdb, &topology) != QMD_OK)
		exit(1);
	n_atoms = qmd_topology_n_atoms(topology);
	atoms = (qmd_atom *)calloc(n_atoms, sizeof *atoms);
	x = (double *)calloc(n_atoms, 3 * sizeof *x);
	float *xyz = (float *)calloc(n_atoms, 3 * sizeof *xyz);
	qmd_topology_coordinates(topology, xyz);
	for (size_t i = 0; i < n_atoms; i++)
		qmd_topology_atom(topology, i, &atoms[i]);
	for (size_t i = 0; i < 3 * n_atoms; i++)
		x[i] = 0.1 * (double)xyz[i];
	free(xyz);
	qmd_topology_free(topology);
}
"""
C_MAIN = """
int main(int argc, char **argv) {{
	static uint32_t indices[214];
	float probabilities[2];
	const double *box = NULL;
	open_host(argv[argc - 1]);
	{once}
	{step}
	printf("%.9g %.9g\\n", (double)probabilities[0], (double)probabilities[1]);
	qmd_context_free(context);
	qmd_engine_free(engine);
	free(atoms);
	free(x);
}}
"""
CPP_MAIN = """
int main(int argc, char **argv) {
	open_host(argv[argc - 1]);
	StateObserver observe("fold-1.qme", std::vector<qmd_atom>(atoms, atoms + n_atoms));
	const std::vector<float> &probabilities = observe(x, n_atoms, nullptr);
	printf("%.9g %.9g\\n", (double)probabilities[0], (double)probabilities[1]);
	free(atoms);
	free(x);
	try {
		StateObserver nobody("nowhere.qme", {});
	} catch (const std::runtime_error &error) {
		return 0;
	}
	return 1;
}
"""


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", (SOURCE / "docs" / "embedding.md").read_text(), re.MULTILINE | re.DOTALL)


def run(*command, cwd, **environment):
    result = subprocess.run([str(word) for word in command], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", BUILD, "--prefix", folder, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def library(prefix):
    return next(prefix.rglob("libqmd.so")).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where fold-1.qme is, an engine on the alpha carbons of the bundled states."""
    folder = tmp_path_factory.mktemp("host")
    states = {name: (DATA / f"adk-{name}.pdb", [DATA / f"adk-{name}-{i}.nc" for i in (2, 3)]) for name in ("open", "closed")}
    data = qmd.Dataset(select="name CA", stride=8, **states)
    split = data.split("replica", 1)
    pixels = qmd.Pixels(data, split)
    model = qmd.Model.preset("icnnmd", pixels.side, 2).train(data, split, pixels, epochs=2)
    qmd.Engine.compile(model.quantize(data, split, epochs=0)).save(folder / "fold-1.qme")
    return folder


def pdb_atoms():
    lines = [line for line in PDB.read_text().splitlines() if line.startswith("ATOM")]
    names = [(line[21].strip(), int(line[22:26]), line[17:20].strip(), line[12:16].strip()) for line in lines]
    return names, np.array([[float(line[i:i + 8]) for i in (30, 38, 46)] for line in lines])


@pytest.fixture(scope="module")
def expected(folder):
    names, xyz = pdb_atoms()
    engine = qmd.Engine.load(folder / "fold-1.qme")
    return engine(xyz[None].astype(np.float32), indices=engine.match(names))[0]


def test_c_and_pkg_config(folder, prefix, library, expected):
    once, step = blocks("c")
    (folder / "md.c").write_text(HOST + C_MAIN.format(once=once, step=step))
    (command,) = blocks("sh")
    flags = subprocess.run(["pkg-config", f"--define-variable=prefix={prefix}", "--cflags", "--libs", "qmd"], check=True, text=True,
                           capture_output=True, env={**os.environ, "PKG_CONFIG_PATH": str(library / "pkgconfig")}).stdout.split()
    command = command.replace("$(pkg-config --cflags --libs qmd)", " ".join(flags))
    run("bash", "-c", command.strip() + " " + " ".join(WARNINGS), cwd=folder)
    output = run("./md", PDB, cwd=folder, LD_LIBRARY_PATH=str(library))
    np.testing.assert_array_equal(np.array(output.split(), np.float32), expected)


def test_cpp_and_cmake(folder, prefix, library, expected):
    (code,) = blocks("cpp")
    (cmake,) = blocks("cmake")
    project = folder / "project"
    project.mkdir()
    (project / "md.cpp").write_text(HOST + code + CPP_MAIN)
    (project / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.25)\nproject(md LANGUAGES CXX)\nset(CMAKE_CXX_STANDARD 17)\n"
                                            "add_compile_options(-Wall -Wextra -Werror)\nadd_executable(md md.cpp)\n" + cmake)
    run("cmake", "-S", project, "-B", project / "build", f"-DCMAKE_PREFIX_PATH={prefix}", cwd=folder)
    run("cmake", "--build", project / "build", cwd=folder)
    output = run(project / "build" / "md", PDB, cwd=folder, LD_LIBRARY_PATH=str(library))
    np.testing.assert_array_equal(np.array(output.split(), np.float32), expected)


class Quantity:
    def __init__(self, value):
        self._value = value


class FakeState:
    """What a reporter sees of OpenMM's State."""

    def __init__(self, xyz_nm):
        self.xyz_nm = xyz_nm

    def getPositions(self, asNumpy):
        return Quantity(self.xyz_nm)

    def getPeriodicBoxVectors(self, asNumpy):
        return Quantity(2 * np.eye(3))


def test_python_and_an_openmm_reporter(folder, expected, monkeypatch):
    monkeypatch.chdir(folder)
    names, xyz = pdb_atoms()
    scope = {"atoms": names, "xyz": xyz[None].astype(np.float32)}
    for block in blocks("python"):
        exec(block, scope)
    np.testing.assert_array_equal(scope["probabilities"][0], expected)
    without_the_last_residue = [row for row in names if row[1] < 214]
    with pytest.raises(qmd.Error, match="214"):
        scope["engine"].match(without_the_last_residue)

    def atom(chain, number, residue, name):
        residue = types.SimpleNamespace(chain=types.SimpleNamespace(id=chain), id=str(number), name=residue)
        return types.SimpleNamespace(residue=residue, name=name)

    topology = types.SimpleNamespace(atoms=lambda: [atom(*row) for row in names], getPeriodicBoxVectors=lambda: None)
    reporter = scope["StateReporter"]("states.csv", 10, scope["engine"], topology)
    simulation = types.SimpleNamespace(currentStep=20, topology=topology)
    assert reporter.describeNextReport(simulation)[:2] == (10, True)
    reporter.report(simulation, FakeState(0.1 * xyz))
    header, row = (folder / "states.csv").read_text().splitlines()
    assert header == "step,open,closed"
    np.testing.assert_array_equal(np.array(row.split(","), np.float32), [20, *expected])


def test_atoms_spread_over_ranks(folder):
    program = BUILD / "examples" / "embed_mpi"
    if not program.exists() or not shutil.which("mpiexec"):
        pytest.skip("SKIPPED: there is no MPI")
    serial = run(os.environ["QMD_PROGRAM"], "run", "fold-1.qme", TRAJECTORY, "--topology", PDB, cwd=folder).splitlines()[1::10]
    serial = [row.split(",") for row in serial]
    promised = [f"step {int(row[0]):3d}: open {row[2]} closed {row[3]}" for row in serial]
    assert len(promised) == 4
    for n_ranks in (1, 2, 3):
        output = run("mpiexec", "-n", n_ranks, program, "fold-1.qme", PDB, TRAJECTORY, cwd=folder)
        assert output.splitlines() == promised


# What the fix sees of LAMMPS, as its headers declare it.
LAMMPS = """
#pragma once
#include <cstdint>
#include <mpi.h>
#include <string>
#define FLERR __FILE__, __LINE__
namespace LAMMPS_NS {
typedef int tagint;
typedef int imageint;
struct LAMMPS;
struct Atom { int tag_enable, nlocal; tagint *tag; imageint *image; double **x; };
struct Domain { void unmap(const double *, imageint, double *); };
struct Update { char *unit_style; };
struct Error {
	[[noreturn]] void all(const std::string &, int, const std::string &);
	[[noreturn]] void one(const std::string &, int, const std::string &);
};
struct Pointers { Atom *atom; Domain *domain; Update *update; Error *error; MPI_Comm world; };
struct Fix : Pointers {
	int nevery, vector_flag, size_vector, extvector, global_freq;
	Fix(LAMMPS *, int, char **);
	virtual ~Fix();
	virtual int setmask() = 0;
	virtual void init() {}
	virtual void setup(int) {}
	virtual void end_of_step() {}
	virtual double compute_vector(int) { return 0; }
};
namespace FixConst { enum { END_OF_STEP = 1 << 3 }; }
}
"""


def test_the_lammps_fix_compiles(tmp_path):
    if not shutil.which("mpicxx"):
        pytest.skip("SKIPPED: there is no MPI")
    (tmp_path / "lammps_api.h").write_text(LAMMPS)
    for header in ("fix", "atom", "domain", "error", "update"):
        (tmp_path / f"{header}.h").write_text('#include "lammps_api.h"\n')
    run("mpicxx", "-std=c++17", *WARNINGS, "-fsyntax-only", f"-I{tmp_path}", f"-I{SOURCE}/include",
        SOURCE / "examples" / "lammps" / "fix_qmd.cpp", cwd=tmp_path)
