"""What children are told to do in tests; nothing heavy is imported, for it is imported there."""

import ctypes
import os
import signal
import sys
import time
import warnings

from pgbench.harness import child
from pgbench.harness.child import doing


def hold_the_interpreter(seconds: int) -> None:
    """Wait in compiled code that does not let the interpreter go, as an endless kernel would."""
    ctypes.PyDLL(None).sleep(seconds)


def hold_the_interpreter_as(what: str, allowed: float) -> None:
    """The same, where it is known what takes too long, and nobody waits any longer."""
    child.GRACE = 0.0
    with doing(what, allowed):
        hold_the_interpreter(60)


def vanish_while(what: str) -> None:
    """End the process in the midst of something."""
    with doing("something else"), doing(what):
        os._exit(3)


def take(n_bytes: int) -> int:
    """Hold memory for a while."""
    held = b"x" * n_bytes
    time.sleep(60)
    return len(held)


def fork_and_return() -> int:
    """A copy of the process that comes back too."""
    os.fork()
    return os.getpid()


def leave_a_grandchild(shape: str) -> int:
    """The identity of a process that does not end by itself."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    if shape == "and vanish":
        print(child, flush=True)
        os._exit(0)
    return child


def close_the_streams() -> str:
    """Something, after nothing can be printed any more."""
    print("printed before")
    sys.stdout.close()
    os.close(2)
    sys.stderr = None  # type: ignore[assignment]
    return "here"


class OwnError(ValueError):
    """An exception of a package that the parent does not know."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def fail() -> None:
    """An exception that cannot be pickled."""
    raise OwnError("oh", "dear")


def warn_and_print() -> tuple[str, str]:
    """A warning, a line on either stream, the arguments and the search path of modules."""
    print("to the output")
    print("to the errors", file=sys.stderr)
    warnings.warn("careful", UserWarning, stacklevel=1)
    return sys.argv[0], os.getcwd()


PREPARED = []


def prepare(name: str) -> None:
    """What a new child does first."""
    PREPARED.append(name)


def prepare_one() -> None:
    """Prepare with a name that is known beforehand."""
    prepare("one")


def prepared() -> list[str]:
    """What this process has been prepared with."""
    return PREPARED
