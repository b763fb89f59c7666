"""Ratios to the sampler: exact moments against all batches, definitions, and what must be equal."""

from functools import cache

import numpy as np
import pytest

from pgbench.estimators import HORIZON, find_estimator
from pgbench.estimators.parts.behaviour import NEVER
from pgbench.estimators.parts.ratios import RatioEstimator, advantages, at_level, within
from pgbench.exact import evaluate
from pgbench.exact.horizon import finite_gradient
from pgbench.grid.plan import Prepared
from pgbench.measure.gradients import estimates
from pgbench.measure.subject import make_subject
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.rollout.enumeration import Enumerator, enumerated_batches
from pgbench.rollout.simulator import Draws, Simulator
from pgbench.samplers import sampled
from tests.support.numbers import close, relative_gap
from tests.support.variants import batch_variants, each, record

SAMPLERS = {
    "temperature": {"value": 0.6},
    "logit_noise": {"scale": 0.7},
    "theta": {"scale": 0.6},
    "stale": {"updates": 3, "step": 1.0},
    "top_p": {"p": 0.8},
}
WHOLE = [name for name in SAMPLERS if name != "top_p"]
VARIANTS = [v for v in batch_variants() if isinstance(record(v), RatioEstimator)]
TWO_POLICIES = pytest.mark.parametrize("policy", ["softmax", "loglinear"])
EVERY = pytest.mark.parametrize("sampler", SAMPLERS)
CORRECTED = pytest.mark.parametrize("sampler", WHOLE)


@cache
def written(policy, sampler=None, **given):
    """Responses of two tokens at most to two prompts of unequal difficulty, from a sampler."""
    mdp = make_problem(
        "sequences", verifier="modulo", modulus=3, prompts=2, prompt_length=1, vocabulary=2,
        **{"length": 2, **given},
    )  # fmt: skip
    own = make_policy(policy, mdp)
    truth = evaluate(mdp, own, own.initial(seed=5, scale=0.8))
    return sampled(truth, sampler, **SAMPLERS[sampler]) if sampler else truth


def ratios_of(truth):
    """π/μ (S, A) where μ draws anything, written out."""
    pi, mu = truth.pi, truth.process.pi
    return np.array([[p / q if q > 0 else 0.0 for p, q in zip(*row, strict=True)]
                     for row in zip(pi, mu, strict=True)])  # fmt: skip


def drawn(truth, name, draws=Draws(2, 4, 5, 2, 8, group_size=2), **given):  # noqa: B008
    return estimates(truth, find_estimator(name), given, draws)[0]


@EVERY
@TWO_POLICIES
@each(VARIANTS)
def test_moments_are_those_over_all_batches_of_groups(policy, variant, sampler):
    truth, estimator = written(policy, sampler), record(variant)
    exact = estimator.exact(truth, 2, 4, 2, **variant.given)
    listed = enumerated_batches(truth, estimator, 2, 4, 2, **variant.given)
    scale = np.abs(listed.variance + listed.mean**2).max() + 1e-6
    assert np.abs(exact.mean - listed.mean).max() < 1e-12 * np.sqrt(scale)
    assert np.abs(exact.variance - listed.variance).max() < 1e-12 * scale


@pytest.mark.parametrize("sampler", ["temperature", "top_p"])
@each(v for v in VARIANTS if len(v.items) < 2)
def test_those_without_groups_too_whatever_returns_are(variant, sampler):
    truth, estimator = written("softmax", sampler, length_cost=0.1), record(variant)
    exact = estimator.exact(truth, 2, 2, **variant.given)
    listed = enumerated_batches(truth, estimator, 2, 2, **variant.given)
    scale = np.abs(listed.variance + listed.mean**2).max() + 1e-6
    assert np.abs(exact.mean - listed.mean).max() < 1e-12 * np.sqrt(scale)
    assert np.abs(exact.variance - listed.variance).max() < 1e-12 * scale


