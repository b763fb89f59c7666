"""Classes of responses, and sums of their scores, against a list of all trajectories."""

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.exact.finite.response_scores import ResponseScores
from pgbench.exact.finite.responses import close_values, unrolled
from pgbench.problems import FiniteMDP
from tests.support.numbers import close
from tests.support.problems import TINY
from tests.support.responses import listed, tokens
from tests.support.truths import KINDS, make_kind

PROBLEMS = {
    "tree": (tokens(cost=0.1), 5),
    "merged": (tokens(length=3, merged=True, said=False), 5),
    "cut": (tokens(), 1),
    **{name: (TINY[name][0](), 2) for name in ("dense", "coins", "ending", "fewer")},
}


def truth_on(problem, kind):
    mdp, horizon = PROBLEMS[problem]
    policy = make_kind(kind, mdp)
    return evaluate(mdp, policy, policy.initial(seed=1)), horizon


def class_of(classes, every, i):
    """The one class that a listed response is in."""
    same = np.isclose(classes.returns, every.returns[i], rtol=0, atol=1e-12)
    same &= (classes.lengths == every.lengths[i]) & (classes.truncated == every.truncated[i])
    if classes.outcomes is not None:
        same &= (classes.outcomes == every.outcomes[i]).all(axis=1)
    (found,) = np.flatnonzero(same)
    return found


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("kind", KINDS)
def test_classes_and_their_scores(problem, kind, grouped):
    """P_c, Σ f ∇P_c, Σ f E[Z² 1{c}] and squares of sums, with two factors of tokens."""
    truth, H = truth_on(problem, kind)
    factors = np.random.default_rng(4).uniform(0.5, 2, (2, *truth.pi.shape))
    paths = unrolled(truth.process, H, grouped)
    every = listed(truth, truth.process, H, factors)
    taken = np.flatnonzero(every.chance)
    which = np.array([class_of(paths.classes, every.classes, i) for i in taken])
    starts = np.flatnonzero(truth.mdp.mu0)
    own = np.searchsorted(starts, every.start[taken]) if grouped else np.zeros(len(which), int)
    chance = every.chance[taken] / paths.mu[own]
    K, C = paths.size
    P = np.zeros((K, C))
    np.add.at(P, (own, which), chance)
    close(paths.probability, P)
    first, second = np.zeros((2, K, C, 2, truth.theta.size))
    for u, z in enumerate(every.scores[:, taken]):
        np.add.at(first[:, :, u], (own, which), chance[:, None] * z)
        np.add.at(second[:, :, u], (own, which), chance[:, None] * z**2)
    f = np.random.default_rng(5).standard_normal((K, C, 2, 3))
    scale = np.random.default_rng(6).uniform(0.5, 1, (K, 3))
    scores = ResponseScores(truth, paths, truth.pi, factors)
    close(scores.mean(f), np.einsum("kcud,kcur->rd", first, f))
    each = np.einsum("kcud,kcur->krd", first, f)
    close(scores.squares(f, scale), np.einsum("krd,kr->d", each**2, scale))
    close(scores.second(f[..., 0]), np.einsum("kcud,kcu->d", second, f[..., 0]))


@pytest.mark.parametrize(
    ("problem", "once"),
    [("tree", True), ("merged", True), ("dense", False), ("coins", False), ("cut", True)],
)
def test_whether_a_state_is_visited_twice(problem, once):
    truth, H = truth_on(problem, "softmax")
    assert unrolled(truth.process, H, True).once is once


@pytest.mark.parametrize("problem", ["tree", "merged"])
def test_pieces_and_columns_give_the_same(problem, monkeypatch):
    """A few columns at a time, and pairs of visits where there are none."""
    truth, H = truth_on(problem, "softmax")
    paths = unrolled(truth.process, H, True)
    scores = ResponseScores(truth, paths, truth.pi, np.ones((1, *truth.pi.shape)))
    f = np.random.default_rng(5).standard_normal((*paths.size, 1, 3))
    scale = np.ones((len(f), 3))
    whole = scores.mean(f), scores.squares(f, scale), scores.second(f[..., 0])
    monkeypatch.setattr("pgbench.exact.finite.response_scores.COLUMN_BYTES", 1)
    monkeypatch.setitem(paths.__dict__, "once", False)
    parts = scores.mean(f), scores.squares(f, scale), scores.second(f[..., 0])
    for one, other in zip(whole, parts, strict=True):
        close(other, one)


def test_returns_that_are_equal_but_for_rounding_are_one():
    values, which = close_values(np.array([0.3, 0.1 + 0.2, 1.0, 0.3 + 1e-9]))
    np.testing.assert_array_equal(which, [0, 0, 2, 1])
    np.testing.assert_array_equal(values, [0.3, 0.3 + 1e-9, 1.0])


def test_nodes_of_equal_returns_are_merged():
    """A walk that pays for each step has a node per state and step, not one per path."""
    P = np.full((4, 2, 4), 0.25)
    mdp = FiniteMDP.from_arrays(P, np.full((4, 2), 0.1), np.full(4, 0.25), 0.9)
    policy = make_kind("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=1))
    paths = unrolled(truth.process, 30, False)
    assert [layer.state.size for layer in paths.layers] == [4] * 31
    assert paths.size == (1, 1)
