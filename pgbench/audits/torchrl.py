"""TorchRL: losses of its on-policy algorithms and value estimators, on one stream of steps.

A tensordict holds the steps of the batch one trajectory after another, done where one ends or is
cut, as a collector of one environment gives them.
"""

import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torchrl.modules import ProbabilisticActor
from torchrl.objectives import A2CLoss, ClipPPOLoss, KLPENPPOLoss, PPOLoss, ReinforceLoss
from torchrl.objectives.value import GAE, TD0Estimator, TD1Estimator, TDLambdaEstimator, VTrace
from torchrl.objectives.value.functional import reward2go

import pgbench

DISTRIBUTION = "torchrl"

OTHER = {"sampler": "theta", "scale": 0.3}
"""Data of another policy, as at a later update on one batch."""

AVERAGED = {"target": "undiscounted_states", "scale": "per_step"}
"""What a mean over steps without γ^t claims."""

STANDARDISED = {
    "target": "surrogate",
    "surrogate": {
        "estimator": "advantage_normalised", "critic_noise": 0.1, "discounted": False, "eps": 0.0,
        "correction": 1,
    },
}  # fmt: skip
"""What a sum over steps of standardised advantages claims, over N."""


def _double(number):
    """In place of a float, which estimators round to single precision."""
    return torch.tensor(number, dtype=torch.float64)


LAMBDA = _double(0.95)


class _Logits(torch.nn.Module):
    def __init__(self, batch):
        super().__init__()
        self.theta = torch.nn.Parameter(torch.tensor(batch.theta))
        self.features = torch.tensor(batch.features)

    def forward(self, states):
        return self.features[states] @ self.theta


class _Critic(torch.nn.Module):
    def __init__(self, batch):
        super().__init__()
        self.values = torch.nn.Parameter(torch.tensor(batch.critic)[:, None])

    def forward(self, states):
        return self.values[states]


def _networks(batch):
    logits = TensorDictModule(_Logits(batch), ["observation"], ["logits"])
    actor = ProbabilisticActor(
        logits, ["logits"], distribution_class=torch.distributions.Categorical, return_log_prob=True
    )
    return actor, TensorDictModule(_Critic(batch), ["observation"], ["state_value"])


def _stream(batch):
    """The steps as a tensordict [1, M]."""
    flat = batch.flat

    def row(x, *shape):
        return torch.tensor(x).reshape(1, len(flat), *shape)

    after = {
        "observation": row(flat.next_states),
        "reward": row(flat.rewards, 1),
        "terminated": row(flat.terminated, 1),
        "truncated": row(flat.truncated, 1),
        "done": row(flat.terminated | flat.truncated, 1),
    }
    own = {
        "observation": row(flat.states),
        "action": row(flat.actions),
        "action_log_prob": row(flat.behaviour_log_probs),
        "logits": torch.log(row(flat.behaviour_probabilities, batch.n_actions)),
    }
    return TensorDict({**own, "next": TensorDict(after, [1, len(flat)])}, [1, len(flat)])


def _ascended(batch, loss, advantages=None, estimator=None, **options):
    """Minus the gradient of a loss of the actor, (d,).

    Advantages are given, or a value estimator's, or the loss's own, which are GAE.
    """
    actor, critic = _networks(batch)
    data = _stream(batch)
    if estimator is not None:
        kind, given = estimator
        if kind is VTrace:
            given = given | {"actor_network": actor}
        kind(gamma=_double(batch.gamma), value_network=critic, **given)(data)
    if advantages is not None:
        data["advantage"] = advantages.reshape(1, -1, 1)
        data["value_target"] = data["advantage"]
    module = loss(actor, critic, **options)
    found = module(data)
    parts = [found[key] for key in ("loss_actor", "loss_objective", "loss_entropy") if key in found]
    theta = module.actor_network_params.values(include_nested=True, leaves_only=True)
    return -torch.autograd.grad(sum(parts), theta)[0]


def _to_go(batch):
    flat = batch.flat
    ends = torch.tensor(flat.terminated | flat.truncated)
    return reward2go(torch.tensor(flat.rewards)[:, None], ends[:, None], batch.gamma)


def _older_advantages(batch):
    """Exact advantages of the policy that the data come from, (M,)."""
    A = batch.behaviour_q - batch.behaviour_v[:, None]
    return torch.tensor(A[batch.flat.states, batch.flat.actions])


def _summed(batch, mean):
    """A mean over steps, times steps, over N."""
    return mean * (int(batch.mask.sum()) / len(batch.mask))


def _a2c(batch, estimator, **given):
    return _ascended(batch, A2CLoss, estimator=(estimator, given), entropy_bonus=False)


@pgbench.subject(**AVERAGED)
def reinforce(batch):
    """ReinforceLoss with advantages of reward2go."""
    return _ascended(batch, ReinforceLoss, _to_go(batch))


@pgbench.subject(target="undiscounted_states")
def reinforce_sum(batch):
    """ReinforceLoss, reduction="sum", with advantages of reward2go, over N."""
    return _ascended(batch, ReinforceLoss, _to_go(batch), reduction="sum") / len(batch.mask)


