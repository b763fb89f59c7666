"""Many policies at once: every estimator in every variant gives what it gives for each alone."""

from dataclasses import replace

import numpy as np
import pytest

from pgbench.ascent.crowd import FiniteCrowd
from pgbench.ascent.sources import Numbers, make_source
from pgbench.estimators import BatchEstimator, TableEstimator, Tables, estimators
from pgbench.exact import evaluate
from pgbench.objectives import make_objective
from pgbench.rollout.several import SeveralSimulator
from pgbench.rollout.simulator import Draws, Simulator
from tests.support.numbers import close
from tests.support.shipped import shipped
from tests.support.truths import tiny_truth
from tests.support.variants import batch_variants, each, table_variants

SETTINGS = {
    "dense": ("softmax", 0.0),
    "ending": ("neural", 0.0),
    "coins": ("loglinear", 0.3),
    "fewer": ("softmax", 0.3),
}
"""Problems with a kind of policy, and the weight of entropy, which pays policies differently."""

HORIZON, N, M = 6, 4, 3
NAMES = ("sigma", "kappa", "beta", "delta")
ADVANTAGES = ("advantage_oracle", "visitation_advantage")
"""Of one policy what rounding leaves of Q - V is set to zero; in an ascent it is left."""


@pytest.fixture(scope="module", params=SETTINGS)
def crowd(request):
    kind, entropy = SETTINGS[request.param]
    truth = tiny_truth(request.param, kind)
    thetas = np.stack([truth.policy.initial(seed=s, scale=0.5) for s in range(M)])
    return FiniteCrowd(truth.mdp, truth.policy, thetas, entropy)


def under(crowd, variant):
    """The crowd under the objective of a variant."""
    return replace(crowd, under=make_objective(variant.objective, crowd.mdp, crowd.policy))


def together(variants):
    """Those that declare that they take many policies at once."""
    return [v for v in variants if not estimators()[v.name].alone]


@each(together(table_variants()))
def test_tables_are_those_of_each_policy(crowd, variant):
    crowd, record = under(crowd, variant), estimators()[variant.name]
    together = record.make(crowd.truths, HORIZON, **variant.given)
    assert together.process.pi.shape[0] == M
    for r in range(M):
        alone = record.make(crowd.truth(r), HORIZON, **variant.given)
        np.testing.assert_array_equal(together.process.pi[r], alone.process.pi)
        assert together.total == alone.total
        for name in NAMES:
            own, one = getattr(together, name), getattr(alone, name)
            rounding = 1e-13 if variant.name in ADVANTAGES else 0.0
            own = own if own.ndim == one.ndim else own[r]
            np.testing.assert_allclose(own, one, rtol=0, atol=rounding)


@each(together(batch_variants()))
def test_estimates_are_those_of_each_policy(crowd, variant):
    crowd, record, values = under(crowd, variant), estimators()[variant.name], variant.given
    draws = Draws(HORIZON, N, M, 5, 7)
    simulator = SeveralSimulator(crowd.truths, draws, 0, M)
    together = record.estimate(simulator, **values)
    for r in range(M):
        single = Simulator(crowd.truth(r), draws, r, 1)
        alone = record.estimate(single, **values)[0]
        # Pull-backs of several log-linear policies add up in another order.
        np.testing.assert_allclose(together[r], alone, rtol=1e-11, atol=1e-13 * abs(alone).max())
        assert simulator.steps[r] == single.steps[0]


@pytest.mark.every_estimator
def test_every_estimator_takes_many_or_says_why_not():
    """All that are shipped take many."""
    for name, record in estimators().items():
        assert record.alone == record.alone.strip()
        assert name not in shipped() or record.alone == "", name


def record(kind, **given):
    return kind("own", bias=lambda: ("discount",), formula="", reference="", **given)


def missing_axis(truth):
    """V as a baseline, written for one policy."""
    return Tables.build(truth.process, sigma=truth.mdp.reward, beta=truth.v[:, None])


def misspelt(simulator):
    """An attribute that no truth has."""
    return simulator.truth.values


def one_estimate(simulator):
    """A single row for all replicates."""
    batch = simulator.batch()
    return simulator.pull_back(batch.tables(batch.to_go))[:1]


def one_policy(truth):
    """The behaviour policy has no axis of policies."""
    from pgbench.process.process import Process

    return Tables.build(Process(truth.mdp, truth.pi[0]), sigma=truth.mdp.reward)


