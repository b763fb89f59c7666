"""What one is estimate by estimate: multiples, divisors of each batch, mistakes without γ^t."""

from dataclasses import replace

import numpy as np
import pytest

from pgbench.estimators import find_estimator
from pgbench.exact.expectation import expectation
from pgbench.functions import drawn
from pgbench.trials.batteries import every_known
from pgbench.trials.battery import cases
from pgbench.trials.candidate import Estimates
from pgbench.trials.equality import equalities
from pgbench.trials.normalisers import NORMALISERS, returns
from pgbench.trials.resemblance import exact, likeness
from pgbench.trials.sampled import sampled
from pgbench.trials.undiscounted import undiscounted
from pgbench.trials.zoo import find_bug

R = 64


def known(name):
    """The known estimator or mistake of that name."""
    return next(one for one in every_known() if one.name == name)


def estimates(name, change):
    """Estimates of a known one on the battery, each times ``change(batch)``."""
    found = []
    for case in cases():
        batches = drawn(case, R, 0, case.batch_size)
        U, steps = known(name).sample(case, case.batch_size, R, 0)
        U = U * np.array([change(batches[r]) for r in range(R)])[:, None]
        found.append(Estimates(case, case.batch_size, U, steps, None, 1e-9 * np.abs(U).max()))
    return found


def deviation(batch):
    """Standard deviation of the batch's returns."""
    return (batch.rewards * batch.gamma ** np.arange(batch.horizon)).sum(axis=1).std()


DIVIDED = {
    "mean over steps": (
        "reward_to_go", lambda b: len(b.mask) / b.mask.sum(), "the steps per trajectory", "",
    ),
    "mean over the padded": (
        "reward_to_go", lambda b: 1 / b.mask.sum(axis=1).max(), "longest trajectory", "",
    ),
    "sum over the deviation": (
        "group_mean", lambda b: len(b.mask) / (deviation(b) + 1e-8), "deviation", "N times",
    ),
    "a third of the mean over steps": (
        "reward_to_go", lambda b: len(b.mask) / b.mask.sum() / 3, "the steps", "0.33333 times",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DIVIDED)
def test_a_divisor_of_each_batch_is_found(case):
    name, change, divisor, multiple = DIVIDED[case]
    found = likeness(known(name), estimates(name, change), 0, R)
    assert divisor in found.words
    assert found.words.startswith(multiple)
    assert exact([found]) == [found]
    assert not found.same


def test_what_is_divided_by_no_deviation_says_nothing():
    """Code that adds ε to the deviation of equal advantages makes of them what rounding gives."""
    one, name = known("advantage_normalised"), "one step"
    every = estimates("advantage_normalised", lambda b: 1.0)
    silent = {e.case.name: ~e.gradients.any(axis=1) for e in every}
    assert 0 < silent[name].sum() < R
    noisy = []
    for own in every:
        noise = np.where(silent[own.case.name], 0.7, 0.0)[:, None] * np.ones(own.gradients.shape)
        noisy.append(replace(own, gradients=own.gradients + noise))
    assert likeness(one, noisy, 0, R).same
    [equal] = [e for e in equalities([likeness(one, noisy, 0, R)], noisy, 0)]
    assert equal.complete
    other = [replace(own, gradients=own.gradients + 0.7) for own in every]
    assert not likeness(one, other, 0, R).same
    plain = known("group_mean")
    made = plain.sample(every[0].case, every[0].batch_size, R, 0)[0]
    assert plain.says(0 * made).all()


def test_another_factor_of_each_batch_is_no_divisor_that_is_known():
    every = estimates("reward_to_go", lambda b: 1 / b.mask.sum() ** 2)
    found = likeness(known("reward_to_go"), every, 0, R)
    assert not found.proportional
    assert exact([found]) == []


def test_the_plainest_match_comes_first():
    every = estimates("reward_to_go", lambda b: 1.0)
    same = likeness(known("reward_to_go"), every, 0, R)
    half = likeness(known("reward_to_go"), estimates("reward_to_go", lambda b: 0.5), 0, R)
    divided = likeness(
        known("reward_to_go"), estimates("reward_to_go", lambda b: len(b.mask) / b.mask.sum()), 0, R
    )
    assert same.same
    assert half.factor.words == "half of"
    assert exact([divided, half, same]) == [same]
    assert exact([divided, half]) == [half]


def test_divisors_differ_from_batch_to_batch():
    case = next(c for c in cases() if c.name == "episodic")
    batches = drawn(case, R, 0, 4)
    whole = np.ones((R, 3))
    for normaliser in NORMALISERS:
        divided = normaliser.divided(whole, batches)
        np.testing.assert_allclose(divided, 1 / normaliser.of(batches)[:, None] * whole)
        assert np.ptp(normaliser.of(batches)) > 0
    b = batches[5]
    np.testing.assert_allclose(returns(batches)[5].std(), deviation(b), rtol=1e-12)


@pytest.mark.parametrize("name", ["td_without_gamma", "gae_without_gamma", "entropy_left_in"])
def test_tables_without_the_discount_have_weight_one(name):
    bug = find_bug(name)
    case = next(c for c in cases() if c.name == "cut short")
    own = bug.estimator.make(case.truth, case.horizon)
    without = undiscounted(bug.estimator).make(case.truth, case.horizon)
    np.testing.assert_allclose(without.delta, 1.0, rtol=1e-15)
    np.testing.assert_array_equal(without.sigma, own.sigma)
    np.testing.assert_allclose(
        undiscounted(bug.estimator).mean(case.truth, case.horizon, 4),
        expectation(case.truth, replace(own, delta=np.ones_like(own.delta)), case.horizon),
        rtol=1e-12,
    )


def test_functions_of_batches_without_the_discount_have_weight_one():
    case = next(c for c in cases() if c.name == "cut short")
    one = sampled(case, undiscounted(find_bug("mean_over_steps").estimator), {}, 8, 0, 4)
    batches = drawn(case, 8, 0, 4)
    for r in range(8):
        b = batches[r]
        to_go = np.array(b.rewards)
        for t in reversed(range(b.horizon - 1)):
            to_go[:, t] += b.gamma * to_go[:, t + 1]
        weights = to_go / b.mask.sum(axis=1, keepdims=True)
        expected = np.einsum("nt,ntd->d", weights, b.scores) / len(b.mask)
        np.testing.assert_allclose(one.gradients[r], expected, atol=1e-12 * np.abs(expected).max())
    assert (one.steps == batches.steps).all()


def test_mistakes_are_known_without_the_discount_but_those_that_carry_none_are_not():
    names = {one.name: one for one in every_known()}
    both = names["time_limit_as_terminal without γ^t"]
    assert both.mistake.startswith("γ^t is left out, and a rollout that is cut off counts as ended")
    for carries_none in ("discount_missing", "baseline_as_score", "batch_mean_called_unbiased"):
        assert carries_none in names
        assert f"{carries_none} without γ^t" not in names
    assert "reward_to_go without γ^t" not in names  # it is reward_to_go[discounted=false]
    assert "discounted" in find_estimator("reward_to_go").parameters


def test_two_mistakes_that_make_up_for_each_other_are_no_known_mistake():
    """Discounted twice and then without γ^t is reward to go."""
    for one in every_known():
        if one.name.endswith("without γ^t"):
            exact = [(one.exact(case, case.batch_size), case.finite) for case in cases()]
            known = [(mean, right) for mean, right in exact if mean is not None]
            assert not known or not all(np.allclose(m, g, rtol=1e-9, atol=0) for m, g in known)
