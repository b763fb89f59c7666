"""Ascents on data of another policy than the iterate: samplers, old iterates, epochs."""

import numpy as np
import pytest

from pgbench.ascent.crowd import FiniteCrowd
from pgbench.ascent.sources import Numbers, make_source
from pgbench.estimators import estimators
from pgbench.exact import evaluate
from pgbench.measure.gradients import estimates
from pgbench.policies import NotApplicable, make_policy
from pgbench.problems import make_problem
from pgbench.rollout.simulator import Draws, Simulator
from pgbench.samplers import sampled
from tests.support.ascents import ascend
from tests.support.samplers import SAMPLERS
from tests.support.variants import SAMPLED, batch_variants, each, table_variants

NUMBERS = Numbers(horizon=6, seed=5, stream=7)
ALONG = {name: given for name, given in SAMPLERS.items() if name != "stale"}


@pytest.fixture(scope="module")
def mdp():
    return make_problem("garnet", n_states=5, n_actions=3, branching=2, gamma=0.8, seed=0)


@pytest.fixture(scope="module")
def policy(mdp):
    return make_policy("softmax", mdp)


@pytest.fixture(scope="module")
def sequences():
    return make_problem("sequences", vocabulary=2, length=4, prompts=1, prompt_length=0)


def crowd_on(mdp, policy, sampler):
    """Three policies, and each one's truth with data from a sampler."""
    crowd = FiniteCrowd(mdp, policy, np.stack([policy.initial(seed=s) for s in range(3)]))
    given = {k: v for k, v in SAMPLERS[sampler].items()}
    truths = [sampled(crowd.truth(r), sampler, **given) for r in range(3)]
    return crowd.drawn_from(np.stack([truth.behaviour for truth in truths])), truths


PLAIN = [v for v in (*table_variants(), *batch_variants()) if v.objective == "J"]
OWN = [v for v in PLAIN if estimators()[v.name].own_data]


@each(OWN)
def test_those_that_draw_their_own_data_say_so(mdp, policy, variant):
    source = make_source(mdp, policy, estimators()[variant.name], variant.given, NUMBERS, 4)
    source.require_data(False)
    with pytest.raises(NotApplicable, match=f"{variant.name} takes no sampler's data: its"):
        source.require_data(True)


