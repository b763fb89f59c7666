"""Files of arrays, as numpy.savez writes them."""

import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray

from pgbench.problems.problem import ProblemError


def arrays_in(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` file."""
    try:
        # Opened here, because np.load leaves a file open if it cannot make sense of it.
        with path.open("rb") as file:
            archive = is_zipfile(file)
            file.seek(0)
            if archive:
                with np.load(file, allow_pickle=False) as data:
                    return {key: data[key] for key in data.files}
    except OSError as error:
        raise ProblemError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise ProblemError(f"{path} is not a readable .npz file: {error}") from error
    raise ProblemError(f"{path} is no .npz file, as numpy.savez writes it")
