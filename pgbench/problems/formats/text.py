"""Text files: errors that name their lines, and what was counted in one that has not changed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import TextIO, TypeVar

from pgbench.problems.problem import ProblemError

T = TypeVar("T")


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """The file as text; ProblemError where the system refuses it. Other bytes become ``\ufffd``."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield file
    except OSError as error:
        raise ProblemError(f"{path} cannot be read: {error.strerror or error}") from error


def wrong(path: Path, line: int, message: str) -> ProblemError:
    """An error that begins with the file and the line."""
    return ProblemError(f"{path}:{line}: {message}")


def number(word: str) -> float | None:
    """The finite number that a word spells, or None."""
    try:
        value = float(word)
    except ValueError:
        return None
    return value if isfinite(value) else None


def once(count: Callable[[Path], T]) -> Callable[[Path], T]:
    """A function of a file that counts again only where the file's time or size has changed."""

    @lru_cache(maxsize=8)
    def counted(path: Path, changed: int, size: int) -> T:
        return count(path)

    def ask(path: Path) -> T:
        with opened(path):
            status = path.stat()
        return counted(path.absolute(), status.st_mtime_ns, status.st_size)

    return ask
