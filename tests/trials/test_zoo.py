"""Every bug is found, no correct estimator is accused, and bugs stay where they belong."""

import numpy as np
import pytest

from pgbench.__main__ import main
from pgbench.estimators import TableEstimator, estimators, find_estimator
from pgbench.exact.expectation import expectation
from pgbench.trials.battery import cases
from pgbench.trials.case import SEQUENCES
from pgbench.trials.power import (
    FRESH,
    SIZES,
    Claim,
    PValue,
    claims,
    confirmed,
    correct,
    known,
    study,
    suspicious,
)
from pgbench.trials.power_table import page, sentences
from pgbench.trials.zoo import bugs, find_bug
from pgbench.trials.zoo.slips import written

SEED = 1000
"""Not one of those that the published study uses."""


def rejected(claim, found, tests, replicates, seed):
    counted = suspicious(found, tests)
    return bool(counted) and confirmed(counted, claim.p_values(replicates, seed + FRESH))


@pytest.fixture(autouse=True)
def own_claims():
    """Claims are those of the test: some have few of them."""
    claims.cache_clear()
    yield
    claims.cache_clear()


@pytest.fixture(scope="module")
def right():
    """p-values of every correct estimator with the default number of replicates."""
    return {claim.name: list(claim.p_values(SIZES[-1], SEED)) for claim in correct()}


def test_no_correct_estimator_is_accused(right):
    tests = sum(len(found) for found in right.values())
    assert tests > 400
    accused = [
        claim.name
        for claim in correct()
        if rejected(claim, right[claim.name], tests, SIZES[-1], SEED)
    ]
    assert accused == []


def test_p_values_of_correct_means_are_uniform(right):
    """One per estimator, those of a case are dependent: no more than 5 % below 5 %, loosely."""
    p = np.array([t.p for found in right.values() for t in found if t.what == "mean"])
    assert 0.01 < (p < 0.05).mean() < 0.12


@pytest.mark.parametrize("name", bugs())
def test_every_bug_is_found(name, right):
    tests = sum(len(found) for found in right.values())
    claim = Claim.of_bug(find_bug(name))
    found = list(claim.p_values(SIZES[-1], SEED))
    assert rejected(claim, found, tests, SIZES[-1], SEED)


@pytest.mark.parametrize("name", bugs())
def test_bugs_describe_themselves(name):
    bug = bugs()[name]
    assert bug.claimed.name in estimators()
    assert bug.given.items() <= bug.claimed.bound(**bug.given).items()
    assert bug.mistake
    assert bug.source
    assert bug.estimator.summary


@pytest.mark.parametrize(
    "name", [n for n, bug in bugs().items() if isinstance(bug.estimator, TableEstimator)]
)
def test_exact_moments_of_wrong_tables_differ(name):
    """Without sampling: mean or variance is not the one claimed, on some case."""
    from pgbench.trials.sampled import claimed

    bug, gaps = bugs()[name], []
    for case in cases(bug.battery):
        exact = known(case, bug.claims, tuple(bug.given.items()))
        own = claimed(case, bug.estimator, {})
        gaps += [
            np.abs(mine - theirs).max() / max(np.abs(theirs).max(), 1e-300)
            for mine, theirs in zip(own, exact, strict=True)
            if mine is not None
        ]
        tables = bug.estimator.make(case.truth)
        np.testing.assert_allclose(own.mean, expectation(case.truth, tables, case.horizon))
    assert max(gaps) > 0.01


def test_there_are_many_and_they_are_kept_apart(capsys):
    assert len(bugs()) >= 50
    assert not bugs().keys() & estimators().keys()
    assert main(["list", "zoo"]) == 0
    assert "wrong_sign" in capsys.readouterr().out
    assert main(["list"]) == 0
    assert "wrong_sign" not in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"unknown bug 'wrong_sing', did you mean wrong_sign\?"):
        find_bug("wrong_sing")


SOME = ("baseline_as_score", "gae_without_gamma", "own_ratio_missing", "wrong_sign")
"""Bugs of a small study; the second and third need many replicates to be found."""


