"""Calls in a process of their own, for code that may end its process, hang or take all memory.

The child is a fresh interpreter, no fork of its parent, and runs nothing of the parent's main
module: a script needs no ``if __name__ == "__main__"``, but functions that it defines itself cannot
be sent to a child.
"""

import math
import mmap
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fcntl import F_SETFL, F_SETOWN, fcntl
from multiprocessing.connection import Connection
from multiprocessing.util import _args_from_interpreter_flags  # type: ignore[attr-defined]
from pathlib import Path
from select import select
from typing import Any, Self, TypeVar

from pgbench.memory import available

T = TypeVar("T")

SHARE = 0.9
"""So much of the memory that is available when a call begins may a child hold."""

GRACE = 10.0
"""Seconds that a child has to stop by itself what takes too long, before it is ended."""

_LOOK = 0.1
"""Seconds between two looks at what a child does."""

_FAREWELL = 2.0
"""Seconds in which a child that has closed its pipe has ended, or is ended."""


class ChildError(RuntimeError):
    """A child ended, or was ended, before it answered; the message says why, in one sentence."""


class ChildTimeout(ChildError):
    """A child was ended because a call took too long."""


class Child:
    """A process that performs one call after another; a new one is started where it vanished.

    It ends with the block and with its parent, however that ends, and with it all that it started,
    unless that left its session. ^C in a terminal interrupts the parent alone. What the child
    prints goes where the parent's goes; it has nothing to read. For one thread at a time, but for
    ``stop``.

    Parameters
    ----------
    prepare
        What every new child calls first, to load plug-ins or to set the number of threads: a
        function of a module without arguments, or a ``functools.partial`` of one.
    memory_bytes
        So much memory a child may hold, watched where there is ``/proc``; by default 90 % of what
        is available when a call begins.
    """

    def __init__(
        self, prepare: Callable[[], object] | None = None, memory_bytes: int | None = None
    ) -> None:
        self._prepare, self._memory_bytes = prepare, memory_bytes
        self._process: _Process | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child, if there is one; the next call starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def stop(self) -> None:
        """End what it is doing: a thread that waits for it has a ChildError."""
        if (process := self._process) is not None:
            process.kill()

    def perform(self, function: Callable[..., T], *arguments: Any, seconds: float = math.inf) -> T:
        """What the function returns in the child.

        Parameters
        ----------
        function, arguments
            A function of a module, and values. They are pickled, and so is what it returns.
        seconds
            So long the call may take; ``doing`` bounds parts of it.

        Raises
        ------
        ChildError
            If the child vanished, whatever the reason, or held more memory than it may.
        ChildTimeout
            If the call, or what it was doing, took too long.
        Exception
            What the function raised. Exceptions of other packages come as MemoryError, OSError,
            ValueError or RuntimeError. A note holds the child's traceback.
        """
        try:
            limit = self._memory_bytes or int(SHARE * available())
            process = self._ready(limit)
            kind, value = process.answer(pickle.dumps((function, arguments)), seconds, limit)
        except BaseException:
            self.close()
            raise
        if kind == "raised":
            raise value
        return value

    def _ready(self, limit: int) -> "_Process":
        """The child that waits for a call, a new one where there is none."""
        if self._process is None or self._process.gone:
            self.close()
            self._process = _Process()
            if self._prepare is not None:
                call = pickle.dumps((self._prepare, ()))
                kind, value = self._process.answer(call, math.inf, limit)
                if kind == "raised":
                    raise value
        return self._process


