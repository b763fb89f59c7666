"""A user's file: loaded, and what is to be examined found in it."""

import atexit
import inspect
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

from pgbench.declared.claims import Claims, claims_of, is_declared
from pgbench.declared.learners import ClaimedAscent, ascent_of
from pgbench.declared.own_modules import blank_module
from pgbench.declared.parameters import did_you_mean
from pgbench.estimators import Estimator, add_estimator, estimators
from pgbench.functions.estimator import estimator_of
from pgbench.functions.result import UserError
from pgbench.trials.guard import frames, guarded

FUNCTION = "estimate"
"""The function that is looked for where none is named."""

IMPORT_SECONDS = 120.0

EXTRAS = {"jax": "jax", "torch": "torch"}
"""Modules that the extra ``autodiff`` installs."""


@dataclass(frozen=True)
class UserCode:
    """What a user wants to see examined.

    path, name
        The file, and the name in it.
    thing
        A function of a batch, or an estimator's record.
    """

    path: Path
    name: str
    thing: Callable[..., Any] | Estimator

    @property
    def record(self) -> Estimator | None:
        """The record, if it is one."""
        return self.thing if isinstance(self.thing, Estimator) else None

    @property
    def claims(self) -> Claims:
        """What it claims."""
        return claims_of(self.thing)

    @property
    def ascent(self) -> ClaimedAscent | None:
        """The ascent that it claims to be, if it is a class that changes θ."""
        return ascent_of(self.thing)

    @property
    def words(self) -> str:
        """``my.py: estimate``, as messages begin."""
        return f"{self.path.name}: {self.name}"


def load(path: Path, name: str | None = None) -> UserCode:
    """What a file holds to be examined.

    By default its only record or learner, or its function ``estimate``. UserError says why there is
    none.
    """
    module = _module(path)
    found = _candidates(module)
    if name is not None:
        thing = getattr(module, name, None)
        if not callable(thing) and not isinstance(thing, Estimator):
            known = ", ".join(found) or "none"
            missing = "has nothing called" if thing is None else "has no function or record"
            hint = did_you_mean(name, found)
            raise UserError(f"{path}: {missing} {name!r}{hint} (candidates: {known})")
        return _checked(UserCode(path, name, thing))
    records, functions = _parted(found)
    chosen = records | {name: f for name, f in functions.items() if ascent_of(f) is not None}
    if FUNCTION in functions:
        chosen[FUNCTION] = functions[FUNCTION]
    if len(chosen) == 1:
        ((key, thing),) = chosen.items()
        return _checked(UserCode(path, key, thing))
    if chosen:
        raise UserError(
            f"{path}: holds several estimators: {', '.join(chosen)}; choose one with --function"
        )
    raise UserError(_nothing(path, functions))


def plug_in(path: Path) -> list[str]:
    """Add the records and the functions of a file to the estimators; their names.

    A function of a batch is called after the file and itself, as ``mine.estimate``. Where functions
    say what they claim, or there are records, only those that say so are meant. UserError if the
    file cannot be used, holds none, or one whose name is taken.
    """
    own, others = _parted(_candidates(_module(path)))
    records = list(own.values())
    functions = {name: f for name, f in others.items() if ascent_of(f) is None}
    discrete = {name: f for name, f in functions.items() if claims_of(f).actions == "discrete"}
    meant = _meant(discrete, alone=not records)
    records += [estimator_of(functions[name], f"{path.stem}.{name}") for name in meant]
    if not records:
        some = " for discrete actions" if len(discrete) < len(functions) else ""
        raise UserError(
            f"{path}: holds no function `estimate(batch)`{some}, and no estimator's record"
        )
    for record in records:
        try:
            add_estimator(record)
        except ValueError as error:
            raise UserError(f"{path}: {error}") from None
    return [record.name for record in records]


def _meant(functions: Mapping[str, Callable[..., Any]], alone: bool) -> list[str]:
    """Names of functions of a batch: those that say so, else all that can be called with one."""
    said = [name for name, function in functions.items() if is_declared(function)]
    if said or not alone:
        return said
    return [name for name, function in functions.items() if not _uncallable(function)]


@dataclass(frozen=True)
class PlugIns:
    """Files of users' estimators, for other processes and other machines to plug in.

    files
        Where they are here, and their bytes, which count: elsewhere there may be another file, or
        none.
    """

    files: tuple[tuple[Path, bytes], ...]

    @classmethod
    def of(cls, paths: Iterable[Path]) -> "PlugIns":
        """Those of files that can be read."""
        return cls(tuple((path.resolve(), path.read_bytes()) for path in paths))

    def __call__(self) -> None:
        """Let their estimators be known in this process."""
        for path, source in self.files:
            same = path.is_file() and path.read_bytes() == source
            plug_in(path if same else _copied(path.name, source))


