"""On which problems mistakes show: exactly, by listing all batches."""

import numpy as np
import pytest

from pgbench.functions import drawn, enumerated
from pgbench.rollout.enumeration import count_trajectories, trajectories
from pgbench.trials.battery import FINITE, cases
from pgbench.trials.biases import (
    LARGE,
    Bias,
    Mistake,
    is_listed,
    of_zoo,
    shows_on,
    slips,
)
from pgbench.trials.biases_table import part, sentence
from pgbench.trials.case import GENERAL, SEQUENCES
from pgbench.trials.power import known
from pgbench.trials.zoo.slips import Slip, Written, written

LISTED_OF = {name: [case for case in cases(name) if is_listed(case)] for name in FINITE}
LISTED, GROUPED = LISTED_OF[GENERAL], LISTED_OF[SEQUENCES]
OLDER = cases()[:7]
"""The battery before it had problems whose rollouts are cut where values hang on the last steps."""


@pytest.fixture(scope="module")
def found():
    """Exact biases of every slip on the problems that can be listed."""
    return [(slip, slip.biases(LISTED_OF[slip.battery])) for slip in slips()]


def named(name: str, words: str) -> Mistake:
    return next(s for s in slips() if s.name == name and s.words == words)


def test_there_are_eleven_estimators_with_twenty_slips_each():
    assert len(written()) >= 11
    assert {one.battery for one in written().values()} == set(FINITE)
    for name, one in written().items():
        assert len({slip.mistake for slip in one.slips}) == len(one.slips) >= 20, name
        assert len({(slip.old, slip.new) for slip in one.slips}) == len(one.slips), name
        assert one.harmless.keys() <= {slip.mistake for slip in one.slips}, name


@pytest.mark.parametrize("name", written())
def test_what_is_right_has_the_mean_it_claims(name):
    one = written()[name]
    for case in LISTED_OF[one.battery]:
        every, probability = enumerated(case, case.batch_size)
        mean = probability @ one.estimate(every.at_once())
        exact = known(case, one.claims, tuple(one.given.items())).mean
        np.testing.assert_allclose(mean, exact, rtol=0, atol=1e-12 * np.abs(exact).max())


def test_every_slip_that_biases_shows_on_some_problem(found):
    missed = [(m.name, m.words) for m, b in found if not m.harmless and not shows_on(b, True)]
    assert missed == []


def test_every_slip_called_harmless_is(found):
    worst = {(m.name, m.words): max(b.value for b in bs.values()) for m, bs in found if m.harmless}
    assert len(worst) > 10
    assert max(worst.values()) < 1e-12


def test_no_problem_shows_all_slips(found):
    """Each of the listed problems is needed, or is small: what the others show it does not."""
    alone = {
        case.name: sum(shows_on(b) == [case.name] for m, b in found if not m.harmless)
        for case in LISTED
    }
    assert alone["time limit"] > 20
    assert alone["chain"] > 0


@pytest.mark.parametrize(
    ("words", "at_least"),
    [
        ("V of the state before, at the cut", 0.276),
        ("bootstrapped twice at the cut", 0.276),
        ("a time limit as the end", 0.276),
    ],
)
def test_a_wrong_value_at_the_cut_shows_on_the_chain(words, at_least):
    chain = next(case for case in LISTED if case.name == "chain")
    assert named("gae", words).biases([chain])["chain"].value >= at_least


def test_a_wrong_state_at_the_cut_did_not_show_before(monkeypatch):
    """Power of the test above: on the older problems the bias is nowhere beyond 5 %."""
    monkeypatch.setattr("pgbench.trials.biases.REPLICATES", 400)
    biases = named("gae", "V of the state before, at the cut").biases(OLDER)
    assert shows_on(biases) == []


def test_a_missing_done_shows_with_the_critic_alone():
    limit = [case for case in LISTED if case.name == "time limit"]
    assert named("gae", "no (1 - done)").biases(limit)["time limit"].value < 1e-12
    assert named("gae_critic", "no (1 - done)").biases(limit)["time limit"].value > LARGE


def test_every_bug_of_the_zoo_shows_or_is_harmless():
    for mistake in of_zoo():
        # An ignored seed has the right mean over all seeds only.
        if mistake.name == "seed_ignored":
            continue
        biases = mistake.biases(LISTED_OF[mistake.battery])
        if mistake.harmless:
            assert max(b.value for b in biases.values() if b is not None) < 1e-12
        else:
            assert shows_on(biases) or shows_on(mistake.biases()), mistake.name


def test_measured_biases_agree_with_exact_ones(monkeypatch):
    slip = named("gae", "bootstrapped twice at the cut")
    exact = slip.biases(LISTED)
    monkeypatch.setattr("pgbench.trials.biases.LISTED", 0)
    monkeypatch.setattr("pgbench.trials.biases._batches", _few)
    measured = slip.biases(LISTED)
    assert all(measured[case].error > 0 for case in ("chain", "time limit"))
    for case, bias in measured.items():
        assert abs(bias.value - exact[case].value) <= 4 * bias.error + 1e-12


def _few(case):
    return drawn(case, 3000, 5, case.batch_size).at_once(), None


def test_text_that_is_not_there_once_is_an_error():
    one = next(iter(written().values()))
    with pytest.raises(ValueError, match="is found 0 times, must be once"):
        Written(one.estimate, (), {}, one.claims).wrong(Slip("no such text", "", ""))


@pytest.mark.parametrize("case", LISTED + GROUPED, ids=lambda case: case.name)
def test_trajectories_are_counted_without_a_list(case):
    listed = sum(1 for _ in trajectories(case.truth.process, case.horizon))
    assert count_trajectories(case.truth.process, case.horizon) == listed


def test_what_is_beyond_doubt_is_large():
    assert Bias(0.06).is_large
    assert not Bias(0.06, 0.01).is_large
    assert not Bias(0.04).is_large


def test_the_part_of_a_page_has_every_slip(found):
    few = [slip for slip in slips() if slip.name in ("gae", "td")]
    text = part([m for m in of_zoo() if m.name == "wrong_sign"], few, LISTED)
    assert "On 'one step', 'chain', 'time limit'" in text.replace("\n", " ")
    assert "| `wrong_sign`: the sign" in text
    assert "#### `gae` (gae[lam=0.95])" in text
    for slip in few:
        assert f"| {slip.words}" in text
    line = next(x for x in text.splitlines() if x.startswith("| bootstrapped twice at the cut |"))
    assert "| `after[..., -1]` | `np.zeros(r.shape[:-1])` | 0 | **" in line
    groups = part([m for m in of_zoo() if m.name == "padding_in_token_mean"], [], GROUPED)
    assert "On 'shared tokens', 'limit', 'one prompt'" in groups.replace("\n", " ")
    words = sentence([slip for slip, _ in found], [b for _, b in found])
    assert f"{len(found)} slips in {len(written())} estimators" in words
    right = sum(bool(slip.harmless) for slip, _ in found)
    assert f"Of the other {len(found) - right} an exact bias exceeds 5%" in words
    assert f"for {len(found) - right}." in words
