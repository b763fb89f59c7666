"""Files are written in one piece or not at all, and what killed writers left is removed."""

import errno
import os
import subprocess
import sys

import pytest

from pgbench.results.files import OutputError, remove_temporaries, write_file


def refused(code):
    def refuse(*arguments):
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize("name", ["write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS, errno.EDQUOT])
def test_what_was_there_is_kept_where_the_disk_refuses(tmp_path, monkeypatch, name, code):
    path = tmp_path / "a"
    write_file(path, b"before")
    with monkeypatch.context() as broken:
        broken.setattr(os, name, refused(code))
        with pytest.raises(OutputError, match=f"a cannot be written: {os.strerror(code)}$"):
            write_file(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_says_what_is_needed_and_what_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", refused(errno.ENOSPC))
    with pytest.raises(OutputError, match=r"No space left.*: 3\.00 MiB are needed, [\d.]+ MiB are"):
        write_file(tmp_path / "a", bytes(3 * 2**20))


def test_data_is_written_whole_where_the_system_takes_it_in_pieces(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    write_file(tmp_path / "a", memoryview(b"0123456789"))
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_temporaries_of_processes_that_are_gone_are_removed(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    kept = {f".b.{os.getppid()}.tmp", ".c.tmp", "d.7.tmp", ".e.7.tmp.x", "results.nc"}
    left = {f".results.nc.{gone.pid}.tmp", f".a.{os.getpid()}.tmp"}
    for name in kept | left:
        (tmp_path / name).touch()
    remove_temporaries(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept
