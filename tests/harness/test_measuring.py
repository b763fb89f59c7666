"""Tasks give records: plain data, in batches, whatever becomes of single cells."""

import os
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from pgbench.grid.plan import settings
from pgbench.grid.reader import parse_grid
from pgbench.harness import measuring
from pgbench.harness.measuring import Conditions, Kept, Workshop, recorded
from pgbench.harness.performing import Hands, Order, Performed
from pgbench.harness.progress import Silent
from pgbench.harness.tasks import (
    JoinTask,
    PortionTask,
    Shard,
    largest_memory,
    tasks,
    unfinished,
)
from pgbench.harness.writer import Writer
from pgbench.policies import NotApplicable
from pgbench.results.build import build
from pgbench.results.dataset import same_numbers
from pgbench.results.journal import Journal
from pgbench.results.portions import Portions
from pgbench.rollout.device import CPU
from pgbench.trials.user_file import PlugIns, plug_in
from tests.support.plugins import OWN

GRID = """
name: t
problems: [corridor, {problem: gymnasium, id: No-v0}]
policies: [softmax, direct]
estimators: [td, {estimator: rloo}]
batch_sizes: [1, 4]
replicates: 20
ascent:
  algorithms: [gradient, {algorithm: actor_critic, critic_step: 0.1}]
  estimators: td
  step_sizes: 0.1
  steps: 4
  replicates: 2
"""

HERE = Conditions(1, None, CPU)


@pytest.fixture(scope="module")
def plan():
    return settings(parse_grid(GRID))


def batches_of(todo, read=lambda key: None):
    workshop = Workshop(HERE)
    return [batch for task in todo for batch in workshop.perform(task, read)]


@pytest.fixture(scope="module")
def made(plan):
    return batches_of(unfinished(tasks(plan), {}))


def test_batches_hold_records_of_one_kind_and_status_in_the_order_of_the_plan(made):
    shown = [(b[0]["kind"], b[0].get("status"), len(b)) for b in made]
    assert shown == [
        *[("setting", None, 1), ("cell", "skipped", 1), ("cell", "done", 1), ("cell", "done", 2)],
        *[("ascent", "done", 1)] * 2,
        *[("setting", None, 1), ("cell", "skipped", 1), ("cell", "done", 1), ("cell", "done", 2)],
        *[("ascent", "done", 1), ("ascent", "skipped", 1)],
        *[("cell", "failed", 4), ("ascent", "failed", 2)] * 2,
    ]
    for batch in made:
        assert len({(r["kind"], r.get("status"), r.get("message")) for r in batch}) == 1


def test_records_are_plain_data_from_which_a_journal_makes_the_same_dataset(plan, made, tmp_path):
    """What a worker sent as bytes is what was made here."""
    journal = Journal.open(tmp_path)
    writer = Writer(journal, Portions(tmp_path), Silent(), 20)
    todo = unfinished(tasks(plan), {})
    writer.write_all(todo, [Performed(todo[0], iter(made))])
    assert writer.steps > 0
    back = Journal.read(tmp_path)
    trees = [build(plan[0].grid, j) for j in (journal, back)]
    assert same_numbers(*trees) == []


def test_what_is_finished_is_not_made_again(plan, made):
    records = {record["key"]: record for batch in made for record in batch}
    todo = unfinished(tasks(plan), records)
    assert [task.setting.problem.name for task in todo] == ["gymnasium"] * 4
    assert [record["status"] for batch in batches_of(todo) for record in batch] == ["failed"] * 12


def test_a_goal_that_cannot_be_found_fails_the_ascents_alone(plan, monkeypatch):
    def broken(mdp, policy, objective):
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(measuring, "find_goal", broken)
    found = batches_of(unfinished(tasks(plan[:1]), {}))
    assert [batch[0].get("status") for batch in found[-2:]] == ["done", "failed"]
    assert {record["message"] for record in found[-1]} == {"ZeroDivisionError: on purpose"}


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (NotApplicable("makes no sense"), "skipped", "makes no sense"),
        (ZeroDivisionError("on purpose"), "failed", "ZeroDivisionError: on purpose"),
    ],
)
def test_a_failure_becomes_a_record_of_every_cell(plan, error, status, message):
    cells = plan[0].cells
    with recorded(cells) as lost:
        raise error
    assert [(r["key"], r["status"], r["message"]) for r in lost] == [
        (cell.key, status, message) for cell in cells
    ]
    assert all(
        ("in test_a_failure" in r.get("traceback", "")) == (status == "failed") for r in lost
    )