def _copied(name: str, source: bytes) -> Path:
    """A file of this process's own; one of that name is replaced."""
    path = Path(_folder()) / name
    path.write_bytes(source)
    return path


@cache
def _folder() -> str:
    folder = tempfile.mkdtemp(prefix="pgbench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def probe(path: Path) -> None:
    """See whether ``plug_in`` can use a file, with nothing printed; for a process to do that with.

    UserError if not.
    """
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        plug_in(path)


def _nothing(path: Path, functions: dict[str, Any]) -> str:
    text = f"{path}: no estimator found, neither a function `{FUNCTION}(batch)` nor a record"
    if functions:
        return f"{text}; it has {', '.join(functions)}: choose one with --function"
    return f"{text} `estimator = TableEstimator(...)`"


def _checked(own: UserCode) -> UserCode:
    """The user's code, if it can be called with one batch or is a learner; UserError if not."""
    if inspect.isclass(own.thing) and own.ascent is None:
        raise UserError(
            f"{own.words} is a class that does not say which ascent it is, must be decorated, such"
            ' as @pgbench.learner(estimator="reward_to_go", step=0.1)'
        )
    if own.ascent is None and own.record is None and (error := _uncallable(own.thing)):
        raise UserError(
            f"{own.words} cannot be called with one batch: {error}; it must be"
            f" `def {own.name}(batch)`"
        )
    return own


def _uncallable(function: Any) -> str:
    """Why a function cannot be called with one batch, or nothing."""
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        return str(error)
    except ValueError:  # no signature is known, as of some compiled functions
        pass
    return ""


def _candidates(module: ModuleType) -> dict[str, Any]:
    """Records and public functions that the file itself makes, by name."""
    known = {id(record) for record in estimators().values()}
    found: dict[str, Any] = {}
    for name, thing in vars(module).items():
        is_record = isinstance(thing, Estimator) and id(thing) not in known
        # Compiled functions of JAX or numba are objects that know the module they come from.
        is_own = getattr(thing, "__module__", None) == module.__name__ or name == FUNCTION
        # Of classes only what says that it learns.
        is_meant = not inspect.isclass(thing) or ascent_of(thing) is not None
        is_function = is_own and callable(thing) and is_meant
        if name.startswith("_") or any(thing is other for other in found.values()):
            continue
        if is_record or (is_function and not isinstance(thing, Estimator)):
            found[name] = thing
    return found


def _parted(found: Mapping[str, Any]) -> tuple[dict[str, Estimator], dict[str, Any]]:
    """Records by name, and functions that make none of them."""
    records = {name: thing for name, thing in found.items() if isinstance(thing, Estimator)}
    makers = [record.maker for record in records.values()]
    return records, {n: f for n, f in found.items() if n not in records and f not in makers}


def _module(path: Path) -> ModuleType:
    """The file as a module; UserError says why it cannot be read, parsed or run."""
    code = _compiled(path)
    module = blank_module(path)

    def run() -> None:
        try:
            exec(code, vars(module))
        except ModuleNotFoundError as error:
            raise UserError(_not_installed(path, error)) from None

    guarded(path, f"{path.name}: importing it", run, IMPORT_SECONDS)
    return module


def _not_installed(path: Path, error: ModuleNotFoundError) -> str:
    package = (error.name or str(error)).split(".")[0]
    where = frames(path, error.__traceback__)
    if package in EXTRAS:
        advice = "python -m pip install 'pgbench[autodiff]', or that package alone"
    elif package == "pgbench":
        return f"{path.name}: {error}{where}\n  There is no such module in pgbench."
    else:
        advice = f"python -m pip install {package}, or put {package}.py beside {path.name}"
    return f"{path.name}: the module {package!r} is not installed{where}\n  {advice}"


def _compiled(path: Path) -> Any:
    if path.is_dir():
        raise UserError(f"{path}: is a folder, must be a Python file")
    try:
        source = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return compile(source, str(path.resolve()), "exec", dont_inherit=True)
    except SyntaxError as error:
        if error.lineno is None or path.suffix != ".py":
            raise UserError(f"{path}: is not a Python file ({error.msg})") from None
        line = (error.text or "").rstrip("\n")
        caret = " " * max((error.offset or 1) - 1, 0) + "^"
        raise UserError(f"{path.name}:{error.lineno}: {error.msg}\n  {line}\n  {caret}") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not a Python file ({error})") from None
