"""Transforms of the success probability: against closed forms, and against exact means."""

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.exact.finite.outcome_moments import outcome_moments
from pgbench.exact.finite.transform import transform
from pgbench.policies import make_policy
from tests.support.numbers import close
from tests.support.responses import CASES, KEY, best_of_two, centred, left_out, tokens

P = np.linspace(0, 1, 7)


@pytest.mark.parametrize(
    ("weights", "slope"),
    [
        (left_out, lambda p, G: 1 + 0 * p),
        (centred, lambda p, G: 1 - 1 / G + 0 * p),
        (best_of_two, lambda p, G: 2 * (1 - p)),
    ],
    ids=["left out", "centred", "best of two"],
)
@pytest.mark.parametrize("G", [2, 5])
def test_closed_forms(weights, slope, G):
    """∇J, its share that a mean with one's own return leaves, and ∇(1 - (1-p)²)."""
    close(transform(weights, G).slope(P), slope(P, G))


@pytest.mark.parametrize("name", ["scaled", "centred", "length weighted"])
def test_value_is_the_integral_of_the_slope(name):
    found = transform(CASES[name].weights, 6)
    x, weight = np.polynomial.legendre.leggauss(8)
    integral = [p / 2 * weight @ found.slope(p * (x + 1) / 2) for p in P]
    close(found.value(P), np.array(integral))


def test_mean_is_slope_times_gradient():
    """One prompt, one token: the return is all there is."""
    mdp = tokens(length=1, vocabulary=3, modulus=3, starts=(1,), said=False)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=2))
    case = CASES["scaled"]
    mean, _ = outcome_moments(truth, 1, case.weights, KEY, group_size=4, batch_size=4)
    close(mean, transform(case.weights, 4).slope(truth.objective) * truth.gradient)
