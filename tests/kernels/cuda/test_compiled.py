"""The same comparisons with kernels compiled for the CPU: longer trajectories, other integers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FILES = "test_finite.py", "test_running.py", "test_linear_quadratic.py"


@pytest.mark.slow
def test_compiled_kernels_agree_as_the_simulated_do():
    here = Path(__file__).parent
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FILES],
        cwd=here,
        env={**environment, "PGBENCH_TEST_GPU": "compiled"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
    assert "skipped" not in run.stdout
