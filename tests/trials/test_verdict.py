"""Verdicts on estimators that are right, and on wrong ones; through the command and beneath it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pgbench.__main__ import main
from pgbench.estimators import estimators
from pgbench.estimators.parts.ratios import RatioEstimator
from pgbench.functions.result import UserError
from pgbench.problems import FiniteMDP
from pgbench.trials import examination, resemblance
from pgbench.trials.battery import cases
from pgbench.trials.candidate import Estimates
from pgbench.trials.examination import examine
from pgbench.trials.findings import State
from pgbench.trials.hypotheses import ENDLESS, FINITE, NO_TAIL, RIGHT
from pgbench.trials.measured_mean import measured
from pgbench.trials.verdict import Decision, verdict
from pgbench.trials.verdict import tested as held_against

EXAMPLES = Path(__file__).parents[2] / "examples"

HEAD = """
import numpy as np
def backward(x, decay):
    x = np.array(x)
    for t in reversed(range(x.shape[1] - 1)):
        x[:, t] += decay * x[:, t + 1]
    return x
def summed(batch, weights):
    discounted = batch.gamma ** np.arange(batch.horizon) * weights
    return np.einsum("nt,ntd->d", discounted, batch.scores) / len(weights)
def estimate(batch):
    to_go = backward(batch.rewards, batch.gamma)
    returns = to_go[:, :1]
"""


@pytest.fixture
def examined(tmp_path, capfd):
    """``examined(body, *options)``: exit code, and what was printed as one line."""

    def run(body, *options):
        path = tmp_path / "mine.py"
        path.write_text(HEAD + body + "\n", encoding="utf-8")
        code = main(["test", str(path), "--replicates", "250", *options])
        return code, " ".join(capfd.readouterr().out.split())

    return run


@pytest.fixture
def three_problems(monkeypatch):
    """Once called: the first three problems are all there are."""

    def leave():
        monkeypatch.setattr(examination, "cases", lambda battery: cases()[:3])

    return leave


FOR_H_STEPS = "unbiased for ∇J_H, the gradient of the H-step objective."

UNBIASED = {
    "reward-to-go": ("    return summed(batch, to_go)", "equals reward_to_go to rounding"),
    "leave one out": (
        "    b = (returns.sum() - returns) / (len(returns) - 1)\n"
        "    return np.einsum('n,ntd->d', (returns - b)[:, 0], batch.scores) / len(b)",
        "equals rloo to rounding",
    ),
    "a baseline of the others at the same step": (
        "    b = (to_go.sum(axis=0) - to_go) / (len(to_go) - 1)\n"
        "    return summed(batch, to_go - b)",
        "equals none of the known estimators",
    ),
    "noise of one's own": (
        "    return summed(batch, to_go) * (1 + 0.2 * batch.rng.standard_normal())",
        "equals none of the known estimators",
    ),
}


@pytest.mark.parametrize("case", UNBIASED)
def test_a_right_estimator_is_called_unbiased(examined, three_problems, case):
    body, likeness = UNBIASED[case]
    if case != "reward-to-go":
        three_problems()
    code, text = examined(body)
    assert FOR_H_STEPS in text.partition("Verdict: ")[2]
    assert likeness in text
    assert code == 0


GROUPED = """
    returns = batch.rewards.sum(axis=1).reshape(-1, batch.group_size)
    rest = returns.sum(axis=1, keepdims=True) - returns
    centred = returns - returns.mean(axis=1, keepdims=True)
    spread = returns.std(axis=1, ddof=1, keepdims=True) + 1e-4
    own = ({}).reshape(-1, 1)
    return (own * batch.scores.sum(axis=1)).mean(axis=0)"""
"""Of responses in groups, up to what each is weighed by."""

GROUPED_VERDICTS = {
    "returns - rest / (batch.group_size - 1)": (0, "equals rloo in all 250 estimates"),
    "centred": (1, "its mean is (1 - 1/G) times ∇J_H"),
    "centred / spread / batch.mask.sum(axis=1).reshape(-1, batch.group_size)": (1, "it is grpo."),
    "2 * centred * ~batch.truncated.any(axis=1).reshape(returns.shape)": (1, "is biased"),
}


@pytest.mark.parametrize("weight", GROUPED_VERDICTS)
def test_functions_of_groups_are_judged_on_sequences(examined, weight):
    """What they equal in mean or estimate by estimate is known at the group's size."""
    expected, said = GROUPED_VERDICTS[weight]
    code, text = examined(GROUPED.format(weight), "--battery", "sequences")
    assert said in text.partition("Verdict: ")[2]
    assert code == expected


