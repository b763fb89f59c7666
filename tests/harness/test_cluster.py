"""Workers of a Dask cluster give the bytes of one process, whatever happens to them."""

import os
import signal
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import xarray as xr

from pgbench.grid import plan
from pgbench.grid.plan import settings
from pgbench.grid.reader import parse_grid
from pgbench.harness.cluster import on_worker, performer, workers
from pgbench.harness.cluster.mapping import mapping
from pgbench.harness.cluster.on_worker import ClusterError, different
from pgbench.harness.cluster.performer import Cluster
from pgbench.harness.cluster.workers import Workers
from pgbench.harness.horizon_study import study
from pgbench.harness.measuring import Conditions
from pgbench.harness.performing import Order
from pgbench.harness.progress import Silent
from pgbench.harness.provenance import versions
from pgbench.harness.runner import execute
from pgbench.harness.tasks import tasks as tasks_of
from pgbench.memory import NotEnoughMemory
from pgbench.results.dataset import same_numbers
from pgbench.rollout.device import CPU
from pgbench.trials import power
from pgbench.trials.user_file import PlugIns, plug_in
from pgbench.trials.validity.cells import StudyCell
from pgbench.trials.validity.run import tables
from tests.support.plugins import OWN

GRID = """
name: t
problems: [{problem: garnet, n_states: 10, gamma: 0.9}]
policies: [softmax]
estimators: [td, rloo, advantage_normalised]
batch_sizes: [2, 8]
horizon: 20
replicates: 40
ascent: {algorithms: gradient, estimators: td, step_sizes: 0.1, steps: 4, replicates: 2}
"""
"""Cells of 8 trajectories come in three portions."""


