"""The penalty of an objective differentiated for whole trajectories."""

from typing import Annotated

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.estimator import BatchEstimator, Exact
from pgbench.estimators.parts.penalty import (
    OWN,
    SLOPES,
    Baseline,
    Form,
    penalty_of,
    plain_rewards,
    value,
    weighing,
)
from pgbench.estimators.penalty_in_loss import slope
from pgbench.estimators.penalty_in_loss import tables as step_by_step
from pgbench.exact.expectation import expectation
from pgbench.exact.truth import Truth
from pgbench.rollout.simulator import Simulator

Whole = Annotated[
    bool, "whether data of another policy are weighed by the ratio of the whole trajectory"
]


def estimate(
    simulator: Simulator, *, form: Form = "k2", ratio: Whole = False, baseline: Baseline = False
) -> FloatArray:
    """Reward-to-go times each score, less the derivative of the whole log ratio times all scores.

    The log ratio of a trajectory is the discounted sum of those of its steps, for γ = 1 that of its
    probabilities. Its half square, k2, has the gradient of the divergence.
    """
    truth, batch = simulator.truth, simulator.batch()
    penalty, gamma = penalty_of(truth), truth.mdp.gamma
    ratios = batch.backward(batch.at(penalty.log_ratio), gamma)[:, :, :1]
    to_go = batch.backward(plain_rewards(truth, batch), gamma)
    if baseline:
        to_go = to_go - batch.value(value(truth, later=False))
    weights = batch.discounts() * to_go - penalty.coefficient * slope(ratios, form)
    if ratio:
        w = batch.at(weighing(truth, "token")[0], otherwise=1.0)
        weights = weights * w.prod(axis=2, keepdims=True)
    return simulator.pull_back(batch.tables(weights))


def moments(
    truth: Truth, horizon: int, batch_size: float, *, form: str, ratio: bool, baseline: bool
) -> Exact:
    """The mean of k1, which is that without a penalty; nothing is known beside what is declared."""
    if form != "k1" or (truth.behaviour is not None and not ratio):
        return Exact(None)
    weighed = "prefix" if ratio else "none"
    return Exact(expectation(truth, step_by_step(truth, form="k1", ratio=weighed), horizon))


def formula(form: str, ratio: bool, baseline: bool) -> str:
    """ĝ of a batch."""
    whole, meaning = (r"\prod_t w_t\,", r",\,w = \pi/\mu") if ratio else ("", "")
    less = r"(\hat Q_t - V(s_t))" if baseline else r"\hat Q_t"
    return (
        rf"\frac{{1}}{{n}}\sum_i {whole}[\sum_t \gamma^t {less}\,\psi_t"
        rf" - {SLOPES[form]}\sum_t\psi_t],"
        rf"\,l = \sum_t \gamma^t \log(\pi/\pi_{{ref}})(s_t,a_t){meaning}"
    )


estimator = BatchEstimator(
    name="penalty_of_sequence",
    estimate=estimate,
    moments=moments,
    bias=lambda form, **other: (*OWN[form], "truncation"),
    off_policy=lambda ratio, **other: () if ratio else ("sampler",),
    formula=formula,
    reference="Schulman 2020 (k1, k2, k3); Tang & Munos 2025 (of sequences)",
    cures={"own_penalty": {"form": "k2"}, "divergence": {"form": "k2"}},
    unbounded=lambda form, ratio, **other: ratio or form == "k3",
    corrects=True,
    penalised=True,
    alone="",
)
