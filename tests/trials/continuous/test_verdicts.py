"""Functions for continuous actions get the verdict that they deserve."""

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_ndtr

import pgbench
from pgbench import estimators
from pgbench.__main__ import main
from pgbench.functions.result import UserError
from pgbench.trials.continuous.cases import cases
from pgbench.trials.examination import examine_code
from pgbench.trials.user_file import UserCode, plug_in
from pgbench.trials.verdict import Decision
from pgbench.trials.wording import blank_page, print_examination
from pgbench.trials.wording.conclusion import conclusion
from pgbench.trials.wording.resemblance import known_as

EXAMPLES = Path(__file__).parents[3] / "examples"


def judged(function, replicates=300, **claims):
    """The examination of a function with these claims."""

    def own(batch):
        return function(batch)

    code = UserCode(Path("mine.py"), "mine", pgbench.subject(actions="continuous", **claims)(own))
    return examine_code(code, replicates, notices=StringIO())


def discounts(b):
    return b.gamma ** np.arange(b.horizon)


def backward(b, x, decay):
    y = np.array(x)
    for t in reversed(range(b.horizon - 1)):
        y[:, t] += decay * y[:, t + 1]
    return y


def to_go(b):
    return backward(b, b.rewards, b.gamma)


def reinforce(b):
    returns = (b.rewards * discounts(b)).sum(axis=1)
    return np.einsum("n,ntd->d", returns, b.scores) / len(returns)


def reward_to_go(b):
    return b.pull_back(discounts(b) * to_go(b)) / len(b.mask)


def undiscounted(b):
    return b.pull_back(to_go(b)) / len(b.mask)


def by_td(b, v, ahead, lam):
    errors = (b.rewards + b.gamma * ahead - v) * b.mask
    advantages = backward(b, errors, b.gamma * lam)
    return b.pull_back(discounts(b) * advantages) / len(b.mask)


def gae_one(b):
    return by_td(b, b.exact_values, b.exact_next_values * ~b.terminated, 1.0)


def gae_erring(b):
    return by_td(b, b.values, b.next_values * ~b.terminated, 0.95)


def done_missing(b):
    return by_td(b, b.values, b.next_values, 0.95)


def done_hidden(b):
    return by_td(b, b.exact_values, b.exact_next_values, 0.95)


def at_applied(b):
    """∇ log N(e; μ, σ²) in place of that of u."""
    sigma, x = np.exp(b.theta[2]), b.states[..., 0]
    z = ((b.env_actions - b.means)[..., 0]) / sigma
    scores = np.stack([z * x / sigma, z / sigma, z**2 - 1], axis=-1) * b.mask[..., None]
    return np.einsum("nt,ntd->d", discounts(b) * to_go(b), scores) / len(b.mask)


def per_step(b):
    return b.pull_back(discounts(b) * to_go(b)) / b.mask.sum()


def natural(b):
    """F⁻¹ times the estimate, F of the system whose θ and horizon the batch has."""
    (own,) = (c for c in cases() if (c.theta == b.theta).all() and c.horizon == b.horizon)
    return own.natural(reward_to_go(b))


@pytest.mark.parametrize("function", [reinforce, reward_to_go, gae_one])
def test_right_ones_pass_by_their_names(function):
    found = judged(function)
    assert found.passed
    assert found.verdict.decision is Decision.UNBIASED
    expected = {"gae_one": "gae[lam=1]"}.get(function.__name__, function.__name__)
    assert known_as(found) == expected


def test_single_precision_is_accepted():
    def single(b):
        assert b.rewards.dtype == b.scores.dtype == np.float32
        weights = (discounts(b) * to_go(b)).astype(np.float32)
        return np.einsum("nt,ntd->d", weights, b.scores) / np.float32(len(b.mask))

    found = judged(single, dtype="float32")
    assert found.passed
    assert known_as(found) == "reward_to_go"


def test_many_at_once_are_accepted():
    def many(b):
        assert b.mask.ndim == 3
        weights = np.array(b.rewards)
        for t in reversed(range(b.horizon - 1)):
            weights[..., t] += b.gamma * weights[..., t + 1]
        return b.pull_back(discounts(b) * weights) / b.mask.shape[1]

    assert known_as(judged(many, vectorised=True)) == "reward_to_go"


def test_the_score_of_what_the_environment_sees_is_found_and_named():
    found = judged(at_applied)
    assert not found.passed
    assert known_as(found).startswith("the known mistake reward_to_go with score_of_applied")
    assert "exactly where the environment does not see actions as they are drawn" in conclusion(
        found
    )
    seen = {case.name for case in found.verdict.biased_cases}
    assert seen == {case.name for case in cases()} - {"regulator", "long"}


@pytest.mark.slow
def test_its_mean_is_named_where_estimates_are_no_known_ones():
    """Half of a random number is added that has no mean."""

    def noisy(b):
        return at_applied(b) + 0.2 * b.rng.standard_normal(3)

    found = judged(noisy, 600)
    assert not known_as(found)
    words = [tested.hypothesis.words for tested in found.verdict.others]
    assert words[0] == "that of the known mistake reward_to_go with score_of_applied"


def test_a_missing_discount_is_recognised_and_passes_where_it_is_claimed():
    found = judged(undiscounted)
    assert not found.passed
    assert found.verdict.fitting.target == "undiscounted_states"
    claimed = judged(undiscounted, target="undiscounted_states")
    assert claimed.passed
    assert "is what it claims (the target undiscounted_states)" in conclusion(claimed)


