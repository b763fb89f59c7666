"""Functions are judged by what they claim: of their target, scale, biases, objective and data."""

from io import StringIO

import pytest

from pgbench.declared.claims import Claims, Needs
from pgbench.trials import examination
from pgbench.trials.batteries import every_known
from pgbench.trials.battery import cases
from pgbench.trials.examination import examine
from pgbench.trials.hypotheses import RIGHT, TARGETED, WITHOUT_DISCOUNT, right_by
from pgbench.trials.verdict import Decision
from pgbench.trials.wording.conclusion import conclusion

HEAD = """
import numpy as np
import pgbench


def to_go(batch, rewards=None):
    rewards = batch.rewards if rewards is None else rewards
    out, later = np.zeros_like(rewards), 0.0
    for t in reversed(range(batch.horizon)):
        later = rewards[:, t] + batch.gamma * later
        out[:, t] = later
    return out


def summed(batch, weights, gamma=None):
    discounts = (batch.gamma if gamma is None else gamma) ** np.arange(batch.horizon)
    return batch.pull_back(discounts * weights) / len(weights)


def ratios(batch):
    return np.exp(batch.log_probs - batch.behaviour_log_probs)


"""

KL = '{"objective": "kl", "beta": 0.5, "reference": "uniform"}'
OTHER = '{"sampler": "theta", "scale": 0.3}'

FUNCTIONS = {
    "without the discount": "summed(batch, to_go(batch), 1.0)",
    "a mean over steps": "summed(batch, to_go(batch)) * len(batch.mask) / batch.mask.sum()",
    "a mean over the padding": "summed(batch, to_go(batch)) / batch.horizon",
    "seven times": "7 * summed(batch, to_go(batch))",
    "minus": "-summed(batch, to_go(batch))",
    "in sample": """batch.pull_back(
        (to_go(batch)[:, :1] - to_go(batch)[:, :1].mean(axis=0)) * batch.mask) / len(batch.mask)""",
    "right": "summed(batch, to_go(batch))",
    "penalty in the reward": (
        "summed(batch, to_go(batch, batch.rewards"
        " - batch.coefficient * (batch.log_probs - batch.reference_log_probs)))"
    ),
    "penalty in the loss": "summed(batch, to_go(batch) - batch.coefficient)",
    "clipped": """summed(batch, ratios(batch) * (lambda A: A * np.where(
        A >= 0, ratios(batch) <= 1.2, ratios(batch) >= 0.8))(
        (batch.behaviour_q - batch.behaviour_v[:, None])[batch.states, batch.actions]))""",
    "whole ratios": """summed(batch, to_go(batch, batch.rewards)
        * ratios(batch).prod(axis=1, keepdims=True))""",
}


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """``judged(name, declaration)``: what is found on some of the problems."""
    every = examination.cases
    chosen = ("continuing", "episodic", "one step", "pairs")
    monkeypatch.setattr(
        examination, "cases", lambda lab: [c for c in every(lab) if c.name in chosen]
    )

    def run(name, declaration="", **given):
        path = tmp_path / "mine.py"
        said = f"@pgbench.subject({declaration})\n" if declaration else ""
        body = f"def estimate(batch):\n    return {FUNCTIONS[name]}\n"
        path.write_text(HEAD + said + body, encoding="utf-8")
        return examine(path, "estimate", 250, notices=StringIO(), **given)

    return run


FITTING = {
    "without the discount": 'target="undiscounted_states"',
    "a mean over steps": 'scale="per_step"',
    "a mean over the padding": 'scale="per_step"',
    "seven times": 'scale="any"',
    "in sample": 'accepts={"in_sample_baseline"}',
}


@pytest.mark.parametrize("name", FITTING)
def test_the_declaration_that_fits_is_told_and_makes_it_right(judged, name):
    silent = judged(name)
    assert not silent.passed
    fitting = f"@pgbench.subject({FITTING[name]})"
    assert silent.verdict.fitting.words == fitting
    assert conclusion(silent).endswith(f"It would be right by the declaration {fitting}.")
    declared = judged(name, FITTING[name])
    assert declared.passed
    assert "is what it claims (" in conclusion(declared)
    assert "It would be right by" not in conclusion(declared)


