"""The pytest plugin makes tests of functions that say what they claim."""

import os
import subprocess
import sys
from pathlib import Path

FILE = """
import pgbench


@pgbench.subject(battery="sequences")
def right(batch):
    to_go = batch.rewards[:, ::-1].cumsum(axis=1)[:, ::-1]
    return batch.pull_back(to_go) / len(batch.mask)


@pgbench.subject(battery="sequences")
def twice(batch):
    return 2 * right(batch)


def helper(batch):
    return batch.theta
"""


def test_the_plugin_makes_tests_of_functions_that_claim(tmp_path):
    (tmp_path / "test_losses.py").write_text(FILE, encoding="utf-8")
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_losses.py"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=with_plugin(root), check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "FAILED test_losses.py::twice" in done.stdout
    assert "twice ∇J_H" in done.stdout
    assert "Traceback" not in done.stdout


def with_plugin(root):
    """An environment in which pytest has the plugin, installed as an entry point or not."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = str(root)
    environment.pop("PYTEST_ADDOPTS", None)
    return environment
