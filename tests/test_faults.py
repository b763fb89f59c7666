"""Runs under faults, a few of the quick kinds; ``make faults`` tries hundreds of all kinds."""

import os

import pytest

from tests.faults.__main__ import row, tried
from tests.faults.kinds import KINDS, Kind
from tests.faults.place import Ended, Outcome, Place, plain
from tests.support.runs import unpublished

QUICK = (
    "killed at a write, flush or rename",
    "every write, flush and rename fails from then on",
)
DAMAGE = ("cut short", "with flipped bits", "with swapped and doubled lines", "with garbage in it")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("whole") / "place")
    with unpublished():
        assert plain(place.arguments())[0] == 0
    return place


def named(name):
    (kind,) = (kind for kind in KINDS if kind.name == name)
    return kind


@pytest.mark.usefixtures("unpublished")
@pytest.mark.parametrize("name", QUICK)
def test_a_run_survives(whole, tmp_path, name):
    assert tried(named(name), whole, tmp_path / "place", 0).wrong == []


@pytest.mark.usefixtures("unpublished")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_journal_is_resumed(whole, tmp_path, damage, seed):
    assert tried(named(f"a journal {damage}"), whole, tmp_path / "place", seed).wrong == []


def numbers_change(place, whole, random):
    """A journal whose numbers were changed by someone who can reckon checksums."""
    from pgbench.results.journal import Journal

    place.directory.mkdir()
    place.journal.write_bytes(whole.journal.read_bytes())
    journal = Journal.open(place.directory)
    record = next(r for r in journal.records.values() if r.get("values", {}).get("bias"))
    journal.append([{**record, "values": {**record["values"], "bias": 7.0}}])
    (place.directory / f".a.{os.getppid()}.tmp").touch()
    return [Ended(3, "Traceback")]


@pytest.mark.usefixtures("unpublished")
def test_a_promise_that_is_broken_is_seen(whole, tmp_path):
    outcome = tried(Kind("changed", numbers_change, (0,), 1), whole, tmp_path / "p", 0)
    assert outcome.codes == [3]
    assert outcome.changed > 0
    words = " ".join(outcome.wrong)
    assert all(word in words for word in ("/bias differs", "is left", "Traceback", "exit code 3"))


def test_a_line_of_the_table_adds_up():
    found = [Outcome([2], 0, 1, ["x"]), Outcome([2, -9]), Outcome([0], 1, 0, ["x", "y"])]
    expected = "| full | 3 | -9: 1, 0: 1, 2: 2 | 1 | 1 | 2 |"
    assert row(Kind("full", numbers_change, (), 1), found) == expected
