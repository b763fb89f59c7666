"""The shipped examples of estimators to examine, each with its verdict."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pgbench.__main__ import main
from pgbench.functions import drawn
from pgbench.trials.battery import cases
from pgbench.trials.user_file import load

EXAMPLES = Path(__file__).parents[2] / "examples"
FOR_H_STEPS = "is unbiased for ∇J_H, the gradient of the H-step objective."

VERDICTS = {
    "leave_one_out.py": (0, FOR_H_STEPS),
    "own_record.py": (0, "is what it declares (truncation)."),
    "pytorch_loss.py": (0, FOR_H_STEPS),
    "jax_grad.py": (0, FOR_H_STEPS),
    "running_baseline.py": (0, "cannot be told from θ + 0.1 ĝ with baseline_value"),
    "wrong_baseline.py": (1, "it is group_mean."),
}
POLICIES = {"torch_policy.py", "jax_policy.py"}
"""Examples of policies, which are no estimators: ``tests/policies/autodiff`` has them."""

NEEDS = {"pytorch_loss.py": "torch", "jax_grad.py": "jax"}

WITHOUT = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
from pgbench.__main__ import main
from pgbench.harness.child import Child
Child.perform = lambda child, function, *arguments: function(*arguments)
raise SystemExit(main(sys.argv[2:]))
"""
"""The command where a library cannot be imported."""


def need(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason="make test-autodiff installs it")


@pytest.mark.parametrize(
    "name", ["leave_one_out.py", "own_record.py", "running_baseline.py", "wrong_baseline.py"]
)
def test_the_page_shows_an_example_as_it_is(name):
    page = (EXAMPLES.parent / "docs" / "own-estimator.md").read_text(encoding="utf-8")
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert f'```python title="{name}"\n{text}```' in page


def test_every_example_is_tested():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*VERDICTS, *POLICIES}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(x, marks=pytest.mark.slow) if x == "running_baseline.py" else x
        for x in VERDICTS
    ],
)
def test_an_example_gets_its_verdict(name, capfd):
    need(name)
    code, last = VERDICTS[name]
    assert main(["test", str(EXAMPLES / name), "--replicates", "250"]) == code
    printed = capfd.readouterr().out
    assert last in printed.splitlines()[-1]
    if name in NEEDS:
        assert "It equals reward_to_go to rounding, estimate by estimate" in printed


@pytest.mark.parametrize("name", NEEDS)
def test_without_its_library_an_example_says_what_to_install(name):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, NEEDS[name], "test", str(EXAMPLES / name)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert f"the module '{NEEDS[name]}' is not installed" in done.stderr
    assert "pip install 'pgbench[autodiff]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", NEEDS)
def test_gradients_by_differentiation_are_sums_of_scores(name):
    """Reward-to-go times scores, written out, on a batch of every problem."""
    need(name)
    own = load(EXAMPLES / name)
    for case in cases():
        batch = drawn(case, 1, 0, case.batch_size)[0]
        to_go = np.array(batch.rewards)
        for t in reversed(range(batch.horizon - 1)):
            to_go[:, t] += batch.gamma * to_go[:, t + 1]
        weights = batch.gamma ** np.arange(batch.horizon) * to_go
        expected = np.einsum("nt,ntd->d", weights, batch.scores) / len(weights)
        np.testing.assert_allclose(
            np.asarray(own.thing(batch)), expected, atol=1e-4 * np.abs(expected).max()
        )
