"""The house: rooms in order, no circle, one door for each heavy dependency, nothing for nothing."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import pgbench

ROOT = Path(pgbench.__file__).parent

FLOORS = (
    {"cli", "pytest_plugin"},
    {"testing", "plot"},
    {"trials", "report"},
    {"harness"},
    {"api"},
    {"measure", "results"},
    {"grid"},
    {"ascent"},
    {"functions"},
    {"estimators"},
    {"rollout", "objectives"},
    {"samplers"},
    {"exact"},
    {"process"},
    {"policies"},
    {"problems"},
    {"kernels", "declared", "statistics", "audits"},
    {"arrays", "rounding", "memory"},
)
"""Rooms from the top down: what is in one imports from itself and from lower ones alone."""

DOORS = {
    "numba": "kernels/",
    "yaml": "grid/",
    "xarray": "results/",
    "seaborn": "report/",
    "matplotlib": "report/",
    "gymnasium": "problems/gymnasium.py",
    "distributed": "harness/cluster/",
    "dask": "harness/cluster/",
    "pytest": "pytest_plugin.py",
    "torch": "policies/autodiff/pytorch.py",
    "jax": "policies/autodiff/jax.py",
}

BY_NAME = {
    "pgbench": "public names, loaded when they are first used",
    "pgbench.declared.registry": "packages of records are scanned for their files",
}
"""Modules that import others by a name made at run time, which no reader of imports sees."""


def is_type_checking(node):
    tests = "TYPE_CHECKING", "typing.TYPE_CHECKING"
    return isinstance(node, ast.If) and ast.unparse(node.test) in tests


def imported(node, types=False):
    """Modules, or names in them, that the code below a node imports when it runs.

    Those inside functions too; with ``types`` also those that are there for annotations alone.
    """
    hidden = is_type_checking(node) and not types
    children = node.orelse if hidden else list(ast.iter_child_nodes(node))
    names = set()
    if isinstance(node, ast.Import):
        names = {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        names = {f"{module}.{alias.name}" for alias in node.names}
    return names.union(*(imported(child, types) for child in children))


@cache
def imports_of(path, types=False):
    return imported(ast.parse(path.read_text(encoding="utf-8")), types)


def modules():
    """Paths of the package's modules by their dotted names."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def arrows():
    """Modules of the package that each of its modules imports, for annotations too."""
    known = modules()

    def home(name):
        return name if name in known else name.rpartition(".")[0]

    return {
        module: {home(name) for name in imports_of(path, types=True)} & {*known} - {"pgbench"}
        for module, path in known.items()
    }


def room(module):
    return module.split(".")[1]


def floor(module):
    (height,) = (i for i, rooms in enumerate(FLOORS) if room(module) in rooms)
    return height


def not_down(house):
    """Imports of the rooms that lead neither into their own room nor down."""
    return sorted(
        f"{module} imports {target}"
        for module, targets in house.items()
        for target in targets
        if module not in ("pgbench", "pgbench.__main__")
        and room(target) != room(module)
        and floor(target) <= floor(module)
    )


def circle(house):
    """Modules that import each other in a circle; nothing if there are none."""
    try:
        TopologicalSorter(house).prepare()
    except CycleError as error:
        return error.args[1]
    return []


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
if not TYPE_CHECKING:
    import seen
def f():
    try:
        from c.d import e
    except ImportError:
        import g as h
