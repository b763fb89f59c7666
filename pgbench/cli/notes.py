"""Warnings as users see them."""

import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO


def told(lines: Iterable[str]) -> None:
    """Print notes on what was read, a line each."""
    for line in lines:
        print(f"note: {line}", file=sys.stderr)


@contextmanager
def notes() -> Iterator[None]:
    """Warnings of the block: those meant for users are printed as one line."""
    with warnings.catch_warnings():
        warnings.showwarning = _note
        yield


def _note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning meant for users as one line, any other with its place in the code."""
    if issubclass(category, UserWarning):
        text = f"note: {message}\n"
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
    (file or sys.stderr).write(text)
