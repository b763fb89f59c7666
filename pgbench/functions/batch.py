"""What a user's own estimator is given: one batch of trajectories, as plain arrays.

def estimate(batch):
    return ...  # (d,): an estimate of ∇J at batch.theta
"""

from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.functions.fields import AnyBatch, Made, fields
from pgbench.functions.libraries import exp, like, log_softmax
from pgbench.functions.place import NEVER, require_held


class UserBatch(AnyBatch):
    """N trajectories of at most T steps from one policy, independent but for groups.

    Trajectories of a group share their start state, as responses to one prompt do; on the general
    battery all N are of one group, with starts of their own. Every field is made when it is first
    asked for. Arrays are read-only copies, floats in ``dtype``. Where ``mask`` is false no step was
    taken, and whatever belongs to a step is zero. N and T are the same for every batch of a
    problem, so that functions that are compiled for a shape are compiled once; ``flat`` has the
    steps taken alone, as one stream.

    π is the policy at θ, whose gradient is wanted. Data come from the behaviour μ, which is π
    itself unless a sampler stands in its place.

    Attributes
    ----------
    states, actions, next_states
        (N, T) int64, s_t, a_t and s_{t+1}.
    rewards
        (N, T) float64, r_t, the reward for a_t: the environment's, with no penalty taken off.
    mask
        (N, T) bool, whether step t was taken.
    terminated
        (N, T) bool, whether a_t led to a terminal state, behind which nothing is paid.
    truncated
        (N, T) bool, whether a limit cut the trajectory after a_t: the horizon, or the problem's own
        limit, such as that on the length of a response, behind which there is a terminal state.
    ended
        (N,) bool, whether the trajectory ended in a terminal state; it was cut at T otherwise.
    outcomes
        (N, c) float64, what the problem says of how it ended: of responses the verdict, 1 or 0,
        and whether it ended by itself; c is 0 where nothing is said.
    group
        (N,) int64, number of the group that each trajectory is of; groups stand one after another.
    group_size
        G, of which N is a multiple.
    probabilities, behaviour_probabilities, reference_probabilities
        (N, T, A) float64, π(·|s_t), μ(·|s_t) and q(·|s_t), the reference that the objective
        compares π with: uniform where it is J, ones with entropy.
    log_probs, behaviour_log_probs, reference_log_probs
        (N, T) float64, their logarithms at a_t.
    coefficient
        c of the objective J - c E Σ γ^t log(π/q), unit reward per nat; 0 where it is J.
    scores
        (N, T, d) float64, ψ_t = ∇_θ log π(a_t|s_t).
    gamma
        Discount, in [0, 1].
    theta
        (d,) float64.
    features
        (S, A, d) float64; π(a|s) = softmax over a of features[s, a]·θ, for those who differentiate.
    inputs
        (S, f) float64, the features of states that a network of the user's own is given.
    allowed
        (S, A) bool, which actions a state has; the others have probability 0.
    n_states, n_actions, horizon
        S, A and T.
    v, q
        (S,) and (S, A) float64, exact values of π over an endless horizon, with what the objective
        takes off rewards, zero in terminal states: for critics that are never wrong. No real
        problem tells them.
    behaviour_v, behaviour_q
        The same of μ, whose advantages a surrogate such as PPO's has.
    critic
        (S,) float64, values that err as a learned critic's do, in terminal states as well: no
        network knows where an episode ends. See ``Place.critic``.
    values, next_values
        (N, T) float64, the critic at s_t and at s_{t+1}, also beyond an end or a cut.
    flat
        The steps taken alone, one trajectory after another: see ``Stream``.
    dtype
        Of all floats, float64 unless the function declares float32.
    rng
        Random numbers of this batch alone; the same batch has the same ones.
    """

    padding = "probabilities are 0 where mask is false, and their logarithm is -inf"

    def _by_state(self, table: FloatArray, states: Any = None) -> FloatArray:
        """Rows of a table by state, at s_t; 0 where no step was taken."""
        rows = table[self.states if states is None else states]
        return np.asarray(rows * self.mask.reshape(self.mask.shape + (1,) * (table.ndim - 1)))

    def _log(self, table: FloatArray) -> FloatArray:
        """Logarithm of a table (S, A) at (s_t, a_t); 0 where no step was taken."""
        taken = np.where(self.mask, table[self.states, self.actions], 1.0)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(taken))

    outcomes = Made(lambda b: b._of("outcomes"))
    probabilities = Made(lambda b: b._by_state(b._place.truth.pi))
    behaviour_probabilities = Made(lambda b: b._by_state(b._place.behaviour))
    reference_probabilities = Made(lambda b: b._by_state(b._place.reference))
    log_probs = Made(lambda b: b._log(b._place.truth.pi))
    behaviour_log_probs = Made(lambda b: b._log(b._place.behaviour))
    reference_log_probs = Made(lambda b: b._log(b._place.reference))
    coefficient = Made(lambda b: float(b._place.coefficient))
    scores = Made(lambda b: b._scores())
    features = Made(lambda b: b._place.features)
    inputs = Made(lambda b: b._place.inputs)
    allowed = Made(lambda b: b._place.allowed)
    n_states = Made(lambda b: b._place.truth.mdp.n_states)
    n_actions = Made(lambda b: b._place.truth.mdp.n_actions)
    v = Made(lambda b: b._place.truth.v)
    q = Made(lambda b: b._place.truth.q)
    behaviour_v = Made(lambda b: b._place.behaviour_values[0])
    behaviour_q = Made(lambda b: b._place.behaviour_values[1])
    critic = Made(lambda b: b._place.critic)
    values = Made(lambda b: b._by_state(b.critic))
    next_values = Made(lambda b: b._by_state(b.critic, b.next_states))

    def _scores(self) -> FloatArray:
        require_held("scores", self.mask.size * self.theta.size)
        return np.asarray(self._place.scores[self.states, self.actions] * self.mask[..., None])

    def pull_back(self, weights: Any) -> FloatArray:
        """Σ_{n,t} w_{n,t} ψ_t of trajectory n, (d,), of weights (N, T): no score is made for it.

        Works for every policy of every size, in NumPy.
        """
        S, A = self.n_states, self.n_actions
        lead = self.mask.shape[:-2]
        w = np.asarray(weights, np.float64) * self.mask
        rows = int(np.prod(lead))
        pairs = (self.states * A + self.actions).reshape(rows, -1)
        pairs = pairs + S * A * np.arange(rows)[:, None]
        tables = np.bincount(pairs.ravel(), w.ravel(), minlength=rows * S * A)
        truth = self._place.truth
        found = truth.policy.pull_back(truth.theta, tables.reshape(*lead, S, A))
        return np.asarray(found, self.dtype)

    def logits(self, theta: Any) -> Any:
        """Logits of every action at s_t under another θ (d,), (N, T, A), to differentiate.

        θ may be an array of NumPy, a tensor of PyTorch or an array of JAX; logits are of its kind.
        What a state does not have has -1e30.
        """
        never = np.where(self.allowed[self.states], 0.0, NEVER)
        # A copy, for PyTorch warns of an index that cannot be written to.
        return self._place.logits(theta)[np.array(self.states)] + like(theta, never)

    def log_policy(self, theta: Any) -> Any:
        """log π_θ(·|s_t), (N, T, A), as a function of θ to differentiate; see ``logits``."""
        return log_softmax(self.logits(theta))

    def log_prob(self, theta: Any) -> Any:
        """log π_θ(a_t|s_t), (N, T), to differentiate; 0 where no step was taken."""
        taken = np.arange(self.n_actions) == self.actions[..., None]
        return (self.log_policy(theta) * like(theta, taken & self.mask[..., None])).sum(-1)

    def entropy(self, theta: Any) -> Any:
        """Entropy of π_θ(·|s_t) in nats, (N, T), to differentiate; 0 where no step was taken."""
        log = self.log_policy(theta)
        return -(exp(log) * log).sum(-1) * like(theta, self.mask)


FIELDS = fields(UserBatch)
"""Names of all fields."""
