"""Networks in files of users, ``file.py:name``: what can be said before they run, and loaded."""

import ast
import importlib.util
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any, TypeVar

from pgbench.declared.own_modules import blank_module
from pgbench.declared.parameters import Pattern, did_you_mean
from pgbench.declared.sources import digest_of

T = TypeVar("T")

FORM = Pattern(r".+\.py:[A-Za-z_][A-Za-z0-9_]*", "a file and a name in it, such as net.py:Net")
"""How a grid names a network."""

INSTALL = "python -m pip install 'pgbench[autodiff]'"


class UserModuleError(ValueError):
    """A user's file or what it holds cannot be used; the message says where and why."""


@dataclass(frozen=True, eq=False)
class OwnCode:
    """What a user wrote, and where.

    words
        How messages call it, such as ``net.py:Net``.
    thing
        What it is, such as a class.
    path
        The file that it was loaded from, or None.
    """

    words: str
    thing: Any
    path: Path | None = None

    @classmethod
    def of(cls, module: Any) -> "OwnCode":
        """A thing, or what ``file.py:name`` is called after running the file."""
        if not isinstance(module, str):
            return cls(getattr(module, "__name__", type(module).__name__), module)
        path, name = _place(module)
        own = cls(f"{path.name}:{name}", None, path)
        return cls(own.words, own.call("importing it", lambda: _named(path, name)), path)

    def call(self, what: str, function: Callable[[], T]) -> T:
        """What a function of the user returns; UserModuleError with its line where it fails."""
        try:
            return function()
        except UserModuleError:
            raise
        except Exception as error:
            where = _line(self.path, error.__traceback__)
            first = (str(error).splitlines() or [""])[0]
            said = f"{self.words}: {what}: {type(error).__name__}: {first}{where}"
            raise UserModuleError(said) from error


def objection(text: str, library: str) -> str:
    """Why nothing can be loaded from ``file.py:name`` with a library, or nothing.

    Neither the file nor the library is run.
    """
    path, name = _place(text)
    try:
        require(library)
        tree = _parsed(path)
        _require_name(path, name, set(_top_level(tree.body)))
    except UserModuleError as error:
        return str(error)
    return ""


def require(library: str) -> None:
    """UserModuleError where a library is not installed."""
    if importlib.util.find_spec(library) is None:
        raise UserModuleError(f"the module {library!r} is not installed: {INSTALL}")


def content(values: Mapping[str, Any]) -> str:
    """Hash of the bytes of a module's file, or nothing if it cannot be read."""
    return digest_of(_place(values["module"])[0])


def _place(text: str) -> tuple[Path, str]:
    """File and name of a text ``file.py:name``."""
    path, _, name = text.rpartition(":")
    return Path(path), name


def _named(path: Path, name: str) -> Any:
    """What a file calls by a name, after running it."""
    code: CodeType = compile(_parsed(path), str(path.resolve()), "exec", dont_inherit=True)
    module = blank_module(path)
    exec(code, vars(module))
    _require_name(path, name, set(vars(module)))
    return getattr(module, name)


def _parsed(path: Path) -> ast.Module:
    """The file as Python; UserModuleError where it cannot be read or is none."""
    try:
        return ast.parse(_source(path), filename=str(path))
    except SyntaxError as error:
        raise UserModuleError(f"{path}:{error.lineno or 1}: {error.msg}") from None
    except UserModuleError:
        raise
    except ValueError as error:  # such as a zero among the bytes
        raise UserModuleError(f"{path}: is not a Python file ({error})") from None


def _source(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserModuleError(f"{path}: there is no such file") from None
    except OSError as error:
        raise UserModuleError(f"{path}: cannot be read: {error.strerror}") from None


def _require_name(path: Path, name: str, names: set[str]) -> None:
    if name not in names and "*" not in names:
        raise UserModuleError(f"{path}: has nothing called {name!r}{did_you_mean(name, names)}")


def _top_level(body: list[ast.stmt]) -> Iterator[str]:
    """Names that statements give to what they make; * where only running them tells."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.FunctionDef | ast.ClassDef):
                yield inner.name
            elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                yield inner.id
            elif isinstance(inner, ast.alias):
                yield (inner.asname or inner.name).split(".")[0]


def _line(path: Path | None, trace: TracebackType | None) -> str:
    """Where in the user's file an error arose, or nothing."""
    if path is None:
        return ""
    own = [f for f in traceback.extract_tb(trace) if f.filename == str(path.resolve())]
    return f" ({path.name}, line {own[-1].lineno}: {own[-1].line})" if own else ""
