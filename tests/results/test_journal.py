"""The journal keeps what it was given through truncation, corruption and a full disk."""

import base64
import errno
import json
import os
import zlib

import numpy as np
import pytest

from pgbench.results.files import OutputError
from pgbench.results.journal import MOST_NOTES, NAME, Journal


def record(key, **values):
    return {"kind": "cell", "key": key, "status": "done", "values": values}


def line(text):
    """A line with a right checksum, whatever the text says."""
    data = text.encode()
    return b"%08x %s\n" % (zlib.crc32(data), data)


def a_little(write=os.write):
    """A disk that fills up: some bytes are taken, then no more."""

    def write_a_little(descriptor, data):
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:10])

    return write_a_little


def never_shorter(truncate=os.ftruncate):
    """A disk that takes nothing back."""

    def grow(descriptor, size):
        if size < os.fstat(descriptor).st_size:
            raise OSError(errno.EIO, "Input/output error")
        truncate(descriptor, size)

    return grow


def refused(code):
    def refuse(*arguments):
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.fixture
def journal(tmp_path):
    journal = Journal.open(tmp_path)
    journal.append([record("a", bias=0.1), record("b", bias=float("nan")), record("c", bias=3.0)])
    return journal


def test_round_trip_is_exact(tmp_path):
    numbers = np.array([0.1, 1 / 3, np.nan, -np.inf])
    maps = {"mean_gradient": numbers}
    Journal.open(tmp_path).append([{**record("a", bias=1 / 3), "maps": maps}])
    back = Journal.open(tmp_path).records["a"]
    assert back["values"]["bias"] == 1 / 3
    assert back["maps"]["mean_gradient"].tobytes() == numbers.tobytes()


def test_the_last_record_of_a_key_counts(journal, tmp_path):
    journal.append([record("a", bias=5.0)])
    assert Journal.open(tmp_path).records["a"]["values"]["bias"] == 5.0


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_truncated_last_line_is_dropped_and_the_rest_kept(journal, tmp_path, cut):
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal.open(tmp_path)
    assert sorted(again.records) == ["a", "b"]
    assert again.notes == []
    again.append([record("c", bias=4.0)])
    assert sorted(Journal.open(tmp_path).records) == ["a", "b", "c"]


def test_a_damaged_line_is_named_kept_aside_and_runs_again(journal, tmp_path):
    path = tmp_path / NAME
    data = path.read_bytes()
    damaged = data.replace(b'"key":"b"', b'"key":"z"')
    path.write_bytes(damaged)
    again = Journal.open(tmp_path)
    assert sorted(again.records) == ["a", "c"]
    assert "line 3 is damaged" in again.notes[0]
    assert (tmp_path / "journal.damaged-1.jsonl").read_bytes() == damaged
    assert Journal.open(tmp_path).notes == []


def test_reading_changes_nothing(journal, tmp_path):
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-3])
    before = path.read_bytes()
    assert sorted(Journal.read(tmp_path).records) == ["a", "b"]
    assert path.read_bytes() == before


@pytest.mark.parametrize("data", [b"hello\nworld\n", b"\x00" * 100 + b"\n", b"{}\n"])
def test_another_kind_of_file_is_refused_and_left_alone(tmp_path, data):
    (tmp_path / NAME).write_bytes(data)
    with pytest.raises(OutputError, match="not a journal of pgbench"):
        Journal.open(tmp_path)
    assert (tmp_path / NAME).read_bytes() == data


def test_a_full_disk_leaves_the_journal_as_it_was(journal, tmp_path, monkeypatch):
    before = (tmp_path / NAME).read_bytes()
    monkeypatch.setattr(os, "write", a_little())
    with pytest.raises(OutputError, match="No space left on device; everything finished"):
        journal.append([record("d", bias=1.0)])
    monkeypatch.undo()
    assert (tmp_path / NAME).read_bytes() == before
    assert "d" not in journal.records


def test_an_interruption_while_writing_leaves_no_half_line(journal, tmp_path, monkeypatch):
    before = (tmp_path / NAME).read_bytes()

    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        journal.append([record("d", bias=1.0)])
    assert (tmp_path / NAME).read_bytes() == before


def test_no_journal(tmp_path):
    with pytest.raises(OutputError, match="holds no run"):
        Journal.read(tmp_path)


