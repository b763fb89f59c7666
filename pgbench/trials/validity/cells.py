"""The cells that are repeated: every class of problem, policy and estimator, and heavy tails."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Chosen = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class StudyCell:
    """Estimators of one problem, policy and batch size; ``theta`` as ``Parameterised.initial``."""

    problem: Chosen
    policy: Chosen
    batch_size: int
    estimators: tuple[Chosen, ...]
    theta: Mapping[str, Any] = field(default_factory=lambda: {"seed": 0})

    @property
    def setting(self) -> str:
        """Problem and policy in words."""
        name, given = self.problem
        words = [f"{given.get('id', name)}{given.get('n_states', given.get('n', ''))}"]
        if name == "lqg" and self.policy[1]["variance"] != 1:
            words.append(f"Σ = {self.policy[1]['variance']:g}")
        if self.policy[0] in ("direct", "neural"):
            words.append(self.policy[0])
        return ", ".join(words)


MARKS = {
    "critic_noise": " (wrong critic)",
    "discounted": " (no γ^t)",
    "exploration": " (ε = {:g})",
    "lam": "",
}


def in_words(estimator: Chosen) -> str:
    """An estimator's name and what is unusual about it."""
    name, given = estimator
    return name + "".join(MARKS[key].format(value) for key, value in given.items())


def _plain(*names: str) -> tuple[Chosen, ...]:
    return tuple((name, {}) for name in names)


NOISY: Chosen = ("gae", {"lam": 0.9, "critic_noise": 0.5})
GAE: Chosen = ("gae", {"lam": 0.9})
LATE: Chosen = ("reward_to_go", {"discounted": False})
GARNET: Chosen = ("garnet", {"n_states": 10, "gamma": 0.95})
SHORT: Chosen = ("garnet", {"n_states": 10, "gamma": 0.8})
CORRIDOR: Chosen = ("corridor", {})
RIVERSWIM: Chosen = ("riverswim", {})
LAKE: Chosen = ("gymnasium", {"id": "FrozenLake-v1"})
CHAIN: Chosen = ("chain", {"length": 4})
SOFTMAX: Chosen = ("softmax", {})
LINEAR: Chosen = ("loglinear", {})
NEURAL: Chosen = ("neural", {"hidden": 8})
DIRECT: Chosen = ("direct", {})
REINFORCE, TO_GO, BASELINE, ORACLE, TD = _plain(
    "reinforce", "reward_to_go", "baseline_value", "advantage_oracle", "td"
)

FINITE = (
    StudyCell(GARNET, ("loglinear", {"n_features": 1}), 1, (TO_GO, NOISY)),
    StudyCell(("bandit", {"n_actions": 2}), SOFTMAX, 1, (REINFORCE,)),
    StudyCell(CORRIDOR, LINEAR, 1, (REINFORCE, TO_GO, NOISY)),
    StudyCell(CORRIDOR, LINEAR, 16, (REINFORCE, TO_GO, NOISY)),
    StudyCell(("two_state", {}), SOFTMAX, 1, (REINFORCE, TD)),
    StudyCell(GARNET, LINEAR, 4, (REINFORCE, BASELINE, LATE, NOISY)),
    StudyCell(GARNET, SOFTMAX, 1, (REINFORCE, ORACLE, LATE, NOISY)),
    StudyCell(GARNET, SOFTMAX, 64, (ORACLE, NOISY)),
    StudyCell(("garnet", {"n_states": 100, "gamma": 0.95}), SOFTMAX, 1, (BASELINE, NOISY)),
    StudyCell(("garnet", {"n_states": 1000, "gamma": 0.9}), SOFTMAX, 4, (BASELINE, NOISY)),
    StudyCell(RIVERSWIM, SOFTMAX, 1, (REINFORCE, TO_GO, TD)),
    StudyCell(RIVERSWIM, SOFTMAX, 16, (REINFORCE, TO_GO, TD)),
    StudyCell(LAKE, SOFTMAX, 1, (REINFORCE, BASELINE, TD)),
    StudyCell(LAKE, SOFTMAX, 16, (REINFORCE, BASELINE, TD)),
    StudyCell(CHAIN, SOFTMAX, 1, (REINFORCE, ORACLE)),
    StudyCell(CHAIN, SOFTMAX, 64, (REINFORCE, ORACLE)),
    StudyCell(SHORT, NEURAL, 1, (TO_GO, ORACLE)),
    StudyCell(GARNET, DIRECT, 1, (TO_GO, ORACLE, NOISY)),
)
"""Table estimators on finite problems."""

