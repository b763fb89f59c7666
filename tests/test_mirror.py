"""Tests mirror the package: every module has its tests, every file of tests its module."""

import ast
from pathlib import Path

import pytest

import pgbench

PACKAGE = Path(pgbench.__file__).parent
TESTS = Path(__file__).parent

CONTRACTS = {
    "estimators": "estimators/test_contract.py estimators/test_batches.py",
    "problems": "problems/test_family.py",
    "policies": "policies/test_policy.py",
}
"""Rooms of records that are found by their files; the contract tests whatever is there."""

COVERED = {
    "ascent/test_methods.py": "ascent: algorithm ratios rules smoothness",
    "ascent/test_theory.py": "ascent: goal",
    "ascent/test_crowd.py": "kernels: crowd",
    "cli/test_commands.py": "cli: listing",
    "declared/test_parameters.py": "declared: registry",
    "estimators/parts/test_learned_critic.py": "kernels: critics",
    "estimators/test_batch_baselines.py": "exact/finite: visits",
    "estimators/test_batch_definitions.py": "process: batch",
    "estimators/test_contract.py": "process: tables",
    "exact/finite/test_elimination.py": "kernels: elimination",
    "exact/finite/test_moments.py": (
        "exact: expectation table_moments; exact/finite: expectation recursion"
    ),
    "exact/finite/test_values.py": "exact: remember truth",
    "exact/linear_quadratic/test_bounds.py": "exact/linear_quadratic: lyapunov",
    "exact/linear_quadratic/test_moments.py": (
        "exact: returns; exact/finite: returns; exact/linear_quadratic: expectation polynomials"
    ),
    "exact/linear_quadratic/test_values.py": "exact/linear_quadratic: scalar",
    "harness/test_ascents.py": "results: ascents",
    "harness/test_runner.py": (
        "harness: progress provenance; kernels: blas; measure: cells; results: dataset"
    ),
    "kernels/cuda/test_device.py": "rollout: device",
    "kernels/cuda/test_running.py": "kernels/cuda: launch",
    "kernels/test_rollout.py": "kernels: compact prefetch reference",
    "measure/test_sums.py": "kernels: running",
    "report/test_page.py": (
        "report: calibration causes checks curves declared dots marks measured panels ranking "
        "selection style tables unresolved"
    ),
    "test_linear_quadratic.py": "report: linear_quadratic",
    "test_readme.py": "declared: variables",
    "trials/test_biases.py": "trials: biases_table trajectories",
    "trials/test_findings.py": "trials: accounts measured scaling where; trials/wording: *",
    "trials/test_own.py": "trials: candidate generators guard repeatable; kernels: compiling",
    "trials/test_resemblance.py": "trials: equality examine normalisers undiscounted",
    "trials/test_verdict.py": "trials: analysis battery comparison declared examination known",
    "trials/test_zoo.py": "trials: power power_table",
}
"""Modules that are a step on the way of another one, whose tests cover them."""

OF_SEVERAL = {
    "ascent/test_absent.py": "states without some actions, through every kind of ascent",
    "estimators/test_batch_baselines.py": "what the baselines of a batch can do, side by side",
    "estimators/test_batch_definitions.py": "batch estimators, written out once more",
    "estimators/test_batches.py": "the contract of batch estimators",
    "estimators/test_boundary.py": "all estimators on the boundary of the simplex",
    "estimators/test_contract.py": "the contract of table estimators",
    "estimators/test_definitions.py": "table estimators, written out once more",
    "estimators/test_linear_quadratic.py": "all estimators on linear-quadratic problems",
    "estimators/test_surrogates.py": "surrogates of an older policy's data, side by side",
    "kernels/cuda/test_benchmarks.py": "needs the back end that is chosen there",
    "kernels/cuda/test_code.py": "what the compiler makes of all of them",
    "kernels/cuda/test_compiled.py": "the other files with compiled kernels",
    "kernels/cuda/test_device.py": "needs the back end that is chosen there",
    "kernels/cuda/test_run.py": "a whole run on a GPU",
    "statistics/test_inference.py": "tests and rates, which are made of intervals",
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


def exists(file):
    return (TESTS / file).exists()


def files_of_tests():
    """In rooms; those at the top are about the whole."""
    return [file for f in sorted(TESTS.rglob("test_*.py")) if "/" in (file := relative(f))]


def relative(file):
    return file.relative_to(TESTS).as_posix()


@pytest.mark.parametrize("module", modules())
def test_every_module_has_tests(module):
    assert any(map(exists, own(module))) or any(map(exists, listed(module)))


def test_lists_hold_nothing_that_is_not_needed():
    """A module that has a file of its own is not listed, nor one that is gone."""
    named = {
        f"{room}/{name}"
        for rooms in COVERED.values()
        for room, names in (part.split(": ") for part in rooms.split("; "))
        for name in names.split()
        if name != "*"
    }
    assert named <= {*modules()}
    assert not [module for module in named if any(map(exists, own(module)))]
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
