"""An audit judges every function, and what one of them does to its process hurts no other."""

import json
from datetime import date

import pytest

from pgbench.cli.commands import main
from pgbench.harness.child import Child
from pgbench.trials.audit import adapters as module
from pgbench.trials.audit.adapters import adapters
from pgbench.trials.audit.auditing import audit, entries
from pgbench.trials.audit.page import line, listing, machine_readable, page

TEXT = '''
"""NumPy, as if it were a library of losses."""

import os

import numpy as np
import pgbench

DISTRIBUTION = "numpy"


def _to_go(batch):
    return batch.rewards[:, ::-1].cumsum(axis=1)[:, ::-1]


@pgbench.subject(battery="sequences")
def right(batch):
    """Reward-to-go."""
    return batch.pull_back(_to_go(batch)) / len(batch.mask)


@pgbench.subject(battery="sequences", accepts={"in_sample_baseline"})
def in_sample(batch):
    """Return less the mean of the group."""
    returns = batch.rewards.sum(axis=1).reshape(-1, batch.group_size)
    advantages = (returns - returns.mean(axis=1, keepdims=True)).ravel()
    return batch.pull_back(advantages[:, None] * batch.mask) / len(batch.mask)


@pgbench.subject(battery="sequences")
def ends(batch):
    """It ends its process."""
    os._exit(3)


@pgbench.subject(battery="sequences")
def wrong(batch):
    """Minus | the right one."""
    return -right(batch)


@pgbench.subject(battery="sequences")
def shapeless(batch):
    """Rewards."""
    return batch.rewards
'''


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audits")
    (folder / "numpy_losses.py").write_text(TEXT, encoding="utf-8")
    absent = TEXT.replace('"numpy"', '"nowhere-to-be-found"')
    (folder / "absent.py").write_text(absent, encoding="utf-8")
    every, heard = adapters(folder), []
    return every, audit(every, 2, 100, heard.append), heard


def test_every_function_has_an_entry_and_a_dead_process_is_a_failed_one(found):
    _, entries, heard = found
    assert entries == heard
    right, in_sample, ends, wrong, shapeless = entries
    assert (right.decision, right.as_claimed, right.known_as) == ("unbiased", True, "reward_to_go")
    assert in_sample.as_claimed
    assert in_sample.known_as == "dr_grpo[budget=one]" or in_sample.known_as == "group_mean"
    assert in_sample.parts == {"batch": pytest.approx(0.5, abs=0.2)}
    assert in_sample.claims == "biases accepted: in_sample_baseline"
    assert ends.decision == "failed"
    assert "ended its process, with exit code 3" in ends.verdict
    assert (wrong.decision, wrong.as_claimed, wrong.parts) == ("biased", False, {})
    assert wrong.bias == pytest.approx(2.0)
    assert shapeless.decision == "failed"
    assert "returned the shape" in shapeless.verdict
    assert not shapeless.as_claimed
    assert all(entry.seconds > 0 for entry in (right, in_sample, wrong))


def test_it_is_written_as_lines_a_page_and_json(found):
    every, entries, _ = found
    assert line(entries[0]).startswith("ok  numpy_losses.right (")
    assert "equals reward_to_go" in line(entries[0])
    listed = listing(every)
    assert "absent (not installed: python -m pip install nowhere-to-be-found)" in listed
    assert "  numpy_losses.right: Reward-to-go." in listed
    read = json.loads(machine_readable(entries, date(2030, 1, 2)))
    assert read["date"] == "2030-01-02"
    assert read["functions"][1]["parts"] == dict(entries[1].parts)
    text = page(entries, every, date(2030, 1, 2))
    assert "5 functions of 1 libraries; 2 are what they claim" in text
    version = next(one.version for one in every if one.version)
    assert f"| numpy | {version} | 5 | 2 | 1 | 2 |" in text.lower()
    assert "| Minus \\| the right one. |" in text
    assert "not installed: nowhere-to-be-found." in text


def test_the_command_lists_without_running_and_knows_no_other_library(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "numpy_losses.py").write_text(TEXT, encoding="utf-8")
    monkeypatch.setattr(module.audits, "__path__", [str(tmp_path)])
    assert main(["audit", "--list"]) == 0
    assert capsys.readouterr().out.count("\n") == 6
    assert main(["audit", "numpy_loss"]) == 2
    assert "did you mean numpy_losses?" in capsys.readouterr().err
    output, written = tmp_path / "audit.json", tmp_path / "audit.md"
    (tmp_path / "numpy_losses.py").write_text(
        TEXT[: TEXT.index("@pgbench.subject(battery")]
        + TEXT[TEXT.index('@pgbench.subject(battery="sequences")\ndef shapeless') :],
        encoding="utf-8",
    )
    files = ["--output", str(output), "--page", str(written)]
    assert main(["audit", "--workers", "1", *files]) == 0
    assert "1 functions, 0 are what they claim" in capsys.readouterr().out
    assert json.loads(output.read_text("utf-8"))["functions"][0]["decision"] == "failed"
    assert written.read_text("utf-8").startswith("# Functions of other libraries, judged")


def test_a_mistake_in_here_is_a_failed_entry_and_loses_no_other(tmp_path, monkeypatch):
    (tmp_path / "numpy_losses.py").write_text(TEXT, encoding="utf-8")
    first, *others = entries(adapters(tmp_path)[0])

    def perform(_child, function, path, blank, *rest, **_):
        if blank.function == first.function:
            raise ZeroDivisionError("float division by zero")
        return blank

    monkeypatch.setattr(Child, "perform", perform)
    found = audit(adapters(tmp_path), 1)
    assert found[0].verdict == "failed in pgbench: ZeroDivisionError: float division by zero"
    assert found[1:] == others
