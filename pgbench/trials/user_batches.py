"""What a user's own estimator is given: one batch of trajectories, as plain arrays.

def estimate(batch):
    return ...  # (d,): an estimate of ∇J at batch.theta
"""

from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.process.batch import Batch
from pgbench.rollout.enumeration import Enumerator
from pgbench.rollout.simulator import Simulator, blocks
from pgbench.trials.battery import Case


@dataclass(frozen=True, eq=False)
class UserBatch:
    """N trajectories of at most T steps under the policy at θ, independent but for groups.

    Trajectories of a group share their start state, as responses to one prompt do; on the general
    battery all N are of one group, with starts of their own. Arrays are read-only copies. Where
    ``mask`` is false no step was taken, and states, actions, rewards, next_states, probabilities
    and scores are zero. N and T are the same for every batch of a problem, so that functions that
    are compiled for a shape are compiled once.

    Attributes
    ----------
    states, actions, next_states
        (N, T) int64, s_t, a_t and s_{t+1}.
    rewards
        (N, T) float64, r_t, the reward for a_t.
    mask
        (N, T) bool, whether step t was taken.
    ended
        (N,) bool, whether the trajectory ended in a terminal state; it was cut at T otherwise.
    truncated
        (N,) bool, whether a limit cut it: the horizon, or the problem's own limit, such as that on
        the length of a response, behind which there is a terminal state.
    outcomes
        (N, c) float64, what the problem says of how it ended: of responses the verdict, 1 or 0,
        and whether it ended by itself; c is 0 where nothing is said.
    group
        (N,) int64, number of the group that each trajectory is of; groups stand one after another.
    group_size
        G, of which N is a multiple.
    probabilities
        (N, T, A) float64, π(·|s_t).
    scores
        (N, T, d) float64, ψ_t = ∇_θ log π(a_t|s_t).
    gamma
        Discount, in [0, 1].
    theta
        (d,) float64.
    features
        (S, A, d) float64; π(a|s) = softmax over a of features[s, a]·θ, for those who differentiate.
    n_states, n_actions, horizon
        S, A and T.
    v, q
        (S,) and (S, A) float64, exact values of the policy over an endless horizon, zero in
        terminal states: for critics that are never wrong. No real problem tells them.
    critic
        (S,) float64, values that err as a learned critic's do, in terminal states as well: no
        network knows where an episode ends. See ``Case.critic``.
    rng
        Random numbers of this batch alone; the same batch has the same ones.
    """

    states: IntArray
    actions: IntArray
    rewards: FloatArray
    mask: BoolArray
    next_states: IntArray
    ended: BoolArray
    truncated: BoolArray
    outcomes: FloatArray
    group: IntArray
    group_size: int
    probabilities: FloatArray
    scores: FloatArray
    gamma: float
    theta: FloatArray
    features: FloatArray
    n_states: int
    n_actions: int
    horizon: int
    v: FloatArray
    q: FloatArray
    critic: FloatArray
    rng: np.random.Generator


