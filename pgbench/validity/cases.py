"""The cells that are repeated."""

from dataclasses import dataclass
from typing import Any

Chosen = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """Estimators on the same trajectories of one problem, policy and batch size.

    horizon
        Longest rollout, where it is not that of the other cases.
    """

    problem: Chosen
    policy: Chosen
    batch_size: int
    estimators: tuple[Chosen, ...]
    horizon: int = 150


NOISY: Chosen = ("gae", {"lam": 0.9, "critic_noise": 0.5})
LATE: Chosen = ("reward_to_go", {"discounted": False})
GARNET: Chosen = ("garnet", {"n_states": 10, "gamma": 0.95})
SHORT: Chosen = ("garnet", {"n_states": 10, "gamma": 0.8})
LQG: Chosen = ("lqg", {})
LQG_WIDE: Chosen = ("lqg_random", {"n": 4, "m": 2})
FROZEN: Chosen = ("gymnasium", {"id": "FrozenLake-v1"})
SOFTMAX: Chosen = ("softmax", {})
LINEAR: Chosen = ("loglinear", {})
DIRECT: Chosen = ("direct", {})
NEURAL: Chosen = ("neural", {"hidden": 4})
REINFORCE: Chosen = ("reinforce", {})
TO_GO: Chosen = ("reward_to_go", {})
BASELINE: Chosen = ("baseline_value", {})
ORACLE: Chosen = ("advantage_oracle", {})
TD: Chosen = ("td", {})
RLOO: Chosen = ("rloo", {})
GROUP: Chosen = ("group_mean", {})
NATURAL: Chosen = ("natural", {})
ALL_ACTION: Chosen = ("all_action", {})
PATHWISE: Chosen = ("pathwise", {})
RATIOS: Chosen = ("importance_sampling", {})
PRODUCT: Chosen = ("trajectory_importance_sampling", {})
MILD: Chosen = ("importance_sampling", {"exploration": 0.2})
LEARNED: Chosen = ("gae_learned", {})


def gaussian(variance: float) -> Chosen:
    """A policy around a stable gain."""
    return ("gaussian", {"gain": -0.3, "variance": variance})


CASES = (
    Case(GARNET, ("loglinear", {"n_features": 1}), 1, (TO_GO, NOISY)),
    Case(("bandit", {"n_actions": 2}), SOFTMAX, 1, (REINFORCE,)),
    Case(("corridor", {}), LINEAR, 1, (REINFORCE, TO_GO, NOISY)),
    Case(("corridor", {}), LINEAR, 16, (REINFORCE, TO_GO, NOISY, RLOO)),
    Case(("two_state", {}), SOFTMAX, 1, (REINFORCE, TD)),
    Case(GARNET, LINEAR, 4, (REINFORCE, BASELINE, LATE, NOISY, RLOO, GROUP, NATURAL)),
    Case(GARNET, SOFTMAX, 1, (REINFORCE, ORACLE, LATE, NOISY, ALL_ACTION)),
    Case(GARNET, SOFTMAX, 64, (ORACLE, NOISY)),
    Case(("garnet", {"n_states": 100, "gamma": 0.95}), SOFTMAX, 1, (BASELINE, NOISY)),
    Case(("garnet", {"n_states": 1000, "gamma": 0.9}), SOFTMAX, 4, (BASELINE, NOISY)),
    Case(SHORT, DIRECT, 1, (REINFORCE, BASELINE)),
    Case(SHORT, DIRECT, 16, (BASELINE, RLOO)),
    Case(SHORT, NEURAL, 1, (REINFORCE, BASELINE)),
    Case(SHORT, NEURAL, 16, (BASELINE, RLOO)),
    Case(SHORT, SOFTMAX, 1, (MILD, RATIOS, PRODUCT), horizon=10),
    Case(SHORT, SOFTMAX, 16, (MILD, RATIOS, PRODUCT), horizon=10),
    Case(SHORT, SOFTMAX, 8, (LEARNED,), horizon=20),
    Case(("riverswim", {}), SOFTMAX, 1, (REINFORCE, TO_GO, TD)),
    Case(("riverswim", {}), SOFTMAX, 16, (REINFORCE, TO_GO, TD)),
    Case(FROZEN, SOFTMAX, 1, (REINFORCE, BASELINE, TD)),
    Case(FROZEN, SOFTMAX, 16, (REINFORCE, BASELINE, TD)),
    Case(("chain", {"length": 4}), SOFTMAX, 1, (REINFORCE, ORACLE)),
    Case(("chain", {"length": 4}), SOFTMAX, 64, (REINFORCE, ORACLE)),
    Case(LQG, gaussian(0.4), 1, (REINFORCE, TO_GO, BASELINE, ORACLE, PATHWISE)),
    Case(LQG, gaussian(0.4), 16, (TO_GO, BASELINE, RLOO, PATHWISE)),
    Case(LQG, gaussian(0.01), 1, (TO_GO, BASELINE, ORACLE)),
    Case(LQG, gaussian(0.4), 1, (MILD,), horizon=20),
    Case(LQG_WIDE, ("gaussian", {}), 1, (TO_GO, BASELINE, ORACLE)),
)

RATES = (
    Case(GARNET, SOFTMAX, 1, (REINFORCE, ORACLE, NOISY)),
    Case(("corridor", {}), LINEAR, 1, (REINFORCE, NOISY)),
    Case(("riverswim", {}), SOFTMAX, 1, (REINFORCE, TD)),
    Case(LQG, gaussian(0.4), 1, (TO_GO, BASELINE)),
)
RATE_BATCHES = (1, 4, 16, 64)
