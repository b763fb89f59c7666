"""The same perceptron by hand, in PyTorch and in JAX: same numbers, wherever a policy is taken."""

from unittest.mock import PropertyMock

import numpy as np
import pytest

from pgbench import ascend, sample_gradients
from pgbench.declared.ascents import ASCENT
from pgbench.declared.summary import SUMMARY
from pgbench.exact import evaluate
from pgbench.grid.plan import Setting
from pgbench.grid.reader import read_grid
from pgbench.harness.runner import run
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from tests.support.numbers import close
from tests.support.problems import fewer
from tests.support.runs import unpublished

MODULES = {"torch": "twin_torch.py:Net", "jax": "twin_jax.py:net"}
NARROW = {"widths": [4]}
"""So few hidden units that F is not as good as singular, which makes much of rounding."""
PROBLEMS = {
    "onehot": (lambda: make_problem("garnet", n_states=12), {}),
    "coordinates": (lambda: make_problem("gridworld", size=3), {}),
    "own": (lambda: make_problem("corridor", length=5, gamma=0.9), {"inputs": "own"}),
    "fewer actions": (fewer, {}),
}


@pytest.fixture(params=MODULES)
def library(request, folder):
    pytest.importorskip(request.param, reason="make test-autodiff installs it")
    return request.param


@pytest.fixture(params=PROBLEMS)
def pair(request, library):
    """A problem, the network in a library, and the same by hand."""
    make, chosen = PROBLEMS[request.param]
    mdp = make()
    own = make_policy(library, mdp, module=MODULES[library], options=NARROW, **chosen)
    return mdp, own, make_policy("neural", mdp, hidden=4, **chosen)


def test_tables_and_derivatives_are_the_same(pair):
    _, own, hand = pair
    assert own.n_parameters == hand.n_parameters
    rng, m = np.random.default_rng(0), 21
    theta = hand.initial(seed=1)
    thetas = theta + 0.1 * rng.standard_normal((m, theta.size))
    v, W = rng.standard_normal((m, theta.size)), rng.standard_normal((m, *own.shape))
    states = np.array([2, 0])
    for call in (
        lambda policy: policy.probabilities(theta),
        lambda policy: policy.pull_back(theta, W),
        lambda policy: policy.pull_back(theta, W[0]),
        lambda policy: policy.pull_back(theta, W[:, :2], states),
        lambda policy: policy.push_forward(theta, v[0]),
        lambda policy: policy.scores(theta),
        lambda policy: policy.each_probabilities(thetas),
        lambda policy: policy.each_pull_back(thetas, W),
        lambda policy: policy.each_push_forward(thetas, v),
    ):
        close(call(own), call(hand), 1e-12)


def test_truth_is_the_same(pair):
    mdp, own, hand = pair
    theta = hand.initial(seed=1)
    mine, other = (evaluate(mdp, policy, theta) for policy in (own, hand))
    close(mine.gradient, other.gradient, 1e-11)
    close(mine.natural_gradient(), other.natural_gradient(), 1e-7)
    away = np.linalg.norm(mine.gradient - other.gradient)
    assert away <= mine.gradient_bound + other.gradient_bound
    assert mine.gradient_bound < 10 * other.gradient_bound


@pytest.mark.parametrize("estimator", ["reward_to_go", "rloo", "natural"])
def test_estimates_of_the_same_trajectories_are_the_same(pair, estimator):
    mdp, own, hand = pair
    theta = hand.initial(seed=1)
    options = {"horizon": 8, "batch_size": 4, "replicates": 20}
    mine, other = (
        sample_gradients(mdp, policy, theta, estimator, **options) for policy in (own, hand)
    )
    close(mine, other, 1e-7 if estimator == "natural" else 1e-11)


def test_ascents_are_the_same(library):
    mdp = make_problem("gridworld", size=3)
    own = make_policy(library, mdp, module=MODULES[library])
    hand = make_policy("neural", mdp, hidden="32x32")
    about = {"estimator": "reinforce", "steps": 15, "replicates": 3, "horizon": 20}
    mine, other = (ascend(mdp, p, hand.initial(seed=1), **about) for p in (own, hand))
    close(mine.objective, other.objective, 1e-10)


GRID = """
name: {name}
problems: [{{problem: gridworld, size: 3}}]
policies: [{policy}]
theta: {{file: theta.npy}}
horizon: 15
batch_sizes: [1, 4]
replicates: 60
estimators:
  - reinforce
  - reward_to_go
  - {{estimator: gae, lam: 0.9}}
  - rloo
  - ppo
  - all_action
  - natural
  - importance_ratio
ascent:
  algorithms: [gradient, momentum]
  estimators: [exact, reward_to_go]
  step_sizes: [0.002]
  steps: 12
  replicates: 3
"""

ESTIMATED = {"gradient_error_bound", "value_error_bound"}
"""Bounds that are proven for the one and estimated for the others."""


def tree_of(name, policy, folder):
    text = GRID.format(name=name, policy=policy)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    with unpublished():
        return run(read_grid(folder / f"{name}.yaml"), folder / "results")


def differing(a, b):
    """Names of reproducible numbers that are not the same to 1e-10 of the largest, or their own."""
    names = []
    for path, schema in {"/": SUMMARY, "/maps": {}, "/ascent": ASCENT}.items():
        left, right = (tree[path].to_dataset() for tree in (a, b))
        assert [*left.data_vars] == [*right.data_vars]
        for name, own in left.data_vars.items():
            if name in schema and not schema[name].reproducible:
                continue
            x, y = own.values, right[name].values
            if x.dtype.kind != "f":
                same = np.array_equal(x, y)
            else:
                size = np.nanmax(np.abs(y), initial=1.0, where=np.isfinite(y))
                same = np.allclose(x, y, rtol=1e-10, atol=1e-10 * size, equal_nan=True)
            names += [] if same else [name]
    return names


def test_datasets_are_the_same(library, folder, monkeypatch):
    """With the same trajectories, which are drawn for a policy's name else."""
    monkeypatch.setattr(Setting, "stream", PropertyMock(return_value=7))
    hand = make_policy("neural", make_problem("gridworld", size=3), hidden=4)
    np.save(folder / "theta.npy", hand.initial(seed=1))
    own = f"{{policy: {library}, module: {MODULES[library]}, options: {{widths: [4]}}}}"
    mine = tree_of("mine", own, folder)
    other = tree_of("other", "{policy: neural, hidden: 4}", folder)
    assert set(differing(mine, other)) <= ESTIMATED
