"""The program under both of its names."""

import signal
import subprocess
import sys

import pytest

from pgbench import __version__
from pgbench.cli.program import called

AS_SCRIPT = """
import os, signal, sys
from pgbench.cli.program import script

class Ordering:
    def find_spec(name, path, target=None):
        if name == moment:
            os.kill(os.getpid(), signal.SIGINT)

moment = sys.argv.pop(1)
sys.argv[0] = "/somewhere/bin/pg-bench"
sys.meta_path.insert(0, Ordering)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have had it ignored
sys.exit(script())
"""


def as_script(*words, moment="never"):
    """A process that is what an installed script is, interrupted when a module is looked for."""
    line = [sys.executable, "-c", AS_SCRIPT, moment, *words]
    return subprocess.run(line, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("/usr/local/bin/pg-bench", ["pg-bench"]),
        ("/home/me/pgbench/__main__.py", ["python", "-m", "pgbench"]),
        ("/home/me/my_script.py", ["python", "-m", "pgbench"]),
        ("", ["python", "-m", "pgbench"]),
    ],
)
def test_it_calls_itself_as_it_was_called(monkeypatch, first, words):
    monkeypatch.setattr(sys, "argv", [first])
    assert called() == words


def test_the_script_is_the_module_under_another_name():
    done = as_script("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"pgbench {__version__}\n", "")
    done = as_script("check", "nowhere.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nowhere.yaml")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["run"]])
def test_its_help_says_pg_bench(words):
    done = as_script(*words, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(" ".join(["usage: pg-bench", *words, "[-h]"]))
    assert "python -m" not in done.stdout


@pytest.mark.parametrize(
    ("moment", "code", "told"),
    [("pgbench.cli.streams", -signal.SIGINT, ""), ("pgbench.cli.commands", 130, "interrupted\n")],
)
def test_the_script_interrupted_shows_no_traceback(moment, code, told):
    done = as_script("--help", moment=moment)
    assert (done.returncode, done.stderr) == (code, told)
