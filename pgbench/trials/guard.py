"""Calls of a user's code: what goes wrong in it becomes one message, never our traceback."""

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import TypeVar

import pgbench
from pgbench.functions.fields import AnyBatch, fields
from pgbench.functions.result import UserError
from pgbench.harness.child import doing, overdue, postpone
from pgbench.kernels.compiling import Stopwatch

T = TypeVar("T")

OURS = Path(pgbench.__file__).resolve().parent
"""What is raised in here was raised on behalf of the user's code."""

PATIENCE = 20.0
"""Seconds that one call may take, without what numba compiles in it."""

FIRST_PATIENCE = 60.0
"""The same of the first call, in which JAX and PyTorch may compile, which nobody can time."""


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

    watch = Stopwatch()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if (spent := watch.seconds) < seconds:
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
        elif lines and OURS not in file.parents:
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
    if isinstance(error, AttributeError) and isinstance(error.obj, AnyBatch):
        return f"\n  A batch has {', '.join(fields(type(error.obj)))}."
    return ""