def advantage_of(R, advantage):
    """Of a group of returns, one after another."""
    if advantage == "leave_one_out":
        return [r - np.mean(np.delete(R, i)) for i, r in enumerate(R)]
    spread = np.std(R, ddof=1) + 1e-4 if advantage == "standardised" else 1.0
    return [(r - np.mean(R)) / spread for r in R]


def product(w, level):
    """What a level makes of the ratios of a response."""
    whole = np.prod(w)
    return {"token": w, "sequence": [whole] * len(w), "geometric": [whole ** (1 / len(w))] * len(w)}


def importance_ratio(w, A, level="token", rule="none", low=0.5, high=2.0):
    found = []
    for x in product(w, level)[level]:
        if rule == "truncated" and x > high:
            found.append(high)
        else:
            found.append(0.0 if rule == "masked" and not low <= x <= high else x)
    return found


def gone(x, A, clip_low, clip_high, dual_clip=np.inf):
    """Whether the surrogate is flat there."""
    return x > 1 + clip_high if A > 0 else x < 1 - clip_low or x > dual_clip


def clipped_ratio(w, A, clip_low=0.2, clip_high=0.2, dual_clip=np.inf, level="token"):
    return [
        0.0 if gone(x, A, clip_low, clip_high, dual_clip) else x for x in product(w, level)[level]
    ]


def cispo(w, A, clip_low=1.0, clip_high=1.0, level="token"):
    return [min(max(x, 1 - clip_low), 1 + clip_high) for x in product(w, level)[level]]


def gspo(w, A, clip_low=3e-4, clip_high=4e-4, clipped="sequence", power=True):
    exponent = 1 / len(w) if power else 1.0
    if clipped == "sequence":
        s = np.prod(w) ** exponent
        return [0.0 if gone(s, A, clip_low, clip_high) else s] * len(w)
    bounded = [min(x, 1 + clip_high) if A > 0 else max(x, 1 - clip_low) for x in w]
    s = np.prod(bounded) ** exponent
    return [0.0 if gone(x, A, clip_low, clip_high) else s for x in w]


DEFAULTS = {
    "importance_ratio": ("leave_one_out", "none"),
    "clipped_ratio": ("standardised", "length"),
    "cispo": ("standardised", "tokens"),
    "gspo": ("standardised", "length"),
}
FACTORS = {f.__name__: f for f in (importance_ratio, clipped_ratio, cispo, gspo)}


def by_hand(truth, batch, r, name, advantage=None, divisor=None, **given):
    """One estimate from two groups of two, token by token."""
    advantage, divisor = advantage or DEFAULTS[name][0], divisor or DEFAULTS[name][1]
    w, psi = ratios_of(truth), truth.policy.scores(truth.theta)
    lengths, total = batch.lengths[r], np.zeros(truth.theta.size)
    for group in ((0, 1), (2, 3)):
        R = [batch.rewards[r, i, : lengths[i]].sum() for i in group]
        for i, A in zip(group, advantage_of(R, advantage), strict=True):
            pairs = [(batch.states[r, i, t], batch.actions[r, i, t]) for t in range(lengths[i])]
            u = FACTORS[name]([w[pair] for pair in pairs], A, **given)
            scores = sum(factor * psi[pair] for factor, pair in zip(u, pairs, strict=True))
            below = {"none": 4, "length": 4 * lengths[i], "tokens": lengths.sum()}[divisor]
            total += A * scores / below
    return total


