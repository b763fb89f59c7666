"""Actor-critic whose critic has learned from sampled trajectories, while the actor stood still."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Choice, Range
from pgbench.estimators.actor_critic import pair_features
from pgbench.estimators.parts.estimator import EVERYWHERE, BatchEstimator
from pgbench.estimators.parts.learned_critic import (
    Data,
    Episodes,
    Step,
    lstd,
    quadratic_lstd,
    sarsa,
    training_data,
)
from pgbench.exact.linear_quadratic import QuadraticTruth
from pgbench.policies import NotApplicable
from pgbench.rollout.simulator import Simulator


def estimate(
    simulator: Simulator,
    *,
    method: Annotated[
        str, Choice(("sarsa", "lstd")), "SARSA(0) step by step, or LSTD-Q, which needs features"
    ] = "sarsa",
    n_features: Annotated[
        int, Range(0), "fixed random features of pairs; 0 is a table, eight for lstd"
    ] = 0,
    step: Step = 0.1,
    data: Data = "independent",
    episodes: Episodes = 16,
) -> FloatArray:
    """Learned Q_w(s,a) times each score, the critic begun at zero for every estimate.

    The limit of two time scales in which the actor's step is nothing to the critic's: θ does not
    move while Q_w is learned. The critic's own trajectories are charged. SARSA with features goes
    to infinity where the step is too long for their squared norm, which is about ``n_features``.
    On a linear-quadratic problem the features are all monomials of (x, 1, u) up to the second
    degree, which can express Q, and the method is LSTD-Q.
    """
    truth = simulator.truth
    if isinstance(truth, QuadraticTruth):
        return _quadratic(simulator, truth, method, data, episodes)
    learned_from = training_data(simulator, data, episodes)
    n = n_features or (8 if method == "lstd" else 0)
    phi = pair_features(truth, n) if n else None
    if method == "lstd":
        assert phi is not None
        q = lstd(learned_from, truth, phi)
    else:
        q = sarsa(learned_from, phi, step)
    batch = learned_from if data == "same" else simulator.batch()
    return simulator.pull_back(batch.tables(batch.discounts() * batch.at(q)))


def _quadratic(
    simulator: Simulator, truth: QuadraticTruth, method: str, data: str, episodes: int
) -> FloatArray:
    if method != "lstd":
        raise NotApplicable("the critic of a linear-quadratic problem is fitted by method: lstd")
    learned_from = training_data(simulator, data, episodes)
    forms = quadratic_lstd(learned_from)
    batch = learned_from if data == "same" else simulator.batch()
    z = batch.z[:, :, :-1]
    q = np.einsum("mntp,mpq,mntq->mnt", z, forms, z, optimize=True)
    return simulator.pull_back(batch.tables(batch.discounts() * q))


estimator = BatchEstimator(
    name="sampled_actor_critic",
    estimate=estimate,
    bias=lambda method, n_features, step, data, episodes: (
        ("critic",) + ("batch",) * (data == "same") + ("tail",)
    ),
    formula=lambda method, **_: (
        r"\sum_t \gamma^t Q_w(s_t,a_t)\,\psi_t,\,"
        + (
            r"w \leftarrow w + \alpha\,\delta\,\phi"
            if method == "sarsa"
            else r"\sum_t \delta_t(w)\,\phi_t = 0"
        )
    ),
    reference="Konda & Tsitsiklis 2000; Lagoudakis & Parr 2003 (LSTD-Q)",
    on=EVERYWHERE,
    alone="",
)
