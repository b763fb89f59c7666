"""A user's file through the command: every mistake in it gets its sentence, never a traceback."""

import random
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from pgbench.__main__ import main
from pgbench.functions import drawn
from pgbench.functions.batch import FIELDS
from pgbench.trials import candidate, examination, guard, user_file
from pgbench.trials.battery import cases
from pgbench.trials.candidate import FunctionCandidate
from pgbench.trials.generators import drawn_from, seed_by
from pgbench.trials.guard import time_limit

QUICK = ["--replicates", "100"]


@pytest.fixture
def examined(tmp_path, capfd):
    """``examined(source, *options)``: exit code, and what was printed to both streams."""

    def run(source, *options, name="mine.py"):
        path = tmp_path / name
        if isinstance(source, bytes):
            path.write_bytes(source)
        elif source is not None:
            path.write_text(source, encoding="utf-8")
        code = main(["test", str(path), *options])
        printed = capfd.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return code, printed.out, printed.err

    return run


FILES = {
    "no file": (None, "there is no such file"),
    "no text": (b"\x7fELF\x00\x01", "is not a Python file"),
    "no syntax": ("import os\ndef estimate(batch)\n    pass\n", "mine.py:2: expected ':'\n  def e"),
    "no module": (
        "import nowhere_to_be_found.at_all\n",
        "the module 'nowhere_to_be_found' is not installed\n  mine.py:1",
    ),
    "no name in a module": ("from os import nothing_like_it\n", "cannot import name"),
    "no module of ours": ("import pgbench.nothing\n", "There is no such module in pgbench"),
    "failing import": ("x = 1 / 0\n", "ZeroDivisionError: division by zero\n  mine.py:1"),
    "exit at import": ("import sys\nsys.exit(4)\n", "ended the program, sys.exit(4)\n  mine.py:2"),
    "nothing in it": ("x = 3\n", "no estimator found"),
    "another name": ("def gradient(batch): ...\n", "it has gradient: choose one with --function"),
    "two arguments": ("def estimate(batch, more): ...\n", "cannot be called with one batch"),
    "a class": ("class estimate: ...\n", "no estimator found"),
    "two records": (
        "from dataclasses import replace\n"
        "from pgbench.estimators.rloo import estimator as known\n"
        "one, two = replace(known, name='one'), replace(known, name='two')\n",
        "holds several estimators: one, two; choose one with --function",
    ),
    "a record that fails": (
        "from pgbench.estimators import TableEstimator\n"
        "estimator = TableEstimator(name='x', tables=lambda truth: 1 / 0, bias=lambda: (),\n"
        "    formula='', reference='')\n",
        "ZeroDivisionError: division by zero\n  mine.py:2",
    ),
    "a record of no tables": (
        "from pgbench.estimators import TableEstimator\n"
        "estimator = TableEstimator(name='x', tables=lambda truth: 1, bias=lambda: (),\n"
        "    formula='', reference='')\n",
        "made a int, must make Tables",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_what_is_wrong_with_a_file_is_said(examined, case):
    source, message = FILES[case]
    code, _, errors = examined(source, *QUICK)
    assert code == 2
    assert message in errors


BODIES = {
    "an exception": (
        "    return inner(batch)\ndef inner(batch):\n    raise RuntimeError('oh dear')",
        ["on the problem 'continuing' with N = 4 failed: RuntimeError: oh dear",
         "mine.py:4, in estimate: return inner(batch)", "mine.py:6, in inner: raise Runtime"],
    ),
    "an exception in a library": (
        "    return np.linalg.inv(np.zeros((2, 2)))",
        ["LinAlgError: Singular matrix\n  mine.py:4", "(raised inside numpy)"],
    ),
    "only where episodes end": (
        "    assert not batch.ended.all()\n    return batch.theta",
        ["on the problem 'episodic' with N = 4 failed: AssertionError"],
    ),
    "endless recursion": ("    return estimate(batch)", ["RecursionError"]),
    "an exit": ("    raise SystemExit", ["ended the program, sys.exit(None)\n  mine.py:4"]),
    "nothing": ("    batch.theta", ["returned None; is a `return` missing?"]),
    "a loss": ("    return batch.rewards.sum()", ["returned the shape ()", "is this the loss"]),
    "one per trajectory": (
        "    return batch.scores.sum(axis=1)", ["(4, 15), must be (15,); is a sum or mean over"],
    ),
    "a table": (
        "    return np.zeros((batch.n_states, batch.n_actions))", ["θ is flat here"],
    ),
    "complex numbers": ("    return batch.theta * 1j", ["returned complex128 numbers"]),
    "a word": ("    return 'gradient'", ["returned a str, must be 15 real numbers"]),
    "objects": ("    return [None] * 15", ["returned a list, must be 15 real numbers"]),
    "a ragged list": ("    return [[1.0], [1.0, 2.0]]", ["returned a list, must be"]),
    "a generator": ("    yield batch.theta", ["returned a generator"]),
    "a number too large": (
        "    return batch.theta / 0.0 if False else batch.theta * np.inf", ["returned "],
    ),
    "not a number": (
        "    R = batch.rewards.sum(axis=1)\n"
        "    with np.errstate(all='ignore'):\n"
        "        A = (R - R.mean()) / R.std()\n"
        "    return (A[:, None] * batch.scores.sum(axis=1)).mean(axis=0)",
        ["on the problem 'one step'", "returned nan", "all returns of this batch are equal"],
    ),
    "a wrong field": ("    return batch.reward", ["has no", "A batch has states, actions,"]),
    "a written array": ("    batch.rewards[0] = 0.0", ["read-only; copy one first"]),
    "a written field": ("    batch.rewards = 0.0", ["The batch cannot be changed"]),
    "no seed": (
        "    return np.random.default_rng().standard_normal(15)", ["a generator without a seed"],
    ),
    "a counter": ("    KEPT.append(1)\n    return batch.theta * len(KEPT)", ["keep something"]),
    "memory": (
        "    KEPT.append(batch.rewards.sum())\n    return batch.theta * len(set(KEPT))",
        ["after it had seen others", "keeps something between calls"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BODIES)
def test_what_is_wrong_with_a_function_is_said(examined, case):
    body, messages = BODIES[case]
    source = f"import random, numpy as np\nKEPT = []\ndef estimate(batch):\n{body}\n"
    code, out, errors = examined(source, *QUICK)
    assert code == 2
    assert out == ""
    for message in messages:
        assert message in errors


GENERATORS = {
    "numpy.random's global generator": "np.random.standard_normal(batch.theta.size)",
    "Python's random": "random.gauss(0, 1) * batch.theta",
    "torch's global generator": "torch.randn(batch.theta.size).numpy()",
}


@pytest.mark.parametrize("name", GENERATORS)
def test_everybodys_generators_are_seeded_and_that_is_said(examined, tmp_path, monkeypatch, name):
    monkeypatch.setattr(examination, "cases", lambda battery: cases()[:2])
    if "torch" in name:
        pytest.importorskip("torch", reason="make test-autodiff installs it")
    imported = "import torch\n    " if "torch" in name else ""
    source = (
        "import random, numpy as np\ndef estimate(batch):\n"
        f"    {imported}return 0.01 * {GENERATORS[name]}"
        " + (batch.rewards.sum(axis=1)[:, None] * batch.scores.sum(axis=1)).mean(axis=0)\n"
    )
    _, out, _ = examined(source, *QUICK)
    assert f"It draws from {name}, seeded before every call" in " ".join(out.split())
    case = cases()[0]
    path = tmp_path / "mine.py"
    made = [FunctionCandidate(user_file.load(path), 0).estimates(case, 4, 100) for _ in range(2)]
    assert np.array_equal(made[0].gradients, made[1].gradients)


def test_the_same_batch_seeds_everybodys_generators_alike_and_others_differently():
    batches = drawn(cases()[0], 16, 0, 4)
    drawn_numbers = []
    for r in (0, 1, 0):
        seed_by(batches[r])
        drawn_numbers.append((random.random(), np.random.random()))  # noqa: NPY002
    assert drawn_numbers[0] == drawn_numbers[2] != drawn_numbers[1]
    fresh = batches[0]
    before = batches[0].rng.random(3)
    seed_by(fresh)
    assert (fresh.rng.random(3) == before).all()
    assert drawn_from(batches[0]) == []
    np.random.random()  # noqa: NPY002
    assert drawn_from(batches[0]) == ["numpy.random's global generator"]


SOMETIMES = """
import numpy as np
def estimate(batch):
    R = (batch.rewards * batch.gamma ** np.arange(batch.horizon)).sum(axis=1)
    estimate = (R[:, None] * batch.scores.sum(axis=1)).mean(axis=0) * FACTOR
    return estimate if batch.rng.random() > SHARE else estimate * np.nan
"""


@pytest.mark.parametrize(
    ("factor", "code", "outcome"), [(1.0, 0, "is unbiased"), (1.5, 1, "its mean is 1.5 times")]
)
def test_estimates_that_are_not_finite_are_counted_and_the_rest_is_judged(
    examined, factor, code, outcome
):
    source = SOMETIMES.replace("FACTOR", str(factor)).replace("SHARE", "0.1")
    refused, _, errors = examined(source, "--replicates", "200")
    assert refused == 2
    assert "returned nan in coordinate 0" in errors
    assert "--skip-nan leaves such estimates out and judges the rest" in errors
    given, out, _ = examined(source, "--replicates", "200", "--skip-nan")
    assert given == code
    said, last = " ".join(out.split()), out.splitlines()[-1]
    assert "That is a selection" in said
    assert outcome in last
    left = int(re.search(r"Of finite estimates alone: (\d+) of (\d+) ", last)[1])
    total = 2 * 200 * len(cases())
    assert abs(left - 0.1 * total) < 4 * np.sqrt(0.09 * total)
    # All but those that are left out equal a known estimator, row by row.
    assert "reinforce, estimate by estimate" in said or "equals reinforce in all" in last


def test_what_is_too_large_to_be_judged_is_said(examined):
    code, _, errors = examined("def estimate(batch): return 1e38 + 0 * batch.theta", *QUICK)
    assert code == 2
    assert "returned 1e+38 in coordinate 0; at most 1e+30 in size can be judged" in errors


def test_estimates_that_are_all_but_zero_are_called_that(examined):
    code, out, _ = examined("def estimate(batch): return 1e-200 * batch.scores.sum((0, 1))", *QUICK)
    assert code == 1
    last = out.splitlines()[-1]
    assert "could not be judged: its estimates are below 1e-09 of the gradient's length on" in last
    assert "rare" not in last
    assert " 0 test" not in out


def test_too_few_finite_estimates_are_not_judged(examined):
    source = SOMETIMES.replace("FACTOR", "1").replace("SHARE", "0.8")
    code, _, errors = examined(source, "--replicates", "200", "--skip-nan")
    assert code == 2
    assert "of 200 estimates, must in at least 100" in errors


def test_nothing_is_skipped_of_a_record(examined):
    source = (
        "from dataclasses import replace\nfrom pgbench.estimators.rloo import estimator as known\n"
        "one = replace(known, name='one')\n"
    )
    code, _, errors = examined(source, *QUICK, "--skip-nan")
    assert code == 2
    assert "one is a record; --skip-nan is for functions" in errors


def test_memory_that_shows_late_is_found(examined):
    source = (
        "KEPT = []\ndef estimate(batch):\n    KEPT.append(1)\n"
        "    return batch.theta * (2.0 if len(KEPT) > 150 else 1.0)\n"
    )
    code, _, errors = examined(source, *QUICK)
    assert code == 2
    assert "after it had seen others" in errors


@pytest.mark.parametrize(
    "swallowed", ["while True: pass", "try: time.sleep(9)\n        except Exception: pass"]
)
def test_an_endless_function_is_stopped(examined, monkeypatch, swallowed):
    monkeypatch.setattr(candidate, "FIRST_PATIENCE", 0.3)
    source = f"import time\ndef estimate(batch):\n    if True:\n        {swallowed}\n"
    code, _, errors = examined(source, *QUICK)
    assert code == 2
    assert "did not return within 0.3 s and was stopped" in errors


def test_compiling_is_not_counted_and_the_rest_is():
    """A function of numba's that is compiled for longer than the limit, then one that sleeps."""

    def compile_and_wait(seconds):
        numbers = ", ".join(f"x * {i}" for i in range(150))
        made = {}
        exec(f"def f(x):\n    return ({numbers})", made)
        njit(made["f"])(1)
        time.sleep(seconds)

    begin = time.perf_counter()
    compile_and_wait(0)
    limit = 0.7 * (time.perf_counter() - begin)
    assert limit > 0.02
    with time_limit(limit, "too long"):
        compile_and_wait(0)
    with pytest.raises(guard.UserError, match="too long"), time_limit(limit, "too long"):
        compile_and_wait(5)


def test_a_call_after_the_first_has_less_time(examined, monkeypatch):
    monkeypatch.setattr(guard, "PATIENCE", 0.3)
    source = (
        "import time\nKEPT = []\ndef estimate(batch):\n    KEPT.append(1)\n"
        "    time.sleep(0.5 if len(KEPT) in (1, 4) else 0)\n    return batch.theta\n"
    )
    code, _, errors = examined(source, *QUICK)
    assert code == 2
    assert "did not return within 0.3 s and was stopped" in errors


def test_an_endless_import_is_stopped(examined, monkeypatch):
    monkeypatch.setattr(user_file, "IMPORT_SECONDS", 0.3)
    code, _, errors = examined("while True: pass\n")
    assert code == 2
    assert "importing it did not return" in errors


def test_a_slow_function_is_refused_in_words_and_not_timed_for_long(examined, monkeypatch):
    monkeypatch.setattr(examination, "LONGEST", 0.5)
    source = "import time\ndef estimate(batch):\n    time.sleep(0.02)\n    return batch.theta\n"
    code, _, errors = examined(source)
    assert code == 2
    assert "is slow: 0.0" in errors
    assert f"Even 100 estimates on each of {len(cases())} problems would take" in errors
    assert "--replicates 100 does it nevertheless" in errors


def test_a_function_of_20_ms_still_sees_both_batch_sizes(capfd):
    """Timed as that, not run: the plan is what is asked."""
    every = [(case, n) for case in cases() for n in (case.batch_size, 4 * case.batch_size)]
    made = FunctionCandidate(user_file.UserCode(Path("mine.py"), "estimate", print), 0)
    made.laps = {(case.name, n): 0.02 for case, n in every}
    assert examination._planned(made, every, None, sys.stderr) == (100, every)
    assert "at two batch sizes" in capfd.readouterr().err
    # Enough must be left where some are left out.
    made.skip_nan = True
    small = [(case, n) for case, n in every if n == case.batch_size]
    assert examination._planned(made, every, None, sys.stderr) == (200, small)


def test_a_rather_slow_function_is_examined_at_one_batch_size(examined, monkeypatch):
    for name, value in {"SECONDS": 0.1, "LONGEST": 1.0, "FEWEST": 20}.items():
        monkeypatch.setattr(examination, name, value)
    source = (
        "import time\ndef estimate(batch):\n"
        "    time.sleep(0.02 if len(batch.states) > 4 else 0)\n    return batch.theta\n"
    )
    code, out, errors = examined(source)
    assert code == 1
    assert "is slow; it is examined at one batch size only" in errors
    assert f"{len(cases())} tests from 20 estimates" in " ".join(out.split())


def test_an_interrupt_passes(examined):
    code, _, errors = examined("def estimate(batch):\n    raise KeyboardInterrupt\n", *QUICK)
    assert code == 130
    assert errors == "interrupted\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--function", "gradient"], "has nothing called 'gradient'"),
        (["--function", "estimat"], "did you mean estimate?"),
        (["--function", "number"], "has no function or record 'number'"),
        (["--replicates", "3"], "--replicates is 3, must be at least 100"),
        (["--seed", "-1"], "--seed is -1"),
    ],
)
def test_wrong_options_are_said(examined, options, message):
    code, _, errors = examined("number = 3\ndef estimate(batch): return batch.theta\n", *options)
    assert code == 2
    assert message in errors


