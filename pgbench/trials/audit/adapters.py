"""The adapters to other libraries, read without importing any of them."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from pgbench import audits
from pgbench.declared.parameters import did_you_mean

DISTRIBUTION = "DISTRIBUTION"
"""What an adapter calls the distribution that it is for."""

DECORATORS = ("subject", "estimates")


@dataclass(frozen=True)
class Adapted:
    """A function of an adapter.

    name, summary, note
        Its name in the file, what of the library it calls, with which options, and what else is to
        be known: the rest of its docstring.
    """

    name: str
    summary: str
    note: str = ""


@dataclass(frozen=True)
class Adapter:
    """An adapter to a library.

    path
        The file.
    distribution, version
        What pip installs, and the installed version; None where it is not installed.
    functions
        In the order of the file.
    """

    path: Path
    distribution: str
    version: str | None
    functions: tuple[Adapted, ...]

    @property
    def library(self) -> str:
        """Name of the library, that of the file."""
        return self.path.stem


def adapters(folder: Path | None = None) -> list[Adapter]:
    """Every adapter in a folder, by default the package's, in order of name.

    ValueError for a file that names no distribution.
    """
    folder = folder or Path(audits.__path__[0])
    versions = {_key(d.name): d.version for d in distributions()}
    files = sorted(file for file in folder.glob("*.py") if not file.name.startswith("_"))
    return [_adapter(file, versions) for file in files]


def chosen(every: Sequence[Adapter], libraries: Sequence[str]) -> list[Adapter]:
    """The adapters of these libraries, or all; ValueError for a name that there is not."""
    known = {adapter.library: adapter for adapter in every}
    for name in libraries:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ValueError(f"unknown library {name!r}{hint} (known: {', '.join(known)})")
    return [known[name] for name in libraries] if libraries else list(every)


def _adapter(file: Path, versions: dict[str, str]) -> Adapter:
    tree = ast.parse(file.read_bytes())
    named = [
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and [ast.unparse(target) for target in node.targets] == [DISTRIBUTION]
        and isinstance(node.value, ast.Constant)
    ]
    if len(named) != 1 or not isinstance(named[0], str):
        raise ValueError(f'{file}: must name its distribution once: {DISTRIBUTION} = "..."')
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    meant = tuple(_adapted(node) for node in functions if _is_declared(node))
    return Adapter(file, named[0], versions.get(_key(named[0])), meant)


def _adapted(node: ast.FunctionDef) -> Adapted:
    first, _, rest = (ast.get_docstring(node) or "").strip().partition("\n")
    return Adapted(node.name, first, " ".join(rest.split()))


def _is_declared(node: ast.FunctionDef) -> bool:
    names = (ast.unparse(d).partition("(")[0].rpartition(".")[2] for d in node.decorator_list)
    return any(name in DECORATORS for name in names)


def _key(name: str) -> str:
    """A distribution's name as names are compared (PEP 503)."""
    return name.lower().replace("_", "-").replace(".", "-")
