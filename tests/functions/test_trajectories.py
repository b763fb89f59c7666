"""Batches of many replicates: the same one by one, at once, in parts, and in blocks."""

import numpy as np
import pytest

from pgbench.functions import batches as module
from pgbench.functions import drawn, enumerated
from pgbench.functions.trajectories import of_block
from pgbench.rollout.simulator import Simulator
from pgbench.trials.battery import cases
from pgbench.trials.case import SEQUENCES, Laboratory

FIELDS = ("states", "rewards", "terminated", "truncated", "ended", "scores", "group", "values")
WARM = Laboratory(sampler='{"sampler": "temperature", "value": 1.5}')


@pytest.mark.parametrize("laboratory", [Laboratory(), Laboratory(SEQUENCES), WARM])
def test_at_once_they_are_what_they_are_one_by_one(laboratory):
    for case in cases(laboratory):
        every = drawn(case, 5, 1)
        whole = every.at_once()
        for name in FIELDS:
            field = getattr(whole, name)
            assert field.shape[:2] == (5, case.batch_size)
            for r in range(5):
                assert (field[r] == getattr(every[r], name)).all(), name


def test_parts_are_the_same_batches_with_their_own_numbers(monkeypatch):
    every = drawn(cases()[0], 7, 1)
    monkeypatch.setattr(module, "AT_ONCE", 3 * every.mask[0].size * every[0].theta.size)
    parts = list(every.parts())
    assert [part.replicates for part in parts] == [3, 3, 1]
    assert (np.concatenate([part.states for part in parts]) == every.states).all()
    assert parts[2][0].rng.random() == every[6].rng.random()


def test_blocks_of_a_simulator_are_these_batches():
    case = cases()[1]
    every = drawn(case, 32, 1)
    block = of_block(Simulator(case.truth, case.draws(32, 1), 16, 16))
    for r in (0, 15):
        own, same = block[r], every[16 + r]
        assert all((getattr(own, name) == getattr(same, name)).all() for name in FIELDS)
        assert own.rng.random() == same.rng.random()


def test_blocks_too_long_to_hold_are_refused():
    case = cases()[4]
    draws = case.draws(16, 1, 4096)
    long = Simulator(case.truth, draws, 0, 16 * 4096)
    with pytest.raises(ValueError, match="horizon is 40"):
        of_block(long)


def test_listed_batches_have_the_probabilities_of_the_sampler():
    """Under another temperature they are others, and sum to 1."""
    for laboratory in (Laboratory(), WARM):
        case = cases(laboratory)[5]
        every, p = enumerated(case, 2)
        assert p.sum() == pytest.approx(1, abs=1e-12)
        first = case.behaviour[every.states[:, 0, 0], every.actions[:, 0, 0]]
        for a in range(case.truth.mdp.n_actions):
            chosen = every.actions[:, 0, 0] == a
            assert p[chosen].sum() == pytest.approx(first[chosen][0], abs=1e-12)