BATCHES = (
    StudyCell(
        SHORT,
        SOFTMAX,
        4,
        _plain("rloo", "advantage_normalised", "baseline_learned", "natural", "compatible_critic"),
    ),
    StudyCell(CORRIDOR, LINEAR, 4, _plain("rloo", "advantage_normalised")),
    StudyCell(RIVERSWIM, SOFTMAX, 4, _plain("rloo", "advantage_normalised")),
)
"""Functions of batches."""


def _explored(epsilon: float, *names: str) -> tuple[Chosen, ...]:
    return tuple((name, {"exploration": epsilon}) for name in names)


_RATIOS = ("importance_sampling", "trajectory_importance_sampling")

OFF_POLICY = (
    StudyCell(
        SHORT,
        SOFTMAX,
        1,
        _explored(0.5, *_RATIOS, "weighted_importance_sampling", "doubly_robust", "vtrace"),
    ),
    StudyCell(GARNET, SOFTMAX, 1, _explored(0.5, *_RATIOS)),
    StudyCell(CORRIDOR, LINEAR, 1, _explored(0.2, *_RATIOS)),
)
"""Data of another policy."""


def _regulator(variance: float) -> Chosen:
    return ("gaussian", {"gain": -0.3, "variance": variance})


def _random(n: int) -> Chosen:
    return ("lqg_random", {"n": n, "m": 4})


_LQG: Chosen = ("lqg", {})
_BRIEF: Chosen = ("lqg", {"gamma": 0.8})
_LOGARITHMIC: Chosen = ("gaussian", {"scale": "log_std"})
_ZERO = {"init": "zeros"}

LINEAR_QUADRATIC = (
    StudyCell(
        _LQG,
        _regulator(1.0),
        1,
        (REINFORCE, TO_GO, BASELINE, ORACLE, GAE, ("importance_sampling", {"exploration": 0.2})),
        _ZERO,
    ),
    StudyCell(_LQG, _regulator(0.01), 1, (TO_GO, ORACLE, GAE), _ZERO),
    StudyCell(_LQG, _regulator(1.0), 16, (TO_GO, ORACLE), _ZERO),
    StudyCell(_BRIEF, _regulator(1.0), 4, _plain("rloo", "natural", "weak_derivative"), _ZERO),
    StudyCell(_random(2), _LOGARITHMIC, 1, (TO_GO, BASELINE, ORACLE, GAE), _ZERO),
    StudyCell(_random(16), _LOGARITHMIC, 1, (TO_GO, ORACLE), _ZERO),
)
"""Continuous states and actions: polynomials of normal numbers."""

CELLS = FINITE + BATCHES + OFF_POLICY + LINEAR_QUADRATIC

RATES = (
    StudyCell(GARNET, SOFTMAX, 1, (REINFORCE, ORACLE, NOISY)),
    StudyCell(CORRIDOR, LINEAR, 1, (REINFORCE, NOISY)),
    StudyCell(RIVERSWIM, SOFTMAX, 1, (REINFORCE, TD)),
    StudyCell(_BRIEF, _regulator(1.0), 1, (TO_GO, BASELINE), _ZERO),
)
"""Cells whose rate over batch sizes is fitted."""

RATE_BATCHES = (1, 4, 16, 64)
