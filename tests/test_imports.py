"""Each heavy dependency has one door, and importing the package costs nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pgbench

ROOT = Path(pgbench.__file__).parent
DOORS = {
    "numba": "kernels/",
    "yaml": "grid/",
    "xarray": "results/",
    "seaborn": "report/",
    "matplotlib": "report/",
    "gymnasium": "problems/gymnasium.py",
}


def is_type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imported(node):
    """Modules that the code below a node imports when it runs, inside functions too."""
    children = node.orelse if is_type_checking(node) else list(ast.iter_child_nodes(node))
    names = set()
    if isinstance(node, ast.Import):
        names = {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
        names = {"." * node.level + (node.module or "")}
    return names.union(*map(imported, children))


def imports_of(path):
    return imported(ast.parse(path.read_text(encoding="utf-8")))


def users(dependency):
    """Files, relative to the package, that import a dependency."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if any(name.split(".")[0] == dependency for name in imports_of(path))
    }


def test_imports_are_found_wherever_they_are():
    source = """
from typing import TYPE_CHECKING
import a.b
if TYPE_CHECKING:
    import hidden
def f():
    try:
        from c.d import e
    except ImportError:
        import g as h
"""
    assert imported(ast.parse(source)) == {"typing", "a.b", "c.d", "g"}


@pytest.mark.parametrize("dependency", DOORS)
def test_heavy_dependency_has_one_door(dependency):
    door, found = DOORS[dependency], users(dependency)
    assert all(name == door or (door.endswith("/") and name.startswith(door)) for name in found)
    if (ROOT / door).exists():
        assert found, f"nothing imports {dependency}, so this test watches nothing"


def test_kernels_need_nothing_of_the_package():
    for path in (ROOT / "kernels").rglob("*.py"):
        inside = {name for name in imports_of(path) if name.startswith((".", "pgbench"))}
        assert all(name.startswith("pgbench.kernels") for name in inside), path.name


def asks_for_cuda(path):
    """Whether a file imports ``numba.cuda`` or anything below it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import) and any(
            a.name.startswith("numba.cuda") for a in node.names
        ):
            return True
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            if any(name.startswith("numba.cuda") for name in names):
                return True
    return False


def test_cuda_has_one_door():
    found = {p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*.py") if asks_for_cuda(p)}
    assert found
    assert all(name.startswith("kernels/cuda/") for name in found)


def test_reference_is_not_compiled():
    names = imports_of(ROOT / "kernels" / "reference.py")
    assert not any(name.startswith(("numba", "pgbench")) for name in names)


def loaded_after(statement):
    """Top-level modules that a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_the_package_loads_no_dependency():
    assert not loaded_after("import pgbench") & {"numpy", "scipy", *DOORS}


@pytest.mark.parametrize(
    "module",
    ["problems", "policies", "exact", "estimators", "measure.gradients", "statistics.intervals"],
)
def test_importing_the_mathematics_loads_nothing_heavy(module):
    assert not loaded_after(f"import pgbench.{module}") & {*DOORS}


def test_public_names_resolve():
    for name in pgbench.__all__:
        if name != "__version__":
            assert getattr(pgbench, name).__name__.split(".")[-1] == name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pgbench.nonsense
    assert set(dir(pgbench)) == set(pgbench.__all__)
