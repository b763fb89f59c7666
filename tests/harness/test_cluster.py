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
from pgbench.harness.cluster import (
    Cluster,
    ClusterError,
    Workers,
    by_workers,
    different,
    mapping,
)
from pgbench.harness.horizon_study import study
from pgbench.harness.progress import Silent
from pgbench.harness.runner import execute
from pgbench.harness.tasks import tasks as tasks_of
from pgbench.results.dataset import same_numbers
from pgbench.trials import power
from pgbench.trials.user_file import PlugIns, plug_in
from pgbench.trials.validity.cells import StudyCell
from pgbench.trials.validity.run import tables
from tests.support.plugins import OWN

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
    kinds = {type(task).__name__ for task in tasks_of(settings(grid))}
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


@pytest.fixture
def mapped(client):
    """A map by the workers of the client, who know no users' estimators."""
    with mapping(Workers(scheduler=client.scheduler.address)) as mapped:
        yield mapped


def test_a_study_of_horizons_by_workers_is_that_of_one_process(grid, mapped):
    small = replace(grid, ascent=None, estimators=grid.estimators[:2])
    by_workers = study(small, mapping=mapped)
    xr.testing.assert_identical(by_workers.drop_attrs(), study(small).drop_attrs())


def test_workers_plug_in_users_files_and_outlive_their_code(client, tmp_path, monkeypatch):
    monkeypatch.setattr("pgbench.estimators._added", {})
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    plug_in(tmp_path / "own.py")
    own = PlugIns.of([tmp_path / "own.py"])
    grid = parse_grid("{name: t, problems: corridor, horizon: 5, estimators: [ends, like_td, td]}")
    with mapping(Workers(scheduler=client.scheduler.address), own) as mapped:
        by_workers = study(grid, mapping=mapped, set_up=own)
    assert by_workers["status"].values.ravel().tolist() == [2, 1, 1]
    xr.testing.assert_identical(by_workers.drop_attrs(), study(grid, set_up=own).drop_attrs())


def test_the_zoo_by_workers_is_that_of_one_process(mapped):
    """Trials are named by what every process knows; few of them are made here."""
    trials = [power.Trial(name, 250, 3) for name in [*power.claims()][:60:6]]
    here = [power.p_values(trial) for trial in trials]
    assert list(mapped(power.p_values, trials)) == here
    assert sum(map(len, here)) > 10


def test_validity_by_workers_is_that_of_one_process(mapped):
    bandit = StudyCell(("bandit", {"n_actions": 2}), ("softmax", {}), 1, (("reinforce", {}),))
    given = {"A": (bandit,)}, (), (40, 20), 3
    assert tables(*given, mapped) == tables(*given)


def test_an_item_that_kills_its_workers_is_named_and_the_others_are_done(mapped):
    results = mapped(deadly, ["one", "deadly", "two"])
    assert next(results) == "one"
    with pytest.raises(ClusterError, match=r"^workers died \d times of deadly, at last with noth"):
        next(results)
    assert list(mapped(deadly, ["one", "two"])) == ["one", "two"]


def test_an_item_whose_worker_was_killed_once_is_done_by_another(mapped, tmp_path):
    once = partial(deadly_once, tmp_path / "died")
    assert list(mapped(once, ["one", "two", "three"])) == ["one", "two", "three"]
    assert (tmp_path / "died").exists()


def test_a_worker_of_another_version_is_refused_by_name(client, monkeypatch):
    other = {**cluster.versions(), "numba": "0.1"}
    monkeypatch.setattr(cluster, "versions", lambda: other)
    message = r"worker tcp://.* has numba \S+ \(the client has 0\.1\)"
    with (
        pytest.raises(ClusterError, match=message),
        mapping(Workers(scheduler=client.scheduler.address)),
    ):
        pass


def test_users_files_are_plugged_in_again_where_others_were():
    """Workers outlive commands, and each has its own version of a file."""
    calls = []
    first, second = (Counting(calls, name) for name in "ab")
    for set_up in (first, first, None, second, first):
        cluster._plug_in(set_up)
    assert calls == ["a", "b", "a"]


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


def deadly(item):
    if item == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def deadly_once(path, item):
    if item == "two" and not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


class Counting:
    """Set-up that takes down its calls."""

    def __init__(self, calls, name):
        self.calls, self.name = calls, name

    def __repr__(self):
        return self.name

    def __call__(self):
        self.calls.append(self.name)


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
