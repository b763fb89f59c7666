"""What may be said of a mean: seen, excluded at a size, or nothing; on made-up estimates."""

import math
from dataclasses import replace

import numpy as np
import pytest

from pgbench.__main__ import main
from pgbench.statistics import Estimate
from pgbench.trials import examination
from pgbench.trials.batteries import every_known
from pgbench.trials.battery import cases
from pgbench.trials.candidate import Estimates
from pgbench.trials.conditions import where
from pgbench.trials.examination import examine
from pgbench.trials.findings import Finding, State
from pgbench.trials.hypotheses import FINITE, Hypothesis, scaled
from pgbench.trials.measured_mean import Basis, MeasuredMean, measured, unseen
from pgbench.trials.scaling import BiasLeft, Trend
from pgbench.trials.verdict import Decision, verdict
from pgbench.trials.verdict import tested as held_against
from pgbench.trials.wording import conclusion
from pgbench.trials.wording.bias import bias, told

R = 1000

HEAD = """import numpy as np
def right(batch):
    x = np.array(batch.rewards)
    for t in reversed(range(x.shape[1] - 1)):
        x[:, t] += batch.gamma * x[:, t + 1]
    w = batch.gamma ** np.arange(batch.horizon) * (x - batch.v[batch.states])
    return np.einsum("nt,ntd->d", w, batch.scores) / len(w)
"""
BLOW_UP = "def estimate(batch): return right(batch) * (1 - 300 * (batch.rng.random() < 0.001))\n"
ROULETTE = "def estimate(batch): return right(batch) * 50.0 * (batch.rng.random() < 0.02)\n"
PARETO = "def estimate(batch): return right(batch) * batch.rng.pareto(1.5) * 0.5\n"


def results(weights, replicates=R):
    """An estimator of every case times weights(rng, R), with itself as a control variate."""
    known = next(one for one in every_known() if one.name == "baseline_value")
    rng, found = np.random.default_rng(7), []
    for case in cases():
        for n in (case.batch_size, 4 * case.batch_size):
            U, steps = known.sample(case, n, replicates, 0)
            made = U * weights(rng, replicates)[:, None]
            own = Estimates(case, n, made, steps, None, 1e-6 * float(np.abs(made).max()))
            found.append(measured(own, [U - known.exact(case, n)], witness=U))
    return found


OUTCOMES = {
    "rare blow-up": (lambda rng, n: 1 - 300 * (rng.random(n) < 0.003), Decision.UNDECIDED),
    "roulette, right": (lambda rng, n: (rng.random(n) < 0.02) / 0.02, Decision.UNDECIDED),
    "a right sum of rare ones": (
        lambda rng, n: 0.5 + 0.5 * (rng.random(n) < 0.002) / 0.002, Decision.UNDECIDED,
    ),
    "Pareto, right": (lambda rng, n: 0.5 * rng.pareto(1.5, n), Decision.UNDECIDED),
    "noise, right": (lambda rng, n: 1 + 0.2 * rng.standard_normal(n), Decision.UNBIASED),
    "noise, too short": (lambda rng, n: 0.7 + 0.2 * rng.standard_normal(n), Decision.DIRECTION),
    "itself": (lambda rng, n: np.ones(n), Decision.UNBIASED),
    "hidden by noise": (lambda rng, n: 1 + 60 * rng.standard_normal(n), Decision.UNDECIDED),
}  # fmt: skip


@pytest.mark.parametrize("case", OUTCOMES)
def test_only_what_was_tested_is_called_right_or_wrong(case):
    weights, decision = OUTCOMES[case]
    assert verdict(results(weights), ()).decision is decision


def test_a_multiple_is_told_although_one_problem_cannot_be_tested():
    """Its factor there is not known, and takes no part."""
    made = results(lambda rng, n: 3.7 + 0.2 * rng.standard_normal(n))
    rare = results(lambda rng, n: 3.7 * (rng.random(n) < 0.008) / 0.008)
    mixed = [*made[:-2], *rare[-2:]]
    assert not np.isfinite(mixed[-1].factor(np.ones_like(mixed[-1].mean)).value)
    hypothesis = scaled(mixed, FINITE)
    assert hypothesis is not None
    assert hypothesis.words.startswith("3.7")


def test_rounding_of_a_coarse_format_is_in_interval_and_resolution_too():
    """3 % too long where rounding may move each coordinate by 5 % of the largest."""
    known = next(one for one in every_known() if one.name == "baseline_value")
    seen = 0
    for result in results(lambda rng, n: 1.03 + 1e-3 * rng.standard_normal(n)):
        target = known.exact(result.estimates.case, result.estimates.batch_size)
        if not result.p_value(target) < 1e-6:
            continue  # too few events for so small a bias
        seen += 1
        slack = 0.05 * float(np.abs(target).max())
        own = replace(result, estimates=replace(result.estimates, shift=slack))
        assert own.p_value(target) > 0.9
        assert own.relative_bias(target).low == 0
        assert own.factor(target).low <= 1
        assert own.detectable(target, 1) > 0.03
    assert seen >= 12


