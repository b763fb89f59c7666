"""The directory of a run: claimed for one run at a time, with its grid and its journal."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pgbench.grid.grid import Grid
from pgbench.results.files import TEMPORARY, OutputError, remove_temporaries, write_file
from pgbench.results.journal import NAME as JOURNAL_NAME
from pgbench.results.journal import Journal

LOCK_NAME = ".lock"
HORIZONS_NAME = "horizons.nc"
"""The study of horizons lies beside the results and may be there before them."""


@contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """The directory, made if needed, for this run alone.

    Raises OutputError if it cannot be written, holds something else or is in use.
    """
    from filelock import FileLock, Timeout

    try:
        directory.mkdir(parents=True, exist_ok=True)
        if foreign := _foreign(directory):
            raise OutputError(
                f"{directory} holds something else ({foreign[0]}); choose another --output or name"
            )
        lock = FileLock(directory / LOCK_NAME)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(
            f"another run is writing to {directory}; wait for it or choose another --output"
        ) from error
    except OSError as error:
        raise OutputError(f"{directory} cannot be written: {error.strerror or error}") from error
    try:
        _tidy(directory)
        yield
    finally:
        lock.release()


def _tidy(directory: Path) -> None:
    """Remove what killed runs left of files that they were writing."""
    try:
        remove_temporaries(directory)
    except OSError as error:
        raise OutputError(f"{directory} cannot be written: {error.strerror or error}") from error


def _foreign(directory: Path) -> list[str]:
    """Names of what is not of a run, in order; none where there is a journal."""
    names = sorted(path.name for path in directory.iterdir())
    if JOURNAL_NAME in names:
        return []
    # A run killed while it wrote its first file leaves that file's temporary behind.
    left = [name for name in names if not TEMPORARY.fullmatch(name)]
    return [name for name in left if name not in (LOCK_NAME, HORIZONS_NAME)]


def open_journal(grid: Grid, directory: Path) -> Journal:
    """The journal of a grid's run, which knows the grid; a copy of the grid lies beside it."""
    journal = Journal.open(directory)
    record = {"kind": "grid", "text": grid.text, "contents": grid.contents}
    if record not in journal.grids[-1:]:
        journal.append([record])
    write_file(directory / "grid.yaml", grid.text.encode())
    return journal