@pgbench.subject(**AVERAGED, accepts={"critic"})
def a2c_gae(batch):
    """A2CLoss, entropy_bonus=False, with GAE, lmbda=0.95."""
    return _a2c(batch, GAE, lmbda=LAMBDA)


@pgbench.subject(**AVERAGED, accepts={"critic"})
def a2c_gae_loop(batch):
    """A2CLoss, entropy_bonus=False, with GAE, lmbda=0.95, vectorized=False."""
    return _a2c(batch, GAE, lmbda=LAMBDA, vectorized=False)


@pgbench.subject(**AVERAGED, accepts={"critic"})
def a2c_gae_auto_reset(batch):
    """A2CLoss, entropy_bonus=False, with GAE, lmbda=0.95, auto_reset_env=True."""
    return _a2c(batch, GAE, lmbda=LAMBDA, auto_reset_env=True)


@pgbench.subject(**STANDARDISED)
def a2c_average_gae(batch):
    """A2CLoss, entropy_bonus=False, with GAE, lmbda=0.95, average_gae=True, times steps, over N."""
    return _summed(batch, _a2c(batch, GAE, lmbda=LAMBDA, average_gae=True))


@pgbench.subject(**AVERAGED, accepts={"critic"})
def a2c_td0(batch):
    """A2CLoss, entropy_bonus=False, with TD0Estimator."""
    return _a2c(batch, TD0Estimator)


@pgbench.subject(**AVERAGED, accepts={"critic"})
def a2c_td1(batch):
    """A2CLoss, entropy_bonus=False, with TD1Estimator."""
    return _a2c(batch, TD1Estimator)


@pgbench.subject(**AVERAGED, accepts={"critic"})
def a2c_td_lambda(batch):
    """A2CLoss, entropy_bonus=False, with TDLambdaEstimator, lmbda=0.9."""
    return _a2c(batch, TDLambdaEstimator, lmbda=_double(0.9))


@pgbench.subject(**AVERAGED, accepts={"critic"})
def vtrace(batch):
    """A2CLoss, entropy_bonus=False, with VTrace, on data of the policy itself."""
    return _a2c(batch, VTrace)


@pgbench.subject(**AVERAGED, accepts={"critic", "clipping", "states"}, sampler=OTHER)
def vtrace_later(batch):
    """A2CLoss, entropy_bonus=False, with VTrace, on data of another policy.

    As its code reads, log π is that of an action which the actor draws anew.
    """
    return _a2c(batch, VTrace)


@pgbench.subject(
    battery="sequences", objective={"objective": "entropy", "alpha": 0.1},
    target="surrogate", surrogate="penalty_all_action",
)  # fmt: skip
def a2c_entropy(batch):
    """A2CLoss, entropy_coeff=0.1, reduction="sum", with advantages of reward2go, over N."""
    options = {"entropy_coeff": batch.coefficient, "reduction": "sum"}
    return _ascended(batch, A2CLoss, _to_go(batch), **options) / len(batch.mask)


@pgbench.subject(**AVERAGED, accepts={"critic"})
def ppo(batch):
    """PPOLoss, entropy_bonus=False, with GAE, lmbda=0.95, at the first update."""
    return _ascended(batch, PPOLoss, estimator=(GAE, {"lmbda": LAMBDA}), entropy_bonus=False)


@pgbench.subject(**AVERAGED, accepts={"states"}, sampler=OTHER)
def ppo_later(batch):
    """PPOLoss, entropy_bonus=False, with exact advantages of the older policy, later."""
    return _ascended(batch, PPOLoss, _older_advantages(batch), entropy_bonus=False)


@pgbench.subject(**AVERAGED, accepts={"clipping", "states"}, sampler=OTHER)
def clip_ppo_later(batch):
    """ClipPPOLoss, entropy_bonus=False, with exact advantages of the older policy, later."""
    return _ascended(batch, ClipPPOLoss, _older_advantages(batch), entropy_bonus=False)


@pgbench.subject(**STANDARDISED)
def clip_ppo_normalised(batch):
    """ClipPPOLoss, entropy_bonus=False, normalize_advantage=True, GAE, lmbda=0.95, first update.

    Times steps, over N.
    """
    options = {"normalize_advantage": True, "entropy_bonus": False}
    mean = _ascended(batch, ClipPPOLoss, estimator=(GAE, {"lmbda": LAMBDA}), **options)
    return _summed(batch, mean)


@pgbench.subject(**AVERAGED, accepts={"critic"})
def kl_penalty(batch):
    """KLPENPPOLoss, entropy_bonus=False, with GAE, lmbda=0.95, at the first update; beta is 1."""
    return _ascended(batch, KLPENPPOLoss, estimator=(GAE, {"lmbda": LAMBDA}), entropy_bonus=False)


@pgbench.subject(target="ascent", sampler=OTHER)
def kl_penalty_later(batch):
    """KLPENPPOLoss, entropy_bonus=False, exact advantages of the older policy, later; beta is 1."""
    return _ascended(batch, KLPENPPOLoss, _older_advantages(batch), entropy_bonus=False)
