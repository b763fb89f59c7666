"""Two-time-scale actor-critic: actor and critic learn at every step of every rollout."""

from typing import Annotated, Any

import numpy as np

from pgbench.arrays import FloatArray, IntArray
from pgbench.ascent.algorithm import Algorithm, Context, Online
from pgbench.ascent.crowd import gather
from pgbench.declared.parameters import Choice, Range
from pgbench.estimators.parts.estimator import step_power
from pgbench.policies import LogLinear, NotApplicable, Policy, Softmax
from pgbench.problems import FiniteMDP


class ActorCritic(Online):
    """Runs the compiled loop from one logged iterate to the next."""

    def __init__(
        self,
        context: Context,
        critic: str,
        critic_step: float,
        critic_power: float,
        features: str,
        discounted: bool,
    ) -> None:
        from pgbench.kernels import actor_critic as compiled
        from pgbench.kernels.driven import cumulative

        if context.penalised:
            raise NotApplicable(
                "the online actor-critic is compiled for rewards that do not change with θ, those"
                " of an objective with a penalty do"
            )
        if context.elsewhere:
            raise NotApplicable("the online actor-critic acts itself, and takes no sampler's data")
        if not context.rule.rule.alone:
            raise NotApplicable("an actor-critic has constant or decaying step sizes")
        mdp = context.mdp
        self.context, self.discounted = context, discounted
        self.critic_step, self.critic_power = critic_step, critic_power
        self.kind = {
            "sarsa": compiled.SARSA,
            "td": compiled.TD,
            "monte_carlo": compiled.MONTE_CARLO,
        }[critic]
        self.actor = _actor(mdp, context.policy)
        self.critic, size = _critic(mdp, features, self.kind == compiled.SARSA)
        self.w = np.zeros((context.replicates, size))
        self.environment = compiled.Environment(
            cumulative(mdp.mu0),
            cumulative(mdp.probability),
            mdp.successor,
            mdp.reward,
            mdp.terminal,
            mdp.gamma,
        )

    def advance(self, theta: FloatArray, stopped: IntArray, first: int, last: int) -> IntArray:
        """Rollouts first..last-1."""
        from pgbench.kernels.actor_critic import actor_critic

        context, numbers = self.context, self.context.numbers
        rollouts = np.arange(first, last)
        crowd = gather(context.mdp, context.policy, theta[:1])
        steps = [context.rule.scales(context, crowd, theta[:1], int(k))[0] for k in rollouts]
        taken = np.zeros(len(theta), np.int64)
        actor_critic(
            self.environment,
            self.actor,
            self.critic,
            self.kind,
            self.discounted,
            numbers.horizon,
            np.uint64(numbers.seed),
            np.uint64(numbers.at(0, "online")),
            first,
            np.array(steps),
            self.critic_step * (1.0 + rollouts) ** -self.critic_power,
            theta,
            self.w,
            stopped,
            taken,
        )
        return taken


def _actor(mdp: FiniteMDP, policy: Policy) -> Any:
    """What the logits are linear in; NotApplicable for other policies."""
    from pgbench.kernels.actor_critic import Linear

    S, A = mdp.n_states, mdp.n_actions
    if isinstance(policy, Softmax):
        return Linear(np.eye(A)[None], A * np.arange(S), mdp.choices)
    if isinstance(policy, LogLinear):
        return Linear(np.array(policy.features), np.zeros(S, np.int64), mdp.choices)
    raise NotApplicable("the online actor-critic is compiled for softmax and log-linear policies")


def _critic(mdp: FiniteMDP, features: str, pairs: bool) -> tuple[Any, int]:
    """What the critic is linear in, and the number of its weights."""
    from pgbench.kernels.actor_critic import Linear

    S, A = mdp.n_states, mdp.n_actions
    if features == "own":
        if mdp.features is None:
            raise NotApplicable(f"{mdp.name} has no features of its own")
        if not pairs:
            raise NotApplicable("own features are of pairs; a critic of states cannot use them")
        return Linear(
            np.array(mdp.features), np.zeros(S, np.int64), mdp.choices
        ), mdp.features.shape[2]
    if features == "constant":
        return Linear(np.ones((1, A, 1)), np.zeros(S, np.int64), mdp.choices), 1
    if pairs:
        return Linear(np.eye(A)[None], A * np.arange(S), mdp.choices), S * A
    return Linear(np.ones((1, A, 1)), np.arange(S), mdp.choices), S


def actor_critic(
    context: Context,
    *,
    critic_step: Annotated[float, Range(0), "α_w"],
    critic: Annotated[
        str,
        Choice(("sarsa", "td", "monte_carlo")),
        "Q by SARSA(0); V by TD(0), whose error the actor takes; or V from whole returns, less"
        " which they weigh scores",
    ] = "sarsa",
    critic_power: Annotated[float, Range(0), "α_w falls as (1+k)^-power"] = 0.0,
    features: Annotated[
        str,
        Choice(("table", "constant", "own")),
        "of the critic: a table, one number for all states, or the problem's features of pairs",
    ] = "table",
    discounted: Annotated[
        bool, "whether the actor's steps carry γ^t; without, what it follows is no gradient"
    ] = True,
) -> Online:
    """Actor-critic on two time scales, step by step; an iteration is one rollout.

    The step size is the actor's α_θ. The critic begins at zero and bootstraps from the state after
    the last step, unless the episode has ended. With ``monte_carlo`` it is REINFORCE with a learned
    baseline, updated at the end of each rollout.
    """
    return ActorCritic(context, critic, critic_step, critic_power, features, discounted)


algorithm = Algorithm(
    "actor_critic",
    actor_critic,
    formula=lambda critic, discounted, **_: (
        r"w + \alpha_w\,"
        + {
            "sarsa": r"\delta_t \nabla Q_w",
            "td": r"\delta_t \nabla V_w",
            "monte_carlo": r"(\hat Q_t - V_w) \nabla V_w",
        }[critic]
        + r",\,\theta + \alpha\,"
        + step_power(discounted)
        + {"sarsa": "Q_w", "td": r"\delta_t", "monte_carlo": r"(\hat Q_t - V_w)"}[critic]
        + r"\,\psi_t"
    ),
    reference="Konda & Tsitsiklis 2000; Sutton & Barto 2018, Sections 13.4 and 13.5;"
    " Nota & Thomas 2020 (without γ^t)",
    estimates=False,
    on=(FiniteMDP,),
)
