"""Digests of code, so that results of older code are never taken for those of newer.

Code counts by file, as bytes. The digest of a maker covers its file and every file of the rooms
that hold records which that one imports, directly or through others: who edits one estimator
measures it again, and those made of it, but nothing else. What lies below, and all results go
through, has one digest (``shared_digest``): following imports down to it would say the same for
every maker, and say it slowly.
"""

import ast
import inspect
from collections.abc import Callable, Iterable
from functools import cache, partial
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
"""The package."""

ROOMS = ("problems", "policies", "objectives", "samplers", "estimators", "functions", "ascent")
"""Rooms that hold records: what a maker imports from them is followed."""


def source(maker: Callable[..., Any]) -> str:
    """The file that a maker, or what it wraps, is written in, or nothing."""
    return _file(inspect.unwrap(maker))


def _file(function: Callable[..., Any]) -> str:
    try:
        return inspect.getfile(function)
    except TypeError:
        return ""


def source_digest(maker: Callable[..., Any]) -> str:
    """Hash of the file that a maker is written in with what it imports; empty if there is none.

    Of a maker that wraps a function those of both.
    """
    wrapped = inspect.unwrap(maker)
    own = _digest_from(source(maker))
    return own if wrapped is maker else own + _digest_from(_file(maker))


def digest_of(path: str | Path) -> str:
    """Hash of a file's bytes, or nothing if it cannot be read, which whoever uses it reports."""
    try:
        with Path(path).open("rb") as opened:
            return file_digest(opened, partial(blake2b, digest_size=16)).hexdigest()
    except OSError:
        return ""


@cache
def shared_digest(*patterns: str) -> str:
    """Hash of the package's files that match patterns such as ``kernels/**/*.py``."""
    return _joint(path for pattern in patterns for path in ROOT.glob(pattern))


def forget_sources() -> None:
    """Read files again when they are hashed next; one may have been edited."""
    for cached in (_digest, _imports, _homes, _module, _digest_from, shared_digest):
        cached.cache_clear()


@cache
def _digest_from(file: str) -> str:
    # Asked for every cell of a plan: not even whether the file is there is looked up twice.
    path = Path(file)
    return _joint(_reached(path)) if path.is_file() else ""


def _joint(paths: Iterable[Path]) -> str:
    # By content alone: where a file lies, or what it is called, changes no number.
    digests = sorted({_digest(path) for path in paths})
    return blake2b("".join(digests).encode(), digest_size=16).hexdigest()


@cache
def _digest(path: Path) -> str:
    return blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _reached(start: Path) -> set[Path]:
    """A file, and those of the rooms that its imports lead to."""
    found: set[Path] = set()
    ahead = [start]
    while ahead:
        path = ahead.pop()
        if path not in found:
            found.add(path)
            homes = (home for _, origin in _imports(path) for home in _homes(origin))
            ahead += [home for home in homes if home.relative_to(ROOT).parts[0] in ROOMS]
    return found


@cache
def _imports(path: Path) -> list[tuple[str, str]]:
    """Names that a file imports from the package, in functions too, with their dotted origins."""
    found = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found += [(alias.name, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origins = [(a.asname or a.name, f"{node.module}.{a.name}") for a in node.names]
            found += origins if node.level == 0 else []
    return [(name, origin) for name, origin in found if origin.split(".")[0] == ROOT.name]


@cache
def _homes(origin: str) -> list[Path]:
    """Where a module or a name in one is written.

    A package's names are followed to the file they come from, else whatever is imported by way of
    ``pgbench.policies`` would hang on every policy.
    """
    if own := _module(origin):
        return [own]
    package, _, name = origin.rpartition(".")
    home = _module(package)
    if home is None:
        return []
    passed_on = [o for n, o in _imports(home) if n == name] if home.stem == "__init__" else []
    return [path for other in passed_on for path in _homes(other)] or [home]


@cache
def _module(dotted: str) -> Path | None:
    """The file of a module or package; None if it is neither."""
    path = ROOT.parent.joinpath(*dotted.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)
