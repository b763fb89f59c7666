"""Workers of a Dask cluster give the bytes of one process, whatever happens to them."""

import os
import signal
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest
import xarray as xr

from pgbench.grid.plan import settings
from pgbench.grid.reader import parse_grid
from pgbench.harness import cluster
from pgbench.harness.cluster import Cluster, ClusterError, Workers, by_workers, different
from pgbench.harness.horizon_study import study
from pgbench.harness.progress import Silent
from pgbench.harness.runner import execute
from pgbench.harness.tasks import tasks
from pgbench.results.dataset import same_numbers

GRID = """
name: t
problems: [{problem: garnet, n_states: 10, gamma: 0.9}, corridor]
policies: [softmax]
estimators: [td, reward_to_go, rloo, advantage_normalised]
batch_sizes: [1, 4, 2000]
horizon: 60
replicates: 200
ascent: {algorithms: gradient, estimators: td, step_sizes: 0.1, steps: 4, replicates: 2}
"""
"""Cells of 2000 trajectories come in two portions."""


@pytest.fixture(scope="module")
def grid():
    return parse_grid(GRID)


@pytest.fixture(scope="module")
def alone(grid, tmp_path_factory):
    """What one process makes of the grid."""
    return execute(grid, tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def client():
    with Workers(2).client() as client:
        yield client


def on(client, set_up=None):
    """A performer of a client that goes on afterwards."""

    @contextmanager
    def make(order):
        yield Cluster(client, order if set_up is None else replace(order, set_up=set_up))

    return make


def workers_of(client):
    """Process numbers of the workers."""
    return sorted(client.run(os.getpid).values())


class KillOne(Silent):
    """Kills a worker when so many batches were written."""

    def __init__(self, client, after):
        self.client, self.left = client, after

    def batch(self, n_cells, steps):
        self.left -= 1
        if self.left == 0:
            os.kill(workers_of(self.client)[0], signal.SIGKILL)


def test_the_grid_of_these_tests_has_every_kind_of_task(grid):
    kinds = {type(task).__name__ for task in tasks(settings(grid))}
    assert kinds == {"MeasureTask", "PortionTask", "CentredTask", "JoinTask", "AscentTask"}


def test_workers_give_the_bytes_of_one_process_though_one_is_killed(grid, alone, client, tmp_path):
    found = execute(grid, tmp_path, performer=on(client), progress=KillOne(client, 2))
    assert same_numbers(found.tree, alone.tree) == []
    assert (found.measured, found.failed) == (alone.measured, 0)
    again = execute(grid, tmp_path, performer=on(client))
    assert (again.measured, again.reused) == (0, found.measured + found.skipped)


def test_a_cell_that_kills_its_workers_fails_alone_and_the_others_are_measured(
    grid, client, tmp_path
):
    """Each worker dies of every task with td; the tasks hold other estimators too."""
    small = replace(
        grid,
        problems=grid.problems[:1],
        batch_sizes=(1, 4),
        ascent=None,
        estimators=grid.estimators[:2],
    )
    found = execute(small, tmp_path, performer=on(client, Deadly("td")))
    status = found.tree["status"].squeeze(drop=True)
    assert status.sel(estimator="td").values.tolist() == [2, 2]
    assert status.sel(estimator="reward_to_go").values.tolist() == [1, 1]
    message = str(found.tree["message"].sel(estimator="td").values.ravel()[0])
    assert message.startswith("its worker died ")


def test_a_study_of_horizons_by_workers_is_that_of_one_process(grid, client):
    small = replace(grid, ascent=None, estimators=grid.estimators[:2])
    by_workers = study(small, mapping=partial(cluster._mapped, client, None))
    xr.testing.assert_identical(by_workers.drop_attrs(), study(small).drop_attrs())


def test_other_versions_are_refused_by_name():
    own = {"pgbench": "1", "numba": "0.63", "numpy": "2.3", "scipy": "1.16"}
    assert different(own, own, "worker a") == ""
    assert different(own, {**own, "numba": "0.64", "numpy": "2.4"}, "worker a") == (
        "worker a has numba 0.64 (the client has 0.63), numpy 2.4 (the client has 2.3)"
    )
    assert "pgbench missing (the client has 1)" in different(own, {}, "worker a")


def test_without_dask_it_is_said_what_to_install(grid, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(ClusterError, match=r"--workers needs Dask: .* 'pgbench\[dask\]'"):
        execute(grid, tmp_path, performer=by_workers(Workers(2)))


@pytest.mark.parametrize("number", [0, -1])
def test_there_is_at_least_one_worker(number):
    with pytest.raises(ValueError, match=f"--workers is {number}, must be at least 1"):
        Workers(number)


class Deadly:
    """Set-up of a worker after which an estimator kills it."""

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"Deadly({self.name})"

    def __call__(self):
        from pgbench.harness import measuring

        make = measuring.make_subject

        def deadly(prepared, estimator, *rest):
            if estimator.name == self.name:
                os.kill(os.getpid(), signal.SIGKILL)
            return make(prepared, estimator, *rest)

        measuring.make_subject = deadly