@EVERY
@each(VARIANTS)
def test_estimates_are_those_of_the_definition(variant, sampler):
    truth = written("loglinear", sampler, length=4)
    draws = Draws(4, 4, 12, 3, 5, group_size=2)
    found, batch = (
        drawn(truth, variant.name, draws, **variant.given),
        Simulator(truth, draws, 0, 12).batch(),
    )
    assert np.ptp(batch.lengths) > 1
    expected = [by_hand(truth, batch, r, variant.name, **variant.given) for r in range(12)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def surrogate(truth, theta, batch, A, kind, low, high, most=np.inf):
    """The objective that is differentiated, of the first replicate, in w and A as papers do."""
    pi, mu, total = truth.policy.probabilities(theta), truth.process.pi, 0.0
    for i, a in enumerate(A):
        T = batch.lengths[0, i]
        s, b = batch.states[0, i, :T], batch.actions[0, i, :T]
        w = pi[s, b] / mu[s, b]
        if kind == "token":
            least = np.minimum(w * a, w.clip(1 - low, 1 + high) * a)
            total += (np.maximum(least, most * a) if a < 0 else least).mean()
        elif kind == "gspo":
            x = np.prod(w) ** (1 / T)
            total += min(x * a, np.clip(x, 1 - low, 1 + high) * a)
        else:
            least = np.abs(np.minimum(w * np.sign(a), w.clip(1 - low, 1 + high) * np.sign(a)))
            total += np.prod(least) ** (1 / T) * a
    return total / len(A)


@pytest.mark.parametrize(
    ("kind", "name", "given"),
    [
        ("token", "clipped_ratio", {"clip_low": 0.1, "clip_high": 0.3}),
        ("token", "clipped_ratio", {"clip_low": 0.1, "clip_high": 0.3, "dual_clip": 1.2}),
        ("gspo", "gspo", {"clip_low": 0.05, "clip_high": 0.1}),
        ("gmpo", "gspo", {"clip_low": 0.1, "clip_high": 0.3, "clipped": "token"}),
    ],
)
@pytest.mark.parametrize("sampler", ["temperature", "theta"])
def test_clipped_estimates_are_derivatives_of_their_surrogates(kind, name, given, sampler):
    """Central differences; of 24 responses, some tokens clipped for either sign of A."""
    truth = written("softmax", sampler, length=4)
    draws = Draws(4, 24, 1, 3, 5, group_size=12)
    found = drawn(truth, name, draws, **given)[0]
    batch = Simulator(truth, draws, 0, 1).batch()
    R = batch.returns[0].reshape(2, 12)
    A = np.concatenate([advantage_of(group, "standardised") for group in R])
    bounds = given["clip_low"], given["clip_high"], given.get("dual_clip", np.inf)
    free = drawn(truth, name, draws, **given | {"clip_low": 1.0, "clip_high": NEVER, **(
        {"dual_clip": NEVER} if name == "clipped_ratio" else {})})[0]  # fmt: skip
    assert relative_gap(found, free) > 1e-2

    def at(step):
        return surrogate(truth, truth.theta + step, batch, A, kind, *bounds)

    h = 1e-5
    units = np.eye(truth.theta.size) * h
    slopes = np.array([(at(unit) - at(-unit)) / (2 * h) for unit in units])
    np.testing.assert_allclose(found, slopes, rtol=0, atol=1e-9)


@CORRECTED
@TWO_POLICIES
def test_the_ratio_of_the_whole_response_makes_up_for_the_sampler(policy, sampler):
    """And with the group's mean it is short of it by 1/G; those of tokens are something else."""
    truth, estimator = written(policy, sampler, length=3), find_estimator("importance_ratio")
    right = finite_gradient(truth, 3)

    def mean(**given):
        return estimator.exact(truth, 3, 6, 3, **given).mean

    assert relative_gap(mean(level="sequence"), right) < 1e-12
    assert relative_gap(mean(level="sequence", advantage="group_mean"), right * 2 / 3) < 1e-12
    assert relative_gap(mean(), right) > 1e-3
    assert relative_gap(mean(level="geometric"), right) > 1e-3
    assert relative_gap(mean(level="sequence", rule="masked", high=1.2), right) > 1e-3
    assert relative_gap(mean(level="sequence", rule="truncated", high=1.2), right) > 1e-3


def test_what_is_left_out_scales_every_token_by_the_mass_that_is_kept():
    """Of three equally likely tokens two are kept: w is 2/3 each, of t tokens (2/3)^t."""
    mdp = make_problem(
        "sequences", vocabulary=2, length=3, prompts=2, prompt_length=1, truncated="judged", seed=4
    )  # fmt: skip
    policy = make_policy("softmax", mdp)
    own = evaluate(mdp, policy, policy.initial(init="zeros"))
    truth = sampled(own, "top_k", k=2)
    S = truth.kept_mass
    assert abs(S - 2 / 3) < 1e-12
    plain = find_estimator("rloo").exact(truth, 3, 4, 2)
    token = find_estimator("importance_ratio").exact(truth, 3, 4, 2)
    close(token.mean, S * plain.mean)
    close(token.variance, S**2 * plain.variance)
    assert np.abs(plain.mean).max() > 1e-3
    draws = Draws(3, 4, 6, 1, 2, group_size=2)
    batch = Simulator(truth, draws, 0, 6).batch()
    lengths = batch.lengths[:, :, None]
    w = np.where(batch.mask, batch.at(ratios_of(truth)), 1.0)
    close(at_level(w, batch.mask, "sequence")[..., :1], S**lengths)
    close(at_level(w, batch.mask, "geometric")[..., :1], np.full(lengths.shape, S))
    assert find_estimator("importance_ratio").causes_at(truth, level="sequence")[-1] == "support"


FREE = {"clip_low": 1.0, "clip_high": NEVER}
SAME = {
    "advantage": "standardised",
    "divisor": "length",
}
EQUAL = {
    "no clip that is reached, of tokens": (("clipped_ratio", FREE), ("importance_ratio", SAME)),
    "no clip that is reached, of responses": (
        ("clipped_ratio", FREE | {"level": "sequence"}),
        ("importance_ratio", SAME | {"level": "sequence"}),
    ),
    "no bound of a weight": (("cispo", FREE | SAME), ("importance_ratio", SAME)),
    "a truncation at no ratio": (
        ("importance_ratio", {"rule": "truncated", "high": NEVER}),
        ("importance_ratio", {}),
    ),
    "a mask that lets all through": (
        ("importance_ratio", {"rule": "masked", "low": 0.0, "high": NEVER}),
        ("importance_ratio", {}),
    ),
    "a weight bounded above alone": (
        ("cispo", SAME | {"clip_high": 0.3}),
        ("importance_ratio", SAME | {"rule": "truncated", "high": 1.3}),
    ),
    "the geometric mean clipped": (
        ("gspo", {"clip_low": 0.1, "clip_high": 0.2}),
        ("clipped_ratio", {"clip_low": 0.1, "clip_high": 0.2, "level": "geometric"}),
    ),
    "no clip of tokens in a product": (
        ("gspo", FREE | {"clipped": "token", "power": False}),
        ("importance_ratio", SAME | {"level": "sequence"}),
    ),
    "a second clip that is not reached": (
        ("clipped_ratio", {"dual_clip": 1e6}),
        ("clipped_ratio", {}),
    ),
}


@pytest.mark.parametrize("case", EQUAL)
@pytest.mark.parametrize("sampler", ["temperature", "top_p"])
def test_these_are_equal(case, sampler):
    truth = written("softmax", sampler, length=4)
    one, other = (drawn(truth, name, Draws(4, 4, 30, 6, 7, group_size=2), **given)
                  for name, given in EQUAL[case])  # fmt: skip
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)
    assert np.abs(one).max() > 1e-3


