"""What the named studies show, in numbers: published and derived values."""

import numpy as np
import pytest

from pgbench.ascent.goal import find_goal
from pgbench.ascent.summary import iqm_interval, steps_to
from pgbench.exact import evaluate
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from tests.support.ascents import ascend


def corridor_policy():
    mdp = make_problem("corridor")
    return mdp, make_policy("loglinear", mdp, features="own")


def test_learning_curves_of_the_short_corridor():
    """Sutton & Barto 2018, Figures 13.1 and 13.2, 1000 episodes from p(right) = .05.

    With α = 2⁻¹² most of the way to J* = -11.66 is done by episode 1000; smaller steps are slower
    in order; the baseline, with its larger step, is faster by far. All 40 runs count.
    """
    mdp, policy = corridor_policy()
    start = policy.given([-1.47, 1.47])
    assert evaluate(mdp, policy, start).objective == pytest.approx(-82, abs=0.5)
    best = find_goal(mdp, policy).objective
    assert best == pytest.approx(-11.656854, abs=1e-6)
    options = {"horizon": 1000, "batch_size": 1, "replicates": 40, "steps": 1000, "points": 30}
    curves = {}
    for power in (12, 13, 14):
        trace = ascend(mdp, policy, start, estimator="reward_to_go", step=2.0**-power, **options)
        curves[power] = trace.objective.mean(axis=0)
        assert (trace.stopped == -1).all()
    with_baseline = ascend(
        mdp, policy, start, "actor_critic", step=2.0**-9, critic="monte_carlo", features="constant",
        critic_step=2.0**-6, **options,
    ).objective.mean(axis=0)  # fmt: skip
    middle = np.searchsorted(trace.steps, 200)
    assert with_baseline[middle] > curves[12][middle] > curves[13][middle] > curves[14][middle]
    assert with_baseline[middle] > -12.5
    assert curves[12][-1] > -12
    assert curves[14][-1] < curves[13][-1] < curves[12][-1] < best


def test_leaving_out_the_discount_climbs_to_the_worst_policy():
    """Slopes p(1-p)/4 and -p(1-p)/2 of a constructed problem: both ascents, exact and sampled."""
    mdp = make_problem("sign_flip")
    policy = make_policy("loglinear", mdp, features="own")
    assert find_goal(mdp, policy).objective == pytest.approx(0.25)
    options = {"estimator": "reward_to_go", "step": 0.1, "horizon": 3, "batch_size": 16}
    right = ascend(mdp, policy, steps=1000, replicates=20, points=10, **options)
    wrong = ascend(
        mdp, policy, steps=1000, replicates=20, points=10, given={"discounted": False}, **options
    )
    theta = np.zeros(2)
    for _ in range(1000):
        p = 1 / (1 + np.exp(-theta))
        theta = theta + 0.1 * np.array([0.25, -0.5]) * p * (1 - p)
    expected = 0.25 / (1 + np.exp(-theta))
    for trace, J in zip((right, wrong), expected, strict=True):
        interval = iqm_interval([trace.objective[:, -1:]])
        assert abs(interval.value[0] - J) < 0.02 * 0.25
    assert right.objective[:, -1].min() > 0.2 > 0.02 > wrong.objective[:, -1].max()


def test_plain_gradient_waits_on_the_plateau_of_the_two_state_problem():
    """Kakade 2001, Section 4; Bagnell & Schneider 2003: orders of magnitude, on exact flows.

    Small steps of equal Euclidean flow time: the natural gradient reaches 10 % of the gap more than
    a hundred times sooner. The plateau is at 1 per step, J = 1/(1-γ) = 20.
    """
    mdp = make_problem("two_state")
    policy = make_policy("softmax", mdp)
    start = policy.given([2.0, -2.0, -2.0, 2.0])
    goal = find_goal(mdp, policy)
    reached = {}
    for algorithm in ("gradient", "natural"):
        trace = ascend(mdp, policy, start, algorithm, step=0.01, steps=20_000, points=200)
        reached[algorithm] = steps_to(trace.steps, goal.objective - trace.objective, 0.1)[0]
        if algorithm == "gradient":
            plain = trace
    assert 100 * reached["natural"] < reached["gradient"] <= 20_000
    third = np.searchsorted(plain.steps, reached["gradient"] // 3)
    assert plain.objective[0, third] < 22 < goal.objective / 1.5


def test_gradient_of_the_chain_vanishes_exponentially():
    """Agarwal et al. 2021, Proposition 4.1: direct, π(s, first action) < 1/4, γ = H/(H+1)."""
    lengths, norms = np.arange(2, 21, 2), []
    for length in lengths:
        mdp = make_problem("chain", length=int(length))
        policy = make_policy("direct", mdp)
        theta = policy.given([0.2, 0.4, 0.2, 0.2])
        norms.append(np.linalg.norm(evaluate(mdp, policy, theta).gradient))
    assert (np.array(norms) <= (1 / 3) ** (lengths / 4)).all()
    slopes = np.diff(np.log(norms)) / 2
    assert (slopes < -0.7).all()
    assert np.ptp(slopes[3:]) < 0.2


def test_natural_gradient_does_not_care_about_sizes():
    """Updates to 10 %: the same from 10 to 250 states; the plain gradient takes ever more."""
    reached = {"natural": [], "gradient": []}
    for n_states in (10, 50, 250):
        mdp = make_problem("garnet", n_states=n_states, n_actions=4, gamma=0.9, seed=0)
        policy = make_policy("softmax", mdp)
        goal = find_goal(mdp, policy)
        for algorithm, step, steps in (("natural", 0.1, 60), ("gradient", 1.0, 400)):
            trace = ascend(mdp, policy, algorithm=algorithm, step=step, steps=steps, points=60)
            gap = goal.objective - trace.objective
            reached[algorithm].append(steps_to(trace.steps, gap, 0.1)[0])
    assert np.ptp(reached["natural"]) <= 5
    small, middle, large = np.nan_to_num(reached["gradient"], nan=np.inf)
    assert middle > 2.5 * small
    assert large > 2 * middle or np.isinf(middle)


def test_low_baselines_commit_too_early():
    """Chung et al. 2021: with equal variance, a baseline below the best commits, above explores."""
    mdp = make_problem("three_armed")
    policy = make_policy("softmax", mdp)
    wrong = {}
    for baseline in (-0.5, 1.4):
        trace = ascend(
            mdp, policy, algorithm="natural", estimator="reinforce", step=0.3, batch_size=1,
            replicates=100, steps=300, points=5, horizon=1, given={"baseline": baseline},
        )  # fmt: skip
        committed = trace.entropy[:, -1] < 0.02
        wrong[baseline] = (committed & (trace.objective[:, -1] < 0.9)).sum()
    assert wrong[-0.5] > 30
    assert wrong[1.4] <= 2
