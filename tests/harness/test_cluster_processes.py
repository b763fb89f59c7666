"""Runs by real schedulers and workers, disturbed in every way: the bytes of one process."""

import os
import signal
import socket
import subprocess

import pytest

from pgbench.results.dataset import same_numbers
from pgbench.results.journal import Journal
from tests.support.clusters import PACKAGE, Site, wait_for

pytestmark = pytest.mark.slow

GRID = """
name: t
problems: [{problem: garnet, n_states: 10, gamma: 0.9}, corridor]
policies: [softmax]
estimators: [td, reward_to_go, rloo, advantage_normalised]
batch_sizes: [1, 4, 64, 2000]
horizon: 30
replicates: 300
ascent: {algorithms: gradient, estimators: td, step_sizes: 0.1, steps: 4, replicates: 2}
"""
"""Cells of 2000 trajectories come in two portions; in one process it takes some ten seconds."""

ESTIMATORS = """
import os
from pgbench.estimators import TableEstimator
from pgbench.process.tables import Tables

def good(truth):
    return Tables.build(truth.process, sigma=truth.mdp.reward, delta=truth.mdp.gamma)

def deadly(truth):
    os._exit(3) if truth.mdp.n_states > 15 else None
    return good(truth)

def wrong(truth):
    raise ValueError("it is wrong")

def record(name, tables):
    return TableEstimator(
        name=name, tables=tables, bias=lambda: ("truncation",), formula="x", reference="me",
        alone="no",
    )

one, two, three = record("good", good), record("deadly", deadly), record("wrong", wrong)
"""

OWN = """
name: t
problems: [{problem: garnet, n_states: [10, 20], gamma: 0.9}]
policies: softmax
estimators: [td, good, deadly, wrong]
batch_sizes: [1, 2000]
horizon: 30
replicates: 300
"""

OTHER_VERSION = """
import importlib.metadata as metadata
version = metadata.version
metadata.version = lambda name: "0.1" if name == "numba" else version(name)
"""

WITHOUT_PGBENCH = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "pgbench":
            raise ModuleNotFoundError("No module named 'pgbench'", name="pgbench")