class _Process:
    """The parent's side of a child: its pipe, and a board that says what it is doing."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        with theirs, tempfile.TemporaryFile() as file, os.fdopen(lifeline):
            file.write(bytes(_Board.SIZE))
            file.flush()
            self._board, self._pipe = _Board(file.fileno()), Connection(ours.detach())
            self._process = _started(theirs.fileno(), lifeline, file.fileno())
        self._held = 0

    @property
    def gone(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def answer(self, call: bytes, seconds: float, limit: int) -> tuple[str, Any]:
        """``("returned", value)`` or ``("raised", exception)``; ChildError if there is none."""
        until = time.monotonic() + seconds
        try:
            self._pipe.send_bytes(call)
            while not self._pipe.poll(_LOOK):
                if self.gone and not self._pipe.poll():
                    raise EOFError
                self._watch(seconds, until, limit)
            answer: tuple[str, Any] = pickle.loads(self._pipe.recv_bytes())
        except (EOFError, OSError):  # the pipe is closed, between messages or in one
            raise ChildError(self._farewell()) from None
        return answer

    def _watch(self, seconds: float, until: float, limit: int) -> None:
        """ChildError if it holds too much memory or its time is over."""
        what, allowed, deadline = self._board.read()
        self._held = _resident_bytes(self._process.pid)
        if self._held > limit:
            raise ChildError(
                f"{what} held {self._held / 2**30:.3g} GiB of memory, at most"
                f" {limit / 2**30:.3g} GiB are allowed, and was stopped"
            )
        now = time.monotonic()
        if now > min(deadline, until):
            longest = allowed if now > deadline else seconds
            raise ChildTimeout(overdue(what, longest))

    def _farewell(self) -> str:
        """How the child ended, in a sentence."""
        what, _, _ = self._board.read()
        try:
            code = self._process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            code = os.EX_IOERR
        if code == os.EX_IOERR:
            return f"{what} closed the pipe to its parent process and was stopped"
        if code >= 0:
            return f"{what} ended its process, with exit code {code}"
        killed = f"{what} ended its process by signal {-code}, {signal.strsignal(-code)}"
        if -code != signal.SIGKILL:
            return killed
        held = f"when last seen it held {self._held / 2**30:.3g} GiB"
        return f"{killed}, as the system does where memory runs out ({held})"

    def kill(self) -> None:
        """Let the system end it and what it started."""
        with suppress(ProcessLookupError, PermissionError):  # nobody is left of its group
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()  # it may have left the group

    def end(self) -> None:
        """End it and what it started, and forget it."""
        self.kill()
        self._process.wait()
        self._pipe.close()
        os.close(self._lifeline)


def _started(*descriptors: int) -> "subprocess.Popen[bytes]":
    """A new interpreter that performs calls; it finds modules where this one does."""
    path = [str(place) for place in sys.path]
    code = (
        f"import sys; sys.path[:], sys.argv[:] = {path!r}, {sys.argv!r};"
        f" from {__name__} import serve; serve{descriptors!r}"
    )
    try:
        return subprocess.Popen(
            [sys.executable, *_args_from_interpreter_flags(), "-c", code],
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise ChildError(f"no process can be started: {error.strerror}") from None


class _Board:
    """What a child is doing, in memory that it shares with its parent, who may look at any time."""

    SIZE = 4096
    _HEAD = struct.Struct("ddH")

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, self.SIZE)
        self.write("the call", math.inf, math.inf)

    def write(self, what: str, allowed: float, deadline: float) -> None:
        text = what.encode("utf-8", "replace")[: self.SIZE - self._HEAD.size]
        head = self._HEAD.pack(allowed, deadline, len(text))
        self._memory[: len(head) + len(text)] = head + text

    def read(self) -> tuple[str, float, float]:
        """What, the seconds that it may take, and when it must have ended."""
        allowed, deadline, length = self._HEAD.unpack_from(self._memory)
        text = self._memory[self._HEAD.size : self._HEAD.size + length]
        return text.decode("utf-8", "replace"), allowed, deadline


_board: _Board | None = None
"""That of this process, if it is a child."""


@contextmanager
def doing(what: str, seconds: float = math.inf) -> Iterator[None]:
    """Tell the parent what this child is doing, and to end it where that takes too long.

    It has ``GRACE`` seconds more, in which it may stop by itself. In a process that is no child
    nothing happens.
    """
    if _board is None:
        yield
        return
    before = _board.read()
    _board.write(what, seconds, time.monotonic() + seconds + GRACE)
    try:
        yield
    finally:
        _board.write(*before)


def postpone(seconds: float) -> None:
    """Let what this child is doing take so long from now on, and ``GRACE`` seconds more."""
    if _board is not None:
        what, allowed, _ = _board.read()
        _board.write(what, allowed, time.monotonic() + seconds + GRACE)


def overdue(what: str, seconds: float) -> str:
    """The sentence about what took too long."""
    return f"{what} did not return within {seconds:g} s and was stopped"


def serve(pipe: int, lifeline: int, board: int) -> None:
    """Perform calls until the pipe is closed: what a child does, and never returns from."""
    global _board
    _end_with_parent(lifeline)
    _offer_to_be_killed()
    _board = _Board(board)
    calls = Connection(pipe)
    for descriptor in (pipe, lifeline, board):
        os.set_inheritable(descriptor, False)
    with suppress(EOFError):
        while True:
            _board.write("the call", math.inf, math.inf)
            answer = _performed(calls.recv_bytes())
            _flush()
            try:
                calls.send_bytes(answer)
            except OSError:
                os._exit(os.EX_IOERR)
    os._exit(os.EX_OK)  # without what users' code has registered for the end


def _performed(call: bytes) -> bytes:
    """The pickled answer to a pickled call."""
    owner = os.getpid()
    try:
        function, arguments = pickle.loads(call)
        answer = pickle.dumps(("returned", function(*arguments)))
    except BaseException as error:
        answer = pickle.dumps(("raised", _portable(error)))
    if os.getpid() != owner:  # the call made a copy of its process, which came back too
        os._exit(0)
    return answer


def _portable(error: BaseException) -> BaseException:
    """An exception that the parent can load, with the traceback in a note."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, SystemExit):
        error = ChildError(f"the call ended its process, sys.exit({error.code!r})")
    elif type(error).__module__.partition(".")[0] not in ("builtins", "pgbench"):
        known = (kind for kind in (MemoryError, OSError, ValueError) if isinstance(error, kind))
        error = next(known, RuntimeError)(f"{type(error).__name__}: {error}")
    error.add_note(trace)
    return error


def _flush() -> None:
    """Print what is still to be printed, if the call has left anything to print on."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _end_with_parent(lifeline: int) -> None:
    """End this process, and those it starts, as soon as the parent's end of a pipe is closed.

    By a signal, which ends a process by default: a thread that waits would wait for code that does
    not return to the interpreter.
    """
    fcntl(lifeline, F_SETOWN, -os.getpgrp())
    fcntl(lifeline, F_SETFL, os.O_ASYNC)
    if select([lifeline], [], [], 0)[0]:  # it was closed before
        os._exit(0)


def _offer_to_be_killed() -> None:
    """Where memory runs out, Linux is to end this process and not its parent."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _resident_bytes(pid: int) -> int:
    """Memory that a process holds; 0 where there is no ``/proc``."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * mmap.PAGESIZE
