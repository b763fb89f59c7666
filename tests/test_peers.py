"""The side-by-side comparison: contenders compute the workload, and a wrong one is caught."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.peers.__main__ import main
from benchmarks.peers.contender import Contender
from benchmarks.peers.contenders import CONTENDERS, kernel, numpy_batch
from benchmarks.peers.figure import draw
from benchmarks.peers.race import race
from benchmarks.peers.table import table
from benchmarks.peers.verify import check
from benchmarks.peers.workload import make_workload
from tests.support.numbers import close


def contender_parameter(name):
    """Contenders in C are left out where nothing can compile them."""
    compiled = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
    return pytest.param(name, marks=compiled if name.startswith("c_") else ())


@pytest.fixture(scope="module")
def workload():
    return make_workload(10, horizon=16)


def changed(workload, **values):
    """A copy of a workload in which some of what it computes is something else."""
    copy = replace(workload)
    vars(copy).update(values)
    return copy


@pytest.mark.parametrize("n_states", [4, 50])
def test_exact_weights_pull_back_to_the_exact_gradient(n_states):
    small = make_workload(n_states)
    pulled = small.policy.pull_back(small.theta, small.weights)
    close(pulled, small.gradient.ravel(), rtol=1e-10)


@pytest.mark.parametrize("name", [contender_parameter(name) for name in CONTENDERS])
def test_contender_computes_the_workload(name, workload):
    contender = CONTENDERS[name]
    if reason := contender.absence():
        pytest.skip(reason)
    n = contender.check_batches * contender.batch
    result = check(workload, contender.make(workload), contender.gives, n)
    assert result.passed, result
    assert result.resolution < (0.2 if contender.gives == "gradient" else 0.03)


MISTAKES = {
    "discount dropped": lambda w: changed(w, discounts=np.ones(w.horizon)),
    "a step too few": lambda w: replace(w, horizon=w.horizon - 1),
    "uniform actions": lambda w: changed(w, action_cdf=np.tile([0.25, 0.5, 0.75, 1], (10, 1))),
    "successors of another slot": lambda w: changed(w, successor=np.roll(w.successor, 1)),
    "rewards of another pair": lambda w: changed(w, reward=np.roll(w.reward, 4)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_contender_is_caught(mistake, workload):
    run = numpy_batch.make(MISTAKES[mistake](workload))
    assert not check(workload, run, "weights", numpy_batch.BATCH).passed


@pytest.mark.parametrize(("gamma", "passed"), [(0.99, True), (1 - 1e-12, False)])
def test_gradient_without_discount_is_caught(gamma, passed):
    workload = make_workload(10, horizon=64)
    run = kernel.make(replace(workload, mdp=replace(workload.mdp, gamma=gamma)))

    def gradient(n, seed):
        return workload.policy.pull_back(workload.theta, run(n, seed))

    assert check(workload, gradient, "gradient", 8192).passed == passed


def test_no_number_passes_no_check(workload):
    nothing = np.full(workload.pi.shape, np.nan)
    assert not check(workload, lambda n, seed: nothing, "weights", 1).passed


def test_missing_package_is_named_and_the_others_run(monkeypatch, capsys, tmp_path):
    absent = Contender("absent", "Absent", None, batch=1, packages=("no_such_package",))
    monkeypatch.setitem(CONTENDERS, "absent", absent)
    given = f"--only numpy,absent --sizes 4 --rounds 2 --threads 1 --quick --output {tmp_path}"
    assert main(given.split()) == 0
    printed = capsys.readouterr().out
    assert "absent is left out: needs no_such_package: pip install no_such_package" in printed
    result = json.loads((tmp_path / "peers.json").read_text(encoding="utf-8"))
    assert [(lap["name"], len(lap["ns"])) for lap in result["laps"]] == [("numpy", 2)]
    assert all(ns > 0 for ns in result["laps"][0]["ns"])
    assert "| NumPy, vectorised | 1 |" in (tmp_path / "table.md").read_text(encoding="utf-8")
    assert (tmp_path / "peers.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--only nobody", "'nobody' is unknown, must be of pgbench, c_lockstep"),
        ("--sizes 10,x", "'x' is not a positive whole number"),
        ("--sizes 3", "3 states, must be at least 4"),
        ("--rounds 0", "'0' is not a positive whole number"),
        ("--threads 4096", "--threads: 4096, must be at most"),
    ],
)
def test_bad_input_is_named(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments.split())
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


class OneStep:
    """A worker whose contenders always take the same time, or compute something wrong."""

    calls: tuple = ()

    def __init__(self, threads):
        self.threads = threads

    def open(self, n_states): ...

    def prepare(self, name): ...

    def stop(self): ...

    def check(self, name):
        from benchmarks.peers.verify import Check

        return Check(9.0 if name == "plain" else 1.0, 0.01)

    def calibrate(self, name, seconds):
        return 16

    def lap(self, name, seed):
        OneStep.calls += ((name, self.threads, seed),)
        return {"pgbench": 2.0 * seed, "numpy": 20.0 * seed}[name] / self.threads


def test_rounds_are_interleaved_and_ratios_are_per_round(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.peers.race.Worker", OneStep)
    monkeypatch.setattr(OneStep, "calls", ())
    nothing = {"make": None, "batch": 1}
    result = race(
        {
            "pgbench": Contender("pgbench", "pgbench", threads=(1, 2), **nothing),
            "plain": Contender("plain", "a wrong one", **nothing),
            "numpy": Contender("numpy", "NumPy", largest=10, **nothing),
        },
        sizes=(10, 100),
        threads=(1, 2),
        rounds=3,
        seconds=1,
    )
    forth = [("pgbench", 1), ("numpy", 1), ("pgbench", 2)]
    expected = [(*s, 1) for s in forth] + [(*s, 2) for s in forth[::-1]] + [(*s, 3) for s in forth]
    assert list(OneStep.calls[:9]) == expected
    text = table(result)
    assert "| pgbench | 1 | 4.00 (2.00-6.00) | 4.00 (2.00-6.00) |" in text
    assert "| a wrong one | 1 | wrong | wrong |" in text
    assert "| NumPy | 1 | 40.0 (20.0-60.0) | - |" in text
    assert "| NumPy / pgbench | ≥ 30 | **10.0** | - |" in text
    assert "| pgbench, 1 thread / 2 threads | ≥ 1.8 | 2.00 | 2.00 |" in text
    draw(result, tmp_path / "peers.png")
    assert (tmp_path / "peers.png").stat().st_size > 5000
