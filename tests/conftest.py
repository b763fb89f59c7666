"""Shared fixtures: tiny problems, every kind of policy, every estimator in every variant."""

import os

# Two workers on two cores: threads of their own only wait for each other, and burn the time. Before
# NumPy and numba are loaded, which read these once.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings

from pgbench.declared.parameters import Parameter, label
from pgbench.estimators import (
    BatchEstimator,
    Estimator,
    TableEstimator,
    Tables,
    estimators,
    make_tables,
)
from pgbench.exact import Truth, evaluate
from pgbench.harness.progress import Silent
from pgbench.policies import Policy, kinds, make_policy
from pgbench.problems import FiniteMDP, families, make_problem
from pgbench.rollout.enumeration import Listed, enumerated_moments

settings.register_profile("suite", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("suite")


def dense() -> FiniteMDP:
    """Every state follows every other; rewards r(s, a, s')."""
    return make_problem("random", n_states=3, n_actions=2, gamma=0.8, seed=1)


def ending() -> FiniteMDP:
    """Random transitions and rewards with a terminal state."""
    rng = np.random.default_rng(5)
    P = rng.dirichlet(np.ones(3), size=(3, 2))
    r = rng.standard_normal((3, 2, 3))
    return FiniteMDP.from_arrays(P, r, [0.6, 0.4, 0.0], 0.9, terminal=[False, False, True])


def coins() -> FiniteMDP:
    """Random rewards: two slots of a pair lead to the same state and pay differently."""
    rng = np.random.default_rng(7)
    return FiniteMDP(
        successor=np.broadcast_to([0, 0, 1], (2, 2, 3)),
        probability=rng.dirichlet(np.ones(3), size=(2, 2)),
        reward=rng.standard_normal((2, 2, 3)),
        mu0=np.array([0.3, 0.7]),
        gamma=0.7,
    )


def fewer() -> FiniteMDP:
    """States that do not have every action, and not the same; one has a single action."""
    rng = np.random.default_rng(9)
    P = np.zeros((3, 3, 3))
    for s in range(3):
        P[s, :, [s, (s + 1) % 3]] = rng.dirichlet(np.ones(2), size=3).T
    allowed = np.array([[True, False, True], [False, True, True], [True, False, False]])
    r = np.where(allowed, rng.standard_normal((3, 3)), np.nan)
    return FiniteMDP.from_arrays(P, r, [0.6, 0.4, 0.0], 0.9, allowed=allowed)


def corridor() -> FiniteMDP:
    """The short corridor, undiscounted."""
    return make_problem("corridor")


TINY: dict[str, tuple[Callable[[], FiniteMDP], int]] = {
    "dense": (dense, 3),
    "ending": (ending, 4),
    "coins": (coins, 3),
    "corridor": (corridor, 7),
    "fewer": (fewer, 3),
}
"""Problems whose trajectories of that many steps can all be listed."""

SMALL: dict[str, dict[str, Any]] = {"neural": {"hidden": 3}}
"""Parameters that keep a kind of policy small."""


@dataclass(frozen=True)
class Variant:
    """An estimator with given parameters."""

    name: str
    items: tuple[tuple[str, Any], ...]

    @property
    def given(self) -> dict[str, Any]:
        """The parameters as keywords."""
        return dict(self.items)

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes of bias that the estimator declares."""
        return estimators()[self.name].causes(**self.given)

    @property
    def simulates_its_horizon(self) -> bool:
        """Whether the estimator draws its own horizon at random."""
        return self.name.startswith("visitation")

    def tables(self, truth: Truth, horizon: int | None = None) -> Tables:
        """The estimator's tables."""
        return make_tables(truth, self.name, horizon, **self.given)

    def __str__(self) -> str:
        return label(self.name, estimators()[self.name].parameters, self.given)


def trials(parameter: Parameter) -> list[Any]:
    """Values to try: all that a required number allows of 0, 0.7, 1; else each non-default kind."""
    values: list[Any] = []
    if float in parameter.types:
        values += [0.0, 0.7, 1.0] if parameter.required else [0.7]
    if int in parameter.types:
        values.append(int(parameter.range.minimum or 0) + 1)
    if bool in parameter.types:
        values += [True, False]
    if parameter.choice:
        values += parameter.choice.options
    return [value for value in values if parameter.required or value != parameter.default]


def variants() -> Iterator[Variant]:
    """Every table estimator: defaults, one optional parameter changed, all changed."""
    yield from _variants(TableEstimator)


def batch_variants() -> Iterator[Variant]:
    """The same of batch estimators."""
    yield from _variants(BatchEstimator)


def _variants(kind: type[Estimator]) -> Iterator[Variant]:
    for name, estimator in estimators().items():
        if not isinstance(estimator, kind) or FiniteMDP not in estimator.on:
            continue
        declared = estimator.parameters
        needed = [key for key, p in declared.items() if p.required]
        changes = [(key, value) for key, p in declared.items() for value in trials(p)]
        optional = [(key, value) for key, value in changes if key not in needed]
        selections = [(), *((change,) for change in optional)]
        if len({key for key, _ in optional}) > 1:
            selections.append(tuple(dict(optional).items()))
        for values in product(*(trials(declared[key]) for key in needed)):
            for chosen in selections:
                yield Variant(name, (*zip(needed, values, strict=True), *chosen))


HORIZON = (("truncation",), ("tail",))
"""Causes of bias of which nothing is left as the horizon grows."""


def on_policy(truth: Truth) -> list[Tables]:
    """Every estimator that simulates the policy itself, λ = 0.7 where one is needed."""
    made = [
        e.make(truth, **{k: 0.7 for k, p in e.parameters.items() if p.required})
        for name, e in estimators().items()
        if isinstance(e, TableEstimator)
        and FiniteMDP in e.on
        and not Variant(name, ()).simulates_its_horizon
    ]
    return [tables for tables in made if tables.process is truth.process]


class StopAfter(Silent):
    """Interrupts a run after some batches of cells, as ^C would."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def batch(self, n_cells: int, steps: float) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture
def stop_after() -> Callable[[int], Silent]:
    """Progress that interrupts a run after some batches of cells."""
    return StopAfter


@pytest.fixture(scope="session")
def discrete_dp() -> Any:
    """``DiscreteDP`` of quantecon, imported by one process after another.

    It compiles as it is imported; two processes that do so at once leave code behind that aborts
    the next one.
    """
    with FileLock(Path(tempfile.gettempdir()) / f"quantecon-{os.getuid()}.lock"):
        from quantecon.markov import DiscreteDP
    return DiscreteDP


@pytest.fixture(name="on_policy", scope="session")
def on_policy_fixture() -> Callable[[Truth], list[Tables]]:
    """``on_policy(truth)``: every estimator that simulates the policy itself."""
    return on_policy


def make_kind(kind: str, mdp: FiniteMDP) -> Policy:
    """A small policy of a kind."""
    return make_policy(kind, mdp, **SMALL.get(kind, {}))


@pytest.fixture(name="make_kind", scope="session")
def make_kind_fixture() -> Callable[..., Policy]:
    """A function that makes a small policy of a kind by name."""
    return make_kind


@cache
def tiny_truth(problem: str, kind: str) -> Truth:
    """Exact quantities of a tiny problem at a random θ."""
    mdp = TINY[problem][0]()
    policy = make_kind(kind, mdp)
    return evaluate(mdp, policy, policy.initial(seed=3, scale=0.5))


@pytest.fixture(name="tiny_truth", scope="session")
def tiny_truth_fixture() -> Callable[[str, str], Truth]:
    """``tiny_truth(problem, kind)``."""
    return tiny_truth


@pytest.fixture(params=TINY)
def problem(request: pytest.FixtureRequest) -> str:
    """Name of a tiny problem."""
    return request.param


@pytest.fixture(params=[name for name, kind in kinds().items() if kind.on is FiniteMDP])
def kind(request: pytest.FixtureRequest) -> str:
    """Name of a kind of policy for finite problems."""
    return request.param


@pytest.fixture(params=variants(), ids=str)
def variant(request: pytest.FixtureRequest) -> Variant:
    """An estimator in one of its variants."""
    return request.param


@pytest.fixture(params=batch_variants(), ids=str)
def batch_variant(request: pytest.FixtureRequest) -> Variant:
    """A batch estimator in one of its variants."""
    return request.param


@pytest.fixture(params=[v for v in variants() if v.causes in HORIZON], ids=str)
def unbiased_variant(request: pytest.FixtureRequest) -> Variant:
    """An estimator in a variant whose mean is ∇J_H, or ∇J less the tail."""
    return request.param


@pytest.fixture(params=[False, True], ids=["per step", "total"])
def tables(request: pytest.FixtureRequest, truth: Truth) -> Tables:
    """Tables of no estimator in particular, every entry random, in either shape."""
    rng = np.random.default_rng(12)
    kappa, beta, delta = rng.standard_normal((3, *truth.pi.shape))
    sigma = rng.standard_normal(truth.mdp.probability.shape)
    return Tables.build(
        truth.process, sigma=sigma, kappa=kappa, beta=beta, delta=delta, total=request.param
    )


@pytest.fixture
def horizon(problem: str) -> int:
    """Number of steps for which every trajectory of the tiny problem can be listed."""
    return TINY[problem][1]


@pytest.fixture
def truth(problem: str, kind: str) -> Truth:
    """Exact quantities on a tiny problem."""
    return tiny_truth(problem, kind)


@pytest.fixture
def listed_steps(horizon: int, variant: Variant) -> int:
    """The same for what the estimator simulates; random horizons have more trajectories."""
    return 3 if variant.simulates_its_horizon else horizon


@pytest.fixture
def enumerated(problem: str, kind: str, listed_steps: int, variant: Variant) -> Listed:
    """Mean and variance of the estimator from the list of all trajectories."""
    return listed(problem, kind, variant, listed_steps)


@cache
def listed(problem: str, kind: str, variant: Variant, steps: int) -> Listed:
    """The same, kept for the next test."""
    truth = tiny_truth(problem, kind)
    return enumerated_moments(truth, variant.tables(truth, steps), steps)


SAMPLED = frozenset(
    {
        "antithetic",
        "evolution_strategies",
        "finite_differences",
        "pgpe",
        "quasi_monte_carlo",
        "spsa",
    }
)
"""Estimators that draw more than trajectories: batches of theirs cannot be listed, and
``estimators/test_perturbations.py`` tests them."""


def alone() -> list[Variant]:
    """Batch estimators that one trajectory is enough for, biased by the horizon alone."""
    enough = [v for v in batch_variants() if v.causes in HORIZON and v.name not in SAMPLED]
    return [v for v in enough if getattr(estimators()[v.name], "fewest", 1) == 1]


@pytest.fixture(params=alone(), ids=str)
def variant_alone(request: pytest.FixtureRequest) -> Variant:
    """A batch estimator in a variant that can be listed one trajectory at a time."""
    return request.param


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out estimators where they make no sense; a test demands that they say so."""
    items[:] = [item for item in items if can_be_listed(item) and not elsewhere(item)]
    items[:] = [item for item in items if makes_sense(getattr(item, "callspec", None))]


def elsewhere(item: Any) -> bool:
    """Whether the test's module says that another one tests this estimator."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    variant = given.get("batch_variant") or given.get("variant")
    return variant is not None and variant.name in getattr(item.module, "ELSEWHERE", ())


def can_be_listed(item: Any) -> bool:
    """Whether a test that lists all batches of an estimator can."""
    if "listed" not in getattr(item, "fixturenames", ()):
        return True
    return item.callspec.params["batch_variant"].name not in SAMPLED


def makes_sense(callspec: Any) -> bool:
    """Whether a test's estimator can be made on its problem."""
    given = callspec.params if callspec else {}
    variant = given.get("variant") or given.get("unbiased_variant")
    if variant is None or "problem" not in given:
        return True
    return not (variant.simulates_its_horizon and TINY[given["problem"]][0]().gamma == 1)


def tangents(policy: Policy, theta: np.ndarray) -> tuple[np.ndarray, float]:
    """Tangent parts (d, d) of the unit vectors, and how far θ may go along each, both ways.

    That is 1, or on the simplex the least probability, which must not become negative.
    """
    units = np.eye(policy.n_parameters)
    directions = policy.tangent(units)
    return directions, 1.0 if np.array_equal(directions, units) else float(theta[theta > 0].min())


@pytest.fixture(name="tangents", scope="session")
def tangents_fixture() -> Callable[..., tuple[np.ndarray, float]]:
    """Directions in which θ may move, and how far."""
    return tangents


def differentiate(
    f: Callable[[np.ndarray], Any],
    x: np.ndarray,
    step: float = 2e-3,
    policy: Policy | None = None,
) -> np.ndarray:
    """∂f/∂x_k along the last axis, by central differences of fourth order in ``step``.

    With a policy whose θ is constrained, along the tangent part of each unit vector.
    """
    directions, reach = (np.eye(x.size), 1.0) if policy is None else tangents(policy, x)
    step *= reach
    columns = []
    for h in step * directions:
        near = np.asarray(f(x + h)) - np.asarray(f(x - h))
        far = np.asarray(f(x + 2 * h)) - np.asarray(f(x - 2 * h))
        columns.append((8 * near - far) / (12 * step))
    return np.stack(columns, axis=-1)


@pytest.fixture(name="differentiate", scope="session")
def differentiate_fixture() -> Callable[..., np.ndarray]:
    """Numerical differentiation."""
    return differentiate


def rational_solve(matrix: Any, b: Any) -> list[Fraction]:
    """x with matrix·x = b by elimination in rational arithmetic, for an M-matrix of floats."""
    rows = [[*map(Fraction, row), Fraction(y)] for row, y in zip(matrix, b, strict=True)]
    for i, pivot in enumerate(rows):
        pivot[:] = [x / pivot[i] for x in pivot]
        for row in rows:
            if row is not pivot:
                row[:] = [x - row[i] * y for x, y in zip(row, pivot, strict=True)]
    return [row[-1] for row in rows]


@pytest.fixture(name="rational_solve")
def rational_solve_fixture() -> Callable[..., list[Fraction]]:
    """Exact solution of linear equations."""
    return rational_solve


@pytest.fixture
def as_if_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small systems are solved by what is meant for large ones."""
    from pgbench.exact.finite import fundamental, linear

    monkeypatch.setattr(fundamental, "SMALL", 0)
    for module in (fundamental, linear):
        monkeypatch.setattr(module, "DENSE_LIMIT", 0)


@pytest.fixture(scope="session")
def close() -> Callable[..., None]:
    """``close(actual, expected, rtol)``: relative to the largest expected entry, which may be 0."""

    def check(actual: Any, expected: Any, rtol: float = 1e-12) -> None:
        size = float(np.max(np.abs(expected), initial=0.0))
        np.testing.assert_allclose(actual, expected, rtol=0, atol=rtol * size)

    return check


@pytest.fixture(params=[name for name in families() if not name.startswith("lqg")])
def small_problem(request: pytest.FixtureRequest, tmp_path: Path) -> FiniteMDP:
    """A small problem of every family."""
    return make_small(request.param, tmp_path)


@pytest.fixture(name="make_small")
def make_small_fixture(tmp_path: Path) -> Callable[..., FiniteMDP]:
    """A function that makes a small problem of a family by name."""
    return partial(make_small, folder=tmp_path)


def make_small(name: str, folder: Path, **given: Any) -> FiniteMDP:
    """A problem of few states, whatever the family needs for that."""
    family = families()[name]
    if name == "file":
        dense().to_npz(folder / "dense.npz")
        given["path"] = str(folder / "dense.npz")
    elif name == "gymnasium":
        given["id"] = "FrozenLake-v1"
    elif family.size:
        given.setdefault(family.size, 4)
    return family.make(**given)
