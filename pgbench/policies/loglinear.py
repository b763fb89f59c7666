"""Log-linear softmax: logits are linear in given features."""

from dataclasses import dataclass
from math import comb
from typing import Annotated, Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.declared.parameters import Choice, Later, Range
from pgbench.policies.actions import (
    centre,
    centre_error,
    check_allowed,
    existing,
    softmax,
    softmax_error,
)
from pgbench.policies.features import coordinates, crossed, polynomial, tiles
from pgbench.policies.policy import ROOM, Policy, PolicyDimensions, PolicyKind, States
from pgbench.problems import FiniteMDP, NotApplicable
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.rounding import UNIT


@dataclass(frozen=True, eq=False)
class LogLinear(Policy):
    """π(s, a) ∝ exp φ(s, a)·θ with features φ (S, A, d) float64.

    ∇ log π(s,a) = φ(s,a) - Σ_b π(s,b) φ(s,b). (Agarwal et al. 2021, Section 6)
    """

    features: FloatArray
    allowed: BoolArray | None = None

    def __post_init__(self) -> None:
        features = np.array(self.features, dtype=np.float64, order="C")
        if features.ndim != 3 or 0 in features.shape:
            raise ValueError(
                f"features has shape {features.shape}, must be (S, A, d) without zeros"
            )
        if not np.isfinite(features).all():
            raise ValueError("features holds values that are not finite")
        features.setflags(write=False)
        object.__setattr__(self, "features", features)
        check_allowed(self.allowed, self.shape)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of states and actions (S, A)."""
        return self.features.shape[0], self.features.shape[1]

    @property
    def n_parameters(self) -> int:
        """Number of features d."""
        return self.features.shape[2]

    def probabilities(self, theta: FloatArray) -> FloatArray:
        """π(s, a), shape (S, A)."""
        return softmax(self.features @ theta, self.allowed)

    def pull_back(
        self, theta: FloatArray, weights: FloatArray, states: States | None = None
    ) -> FloatArray:
        """φᵀ(W - π Σ_a W), shape (..., d)."""
        features = self.features if states is None else self.features[states]
        allowed = self.allowed if self.allowed is None or states is None else self.allowed[states]
        centred = centre(softmax(features @ theta, allowed), existing(weights, allowed))
        flat = centred.reshape(*weights.shape[:-2], -1)
        return flat @ features.reshape(-1, self.n_parameters)

    def table_error(self, theta: FloatArray) -> float:
        """Bound on the relative rounding error of π(s, a)."""
        error = (self.n_parameters + 2) * UNIT * (np.abs(self.features) @ np.abs(theta))
        return softmax_error(self.features @ theta, error, self.allowed)

    def pull_back_error(self, theta: FloatArray, weights: FloatArray, error: FloatArray) -> float:
        """Bound on the length of the error of ``pull_back`` of weights (S, A)."""
        pi = self.probabilities(theta)
        weights, error = existing(weights, self.allowed), existing(error, self.allowed)
        wrong = centre_error(pi, weights, error, self.table_error(theta))
        wrong += (pi.size + 2) * UNIT * (np.abs(centre(pi, weights)) + wrong)
        own = wrong.ravel() @ np.abs(self.features).reshape(-1, self.n_parameters)
        return float(np.linalg.norm(own)) * ROOM

    def each_probabilities(self, thetas: FloatArray) -> FloatArray:
        """π(s, a) of m policies θ (m, d), shape (m, S, A)."""
        return softmax(self._each(thetas), self.allowed)

    def each_pull_back(self, thetas: FloatArray, weights: FloatArray) -> FloatArray:
        """The pull-backs (m, d) of weights (m, S, A), each at its own θ of (m, d)."""
        centred = centre(self.each_probabilities(thetas), existing(weights, self.allowed))
        return centred.reshape(len(thetas), -1) @ self.features.reshape(-1, self.n_parameters)

    def each_push_forward(self, thetas: FloatArray, directions: FloatArray) -> FloatArray:
        """Derivatives of log π (m, S, A) along directions (m, d), each at its own θ of (m, d)."""
        v = self._each(directions)
        slopes = v - (self.each_probabilities(thetas) * v).sum(axis=-1, keepdims=True)
        return existing(slopes, self.allowed)

    def _each(self, vectors: FloatArray) -> FloatArray:
        """φ·v of vectors (m, d), shape (m, S, A)."""
        flat = vectors @ self.features.reshape(-1, self.n_parameters).T
        return flat.reshape(-1, *self.shape)

    def scores(self, theta: FloatArray) -> FloatArray:
        """φ(s,a) - Σ_b π(s,b) φ(s,b), shape (S, A, d)."""
        mean = np.einsum("sa,sak->sk", self.probabilities(theta), self.features)
        scores = self.features - mean[:, None]
        return scores if self.allowed is None else scores * self.allowed[:, :, None]

    def push_forward(self, theta: FloatArray, direction: FloatArray) -> FloatArray:
        """φ·v less its mean under π, shape (S, A)."""
        v = self.features @ direction
        slopes = v - (self.probabilities(theta) * v).sum(axis=1, keepdims=True)
        return existing(slopes, self.allowed)


def log_linear(
    mdp: FiniteMDP,
    features: Annotated[
        str,
        Choice(("auto", "own", "random", "tiles", "polynomial")),
        "auto is the problem's own features if it has any, else random",
    ] = "auto",
    n_features: Annotated[int, Range(1), "number d of random features"] = 8,
    seed: Annotated[int, Range(0), "seed of random features"] = 0,
    n_tiles: Annotated[int, Range(1, 10_000), Later(), "tiles per coordinate"] = 4,
    n_tilings: Annotated[
        int, Range(1, 1000), Later(), "displaced tilings; one aggregates states"
    ] = 1,
    degree: Annotated[int, Range(0, 100), Later(), "total degree of polynomials"] = 2,
) -> Policy:
    """Log-linear softmax over own, random, tile or polynomial features.

    Random features are N(0, 1/d), so that φ·θ has variance 1 for standard normal θ. Tiles and
    polynomials are functions of the problem's coordinates, or of the state's number where it has
    none, with a copy for each action.
    """
    if features == "tiles":
        phi = crossed(tiles(coordinates(mdp), n_tiles, n_tilings), mdp.n_actions)
        return LogLinear(phi, mdp.allowed)
    if features == "polynomial":
        phi = crossed(polynomial(coordinates(mdp), degree), mdp.n_actions)
        return LogLinear(phi, mdp.allowed)
    if features != "random" and mdp.features is not None:
        return LogLinear(mdp.features, mdp.allowed)
    if features == "own":
        raise NotApplicable(f"{mdp.name} has no features of its own")
    rng = np.random.default_rng(seed)
    draws = rng.standard_normal((mdp.n_states, mdp.n_actions, n_features))
    return LogLinear(draws / np.sqrt(n_features), mdp.allowed)


def dimensions(
    problem: FiniteDimensions,
    features: str,
    n_features: int,
    n_tiles: int,
    n_tilings: int,
    degree: int,
    **other: Any,
) -> PolicyDimensions:
    """How large a log-linear policy is: features (S, A, d) are held two and a half times."""
    S, A, c = problem.n_states, problem.n_actions, problem.n_coordinates or 1
    d: float = n_features
    if features == "tiles":
        # Tiles that hold no state are left out.
        d = A * n_tilings * min(S, (n_tiles + (n_tilings > 1)) ** c)
    elif features == "polynomial":
        d = A * comb(c + degree, degree)
    elif features != "random" and problem.n_features:
        d = problem.n_features
    return PolicyDimensions(d, 20 * problem.pairs * d)


kind = PolicyKind(
    "loglinear",
    log_linear,
    formula=r"\pi(s,a) \propto \exp(\phi(s,a)\cdot\theta)",
    reference="Sutton, McAllester, Singh & Mansour 2000; Agarwal et al. 2021, Section 6",
    dimensions=dimensions,
)