def test_memory_that_runs_out_is_a_sentence(plan):
    with recorded(plan[0].cells) as lost:
        np.empty(2**50)
    (sentence,) = {record["message"] for record in lost}
    assert sentence.startswith("NotEnoughMemory: measuring needs another 8,388,608 GiB of memory, ")


def test_an_interruption_is_no_failure(plan):
    with pytest.raises(KeyboardInterrupt), recorded(plan[0].cells) as lost:
        raise KeyboardInterrupt
    assert lost == []


LARGE = """
name: t
problems: [{problem: garnet, n_states: 20, gamma: 0.9}]
policies: [softmax, {policy: loglinear, n_features: 3}]
estimators: [td, reward_to_go, rloo, advantage_normalised]
batch_sizes: [2, 64]
horizon: 20
replicates: 90
"""


@pytest.fixture
def small_portions(monkeypatch):
    """Cells of 64 trajectories have portions of 32 replicates."""
    monkeypatch.setattr("pgbench.grid.plan.PORTION_STEPS", 32 * 64 * 20)


def test_a_large_cell_is_cut_into_fixed_portions_by_the_plan_alone(small_portions):
    (setting, _) = settings(parse_grid(LARGE))
    assert setting.portions(2) == []
    cut = [(p.first, p.replicates, p.room) for p in setting.portions(64)]
    assert cut == [(0, 32, 32), (32, 32, 32), (64, 26, 32)]


def measured(text, read, write, todo=None):
    """The records of a grid by key, portions read and written by these."""
    workshop, records = Workshop(HERE), {}
    plan = settings(parse_grid(text))
    for task in todo or unfinished(tasks(plan), {}):
        for batch in workshop.perform(task, read):
            for record in batch:
                (write if record["kind"] == "portion" else records).__setitem__(
                    record["key"], record
                )
    return records


def statistics(records):
    """Reproducible numbers of done cells, by key."""
    clocks = ("seconds", "time_normalised_variance")
    return {
        key: {
            **{k: np.float64(v).tobytes() for k, v in r["values"].items() if k not in clocks},
            **{k: v.tobytes() for k, v in r["maps"].items()},
        }
        for key, r in records.items()
        if r["kind"] == "cell" and r["status"] == "done"
    }


def test_portions_in_any_order_and_by_anybody_give_the_same_bytes(small_portions):
    store = {}
    whole = measured(LARGE, store.get, store)
    assert len(statistics(whole)) == 16
    todo = unfinished(tasks(settings(parse_grid(LARGE))), {})
    joins = [task for task in todo if isinstance(task, JoinTask)]
    other = {}
    # Every task by somebody who keeps nothing, the last portion first, cells of one task apart.
    apart = [
        _only(task, [cell])
        for stage in ((0, 1), (2,))
        for task in reversed([task for task in todo if task.stage in stage])
        for cell in task.cells
    ]
    found = {}
    for task in [*apart, *joins]:
        found |= measured(LARGE, other.get, other, [task])
    assert statistics(found) == statistics(whole)


def _only(task, cells):
    return replace(task, cells=cells, unknown=False)


def test_joined_portions_say_what_all_replicates_together_say(small_portions, monkeypatch):
    """To rounding, but for what hangs on how replicates are cut into blocks."""
    store = {}
    joined = measured(LARGE, store.get, store)
    monkeypatch.setattr("pgbench.grid.plan.PORTION_STEPS", 2**24)
    whole = measured(LARGE, None, None)
    one = sorted(
        (r for r in joined.values() if r["kind"] == "cell" and r["status"] == "done"),
        key=lambda r: (r["batch_size"], r["estimator"], r["values"]["exact_variance"]),
    )
    other = sorted(
        (r for r in whole.values() if r["kind"] == "cell" and r["status"] == "done"),
        key=lambda r: (r["batch_size"], r["estimator"], r["values"]["exact_variance"]),
    )
    for a, b in zip(one, other, strict=True):
        for name in ("variance", "mse", "cosine", "steps", "bias_test_p"):
            np.testing.assert_allclose(a["values"][name], b["values"][name], rtol=1e-9)
        np.testing.assert_allclose(a["maps"]["mean_gradient"], b["maps"]["mean_gradient"])
        assert abs(a["values"]["bias_squared_se"] / b["values"]["bias_squared_se"] - 1) < 0.2


def test_more_replicates_measure_only_what_is_new(small_portions):
    store = {}
    measured(LARGE, store.get, store)
    longer = LARGE.replace("replicates: 90", "replicates: 150")
    todo = unfinished(tasks(settings(parse_grid(longer))), {}, store)
    cut = [t for t in todo if isinstance(t, PortionTask) and t.stage == 1]
    assert {(t.portion.first, t.portion.replicates) for t in cut} == {(64, 32), (96, 32), (128, 22)}
    extended = measured(longer, store.get, store, todo)
    fresh = {}
    assert statistics(extended) == statistics(measured(longer, fresh.get, fresh))


