"""Calls of a user's code: what goes wrong in it becomes one message, never our traceback."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pgbench.arrays import BoolArray, FloatArray
from pgbench.harness.child import doing, overdue, postpone
from pgbench.kernels.compiling import compiled_seconds
from pgbench.trials.user_batches import UserBatch

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds that one call may take, without what numba compiles in it."""

FIRST_PATIENCE = 60.0
"""The same of the first call, in which JAX and PyTorch may compile, which nobody can time."""


class UserError(ValueError):
    """Something is wrong with the user's file; the message says what, in words for its author."""


class _Stopped(BaseException):
    """The time is up; no Exception, so that user code that catches those does not catch this."""


@contextmanager
def time_limit(seconds: float, message: str) -> Iterator[None]:
    """UserError with this message if the body takes longer, what numba compiles not counted.

    Works on the main thread of systems with interval timers; elsewhere there is no limit. Compiled
    code is stopped when it comes back to the interpreter. What is not stopped so, or takes no
    notice, ends with its process where that is a child.
    """
    main = threading.current_thread() is threading.main_thread()
    if not (main and hasattr(signal, "setitimer")):
        yield
        return

    begin, compiled = time.perf_counter(), compiled_seconds()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        spent = time.perf_counter() - begin - (compiled_seconds() - compiled)
        if spent < seconds:
            postpone(seconds - spent)
            return
        raise _Stopped

    before = signal.signal(signal.SIGALRM, stop)
    # Again and again: a bare except may swallow the first, and the first may come too early.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    except _Stopped:
        raise UserError(message) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def guarded(path: Path, what: str, body: Callable[[], T], seconds: float | None = None) -> T:
    """What the body returns; UserError says what it raised, and where in the user's own files.

    what names the call, such as ``my.py: estimate``; by default it may take ``PATIENCE`` seconds.
    A copy of the process that the body makes does not come back from it.
    """
    limit = PATIENCE if seconds is None else seconds
    process = os.getpid()
    try:
        with doing(what, limit), time_limit(limit, overdue(what, limit)):
            return body()
    except (KeyboardInterrupt, UserError):
        raise
    except SystemExit as stop:
        where = frames(path, stop.__traceback__)
        raise UserError(f"{what} ended the program, sys.exit({stop.code!r}){where}") from None
    except BaseException as error:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        where = frames(path, error.__traceback__)
        raise UserError(f"{what} failed: {text}{where}{_advice(error)}") from None
    finally:
        if os.getpid() != process:
            os._exit(0)


def frames(path: Path, trace: TracebackType | None) -> str:
    """The lines of the user's own files that a traceback went through, the innermost last."""
    own = path.resolve().parent
    lines, inside = [], ""
    for frame in traceback.extract_tb(trace):
        file = Path(frame.filename)
        if file.parent == own or (own in file.parents and "site-packages" not in file.parts):
            lines.append(f"\n  {file.name}:{frame.lineno}, in {frame.name}: {frame.line}")
            inside = ""
        elif lines:
            inside = _package(file)
    return "".join(lines[-6:]) + (f"\n  (raised inside {inside})" if inside else "")


def _package(file: Path) -> str:
    parts = file.parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    return file.stem


def _advice(error: BaseException) -> str:
    text = str(error)
    if "read-only" in text:
        return "\n  The arrays of the batch are read-only; copy one first: batch.rewards.copy()"
    if type(error).__name__ == "FrozenInstanceError":
        return "\n  The batch cannot be changed; give the new array a name of your own."
    if isinstance(error, AttributeError) and "UserBatch" in text:
        fields = ", ".join(UserBatch.__dataclass_fields__)
        return f"\n  A batch has {fields}."
    return ""


def numbers(result: Any, batch: UserBatch, what: str) -> FloatArray:
    """The estimate (d,) float64 of what was returned.

    Takes what NumPy can read, PyTorch tensors and JAX arrays among it. UserError says what is wrong
    with anything but d real numbers.
    """
    d = batch.theta.size
    if result is None:
        raise UserError(f"{what} returned None; is a `return` missing?")
    if hasattr(result, "detach"):
        result = result.detach().cpu()
        if str(result.dtype) == "torch.bfloat16":  # NumPy has none
            result = result.float()
    try:
        array = np.asarray(result)
    except Exception:  # of whatever kind an array-like thing raises
        array = np.asarray(None)
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        complexes = f"{array.dtype} numbers"
        kind = complexes if array.dtype.kind == "c" else f"a {type(result).__name__}"
        raise UserError(f"{what} returned {kind}, must be {d} real numbers, shape ({d},)")
    if array.shape != (d,):
        hint = _shape_hint(array, batch)
        raise UserError(f"{what} returned the shape {array.shape}, must be ({d},){hint}")
    return array.astype(np.float64)


LARGEST = 1e30
"""Estimates are at most of this size, as rewards are: statistics need their eighth powers."""


def usable(values: FloatArray) -> BoolArray:
    """Which numbers can be judged: those that are finite, and not larger than ``LARGEST``."""
    return np.isfinite(values) & (np.abs(values) <= LARGEST)


def check_usable(values: FloatArray, batch: UserBatch, what: str) -> None:
    """UserError, with a likely cause, if not all numbers of an estimate (d,) can be judged."""
    bad = np.flatnonzero(~usable(values))
    if bad.size:
        k = int(bad[0])
        why = f"; at most {LARGEST:g} in size can be judged"
        why = why if np.isfinite(values[k]) else _cause(batch)
        raise UserError(
            f"{what} returned {values[k]:g} in coordinate {k}{why}"
            "\n  --skip-nan leaves such estimates out and judges the rest."
        )


def _shape_hint(array: NDArray[Any], batch: UserBatch) -> str:
    N, T = batch.mask.shape
    d = batch.theta.size
    if array.shape == ():
        return "; is this the loss, and not its gradient?"
    if array.size == d:
        return "; θ is flat here: return it .ravel()ed"
    if array.shape in ((N, d), (N, T, d)):
        axes = "trajectories" if array.ndim == 2 else "trajectories and steps"
        return f"; is a sum or mean over {axes} missing?"
    return ""


def _cause(batch: UserBatch) -> str:
    """A likely cause of what is not finite, as far as the batch shows one."""
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
    if (batch.probabilities == 0).any() and not batch.mask.all():
        causes.append("probabilities are 0 where mask is false, and their logarithm is -inf")
    return "".join(f"\n  Maybe: {cause}." for cause in causes)