@pytest.mark.parametrize(
    ("own", "error"),
    [
        (record(TableEstimator, tables=missing_axis, alone=""), "broadcast"),
        (record(BatchEstimator, estimate=misspelt, alone=""), "values"),
        (record(BatchEstimator, estimate=one_estimate, alone=""), r"estimates have shape \(1, 6\)"),
        (record(TableEstimator, tables=one_policy, alone=""), "simulates probabilities of shape"),
    ],
)
def test_a_defect_raises_and_does_not_become_the_slow_path(own, error):
    truth = tiny_truth("dense", "softmax")
    crowd = FiniteCrowd(truth.mdp, truth.policy, np.tile(truth.theta, (2, 1)))
    source = make_source(truth.mdp, truth.policy, own, {}, Numbers(6, 5, 7), 4)
    with pytest.raises((ValueError, AttributeError), match=error):
        source.gradient(crowd, 0)


def centred(truth):
    """V less its mean over states: of several policies that mixes them up."""
    beta = (truth.v - truth.v.mean())[..., None]
    return Tables.build(truth.process, sigma=truth.mdp.reward, kappa=0.8, beta=beta)


def shifted(simulator):
    """Reward-to-go less the mean of V over states."""
    batch, v = simulator.batch(), simulator.truth.v
    return simulator.pull_back(batch.tables(batch.to_go - v.mean()))


@pytest.mark.parametrize("own", [record(TableEstimator, tables=centred),
                                 record(BatchEstimator, estimate=shifted)],
                         ids=["tables", "batches"])  # fmt: skip
def test_an_estimator_that_declares_nothing_is_asked_for_one_policy_at_a_time(own):
    """So that one written for a single policy is right in ascents too."""
    truth, numbers = tiny_truth("dense", "softmax"), Numbers(6, 5, 7)
    thetas = np.stack([truth.policy.initial(seed=s) for s in range(2)])
    crowd = FiniteCrowd(truth.mdp, truth.policy, thetas)
    assert own.alone
    got, cost = make_source(truth.mdp, truth.policy, own, {}, numbers, 4).gradient(crowd, 0)
    for r in range(2):
        one = FiniteCrowd(truth.mdp, truth.policy, np.tile(thetas[r], (2, 1)))
        alone, _ = make_source(truth.mdp, truth.policy, own, {}, numbers, 4).gradient(one, 0)
        np.testing.assert_array_equal(got[r], alone[r])
    assert cost.tolist() == [24, 24]


@pytest.mark.parametrize("name", ["baseline_value", "natural", "all_action", "actor_critic"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_policy_without_finite_values_has_no_estimate_and_spoils_no_other(name):
    """γ = 1, and a logit so low that the episode never ends in floating point."""
    from pgbench.policies import make_policy
    from pgbench.problems import make_problem

    mdp = make_problem("corridor")
    policy = make_policy("loglinear", mdp, features="own")
    crowd = FiniteCrowd(mdp, policy, np.array([[0.0, 0.0], [-800.0, 0.0], [0.3, 0.0]]))
    source = make_source(mdp, policy, estimators()[name], {}, Numbers(6, 5, 7), 4)
    got, _ = source.gradient(crowd, 0)
    assert np.isfinite(got).all(axis=1).tolist() == [True, False, True]
    some = FiniteCrowd(mdp, policy, crowd.theta[[0, 0, 2]])
    np.testing.assert_array_equal(got[[0, 2]], source.gradient(some, 0)[0][[0, 2]])


def test_a_truth_of_several_policies_has_the_quantities_of_each(crowd):
    truths = crowd.truths
    g = truths.gradient
    part = truths.part(slice(1, M))
    for r in range(M):
        one = crowd.truth(r)
        for name in ("pi", "v", "q", "visitation", "advantage", "worth", "gradient",
                     "state_weights", "theta"):  # fmt: skip
            close(getattr(truths, name)[r], getattr(one, name))
            if r:
                np.testing.assert_array_equal(getattr(part, name)[r - 1], getattr(truths, name)[r])
        assert truths.objective[r] == one.objective
        close(truths.fisher()[r], one.fisher())
        close(truths.natural(g)[r], one.natural(one.gradient))
    np.testing.assert_array_equal(truths.each(lambda one: one.v[0]), truths.v[:, 0])
    for divergence in (truths.kl, truths.kl_expansion):
        with pytest.raises(TypeError, match="one policy's"):
            divergence(g)
    alone = evaluate(crowd.mdp, crowd.policy, crowd.theta[0])
    assert alone.each(lambda one: one) is alone