@pytest.fixture(scope="module")
def few():
    """A study of few replicates, few bugs and few correct estimators."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pgbench.trials.power.bugs", lambda: {n: find_bug(n) for n in SOME})
        patch.setattr("pgbench.trials.power.correct", lambda: correct()[:20])
        claims.cache_clear()
        return study(sizes=(60, 120), repeats=2, seed=5)


def test_a_study_counts(few):
    assert [found.bug.name for found in few.found] == list(SOME)
    assert all(share in (0, 0.5, 1) for found in few.found for share in found.power.values())
    assert any(found.power[60] < 1 for found in few.found)
    low, high = few.interval
    assert low <= few.false_alarms / 4 <= high
    words = " ".join(sentences(few))
    assert "With 120 replicates per problem" in words
    assert "Not in every run: " in words


def test_a_page_has_every_bug_and_its_source(few):
    text = page(few, " --repeats 2")
    assert "`python -m pgbench zoo --repeats 2 --output docs/zoo.md`" in text
    for name in SOME:
        assert f"| `{name}` | `{find_bug(name).claims}` |" in text


def test_more_replicates_find_more(few):
    share = [np.mean([found.power[size] for found in few.found]) for size in (60, 120)]
    assert share[0] <= share[1] < 1


def test_a_rejection_needs_fresh_trajectories_to_agree():
    """One test of a correct estimator that came out at 1e-9 by chance accuses nobody."""
    claim = next(c for c in correct() if c.name == "rloo")
    chance = [PValue("continuing", "mean", 1e-9)]
    assert not rejected(claim, chance, 500, 500, SEED)
    wrong = Claim.of_bug(find_bug("wrong_sign"))
    assert rejected(wrong, [PValue("one step", "mean", 1e-9)], 500, 500, SEED)
    assert not rejected(wrong, [PValue("one step", "mean", 1e-3)], 500, 500, SEED)


def test_an_accusation_of_a_correct_estimator_is_counted(monkeypatch):
    """The false-alarm rate is not zero whatever happens."""
    monkeypatch.setattr("pgbench.trials.power.LEVEL", 1e9)
    monkeypatch.setattr("pgbench.trials.power.correct", lambda: correct()[:3])
    monkeypatch.setattr("pgbench.trials.power.bugs", dict)
    assert study(sizes=(240,), repeats=1).false_alarms == 1


def test_the_command_prints_and_writes(tmp_path, capsys, monkeypatch):
    for study_of in ("power", "biases"):
        monkeypatch.setattr(
            f"pgbench.trials.{study_of}.bugs", lambda: {"wrong_sign": find_bug("wrong_sign")}
        )
    few = {"reward_to_go": written()["reward_to_go"]}
    monkeypatch.setattr("pgbench.trials.biases.written", lambda: few)
    monkeypatch.setattr("pgbench.trials.biases.REPLICATES", 10)
    monkeypatch.setattr("pgbench.trials.power.correct", lambda: correct()[:10])
    path = tmp_path / "zoo.md"
    arguments = ["zoo", "--replicates", "60", "--repeats", "1", "--output", str(path)]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "False alarms: 0 of 1 runs" in printed.out
    assert "60 replicates, 1 times" in printed.err
    text = path.read_text(encoding="utf-8")
    assert "| `wrong_sign` |" in text
    assert "## Where a mistake shows" in text
    assert "| begins after the own reward |" in text
    assert main(["zoo", "--repeats", "0"]) == 2
    assert "--repeats is 0, must be an integer ≥ 1" in capsys.readouterr().err


GROUPED = [bug for bug in bugs().values() if bug.battery == SEQUENCES]


def test_many_bugs_are_of_groups_and_responses_end_with_the_horizon():
    assert len(GROUPED) >= 35
    assert all(
        case.group_size and not case.batch_size % case.group_size for case in cases(SEQUENCES)
    )
    assert all(case.horizon == max_length(case) for case in cases(SEQUENCES))


def max_length(case):
    """Steps after which every response has ended."""
    mdp, alive = case.truth.mdp, case.truth.mdp.mu0 > 0
    for length in range(100):
        if not (alive & ~mdp.terminal).any():
            return length
        alive = np.isin(np.arange(mdp.n_states), mdp.successor[alive & ~mdp.terminal])
    raise AssertionError("responses never end")


@pytest.mark.parametrize("bug", GROUPED, ids=lambda bug: bug.name)
def test_claims_of_groups_are_known(bug):
    """A mean to be held against, on every case."""
    exact = [known(case, bug.claims, tuple(bug.given.items())) for case in cases(SEQUENCES)]
    assert all(one.mean is not None for one in exact)


@pytest.mark.parametrize("case", cases(SEQUENCES), ids=lambda case: case.name)
def test_moments_in_groups_are_those_of_the_case(case):
    """Exact moments on the battery of sequences are not those of independent starts."""
    rloo = find_estimator("rloo")
    n, G = case.batch_size, case.group_size
    grouped = known(case, "rloo", ())
    np.testing.assert_allclose(grouped.mean, case.finite, rtol=0, atol=1e-13)
    own = rloo.exact(case.truth, case.horizon, n, G)
    np.testing.assert_array_equal(grouped.variance, own.variance)
    apart = rloo.exact(case.truth, case.horizon, n)
    assert np.allclose(own.variance, apart.variance) == case.truth.mdp.one_start