def test_a_missing_done_is_found_and_hidden_by_exact_values():
    found = judged(done_missing)
    assert not found.passed
    assert known_as(found).startswith("the known mistake done_missing[lam=0.95]")
    hidden = judged(done_hidden)
    assert hidden.passed
    assert hidden.reads_ends
    assert not judged(gae_one).reads_ends
    page = blank_page()
    print_examination(hidden, page)
    assert "It uses batch.exact_next_values in terminal states" in page.file.getvalue()


def test_scores_of_the_clipped_law_itself_are_right():
    """∇ log P(e), with atoms at ±L, in place of that of u (Fujita & Maeda 2018, equation 7)."""

    def clipped(b):
        sigma, m, x = np.exp(b.theta[2]), b.means[..., 0], b.states[..., 0]
        psi = np.array(b.scores)
        for side in (-1, 1) if b.law == "clipped" else ():
            z = side * (side * b.bound - m) / sigma
            # log P(side · u ≥ L) = log Φ(-z), whose slope by z is -φ(z)/Φ(-z).
            slope = np.exp(-(z**2) / 2 - log_ndtr(-z)) / np.sqrt(2 * np.pi)
            atom = slope[..., None] * np.stack([side * x / sigma, side / sigma + 0 * x, z], axis=-1)
            at_bound = (b.env_actions == side * b.bound) & b.mask[..., None]
            psi = np.where(at_bound, atom, psi)
        return np.einsum("nt,ntd->d", discounts(b) * to_go(b), psi) / len(b.mask)

    found = judged(clipped)
    assert found.passed
    assert not known_as(found)
    spread = {m.estimates.case.name: m.estimates.gradients.var() for m in found.verdict.results}
    plain = judged(reward_to_go).verdict.results
    assert (
        spread["clipped"]
        < {m.estimates.case.name: m.estimates.gradients.var() for m in plain}["clipped"]
    )


def test_an_erring_critic_is_all_that_is_wrong():
    found = judged(gae_erring)
    assert not found.passed
    assert "is biased by the error of its critic alone" in conclusion(found)
    assert judged(gae_erring, accepts={"critic"}).passed


def test_the_natural_gradient_is_recognised():
    found = judged(natural)
    assert found.passed
    assert found.verdict.reference.hypothesis.words.startswith("F†∇J_H, the natural gradient")
    assert judged(natural, target="natural").passed
    assert not judged(natural, target="discounted").passed


def test_a_mean_over_steps_is_told_and_passes_where_it_is_claimed():
    found = judged(per_step)
    assert "divided by the steps per trajectory of its batch" in conclusion(found)
    assert judged(per_step, scale="per_step").passed


def test_what_ascends_is_seen():
    assert judged(natural, target="ascent").passed
    assert not judged(lambda b: -reward_to_go(b), target="ascent").passed


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_losses_of_libraries_pass(library):
    pytest.importorskip(library, reason="make test-autodiff installs it")
    assert known_as(judged({"torch": by_torch, "jax": by_jax}[library], 100)) == "reward_to_go"


def by_torch(b):
    import torch

    theta = torch.tensor(np.array(b.theta), requires_grad=True)
    law = torch.distributions.Normal(
        theta[0] * torch.tensor(np.array(b.states)) + theta[1], theta[2].exp()
    )
    log_prob = law.log_prob(torch.tensor(np.array(b.actions)))[..., 0]
    weights = torch.tensor(discounts(b) * to_go(b) * b.mask)
    (log_prob * weights).sum().div(len(b.mask)).backward()
    return theta.grad


def by_jax(b):
    import jax

    weights = discounts(b) * to_go(b)
    return jax.grad(lambda theta: (b.log_prob(theta) * weights).sum() / len(weights))(
        jax.numpy.asarray(b.theta)
    )


FILE = """
import numpy as np
import pgbench

@pgbench.estimates(actions="continuous"{more})
def estimate(batch):
    return np.zeros(3)

def other(batch):
    return batch.probabilities
"""


@pytest.mark.parametrize(
    ("options", "more", "message"),
    [
        (["--battery", "general"], "", "actions are continuous; the battery is general, must be"),
        ([], ', battery="sequences"', "the battery is sequences, must be continuous"),
        (["--sampler", "stale"], "", "has data of the policy itself alone"),
        (["--objective", "entropy"], "", "J for its objective"),
        (
            ["--battery", "continuous", "--function", "other"],
            "",
            "A batch has states, actions, next_states, rewards, mask, terminated",
        ),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, capfd, options, more, message):
    path = tmp_path / "mine.py"
    path.write_text(FILE.format(more=more), encoding="utf-8")
    assert main(["test", str(path), *options]) != 0
    assert message in capfd.readouterr().err


def test_records_and_surrogates_are_refused(capfd):
    assert main(["test", str(EXAMPLES / "own_record.py"), "--battery", "continuous"]) != 0
    assert "is a record; the battery continuous is for functions" in capfd.readouterr().err
    with pytest.raises(UserError, match="claims a surrogate; the battery continuous knows none"):
        judged(reward_to_go, target="surrogate", surrogate="ppo")


def test_grids_leave_them_out(tmp_path, monkeypatch):
    monkeypatch.setattr(estimators, "_added", {})
    path = tmp_path / "only.py"
    path.write_text(FILE.format(more=""), encoding="utf-8")
    assert plug_in(path) == ["only.other"]
    alone = tmp_path / "alone.py"
    alone.write_text(FILE.format(more="").partition("def other")[0], encoding="utf-8")
    with pytest.raises(UserError, match=r"no function `estimate\(batch\)` for discrete actions"):
        plug_in(alone)