def test_a_join_without_all_portions_is_left(small_portions):
    assert [t for t in measured(LARGE, lambda key: None, {}).values() if "portions" in t] == []


def test_what_failed_to_be_made_fails_again_at_once():
    calls = []

    def broken():
        calls.append(1)
        raise ZeroDivisionError("on purpose")

    kept = Kept(2, lambda thing: 1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match="on purpose"):
            kept.get("a", broken)
    assert len(calls) == 1


def test_only_the_last_things_are_kept_and_less_where_they_are_large():
    made = []

    def maker(key, size=1):
        made.append(key)
        return size

    kept = Kept(2, lambda size: size)
    for key in "aabbaccab":
        kept.get(key, lambda key=key: maker(key))
    assert made == list("abcb")
    large = Kept(9, lambda size: size)
    for key in "abab":
        large.get(key, lambda key=key: maker(key, size=measuring.KEPT_NUMBERS + 1))
    assert made[4:] == list("abab")


def test_shards_share_every_task_and_all_may_join(small_portions):
    every = list(tasks(settings(parse_grid(LARGE))))
    shards = [list(Shard.of_text(f"{i}/3").chosen(every)) for i in (1, 2, 3)]
    first = [[task for task in shard if task.stage < 2] for shard in shards]
    assert sorted(id(task) for shard in first for task in shard) == sorted(
        id(t) for t in every if t.stage < 2
    )
    assert max(map(len, first)) - min(map(len, first)) <= 1
    assert all([t for t in s if t.stage > 1] == [t for t in every if t.stage > 1] for s in shards)


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/x", "-1/2", "1/2/3"])
def test_other_shards_are_refused(text):
    with pytest.raises(ValueError, match="must be"):
        Shard.of_text(text)


def test_users_code_is_measured_with_linear_algebra_on_one_thread(tmp_path, monkeypatch):
    monkeypatch.setattr("pgbench.estimators._added", {})
    monkeypatch.setitem(os.environ, "OPENBLAS_NUM_THREADS", "2")
    path = tmp_path / "own.py"
    path.write_text(OWN, encoding="utf-8")
    plug_in(path)
    (task,) = tasks(
        settings(parse_grid("{name: t, problems: corridor, estimators: counts_threads}"))
    )
    hands = Hands(Order(HERE, PlugIns.of([path])))
    try:
        ((record,),) = hands.perform(task, lambda key: None)
    finally:
        hands.close()
    assert record["message"] == "ValueError: [1]"


SIZES = """
name: t
problems: {{problem: garnet, n_states: 50, gamma: 0.9}}
policies: {}
estimators: [{}]
batch_sizes: [{}]
horizon: 100
replicates: {}
"""


@pytest.mark.parametrize(
    ("policy", "estimators", "batch_size", "replicates"),
    [
        ("softmax", "reinforce, td", 16, 2000),
        ("softmax", "td", 10000, 64),
        ("softmax", "rloo, grpo", 2000, 64),
        pytest.param(
            "{policy: neural, hidden: 64}", "reinforce, td", 4, 500, marks=pytest.mark.slow
        ),
    ],
    ids=["tables", "portions of tables", "functions of batches", "whole gradients"],
)
def test_the_largest_task_takes_about_the_memory_that_it_says(
    policy, estimators, batch_size, replicates
):
    """Within a factor of 2 and a MiB; a setting of so many replicates is no measure of it."""
    text = SIZES.format(policy, estimators, batch_size, replicates)
    (setting,) = settings(parse_grid(text))
    told = largest_memory(setting, setting.prepare())
    first = next(iter(tasks([setting])))
    workshop = Workshop(HERE)
    list(workshop.perform(first))  # compiles
    workshop = Workshop(HERE)
    tracemalloc.start()
    try:
        batches = list(workshop.perform(first))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all(record.get("status", "done") == "done" for batch in batches for record in batch)
    assert told / 2 - 2**20 < peak < 2 * told + 2**20


def test_more_replicates_in_portions_take_more_sums_alone():
    """A hundred times as many do not take a hundred times the memory."""
    few, many = (
        settings(parse_grid(SIZES.format("softmax", "td", 10000, replicates)))[0]
        for replicates in (64, 6400)
    )
    prepared = few.prepare()
    assert len(few.portions(10000)) > 1
    assert largest_memory(many, prepared) < 30 * largest_memory(few, prepared)