ACROSS = """def estimate(batch):
    S, A = batch.n_states, batch.n_actions
    tabular = batch.theta.size == S * A
    noise = np.repeat(batch.rng.normal(size=S) * 30, A) if tabular else 0.0
    return FACTOR * right(batch) + noise
"""
"""Noise that shifts all logits of a state, and so lies across the gradient of a softmax policy."""


@pytest.mark.parametrize(("factor", "right"), [(0.5, False), (1.0, True)])
def test_noise_across_the_gradient_hides_nothing_along_it(tmp_path, monkeypatch, factor, right):
    only(monkeypatch, "one step", "chain", "time limit", "shared parameters")
    path = tmp_path / "mine.py"
    path.write_text(HEAD + ACROSS.replace("FACTOR", f"{factor}"), encoding="utf-8")
    found = examine(path, "estimate", replicates=500)
    assert found.passed is right
    for result, target in zip(found.verdict.results, found.verdict.targets, strict=True):
        if result.estimates.case.name != "shared parameters":
            assert result.factor(target).value == pytest.approx(factor, abs=1e-4)
            assert (result.p_value(target) < 1e-9) is not right
            assert result.relative_bias(target).low >= 1 - factor - 1e-4


def test_what_was_equal_in_all_estimates_is_said_so():
    """That their means are equal is not known beyond what so many estimates tell."""
    found = verdict(results(lambda rng, n: np.full(n, 0.5)), every_known())
    assert {result.basis for result in found.results} == {Basis.EQUAL}
    (words,) = {told(other) for other in found.others}
    assert words.startswith("is half of ∇J_H")
    assert words.endswith(f", as far as {R} estimates tell")


@pytest.mark.parametrize(
    "source",
    [BLOW_UP, *(pytest.param(source, marks=pytest.mark.slow) for source in (ROULETTE, PARETO))],
)
def test_rare_events_could_not_be_judged_through_the_command(tmp_path, capfd, monkeypatch, source):
    only(monkeypatch, "continuing", "episodic", "cut short")
    path = tmp_path / "mine.py"
    path.write_text(HEAD + source, encoding="utf-8")
    assert main(["test", str(path), "--function", "estimate", "--replicates", "1000"]) == 1
    last = capfd.readouterr().out.splitlines()[-1]
    assert "could not be judged" in last
    assert "unbiased" not in last


@pytest.mark.slow
def test_where_noise_would_hide_a_mean_of_zero_nothing_is_said(tmp_path, monkeypatch):
    only(monkeypatch, "continuing", "episodic", "cut short", "chain")
    """Half of a right estimate on most problems, and one that drowns in noise on two."""
    path = tmp_path / "mine.py"
    drowned = "1 + 200 * batch.rng.standard_normal() if batch.horizon == 6 else 0.5"
    source = f"def estimate(batch): return right(batch) * ({drowned})\n"
    path.write_text(HEAD + source, encoding="utf-8")
    found = examine(path, "estimate", replicates=1000)
    said = " ".join(bias(found, recognised=False))
    assert "Nothing can be said on cut short, chain: noise would hide even a mean of zero." in said
    assert "excluded" not in said


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_rare_blow_up_is_never_called_unbiased(tmp_path, seed):
    path = tmp_path / "mine.py"
    path.write_text(HEAD + BLOW_UP, encoding="utf-8")
    found = examine(path, "estimate", seed=seed)
    assert not found.passed
    assert "could not be judged" in conclusion(found)


def test_equal_in_all_estimates_bounds_a_chance_and_is_not_exact():
    assert math.isclose(unseen(3000), 3 / 3000, rel_tol=0.01)
    assert math.isclose((1 - unseen(50)) ** 50, 0.05)
    found = results(lambda rng, n: np.ones(n))
    assert {result.basis for result in found} == {Basis.EQUAL}
    exact = replace(found[0], claimed=found[0].mean)
    assert exact.basis is Basis.TABLES


