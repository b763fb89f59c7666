"""Whether a function of a batch is one: the same batch must give the same estimate."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.functions import AnyBatch, Batches
from pgbench.functions.result import UserError

Call = Callable[[Any], FloatArray]


def check_repeatable(call: Call, batches: Batches, what: str) -> FloatArray:
    """The estimate from the first batch, once it is certain that it hangs on nothing else.

    UserError if the same batch gives another estimate the second time, or after another batch, or
    if the function writes into its batch.
    """
    one = batches[0]
    first = call(one)
    _check_untouched(one, batches[0], what)
    again = call(batches[0])
    if not same(first, again):
        raise UserError(
            f"{what} gave two estimates from the same batch, {_apart(first, again)}. Does it keep"
            " something between calls, or make a generator without a seed? Random numbers are in"
            " batch.rng"
        )
    call(batches[1])
    check_forgetful(call, batches, first, what)
    return first


def check_forgetful(call: Call, batches: Batches, first: FloatArray, what: str) -> None:
    """UserError if other batches in between have changed the estimate from the first one."""
    later = call(batches[0])
    if not same(first, later):
        raise UserError(
            f"{what} gave another estimate from the same batch after it had seen others,"
            f" {_apart(first, later)}. It keeps something between calls; estimates must be"
            " independent of each other"
        )


def same(a: FloatArray, b: FloatArray) -> bool:
    """Whether two estimates (d,) are one, but for sums that were made in another order."""
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return False
    # Parallel sums of single precision may end in other digits.
    gap = np.abs(a[finite] - b[finite]).max(initial=0.0)
    return bool(gap <= 1e-5 * np.abs(a[finite]).max(initial=0.0))


def _apart(a: FloatArray, b: FloatArray) -> str:
    k = int(np.nan_to_num(np.abs(a - b), nan=np.inf).argmax())
    return f"{a[k]:.6g} and {b[k]:.6g} in coordinate {k}"


def _check_untouched(batch: AnyBatch, fresh: AnyBatch, what: str) -> None:
    for name, value in vars(batch).items():
        if isinstance(value, np.ndarray) and not np.array_equal(getattr(fresh, name), value):
            raise UserError(
                f"{what} wrote into batch.{name} (through a tensor that shares its memory?);"
                " copy it first"
            )
