"""Tallies of several responses against all of their combinations."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from pgbench.exact import TooLarge
from pgbench.exact.finite import tallies
from pgbench.exact.finite.representatives import Representatives
from pgbench.exact.finite.tallies import Looks, View, distinct, number, repeated, table_of
from pgbench.exact.table_moments import SUMS_LIMIT, Size
from pgbench.process.responses import Responses

LENGTHS = np.array([1.0, 2.0, 4.0, 2.0])

CLASSES = {
    "whole lengths": LENGTHS,
    "fractions": 0.1 + 0.3 * LENGTHS,
    "no common measure": np.sqrt([1.0, 2.0, 4.0, 2.5]),
}


def classes_of(lengths):
    returns = np.array([0.0, 1.0, 1.0, 0.0])
    return Responses(returns, lengths, returns > 0, None, 5)


@pytest.mark.parametrize("looks", [
    Looks(), Looks(key=("returns",)), Looks(sums=("lengths",)), Looks(sums=("lengths", "returns")),
    Looks(key=("returns",), sums=("lengths",)), Looks(("returns",), ("lengths",), apart=True),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("lengths", CLASSES)
@pytest.mark.parametrize("word", [2**62, 8])
def test_tallies_and_their_probabilities(looks, lengths, word, monkeypatch):
    """Small words hold as many digits as one large word."""
    monkeypatch.setattr(tallies, "WORD", word)
    table, m = table_of(classes_of(CLASSES[lengths])), 3
    chance = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
    one, which = distinct((View.of(table, looks, m),))
    own = np.stack([chance[:, which == d].sum(axis=1) for d in range(number(one))], axis=1)
    found = repeated(one, own, m, SUMS_LIMIT)[-1]
    expected = [Counter(), Counter()]
    for group in product(range(4), repeat=m):
        for law, p in zip(expected, chance, strict=True):
            law[seen(table[list(group)], looks)] += p[list(group)].prod()
    people = found.tally[0].representatives(3)
    for law, p in zip(expected, found.chance, strict=True):
        actual = {seen(group, looks): q for group, q in zip(people, p, strict=True)}
        assert len(actual) == number(found.tally)
        assert actual == pytest.approx(law, rel=1e-12)


def seen(group, looks):
    """What is looked at of rows (return, length, truncated)."""
    columns = {"returns": 0, "lengths": 1}
    keys = [tuple(row[[columns[name] for name in looks.key]]) for row in group]
    groups = sorted(set(keys)) if looks.apart else [None]
    members = [[i for i, key in enumerate(keys) if own in (None, key)] for own in groups]
    sums = [group[own][:, [columns[name] for name in looks.sums]].sum(axis=0) for own in members]
    return tuple(sorted(keys)), tuple(np.round(sums, 9).ravel() + 0.0)


def test_too_many_tallies_are_refused_before_they_are_made():
    one = (View.of(table_of(classes_of(LENGTHS)), Looks(key=("lengths",)), 400),)
    one, _ = distinct(one)
    with pytest.raises(TooLarge):
        repeated(one, np.full((1, 3), 1 / 3), 400, Size(1e6, 1e9))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"key": ("rewards",)}, "look at 'rewards', must be one of returns, lengths"),
        ({"key": ("returns",), "sums": ("returns",)}, "must be of fields that are no key"),
        ({"sums": ("truncated",)}, "not truncated"),
    ],
)
def test_looks_that_make_no_sense(given, words):
    with pytest.raises(ValueError, match=words):
        Looks(**given)


def test_functions_are_asked_about_pieces(monkeypatch):
    """Whatever is asked at a time, the answers are the same."""
    classes = classes_of(LENGTHS)
    table = table_of(classes)
    one, _ = distinct((View.of(table, Looks(key=("returns",), sums=("lengths",)), 4),))
    single, pairs = repeated(one, np.full((1, number(one)), 1.0), 2, SUMS_LIMIT)
    asked = Representatives(classes, table, single.tally[0], pairs.tally[0])

    def answer(r):
        assert r.returns.shape[1:] == (2, 2)
        return r.lengths[:, 0, 0] + 10 * r.lengths.sum((1, 2)) + 100 * r.returns[:, 1].sum(1)

    whole = asked.asked("answers", answer)
    assert whole.shape == (*asked.shape, 1)
    monkeypatch.setattr("pgbench.exact.finite.representatives.AT_A_TIME", 40)
    np.testing.assert_allclose(asked.asked("answers", answer), whole, rtol=1e-13)