"""
    found = {"typing.TYPE_CHECKING", "a.b", "seen", "c.d.e", "g"}
    assert imported(ast.parse(source)) == found
    assert imported(ast.parse(source), types=True) == {*found, "hidden"}


def test_every_room_has_its_floor():
    rooms = {path.stem if path.is_file() else path.name for path in ROOT.iterdir()}
    rooms -= {"__init__", "__main__", "__pycache__", "py"}
    assert set.union(*FLOORS) == rooms
    assert sum(map(len, FLOORS)) == len(rooms)


def test_imports_lead_down():
    assert not_down(arrows()) == []


def test_there_is_no_circle():
    assert circle(arrows()) == []


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("pgbench.exact.table_moments", "pgbench.estimators"),
        ("pgbench.results.dataset", "pgbench.measure.cells"),
        ("pgbench.kernels.partition", "pgbench.problems.finite"),
    ],
    ids=["upwards", "to a sibling", "out of the cellar"],
)
def test_a_wrong_import_is_found(module, target):
    house = arrows()
    house[module] = {*house[module], target}
    assert not_down(house) == [f"{module} imports {target}"]


def test_a_circle_is_found():
    house = arrows()
    target = "pgbench.exact.finite.values"
    house["pgbench.exact.finite.bounds"] = {*house["pgbench.exact.finite.bounds"], target}
    assert {"pgbench.exact.finite.bounds", target} <= set(circle(house))


def test_what_is_imported_by_name_is_known():
    found = {
        name
        for name, path in modules().items()
        if "import_module(" in (text := path.read_text(encoding="utf-8")) or "__import__(" in text
    }
    assert found == set(BY_NAME)


@pytest.mark.parametrize("dependency", DOORS)
def test_heavy_dependency_has_one_door(dependency):
    # Adapters to other libraries import what these need, and nothing imports adapters.
    door = DOORS[dependency]
    found = {name for name in users(dependency) if not name.startswith("audits/")}
    assert all(name == door or (door.endswith("/") and name.startswith(door)) for name in found)
    assert (ROOT / door).exists()
    assert found, f"nothing imports {dependency}, so this test watches nothing"


def test_nothing_imports_an_adapter():
    found = {name for targets in arrows().values() for name in targets}
    assert not {name for name in found if name.startswith("pgbench.audits.")}


def asks_for_cuda(path):
    """Whether a file imports ``numba.cuda`` or anything below it."""
    return any(name.startswith("numba.cuda") for name in imports_of(path))


def test_cuda_has_one_door():
    found = {p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*.py") if asks_for_cuda(p)}
    assert found
    assert all(name.startswith("kernels/cuda/") for name in found)


def test_reference_is_not_compiled():
    own = {"pgbench.arrays", "pgbench.kernels.recursion"}
    names = {n.rpartition(".")[0] for n in imports_of(ROOT / "kernels" / "reference.py")} - own
    assert not any(name.startswith(("numba", "pgbench")) for name in names)
    assert imports_of(ROOT / "kernels" / "recursion.py") == set()


def loaded_after(statement):
    """Modules that a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_no_dependency():
    assert not loaded_after("import pgbench") & {"numpy", "scipy", *DOORS}


def test_importing_the_mathematics_loads_nothing_heavy():
    """``scipy.stats`` takes half a second to load; ``scipy.special`` has the laws too."""
    rooms = ("problems", "policies", "exact", "estimators", "api", "statistics")
    all_of_them = ", ".join(f"pgbench.{room}" for room in rooms)
    assert not loaded_after(f"import {all_of_them}") & {*DOORS, "scipy.stats"} - {"yaml"}


GRID = """\
problems: [{problem: garnet, n_states: 5, gamma: 0.9}]
policies: [softmax]
estimators: [reinforce]
batch_sizes: [1]
"""


def test_commands_that_only_tell_load_nothing_heavy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("grid.yaml").write_text(GRID, encoding="utf-8")
    call = """
from contextlib import suppress
from pgbench.cli.commands import main
for command in ["--help"], ["list"], ["example"], ["check", "grid.yaml"]:
    with suppress(SystemExit):
        main(command)
"""
    assert not loaded_after(f"exec({call!r})") & {*DOORS} - {"yaml"}


def test_public_names_resolve():
    assert set(pgbench._HOMES) < set(pgbench.__all__)
    for name in pgbench.__all__:
        if name != "__version__":
            assert getattr(pgbench, name).__name__.split(".")[-1] == name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pgbench.nonsense
    assert set(dir(pgbench)) == set(pgbench.__all__)


def test_editors_are_told_of_every_public_name():
    """With the homes from which they are loaded."""
    block = next(filter(is_type_checking, ast.parse((ROOT / "__init__.py").read_text()).body))
    told = imported(block, types=True) - {"TYPE_CHECKING"}
    homes = {name: f"{home}." for name, home in pgbench._HOMES.items()}
    names = {*pgbench.__all__} - {"__version__"}
    assert told == {f"pgbench.{homes.get(name, '')}{name}" for name in names}


def test_moments_by_name_are_offered_beside_what_is_exact():
    assert pgbench.exact.moments is pgbench.moments
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pgbench.exact.nonsense
