"""The GPU back end in numba's simulator, or on a GPU where ``make gpu-test`` says so."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

HARDWARE = os.environ.get("PGBENCH_TEST_GPU") == "1"


@dataclass(frozen=True)
class Sizes:
    """How much is simulated: steps, trajectories per replicate, replicates."""

    horizon: int
    batch_size: int
    replicates: int


SIZES = Sizes(100, 5, 5000) if HARDWARE else Sizes(5, 2, 5)


@pytest.fixture
def sizes() -> Sizes:
    """Tiny sizes for the simulator, larger ones for a GPU."""
    return SIZES


@pytest.fixture(scope="session", autouse=True)
def back_end() -> Iterator[None]:
    """Turn the simulator on before anything imports ``numba.cuda``, unless there is a GPU."""
    import numba

    if HARDWARE:
        yield
        return
    loaded = sys.modules.get("numba.cuda")
    assert loaded is None or "simulator" in sys.modules["numba.cuda.api"].__name__
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_ENABLE_CUDASIM", "1")
        numba.core.config.reload_config()
        import pgbench.kernels.cuda.running

        assert pgbench.kernels.cuda.launch.SIMULATED
        yield
    numba.core.config.reload_config()
