"""The directory of a run: what killed runs left is removed by the one that claims it."""

import os

import pytest

from pgbench.harness.directory import claimed
from pgbench.results.files import OutputError

GONE = f".results.nc.{os.getpid()}.tmp"
"""Named as a file that a killed run was writing; this process is not writing it."""


def test_what_killed_runs_were_writing_is_removed(tmp_path):
    for name in (GONE, "journal.jsonl", ".mine.tmp"):
        (tmp_path / name).touch()
    with claimed(tmp_path):
        assert sorted(os.listdir(tmp_path)) == [".lock", ".mine.tmp", "journal.jsonl"]


def test_nothing_is_removed_where_something_else_lies(tmp_path):
    for name in (GONE, "thesis.tex"):
        (tmp_path / name).touch()
    with (
        pytest.raises(OutputError, match=r"holds something else \(thesis.tex\)"),
        claimed(tmp_path),
    ):
        pass
    assert sorted(os.listdir(tmp_path)) == [GONE, "thesis.tex"]


def test_what_another_process_writes_is_left(tmp_path):
    other = tmp_path / f".horizons.nc.{os.getppid()}.tmp"
    other.touch()
    with claimed(tmp_path):
        assert other.exists()


def test_a_directory_that_refuses_is_one_sentence(tmp_path, monkeypatch):
    def refused(path):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pgbench.harness.directory.remove_temporaries", refused)
    with pytest.raises(OutputError, match="cannot be written: Read-only"), claimed(tmp_path):
        pass
    monkeypatch.undo()
    with claimed(tmp_path):  # the lock was released
        pass
