"""coax: its policy objectives on transitions that its reward tracers make of one batch.

While it is imported dm_control and a module that JAX has no more have empty stand-ins; and it
calls ``jax.tree_map``, the former name of ``jax.tree_util.tree_map``, which is given back to JAX.
"""

import sys
from functools import lru_cache
from unittest.mock import MagicMock

import gymnasium
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

import pgbench

ABSENT = ("dm_control", "dm_control.suite", "dm_control.rl", "dm_control.rl.control",
          "jax.lib.xla_bridge")  # fmt: skip
sys.modules.update({name: MagicMock() for name in ABSENT})

import coax  # noqa: E402

for absent in ABSENT:
    del sys.modules[absent]
jax.tree_map = jax.tree_util.tree_map

DISTRIBUTION = "coax"

OTHER = {"sampler": "theta", "scale": 0.3}
"""Data of another policy, as at a later update on one batch."""


@lru_cache(maxsize=64)
def _objective(kind, features, shape):
    """An objective for the policy softmax of features·θ; compiled once for each problem."""
    table = jnp.asarray(np.frombuffer(features, np.float32).reshape(shape))
    states, actions, d = shape
    env = MagicMock(
        spec=gymnasium.Env, observation_space=gymnasium.spaces.Discrete(states),
        action_space=gymnasium.spaces.Discrete(actions),
    )  # fmt: skip

    def logits(S, is_training):
        theta = hk.get_parameter("theta", (d,), init=jnp.zeros)
        return {"logits": jnp.einsum("ns,sad,d->na", S, table, theta)}

    return kind(coax.Policy(logits, env))


def _traced(batch, tracer):
    """Transitions that a tracer makes of every trajectory, whose end it takes for an episode's.

    Of single ones, arrays (N T, ...): those that are missing are the first once more.
    """
    found = []
    for n, steps in enumerate(batch.mask.sum(axis=1)):
        for t in range(steps):
            s, a, r = batch.states[n, t], batch.actions[n, t], batch.rewards[n, t]
            tracer.add(s, a, float(r), t == steps - 1, float(batch.behaviour_log_probs[n, t]))
            while tracer:
                found.append(tracer.pop())
    names = ("S", "A", "logP", "Rn", "In", "S_next")
    rows = np.arange(batch.mask.size) * (np.arange(batch.mask.size) < len(found))
    own = {x: np.concatenate([getattr(one, x) for one in found])[rows] for x in names}
    return coax.reward_tracing.TransitionBatch(**own), np.arange(len(rows)) < len(found)


def _returned(batch, traced):
    """Returns of a tracer less the critic."""
    return traced.Rn + traced.In * batch.critic[traced.S_next] - batch.critic[traced.S]


def _older(batch, traced):
    """Exact advantages of the policy that the data come from."""
    return (batch.behaviour_q - batch.behaviour_v[:, None])[traced.S, traced.A]


def _ascended(batch, kind, tracer, weighed=_returned):
    """Minus the gradient of a loss, (d,), a mean over the steps that were taken.

    Steps that fill up N T have no advantage, and the others so much more.
    """
    traced, real = _traced(batch, tracer)
    advantages = weighed(batch, traced) * real / real.mean()
    features = np.ascontiguousarray(batch.features, np.float32)
    objective = _objective(kind, features.tobytes(), features.shape)
    given = {"~": {"theta": jnp.asarray(batch.theta)}}
    pi = objective.pi
    grads = objective._grad_and_metrics_func(
        given, pi.function_state, objective.hyperparams, pi.rng, traced,
        advantages.astype(batch.dtype),
    )[0]  # fmt: skip
    return -grads["~"]["theta"]


@pgbench.subject(
    target="undiscounted_states", scale="per_step", accepts={"critic"}, dtype="float32"
)
def vanilla_pg(batch):
    """VanillaPG with returns of the tracer MonteCarlo less a critic."""
    tracer = coax.reward_tracing.MonteCarlo(batch.gamma)
    return _ascended(batch, coax.policy_objectives.VanillaPG, tracer)


@pgbench.subject(
    target="undiscounted_states", scale="per_step", accepts={"critic"}, dtype="float32"
)
def ppo_clip(batch):
    """PPOClip, at the first update, with returns of the tracer NStep(5) less a critic."""
    tracer = coax.reward_tracing.NStep(5, batch.gamma)
    return _ascended(batch, coax.policy_objectives.PPOClip, tracer)


@pgbench.subject(
    target="undiscounted_states", scale="per_step", accepts={"clipping", "states"}, sampler=OTHER,
    dtype="float32",
)  # fmt: skip
def ppo_clip_later(batch):
    """PPOClip, at a later update, with exact advantages of the older policy."""
    tracer = coax.reward_tracing.MonteCarlo(batch.gamma)
    return _ascended(batch, coax.policy_objectives.PPOClip, tracer, _older)
