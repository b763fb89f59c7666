"""Every benchmark runs, so that its history does not end unnoticed where an interface changes."""

import importlib
from functools import cache
from inspect import isclass, signature
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pgbench.declared.outcomes import Status
from pgbench.kernels.partition import use_threads

SLOW = {
    "groups.ExactOutcomes",
    "groups.Groups",
    "memory.Memory",
    "startup.FirstCell",
    "startup.Run",
}
MODULES = (
    "ascents",
    "batches",
    "estimates",
    "exact",
    "groups",
    "harness",
    "linear_quadratic",
    "memory",
    "rollouts",
    "startup",
    "work",
)


def measures(cls):
    """Names of the benchmarks of a class."""
    return [name for name in dir(cls) if name.startswith(("time_", "timeraw_", "track_"))]


def found(slow):
    """Every benchmark, as class and method."""
    cases = []
    for name in MODULES:
        module = importlib.import_module(f"benchmarks.{name}")
        for cls in vars(module).values():
            own = isclass(cls) and cls.__module__ == module.__name__
            if own and (f"{name}.{cls.__name__}" in SLOW) == slow:
                for method in measures(cls):
                    cases.append(pytest.param(cls, method, id=f"{name}.{cls.__name__}.{method}"))
    return cases


@pytest.fixture(autouse=True)
def _threads():
    """Benchmarks choose the number of threads; other tests keep theirs."""
    before = use_threads(None)
    yield
    use_threads(before)


@cache
def cached(cls):
    """What ``setup_cache`` returns; its files stay in the working directory of the first call."""
    return cls().setup_cache()


def run(cls, method):
    """What a benchmark returns with the first of each of its parameters."""
    benchmark = cls()
    axes = getattr(cls, "params", ())
    names = getattr(cls, "param_names", ())
    chosen = [axis[0] for axis in axes] if len(names) > 1 else list(axes[:1])
    if "cold" in signature(getattr(cls, method)).parameters:
        chosen = [cached(cls), *chosen]
    getattr(benchmark, "setup", lambda *_: None)(*chosen)
    try:
        return getattr(benchmark, method)(*chosen)
    finally:
        getattr(benchmark, "teardown", lambda *_: None)(*chosen)


def check(cls, method):
    result = run(cls, method)
    if method.startswith("track_"):
        # A process that needed more memory before needs no more now.
        assert result > 0 or (cls.__name__ == "Memory" and result == 0)
    elif method.startswith("timeraw_"):
        exec(result)
    else:
        assert result is None


@pytest.mark.parametrize(("cls", "method"), found(slow=False))
def test_benchmark_runs(cls, method):
    check(cls, method)


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "method"), found(slow=True))
def test_slow_benchmark_runs(cls, method, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(cls, method)


def test_every_file_is_watched():
    """Here, or with the rest of the GPU back end in ``cuda/test_benchmarks.py``."""
    files = Path(importlib.import_module("benchmarks").__file__).parent.glob("*.py")
    assert {path.stem for path in files} - {
        "__init__",
        "control",
        "gpu",
        "gpu_code",
        "gpu_limits",
        "gpu_race",
        "episodes",
        "growth",
        "limits",
        "machine_code",
        "replicates",
        "revisions",
        "scale_out",
        "share",
        "settings",
        "trend",
    } == set(MODULES)


@pytest.mark.usefixtures("unrendered")
def test_growth_measures_every_stage_of_a_run_made_from_a_smaller_one(tmp_path, monkeypatch):
    from benchmarks import growth

    monkeypatch.setattr(growth, "SIZES", (4,))
    directory = growth.make_run(400, tmp_path)
    rows = [row for stage in growth.STAGES for row in stage(directory)]
    stages = "read the journal, read the grid, plan, build, write, read back, show, report"
    assert ", ".join(name for name, *_ in rows) == stages
    assert all(gib > 0 for *_, gib in rows)
    with xr.open_dataset(directory / "results.nc", engine="h5netcdf") as summary:
        assert summary.sizes["problem"] == 2
        assert int((summary["status"] != Status.MISSING).sum()) == 400


def test_simulated_workers_share_the_work_until_the_client_has_no_more_time_for_them():
    from benchmarks.scale_out import Costs, simulated

    def seconds(workers, dispatch, together=False):
        costs = Costs(dispatch, 0.0, 0.0, 0.0, 0.0, 0.0)
        return simulated(np.full(5, 2.0), 1000, workers, costs, together)

    assert seconds(10, 0.0) == pytest.approx(1000 / 10 * 2.0)
    assert seconds(1000, 1.0) == pytest.approx(1000 * 1.0 + 2.0)
    # Five tasks, which is a call of ten seconds, and a fifth of the calls; ever fewer at the end.
    assert 1000 / 5 < seconds(1000, 1.0, together=True) - 10 < 1000
    assert seconds(1000, 0.0, together=True) == pytest.approx(2.0)


def test_an_append_and_a_small_call_cost_something():
    from benchmarks.scale_out import appends, small_tasks

    one, each = appends()
    assert 0 < one < 1
    assert each < one
    assert len(small_tasks(7)) == 7


@pytest.mark.slow
def test_a_call_of_a_worker_costs_more_than_the_work_alone():
    from benchmarks.scale_out import overhead

    own, added = overhead(instances=3, rounds=1)
    assert 0 < own < 10
    assert added > 0


def test_statistical_work_is_the_same_at_every_call_and_tells_estimators_apart():
    from benchmarks.settings import ESTIMATORS
    from benchmarks.work import Work

    def work():
        return [Work().track_work_normalised_variance("garnet", name) for name in ESTIMATORS]

    first = work()
    assert first == work()
    assert len(set(first)) == len(first)