@pytest.mark.parametrize("level", ["sequence", "geometric"])
def test_of_one_token_all_levels_are_the_same(level):
    truth, estimator = written("softmax", "theta"), find_estimator("importance_ratio")
    token, other = (estimator.exact(truth, 1, 4, 2, level=own) for own in ("token", level))
    close(other.mean, token.mean)
    close(other.variance, token.variance)
    two = [estimator.exact(truth, 2, 4, 2, level=own).mean for own in ("token", level)]
    assert relative_gap(*two) > 1e-3


PLAIN = {
    "importance_ratio": "rloo",
    "clipped_ratio": "grpo",
    "cispo": "dapo",
    "gspo": "grpo",
}


@each(VARIANTS)
def test_on_data_of_the_policy_itself_they_are_their_plain_forms(variant):
    """Whatever is clipped, truncated or masked."""
    truth, plain = written("loglinear", length=4), PLAIN[variant.name]
    draws = Draws(4, 4, 20, 6, 7, group_size=2)
    kept = {k: v for k, v in variant.items if k in ("advantage", "divisor")}
    found = drawn(truth, variant.name, draws, **variant.given)
    default = dict(zip(("advantage", "divisor"), DEFAULTS[variant.name], strict=True))
    bare = drawn(truth, "importance_ratio", draws, **default | kept)
    np.testing.assert_allclose(found, bare, rtol=1e-13, atol=1e-15)
    if not kept:
        np.testing.assert_allclose(found, drawn(truth, plain, draws), rtol=1e-13, atol=1e-15)
        exact = record(variant).exact(truth, 4, 4, 2, **variant.given)
        close(exact.variance, find_estimator(plain).exact(truth, 4, 4, 2).variance)


