"""The GPU back end where ``PGBENCH_TEST_GPU`` says.

By default in numba's simulator; with ``compiled`` as code for the CPU, thread after thread; with
``hardware`` on a GPU, as ``make gpu-test`` does.
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

BACK_END = os.environ.get("PGBENCH_TEST_GPU", "simulator")


@dataclass(frozen=True)
class Sizes:
    """How much is simulated: steps, trajectories per replicate, replicates."""

    horizon: int
    batch_size: int
    replicates: int


SIZES = {
    "simulator": Sizes(5, 2, 5),
    "compiled": Sizes(60, 3, 40),
    "hardware": Sizes(100, 5, 5000),
}


def pytest_sessionstart() -> None:
    """End at once where a GPU is asked for and there is none."""
    if BACK_END != "hardware":
        return
    from pgbench.kernels.cuda import why_not

    if reason := why_not():
        pytest.exit(f"no GPU: {reason}", returncode=2)


@pytest.fixture
def sizes() -> Sizes:
    """Tiny sizes for the simulator, larger ones where kernels are compiled."""
    return SIZES[BACK_END]


@pytest.fixture(scope="session")
def every_table() -> Callable[[Any, int], list[Any]]:
    """``every_table(truth, horizon)``: tables of every estimator, λ = 0.7 where one is needed."""
    from pgbench.estimators import TableEstimator, estimators

    def make(truth: Any, horizon: int) -> list[Any]:
        return [
            e.make(truth, horizon, **{k: 0.7 for k, p in e.parameters.items() if p.required})
            for e in estimators().values()
            if isinstance(e, TableEstimator) and isinstance(truth.mdp, e.on) and not e.penalised
        ]

    return make


@pytest.fixture(scope="session", autouse=True)
def back_end() -> Iterator[None]:
    """Choose the back end before anything imports ``numba.cuda``."""
    import numba

    if BACK_END == "compiled":
        from tests.support import stand_in

        stand_in.install()
    if BACK_END != "simulator":
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