sys.meta_path.insert(0, Finder())
"""

DEADLY = """
def dask_setup(worker):
    import os
    from pgbench.harness.cluster import on_worker
    on_worker._hands = lambda order: os._exit(9)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an undisturbed process makes of the grid."""
    with Site(tmp_path_factory.mktemp("whole"), GRID) as site:
        assert site.run().code() == 0
        yield site.tree()


@pytest.fixture
def site(tmp_path):
    with Site(tmp_path, GRID) as site:
        yield site


def finished(site, process, whole, output="o"):
    """A run ends well, with the bytes of one process."""
    assert process.code() == 0
    assert same_numbers(site.tree(output), whole) == []


def sentence(process, words, code=2):
    """A run ends with a sentence, and says nothing of what Dask thinks of it."""
    assert process.code() == code
    last = process.printed.splitlines()[-1]
    assert words in last
    assert "Traceback" not in process.printed
    assert "distributed" not in process.printed


def patched(site, text):
    """Environment of a worker whose interpreter runs a text first."""
    folder = site.root / "patch"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(PACKAGE)])}


@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("of_kernels", ["1", "2"])
def test_threads_of_workers_do_not_change_a_byte(site, whole, threads, of_kernels):
    _, address = site.scheduler()
    site.worker(address, "--nthreads", threads, NUMBA_NUM_THREADS=of_kernels)
    finished(site, site.run("--scheduler", address), whole)


@pytest.mark.parametrize("number", [1, 4])
def test_number_of_workers_does_not_change_a_byte(site, whole, number):
    finished(site, site.run("--workers", number), whole)


@pytest.mark.parametrize("nanny", ["--nanny", "--no-nanny"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_is_killed_does_not_change_a_byte(site, whole, nanny, number):
    """A nanny starts another one."""
    _, address = site.scheduler()
    one, _ = (site.worker(address, nanny) for _ in range(2))
    run = site.run("--scheduler", address)
    site.underway()
    below = [process for process in one.group if process != one.handle.pid]
    for process in below or [one.handle.pid]:
        os.kill(process, number)
    finished(site, run, whole)


def test_a_worker_that_stands_still_for_a_while_does_not_change_a_byte(site, whole):
    _, address = site.scheduler()
    one, _ = (site.worker(address) for _ in range(2))
    run = site.run("--scheduler", address)
    site.underway()
    one.send(signal.SIGSTOP, to_all=True)
    with pytest.raises(subprocess.TimeoutExpired):
        run.handle.wait(10)
    one.send(signal.SIGCONT, to_all=True)
    finished(site, run, whole)


def test_workers_may_come_late(site, whole):
    _, address = site.scheduler()
    run = site.run("--scheduler", address)
    wait_for(lambda: "the scheduler has no workers yet" in run.printed)
    site.worker(address)
    site.underway()
    site.worker(address)
    finished(site, run, whole)


@pytest.mark.parametrize("to_all", [True, False])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_an_order_publishes_what_is_finished_and_leaves_no_process(site, whole, number, to_all):
    run = site.run("--workers", 2)
    site.underway()
    run.send(number, to_all=to_all)
    sentence(run, "cells measured before the interruption", 130)
    assert len(run.printed.splitlines()) <= 8
    wait_for(lambda: run.group == [])
    assert int((site.tree()["status"] == 1).sum()) > 0
    finished(site, site.run("--workers", 1), whole)


def test_an_order_while_workers_start_leaves_no_process(site):
    run = site.run("--workers", 2)
    wait_for(lambda: len(run.group) > 2)
    run.send(signal.SIGINT, to_all=True)
    sentence(run, "0 cells measured before the interruption", 130)
    wait_for(lambda: run.group == [])


def test_a_client_that_is_killed_leaves_no_process_and_is_resumed_by_others(site, whole):
    run = site.run("--workers", 2)
    site.underway()
    run.send(signal.SIGKILL)
    assert run.code() == -signal.SIGKILL
    wait_for(lambda: run.group == [])
    finished(site, site.run(), whole)


def test_a_scheduler_serves_a_client_after_another_was_killed(site, whole):
    _, address = site.scheduler()
    site.worker(address)
    run = site.run("--scheduler", address)
    site.underway()
    run.send(signal.SIGKILL)
    run.code()
    finished(site, site.run("--scheduler", address), whole)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_scheduler_that_dies_ends_a_run_after_what_is_finished_was_published(site, whole, number):
    scheduler, address = site.scheduler()
    site.worker(address)
    run = site.run("--scheduler", address)
    site.underway()
    scheduler.send(number)
    sentence(run, "the scheduler is gone; everything finished so far is kept")
    assert int((site.tree()["status"] == 1).sum()) > 0
    finished(site, site.run(), whole)


def test_somebody_who_is_no_scheduler_is_not_waited_for(site):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        run = site.run("--scheduler", f"127.0.0.1:{silent.getsockname()[1]}")
        sentence(run, "nobody answers there (no word within 20 s)")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (OTHER_VERSION, "has numba 0.1 (the client has"),
        (WITHOUT_PGBENCH, "cannot run pgbench: ModuleNotFoundError"),
    ],
)
def test_an_unfit_worker_is_named(site, text, words):
    _, address = site.scheduler()
    worker = site.worker(address, **patched(site, text))
    wait_for(lambda: "Registered to" in worker.printed)
    sentence(site.run("--scheduler", address), words)


def test_a_worker_that_may_hold_too_little_memory_is_named(site):
    _, address = site.scheduler()
    site.worker(address, "--memory-limit", "200MB")
    sentence(site.run("--scheduler", address), "may hold 191 MiB of memory, must be at least")


def test_workers_that_die_of_everything_do_not_keep_a_run_for_ever(site):
    (site.root / "deadly.py").write_text(DEADLY, encoding="utf-8")
    _, address = site.scheduler()
    site.worker(address, "--preload", str(site.root / "deadly.py"))
    sentence(site.run("--scheduler", address), "calls ended their workers and none came back")


@pytest.mark.parametrize("text", [OTHER_VERSION, WITHOUT_PGBENCH])
def test_an_unfit_worker_that_comes_late_does_nothing(site, whole, text):
    _, address = site.scheduler()
    fit = site.worker(address)
    run = site.run("--scheduler", address)
    site.underway()
    late = site.worker(address, **patched(site, text))
    wait_for(lambda: "Registered to" in late.printed)
    fit.send(signal.SIGKILL, to_all=True)
    wait_for(lambda: len(fit.group) == 0)
    site.worker(address)
    finished(site, run, whole)


def test_files_of_users_are_sent_and_what_they_do_is_theirs_alone(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(ESTIMATORS, encoding="utf-8")
    with Site(tmp_path, OWN) as site:
        assert site.run("--plugin", file, output="alone").code() == 1
        _, address = site.scheduler()
        run = site.run("--plugin", file, "--scheduler", address)
        wait_for(lambda: "waiting for the first" in run.printed)
        file.unlink()
        site.worker(address, cwd=tmp_path.parent)
        assert run.code() == 1
        assert same_numbers(site.tree(), site.tree("alone")) == []
    status = site.tree()["status"].squeeze(drop=True)
    assert (status.sel(estimator=["td", "good"]) == 1).all()
    assert (status.sel(estimator="wrong") == 2).all()
    assert status.sel(estimator="deadly").max("batch_size").values.tolist() == [1, 2]


def test_shards_are_merged_with_their_portions_and_finished_by_a_run(site, whole):
    for shard in ("1/2", "2/2"):
        assert site.run("--shard", shard, output=shard[0]).code() == 0
    parts = [site.root / name / "t" for name in "12"]
    merge = site.start("pgbench", "merge", *parts, "--output", site.root / "o")
    assert merge.code() == 0
    assert "missing" in merge.printed
    finished(site, site.run("--workers", 2), whole)


def test_more_replicates_extend_what_is_there(tmp_path):
    more = GRID.replace("replicates: 300", "replicates: 600")
    with Site(tmp_path, GRID) as site:
        assert site.run().code() == 0
        site.grid.write_text(more, encoding="utf-8")
        assert site.run("--workers", 2).code() == 0
        assert site.run(output="fresh").code() == 0
        assert same_numbers(site.tree(), site.tree("fresh")) == []
        extending, fresh = (steps(site.root / name / "t") for name in ("o", "fresh"))
    assert extending < 0.75 * fresh


def steps(directory):
    """Environment steps of the last execution in a directory."""
    return Journal.read(directory).executions[-1]["attributes"]["environment_steps"]
