"""Lines of records: whole, checked, and on disk when an append returns."""

import numpy as np
import pytest

from pgbench.results.files import OutputError
from pgbench.results.lines import LineFile, line_of, parsed
from pgbench.results.portions import Portions

RECORD = {"kind": "portion", "key": "a", "device": "cpu", "arrays": {"total": np.arange(3.0)}}


def test_a_line_gives_its_record_back():
    record = parsed(line_of(RECORD)[:-1])
    np.testing.assert_array_equal(record["arrays"]["total"], RECORD["arrays"]["total"])
    assert {**record, "arrays": 0} == {**RECORD, "arrays": 0}


def test_any_other_byte_is_damage():
    line = line_of(RECORD)[:-1]
    for place in range(len(line)):
        other = bytearray(line)
        other[place] ^= 1
        with pytest.raises(ValueError, match=r"checksum|Expecting|utf-8"):
            parsed(bytes(other))


def test_an_append_tells_the_sizes_of_its_lines(tmp_path):
    file = LineFile(tmp_path / "x.jsonl")
    assert file.append([RECORD, RECORD]) == [len(line_of(RECORD))] * 2
    assert file.path.read_bytes() == line_of(RECORD) * 2


def test_what_was_cut_short_is_no_part_of_the_next_append(tmp_path):
    file = LineFile(tmp_path / "x.jsonl")
    file.path.write_bytes(line_of(RECORD) + b"0123")
    file.cut(len(line_of(RECORD)))
    file.append([RECORD])
    assert file.path.read_bytes() == line_of(RECORD) * 2


def test_a_disk_that_refuses_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    file = LineFile(tmp_path / "x.jsonl")
    file.append([RECORD])

    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", refuse)
        with pytest.raises(OutputError, match=r"x.jsonl cannot be written: No space left"):
            file.append([RECORD])
    assert file.path.read_bytes() == line_of(RECORD)
    file.append([RECORD])
    assert file.path.read_bytes() == line_of(RECORD) * 2


def test_portions_are_found_again_and_those_that_were_cut_or_damaged_are_not_there(tmp_path):
    portions = Portions(tmp_path)
    portions.append([{**RECORD, "key": key} for key in "abc"])
    whole = (tmp_path / "portions.jsonl").read_bytes()
    first = len(line_of(RECORD))
    for end in range(len(whole) + 1):
        (tmp_path / "portions.jsonl").write_bytes(whole[:end])
        assert list(Portions(tmp_path)) == list("abc"[: end // first])
    (tmp_path / "portions.jsonl").write_bytes(whole[: first + 30] + b"?" + whole[first + 31 : -5])
    left = Portions(tmp_path)
    assert list(left) == ["a"]
    left.append([{**RECORD, "key": "d"}])
    again = Portions(tmp_path)
    assert list(again) == ["a", "d"]
    assert again.read("d")["key"] == "d"
    assert again.read("b") is None


def test_portions_without_a_number_do_not_contradict_themselves(tmp_path):
    portions = Portions(tmp_path)
    portions.append([{**RECORD, "arrays": {"total": np.array([np.nan, 1.0])}}])
    portions.take(Portions(tmp_path))
    assert list(portions) == ["a"]


def test_portions_of_others_are_taken_unless_they_contradict(tmp_path):
    ours, theirs = (tmp_path / name for name in ("ours", "theirs"))
    ours.mkdir()
    theirs.mkdir()
    Portions(ours).append([{**RECORD, "key": "a"}])
    Portions(theirs).append([{**RECORD, "key": key} for key in "ab"])
    Portions(ours).take(Portions(theirs))
    assert list(Portions(ours)) == ["a", "b"]
    Portions(theirs).append([{**RECORD, "key": "c"}])
    Portions(theirs).append([{**RECORD, "key": "b", "arrays": {"total": np.ones(3)}}])
    with pytest.raises(OutputError, match=r"the portion b says something else than in .*ours"):
        Portions(ours).take(Portions(theirs))
    assert list(Portions(ours)) == ["a", "b"]
