"""Finite batteries: small problems on which a wrong estimator shows, each for its own reason.

One is general: rewards along the way, and independent trajectories. The other has responses written
token by token to prompts, paid at the end, in groups of one prompt.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators import advantage_oracle, reward_to_go
from pgbench.exact.expectation import expectation
from pgbench.exact.finite.fisher import matrix
from pgbench.exact.finite.walk import Walk
from pgbench.exact.horizon import finite_gradient, truncated_gradient
from pgbench.functions import Place, Trajectories, UserBatch, drawn
from pgbench.objectives import make_objective
from pgbench.policies import LogLinear, Policy, make_policy
from pgbench.problems import FiniteMDP, make_problem
from pgbench.samplers import sampled
from pgbench.trials.case import GENERAL, PLAIN, SEQUENCES, Case, Laboratory


@dataclass(frozen=True, eq=False)
class FiniteCase(Place, Case):
    """A finite problem with a softmax policy, and whose data it sees.

    Attributes
    ----------
    name, reason, laboratory
        As of every case.
    """

    name: str = ""
    reason: str = ""
    laboratory: Laboratory = PLAIN

    exact_fields = "batch.v or batch.q"
    critic_fields = "batch.critic"

    @property
    def grouped(self) -> bool:
        """Whether trajectories of a group have in common what others have not."""
        return bool(self.group_size) and not self.truth.mdp.one_start

    @cached_property
    def finite(self) -> FloatArray:
        """∇J_H (d,)."""
        return finite_gradient(self.truth, self.horizon)

    @property
    def endless(self) -> FloatArray:
        """∇J (d,)."""
        return self.truth.gradient

    @cached_property
    def without_tail(self) -> FloatArray:
        """Σ_{t<H} γ^t E[A ψ] (d,): ∇J less the score terms beyond step H."""
        return truncated_gradient(self.truth, self.horizon)

    @cached_property
    def undiscounted(self) -> FloatArray:
        """Σ_{t<H} E[Q̂_t ψ_t] (d,)."""
        truth = self.truth.on_policy
        tables = reward_to_go.tables(truth, self.horizon, discounted=False)
        return expectation(truth, tables, self.horizon)

    @cached_property
    def undiscounted_oracle(self) -> FloatArray:
        """Σ_{t<H} E[A ψ_t] (d,)."""
        truth = self.truth.on_policy
        tables = advantage_oracle.tables(truth, discounted=False)
        return expectation(truth, tables, self.horizon)

    def natural(self, g: FloatArray) -> FloatArray:
        """F†g (d,)."""
        return self.truth.natural(g)

    def fisher(self, steps: bool) -> FloatArray:
        """F (d, d) over ρ, or over the steps that are taken."""
        truth, mdp = self.truth, self.truth.mdp
        weights = truth.state_weights
        if steps:
            walk = Walk.of(mdp, truth.pi).within(self.horizon)
            weights = np.zeros(mdp.n_states)
            weights[walk.states] = walk.forward(1.0).sum(self.horizon)
            weights = np.where(mdp.terminal, 0.0, weights)
            weights = weights / weights.sum()
        return matrix(truth.policy, truth.theta, weights)

    @property
    def ends(self) -> bool:
        """Whether there are terminal states."""
        return bool(self.truth.mdp.terminal.any())

    @property
    def shared(self) -> bool:
        """Whether states share parameters."""
        return self.truth.policy.local_scores(self.truth.theta) is None

    def drawn(self, replicates: int, seed: int, batch_size: int | None = None) -> Trajectories:
        """The first batches."""
        return drawn(self, replicates, seed, batch_size)

    def with_valued_ends(self, batch: UserBatch) -> UserBatch:
        """The batch with exact values of one in terminal states."""
        ends = self.truth.mdp.terminal
        v, q = np.where(ends, 1.0, batch.v), np.where(ends[:, None], 1.0, batch.q)
        return batch.having(v=v, q=q)


def finite(case: Case) -> FiniteCase:
    """The case, which must be a finite one."""
    assert isinstance(case, FiniteCase), f"{case.name} is not finite"
    return case


@dataclass(frozen=True)
class _Plan:
    reason: str
    problem: Callable[[], FiniteMDP]
    horizon: int
    batch_size: int
    n_features: int = 0
    group_size: int | None = None


def _continuing(gamma: float) -> FiniteMDP:
    """A garnet whose rewards have no mean of zero, so that what is summed wrongly shows."""
    mdp = make_problem("garnet", n_states=5, n_actions=3, branching=2, gamma=gamma, seed=3)
    return _paying(mdp, 0.5)


def _paying(mdp: FiniteMDP, more: float) -> FiniteMDP:
    """The problem with ``more`` added to every reward that is paid."""
    reward = mdp.reward + more * ~mdp.terminal[:, None, None]
    return replace(mdp, reward=reward)


def _ending() -> FiniteMDP:
    """Episodes of random length, rewards r(s, a, s') that also depend on where one arrives."""
    rng = np.random.default_rng(11)
    P = rng.dirichlet(np.full(5, 0.7), size=(5, 2))
    P[:, :, 4] += 0.15
    r = 1.0 + rng.standard_normal((5, 2, 5))
    ends = np.arange(5) == 4
    mu0 = np.array([0.5, 0.3, 0.2, 0.0, 0.0])
    return FiniteMDP.from_arrays(P / P.sum(axis=2, keepdims=True), r, mu0, 0.9, terminal=ends)


def _costly_chain() -> FiniteMDP:
    """The chain of five states whose top pays 1 per step, where each step up to it costs 2."""
    mdp = make_problem("chain", length=3, n_actions=2, gamma=0.9)
    reward = mdp.reward.copy()
    reward[:-1, 0] = -2.0
    return replace(mdp, reward=reward)


def _limited() -> FiniteMDP:
    """A walk of three states that ends on the left, where half of the rollouts do so in time.

    Its rewards and its discount were chosen so that mistakes show: see ``zoo.slips``.
    """
    successor = np.array([[3, 1], [0, 2], [1, 2], [3, 3]])
    r = np.array([[-1.5, -2.0], [-1.0, -0.5], [2.0, -1.5], [0.0, 0.0]])
    return FiniteMDP.from_arrays(
        np.eye(4)[successor], r, np.eye(4)[1], 0.9, terminal=np.arange(4) == 3
    )


PLANS = {
    "continuing": _Plan(
        "it never ends, and rollouts are long enough for its discount",
        lambda: _continuing(0.8), horizon=20, batch_size=4,
    ),
    "episodic": _Plan(
        "it ends in a terminal state after a random number of steps",
        _ending, horizon=30, batch_size=4,
    ),
    "cut short": _Plan(
        "rollouts are cut long before the discount has worn off",
        lambda: _continuing(0.95), horizon=6, batch_size=4,
    ),
    "shared parameters": _Plan(
        "three parameters serve all states, so that scores of different steps meet",
        lambda: _continuing(0.8), horizon=15, batch_size=3, n_features=3,
    ),
    "undiscounted": _Plan(
        "the short corridor of Sutton & Barto, γ = 1",
        lambda: make_problem("corridor"), horizon=40, batch_size=4, n_features=1,
    ),
    "one step": _Plan(
        "a bandit with noisy rewards; only the baseline can be wrong",
        lambda: make_problem("bandit", n_actions=3), horizon=1, batch_size=3,
    ),
    "pairs": _Plan(
        "the episodic problem with two trajectories per estimate, where statistics of the batch"
        " bias most",
        _ending, horizon=30, batch_size=2,
    ),
    "chain": _Plan(
        "rollouts are cut where the value that is left hangs on the last actions",
        _costly_chain, horizon=6, batch_size=2,
    ),
    "time limit": _Plan(
        "half of the rollouts end, the others are cut",
        _limited, horizon=5, batch_size=2,
    ),
}  # fmt: skip


def _verdicts() -> FiniteMDP:
    """Prompts to which right responses are unequally likely."""
    return make_problem(
        "sequences", verifier="modulo", modulus=3, vocabulary=2, length=3, prompts=3,
        prompt_length=2, seed=1,
    )  # fmt: skip


def _lengths() -> FiniteMDP:
    """Every token costs a tenth, so that returns and lengths hang together."""
    return make_problem(
        "sequences", verifier="parity", vocabulary=2, length=3, prompts=2, prompt_length=1,
        length_cost=0.1,
    )  # fmt: skip


def _shared() -> FiniteMDP:
    """Three prompts, of which two ask for the same."""
    return make_problem(
        "sequences", verifier="parity", vocabulary=2, length=2, prompts=3, prompt_length=2,
        features=False, seed=1,
    )  # fmt: skip


def _limit() -> FiniteMDP:
    """Two tokens at most: about half of the responses are cut, and cut ones are judged too."""
    return make_problem(
        "sequences", verifier="parity", vocabulary=2, length=2, prompts=2, prompt_length=1,
        truncated="judged", length_cost=0.1,
    )  # fmt: skip


def _one_prompt() -> FiniteMDP:
    """Every prefix has a state of its own."""
    return make_problem(
        "sequences", verifier="parity", vocabulary=2, length=2, prompts=1, prompt_length=1,
        states="prefixes", window=1, format_reward=0.25,
    )  # fmt: skip


GROUPED = {
    "verdicts": _Plan(
        "three prompts, to which right responses are unequally likely: a statistic of the batch is"
        " none of the group",
        _verdicts, horizon=3, batch_size=6, group_size=3,
    ),
    "lengths": _Plan(
        "every token costs, and responses are unequally long: means over tokens are none over"
        " responses",
        _lengths, horizon=3, batch_size=4, group_size=2,
    ),
    "shared tokens": _Plan(
        "three parameters serve all prompts and positions, so that scores of different tokens meet",
        _shared, horizon=2, batch_size=4, n_features=3, group_size=2,
    ),
    "limit": _Plan(
        "half of the responses are cut, and cut ones are judged too; pairs, so that statistics of"
        " the group bias most",
        _limit, horizon=2, batch_size=4, group_size=2,
    ),
    "one prompt": _Plan(
        "one group, whose states are prefixes; responses are paid for ending by themselves",
        _one_prompt, horizon=2, batch_size=4, group_size=4,
    ),
}  # fmt: skip

FINITE = {GENERAL: PLANS, SEQUENCES: GROUPED}

FIRST_STREAM = {GENERAL: 0, SEQUENCES: 100}
"""Number of the random streams of a battery's first case."""


def _features(mdp: FiniteMDP, n: int) -> FloatArray:
    S, A = mdp.n_states, mdp.n_actions
    if n == 0:
        return np.eye(S * A).reshape(S, A, S * A)
    return (
        mdp.features
        if mdp.features is not None
        else np.random.default_rng(8).standard_normal((S, A, n))
    )


def cases(laboratory: Laboratory | str = PLAIN) -> tuple[FiniteCase, ...]:
    """A battery, or that of a name with data of the policy itself and for J; made once.

    ParameterError for a sampler or an objective that there is not, or whose parameters are wrong.
    """
    return _cases(Laboratory(laboratory) if isinstance(laboratory, str) else laboratory)


@cache
def _cases(laboratory: Laboratory) -> tuple[FiniteCase, ...]:
    plans, first = FINITE[laboratory.battery].items(), FIRST_STREAM[laboratory.battery]
    return tuple(_case(i, *named, laboratory) for i, named in enumerate(plans, first))


def _chosen(text: str, key: str) -> tuple[str, dict[str, Any]]:
    """Name and parameters of a sampler or an objective."""
    given = json.loads(text) if text.startswith("{") else {key: text}
    return given.pop(key), given


def _policy(mdp: FiniteMDP, plan: _Plan, own: str) -> Policy:
    """The policy that is chosen, or the plan's."""
    if plan.n_features and not own:
        return LogLinear(_features(mdp, plan.n_features))
    name, given = _chosen(own or "softmax", "policy")
    made: Policy = make_policy(name, mdp, **given)
    return made


def _case(stream: int, name: str, plan: _Plan, laboratory: Laboratory) -> FiniteCase:
    mdp = plan.problem()
    policy = _policy(mdp, plan, laboratory.policy)
    theta = policy.initial(seed=1, scale=0.7)
    objective, own = _chosen(laboratory.objective, "objective")
    truth = make_objective(objective, mdp, policy, **own).truth(theta)
    sampler, own = _chosen(laboratory.sampler, "sampler")
    truth = sampled(truth, sampler, **own)
    shape = plan.horizon, plan.batch_size, stream, plan.group_size
    return FiniteCase(truth, *shape, name, plan.reason, laboratory)