def test_the_clip_looks_at_the_sign():
    w = np.array([0.5, 0.79, 0.81, 1.0, 1.19, 1.21, 3.5])
    up, down = within(w, 0.2, 0.2)
    assert up.tolist() == [1, 1, 1, 1, 1, 0, 0]
    assert down.tolist() == [0, 0, 1, 1, 1, 1, 1]
    assert within(w, 0.2, 0.3)[0].tolist() == [1, 1, 1, 1, 1, 1, 0]
    assert within(w, 0.2, 0.2, 3.0)[1].tolist() == [0, 0, 1, 1, 1, 1, 0]
    assert within(w, 0.2, 0.2, 3.0)[0].tolist() == up.tolist()


def test_levels():
    w = np.array([[2.0, 0.5, 4.0], [3.0, 1.0, 1.0], [2.0, 0.0, 1.0]])
    taken = np.array([[True, True, True], [True, False, False], [True, True, False]])
    np.testing.assert_array_equal(at_level(w, taken, "token"), w)
    np.testing.assert_allclose(at_level(w, taken, "sequence")[:, 0], [4, 3, 0], rtol=1e-14)
    geometric = at_level(w, taken, "geometric")[:, 0]
    np.testing.assert_allclose(geometric, [4 ** (1 / 3), 3, 0], rtol=1e-14)
    # Products that overflow have a geometric mean all the same.
    long = at_level(np.full((1, 5000), 2.0), np.ones((1, 5000), bool), "geometric")
    np.testing.assert_allclose(long, 2.0, rtol=1e-12)


@pytest.mark.parametrize("divisor", ["none", "length", "tokens"])
def test_a_product_that_overflows_is_clipped_and_masked(divisor):
    w, taken = np.full((1, 2000), 4.0), np.ones((1, 2000), bool)
    for name, given in (
        ("importance_ratio", {"level": "sequence", "rule": "masked"}),
        ("clipped_ratio", {"level": "sequence", "dual_clip": 3.0}),
        ("gspo", {"power": False}),
    ):
        estimator = find_estimator(name)
        found = estimator.factors(w, taken, **estimator.bound(divisor=divisor, **given))
        assert (found[0] == 0).all()
    cut = find_estimator("importance_ratio")
    most = cut.factors(w, taken, **cut.bound(level="sequence", rule="truncated", high=5.0))
    assert (most == 5).all()


@pytest.mark.parametrize("divisor", ["none", "length", "tokens"])
def test_divisors(divisor):
    truth = written("softmax")
    responses = Enumerator(truth, 2, 4, 2).batch().responses(2, 2)
    own = {"none": 4.0, "length": 4 * responses.lengths,
           "tokens": responses.lengths.sum(axis=(1, 2), keepdims=True)}[divisor]  # fmt: skip
    found = advantages(responses, advantage="leave_one_out", divisor=divisor)
    R = responses.returns
    np.testing.assert_allclose(found, (R - R[..., ::-1]) / own, atol=1e-15)


