"""What a function of a batch returned: d real numbers, or what is wrong with it in words."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgbench.arrays import BoolArray, FloatArray
from pgbench.functions.fields import AnyBatch


class UserError(ValueError):
    """Something is wrong with the user's file; the message says what, in words for its author."""


def numbers(result: Any, batch: AnyBatch, what: str) -> FloatArray:
    """The estimate (d,) float64 of what was returned, or (R, d) of R batches in one.

    Takes what NumPy can read, PyTorch tensors and JAX arrays among it. UserError says what is wrong
    with anything but d real numbers.
    """
    d = batch.theta.size
    shape = (*batch.mask.shape[:-2], d)
    if result is None:
        raise UserError(f"{what} returned None; is a `return` missing?")
    array = as_array(result)
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        complexes = f"{array.dtype} numbers"
        kind = complexes if array.dtype.kind == "c" else f"a {type(result).__name__}"
        raise UserError(f"{what} returned {kind}, must be {d} real numbers, shape {shape}")
    if array.shape != shape:
        hint = _shape_hint(array, batch)
        raise UserError(f"{what} returned the shape {array.shape}, must be {shape}{hint}")
    return array.astype(np.float64)


def as_array(result: Any) -> NDArray[Any]:
    """What NumPy reads of a tensor, an array or a list; None, as an array, of anything else."""
    if hasattr(result, "detach"):
        result = result.detach().cpu()
        if str(result.dtype) == "torch.bfloat16":  # NumPy has none
            result = result.float()
    try:
        return np.asarray(result)
    except Exception:  # of whatever kind an array-like thing raises
        return np.asarray(None)


LARGEST = 1e30
"""Estimates are at most of this size, as rewards are: statistics need their eighth powers."""


def usable(values: FloatArray) -> BoolArray:
    """Which numbers can be judged: those that are finite, and not larger than ``LARGEST``."""
    return np.isfinite(values) & (np.abs(values) <= LARGEST)


def check_usable(values: FloatArray, batch: AnyBatch, what: str) -> None:
    """UserError, with a likely cause, if not all numbers of an estimate (d,) can be judged."""
    bad = np.argwhere(~usable(values))
    if bad.size:
        place = tuple(bad[0])
        why = f"; at most {LARGEST:g} in size can be judged"
        why = why if np.isfinite(values[place]) else _cause(batch)
        raise UserError(
            f"{what} returned {values[place]:g} in coordinate {place[-1]}{why}"
            "\n  --skip-nan leaves such estimates out and judges the rest."
        )


def _shape_hint(array: NDArray[Any], batch: AnyBatch) -> str:
    N, T = batch.mask.shape[-2:]
    d = batch.theta.size
    if array.shape == ():
        return "; is this the loss, and not its gradient?"
    if array.size == d:
        return "; θ is flat here: return it .ravel()ed"
    if array.shape in ((N, d), (N, T, d)):
        axes = "trajectories" if array.ndim == 2 else "trajectories and steps"
        return f"; is a sum or mean over {axes} missing?"
    return ""


def _cause(batch: AnyBatch) -> str:
    """A likely cause of what is not finite, as far as the batch shows one."""
    if batch.mask.ndim > 2:
        return ""
    discounts = batch.gamma ** np.arange(batch.horizon)
    returns = (batch.rewards * discounts).sum(axis=1)
    alive = batch.mask.sum(axis=0)
    causes = []
    if np.ptp(returns) <= 1e-12 * np.abs(returns).max(initial=1e-300):
        causes.append(
            "all returns of this batch are equal, so their standard deviation is 0; was it divided"
            " by that? Add a small number to it"
        )
    if (alive == 0).any():
        t = int(np.flatnonzero(alive == 0)[0])
        causes.append(f"from step {t} on no trajectory of this batch is still running")
    elif (alive == 1).any():
        t = int(np.flatnonzero(alive == 1)[0])
        causes.append(f"at step {t} only one trajectory of this batch is still running")
    if not batch.mask.all():
        causes.append(batch.padding)
    return "".join(f"\n  Maybe: {cause}." for cause in causes)
