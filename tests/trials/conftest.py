"""Examinations next to a few known estimators, for speed; one test has them all."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from pgbench.harness.child import Child
from pgbench.trials import examination
from pgbench.trials.batteries import every_known
from pgbench.trials.case import CONTINUOUS, GENERAL, PLAIN, SEQUENCES, Laboratory
from pgbench.trials.known_estimators import KnownEstimator

NAMES = (
    "advantage_oracle",
    "baseline_value",
    "done_missing",
    "gae[lam=0.95, critic_noise=0.1, discounted=false]",
    "gae[lam=0.95, critic_noise=0.1]",
    "gae[lam=1]",
    "group_mean",
    "reinforce",
    "reward_to_go",
    "reward_to_go[discounted=false]",
    "reward_to_go_off_by_one",
    "rloo",
    "wrong_sign",
)


GROUPED = ("dapo", "dr_grpo[budget=one]", "group_mean", "grpo", "reward_to_go", "rloo")
"""The same on the battery of sequences."""


GAUSSIAN = (
    "advantage_oracle",
    "baseline_value",
    "done_missing[lam=0.95]",
    "gae[lam=0.95, critic_noise=0.1]",
    "gae[lam=1]",
    "reinforce",
    "reward_to_go",
    "reward_to_go with score_of_applied",
    "reward_to_go[discounted=false]",
    "rloo",
    "wrong_sign",
)
"""The same on the battery of continuous actions."""

OF_BATTERY = {GENERAL: NAMES, SEQUENCES: GROUPED, CONTINUOUS: GAUSSIAN}


@cache
def few(laboratory: Laboratory = PLAIN) -> tuple[KnownEstimator, ...]:
    """The estimators and mistakes of these names."""
    names = OF_BATTERY[laboratory.battery]
    found = tuple(one for one in every_known(laboratory) if one.name in names)
    assert len(found) == len(names)
    return found


@pytest.fixture(autouse=True)
def few_known(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only these are known, unless a test asks for all."""
    if getattr(request, "param", True):
        monkeypatch.setattr(examination, "every_known", few)


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command does in a child is done here, for speed, and so that tests can change it."""

    def perform(_child: Child, function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
        return function(*arguments)

    monkeypatch.setattr(Child, "perform", perform)
