"""Estimates are looked at a few times, and no more than it takes to be sure."""

from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from pgbench.trials import examination
from pgbench.trials.battery import cases
from pgbench.trials.candidate import FunctionCandidate
from pgbench.trials.examination import examine
from pgbench.trials.looks import FIRST, SECOND, looks
from pgbench.trials.mean_analysis import ACCUSED, LEVEL, LOOKS, PLAIN
from pgbench.trials.user_file import load
from pgbench.trials.verdict import Decision

EXAMPLES = Path(__file__).parents[2] / "examples"

HEAD = """
import numpy as np


def to_go(batch):
    g = batch.gamma ** np.arange(batch.horizon)
    return (batch.rewards * g)[:, ::-1].cumsum(axis=1)[:, ::-1], g


def estimate(batch):
    w, g = to_go(batch)
"""

BODIES = {
    "right": "    return batch.pull_back(w) / len(w)",
    "minus": "    return -batch.pull_back(w) / len(w)",
    "rarely wrong": """    rare = batch.rng.random() < 1 / 200
    return batch.pull_back(w) / len(w) * (1 + 300 * rare)""",
    "right and noisy": """    b = batch.rng.standard_normal((len(w), 1))
    return batch.pull_back(w - 9 * g * b) / len(w)""",
}


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """``judged(name)``: the examination of a body, on three problems."""
    monkeypatch.setattr(examination, "cases", lambda laboratory: cases()[:3])

    def run(name, **given):
        path = tmp_path / "mine.py"
        path.write_text(HEAD + BODIES[name] + "\n", encoding="utf-8")
        return examine(path, "estimate", notices=StringIO(), **given)

    return run


def test_looks_spend_the_level_and_grow():
    assert pytest.approx(ACCUSED) == LEVEL + (LOOKS - 1) * PLAIN
    assert looks(3000, all_at_once=False) == [FIRST, SECOND, 3000]
    assert looks(500, all_at_once=False) == [FIRST, 500]
    assert looks(200, all_at_once=False) == [200]
    assert looks(3000, all_at_once=True) == [3000]
    assert all(len(looks(n, all_at_once=False)) <= LOOKS for n in range(100, 3100, 100))


def test_a_named_mistake_ends_at_the_first_look_and_a_known_right_one_at_the_second(judged):
    wrong, right = judged("minus"), judged("right")
    assert (wrong.replicates, wrong.verdict.decision) == (FIRST, Decision.BIASED)
    assert (right.replicates, right.verdict.decision) == (SECOND, Decision.UNBIASED)
    assert right.equalities[0].complete


@pytest.mark.slow
def test_what_is_rarely_wrong_is_not_taken_for_what_it_mostly_is(judged):
    """At the first look it may equal reward_to_go; a look that sees it goes on."""
    found = judged("rarely wrong")
    assert found.replicates > SECOND
    assert not any(one.complete for one in found.equalities)
    assert found.verdict.decision is not Decision.UNBIASED


def test_noise_is_looked_at_to_the_end(judged):
    found = judged("right and noisy")
    assert found.replicates > SECOND
    assert found.verdict.decision is Decision.UNBIASED


def test_so_many_estimates_as_are_asked_for_are_one_look(judged):
    assert judged("minus", replicates=300).replicates == 300


def test_estimates_of_a_look_are_those_of_the_ones_before_and_more(tmp_path):
    """One at a time or in two goes: the same numbers, random ones included."""
    path = tmp_path / "mine.py"
    path.write_text(HEAD + BODIES["right and noisy"], encoding="utf-8")
    case = cases()[1]
    grown, whole = (FunctionCandidate(load(path, "estimate"), 5) for _ in range(2))
    first = grown.estimates(case, 4, 100).gradients
    both = grown.estimates(case, 4, 250).gradients
    assert np.array_equal(both[:100], first)
    assert np.array_equal(both, whole.estimates(case, 4, 250).gradients)