@CORRECTED
@each(VARIANTS)
def test_the_bias_is_split_to_the_last_digit(variant, sampler):
    """Every cause has a cure, and what is left is what the horizon explains."""
    truth, estimator = written("softmax", sampler), record(variant)
    subject = make_subject(Prepared(truth, 2, 1.0, 2), estimator, variant.given)
    causes = estimator.causes_at(truth, **variant.given)
    parts = subject.parts(4)
    assert [*parts] == [*(c for c in causes if c not in HORIZON), "horizon"]
    exact = subject.exact(4).mean
    np.testing.assert_allclose(sum(parts.values()), exact - truth.gradient, atol=1e-13)
    np.testing.assert_allclose(
        parts["horizon"], finite_gradient(truth, 2) - truth.gradient, atol=1e-13
    )


def test_causes_hang_on_where_data_come_from():
    own, other = written("softmax"), written("softmax", "temperature")
    ratio, clip, whole = map(find_estimator, ("importance_ratio", "clipped_ratio", "gspo"))
    assert ratio.causes_at(own) == ("truncation",)
    assert ratio.causes_at(other) == ("prefix", "truncation")
    assert ratio.causes_at(other, level="sequence") == ("truncation",)
    assert ratio.causes_at(other, rule="masked")[:2] == ("masking", "prefix")
    assert ratio.causes_at(other, rule="truncated", level="sequence")[0] == "clipping"
    assert clip.causes_at(own) == ("normalisation", "length", "batch", "truncation")
    assert clip.causes_at(other)[:2] == ("clipping", "prefix")
    assert whole.causes_at(other)[:2] == ("clipping", "power")
    assert "sampler" not in whole.causes_at(other)
    assert "support" in whole.causes_at(written("softmax", "top_p"))


def test_what_is_a_table_is_exact_where_responses_cannot_be_listed():
    """Three tokens, 40 steps, merged: some 10^12 responses, and 100 states."""
    mdp = make_problem(
        "sequences", verifier="modulo", modulus=2, prompts=1, prompt_length=1, vocabulary=2,
        length=40,
    )  # fmt: skip
    policy = make_policy("loglinear", mdp)
    truth = sampled(evaluate(mdp, policy, policy.initial(seed=1)), "temperature", value=0.9)
    ratio = find_estimator("importance_ratio")
    assert ratio.exact(truth, 40, 4, 4).variance is not None
    whole = ratio.exact(truth, 40, 4, 4, level="sequence")
    assert whole.variance is None
    # Its mean is what it declares; that of a mask is not known.
    assert relative_gap(whole.mean, finite_gradient(truth, 40)) < 1e-12
    assert ratio.exact(truth, 40, 4, 4, level="sequence", rule="masked").mean is None
    assert find_estimator("gspo").exact(truth, 40, 4, 4).mean is None


def test_products_without_bound_say_so():
    def unbounded(name, **given):
        estimator = find_estimator(name)
        return estimator.unbounded(**estimator.bound(**given))

    assert unbounded("importance_ratio", level="sequence")
    assert unbounded("clipped_ratio", level="sequence")
    assert unbounded("gspo", power=False)
    assert unbounded("cispo", level="sequence", clip_high=NEVER)
    assert not unbounded("importance_ratio", level="sequence", rule="truncated")
    assert not unbounded("importance_ratio", level="sequence", rule="masked")
    assert not unbounded("clipped_ratio", level="sequence", dual_clip=3.0)
    for name in DEFAULTS:
        assert not unbounded(name)


def test_many_replicates_have_the_exact_moments():
    """The kernels draw from μ: 20 000 estimates, and a bound of 4 standard errors."""
    truth = written("loglinear", "temperature", length=3)
    draws = Draws(3, 4, 20_000, 5, 6, group_size=2)
    for name, given in (("clipped_ratio", {}), ("gspo", {"clip_low": 0.1, "clip_high": 0.1})):
        found, exact = (
            drawn(truth, name, draws, **given),
            find_estimator(name).exact(truth, 3, 4, 2, **given),
        )
        error = np.sqrt(exact.variance / len(found))
        assert (np.abs(found.mean(axis=0) - exact.mean) <= 4 * error).all()
        np.testing.assert_allclose(found.var(axis=0), exact.variance, rtol=0.1)
