"""MushroomRL: gradients of policy search, and updates of actor-critics, on one batch."""

from types import SimpleNamespace

import numpy as np
import torch
from mushroom_rl.algorithms.actor_critic import A2C, PPO, TRPO, StochasticAC
from mushroom_rl.algorithms.policy_search import GPOMDP, REINFORCE, eNAC
from mushroom_rl.policy import TorchPolicy
from mushroom_rl.utils.torch import CategoricalWrapper
from mushroom_rl.utils.value_functions import compute_gae

import pgbench

DISTRIBUTION = "mushroom-rl"

UNSEEN = {"network": lambda *given, **options: torch.nn.Linear(1, 1), "input_shape": (1,),
          "output_shape": (1,)}  # fmt: skip
"""A critic's network, whose place the batch's critic takes."""


class _Scored:
    """A policy whose states are scores, and whose weights are what is added to them."""

    def __init__(self, d):
        self.weights_size, self.weights = d, np.zeros(d)

    def diff_log(self, score, action):
        return score

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights

    def reset(self):
        pass


def _dataset(batch, states, next_states=None):
    """Steps as the library has them: (state, action, reward, next state, absorbing, last)."""
    flat = batch.flat
    last = flat.terminated | flat.truncated
    after = states if next_states is None else next_states
    given = states, flat.actions[:, None], flat.rewards, after, flat.terminated, last
    return list(zip(*given, strict=True))


def _searched(batch, algorithm):
    """What the algorithm adds to the parameters, (d,)."""
    policy = _Scored(len(batch.theta))
    info = SimpleNamespace(gamma=batch.gamma)
    agent = algorithm(info, policy, lambda weights, gradient: weights + gradient)
    agent.fit(_dataset(batch, batch.flat.scores))
    return policy.weights


@pgbench.subject(
    target="surrogate", surrogate={"estimator": "baseline_per_coordinate", "fit": "in_sample"}
)
def reinforce(batch):
    """REINFORCE.fit: a baseline for each coordinate, made of the same episodes."""
    return _searched(batch, REINFORCE)


@pgbench.subject(accepts={"in_sample_baseline"})
def gpomdp(batch):
    """GPOMDP.fit: a baseline for each coordinate and step, made of the same episodes."""
    return _searched(batch, GPOMDP)


@pgbench.subject(target="natural", scale="any", accepts={"critic", "in_sample_baseline"})
def enac(batch):
    """eNAC.fit, critic_features=None: returns regressed on scores by the pseudoinverse.

    Its Fisher matrix is that of a sum over steps.
    """
    return _searched(batch, eNAC)


class _Law(CategoricalWrapper):
    """The library's law of actions (M, 1); a step that is no number is not refused."""

    def __init__(self, logits):
        torch.distributions.Categorical.__init__(self, logits=logits, validate_args=False)


class _Boltzmann(TorchPolicy):
    """The batch's policy on numbers of states, made as BoltzmannTorchPolicy is."""

    def __init__(self, batch):
        super().__init__(use_cuda=False)
        self.theta = torch.nn.Parameter(torch.tensor(batch.theta))
        self.features = torch.tensor(batch.features)
        self.barred = torch.tensor(np.where(batch.allowed, 0.0, -1e30).astype(batch.dtype))

    def distribution_t(self, states):
        s = states.reshape(-1).long()
        return _Law(self.features[s] @ self.theta + self.barred[s])

    def log_prob_t(self, states, actions):
        return self.distribution_t(states).log_prob(actions)[:, None]

    def entropy_t(self, states):
        return self.distribution_t(states).entropy().mean()

    def parameters(self):
        return [self.theta]

    def get_weights(self):
        return self.theta.detach().numpy().copy()

    def set_weights(self, weights):
        self.theta.data = torch.tensor(weights)


class _Critic:
    """The batch's critic on numbers of states; it learns nothing."""

    def __init__(self, batch):
        self.values = batch.critic

    def __call__(self, states):
        return self.values[np.asarray(states, np.int64).reshape(-1)][:, None]

    def fit(self, *given, **options):
        pass


def _fitted(batch, algorithm, **options):
    """The policy once an actor-critic was fitted to the batch; its step size is 0."""
    policy, flat = _Boltzmann(batch), batch.flat
    agent = algorithm(SimpleNamespace(gamma=batch.gamma), policy, critic_params=UNSEEN, **options)
    agent._V = _Critic(batch)
    agent.fit(_dataset(batch, flat.states[:, None], flat.next_states[:, None]))
    return policy.theta


STILL = {"class": torch.optim.SGD, "params": {"lr": 0.0}}


@pgbench.subject(
    target="undiscounted_states", scale="per_step", accepts={"critic"}, dtype="float32"
)
def a2c(batch):
    """A2C.fit, ent_coeff=0: returns to the end, and the critic at the end of the data."""
    return -_fitted(batch, A2C, actor_optimizer=STILL, ent_coeff=0.0).grad


@pgbench.subject(target="undiscounted_states", accepts={"critic"})
def gae(batch):
    """compute_gae, lam=0.95, times scores, over N."""
    return _weighed(batch, 0.95)


@pgbench.subject(target="undiscounted_states", accepts={"critic"})
def gae_monte_carlo(batch):
    """compute_gae, lam=1, times scores, over N."""
    return _weighed(batch, 1.0)


def _weighed(batch, lam):
    flat, weights = batch.flat, np.zeros(batch.mask.shape)
    last = flat.terminated | flat.truncated
    given = flat.states, flat.next_states, flat.rewards, flat.terminated, last
    advantages = compute_gae(_Critic(batch), *given, batch.gamma, lam)[1]
    weights[batch.mask] = advantages[:, 0]
    return batch.pull_back(weights) / len(weights)


@pgbench.subject(
    target="surrogate", dtype="float32",
    surrogate={
        "estimator": "advantage_normalised", "critic_noise": 0.1, "discounted": False,
    },
)  # fmt: skip
def ppo(batch):
    """PPO.fit, lam=0.95, eps_ppo=0.2, one epoch of one minibatch, times steps, over N.

    Advantages are standardised.
    """
    options = {"n_epochs_policy": 1, "batch_size": int(batch.mask.sum()), "eps_ppo": 0.2}
    grad = _fitted(batch, PPO, actor_optimizer=STILL, lam=0.95, **options).grad
    return -grad * float(batch.mask.sum() / len(batch.mask))


@pgbench.subject(target="ascent", dtype="float32")
def trpo(batch):
    """TRPO.fit: the step from θ that is taken; lam is 1, max_kl 0.001."""
    return _fitted(batch, TRPO).detach() - torch.tensor(batch.theta)


@pgbench.subject(target="undiscounted_states", accepts={"critic"})
def stochastic_ac(batch):
    """StochasticAC.fit, lambda_par=0.9, alpha_v=0: traces of scores times TD errors, over N."""
    d, S = len(batch.theta), batch.n_states
    policy, space = _Scored(d), SimpleNamespace(shape=(d + S,))
    info = SimpleNamespace(gamma=batch.gamma, observation_space=space)
    agent = StochasticAC(info, policy, 1.0, 0.0, 0.9, policy_features=lambda x: x[:d])
    agent._V.set_weights(np.concatenate([np.zeros(d), batch.critic]))
    own, scores = np.eye(S), batch.flat.scores
    now, later = (np.hstack([scores, own[s]]) for s in (batch.flat.states, batch.flat.next_states))
    for step, starts in zip(_dataset(batch, now, later), batch.flat.starts, strict=True):
        if starts:
            agent.episode_start()
        agent.fit([step])
    return policy.weights / len(batch.mask)