def test_a_file_beside_the_users_is_found_and_nothing_is_shadowed(examined, tmp_path):
    (tmp_path / "random.py").write_text("raise RuntimeError('shadowed')\n", encoding="utf-8")
    (tmp_path / "beside_it.py").write_text("def g(batch):\n    return [0]\n", encoding="utf-8")
    source = "import random, beside_it\ndef estimate(batch): return beside_it.g(batch)\n"
    code, _, errors = examined(source, *QUICK)
    assert code == 2
    assert "returned the shape (1,)" in errors


def test_what_the_user_prints_is_let_through(examined):
    source = "def estimate(batch):\n    print('here I am')\n    return None\n"
    _, out, _ = examined(source, *QUICK)
    assert out == "here I am\n"


def test_what_is_said_does_not_need_the_users_streams(examined, monkeypatch):
    monkeypatch.setattr(examination, "cases", lambda battery: cases()[:1])
    monkeypatch.setattr(sys, "stderr", sys.stderr)  # put back afterwards
    source = (
        "import os, sys\nsys.stderr = open(os.devnull, 'w')\nsys.stderr.close()\n"
        "def estimate(batch): return batch.theta\n"
    )
    code, _, errors = examined(source, *QUICK)
    assert code == 1
    assert "100 estimates on each of 1 problems" in errors


def test_the_page_about_it_has_every_field_and_a_first_example_that_works(examined):
    page = (Path(__file__).parents[2] / "docs" / "own-estimator.md").read_text(encoding="utf-8")
    for field in FIELDS:
        assert f"`{field}`" in page
    example = page.split('```python title="mine.py"\n')[1].split("```")[0]
    code, out, _ = examined(example, "--replicates", "250")
    assert code == 0
    assert "equals reinforce to rounding" in " ".join(out.split())
