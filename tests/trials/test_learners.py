"""Classes that change θ over time are judged by the J that they reach."""

import numpy as np
import pytest

import pgbench
from pgbench.cli.commands import main
from pgbench.declared.learners import ClaimedAscent, ascent_of
from pgbench.functions.result import UserError
from pgbench.trials.learners import judge
from pgbench.trials.user_file import load

TEXT = """
import numpy as np
import pgbench


class Base:
    def reset(self):
        self.seen = 0

    def gradient(self, batch):
        g = batch.gamma ** np.arange(batch.horizon)
        w = (batch.rewards * g)[:, ::-1].cumsum(axis=1)[:, ::-1]
        return batch.pull_back(w) / len(w)


@pgbench.learner(estimator="reward_to_go", step=0.1, updates=8)
class Right(Base):
    def update(self, theta, batch):
        return theta + 0.1 * self.gradient(batch)


@pgbench.learner(estimator="reward_to_go", step=0.1, updates=8)
class Half(Base):
    def update(self, theta, batch):
        self.seen += 1
        return theta + 0.1 * self.gradient(batch) * (0.5 if self.seen > 2 else 1.0)


@pgbench.learner(estimator="reward_to_go", step=0.1, updates=8)
class Noisy(Base):
    def update(self, theta, batch):
        return theta + 0.1 * self.gradient(batch) + 1e-4 * batch.rng.standard_normal(theta.size)


@pgbench.learner(estimator="reward_to_go", step=0.1, updates=8, objective="entropy")
class Plain(Base):
    def update(self, theta, batch):
        return theta + 0.1 * self.gradient(batch)


@pgbench.learner(estimator="reward_to_go", step=0.1, updates=8)
class Shapeless(Base):
    def update(self, theta, batch):
        return theta[:2]


class Silent(Base):
    def update(self, theta, batch):
        return theta
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("learners") / "mine.py"
    path.write_text(TEXT, encoding="utf-8")
    return path


def judged(path, name):
    return judge(load(path, name), runs=12)


def test_the_claimed_ascent_itself_is_it_update_by_update(path):
    found = judged(path, "Right")
    assert found.same
    assert found.passed
    for one in found.every:
        assert np.abs(one.own - one.claimed).max() < 1e-12
        assert one.own.shape == (12, 9)


def test_what_the_state_does_to_the_steps_is_seen(path):
    """Half steps after the second update: found on every problem that is climbed."""
    found = judged(path, "Half")
    assert not found.passed
    assert {one.case.name for one in found.other} >= {"episodic", "time limit"}
    assert all(one.last.value < 0 for one in found.other)
    for one in found.every:  # the state was reset for every run
        assert np.abs(one.own[:, :3] - one.claimed[:, :3]).max() < 1e-12


def test_what_differs_by_noise_alone_passes_with_its_resolution(path, capfd):
    found = judged(path, "Noisy")
    assert found.passed
    assert not found.same


def test_the_objective_is_what_the_learner_names(path):
    """Without the penalty in its rewards it is told from the ascent of the entropy objective."""
    found = judged(path, "Plain")
    assert not found.passed
    assert found.every[0].case.laboratory.objective == "entropy"


def test_what_returns_no_theta_is_said(path):
    with pytest.raises(UserError, match=r"update 0 returned the shape \(2,\), must be the next θ"):
        judged(path, "Shapeless")
    with pytest.raises(UserError, match="does not say which ascent it is"):
        judged(path, "Silent")


@pytest.mark.slow
def test_the_command_says_it_in_a_sentence(path, capfd):
    assert main(["test", str(path), "--function", "Right"]) == 0
    out = capfd.readouterr().out
    assert out.splitlines()[-1] == (
        "Verdict: mine.py: Right is θ + 0.1 ĝ with reward_to_go, update by update."
    )
    assert main(["test", str(path), "--function", "Half"]) == 1
    assert "does not climb as θ + 0.1 ĝ with reward_to_go does" in capfd.readouterr().out


def test_claims_are_checked():
    @pgbench.learner(
        estimator={"estimator": "gae", "lam": 0.9}, step=1, objective={"objective": "kl"}
    )
    class Own:
        def reset(self):
            """Nothing."""

        def update(self, theta, batch):
            """Nothing."""

    assert ascent_of(Own) == ClaimedAscent(
        {"estimator": "gae", "lam": 0.9}, 1.0, 30, '{"objective": "kl"}'
    )
    assert ascent_of(Own).words == "θ + 1 ĝ with gae[lam=0.9]"
    for given, message in (
        ({"step": 0.0}, "step is 0.0, must be a positive number"),
        ({"step": 0.1, "updates": 0}, "updates is 0"),
        ({"step": 0.1, "estimator": {"lam": 0.9}}, "must be a name, or have one"),
    ):
        with pytest.raises(ValueError, match=message):
            pgbench.learner(**{"estimator": "gae"} | given)
    with pytest.raises(ValueError, match="object has no reset"):
        pgbench.learner(estimator="gae", step=0.1)(object)