@pytest.fixture(scope="module", autouse=True)
def _small_portions():
    """Portions of cells so small that measuring them takes no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "PORTION_STEPS", 2**12)
        yield


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
    def make(order, tasks):
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


def test_what_a_terminal_orders_is_not_heard_by_workers(client):
    """^C and a hang-up go to all processes of a command; the client ends its workers."""
    before = workers_of(client)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        for process in before:
            os.kill(process, number)
    assert workers_of(client) == before


def test_workers_give_the_bytes_of_one_process_though_one_is_killed(grid, alone, client, tmp_path):
    found = execute(grid, tmp_path, performer=on(client), progress=KillOne(client, 2))
    assert same_numbers(found.tree, alone.tree) == []
    assert (found.measured, found.failed) == (alone.measured, 0)
    again = execute(grid, tmp_path, performer=on(client))
    assert (again.measured, again.reused) == (0, found.measured)


def test_a_cell_that_kills_its_workers_fails_alone_and_the_others_are_measured(
    grid, client, tmp_path, monkeypatch
):
    """Each worker dies of every task with td, which holds another estimator too."""
    monkeypatch.setattr(performer, "MOST_DEATHS", 2)
    small = replace(grid, batch_sizes=(2,), ascent=None, estimators=grid.estimators[:2])
    found = execute(small, tmp_path, performer=on(client, Deadly("td")))
    status = found.tree["status"].squeeze(drop=True)
    assert status.to_series().to_dict() == {"td": 2, "rloo": 1}
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
    trials = [power.Trial(name, 250, 3) for name in [*power.claims()][:60:20]]
    here = [power.p_values(trial) for trial in trials]
    assert list(mapped(power.p_values, trials)) == here
    assert sum(map(len, here)) > 10


def test_validity_by_workers_is_that_of_one_process(mapped):
    bandit = StudyCell(("bandit", {"n_actions": 2}), ("softmax", {}), 1, (("reinforce", {}),))
    given = {"A": (bandit,)}, (), (40, 20), 3
    assert tables(*given, mapped) == tables(*given)


@pytest.mark.slow
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
    other = {**versions(), "numba": "0.1"}
    monkeypatch.setattr(workers, "versions", lambda: other)
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
        on_worker._plug_in(set_up)
    assert calls == ["a", "b", "a"]


def test_other_versions_are_refused_by_name():
    own = {"pgbench": "1", "numba": "0.63", "numpy": "2.3", "scipy": "1.16"}
    assert different(own, own, "worker a") == ""
    assert different(own, {**own, "numba": "0.64", "numpy": "2.4"}, "worker a") == (
        "worker a has numba 0.64 (the client has 0.63), numpy 2.4 (the client has 2.3)"
    )
    assert "pgbench missing (the client has 1)" in different(own, {}, "worker a")


def test_a_worker_that_may_hold_too_little_is_refused():
    worker = SimpleNamespace(
        address="tcp://a:1", memory_manager=SimpleNamespace(memory_limit=200 * 2**20)
    )
    assert on_worker._refusal(versions(), worker) == (
        "worker tcp://a:1 may hold 200 MiB of memory, must be at least 512 MiB"
    )
    worker.memory_manager.memory_limit = None
    assert on_worker._refusal(versions(), worker) == ""


def test_without_dask_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(workers, "find_spec", lambda name: None)
    with pytest.raises(ClusterError, match=r"--workers needs Dask: .* 'pgbench\[dask\]'"):
        Workers(2)
    with pytest.raises(ClusterError, match=r"--scheduler needs Dask"):
        Workers(scheduler="tcp://10.0.0.1:8786")


@pytest.mark.parametrize("number", [0, -1])
def test_there_is_at_least_one_worker(number):
    with pytest.raises(ValueError, match=f"--workers is {number}, must be at least 1"):
        Workers(number)


def test_more_workers_than_fit_in_memory_are_not_started(monkeypatch):
    monkeypatch.setattr("pgbench.memory.available", lambda: 2.0**30)
    with (
        pytest.raises(NotEnoughMemory, match="--workers 1000 takes about 250 GiB of memory"),
        Workers(1000).client(),
    ):
        pass


@pytest.mark.parametrize("address", ["", "nonsense", "tcp://host", "http://host:80", "a b:1"])
def test_what_is_no_address_of_a_scheduler_is_refused(address):
    with pytest.raises(ValueError, match=f"--scheduler is '{address}', must be an address such as"):
        Workers(scheduler=address)


@pytest.mark.parametrize("address", ["10.0.0.1:8786", "tcp://host:1", "tls://[::1]:8786"])
def test_addresses_of_schedulers(address):
    assert Workers(scheduler=address).scheduler == address


def test_nobody_at_an_address_is_said_in_a_sentence_and_nothing_is_published(
    grid, tmp_path, monkeypatch
):
    monkeypatch.setattr(workers, "PATIENCE", 0.2)
    nobody = performer.by_workers(Workers(scheduler="127.0.0.1:9"))
    with pytest.raises(ClusterError, match=r"--scheduler 127\.0\.0\.1:9: nobody answers there"):
        execute(grid, tmp_path, performer=nobody)
    assert not (tmp_path / "t" / "results.nc").exists()


@pytest.mark.parametrize(
    ("ready", "seconds", "workers", "expected"),
    [
        (33, 0.25, 2, 4),
        (33, 10.0, 2, 1),
        (3, 0.25, 2, 1),
        (10**6, 0.25, 1000, 40),
        (2000, 0.2, 1000, 7),
        (0, 0.2, 10, 1),
    ],
    ids=["a second", "long tasks", "the last", "many workers", "too many workers", "none"],
)
def test_tasks_are_put_together_to_calls(ready, seconds, workers, expected):
    """The root of 2000 tasks · 5 ms / 0.2 s is 7; a fair share of 2 would keep the client busy."""
    assert performer.tasks_per_call(ready, seconds, workers) == expected


def test_workers_that_die_of_everything_are_given_up():
    """Each call would be tried several times, and each of its cells."""
    client = SimpleNamespace(nthreads=lambda: {"a": 1, "b": 1})
    own = Cluster(client, Order(Conditions(1, None, CPU)))
    for _ in range(performer.MOST_LOST + 2 * performer.AHEAD - 1):
        own._count_lost()
    with pytest.raises(ClusterError, match="14 calls ended their workers and none came back"):
        own._count_lost()


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
