"""Known estimators have the means that are known of them, and are what they are called."""

import numpy as np
import pytest

from pgbench.declared.causes import CAUSES
from pgbench.trials.case import CONTINUOUS, Laboratory
from pgbench.trials.continuous.cases import OWN, cases
from pgbench.trials.continuous.known import RIGHT, known_functions
from pgbench.trials.continuous.mistakes import SCORES
from pgbench.trials.continuous.policy import LINEAR

KNOWN = {one.name: one for one in known_functions(OWN)}
CASES = {case.name: case for case in cases()}
R = 2000


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_samples_have_the_exact_means(case):
    """Largest of some thousand z-values: 4.5 is passed once in a hundred runs."""
    tested = 0
    for one in KNOWN.values():
        exact = one.exact(case, case.batch_size)
        if exact is None:
            continue
        made, steps = one.estimates(case, case.batch_size, R, 3)
        assert made.shape == (R, 3)
        assert steps.shape == (R,)
        error = made.std(axis=0) / np.sqrt(R)
        gap = np.abs(made.mean(axis=0) - exact)
        assert (gap <= 4.5 * error + 1e-9 * np.abs(exact).max()).all(), one.name
        tested += 1
    assert tested > 90


def test_right_ones_have_a_right_mean():
    for case in CASES.values():
        size = np.linalg.norm(case.finite)
        for weight in RIGHT:
            found = KNOWN[weight.name].exact(case, case.batch_size)
            gaps = [np.linalg.norm(found - right) for right in (case.finite, case.without_tail)]
            assert min(gaps) < 1e-8 * size, weight.name


def test_every_mistake_is_one_somewhere():
    for one in KNOWN.values():
        if not one.mistake:
            continue
        gaps = [
            min(
                np.linalg.norm(one.exact(case, case.batch_size) - right)
                for right in (case.finite, case.without_tail)
            )
            / np.linalg.norm(case.finite)
            for case in CASES.values()
        ]
        assert max(gaps) > 0.01, one.name


def written_out(case, batch):
    """Reward-to-go of one batch, step by step."""
    found = np.zeros(3)
    for n, t in zip(*np.nonzero(batch.mask), strict=True):
        later = sum(batch.gamma ** (m - t) * batch.rewards[n, m] for m in range(t, batch.horizon))
        z = (batch.actions[n, t, 0] - LINEAR.mean(case.theta, batch.states[n, t, 0])) / np.exp(
            case.theta[2]
        )
        sigma = np.exp(case.theta[2])
        psi = np.array([z * batch.states[n, t, 0] / sigma, z / sigma, z**2 - 1])
        found += batch.gamma**t * later * psi
    return found / len(batch.mask)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_reward_to_go_is_what_it_says(case):
    made, _ = KNOWN["reward_to_go"].sample(case, 4, 3, 0)
    batches = case.drawn(3, 0, 4)
    for r in range(3):
        np.testing.assert_allclose(made[r], written_out(case, batches[r]), atol=1e-12)


def test_names_and_causes():
    assert len(KNOWN) == len(known_functions(OWN))
    assert {cause for one in KNOWN.values() for cause in one.declared} <= set(CAUSES)
    assert KNOWN["reward_to_go"].default
    assert KNOWN["reward_to_go[discounted=false]"].needs.target == "undiscounted_states"
    assert KNOWN["gae[lam=0.95, critic_noise=0.1]"].critic_errs
    assert KNOWN["natural"].needs.target == "natural"
    assert KNOWN["group_mean"].needs.accepts == {"batch"}
    for slip, (_, words) in SCORES.items():
        assert KNOWN[f"reward_to_go with {slip}"].mistake == words
        assert KNOWN[f"reward_to_go with {slip}"].needs is None
    order = [(bool(one.mistake), not one.default) for one in KNOWN.values()]
    assert order == sorted(order)


def test_other_data_and_objectives_are_refused():
    with pytest.raises(ValueError, match="continuous has data of the policy itself alone"):
        known_functions(Laboratory(CONTINUOUS, sampler="stale"))
