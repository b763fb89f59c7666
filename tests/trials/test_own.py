"""A user's file through the command: every mistake in it gets its sentence, never a traceback."""

from pathlib import Path

import numpy as np
import pytest

from pgbench.__main__ import main
from pgbench.trials import examination, guard, own
from pgbench.trials.battery import cases
from pgbench.trials.trajectories import Trajectories, drawn

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
    "NumPy's generator": (
        "    return np.random.standard_normal(15)",
        ["gave two estimates from the same batch", "numpy.random's global generator",
         "draw from batch.rng"],
    ),
    "Python's generator": (
        "    return batch.theta + random.random()", ["It draws from Python's random"],
    ),
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
    monkeypatch.setattr(guard, "PATIENCE", 0.3)
    source = f"import time\ndef estimate(batch):\n    if True:\n        {swallowed}\n"
    code, _, errors = examined(source, *QUICK)
    assert code == 2
    assert "did not return within 0.3 s and was stopped" in errors


def test_an_endless_import_is_stopped(examined, monkeypatch):
    monkeypatch.setattr(own, "IMPORT_SECONDS", 0.3)
    code, _, errors = examined("while True: pass\n")
    assert code == 2
    assert "importing it did not return" in errors


def test_a_slow_function_is_refused_in_words_and_not_timed_for_long(examined, monkeypatch):
    monkeypatch.setattr(examination, "LONGEST", 1.0)
    source = "import time\ndef estimate(batch):\n    time.sleep(0.02)\n    return batch.theta\n"
    code, _, errors = examined(source)
    assert code == 2
    assert "is slow: 0.0" in errors
    assert f"Even 200 estimates on each of {len(cases())} problems would take" in errors
    assert "--replicates 200 does it nevertheless" in errors


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


def test_batches_are_what_is_documented():
    for case in cases():
        batches = drawn(case, 40, 0, case.batch_size)
        mdp, pi, psi = case.truth.mdp, case.truth.pi, case.truth.policy.scores(case.truth.theta)
        for r in range(40):
            b = batches[r]
            N, T, d = case.batch_size, case.horizon, case.truth.theta.size
            assert b.states.shape == b.rewards.shape == b.mask.shape == (N, T)
            assert b.scores.shape == (N, T, d)
            assert b.features.shape == (b.n_states, b.n_actions, d)
            for n in range(N):
                steps = int(b.mask[n].sum())
                assert b.mask[n, :steps].all()
                s, a, after = b.states[n], b.actions[n], b.next_states[n]
                assert (b.probabilities[n, :steps] == pi[s[:steps]]).all()
                assert (b.scores[n, :steps] == psi[s[:steps], a[:steps]]).all()
                assert (after[: steps - 1] == s[1:steps]).all()
                assert b.ended[n] == mdp.terminal[after[steps - 1]]
                assert b.ended[n] or steps == T
                for array in (s, a, after, b.rewards[n], b.scores[n], b.probabilities[n]):
                    assert not array[steps:].any()


def test_features_give_the_policy_and_its_scores(differentiate):
    for case in cases():
        b = drawn(case, 1, 0, case.batch_size)[0]

        def log_pi(theta, features=b.features):
            logits = features @ theta
            return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

        np.testing.assert_allclose(np.exp(log_pi(b.theta)), case.truth.pi, atol=1e-14)
        slopes = differentiate(log_pi, b.theta)
        where = b.mask
        np.testing.assert_allclose(
            b.scores[where], slopes[b.states[where], b.actions[where]], atol=1e-9
        )


def test_a_batch_cannot_be_written_to_and_has_its_own_random_numbers():
    batches = drawn(cases()[0], 2, 0, 4)
    one, same, other = batches[0], batches[0], batches[1]
    for value in vars(one).values():
        assert not isinstance(value, np.ndarray) or not value.flags.writeable
    first = one.rng.random(3)
    assert (first == same.rng.random(3)).all()
    assert (first != other.rng.random(3)).all()


def test_the_page_about_it_has_every_field_and_a_first_example_that_works(examined):
    page = (Path(__file__).parents[2] / "docs" / "own-estimator.md").read_text(encoding="utf-8")
    for field in Trajectories.__dataclass_fields__:
        assert f"`{field}`" in page
        assert field in (Trajectories.__doc__ or "")
    example = page.split("```python\n")[1].split("```")[0]
    code, out, _ = examined(example, "--replicates", "250")
    assert code == 0
    assert "equals reinforce to rounding" in " ".join(out.split())