def test_a_battery_is_one_of_those_that_there_are():
    with pytest.raises(UserError, match="--battery is words, must be one of general, sequences"):
        examine(EXAMPLES / "leave_one_out.py", battery="words")


def test_tables_on_a_narrow_terminal_keep_their_words(examined, three_problems, monkeypatch):
    """The terminal wraps them."""
    three_problems()
    for name, value in {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "20"}.items():
        monkeypatch.setenv(name, value)
    _, text = examined(UNBIASED["leave one out"][0])
    assert all(case.name in text for case in cases()[:3])


def test_what_needs_no_horizon_is_unbiased_without_its_tail(examined):
    code, text = examined("    return summed(batch, (batch.q - batch.v[:, None])[batch.states,"
                          " batch.actions] * batch.mask)")  # fmt: skip
    assert code == 0
    assert text.endswith("is unbiased for ∇J less the score terms beyond step H.")
    assert "equals advantage_oracle to rounding" in text


def test_the_natural_gradient_is_recognised(examined):
    body = """    from pgbench.trials.battery import cases
    theta, T = batch.theta, batch.horizon
    case = next(c for c in cases() if c.horizon == T and np.array_equal(c.truth.theta, theta))
    return np.linalg.pinv(case.truth.fisher(), rcond=1e-10) @ summed(
        batch, to_go - (to_go.sum(axis=0) - to_go) / (len(to_go) - 1)
    )"""
    code, text = examined(body)
    assert code == 0
    assert text.endswith("unbiased for F†∇J_H, the natural gradient of the H-step objective.")
    assert "Its mean is not ∇J_H" in text


PLAIN = {
    "the sign", "zero", "half", "a factor of no meaning", "summed over the batch",
    "the batch's own mean as baseline", "begins a step late", "a mean over all steps of the batch",
    "a sum over N T", "a trust region with a divergence of zero",
    "divided by the deviation",
}  # fmt: skip
"""Mistakes that three problems show as well as seven."""

BIASED = {
    "the sign": (
        "    return -summed(batch, to_go)",
        ["biased on every problem: its mean is minus ∇J_H", "it is the known mistake wrong_sign"],
    ),
    "zero": ("    return 0 * batch.theta", ["its mean is zero"]),
    "half": ("    return 0.5 * summed(batch, to_go)", ["its mean is half of ∇J_H"]),
    "a factor of no meaning": (
        "    return 0.37 * summed(batch, to_go)",
        ["its mean is 0.37 times ∇J_H", "It is 0.37 times reward_to_go"],
    ),
    "summed over the batch": (
        "    return len(to_go) * summed(batch, to_go)",
        ["its mean is N times ∇J_H", "summed over the batch and not averaged?",
         "It grows with the batch size"],
    ),
    "the batch's own mean as baseline": (
        "    return np.einsum('n,ntd->d', (returns - returns.mean())[:, 0], batch.scores)"
        " / len(returns)",
        ["its mean is (1 - 1/N) times ∇J_H", "it is group_mean",
         "falls with the batch size like 1/N"],
    ),
    "no discount of the steps": (
        "    return np.einsum('nt,ntd->d', to_go, batch.scores) / len(to_go)",
        ["biased exactly where γ < 1", "the sum without the factor γ^t",
         "It does not fall with the batch size"],
    ),
    "begins a step late": (
        "    return summed(batch, to_go - batch.rewards)",
        ["it is the known mistake reward_to_go_off_by_one"],
    ),
    "divided by the deviation": (
        "    A = (returns - returns.mean()) / (returns.std() + 1e-8)\n"
        "    return np.einsum('n,ntd->d', A[:, 0], batch.scores) / len(A)",
        ["is biased on every problem", "each divided by the standard deviation",
         "it is group_mean, each estimate divided by the standard deviation of its batch's returns",
         "cosine with ∇J: 0.9"],
    ),
    "a mean over all steps of the batch": (
        "    return len(to_go) * summed(batch, to_go) / batch.mask.sum()",
        ["its mean is that of estimates of ∇J_H, each divided by the steps per trajectory of",
         "it is reward_to_go, each estimate divided by the steps per trajectory of its batch."],
    ),
    "the same with a baseline of its own, and without γ^t": (
        "    w = to_go - 0.3 * np.where(batch.mask, batch.v[batch.states], 0.0)\n"
        "    return np.einsum('nt,ntd->d', w, batch.scores) / batch.mask.sum()",
        ["its mean cannot be told from that of estimates of Σ_t E[Q̂_t ψ_t], the sum without the"
         " factor γ^t, each"
         " divided by the steps per trajectory of its batch "],
    ),
    "a sum over N T": (
        "    return summed(batch, to_go) / batch.horizon",
        ["has the direction of ∇J_H, the gradient of the H-step objective, and another length",
         "its mean is 1/T times ∇J_H", "it is 1/T times reward_to_go."],
    ),
    "a trust region with a divergence of zero": (
        "    g = summed(batch, to_go - np.where(batch.mask, batch.v[batch.states], 0.0))\n"
        "    return np.linalg.solve(0.1 * np.eye(len(g)), g)",
        ["has the direction of ∇J_H, the gradient of the H-step objective, and another length",
         "its mean is 10 times ∇J_H", "it is 10 times baseline_value."],
    ),
    "a trust region": (
        "    g = summed(batch, to_go - np.where(batch.mask, batch.v[batch.states], 0.0))\n"
        "    p = np.exp(batch.features @ batch.theta)\n"
        "    p /= p.sum(axis=1, keepdims=True)\n"
        "    f = batch.features - np.einsum('sa,sad->sd', p, batch.features)[:, None]\n"
        "    F = np.einsum('sa,sad,sae->sde', p, f, f)[batch.states[batch.mask]].mean(axis=0)\n"
        "    return np.linalg.solve(F + 0.1 * np.eye(len(g)), g)",
        ["Its mean is none of those that known mistakes have",
         "its direction is nearest to that of (F + 0.",
         "the damped natural gradient with F over the steps taken, with a cosine of 0.9"],
    ),
    "a value of terminal states that is not zero, and no γ^t": (
        "    v = np.where(batch.v == 0, 5.0, batch.v)\n"
        "    rest = np.where(batch.mask, v[batch.next_states], 0.0)\n"
        "    now = np.where(batch.mask, v[batch.states], 0.0)\n"
        "    A = batch.rewards + batch.gamma * rest - now\n"
        "    return np.einsum('nt,ntd->d', A, batch.scores) / len(A)",
        ["Two things are wrong. γ^t is left out: where nothing else is wrong its mean cannot be"
         " told from Σ_t E[A ψ_t]", "γ^t is missing, and there is a second bias exactly where"
         " episodes end in a terminal state: on episodic, "],
    ),
    "a value of terminal states that is not zero": (
        "    v = np.where(batch.v == 0, 5.0, batch.v)\n"
        "    rest = np.where(batch.mask, v[batch.next_states], 0.0)\n"
        "    now = np.where(batch.mask, v[batch.states], 0.0)\n"
        "    return summed(batch, batch.rewards + batch.gamma * rest - now)",
        ["where episodes end in a terminal state: on episodic, "],
    ),
}  # fmt: skip