def test_the_verdict_says_in_how_many_estimates_it_was_equal(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(HEAD, encoding="utf-8")
    found = examine(path, "right", replicates=300)
    said = conclusion(found)
    assert "equals baseline_value in all 300 estimates on each of" in said
    assert "differs with a chance below 0.99 %" in said


def test_a_row_is_one_analysis():
    """Interval, length and test come from one sample: where one is far off, so is the other."""
    for result in results(lambda rng, n: 1.3 + 0.2 * rng.standard_normal(n)):
        target = result.estimates.case.finite
        size, p = result.relative_bias(target), result.p_value(target)
        visible = result.detectable(target, 14)
        assert result.analysis is not None
        assert np.array_equal(result.mean, result.analysis.mean)
        if size.low > visible:
            assert p < 1e-3


def test_heavy_controls_move_the_whole_row_to_the_raw_estimates():
    """The interval is no longer that of a sample which the test has left."""
    case, rng = cases()[0], np.random.default_rng(4)
    raw = case.finite * (1 + 0.5 * rng.standard_normal((R, 1))) + rng.standard_normal((R, 15))
    rare = np.zeros_like(raw)
    rare[:4] = 20.0 * np.sign(case.finite)
    own = Estimates(case, 4, raw, np.full(R, 10), None, 1e-9)
    result = MeasuredMean(own, case.finite + rare, None)
    assert result.analysis is not None
    assert result.analysis.sample is raw
    only = MeasuredMean(own, raw, None)
    target = case.finite
    assert result.relative_bias(target).value == only.relative_bias(target).value
    assert result.factor(target) == MeasuredMean(own, raw, None).factor(target)


def only(monkeypatch, *names):
    """Examinations on these problems alone."""
    monkeypatch.setattr(
        examination, "cases", lambda battery: [c for c in cases() if c.name in names]
    )


def finding(name, state, size=np.nan):
    case = next(case for case in cases() if case.name == name)
    return Finding(case, state, size)


def found_on(seen, excluded, nothing=()):
    return [
        *(finding(name, State.SEEN, size) for name, size in seen.items()),
        *(finding(name, State.EXCLUDED, size) for name, size in excluded.items()),
        *(finding(name, State.NOTHING) for name in nothing),
    ]


OTHERS = ("continuing", "episodic", "cut short", "shared parameters", "one step", "pairs")


def test_where_is_said_only_where_a_bias_of_that_size_is_excluded_elsewhere():
    seen = {"undiscounted": 0.05}
    assert where(found_on(seen, dict.fromkeys(OTHERS, 0.0))) == (
        "exactly where γ = 1: on undiscounted"
    )
    assert "elsewhere at most 4 %" in where(found_on(seen, dict.fromkeys(OTHERS, 0.04)))
    assert where(found_on(seen, dict.fromkeys(OTHERS, 0.08))) == "on undiscounted"
    assert where(found_on(seen, {}, OTHERS)) == "on undiscounted"
    some = found_on(seen, dict.fromkeys(OTHERS[:2], 0.0), OTHERS[2:])
    assert "exactly" not in where(some)


def test_a_null_is_not_accepted_but_bounded():
    target = Hypothesis("1.003 of it", lambda case, n: 1.003 * case.finite)
    found = results(lambda rng, n: 1 + 0.2 * rng.standard_normal(n))
    held = held_against(target, found)
    assert held.holds
    assert 0.003 < held.resolution < 0.5
    exact = results(lambda rng, n: np.ones(n))
    assert held_against(FINITE, exact).resolution == 0.0


@pytest.mark.parametrize(
    ("value", "half", "trend"),
    [
        (0.25, 0.0, Trend.LIKE), (0.28, 0.05, Trend.LIKE), (0.36, 0.0, Trend.SLOWER),
        (1.0, 0.05, Trend.STAYS), (0.6, 0.6, Trend.UNCLEAR), (4.0, 0.5, Trend.GROWS),
        (0.06, 0.01, Trend.FASTER), (np.nan, np.nan, Trend.UNCLEAR),
    ],
)  # fmt: skip
def test_each_problem_has_its_own_trend(value, half, trend):
    assert BiasLeft("x", Estimate(value, half / 2, value - half, value + half)).trend is trend


def test_a_bias_that_falls_on_one_problem_is_not_pooled_away():
    """58 % to 21 % on one, exact and constant on the others: both are said."""

    def made(case, size, n):
        gradients = np.tile((1 + size) * case.finite, (R, 1))
        return MeasuredMean(
            Estimates(case, n, gradients, np.full(R, 10), None, 1e-9), gradients, None
        )

    one, other = cases()[:2]
    pairs = [made(one, 0.58, 4), made(one, 0.21, 16), made(other, 0.1, 4), made(other, 0.1, 16)]
    found = verdict(pairs, ())
    assert [(share.case, share.trend) for share in found.shares] == [
        (one.name, Trend.SLOWER), (other.name, Trend.STAYS),
    ]  # fmt: skip
