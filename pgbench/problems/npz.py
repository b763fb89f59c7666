"""Files of arrays, as numpy.savez writes them."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pgbench.problems.problem import ProblemError


def arrays_in(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` file."""
    with _archive(path) as file, np.load(file, allow_pickle=False) as data:
        return {key: data[key] for key in data.files}


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays of an ``.npz`` file, of which only these are read."""
    with _archive(path) as file, ZipFile(file) as archive:
        return {
            name.removesuffix(".npy"): _shape(archive.open(name))
            for name in archive.namelist()
            if name.endswith(".npy")
        }


def _shape(array: IO[bytes]) -> tuple[int, ...]:
    with array:
        old = npy.read_magic(array) == (1, 0)
        header = npy.read_array_header_1_0(array) if old else npy.read_array_header_2_0(array)
        shape: tuple[int, ...] = header[0]
        return shape


@contextmanager
def _archive(path: Path) -> Iterator[IO[bytes]]:
    """The opened file; ProblemError where it, or the block that reads it, fails."""
    try:
        # Opened here, because np.load leaves a file open if it cannot make sense of it.
        with path.open("rb") as file:
            if not is_zipfile(file):
                raise ProblemError(f"{path} is no .npz file, as numpy.savez writes it")
            file.seek(0)
            yield file
    except ProblemError:
        raise
    except OSError as error:
        raise ProblemError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise ProblemError(f"{path} is not a readable .npz file: {error}") from error
