"""Tasks side by side in processes of this machine give the bytes of one process."""

import os
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from pgbench.grid import plan
from pgbench.grid.plan import settings
from pgbench.grid.reader import parse_grid
from pgbench.harness import beside
from pgbench.harness.beside import Beside, lots, on_this_machine, worthwhile
from pgbench.harness.crew import Crew
from pgbench.harness.measuring import Conditions, Workshop
from pgbench.harness.performing import Here, Order
from pgbench.harness.runner import execute
from pgbench.harness.tasks import AscentTask, tasks
from pgbench.measure.ahead import compile_ahead
from pgbench.results.dataset import same_numbers
from pgbench.rollout.device import CPU

GRID = """
name: t
problems: [{problem: garnet, n_states: [10, 20], gamma: 0.9}]
policies: [softmax]
estimators: [td, rloo, advantage_normalised]
batch_sizes: [2, 8]
horizon: 20
replicates: 40
ascent: {algorithms: gradient, estimators: td, step_sizes: 0.1, steps: 4, replicates: 2}
"""
"""Cells of 8 trajectories come in three portions."""

LARGE = """
name: large
problems: [{problem: garnet, n_states: [100, 10], gamma: 0.99}]
estimators: [td, reinforce]
batch_sizes: [4096]
replicates: 1000
ascent: {algorithms: gradient, estimators: exact, step_sizes: 0.1, steps: 10}
"""

ORDER = Order(Conditions(2, None, CPU))


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
def crew():
    with Crew(2) as crew:
        yield crew


def by(crew, set_up=None, **options):
    """A performer of two processes that go on afterwards."""

    @contextmanager
    def make(order, tasks):
        order = Order(replace(order.conditions, threads=2), set_up)
        yield Beside(order, crew, 2, **options)

    return make


def planned(text):
    return list(tasks(settings(parse_grid(text))))


def test_two_processes_give_the_bytes_of_one(grid, crew, tmp_path):
    alone = execute(grid, tmp_path / "alone")
    found = execute(grid, tmp_path / "beside", performer=by(crew))
    assert same_numbers(found.tree, alone.tree) == []
    assert (found.measured, found.failed) == (alone.measured, 0) != (0, 0)
    again = execute(grid, tmp_path / "beside", performer=by(crew))
    assert (again.measured, again.reused) == (0, found.measured)


def test_a_cell_that_ends_its_process_fails_alone_and_the_others_are_measured(
    grid, tmp_path, monkeypatch
):
    """What children run is patched by what prepares them, also where one is tried alone."""
    small = replace(grid, batch_sizes=(2,), ascent=None, estimators=grid.estimators[:2])
    with Crew(2, Deadly("td")) as crew:
        found = execute(small, tmp_path, performer=by(crew, Deadly("td")))
    for _, status in found.tree["status"].groupby("problem"):
        assert status.squeeze(drop=True).to_series().to_dict() == {"td": 2, "rloo": 1}
    message = str(found.tree["message"].sel(estimator="td").values.ravel()[0])
    assert "ended its process, with exit code 9" in message


@dataclass(frozen=True)
class Deadly:
    """Lets tasks with an estimator end the process."""

    estimator: str

    def __call__(self):
        perform = Workshop.perform

        def deadly(workshop, task, read):
            if self.estimator in task.estimators:
                os._exit(9)
            return perform(workshop, task, read)

        Workshop.perform = deadly


def test_processes_without_tasks_do_what_comes_afterwards_once(grid, tmp_path):
    with Crew(2) as crew:
        calls = []
        submit = crew.submit

        def watched(place, function, *arguments, **limits):
            calls.append((place, function))
            return submit(place, function, *arguments, **limits)

        crew.submit = watched
        execute(grid, tmp_path, performer=by(crew, afterwards=os.getpid))
    assert sorted(place for place, function in calls if function is os.getpid) == [0, 1]
    assert calls[-1][1] is os.getpid


def test_small_settings_come_first_and_ascents_last():
    found = [(type(lot[0]) is AscentTask, lot[0].setting.label) for lot in lots(planned(LARGE))]
    small, large = (f"garnet[n_states={n}] × softmax" for n in (10, 100))
    assert found == [(False, small), (False, large), (True, small), (True, large)]
    assert sum(map(len, lots(planned(LARGE)))) == len(planned(LARGE))


def test_problems_whose_size_is_not_known_come_after_those_of_which_it_is():
    frozen = "{problem: gymnasium, id: FrozenLake-v1, gamma: 0.99}, {problem: garnet"
    found = lots(planned(LARGE.replace("{problem: garnet", frozen)))
    known = ["garnet" in lot[0].setting.label for lot in found]
    assert known == [True, True, False] * 2


def test_where_nothing_is_compiled_the_second_process_begins_with_what_the_first_needs_last(
    grid, crew, tmp_path, monkeypatch
):
    calls = []
    submit = crew.submit

    def watched(place, function, *arguments, **limits):
        calls.append((place, function))
        return submit(place, function, *arguments, **limits)

    monkeypatch.setattr(crew, "submit", watched)
    for there in (True, False):
        monkeypatch.setattr("pgbench.kernels.keeping.has_compiled", lambda there=there: there)
        calls.clear()
        execute(replace(grid, ascent=None), tmp_path / str(there), performer=by(crew))
        ahead = [place for place, function in calls if function is compile_ahead]
        assert ahead == ([] if there else [1])
    assert calls[0][1] is compile_ahead
    monkeypatch.setattr("pgbench.kernels.keeping.has_compiled", lambda: False)
    calls.clear()
    execute(replace(grid, estimators=(), batch_sizes=()), tmp_path / "climbs", performer=by(crew))
    assert all(function is not compile_ahead for _, function in calls)


def test_processes_are_as_many_as_are_worth_it(monkeypatch):
    monkeypatch.setattr(beside, "available", lambda: 2.0**40)
    assert worthwhile(planned(LARGE), ORDER) == 2
    assert worthwhile(planned(LARGE), Order(Conditions(1, None, CPU))) == 1
    assert worthwhile(planned(LARGE), Order(Conditions(2, None, replace(CPU, kind="cuda")))) == 1
    assert worthwhile(planned(GRID), ORDER) == 1
    monkeypatch.setattr(beside, "available", lambda: 2.0**29)
    assert worthwhile(planned(LARGE), ORDER) == 1


def test_an_estimator_that_only_this_process_knows_is_measured_here(monkeypatch):
    monkeypatch.setattr("pgbench.harness.tasks.is_added", lambda name: name == "td")
    assert worthwhile(planned(LARGE), ORDER) == 1
    assert worthwhile(planned(LARGE), replace(ORDER, set_up=os.getpid)) == 2


def test_what_is_little_is_performed_in_this_process():
    with on_this_machine()(ORDER, planned(GRID)) as performer:
        assert isinstance(performer, Here)


def test_processes_are_made_where_there_are_none():
    with on_this_machine()(ORDER, planned(LARGE)) as performer:
        assert isinstance(performer, Beside)
