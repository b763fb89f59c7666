"""The battery's problems show what they are there for; the critic errs as it says."""

import numpy as np
import pytest

from pgbench.trials.continuous.cases import cases

CASES = {case.name: case for case in cases()}


def share_clipped(truth):
    beyond = truth.grid.chances * (np.abs(truth.grid.u) > truth.system.bound)
    visits = truth.visits.sum(axis=0)
    return visits @ beyond.sum(axis=1) / visits.sum()


def test_a_third_of_the_actions_is_clipped():
    assert 0.3 < share_clipped(CASES["clipped"].truth) < 0.4
    assert share_clipped(CASES["regulator"].truth) == 0


def test_short_rollouts_are_cut_short():
    truth = CASES["cut short"].truth
    assert truth.horizon < 0.1 / (1 - truth.system.gamma)
    missing = np.linalg.norm(truth.endless_gradient - truth.gradient)
    assert missing > 0.9 * np.linalg.norm(truth.endless_gradient)


def test_episodes_end_and_are_cut():
    case = CASES["limit"]
    visits, grid = case.truth.visits, case.truth.grid
    assert (np.diff(visits.sum(axis=1)) < 0).all()
    after = grid.landing(case.truth.system.drift(grid.x[:, None], grid.e)).sum(axis=2)
    goes_on = visits[-1] @ (grid.chances * after).sum(axis=1)
    assert 0.2 < goes_on < 0.3
    ended = case.simulate(2000, seed=0).ended.mean()
    assert ended == pytest.approx(1 - goes_on, abs=4 * np.sqrt(0.25 / 8000))


@pytest.mark.parametrize("name", CASES)
def test_every_coordinate_of_the_gradient_counts(name):
    """A mistake in one of them would show."""
    size = np.abs(CASES[name].truth.undiscounted)
    assert size.min() > 0.05 * size.max()


@pytest.mark.parametrize("name", CASES)
def test_the_critic_errs_by_a_tenth(name):
    case = CASES[name]
    truth, x = case.truth, case.truth.grid.x
    visits = truth.visits.sum(axis=0) / truth.visits.sum()
    error = np.sqrt(visits @ (case.critic(x) - truth.values.v(x)) ** 2)
    size = np.sqrt(visits @ truth.values.v(x) ** 2)
    assert 0.08 < error / size < 0.12


def test_the_critic_knows_no_ends():
    case = CASES["limit"]
    ends = case.critic(np.array([-1.2, 1.2]))
    inside = case.truth.values.v(np.array([-0.999, 0.999]))
    assert (np.abs(ends) > 0.5 * np.abs(inside)).all()
    assert np.abs(ends).min() > 1


def test_streams_are_apart_and_cases_are_made_once():
    assert len({case.stream for case in cases()}) == len(cases())
    assert cases() is cases()