LONG = {
    "a value of terminal states that is not zero",
    "the same with a baseline of its own, and without γ^t",
}
"""What other tests find by other ways too."""


@pytest.mark.parametrize(
    "case", [pytest.param(x, marks=pytest.mark.slow) if x in LONG else x for x in BIASED]
)
def test_a_wrong_estimator_is_found_and_named(examined, three_problems, case):
    body, messages = BIASED[case]
    if case in PLAIN:
        three_problems()
    code, text = examined(body)
    assert code == 1
    for message in messages:
        assert message in text


RECORD = (EXAMPLES / "own_record.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "code", "messages"),
    [
        (("", ""), 0, ["Its exact mean is what it declares", "is what it declares (truncation)."]),
        (("delta=mdp.gamma", "delta=1.0"), 1,
         ["off by 3.22 of the gradient's norm on 'continuing'", "bias that it does not declare."]),
        (('("truncation",)', "()"), 1, ["bias that it does not declare."]),
        (('("truncation",)', '("tail",)'), 1, ["bias that it does not declare."]),
        (('("truncation",)', '("magic",)'), 1, ["declares the cause 'magic', which there is not"]),
        ((" = 0.25)", ")"), 0, ["Examined with share=0.5."]),
        (('("truncation",)', '("truncation", "discount")'), 0,
         ["declares truncation, discount; what else may bias it is not known."]),
    ],
)  # fmt: skip
def test_a_record_is_held_to_its_declaration(
    tmp_path, capfd, three_problems, change, code, messages
):
    three_problems()
    path = tmp_path / "mine.py"
    path.write_text(RECORD.replace(*change), encoding="utf-8")
    assert main(["test", str(path), "--replicates", "250"]) == code
    text = " ".join(capfd.readouterr().out.split())
    for message in messages:
        assert message in text


def test_a_batch_record_that_claims_a_wrong_mean_is_found(tmp_path, capfd, three_problems):
    three_problems()
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import replace\n"
        "from pgbench.estimators.group_mean import estimator as known\n"
        "mine = replace(known, name='mine', bias=lambda: ('truncation',), moments=None)\n",
        encoding="utf-8",
    )
    assert main(["test", str(path), "--replicates", "250"]) == 1
    assert "Its samples do not have the mean that it claims" in capfd.readouterr().out


