"""The journal keeps what it was given through truncation, corruption and a full disk."""

import errno
import os

import numpy as np
import pytest

from pgbench.results.journal import NAME, Journal, OutputError


def record(key, **values):
    return {"kind": "cell", "key": key, "status": "done", "values": values}


@pytest.fixture
def journal(tmp_path):
    journal = Journal.open(tmp_path)
    journal.append([record("a", x=0.1), record("b", x=float("nan")), record("c", x=3.0)])
    return journal


def test_round_trip_is_exact(tmp_path):
    numbers = np.array([[0.1, 1 / 3], [np.nan, -np.inf]])
    Journal.open(tmp_path).append([{**record("a", x=1 / 3), "maps": {"m": numbers}}])
    back = Journal.open(tmp_path).records["a"]
    assert back["values"]["x"] == 1 / 3
    assert back["maps"]["m"].tobytes() == numbers.tobytes()
    assert back["maps"]["m"].shape == (2, 2)


def test_the_last_record_of_a_key_counts(journal, tmp_path):
    journal.append([record("a", x=5.0)])
    assert Journal.open(tmp_path).records["a"]["values"]["x"] == 5.0


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_truncated_last_line_is_dropped_and_the_rest_kept(journal, tmp_path, cut):
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal.open(tmp_path)
    assert sorted(again.records) == ["a", "b"]
    assert again.notes == []
    again.append([record("c", x=4.0)])
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
    write = os.write

    def write_a_little(descriptor, data):
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:10])

    monkeypatch.setattr(os, "write", write_a_little)
    with pytest.raises(OutputError, match="No space left on device; everything finished"):
        journal.append([record("d", x=1.0)])
    monkeypatch.undo()
    assert (tmp_path / NAME).read_bytes() == before
    assert "d" not in journal.records


def test_an_interruption_while_writing_leaves_no_half_line(journal, tmp_path, monkeypatch):
    before = (tmp_path / NAME).read_bytes()

    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        journal.append([record("d", x=1.0)])
    assert (tmp_path / NAME).read_bytes() == before


def test_no_journal(tmp_path):
    with pytest.raises(OutputError, match="holds no run"):
        Journal.read(tmp_path)
