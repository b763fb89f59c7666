"""Orders to stop: SIGINT, SIGTERM and SIGHUP end a run, and any command, in one way."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Any

ORDERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""^C, a supervisor that ends the process, and a terminal that was closed."""

PATIENT = b"\nwhat is finished is being written; ^C once more to stop at once\n"

SOON = 0.05
"""Seconds after which an order comes again where it could not be heard."""


class Stopped(KeyboardInterrupt):
    """A block was ordered to stop.

    Python ends a process by SIGINT, whatever its exit code, if a KeyboardInterrupt went through an
    ``exec``, such as that of a dataclass; not so for a class of our own.
    """


class Stop:
    """Whether there was an order to stop, and what the next one does.

    An order raises Stopped, unless it has to wait for what is being written.

    Attributes
    ----------
    patient
        Whether what is finished is written after the first order, so that further ones wait too.
    asked
        Whether there was an order.
    """

    def __init__(self, patient: bool) -> None:
        self.patient = patient
        self.asked = False
        self._held = self._told = False
        self._again: threading.Timer | None = None
        self._number = 0
        self._other = sys.unraisablehook

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        waits = self._held or (self.patient and self.asked and self._again is None)
        self.forget()
        self.asked, self._number = True, number
        if waits:
            self._answer(number)
        elif _called_from_c(frame):
            self._repeat()
        else:
            raise Stopped

    def hold(self) -> None:
        """Let orders wait from here on, so that ``asked`` is to be looked at in the end.

        They are answered by a line, and a person's next ^C is obeyed nevertheless.
        """
        self._held = True

    def lost(self, unraisable: Any) -> None:
        """Take an exception that could not be raised; an interruption comes again."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._repeat()
        else:
            self._other(unraisable)

    def _answer(self, number: int) -> None:
        """Say what is waited for; who knows and asks again does not want to wait."""
        if self._told and number == signal.SIGINT:
            raise Stopped
        if not self._told:
            self._told = True
            with suppress(OSError):  # nobody may be there to read it
                os.write(2, PATIENT)  # the stream may be what was interrupted

    def _repeat(self) -> None:
        """Let the order come again."""
        self.forget()
        self._again = threading.Timer(SOON, os.kill, (os.getpid(), self._number))
        self._again.daemon = True
        self._again.start()

    def forget(self) -> None:
        """Do not let the order come again."""
        if self._again is not None:
            self._again.cancel()
        self._again = None


def _called_from_c(frame: FrameType | None) -> bool:
    """Whether LLVM has called back: it drops exceptions, and what it made of the code with them."""
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith("llvmlite.binding"):
            return True
        frame = frame.f_back
    return False


@contextmanager
def stoppable(patient: bool = False) -> Iterator[Stop]:
    """The order to stop a block, by any of the signals that are not ignored.

    On another thread than the main one there are no signals, and nothing is changed.
    """
    stop = Stop(patient)
    with ExitStack() as restored:
        if threading.current_thread() is threading.main_thread():
            _listen(stop, restored)
        yield stop


@contextmanager
def unheard() -> Iterator[None]:
    """Let threads and processes that are started in the block hear no orders.

    A terminal gives them to all processes of a command at once; one that comes to this thread
    meanwhile is heard afterwards.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ORDERS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _listen(stop: Stop, restored: ExitStack) -> None:
    """Let signals come to an order until the stack is closed."""
    restored.callback(stop.forget)
    restored.callback(setattr, sys, "unraisablehook", sys.unraisablehook)
    sys.unraisablehook = stop.lost  # called where a callback or a destructor drops an exception
    for number in ORDERS:
        before = signal.getsignal(number)
        # Ignored ones stay so (nohup), and those of another language cannot be put back.
        if before not in (signal.SIG_IGN, None):
            restored.callback(signal.signal, number, before)
            signal.signal(number, stop)
