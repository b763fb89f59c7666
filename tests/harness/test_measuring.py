"""A run is a generator of records: plain data, in batches, whatever becomes of single cells."""

import numpy as np
import pytest

from pgbench.grid.plan import settings
from pgbench.grid.reader import parse_grid
from pgbench.harness import measuring
from pgbench.harness.measuring import Conditions, measured, recorded
from pgbench.harness.progress import Silent
from pgbench.harness.tasks import unfinished
from pgbench.harness.writer import Writer
from pgbench.policies import NotApplicable
from pgbench.results.build import build
from pgbench.results.dataset import same_numbers
from pgbench.results.journal import Journal
from pgbench.rollout.device import CPU

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


def batches_of(tasks):
    return [batch for _, found in measured(tasks, HERE) for batch in found]


@pytest.fixture(scope="module")
def made(plan):
    return batches_of(unfinished(plan, {}))


def test_batches_hold_records_of_one_kind_and_status_in_the_order_of_the_plan(made):
    shown = [(b[0]["kind"], b[0].get("status"), len(b)) for b in made]
    assert shown == [
        *[("setting", None, 1), ("cell", "skipped", 1), ("cell", "done", 1), ("cell", "done", 2)],
        *[("ascent", "done", 1)] * 2,
        *[("setting", None, 1), ("cell", "skipped", 1), ("cell", "done", 1), ("cell", "done", 2)],
        *[("ascent", "done", 1), ("ascent", "skipped", 1)],
        *[("cell", "failed", 6)] * 2,
    ]
    for batch in made[:-2]:
        assert len({(r["kind"], r.get("status"), r.get("message")) for r in batch}) == 1


def test_records_are_plain_data_from_which_a_journal_makes_the_same_dataset(plan, made, tmp_path):
    """What a worker sent as bytes is what was made here."""
    (tmp_path / "one").mkdir()
    journal = Journal.open(tmp_path / "one")
    writer = Writer(journal, Silent(), 20)
    for batch in made:
        writer.write(batch)
    assert writer.steps > 0
    back = Journal.read(tmp_path / "one")
    trees = [build(plan[0].grid, j) for j in (journal, back)]
    assert same_numbers(*trees) == []


def test_what_is_finished_is_not_made_again(plan, made):
    records = {record["key"]: record for batch in made for record in batch}
    tasks = unfinished(plan, records)
    assert [task.setting.problem.name for task in tasks] == ["gymnasium"] * 2
    assert [record["status"] for batch in batches_of(tasks) for record in batch] == ["failed"] * 12


def test_a_goal_that_cannot_be_found_fails_the_ascents_alone(plan, monkeypatch):
    def broken(mdp, policy):
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(measuring, "find_goal", broken)
    found = batches_of(unfinished(plan[:1], {}))
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
