"""Python's threads and processes on one engine: the same bits as from one thread."""

import gc
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import qmd

DATA = Path(os.environ["QMD_SOURCE"]) / "examples" / "data"
N_THREADS = 32
N_CALLS = 250


@pytest.fixture(scope="module")
def data():
    def state(name):
        return DATA / f"adk-{name}.pdb", [DATA / f"adk-{name}-1.nc"]

    return qmd.Dataset(open=state("open"), closed=state("closed"), select="name CA", stride=8)


@pytest.fixture(scope="module")
def engine(data):
    everything = data.split("all")
    pixels = qmd.Pixels(data, everything)
    model = qmd.Model.preset("icnnmd", pixels.side, 2).bind(pixels, ["open", "closed"])
    return qmd.Engine.compile(model.quantize(data, everything, epochs=0))


@pytest.fixture(scope="module")
def xyz(data):
    return data.read(range(data.n_frames))


def run_in_threads(work, n=N_THREADS):
    """All begin at once; what is raised in one is raised here."""
    together, raised = threading.Barrier(n), []

    def begin(i):
        try:
            together.wait()
            work(i)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=begin, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


def test_threads_share_an_engine(engine, xyz):
    expected = engine(xyz)
    assert len(np.unique(expected, axis=0)) > 1
    n_wrong = np.zeros(N_THREADS, int)

    def work(i):
        clone = engine.clone(max_batch=1 + i % 4)
        for call in range(N_CALLS):
            frame = (i + call) % len(xyz)
            n_wrong[i] += not np.array_equal(clone(xyz[frame]), expected[frame:frame + 1])

    run_in_threads(work)
    assert n_wrong.sum() == 0


def test_each_thread_has_errors_of_its_own(engine, xyz):
    def work(i):
        clone = engine.clone()
        for _ in range(N_CALLS):
            with pytest.raises(qmd.Error, match=f"n_atoms is {i + 1} "):
                clone(xyz[:, :i + 1])

    run_in_threads(work)


def test_threads_read_and_train_on_their_own(data, xyz):
    """A data set is for one thread at a time, but each thread may have one, NetCDF-C's lock between them."""
    weights = [None] * 4

    def work(i):
        own = qmd.Dataset(open=(DATA / "adk-open.pdb", [DATA / "adk-open-1.nc"]),
                          closed=(DATA / "adk-closed.pdb", [DATA / "adk-closed-1.nc"]), select="name CA", stride=8)
        np.testing.assert_array_equal(own.read(range(own.n_frames)), xyz)
        everything = own.split("all")
        pixels = qmd.Pixels(own, everything)
        model = qmd.Model.preset("icnnmd", pixels.side, 2)
        model.train(own, everything, pixels, epochs=1, n_threads=1)
        weights[i] = model.predict(xyz)

    run_in_threads(work, n=4)
    for other in weights[1:]:
        np.testing.assert_array_equal(other, weights[0])


def test_clones_outlive_what_they_were_cloned_from(engine, xyz, tmp_path):
    engine.save(tmp_path / "engine.qme")
    expected = engine(xyz)
    clones = [qmd.Engine.load(tmp_path / "engine.qme").clone() for _ in range(4)]
    gc.collect()
    for clone in clones:
        np.testing.assert_array_equal(clone(xyz), expected)


def in_child(work):
    """1 if work() is true in a forked process."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            code = 0 if work() else 1
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_forked_process_goes_on(engine, xyz, n_threads):
    clone = engine.clone(n_threads=n_threads)
    expected = clone(xyz)
    for _ in range(3):
        assert in_child(lambda: np.array_equal(clone(xyz), expected))
        assert in_child(lambda: np.array_equal(engine.clone(n_threads=2)(xyz), expected))
    np.testing.assert_array_equal(clone(xyz), expected)


def test_a_process_forks_while_threads_run(engine, xyz):
    expected = engine(xyz)
    stop, n_wrong = threading.Event(), []

    def work(clone):
        while not stop.is_set():
            if not np.array_equal(clone(xyz), expected):
                n_wrong.append(1)

    threads = [threading.Thread(target=work, args=(engine.clone(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            assert in_child(lambda: np.array_equal(engine.clone()(xyz), expected))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not n_wrong
