"""What is printed goes out, whatever it goes to, or one sentence says why not."""

import io
import os
import pty
import subprocess
import sys

import pytest

from pgbench.__main__ import main
from pgbench.cli import streams
from pgbench.cli.streams import Stream, spelt
from tests.support.runs import unpublished

GRID = "name: t\nproblems: corridor\nestimators: [td]\nreplicates: 20\n"

FULL = "standard output cannot be written: No space left on device\n"
CLOSED = "standard output cannot be written: Bad file descriptor\n"


def shell(words, **environment):
    """A command line with ``pgbench`` for the command in this interpreter."""
    words = words.replace("pgbench", f"{sys.executable} -m pgbench")
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {words}"],
        capture_output=True,
        text=True,
        encoding="ascii",
        errors="surrogateescape",
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("pgbench schema | head -1", 0, ""),
        ("pgbench list 2>&1 | head -1", 0, ""),
        ("pgbench list > /dev/full", 2, FULL),
        ("pgbench list >&-", 2, CLOSED),
        ("pgbench --help > /dev/full", 2, FULL),
        ("pgbench --help >&- 2>&-", 2, ""),
        ("pgbench --help > /dev/null 2>&-", 0, ""),
        ("pgbench check nowhere.yaml 2> /dev/full", 2, ""),
        ("pgbench nothing 2>&-", 2, ""),
    ],
)
def test_output_that_cannot_be_written_is_one_sentence(words, code, told):
    done = shell(words)
    assert (done.returncode, done.stderr) == (code, told)


def test_no_file_is_opened_for_streams_that_are_there(monkeypatch):
    """Where no file can be opened at all, that is to be said in a sentence."""
    opened = []
    monkeypatch.setattr(os, "open", lambda *given: opened.append(given))
    streams._occupy()
    assert opened == []


def test_a_run_is_published_though_nobody_can_be_told(tmp_path, monkeypatch, capsys):
    """Files of the run must not become the streams that are closed, either."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.yaml").write_text(GRID, encoding="utf-8")
    done = shell("pgbench run grid.yaml --no-report <&- >&- 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
    assert (tmp_path / "results" / "t" / "results.nc").exists()
    with unpublished():
        assert main(["run", "grid.yaml", "--no-report"]) == 0
    assert "1 reused" in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.slow)])
def test_characters_that_an_encoding_lacks_are_spelt(tmp_path, monkeypatch, encoding):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.yaml").write_text(GRID, encoding="utf-8")
    done = shell("pgbench check grid.yaml; pgbench check θ.yaml", PYTHONIOENCODING=encoding)
    assert "| d | gamma | horizon |" in done.stdout
    assert done.stderr == "theta.yaml: cannot be read: No such file or directory\n"
    rows = [line for line in done.stdout.splitlines() if line[:1] in "+|"]
    assert len({len(row) for row in rows}) == 1


@pytest.mark.parametrize(
    ("text", "encoding", "written"),
    [
        ("γ Σ θ̂ ψ", "ascii", "gamma Sigma theta psi"),
        ("‖∇J‖² ≥ ½ — Szepesvári …", "ascii", "|grad J|^2 >= 1/2 - Szepesvari ..."),
        ("² ½ á", "latin-1", "² ½ á"),
        ("漢 \udcff", "ascii", "? ?"),
        ("\udcff", "utf-8", "?"),
        ("γ 漢", "utf-8", "γ 漢"),
    ],
)
def test_spelling(text, encoding, written):
    assert spelt(text, encoding) == written


def test_a_stream_that_failed_takes_everything_for_nothing():
    stream = Stream(open("/dev/full", "wb"), "utf-8", "spelt")  # noqa: SIM115  # it is handed over
    stream.write("a" * 100_000)
    stream.flush()
    assert isinstance(stream.failure, OSError)
    first = stream.failure
    stream.write("b")
    stream.flush()
    stream.close()
    assert stream.failure is first


def test_what_a_stream_is_told_is_written():
    kept = io.BytesIO()
    stream = Stream(kept, "ascii", "spelt")
    stream.write("γ\n")
    stream.flush()
    assert (kept.getvalue(), stream.failure) == (b"gamma\n", None)


@pytest.mark.parametrize("columns", ["20", "79"])
def test_tables_on_a_narrow_terminal_keep_their_words(columns):
    """The terminal wraps them."""
    ours, terminal = pty.openpty()
    words = [sys.executable, "-m", "pgbench", "list", "policies"]
    listing = subprocess.Popen(words, stdout=terminal, env={**os.environ, "COLUMNS": columns})
    os.close(terminal)
    shown = b""
    while piece := _read(ours):
        shown += piece
    os.close(ours)
    assert listing.wait() == 0
    assert "softmax" in shown.decode()


ON_TERMINAL = """
import os, sys
os.login_tty(int(sys.argv[1]))
os.execv(sys.executable, [sys.executable, "-m", "pgbench", *sys.argv[2:]])
"""


def test_a_run_whose_terminal_is_closed_is_published(tmp_path):
    """It gets SIGHUP, and nothing that it prints can be written any more."""
    long = GRID.replace("corridor", "{problem: garnet, n_states: 50, instances: 100}")
    (tmp_path / "grid.yaml").write_text(long.replace("20", "20000"), encoding="utf-8")
    ours, terminal = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-c", ON_TERMINAL, str(terminal), "run", "grid.yaml"],
        cwd=tmp_path,
        pass_fds=[terminal],
    )
    os.close(terminal)
    shown = b""
    while b"working" not in shown:
        piece = _read(ours)
        assert piece, shown
        shown += piece
    os.close(ours)
    assert run.wait() == 130
    assert (tmp_path / "results" / "t" / "results.nc").exists()


def _read(descriptor):
    try:
        return os.read(descriptor, 4096)
    except OSError:  # how a terminal ends
        return b""
