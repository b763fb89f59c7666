"""A critic that errs: who forgets (1 - done) is found, and who does not is not accused of it."""

import numpy as np
import pytest

from pgbench.__main__ import main
from pgbench.estimators.parts.estimator import CRITIC_NOISE, noisy_critic
from pgbench.functions import drawn
from pgbench.trials import examination
from pgbench.trials.battery import cases
from pgbench.trials.terminal_values import reads_ends

SOURCE = """
import numpy as np

def gae(batch, critic, lam, masked):
    N, T = batch.rewards.shape
    last = np.arange(T) == batch.mask.sum(axis=1, keepdims=True) - 1
    live = ~(last & batch.ended[:, None]) if masked else np.ones((N, T))
    advantage, later = np.zeros((N, T)), np.zeros(N)
    for t in reversed(range(T)):
        after = batch.gamma * critic[batch.next_states[:, t]] * live[:, t]
        delta = batch.rewards[:, t] + after - critic[batch.states[:, t]]
        later = (delta + batch.gamma * lam * later) * batch.mask[:, t]
        advantage[:, t] = later
    weights = batch.gamma ** np.arange(T) * advantage
    return np.einsum("nt,ntd->d", weights, batch.scores) / N

def right(batch):
    return gae(batch, batch.critic, 0.95, True)

def no_done(batch):
    return gae(batch, batch.critic, 0.95, False)

def own_critic(batch):
    return gae(batch, batch.v + 1.0, 1.0, False)

def oracle(batch):
    return gae(batch, batch.v, 0.95, True)

def oracle_no_done(batch):
    return gae(batch, batch.v, 0.95, False)
"""


@pytest.fixture
def examined(tmp_path, capfd, monkeypatch):
    """``examined(function)``: exit code, and what was printed as one line."""
    some = [case for case in cases() if case.name in ("continuing", "episodic", "time limit")]
    monkeypatch.setattr(examination, "cases", lambda battery: some)

    def run(function):
        path = tmp_path / "mine.py"
        path.write_text(SOURCE, encoding="utf-8")
        code = main(["test", str(path), "--function", function, "--replicates", "250"])
        return code, " ".join(capfd.readouterr().out.split())

    return run


def function(name):
    names = {}
    exec(SOURCE, names)
    return names[name]


def test_the_critic_errs_in_terminal_states_too():
    for case in cases():
        ends = case.truth.mdp.terminal
        error = case.critic - case.truth.v
        assert (error != 0).all()
        assert (case.critic[~ends] == noisy_critic(case.truth, CRITIC_NOISE)[~ends]).all()
        assert (abs(case.critic[ends]) > 0.1 * abs(case.truth.v).max()).all()
        assert (drawn(case, 1, 0, case.batch_size)[0].critic == case.critic).all()


def test_a_right_estimator_is_biased_by_its_critic_alone(examined):
    code, text = examined("right")
    assert code == 1
    assert "its mean is that of gae[lam=0.95, critic_noise=0.1], as far as 250 estimates" in text
    assert text.endswith(
        "is biased by the error of its critic alone: it is gae[lam=0.95, critic_noise=0.1]. It"
        ' would be right by the declaration @pgbench.subject(accepts={"critic"}).'
    )


def test_without_done_it_is_the_known_mistake(examined):
    code, text = examined("no_done")
    assert code == 1
    assert "it is the known mistake done_missing" in text


def test_with_a_critic_of_ones_own_it_is_biased(examined):
    code, text = examined("own_critic")
    assert code == 1
    assert "is biased" in text
    assert "episodic" in text
    assert "time limit" in text


def test_exact_values_hide_a_missing_done_which_is_said(examined):
    code, text = examined("oracle_no_done")
    assert code == 0
    assert "It uses batch.v or batch.q in terminal states" in text
    assert text.endswith("(1 - done) is missing: exact values hide it.")
    code, text = examined("oracle")
    assert code == 0
    assert "(1 - done)" not in text


def test_who_reads_terminal_values_is_seen_and_nobody_else():
    assert reads_ends(function("oracle_no_done"), cases())
    assert reads_ends(function("own_critic"), cases())
    assert not reads_ends(function("oracle"), cases())
    assert not reads_ends(function("no_done"), cases())
    noisy = lambda batch: batch.rng.standard_normal(batch.theta.size)  # noqa: E731
    assert not reads_ends(noisy, cases())


def test_all_batches_at_once_are_the_batches():
    for case in cases():
        every = drawn(case, 5, 0, case.batch_size)
        together = every.at_once()
        for r in range(5):
            one = every[r]
            for field in ("states", "rewards", "mask", "ended", "scores", "probabilities"):
                assert np.array_equal(getattr(together, field)[r], getattr(one, field))


def test_a_function_whose_last_digits_vary_reads_no_ends():
    """Sums of single precision that are made in parallel end in other digits every time."""
    noise = np.random.default_rng(0)

    def varying(batch):
        return batch.scores.sum(axis=(0, 1)) * (1 + 1e-7 * noise.standard_normal())

    assert not reads_ends(varying, cases())
