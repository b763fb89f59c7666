"""Functions in JAX: what θ is, what else of them stays, and what is refused."""

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="make test-autodiff installs it")

import jax.numpy as jnp  # noqa: E402

from pgbench.exact import evaluate  # noqa: E402
from pgbench.policies.jax_network import jax_policy  # noqa: E402
from pgbench.problems import make_problem  # noqa: E402
from tests.support.numbers import differentiate  # noqa: E402

MDP = make_problem("gridworld", size=3)


class Dense:
    """A layer of single precision, with a number that is no parameter."""

    def init(self, key, n_features, n_actions):
        W = jax.random.normal(key, (n_features, n_actions), jnp.float32)
        return {"scale": jnp.ones(()), "kind": 3, "bias": jnp.zeros(n_actions), "W": W}

    def apply(self, own, x):
        return (x @ own["W"] + own["bias"]) * own["scale"] / own["kind"]


@pytest.mark.parametrize(
    "module",
    [Dense, Dense(), lambda: Dense(), (Dense().init, Dense().apply)],
    ids=["class", "object", "function", "tuple"],
)
def test_theta_holds_the_leaves_of_floating_point(module):
    policy = jax_policy(MDP, module)
    assert policy.outputs.shapes == [(2, 4), (4,), ()]  # W, bias, scale: the order of sorted keys
    theta = policy.initial(1, "own")
    jacobian = differentiate(lambda t: np.log(policy.probabilities(t)), theta, step=1e-3)
    np.testing.assert_allclose(policy.scores(theta), jacobian, rtol=0, atol=1e-9)


def test_its_own_start_is_inits_with_the_seeds_key():
    policy = jax_policy(MDP, Dense)
    made = Dense().init(jax.random.PRNGKey(7), 2, 4)
    expected = [*np.ravel(made["W"]), 0, 0, 0, 0, 1]
    np.testing.assert_array_equal(policy.initial(7, "own"), np.array(expected, np.float64))
    assert np.isfinite(policy.initial(2**64 - 1, "own")).all()


def test_nothing_of_the_process_is_changed():
    policy = jax_policy(MDP, Dense)
    truth = evaluate(MDP, policy, policy.initial(0, "own"))
    assert truth.gradient.dtype == np.float64
    assert jnp.ones(2).dtype == jnp.float32
    assert not jax.config.jax_enable_x64


def test_options_make_the_pair():
    def made(factor):
        own = Dense()
        return own.init, lambda leaves, x: factor * own.apply(leaves, x)

    one, two = (jax_policy(MDP, made, factor=factor) for factor in (1.0, 2.0))
    theta = one.initial(0, "own")
    ratio = np.log(one.probabilities(theta)) * 2 - np.log(two.probabilities(theta))
    np.testing.assert_allclose(np.ptp(ratio, axis=1), 0, atol=1e-14)


class Single(Dense):
    """Outputs of single precision."""

    def apply(self, own, x):
        return super().apply(own, x).astype(jnp.float32)


class Inner(Dense):
    """Computed in half precision."""

    def apply(self, own, x):
        return (x.astype(jnp.bfloat16) @ own["W"].astype(jnp.bfloat16)).astype(jnp.float64)


class Branching(Dense):
    """A branch on what is differentiated."""

    def apply(self, own, x):
        return x @ own["W"] if own["W"].sum() > 0 else -x @ own["W"]


class Narrow(Dense):
    """Too few outputs."""

    def apply(self, own, x):
        return super().apply(own, x)[:, :1]


class Changing(Dense):
    """Other parameters with other keys."""

    def init(self, key, n_features, n_actions):
        made = super().init(key, n_features, n_actions)
        return made if int(key[1]) == 0 else {"W": made["W"]}


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Single, "Single makes float32, must make an array of float64"),
        (Inner, "Inner: logits do not move as their derivatives say.*double precision"),
        (Branching, "Branching: apply with features .*TracerBoolConversionError"),
        (Narrow, r"Narrow makes \(9, 1\) of features \(9, 2\), must make \(9, 4\)"),
        (object(), "object: calling it: TypeError"),
        ((1, 2), "is a tuple without functions init and apply"),
        (lambda: 3, "is a function without functions init and apply, and makes none"),
    ],
)
def test_what_is_no_function_of_float64_is_refused(module, message):
    with pytest.raises(ValueError, match=message):
        jax_policy(MDP, module)


def test_parameters_that_hang_on_the_key_are_refused():
    policy = jax_policy(MDP, Changing)
    with pytest.raises(ValueError, match="Changing: init makes other parameters"):
        policy.initial(1, "own")
