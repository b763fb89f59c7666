"""RLax: losses and multistep returns, mapped over the trajectories of one batch.

Sequences are padded to T steps with rewards, discounts and values of zero; a discount is zero too
where a_t led to a terminal state. RLax averages losses over the T steps of a sequence.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import rlax

import pgbench

DISTRIBUTION = "rlax"

jax.config.update("jax_enable_x64", True)

OTHER = {"sampler": "theta", "scale": 0.3}
"""Data of another policy, as at a later update on one batch."""

AVERAGED = {"target": "undiscounted_states", "scale": "per_step"}
"""What a mean over steps without γ^t claims."""


def _of(**surrogate):
    """What a sum over steps with γ^t claims whose exact mean has a name of the suite."""
    return {"target": "surrogate", "surrogate": surrogate}


@partial(jax.jit, static_argnums=0)
def _gradient(loss, theta, features, states, *fields):
    """Minus the gradient of the mean loss over trajectories, (d,)."""

    def mean(theta):
        return jax.vmap(loss)(features[states] @ theta, *fields).mean()

    return -jax.grad(mean)(theta)


def _ascended(batch, loss, *fields):
    """Minus the gradient of ``loss(logits, *fields)`` of a trajectory, (d,)."""
    return _gradient(loss, batch.theta, batch.features, batch.states, *fields)


_mapped = partial(jax.jit, static_argnums=0)(lambda f, *fields: jax.vmap(f)(*fields))


def _returned(batch, advantages, *more):
    """Advantages of trajectories from (rewards, discounts, values, next values, ...), (N, T)."""
    discounts = (batch.gamma * (batch.mask & ~batch.terminated)).astype(batch.dtype)
    fields = batch.rewards, discounts, batch.values, batch.next_values, *more
    return _mapped(advantages, *fields) * batch.mask


def _weighed(batch, advantages):
    """The policy gradient loss with advantages (N, T)."""
    return _ascended(batch, rlax.policy_gradient_loss, batch.actions, advantages, _mask(batch))


def _summed(batch, advantages):
    """The same with weights w_t = γ^t, times T: a sum over steps."""
    w = batch.horizon * _discounts(batch)
    return _ascended(batch, rlax.policy_gradient_loss, batch.actions, advantages, w)


def _discounts(batch):
    return (batch.gamma ** np.arange(batch.horizon) * batch.mask).astype(batch.dtype)


def _mask(batch):
    return batch.mask.astype(batch.dtype)


def _to_go(r, discounts, v, v_next):
    return rlax.discounted_returns(r, discounts, jnp.zeros_like(v))


@pgbench.subject(**AVERAGED)
def reinforce(batch):
    """policy_gradient_loss with discounted_returns, nothing behind the last step."""
    return _weighed(batch, _returned(batch, _to_go))


@pgbench.subject(scale="per_step")
def reinforce_discounted(batch):
    """policy_gradient_loss with discounted_returns, weights w_t = γ^t."""
    to_go = _returned(batch, _to_go)
    return _ascended(batch, rlax.policy_gradient_loss, batch.actions, to_go, _discounts(batch))


@pgbench.subject(**AVERAGED)
def policy_gradient(batch):
    """policy_gradient_loss with exact advantages."""
    advantages = (batch.q - batch.v[:, None])[batch.states, batch.actions] * batch.mask
    return _weighed(batch, advantages)


def _gae(lam):
    def advantages(r, discounts, v, v_next):
        values = jnp.append(v, v_next[-1])
        return rlax.truncated_generalized_advantage_estimation(r, discounts, lam, values)

    return advantages


_gae_95, _gae_1 = _gae(0.95), _gae(1.0)


@pgbench.subject(**AVERAGED, accepts={"critic"})
def gae(batch):
    """policy_gradient_loss with truncated_generalized_advantage_estimation, λ = 0.95."""
    return _weighed(batch, _returned(batch, _gae_95))


@pgbench.subject(**AVERAGED, accepts={"critic"})
def gae_monte_carlo(batch):
    """policy_gradient_loss with truncated_generalized_advantage_estimation, λ = 1."""
    return _weighed(batch, _returned(batch, _gae_1))


def _lambda_returns(r, discounts, v, v_next):
    return rlax.lambda_returns(r, discounts, v_next, 0.9) - v


@pgbench.subject(**AVERAGED, accepts={"critic"})
def lambda_returns(batch):
    """policy_gradient_loss with lambda_returns less values, λ = 0.9."""
    return _weighed(batch, _returned(batch, _lambda_returns))


def _one_step(r, discounts, v, v_next):
    return rlax.n_step_bootstrapped_returns(r, discounts, v_next, 1) - v


@pgbench.subject(**AVERAGED, accepts={"critic"})
def one_step_returns(batch):
    """policy_gradient_loss with n_step_bootstrapped_returns less values, n = 1."""
    return _weighed(batch, _returned(batch, _one_step))


def _three_steps(r, discounts, v, v_next):
    return rlax.n_step_bootstrapped_returns(r, discounts, v_next, 3) - v


@pgbench.subject(**_of(estimator="n_step", n=3, critic_noise=0.1))
def three_step_returns(batch):
    """policy_gradient_loss with n_step_bootstrapped_returns less values, n = 3, w_t = T γ^t."""
    return _summed(batch, _returned(batch, _three_steps))


def _ratios(batch):
    return np.exp(batch.log_probs - batch.behaviour_log_probs)


def _vtrace(r, discounts, v, v_next, ratios):
    found = rlax.vtrace_td_error_and_advantage(v, v_next, r, discounts, ratios)
    return found.pg_advantage


@pgbench.subject(**AVERAGED, accepts={"critic"})
def vtrace(batch):
    """policy_gradient_loss with vtrace_td_error_and_advantage, on data of the policy itself."""
    return _weighed(batch, _returned(batch, _vtrace, _ratios(batch)))


@pgbench.subject(**AVERAGED, accepts={"critic", "clipping", "states"}, sampler=OTHER)
def vtrace_later(batch):
    """policy_gradient_loss with vtrace_td_error_and_advantage, on data of another policy."""
    return _weighed(batch, _returned(batch, _vtrace, _ratios(batch)))


def _leaky(r, discounts, v, v_next, ratios):
    found = rlax.leaky_vtrace_td_error_and_advantage(v, v_next, r, discounts, ratios, alpha=0.0)
    return found.pg_advantage


@pgbench.subject(**_of(estimator="vtrace", clip=1e300, critic_noise=0.1), sampler=OTHER)
def leaky_vtrace_later(batch):
    """policy_gradient_loss, leaky_vtrace_td_error_and_advantage, α = 0 (no clip), w_t = T γ^t."""
    return _summed(batch, _returned(batch, _leaky, _ratios(batch)))


@pgbench.subject(**AVERAGED)
def qpg(batch):
    """qpg_loss with exact action values."""
    return _ascended(batch, rlax.qpg_loss, _action_values(batch))


@pgbench.subject(target="ascent")
def regret_matching(batch):
    """rm_loss with exact action values: regrets below zero are left out."""
    return _ascended(batch, rlax.rm_loss, _action_values(batch))


@pgbench.subject(target="ascent")
def regret_policy_gradient(batch):
    """rpg_loss with exact action values: the sum of regrets above zero falls."""
    return _ascended(batch, rlax.rpg_loss, _action_values(batch))


def _action_values(batch):
    return batch.q[batch.states] * batch.mask[..., None]


def _clipped(logits, actions, log_probs, advantages):
    own = rlax.softmax().logprob(actions, logits)
    return rlax.clipped_surrogate_pg_loss(jnp.exp(own - log_probs), advantages, 0.2)


@pgbench.subject(**AVERAGED, accepts={"clipping", "states"}, sampler=OTHER)
def clipped_surrogate_later(batch):
    """clipped_surrogate_pg_loss, ε = 0.2, with exact advantages of the older policy."""
    A = (batch.behaviour_q - batch.behaviour_v[:, None])[batch.states, batch.actions]
    return _ascended(batch, _clipped, batch.actions, batch.behaviour_log_probs, A * batch.mask)


def _with_entropy(logits, actions, to_go, w, coefficient):
    loss = rlax.policy_gradient_loss(logits, actions, to_go, w)
    return loss + coefficient * rlax.entropy_loss(logits, w)


@pgbench.subject(
    scale="per_step", accepts={"later_penalty"},
    objective={"objective": "entropy", "alpha": 0.1},
)  # fmt: skip
def entropy(batch):
    """policy_gradient_loss with discounted_returns, plus 0.1 entropy_loss, weights w_t = γ^t."""
    w = _discounts(batch)
    c = np.full(len(w), batch.coefficient, batch.dtype)
    return _ascended(batch, _with_entropy, batch.actions, _returned(batch, _to_go), w, c)
