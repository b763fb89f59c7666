"""Functions of a batch as estimators: with the numbers of records that do the same."""

import numpy as np
import pytest

import pgbench
from pgbench.declared.parameters import ParameterError
from pgbench.declared.sources import source, source_digest
from pgbench.estimators import find_estimator
from pgbench.functions import estimator as module
from pgbench.functions.estimator import estimator_of
from pgbench.functions.result import UserError
from pgbench.measure.gradients import estimates
from pgbench.trials.battery import cases
from pgbench.trials.case import SEQUENCES, Laboratory


def to_go(batch):
    """Reward to go, discounted, of any axes in front."""
    discounts = batch.gamma ** np.arange(batch.horizon)
    return (batch.rewards * discounts)[..., ::-1].cumsum(axis=-1)[..., ::-1]


def plain(batch, *, share: float = 0.0):
    """Reward-to-go less a share of the exact value."""
    discounts = batch.gamma ** np.arange(batch.horizon)
    weights = to_go(batch) - share * discounts * batch.v[batch.states] * batch.mask
    return batch.pull_back(weights) / len(batch.mask)


@pgbench.subject(vectorised=True)
def vectorised(batch):
    """The same, of many batches at once."""
    assert batch.mask.ndim == 3
    return batch.pull_back(to_go(batch)) / batch.mask.shape[1]


def random(batch):
    """The batch's own random numbers."""
    return batch.rng.standard_normal(batch.theta.size)


def sampled(case, estimator, replicates=48, **values):
    draws = case.draws(replicates, seed=3)
    return estimates(case.truth, estimator, estimator.bound(**values), draws)[0]


@pytest.mark.parametrize("laboratory", [Laboratory(), Laboratory(SEQUENCES)])
@pytest.mark.parametrize("function", [plain, vectorised])
def test_the_estimates_are_those_of_the_record_that_does_the_same(function, laboratory):
    for case in cases(laboratory):
        own = sampled(case, estimator_of(function, "mine.f"))
        np.testing.assert_allclose(own, sampled(case, find_estimator("reward_to_go")), atol=1e-12)


def test_keywords_are_parameters():
    own = estimator_of(plain, "mine.plain")
    assert [*own.parameters] == ["share"]
    assert own.summary == "Reward-to-go less a share of the exact value."
    case = cases()[0]
    np.testing.assert_allclose(
        sampled(case, own, share=1.0), sampled(case, find_estimator("baseline_value")), atol=1e-12
    )
    with pytest.raises(ParameterError, match=r"mine\.plain\.share"):
        own.bound(share="all")


def test_rewards_under_a_penalty_are_the_environments():
    """Who adds the penalty to the reward has the estimates of the objective."""
    laboratory = Laboratory(objective='{"objective": "kl", "beta": 0.3}')

    def in_reward(batch):
        less = batch.coefficient * (batch.log_probs - batch.reference_log_probs)
        return plain(batch.having(rewards=batch.rewards - less))

    for case in cases(laboratory):
        own = sampled(case, estimator_of(in_reward, "mine.kl"))
        np.testing.assert_allclose(own, sampled(case, find_estimator("reward_to_go")), atol=1e-12)


def test_random_numbers_hang_on_the_replicate_alone():
    case, own = cases()[0], estimator_of(random, "mine.random")
    few, many = (sampled(case, own, n) for n in (16, 400))
    assert (few == many[:16]).all()
    assert len({tuple(row) for row in many}) == 400


def test_its_code_is_the_users_file_and_ours():
    own = estimator_of(plain, "mine.plain")
    assert source(own.maker) == __file__
    assert source_digest(own.maker) == source_digest(plain) + source_digest(module.estimator_of)


def test_nothing_is_declared_of_its_bias_but_what_it_aims_at():
    assert estimator_of(plain, "f").causes() == ("undeclared",)
    natural = pgbench.subject(target="natural")(lambda batch: batch.theta)
    assert estimator_of(natural, "f").target == "natural gradient"
    assert estimator_of(plain, "f").mean(cases()[0].truth, 5, 2) is None


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda batch: batch.scores, r"f returned the shape \(4, 20, 15\), must be \(15,\)"),
        (lambda batch: batch.theta / 0, "f returned -?inf in coordinate 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_what_is_no_estimate_fails_with_words(function, message):
    with pytest.raises(UserError, match=message):
        sampled(cases()[0], estimator_of(function, "f"))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda batch, *, lam=0.9: None, "f: the keyword lam has no annotation"),
        (eval("lambda batch, *, lam: None"), "f: the keyword lam has no annotation"),
    ],
)
def test_parameters_that_could_not_be_checked_are_refused(function, message):
    with pytest.raises(UserError, match=message):
        estimator_of(function, "f")
