"""What is right by several claims at once, and what is right for it equals what is claimed."""

from io import StringIO

import numpy as np
import pytest

from pgbench.trials import examination
from pgbench.trials.batteries import every_known
from pgbench.trials.examination import examine
from pgbench.trials.hypotheses import Hypothesis
from pgbench.trials.verdict import Decision
from pgbench.trials.verdict import tested as held_against
from pgbench.trials.wording.conclusion import conclusion

HEAD = """
import numpy as np
import pgbench


def gae(batch, lam, ended=None):
    ended = batch.terminated if ended is None else ended
    ahead = batch.gamma * batch.next_values * ~ended
    errors = (batch.rewards + ahead - batch.values) * batch.mask
    for t in reversed(range(batch.horizon - 1)):
        errors[:, t] += batch.gamma * lam * errors[:, t + 1]
    return errors


def summed(batch, weights, gamma):
    return batch.pull_back(gamma ** np.arange(batch.horizon) * weights) / len(weights)


def over_steps(batch, weights):
    return summed(batch, weights, 1.0) * len(weights) / batch.mask.sum()


def standardised(batch, lam):
    weights = gae(batch, lam)
    own = weights[batch.mask]
    return np.where(batch.mask, (weights - own.mean()) / (own.std(ddof=1) + 1e-8), 0.0)


"""

ONLINE = 'target="undiscounted_states", scale="per_step", accepts={"critic"}'
NORMALISED = """target="surrogate", scale="per_step", surrogate={
    "estimator": "advantage_normalised", "lam": %s, "critic_noise": 0.1, "correction": 1,
    "discounted": False}"""

FUNCTIONS = {
    "actor critic": "over_steps(batch, gae(batch, 0.95))",
    "actor critic padded": "summed(batch, gae(batch, 0.95), 1.0) / batch.horizon",
    "never ended": "over_steps(batch, gae(batch, 0.95, np.zeros_like(batch.terminated)))",
    "later steps twice": "over_steps(batch, gae(batch, 0.95) * (1 + np.arange(batch.horizon)))",
    "standardised": "over_steps(batch, standardised(batch, 0.95))",
}


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """``judged(name, declaration)``: what is found on some of the problems."""
    every = examination.cases
    chosen = ("continuing", "episodic", "cut short", "pairs")
    monkeypatch.setattr(
        examination, "cases", lambda lab: [c for c in every(lab) if c.name in chosen]
    )

    def run(name, declaration, replicates=250):
        path = tmp_path / "mine.py"
        body = f"def estimate(batch):\n    return {FUNCTIONS[name]}\n"
        text = f"{HEAD}@pgbench.subject({declaration})\n{body}"
        path.write_text(text, encoding="utf-8")
        return examine(path, "estimate", replicates, notices=StringIO())

    return run


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["actor critic", "actor critic padded"])
def test_an_erring_critic_a_mean_over_steps_and_no_discount_are_claimed_together(
    judged, name, dtype
):
    found = judged(name, f'{ONLINE}, dtype="{dtype}"')
    assert found.passed, conclusion(found)
    assert "is what it claims (" in conclusion(found)


@pytest.mark.parametrize("name", ["never ended", "later steps twice"])
def test_another_mistake_does_not_hide_behind_them(judged, name):
    found = judged(name, ONLINE)
    assert found.verdict.decision is Decision.BIASED


@pytest.mark.parametrize("missing", ["undiscounted_states", "per_step", "critic"])
def test_each_of_the_claims_is_needed(judged, missing):
    declaration = {
        "undiscounted_states": 'scale="per_step", accepts={"critic"}',
        "per_step": 'target="undiscounted_states", accepts={"critic"}',
        "critic": 'target="undiscounted_states", scale="per_step"',
    }[missing]
    assert not judged("actor critic", declaration).passed


def test_a_surrogate_without_a_known_mean_is_settled_by_every_estimate(judged):
    found = judged("standardised", NORMALISED % 0.95)
    assert found.passed
    assert found.verdict.same.known.surrogate
    assert "in all 250 estimates on each of 4 problems" in conclusion(found)
    assert not np.isfinite(found.verdict.reference.p).any()
    other = judged("standardised", NORMALISED % 0.9)
    assert not other.passed
    assert other.verdict.same is None
    assert "is not known exactly, and it does not equal that in every" in conclusion(other)


def test_what_is_silent_is_never_what_a_mean_is_held_against(judged):
    """Of many accepted biases some have no known mean: they hold nowhere."""
    found = judged(
        "never ended", ONLINE.replace('{"critic"}', '{"critic", "batch", "normalisation"}')
    )
    assert np.isfinite(found.verdict.reference.p).any()
    assert "biased ," not in conclusion(found)


def test_a_mean_of_zero_is_nothing_to_be_held_against(judged):
    found = judged("never ended", ONLINE)
    result = found.verdict.results[0]
    size = np.linalg.norm(result.estimates.case.finite)
    zero = np.zeros_like(result.estimates.case.finite)
    off = result.relative_bias(zero)
    np.testing.assert_allclose(off.value, result.distance(zero).value / size)
    nothing = Hypothesis("zero", lambda case, n: np.zeros_like(case.finite))
    assert not held_against(nothing, found.verdict.results).speaks


def test_online_actor_critics_are_known():
    names = {one.name: one for one in every_known()}
    for name in ("gae[lam=0.95, ", "td[", "n_step["):
        one = names[f"{name}critic_noise=0.1, discounted=false]"]
        assert one.needs.target == "undiscounted_states"
        assert one.needs.accepts == {"critic"}
