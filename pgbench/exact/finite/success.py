"""The chance that an episode ends in success, as a verifier says."""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.finite.values import FiniteTruth
from pgbench.exact.finite.walk import Walk
from pgbench.exact.truth import Truth
from pgbench.problems import FiniteMDP


def chance_of_success(truth: Truth, horizon: int) -> float:
    """Probability that a trajectory of at most so many steps ends in a state of success.

    Its first outcome is 1. NaN where the problem says nothing of how episodes end.
    """
    outcomes = truth.mdp.outcomes if isinstance(truth, FiniteTruth) else None
    if outcomes is None:
        return np.nan
    mdp, walk = truth.mdp, Walk.of(truth.mdp, truth.pi)
    arrives = arrivals(mdp, outcomes)
    return float(mdp.mu0 @ walk.backward(1.0, walk.mean(arrives)).sum(horizon))


def arrivals(mdp: FiniteMDP, outcomes: FloatArray) -> FloatArray:
    """Probability (S, A) that a step ends the episode in success, by outcomes (S, c)."""
    return np.asarray((mdp.transitions @ outcomes[:, 0]).reshape(mdp.n_states, mdp.n_actions))
