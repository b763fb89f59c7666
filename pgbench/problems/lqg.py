"""Linear-quadratic Gaussian problems by name: given matrices, random systems, coupled masses."""

from typing import Annotated, Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Pattern, Range
from pgbench.problems.dimensions import QuadraticDimensions
from pgbench.problems.family import Count, Discount, Family, Seed
from pgbench.problems.linear_quadratic import LinearQuadratic
from pgbench.problems.problem import ProblemError

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ROW = rf"{_NUMBER}(?:[ ,]+{_NUMBER})*"
_MATRIX = Pattern(rf" *{_ROW}(?: *; *{_ROW})* *", 'a matrix such as "1 0.1; 0 1", row by row')

Matrix = Annotated[float | str, _MATRIX]
Variance = Annotated[float, Range(0)]


def _read(name: str, value: float | str) -> FloatArray:
    """The matrix that a parameter says."""
    if not isinstance(value, str):
        return np.array([[float(value)]])
    rows = [[float(x) for x in row.replace(",", " ").split()] for row in value.split(";")]
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise ProblemError(f"{name} has rows of {sorted(lengths)} numbers, must be a matrix")
    return np.array(rows)


def _square(name: str, value: float | str, size: int) -> FloatArray:
    """A square matrix as given, where a number stands for that multiple of the identity."""
    return _read(name, value) if isinstance(value, str) else float(value) * np.eye(size)


def lqg(
    A: Matrix = 1.0,
    B: Matrix = 1.0,
    Q: Annotated[float | str, _MATRIX, "cost of the state; a number is a multiple of I"] = 1.0,
    R: Annotated[float | str, _MATRIX, "cost of the action; a number is a multiple of I"] = 1.0,
    noise: Annotated[float | str, _MATRIX, "covariance of the process noise, likewise"] = 1.0,
    start: Annotated[float | str, _MATRIX, "covariance of the first state, likewise"] = 1.0,
    start_mean: Annotated[float, "mean of every coordinate of the first state"] = 0.0,
    gamma: Discount = 0.95,
) -> LinearQuadratic:
    """Linear-quadratic Gaussian problem with given matrices; scalar by default.

    x' = A x + B u + w with reward -(xᵀQx + uᵀRu). Matrices are written row by row, as in
    ``"1 0.1; 0 1"``.
    """
    dynamics, gain = _read("A", A), _read("B", B)
    n, m = dynamics.shape[0], gain.shape[1]
    return LinearQuadratic(
        A=dynamics,
        B=gain,
        Q=_square("Q", Q, n),
        R=_square("R", R, m),
        noise=_square("noise", noise, n),
        start_mean=np.full(n, start_mean),
        start_covariance=_square("start", start, n),
        gamma=gamma,
    )


def lqg_random(
    n: Annotated[int, Range(1, 1000), "state dimension"],
    m: Annotated[int, Range(1, 1000), "action dimension"] = 1,
    radius: Annotated[float, Range(0), "spectral radius of A"] = 0.9,
    noise: Annotated[float, Range(0), "variance of every coordinate of the process noise"] = 1.0,
    gamma: Discount = 0.95,
    seed: Seed = 0,
) -> LinearQuadratic:
    """Random linear-quadratic system: Gaussian A of a given spectral radius, Gaussian B.

    Entries of B have variance 1/n, so that a unit action moves the state by about one; both costs
    and the covariance of the first state are the identity.
    """
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    A *= radius / np.abs(np.linalg.eigvals(A)).max()
    return LinearQuadratic(
        A=A,
        B=rng.standard_normal((n, m)) / np.sqrt(n),
        Q=np.eye(n),
        R=np.eye(m),
        noise=noise * np.eye(n),
        start_mean=np.zeros(n),
        start_covariance=np.eye(n),
        gamma=gamma,
    )


def lqg_chain(
    masses: Count,
    step: Annotated[float, Range(0), "time between decisions"] = 0.1,
    stiffness: Annotated[float, Range(0), "of the springs between neighbours"] = 1.0,
    noise: Annotated[float, Range(0), "variance of what disturbs each velocity per step"] = 0.01,
    gamma: Discount = 0.95,
) -> LinearQuadratic:
    """Chain of double integrators: unit masses in a row, each pushed, springs between neighbours.

    The state holds positions, then velocities, n = 2·masses; v' = v + step·(u - Lx) with the
    chain's Laplacian L, then x' = x + step·v', which keeps the free motion from growing. State and
    action cost the identity; one mass is the double integrator.
    """
    k = masses
    laplacian = 2 * np.eye(k) - np.eye(k, k=1) - np.eye(k, k=-1)
    laplacian[0, 0] = laplacian[-1, -1] = 1.0 if k > 1 else 0.0
    pull = step * stiffness * laplacian
    if step * step * stiffness >= 1:
        raise ProblemError(
            f"step² times stiffness is {step * step * stiffness:g}, must be below 1: springs that"
            " hard make the discrete chain grow without bound"
        )
    eye, zero = np.eye(k), np.zeros((k, k))
    kick = np.concatenate([step * step * eye, step * eye])
    return LinearQuadratic(
        A=np.block([[eye - step * pull, step * eye], [-pull, eye]]),
        B=kick,
        Q=np.eye(2 * k),
        R=np.eye(k),
        noise=np.block([[zero, zero], [zero, noise * eye]]),
        start_mean=np.zeros(2 * k),
        start_covariance=np.eye(2 * k),
        gamma=gamma,
    )


def dimensions_of_random(n: int, m: int, **other: Any) -> QuadraticDimensions:
    """How large a random system is."""
    return QuadraticDimensions(n, m)


def dimensions_of_chain(masses: int, **other: Any) -> QuadraticDimensions:
    """How large a chain is: a position and a velocity of every mass, each of which is pushed."""
    return QuadraticDimensions(2.0 * masses, masses)


given = Family(
    "lqg",
    lqg,
    size=None,
    reference="Kakade 2001, Section 5.1; Peters & Schaal 2008; Fazel, Ge, Kakade & Mesbahi 2018",
)
random = Family(
    "lqg_random",
    lqg_random,
    size="n",
    reference="Fazel, Ge, Kakade & Mesbahi 2018; Tu & Recht 2019",
    dimensions=dimensions_of_random,
)
chain = Family(
    "lqg_chain",
    lqg_chain,
    size="masses",
    reference="Anderson & Moore 1990, Section 2; Recht 2019 (double integrator)",
    dimensions=dimensions_of_chain,
)