def test_what_the_disk_did_not_take_back_is_not_followed_by_a_record(
    journal, tmp_path, monkeypatch
):
    """Neither writing nor repairing works for a while; the next record starts a line of its own."""
    with monkeypatch.context() as full:
        full.setattr(os, "write", a_little())
        full.setattr(os, "ftruncate", never_shorter())
        with pytest.raises(OutputError, match="No space left"):
            journal.append([record("d", bias=1.0)])
    with monkeypatch.context() as full:
        full.setattr(os, "write", a_little())
        with pytest.raises(OutputError, match="No space left"):
            journal.append([record("d", bias=1.0)])
    journal.append([record("e", bias=1.0)])
    again = Journal.open(tmp_path)
    assert sorted(again.records) == ["a", "b", "c", "e"]
    assert again.notes == []


@pytest.mark.parametrize("name", ["open", "fsync"])
@pytest.mark.parametrize("code", [errno.EROFS, errno.EMFILE, errno.EIO])
def test_whatever_the_system_refuses_is_one_sentence(journal, tmp_path, monkeypatch, name, code):
    before = (tmp_path / NAME).read_bytes()
    with monkeypatch.context() as broken:
        broken.setattr(os, name, refused(code))
        with pytest.raises(OutputError, match=f"{os.strerror(code)}; everything finished so far"):
            journal.append([record("d", bias=1.0)])
    assert (tmp_path / NAME).read_bytes() == before


def test_a_repair_that_the_disk_refuses_is_one_sentence(journal, tmp_path, monkeypatch):
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-5])
    monkeypatch.setattr(os, "truncate", refused(errno.EROFS))
    with pytest.raises(OutputError, match="cannot be written: Read-only file system"):
        Journal.open(tmp_path)


ARRAY = {"$f8": base64.b64encode(bytes(16)).decode(), "shape": [2]}
CELL = {"kind": "cell", "key": "z", "status": "done", "values": {}}
WRONG = {
    "no mapping": [1, 2],
    "a number": 7,
    "no kind": {"key": "z"},
    "a kind that is a list": {"kind": ["cell"], "key": "z"},
    "an unknown kind": {"kind": "sell", "key": "z"},
    "no status": {"kind": "cell", "key": "z"},
    "an unknown status": {**CELL, "status": "dnoe"},
    "a status that is a list": {**CELL, "status": ["done"]},
    "a key that is a list": {**CELL, "key": ["z"]},
    "a key that is a number": {**CELL, "key": 5},
    "a done cell without values": {"kind": "cell", "key": "z", "status": "done"},
    "values that are a list": {**CELL, "values": [1]},
    "a value that is text": {**CELL, "values": {"bias": "0.1"}},
    "a value that is nothing": {**CELL, "values": {"bias": None}},
    "a value beyond all numbers": {**CELL, "values": {"bias": 10**400}},
    "a variable that is not declared": {**CELL, "values": {"luck": 1.0}},
    "a variable of settings": {**CELL, "values": {"horizon": 1.0}},
    "a map that is a number": {**CELL, "maps": {"mean_gradient": 1.0}},
    "a map that is not declared": {**CELL, "maps": {"luck": ARRAY}},
    "a map with too many axes": {**CELL, "maps": {"mean_gradient": {**ARRAY, "shape": [1, 2]}}},
    "maps of two lengths": {
        **CELL,
        "maps": {
            "mean_gradient": ARRAY,
            "gradient_variance": {"$f8": "", "shape": [0]},
        },
    },
    "bad base64": {**CELL, "maps": {"mean_gradient": {"$f8": "!", "shape": [0]}}},
    "base64 that is a list": {**CELL, "maps": {"mean_gradient": {"$f8": [], "shape": [0]}}},
    "an array without a shape": {**CELL, "maps": {"mean_gradient": {"$f8": ""}}},
    "a shape of another size": {**CELL, "maps": {"mean_gradient": {**ARRAY, "shape": [3]}}},
    "a shape that is found out": {**CELL, "maps": {"mean_gradient": {**ARRAY, "shape": [-1]}}},
    "a message that is a number": {"kind": "cell", "key": "z", "status": "failed", "message": 5},
    "a message that no file holds": {**CELL, "message": "\ud800"},
    "an ascent without arrays": {**CELL, "kind": "ascent", "goal_kind": ""},
    "an ascent without a goal": {**CELL, "kind": "ascent", "arrays": {}},
    "outcomes that are no codes": {
        **CELL,
        "kind": "ascent",
        "goal_kind": "",
        "arrays": {"outcome": {"$f8": base64.b64encode(b"\xff" * 8).decode(), "shape": [1]}},
    },
    "a setting without a problem": {"kind": "setting", "key": "z", "values": {}},
    "a setting of half a state": {
        "kind": "setting",
        "key": "z",
        "values": {},
        "problem": {"n_states": 0.5},
    },
    "a grid without text": {"kind": "grid", "contents": {}},
    "an execution without a time": {"kind": "execution", "attributes": {}},
    "an execution that took no number": {
        "kind": "execution",
        "attributes": {"wall_time_s": float("nan"), "environment_steps": 1},
    },
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_whole_line_with_a_wrong_content_is_damaged(journal, tmp_path, wrong):
    path = tmp_path / NAME
    before = path.read_bytes()
    path.write_bytes(before + line(json.dumps(wrong)))
    again = Journal.open(tmp_path)
    assert sorted(again.records) == ["a", "b", "c"]
    assert "line 5 is damaged (" in again.notes[0]
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "{", "", "nul"])
def test_a_whole_line_that_is_no_json_is_damaged(journal, tmp_path, text):
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes() + line(text))
    assert sorted(Journal.open(tmp_path).records) == ["a", "b", "c"]