@each(v for v in PLAIN if v not in OWN)
def test_estimates_are_those_of_each_policy_on_its_own_data(mdp, policy, variant):
    estimator = estimators()[variant.name]
    crowd, truths = crowd_on(mdp, policy, "temperature")
    source = make_source(mdp, policy, estimator, variant.given, NUMBERS, 4)
    source.require_data(True)
    got, cost = source.gradient(crowd, 3)
    for r, truth in enumerate(truths):
        alone, steps = estimates(truth, estimator, variant.given, Draws(6, 4, 3, 5, NUMBERS.at(3)))
        assert cost[r] == steps[r]
        if variant.name not in SAMPLED:  # their random numbers are those of single blocks
            np.testing.assert_allclose(got[r], alone[r], rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("sampler", ALONG)
def test_the_mean_that_is_followed_is_that_on_the_samplers_data(mdp, policy, sampler):
    given = {"estimator": "reward_to_go", "horizon": 6, "expected": True, "steps": 1, "step": 1.0}
    theta = policy.initial(seed=1)
    path = ascend(mdp, policy, theta, sampler={"sampler": sampler, **ALONG[sampler]}, **given)
    truth = sampled(evaluate(mdp, policy, theta), sampler, **ALONG[sampler])
    mean = estimators()["reward_to_go"].mean(truth, 6, 1)
    np.testing.assert_allclose(path.theta[0], theta + mean, rtol=1e-9, atol=1e-12)
    own = ascend(mdp, policy, theta, **given)
    assert np.abs(own.theta - path.theta).max() > 1e-4


@pytest.mark.parametrize("sampler", ["temperature", "top_p"])
def test_sampled_updates_have_that_mean(mdp, policy, sampler):
    """1000 replicates of one update from 8 rollouts: four standard errors."""
    given = {"estimator": "reward_to_go", "horizon": 6, "batch_size": 8, "steps": 1, "step": 1.0}
    theta = policy.initial(seed=1)
    drawn = {"sampler": sampler, **ALONG[sampler]}
    path = ascend(mdp, policy, theta, sampler=drawn, replicates=1000, **given)
    exact = ascend(mdp, policy, theta, sampler=drawn, expected=True, **given)
    moved = path.theta - exact.theta
    error = moved.std(axis=0) / np.sqrt(1000)
    assert (np.abs(moved.mean(axis=0)) < 4 * error + 1e-12).all()
    own = ascend(mdp, policy, theta, expected=True, **given)
    assert (np.abs((path.theta - own.theta).mean(axis=0)) > 4 * error).any()


def test_ratios_take_the_sampler_off(mdp, policy):
    """The mean of per-decision ratios is that on data of the policy itself, all the way."""
    given = {"horizon": 6, "expected": True, "steps": 5, "step": 0.5}
    heat = {"sampler": "temperature", "value": 0.7}
    weighed = ascend(mdp, policy, None, "gradient", "importance_sampling", sampler=heat, **given)
    plain = ascend(mdp, policy, None, "gradient", "reward_to_go", **given)
    np.testing.assert_allclose(weighed.theta, plain.theta, rtol=1e-9, atol=1e-12)


def test_stale_data_are_those_of_an_earlier_iterate(mdp, policy):
    """Written out: the mean at θ_k on data of θ_(k-2), or of θ_0."""
    given = {"estimator": "reward_to_go", "horizon": 6, "expected": True, "step": 1.0}
    theta = policy.initial(seed=1)
    path = [theta]
    for k in range(5):
        old = policy.probabilities(path[max(k - 2, 0)])
        truth = evaluate(mdp, policy, path[-1]).drawn_from(old)
        path.append(path[-1] + estimators()["reward_to_go"].mean(truth, 6, 1))
    late = ascend(mdp, policy, theta, sampler={"sampler": "stale", "updates": 2}, steps=5, **given)
    np.testing.assert_allclose(late.theta[0], path[-1], rtol=1e-9, atol=1e-12)
    assert np.abs(ascend(mdp, policy, theta, steps=5, **given).theta[0] - path[-1]).max() > 1e-4


def test_one_epoch_is_the_gradient_bit_for_bit(sequences):
    policy = make_policy("softmax", sequences)
    given = {"horizon": 4, "batch_size": 8, "group_size": 4, "steps": 6, "step": 0.3}
    for name in ("clipped_ratio", "reward_to_go"):
        once = ascend(sequences, policy, None, "epochs", name, epochs=1, **given)
        plain = ascend(sequences, policy, None, "gradient", name, **given)
        for part in ("theta", "objective", "environment_steps", "cosine"):
            np.testing.assert_array_equal(getattr(once, part), getattr(plain, part))


def test_later_epochs_weigh_the_first_ones_batch(sequences):
    """The second update written out from the batch of the first: W A Σψ of every response."""
    policy = make_policy("softmax", sequences)
    given = {"horizon": 4, "batch_size": 8, "steps": 2, "step": 0.5, "replicates": 3}
    ratio = {"level": "sequence"}
    path = ascend(sequences, policy, None, "epochs", "importance_ratio", given=ratio, epochs=2,
                  **given)  # fmt: skip
    first = ascend(sequences, policy, None, "gradient", "importance_ratio", given=ratio,
                   **given | {"steps": 1})  # fmt: skip
    numbers = Numbers(4, 3, 5)
    for r in range(3):
        start, here = policy.initial(init="zeros"), first.theta[r]
        simulator = Simulator(evaluate(sequences, policy, start), numbers.draws(3, 8, 0), r, 1)
        batch, moved = simulator.batch(), np.zeros(here.size)
        pi, mu = policy.probabilities(here), policy.probabilities(start)
        R = batch.rewards.sum(axis=2)[0]
        for i in range(8):
            T = batch.lengths[0, i]
            s, a = batch.states[0, i, :T], batch.actions[0, i, :T]
            W, A = np.prod(pi[s, a] / mu[s, a]), R[i] - np.delete(R, i).mean()
            moved += W * A / 8 * policy.scores(here)[s, a].sum(axis=0)
        np.testing.assert_allclose(path.theta[r], here + 0.5 * moved, rtol=1e-9, atol=1e-12)
    # Steps are paid once per batch.
    np.testing.assert_array_equal(path.environment_steps[:, 1], path.environment_steps[:, 2])
    assert (path.environment_steps[:, 1] > 0).all()


def test_later_epochs_are_led_further_off(sequences):
    """Of exact means: the cosine is 1 where ratios are whole, and below where they are not."""
    policy = make_policy("softmax", sequences)
    given = {"horizon": 4, "batch_size": 4, "steps": 4, "step": 4.0, "expected": True, "epochs": 4}
    theta = policy.initial(seed=2)
    whole = ascend(sequences, policy, theta, "epochs", "importance_ratio",
                   given={"level": "sequence"}, **given).cosine[0]  # fmt: skip
    token = ascend(sequences, policy, theta, "epochs", "importance_ratio", **given).cosine[0]
    plain = ascend(sequences, policy, theta, "epochs", "rloo", **given).cosine[0]
    np.testing.assert_allclose(whole[:4], 1.0, atol=1e-10)
    np.testing.assert_allclose([token[0], plain[0]], 1.0, atol=1e-10)
    assert max(token[3], plain[3]) < 0.999
    assert np.isnan(whole[4])


@pytest.mark.parametrize(
    ("algorithm", "estimator", "given", "words"),
    [
        ("svrpg", "reward_to_go", {}, "takes no sampler's data"),
        ("actor_critic", None, {"critic_step": 0.1}, "acts itself, and takes no sampler's data"),
        ("gradient", "spsa", {}, "spsa takes no sampler's data: its rollouts"),
    ],
)
def test_what_draws_its_own_data_is_refused(mdp, policy, algorithm, estimator, given, words):
    with pytest.raises(NotApplicable, match=words):
        ascend(mdp, policy, None, algorithm, estimator,
               sampler={"sampler": "temperature", "value": 0.7}, **given)  # fmt: skip


def test_epochs_need_a_batch_that_others_can_draw(mdp, policy):
    with pytest.raises(NotApplicable, match="∇J has none"):
        ascend(mdp, policy, None, "epochs")
    with pytest.raises(NotApplicable, match="spsa takes no sampler's data"):
        ascend(mdp, policy, None, "epochs", "spsa", epochs=2)
    for name, given in (("importance_sampling", {"exploration": 0.2}), ("ppo", {"drift": 0.3})):
        with pytest.raises(NotApplicable, match=f"{name} draws from a policy of its own"):
            ascend(mdp, policy, None, "epochs", name, given=given)
        ascend(mdp, policy, None, "epochs", name, steps=3)
    lqg = make_problem("lqg")
    gaussian = make_policy("gaussian", lqg)
    with pytest.raises(NotApplicable, match="finite problems"):
        ascend(lqg, gaussian, gaussian.initial(), "epochs", "reward_to_go")
    with pytest.raises(NotApplicable, match="the sampler temperature is for finite problems"):
        ascend(lqg, gaussian, gaussian.initial(), "gradient", "reward_to_go",
               sampler={"sampler": "temperature", "value": 0.7})  # fmt: skip
