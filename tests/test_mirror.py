"""Tests mirror the package: every module has its tests, every file of tests its module.

A module has tests where a file is called after it, or after a package that it is in, or where tests
import it by name; else it is listed here.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

import pgbench

PACKAGE = Path(pgbench.__file__).parent
TESTS = Path(__file__).parent

CONTRACTS = {
    "estimators": "estimators/test_contract.py estimators/test_batches.py",
    "problems": "problems/test_family.py",
    "policies": "policies/test_policy.py",
    "objectives": "objectives/test_objective.py",
    "samplers": "samplers/test_sampler.py",
}
"""Rooms of records that are found by their files; the contract tests whatever is there."""

COVERED = {
    "ascent/test_methods.py": "ascent: rules smoothness",
    "cli/test_commands.py": "cli: *",
    "ascent/test_crowd.py": "kernels: copying",
    "estimators/parts/test_learned_critic.py": "kernels: critics",
    "estimators/test_batch_baselines.py": "estimators/parts: control_variate",
    "estimators/test_many.py": "rollout: compiled",
    "exact/finite/test_elimination.py": "kernels: elimination",
    "exact/linear_quadratic/test_moments.py": "exact/linear_quadratic: expectation",
    "functions/test_batch.py": "functions: stream",
    "grid/test_reader.py": "grid: keys nodes",
    "kernels/cuda/test_finite.py": "kernels/cuda: jit",
    "kernels/finite/test_weights.py": (
        "kernels: distinct prefetch; kernels/finite: recursion sampler tables trajectories"
    ),
    "kernels/test_words.py": "kernels: vectors",
    "measure/test_sums.py": "kernels: running",
    "problems/test_family.py": "declared: registry",
    "report/test_page.py": "report: *",
    "statistics/test_hypothesis_tests.py": "statistics: estimate skewness",
    "trials/test_findings.py": ("trials: comparison declared_causes; trials/wording: *"),
    "trials/audit/test_auditing.py": "trials/audit: entry",
    "trials/test_resemblance.py": "trials: known_records",
    "trials/test_user_file.py": "trials: repeatable",
}
"""Modules that no test imports: a step on the way of another one, whose tests cover them."""

OF_SEVERAL = {
    "ascent/test_sampled_ascents.py": "data of samplers, of old iterates, of one batch for long",
    "ascent/test_absent.py": "states without some actions, through every kind of ascent",
    "ascent/test_objectives.py": "objectives with a penalty, through all that an ascent is",
    "report/test_browser.py": "the page in a browser",
    "estimators/test_batch_baselines.py": "what the baselines of a batch can do, side by side",
    "estimators/test_batch_definitions.py": "batch estimators, written out once more",
    "estimators/test_batches.py": "the contract of batch estimators",
    "estimators/test_boundary.py": "all estimators on the boundary of the simplex",
    "estimators/test_contract.py": "the contract of table estimators",
    "estimators/test_definitions.py": "table estimators, written out once more",
    "estimators/test_many.py": "all estimators, of many policies at once",
    "estimators/test_groups.py": "estimators of responses, in groups that share their start",
    "estimators/test_linear_quadratic.py": "all estimators on linear-quadratic problems",
    "estimators/test_samplers.py": "all estimators on data of every sampler",
    "estimators/test_surrogates.py": "surrogates of an older policy's data, side by side",
    "grid/test_mutated.py": "reading and planning, of grids with mistakes",
    "harness/test_objectives.py": "runs of grids that name objectives",
    "harness/test_samplers.py": "runs of grids that name samplers, from the grid to the report",
    "harness/test_cluster_processes.py": "schedulers, workers and runs as processes",
    "kernels/cuda/test_benchmarks.py": "needs the back end that is chosen there",
    "kernels/cuda/test_code.py": "what the compiler makes of all of them",
    "kernels/cuda/test_compiled.py": "the other files with compiled kernels",
    "kernels/cuda/test_device.py": "needs the back end that is chosen there",
    "kernels/cuda/test_run.py": "a whole run on a GPU",
    "policies/autodiff/test_architectures.py": "another network than that by hand, in each library",
    "policies/autodiff/test_runs.py": "runs of grids with networks, and the shipped examples",
    "policies/autodiff/test_twins.py": "one network by hand and in each library",
    "trials/continuous/test_verdicts.py": "functions for continuous actions, judged",
    "trials/test_examples.py": "the shipped examples",
}
"""Files of tests that are about more than one module, and what holds them together."""


def has_behaviour(module):
    """Whether a module defines functions or classes; what runs a command has only that."""
    if module.name in ("__init__.py", "__main__.py"):
        return False
    kinds = ast.FunctionDef, ast.ClassDef
    return any(isinstance(node, kinds) for node in ast.parse(module.read_text("utf-8")).body)


def modules():
    """Names of modules with behaviour, such as ``exact/finite/walk``."""
    found = filter(has_behaviour, sorted(PACKAGE.rglob("*.py")))
    return [module.relative_to(PACKAGE).with_suffix("").as_posix() for module in found]


def own(module):
    """Files that test a module by name: its own, or one of a package that it is in."""
    path = Path(module)
    packages = [p for p in path.parents if p.name]
    return [p.with_name(f"test_{p.name}.py").as_posix() for p in (path, *packages)]


def listed(module):
    """Files that cover it by the lists above."""
    room, _, name = module.rpartition("/")
    files = CONTRACTS.get(module.split("/")[0], "").split()
    for file, rooms in COVERED.items():
        for its_room, names in (part.split(": ") for part in rooms.split("; ")):
            if its_room == room and {name, "*"} & {*names.split()}:
                files.append(file)
    return files


@cache
def asked():
    """Modules that tests import, or names in them."""
    trees = (ast.parse(file.read_text("utf-8")) for file in TESTS.rglob("*.py"))
    nodes = [node for tree in trees for node in ast.walk(tree)]
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in (node for node in nodes if isinstance(node, ast.ImportFrom)):
        found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def imported(module):
    """Whether a test imports it, and so tests it by its name."""
    return f"pgbench.{module.replace('/', '.')}" in asked()


def exists(file):
    return (TESTS / file).exists()


def files_of_tests():
    """In rooms; those at the top are about the whole."""
    return [file for f in sorted(TESTS.rglob("test_*.py")) if "/" in (file := relative(f))]


def relative(file):
    return file.relative_to(TESTS).as_posix()


@pytest.mark.parametrize("module", modules())
def test_every_module_has_tests(module):
    assert imported(module) or any(map(exists, [*own(module), *listed(module)]))


def test_lists_hold_nothing_that_is_not_needed():
    """Not a module that tests import or that has a file of its own, nor one that is gone."""
    named = {
        f"{room}/{name}"
        for rooms in COVERED.values()
        for room, names in (part.split(": ") for part in rooms.split("; "))
        for name in names.split()
        if name != "*"
    }
    assert named <= {*modules()}
    assert not [m for m in named if imported(m) or any(map(exists, own(m)))]
    assert all(map(exists, [*COVERED, *OF_SEVERAL]))


@pytest.mark.parametrize("file", files_of_tests())
def test_every_file_of_tests_has_its_module(file):
    path = Path(file)
    tested = PACKAGE / path.parent / path.stem.removeprefix("test_")
    assert tested.with_suffix(".py").exists() or tested.is_dir() or file in OF_SEVERAL


def bare_returns(node):
    """Lines of a function where it returns nothing, functions within it left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Return) and child.value is None:
            yield child.lineno
        elif not isinstance(child, ast.FunctionDef | ast.Lambda):
            yield from bare_returns(child)


def ending_early(source):
    """Tests that return before their end: a case of theirs may check nothing."""
    return [
        (node.name, line)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        for line in bare_returns(node)
    ]


@pytest.mark.parametrize("file", sorted(map(relative, TESTS.rglob("test_*.py"))))
def test_no_test_ends_before_it_has_checked(file):
    assert ending_early((TESTS / file).read_text("utf-8")) == []


def test_a_test_that_ends_early_is_found():
    source = (
        "def test_a(x):\n    if x:\n        return\n    def f():\n        return\n    assert x\n"
    )
    assert ending_early(source) == [("test_a", 3)]