@pytest.mark.parametrize("name", ["reward_to_go", "rloo", "td", "group_mean"])
def test_the_suites_own_records_are_what_they_declare(tmp_path, name):
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import replace\n"
        f"from pgbench.estimators.{name} import estimator as known\n"
        "mine = replace(known, name='mine')\n",
        encoding="utf-8",
    )
    assert examine(path, replicates=250).passed


# Beneath the command: the measured means themselves, on made-up estimates.


def made(case, mean, rng, R=400, noise=3.0):
    """Estimates with a given mean, normal noise, and a control that shares most of the noise."""
    shared = noise * rng.standard_normal((R, mean.size))
    own = 0.1 * noise * rng.standard_normal((R, mean.size))
    gradients = mean + shared + own
    steps = np.full(R, 10)
    rounding = 1e-6 * float(np.abs(gradients).max())
    return Estimates(case, 4, gradients, steps, None, rounding), shared


def test_controls_sharpen_the_mean_and_keep_it():
    case, rng = cases()[0], np.random.default_rng(1)
    z, shares = [], []
    for _ in range(200):
        estimates, shared = made(case, case.finite, rng, R=100)
        result = measured(estimates, [2 * shared])
        along = case.finite / np.linalg.norm(case.finite)
        x = (result.adjusted - case.finite) @ along
        z.append(np.sqrt(len(x)) * x.mean() / x.std(ddof=1))
        shares.append(x.var() / estimates.gradients.var(axis=0).mean())
    assert np.mean(shares) < 0.02
    assert abs(np.mean(z)) < 4 / np.sqrt(len(z))
    assert abs(np.std(z) - 1) < 4 / np.sqrt(2 * len(z))


def test_right_means_are_rejected_no_more_often_than_is_said():
    rng = np.random.default_rng(2)
    places = cases()[:4]
    rejected = [0.0, 0.0]
    for _ in range(40):
        for which, shift in enumerate((1.0, 1.2)):
            results = [
                measured(e, [shared])
                for e, shared in (made(c, shift * c.finite, rng) for c in places)
            ]
            rejected[which] += float(held_against(FINITE, results).rejected.any())
    assert rejected[0] <= 3  # expected: at most 0.4
    assert rejected[1] > 30


def test_a_forgotten_parameter_is_found_though_nothing_varies_along_it():
    case, rng = cases()[0], np.random.default_rng(3)
    estimates, shared = made(case, case.finite, rng, noise=50.0)
    k = int(np.abs(case.finite).argmax())
    forgetful = estimates.gradients.copy()
    assert measured(estimates).p_value(case.finite) > 0.01
    forgetful[:, k] = 0.0
    wrong = replace(estimates, gradients=forgetful)
    result = measured(wrong, [shared], witness=estimates.gradients)
    assert not result.sharp
    assert result.p_value(case.finite) == 0.0
    assert measured(wrong, [shared], witness=forgetful).p_value(case.finite) > 0
    assert result.p_value(np.where(np.arange(case.finite.size) == k, 0.0, case.finite)) > 0.01


def test_what_cannot_be_tested_is_not_called_unbiased():
    case = cases()[0]
    gradients = np.zeros((400, case.finite.size))
    gradients[7] = 400 * case.finite
    estimates = Estimates(case, 4, gradients, np.full(400, 10), None, 1e-9)
    found = verdict([measured(estimates)], ())
    assert found.decision is Decision.UNDECIDED
    assert [finding.state for finding in found.findings] == [State.NOTHING]


def test_the_right_accounts_differ_where_the_horizon_cuts():
    cut = next(case for case in cases() if case.name == "cut short")
    means = [hypothesis.mean(cut, 4) for hypothesis in RIGHT]
    assert RIGHT == (FINITE, ENDLESS, NO_TAIL)
    for i, one in enumerate(means):
        for other in means[:i]:
            assert np.linalg.norm(one - other) > 0.01 * np.linalg.norm(one)


@pytest.mark.parametrize("few_known", [False], indirect=True)
def test_every_estimator_is_compared(few_known, three_problems, monkeypatch):
    """But for ratios to a sampler, which are 1 on the policy's own data."""
    monkeypatch.setattr(resemblance, "UNLIKE", 0.0)
    three_problems()
    found = examine(EXAMPLES / "leave_one_out.py", replicates=100)
    names = {like.known.name.split("[")[0] for like in found.likenesses}
    every = estimators().items()
    finite = {name for name, e in every if FiniteMDP in e.on and not e.penalised}
    finite -= {name for name, e in every if isinstance(e, RatioEstimator)}
    assert finite <= names