@dataclass(frozen=True)
class UserBatches:
    """All batches of a case at a batch size: replicates of the very trajectories all others see.

    states, actions, next_states, rewards, mask
        (R, N, T), as of ``UserBatch``.
    """

    case: Case
    batch_size: int
    seed: int
    states: IntArray
    actions: IntArray
    next_states: IntArray
    rewards: FloatArray
    mask: BoolArray

    @property
    def replicates(self) -> int:
        """Number R of batches."""
        return len(self.states)

    @property
    def steps(self) -> IntArray:
        """Environment steps of each batch, (R,)."""
        return np.asarray(self.mask.sum(axis=(1, 2)))

    def only(self, rows: IntArray) -> "UserBatches":
        """The chosen batches alone, for what is asked of all at once."""
        names = ("states", "actions", "next_states", "rewards", "mask")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def __getitem__(self, r: int) -> UserBatch:
        """Batch r; made anew each time, with its random numbers set back."""
        key = (self.seed, self.case.stream, self.batch_size, r)
        return self._taken(r, np.random.default_rng(key))

    def at_once(self, seed: int = 0) -> UserBatch:
        """All batches in one whose arrays have one axis more in front, (R, N, ...)."""
        return self._taken(slice(None), np.random.default_rng(seed))

    @cached_property
    def _ends(self) -> tuple[IntArray, BoolArray, BoolArray]:
        """The last state of every trajectory, and whether it ended or was cut there, (R, N)."""
        mdp, last = self.case.truth.mdp, self.mask.sum(axis=-1, keepdims=True) - 1
        # A start state may be terminal; such a trajectory has no step.
        reached = np.take_along_axis(self.next_states, np.maximum(last, 0), axis=-1)
        final = np.where(last >= 0, reached, 0)[..., 0]
        ended = mdp.terminal[final] | (last[..., 0] < 0)
        cut = ~ended if mdp.truncated is None else ~ended | mdp.truncated[final]
        return final, ended, cut

    def _taken(self, r: int | slice, rng: np.random.Generator) -> UserBatch:
        case, mdp = self.case, self.case.truth.mdp
        s, a, mask = self.states[r], self.actions[r], self.mask[r]
        final, ended, cut = (of[r] for of in self._ends)
        said = np.zeros((mdp.n_states, 0)) if mdp.outcomes is None else mdp.outcomes
        G = case.group_size or self.batch_size
        return UserBatch(
            states=_copy(s),
            actions=_copy(a),
            rewards=_copy(self.rewards[r]),
            mask=_copy(mask),
            next_states=_copy(self.next_states[r]),
            ended=_copy(ended),
            truncated=_copy(cut),
            outcomes=_copy(said[final]),
            group=_copy(np.broadcast_to(np.arange(self.batch_size) // G, ended.shape)),
            group_size=G,
            probabilities=_copy(case.truth.pi[s] * mask[..., None]),
            scores=_copy(_scores(case)[s, a] * mask[..., None]),
            gamma=float(mdp.gamma),
            theta=_copy(case.truth.theta),
            features=_copy(case.features),
            n_states=mdp.n_states,
            n_actions=mdp.n_actions,
            horizon=case.horizon,
            v=_copy(case.truth.v),
            q=_copy(case.truth.q),
            critic=_copy(case.critic),
            rng=rng,
        )


def _copy(array: Any) -> Any:
    """A copy of its own that cannot be written to."""
    copied = np.array(array)
    copied.setflags(write=False)
    return copied


@cache
def _scores(case: Case) -> FloatArray:
    """ψ(s, a) of a case, (S, A, d); made once."""
    return case.truth.policy.scores(case.truth.theta)


def drawn(case: Case, replicates: int, seed: int, batch_size: int) -> UserBatches:
    """The first batches of a case, padded to its horizon."""
    draws = case.draws(replicates, seed, batch_size)
    batches = (
        Simulator(case.truth, draws, first, m).batch() for first, m in blocks(case.truth, draws)
    )
    parts = [_padded(batch, case.horizon) for batch in batches]
    arrays = (np.concatenate(part) for part in zip(*parts, strict=True))
    return UserBatches(case, batch_size, seed, *arrays)


def enumerated(case: Case, batch_size: int) -> tuple[UserBatches, FloatArray]:
    """Every batch that there is, and the probability of each (R,)."""
    simulator = Enumerator(case.truth, case.horizon, batch_size, case.group_size)
    arrays = _padded(simulator.batch(), case.horizon)
    assert simulator.probability is not None
    return UserBatches(case, batch_size, 0, *arrays), simulator.probability


def _padded(batch: Batch, horizon: int) -> list[Any]:
    arrays = batch.states, batch.actions, batch.successors, batch.rewards, batch.mask
    missing = horizon - batch.shape[2]
    return [np.pad(x, ((0, 0), (0, 0), (0, missing))) for x in arrays]
