"""Right losses in coarse formats pass, wrong ones are found; formats without NumPy are read."""

import numpy as np
import pytest

from pgbench.__main__ import main
from pgbench.functions import drawn
from pgbench.functions.result import numbers
from pgbench.trials import examination
from pgbench.trials.battery import cases
from pgbench.trials.precision import HALF, SINGLE, rounding, shift, unit_roundoff
from pgbench.trials.user_file import load

LOSS = """
import numpy as np

def rounded(x):
    # To the 8 bits of bfloat16, to nearest even.
    bits = np.asarray(x, np.float32).view(np.uint32)
    kept = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return kept.view(np.float32)

def gradient(batch, to=np.float64):
    # REINFORCE with every operation in the format, terms added one after another.
    features, theta = to(batch.features), to(batch.theta)
    logits = to(to(features * theta).sum(axis=2))
    p = to(np.exp(to(logits - logits.max(axis=1, keepdims=True))))
    p = to(p / to(p.sum(axis=1, keepdims=True)))
    scores = to(features - to(to(p[:, :, None] * features).sum(axis=1, keepdims=True)))
    discounts = to(batch.gamma ** np.arange(batch.horizon))
    returns = to(to(to(batch.rewards) * discounts).sum(axis=1))
    terms = to(scores[batch.states, batch.actions] * returns[:, None, None])
    total = to(np.zeros(theta.size))
    for term in terms[batch.mask]:
        total = to(total + term)
    return to(total / to(len(returns)))

def single(batch):
    return gradient(batch, np.float32)

def short(batch):
    return np.float32(1.001) * single(batch)

class Tensor:
    # As PyTorch's, whose bfloat16 NumPy cannot read.
    def __init__(self, values, dtype="torch.bfloat16"):
        self.values, self.dtype = values, dtype
    def detach(self):
        return self
    def cpu(self):
        return self
    def float(self):
        return Tensor(self.values, "torch.float32")
    def __array__(self, dtype=None, copy=None):
        if self.dtype == "torch.bfloat16":
            raise TypeError("unsupported ScalarType BFloat16")
        return np.asarray(self.values)

def half(batch):
    return Tensor(gradient(batch, rounded))

def half_summed(batch):
    # As accelerators do it: terms are rounded, their sum is not.
    p = rounded(np.exp(batch.features @ rounded(batch.theta)))
    p = rounded(p / p.sum(axis=1, keepdims=True))
    mean = (p[:, :, None] * batch.features).sum(axis=1, keepdims=True)
    scores = rounded(batch.features - mean)[batch.states, batch.actions] * batch.mask[:, :, None]
    returns = rounded((batch.rewards * batch.gamma ** np.arange(batch.horizon)).sum(axis=1))
    return Tensor(rounded((scores * returns[:, None, None]).sum(axis=(0, 1)) / len(returns)))

def half_short(batch):
    return Tensor(rounded(gradient(batch, rounded) * np.float32(0.75)))

def half_undiscounted(batch):
    returns = batch.rewards.sum(axis=1)
    return Tensor(rounded((returns[:, None] * batch.scores.sum(axis=1)).mean(axis=0)))

def ieee(batch):
    return gradient(batch, lambda x: np.asarray(x, np.float16))
"""


@pytest.fixture
def losses(tmp_path):
    path = tmp_path / "losses.py"
    path.write_text(LOSS, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "replicates", "code", "said"),
    [
        ("single", 200, 0, "equals reinforce in all 200 estimates"),
        ("short", 200, 1, "another length, on every problem"),
        ("half", 200, 1, "could not be judged"),
        ("half_summed", 200, 0, "is unbiased for ∇J_H"),
        ("ieee", 500, 0, "is unbiased for ∇J_H"),
        pytest.param("half_short", 200, 1, "another length", marks=pytest.mark.slow),
        pytest.param(
            "half_undiscounted", 200, 1, "is biased on episodic, chain", marks=pytest.mark.slow
        ),
    ],
)
def test_right_losses_pass_in_their_format_and_wrong_ones_do_not(
    losses, capfd, monkeypatch, name, replicates, code, said
):
    """On four problems, or on all where fewer do not show what is rounding and what is not."""
    if name in ("single", "short", "half", "ieee"):
        monkeypatch.setattr(examination, "cases", lambda battery: cases()[:4])
    given = main(["test", str(losses), "--function", name, "--replicates", f"{replicates}"])
    out = capfd.readouterr().out
    assert said in out.splitlines()[-1]
    assert given == code
    assert ("Rounding in the format" in out) == (name not in ("single", "short"))


def test_errors_of_a_loss_are_within_what_counts_as_rounding(losses):
    """Between its format and double precision, on every problem at both batch sizes."""
    gradient, rounded = (load(losses, name).thing for name in ("gradient", "rounded"))
    to = {"float32": np.float32, "bfloat16": rounded}
    for case in cases():
        for n in (case.batch_size, 4 * case.batch_size):
            batches = drawn(case, 40, 0, n)
            exact = np.stack([gradient(batches[r], np.float64) for r in range(40)])
            made = {
                k: np.stack([gradient(batches[r], f) for r in range(40)]) for k, f in to.items()
            }
            off = {k: x - exact for k, x in made.items()}
            single = rounding(made["float32"], batches)
            assert np.abs(off["float32"]).max() < 10 * single
            assert np.abs(off["float32"].mean(axis=0)).max() < single
            assert single < 1e-4 * np.abs(exact).max()
            moved = shift(HALF["bfloat16"], made["bfloat16"], batches)
            assert np.abs(off["bfloat16"].mean(axis=0)).max() < moved
            moved = shift(SINGLE, made["float32"], batches)
            assert np.abs(off["float32"].mean(axis=0)).max() < moved
            assert moved < 1e-4 * np.abs(exact).mean(axis=0).max()


def test_the_format_is_that_of_what_was_returned():
    assert unit_roundoff(np.zeros(2, np.float16)) == HALF["float16"] == np.finfo(np.float16).eps / 2
    assert unit_roundoff(np.zeros(2, np.float32)) == SINGLE == np.finfo(np.float32).eps / 2
    assert unit_roundoff(np.zeros(2)) == unit_roundoff([0.0, 1.0]) == SINGLE


def test_pytorchs_bfloat16_is_read():
    torch = pytest.importorskip("torch", reason="make test-autodiff installs it")
    case = cases()[0]
    batch = drawn(case, 16, 0, case.batch_size)[0]
    given = torch.full((batch.theta.size,), 1.5, dtype=torch.bfloat16)
    assert (numbers(given, batch, "it") == 1.5).all()
    assert unit_roundoff(given) == HALF["bfloat16"]