def test_lines_end_at_newlines_alone(journal, tmp_path):
    """Other characters that end lines elsewhere lie in damaged ones and must not be counted."""
    path = tmp_path / NAME
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"a\rb\x0cc\n" + b"".join(others))
    assert sorted(Journal.open(tmp_path).records) == ["a", "b", "c"]
    assert path.read_bytes() == first + b"".join(others)


def test_of_many_damaged_lines_the_first_are_named(journal, tmp_path):
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes() + b"x\n" * 1000)
    notes = Journal.open(tmp_path).notes
    assert len(notes) == MOST_NOTES + 2
    assert f"{1000 - MOST_NOTES} more lines" in notes[-2]


@pytest.mark.parametrize("part", [0, 1, 40])
def test_a_journal_that_ends_within_its_first_line_is_started_again(tmp_path, part):
    whole = Journal.open(tmp_path).path.read_bytes()
    (tmp_path / NAME).write_bytes(whole[:part])
    Journal.open(tmp_path)
    assert (tmp_path / NAME).read_bytes() == whole


def test_a_journal_without_its_first_line_is_one(journal, tmp_path):
    path = tmp_path / NAME
    path.write_bytes(b"?" + path.read_bytes()[1:])
    assert sorted(Journal.open(tmp_path).records) == ["a", "b", "c"]


def test_a_journal_of_another_version_is_left_alone(journal, tmp_path):
    path = tmp_path / NAME
    header = {"kind": "header", "format": "pgbench journal", "version": 2}
    path.write_bytes(line(json.dumps(header)) + path.read_bytes())
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"of version 2, must be .* of version 1"):
        Journal.open(tmp_path)
    assert path.read_bytes() == before


def test_words_that_no_dataset_holds_are_spelled_out(tmp_path):
    """Halves of characters come from names of files, zero bytes from whatever a user prints."""
    lost = {"kind": "cell", "key": "a", "status": "failed", "message": "no \udcff, no \0"}
    Journal.open(tmp_path).append([lost])
    assert Journal.open(tmp_path).records["a"]["message"] == r"no \udcff, no \0"


def test_a_record_that_could_not_be_read_back_is_not_written(journal, tmp_path):
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(ValueError, match="not as declared: cell: values hold 'luck'"):
        journal.append([record("d", luck=1.0)])
    assert (tmp_path / NAME).read_bytes() == before


def test_time_and_steps_add_up_and_start_at_nothing(journal, tmp_path):
    """A run that is killed leaves no record of its own; the next one says what it knows."""
    assert journal.attributes() == {"wall_time_s": 0.0, "environment_steps": 0.0}
    for steps in (3.0, 4.0):
        attributes = {"wall_time_s": 0.5, "environment_steps": steps, "python": f"3.{steps}"}
        journal.append([{"kind": "execution", "attributes": attributes}])
    found = Journal.open(tmp_path).attributes()
    assert found == {"wall_time_s": 1.0, "environment_steps": 7.0, "python": "3.4.0"}


def test_a_second_journal_may_lie_beside_the_first(journal, tmp_path):
    Journal.open(tmp_path, "blocks.jsonl").append([record("z", bias=1.0)])
    assert sorted(Journal.read(tmp_path, "blocks.jsonl").records) == ["z"]
    assert sorted(Journal.read(tmp_path).records) == ["a", "b", "c"]
