"""What CUDA's compiler makes of the kernels; needs the compiler, which an extra brings, no GPU."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.gpu

SCRIPT = """
import json
from benchmarks.gpu_code import assembled, compile_kernels
print(json.dumps([(k.name, *assembled(k), k.instructions) for k in compile_kernels()]))
"""
FUSED, TWO, LOG2_E = "fma.rn.f64", "0d4000000000000000", "0d3FF71547652B82FE"


@pytest.fixture(scope="module")
def compiled():
    """Name, registers, spilled bytes and instructions of every kernel."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_every_kernel_compiles_without_spilling(compiled):
    assert len(compiled) == 13
    for name, registers, spilled, _ in compiled:
        assert spilled == 0, name
        assert registers <= 128, name


def fused(lines):
    return [line for line in lines if line.startswith(FUSED)]


def test_states_and_actions_are_rounded_as_on_the_cpu(compiled):
    """Nothing is fused but exact products, by two, before exp, which only ratios need."""
    code = {name: lines for name, _, _, lines in compiled}
    assert fused(code["finite._simulate"]) == fused(code["finite._list"]) == []
    own = code["linear_quadratic._simulate"]
    (first, *_) = [i for i, line in enumerate(own) if LOG2_E in line]
    before = fused(own[:first])
    assert len(before) > 0
    assert all(TWO in line for line in before)
    assert not any(TWO in line for line in fused(own[first:]))
    # The compiler does fuse where it may.
    assert fused(code["linear_quadratic._evaluate"])
