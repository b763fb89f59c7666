"""The contenders of the side-by-side compute the same thing, and the check would notice if not."""

import json
import shutil

import numpy as np
import pytest

from benchmarks.peers.__main__ import main
from benchmarks.peers.contenders import CONTENDERS
from benchmarks.peers.table import table
from benchmarks.peers.verify import check
from benchmarks.peers.workload import make_workload

HORIZON = 12
C = ("c_lockstep", "c_two_draws", "c_avx512", "c_plain")
HERE = ("pgbench", "numpy", "gymnasium")


@pytest.fixture(scope="module")
def workload():
    return make_workload(20, HORIZON)


def outcome(workload, name, run=None):
    contender = CONTENDERS[name]
    run = run or contender.make(workload)
    return check(workload, run, contender.gives, contender.check_batches * contender.batch)


def test_exact_weights_pull_back_to_the_exact_gradient(workload):
    weights, pi = workload.weights, workload.pi
    centred = weights - pi * weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(centred, workload.gradient, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", [*HERE, *C])
def test_contenders_agree_with_the_exact_answer(workload, name):
    contender = CONTENDERS[name]
    if name in C and shutil.which("gcc") is None:
        pytest.skip("there is no gcc")
    if contender.absence():
        pytest.skip(contender.absence())
    result = outcome(workload, name)
    assert result.passed, result


def test_a_contender_without_discount_is_noticed(workload):
    undiscounted = make_workload(20, HORIZON)
    undiscounted.__dict__["discounts"] = np.ones(HORIZON)
    run = CONTENDERS["numpy"].make(undiscounted)
    assert not outcome(workload, "numpy", run).passed


def test_a_contender_that_is_one_per_cent_off_is_noticed(workload):
    right = CONTENDERS["pgbench"].make(workload)
    assert not outcome(workload, "pgbench", lambda n, seed: 1.01 * right(n, seed)).passed


def test_what_is_not_a_number_does_not_pass(workload):
    nothing = np.full(workload.pi.shape, np.nan)
    assert not outcome(workload, "pgbench", lambda n, seed: nothing).passed


def test_table_holds_medians_and_marks_missed_targets():
    places = {("pgbench", 1): [4.0, 5.0, 9.0], ("c_lockstep", 1): [4.0, 4.0, 4.0]}
    result = {
        "machine": {"created": "2000-01-01T", "cpu": "x", "python": "3", "revision": "r",
                    "versions": {"numpy": "2"}},
        "titles": {"pgbench": "ours", "c_lockstep": "theirs"},
        "checks": [{"n_states": 10, "name": n, "threads": t, "passed": True} for n, t in places],
        "laps": [{"n_states": 10, "name": n, "threads": t, "ns": ns}
                 for (n, t), ns in places.items()],
    }  # fmt: skip
    text = table(result)
    assert "| ours | 1 | 5.00 (4.00-9.00) |" in text
    assert "| pgbench / C in lock step | ≤ 1.15 | **1.25** |" in text


@pytest.mark.slow
def test_command_writes_table_figure_and_data(tmp_path):
    arguments = ["--quick", "--sizes", "10", "--only", "pgbench,numpy", "--threads", "1"]
    assert main([*arguments, "--output", str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"peers.json", "peers.png", "table.md"}
    laps = json.loads((tmp_path / "peers.json").read_text())["laps"]
    assert {lap["name"] for lap in laps} == {"pgbench", "numpy"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "3"], "--sizes: 3 states, must be at least 4"),
        (["--sizes", "x"], "'x' is not a positive whole number"),
        (["--only", "jaxx"], "'jaxx' is unknown"),
        (["--threads", "5000"], "--threads: 5000, must be at most"),
    ],
)
def test_bad_options_are_named(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