@pytest.mark.parametrize(
    ("name", "declaration"),
    [
        ("without the discount", 'scale="per_step"'),
        ("right", 'target="undiscounted_states"'),
        ("right", 'target="natural"'),
        ("in sample", 'accepts={"critic"}'),
        ("minus", 'scale="any"'),
        ("minus", 'target="ascent"'),
        ("penalty in the loss", 'objective="kl"'),
    ],
)
def test_another_declaration_does_not(judged, name, declaration):
    found = judged(name, declaration)
    assert not found.passed
    assert found.verdict.decision is not Decision.UNDECIDED


def test_no_declaration_makes_the_wrong_sign_right(judged):
    assert judged("minus").verdict.fitting is None


def test_an_ascent_needs_no_length(judged):
    found = judged("seven times", 'target="ascent"')
    assert found.passed
    assert conclusion(found).endswith("J ascends along its mean on every problem.")


@pytest.mark.slow
def test_penalties_are_judged_against_the_objective(judged):
    """On the command line, or as the function says; the penalty in the loss is none at all."""
    assert judged("penalty in the reward", objective=KL).passed
    assert judged("penalty in the reward", f"objective={KL}").passed
    assert not judged("penalty in the loss", objective=KL).passed
    assert not judged("right", objective=KL).passed
    assert judged("right").passed


@pytest.mark.slow
def test_ratios_show_on_data_of_another_policy(judged):
    """Whole ratios repair the mean; PPO's clip has the mean of its own surrogate, and ascends."""
    near = OTHER.replace("0.3", "0.1")
    assert judged("whole ratios", sampler=near).passed
    assert not judged("right", sampler=near).passed
    clipped = judged("clipped", sampler=OTHER)
    assert clipped.verdict.decision is Decision.BIASED
    surrogate = f'target="surrogate", surrogate="ppo", sampler={OTHER}'
    found = judged("clipped", surrogate)
    assert found.passed
    assert "is what it claims (the target surrogate)" in conclusion(found)
    other = surrogate.replace('"ppo"', '{"estimator": "ppo", "clip": 0.02}')
    assert not judged("clipped", other).passed
    assert judged("clipped", f'target="ascent", sampler={OTHER}').passed


def test_a_sampler_or_objective_that_there_is_not_is_named(judged):
    with pytest.raises(ValueError, match=r"data of the sampler stail: unknown sampler 'stail'"):
        judged("right", sampler="stail")
    with pytest.raises(ValueError, match=r"objective kll: unknown objective 'kll'"):
        judged("right", objective="kll")


def test_what_is_right_by_a_claim_holds_its_needs():
    every = every_known()
    assert right_by(Claims(), every) == [[*RIGHT], [], [], []]
    without = right_by(Claims(target="undiscounted_states"), every)
    assert without == [[*WITHOUT_DISCOUNT], [], [], []]
    for claims in (Claims(scale="any"), Claims(accepts=frozenset({"batch", "critic"}))):
        found = [one for group in right_by(claims, every) for one in group]
        assert len(found) > len(RIGHT)
        assert all(claims.covers(hypothesis.needs) for hypothesis in found)
    assert all(one.needs is not None for one in TARGETED)
    accepted = right_by(Claims(accepts=frozenset({"critic"})), every)[2]
    words = " ".join(h.words for h in accepted)
    assert "gae[lam=0.95, critic_noise=0.1]" in words
    assert "reward_to_go[discounted=false]" not in words


def test_known_estimators_need_what_they_declare():
    needs = {one.name: one.needs for one in every_known()}
    assert needs["reinforce"] == Needs()
    assert needs["baseline_per_time[fit=leave_one_out] without γ^t"] == Needs("undiscounted_states")
    assert needs["gae[lam=0.95, critic_noise=0.1]"] == Needs(accepts=frozenset({"critic"}))
    assert needs["wrong_sign"] is None
    assert needs["grpo"].scale == "per_token"
    assert len(cases()) == 9
