"""Fixtures of the whole suite; what they hand out is made in ``tests/support``."""

import os

# Two workers on two cores: threads of their own only wait for each other, and burn the time. Before
# NumPy and numba are loaded, which read these once.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings

from pgbench.declared.parameters import did_you_mean
from pgbench.estimators import Tables, estimators
from pgbench.exact import Truth
from pgbench.kernels.partition import use_threads
from pgbench.problems import FiniteMDP
from tests.support import variants
from tests.support.problems import FAMILIES, TINY, make_small
from tests.support.runs import unpublished
from tests.support.truths import KINDS, tiny_truth
from tests.support.variants import random_tables

ALONE = "PYTEST_XDIST_WORKER" not in os.environ
"""Whether no other worker shares the cores."""


@pytest.fixture(autouse=True)
def one_thread_each() -> None:
    """A thread for each worker, which a test may change: those of several wait for each other."""
    if not ALONE:
        use_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--estimator``, as ``make check-estimator`` gives it."""
    parser.addoption(
        "--estimator",
        metavar="NAMES",
        help="only what is tried of these estimators (a,b,...), and what is asked of all at once",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Variants are those of the chosen estimators; UsageError where there is none of that name."""
    names, known = config.getoption("estimator"), estimators()
    for name in [] if names is None else names.split(","):
        if name not in known:
            words = f"--estimator: unknown estimator {name!r}{did_you_mean(name, known)}"
            raise pytest.UsageError(words)
        variants.CHOSEN.add(name)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about no chosen estimator."""
    if variants.CHOSEN:
        config.hook.pytest_deselected(items=[item for item in items if not about_chosen(item)])
        items[:] = [item for item in items if about_chosen(item)]


def about_chosen(item: pytest.Item) -> bool:
    """Whether a test is parametrised by a chosen estimator, or goes over all of them itself."""
    if item.get_closest_marker("every_estimator"):
        return True
    case = getattr(item, "callspec", None)
    given = case.params.values() if case else ()
    names = {value.name if isinstance(value, variants.Variant) else str(value) for value in given}
    return not names.isdisjoint(variants.CHOSEN)


settings.register_profile("suite", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("suite")


@pytest.fixture(params=TINY)
def problem(request: pytest.FixtureRequest) -> str:
    """Name of a tiny problem."""
    return request.param


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Name of a kind of policy for finite problems."""
    return request.param


@pytest.fixture
def horizon(problem: str) -> int:
    """Number of steps for which every trajectory of the tiny problem can be listed."""
    return TINY[problem][1]


@pytest.fixture
def truth(request: pytest.FixtureRequest, problem: str, kind: str) -> Truth:
    """Exact quantities on a tiny problem, under the objective of the variant that is tried."""
    variant = request.node.callspec.params.get("variant")
    return variant.truth(problem, kind) if variant else tiny_truth(problem, kind)


@pytest.fixture(params=[False, True], ids=["per step", "total"])
def tables(request: pytest.FixtureRequest, truth: Truth) -> Tables:
    """Tables of no estimator in particular, per step or total."""
    return random_tables(truth, request.param)


@pytest.fixture(params=FAMILIES)
def small_problem(request: pytest.FixtureRequest, tmp_path: Path) -> FiniteMDP:
    """A small problem of every family."""
    return make_small(request.param, tmp_path)


@pytest.fixture(name="make_small")
def make_small_here(tmp_path: Path) -> Callable[..., FiniteMDP]:
    """``make_small(name, ...)``: a small problem of a family."""
    return partial(make_small, folder=tmp_path)


@pytest.fixture(name="unpublished")
def unpublished_here() -> Iterator[None]:
    """No dataset is written, for tests that look at the tree alone."""
    with unpublished():
        yield


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not laid out and rendered, which takes most of the time of a report."""

    def save(figure: Any, stem: Path) -> None:
        stem.with_suffix(".svg").write_bytes(b"<svg/>")
        stem.with_suffix(".png").write_bytes(b"\x89PNG")

    monkeypatch.setattr("pgbench.report.drawing.save", save)


@pytest.fixture
def one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page with only this figure takes little time."""
    from pgbench.report.plots import plots

    only = {"estimators": {"calibration": plots("estimators")["calibration"]}}
    monkeypatch.setattr("pgbench.report.drawing.plots", lambda of: only.get(of, {}))


@pytest.fixture(scope="session")
def discrete_dp() -> Any:
    """``DiscreteDP`` of quantecon, imported by one process after another.

    It compiles as it is imported; two processes that do so at once leave code behind that aborts
    the next one.
    """
    with FileLock(Path(tempfile.gettempdir()) / f"quantecon-{os.getuid()}.lock"):
        from quantecon.markov import DiscreteDP
    return DiscreteDP
