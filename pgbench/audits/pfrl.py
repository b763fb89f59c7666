"""PFRL: the updates of its on-policy agents, on the steps of one batch."""

import pfrl
import torch
from pfrl.agents import A2C, PPO, REINFORCE, TRPO
from pfrl.agents.ppo import _make_dataset

import pgbench

DISTRIBUTION = "pfrl"


class _Replayed(torch.distributions.Categorical):
    """Draws the actions of the batch, one after another."""

    def __init__(self, logits, actions=None):
        super().__init__(logits=logits, validate_args=False)
        self.actions = actions

    def sample(self, *shape):
        return torch.tensor([next(self.actions)])


class _Policy(torch.nn.Module):
    """The batch's policy on numbers of states; the one after the last has no value."""

    def __init__(self, batch, actions=None):
        super().__init__()
        self.theta = torch.nn.Parameter(torch.tensor(batch.theta))
        none = torch.zeros_like(torch.tensor(batch.features[:1]))
        self.features = torch.cat([torch.tensor(batch.features), none])
        self.barred = torch.tensor([[0.0] * batch.n_actions] * (batch.n_states + 1))
        self.barred[:-1][~torch.tensor(batch.allowed)] = -1e30
        self.actions = actions

    def forward(self, states):
        s = states.reshape(-1).long()
        return _Replayed(self.features[s] @ self.theta + self.barred[s], self.actions)


class _ActorCritic(_Policy):
    def __init__(self, batch):
        super().__init__(batch)
        self.critic = torch.cat([torch.tensor(batch.critic), torch.zeros(1)])

    def forward(self, states):
        values = self.critic[states.reshape(-1).long()].reshape(-1, 1)
        return super().forward(states), values.requires_grad_()


def _still(model):
    """An optimiser that leaves θ as it is, so that its gradient can be read."""
    return torch.optim.SGD(model.parameters(), lr=0.0)


def _episodes(batch):
    """Lists of transitions, as agents remember them."""
    steps = zip(
        batch.flat.trajectory, batch.flat.states, batch.flat.actions, batch.flat.rewards,
        batch.flat.next_states, batch.flat.terminated, strict=True,
    )  # fmt: skip
    found = [[] for _ in batch.mask]
    for n, s, a, r, s2, ended in steps:
        found[n].append(
            {"state": s, "action": a, "reward": r, "next_state": s2, "nonterminal": 1.0 - ended}
        )
    return found


@pgbench.subject(battery="sequences", dtype="float32")
def reinforce(batch):
    """REINFORCE, batchsize=N: act and observe along the batch's episodes, γ = 1.

    As its code reads, the sequence of rewards begins after a_t's own and has the last one
    twice.
    """
    model = _Policy(batch, iter(batch.flat.actions))
    agent = REINFORCE(model, _still(model), batchsize=len(batch.mask))
    rewards, last = batch.flat.rewards, (batch.terminated | batch.truncated)[batch.mask]
    for s, r, s2, done in zip(
        batch.flat.states, rewards, batch.flat.next_states, last, strict=True
    ):
        agent.act(s)
        agent.observe(s2, float(r), bool(done), False)
    return -model.theta.grad


def _a2c(batch, **options):
    """Minus the gradient of the policy in A2C.update, (d,); steps not taken have no advantage."""
    N, T = batch.mask.shape
    model, none = _ActorCritic(batch), batch.n_states
    agent = A2C(model, _still(model), batch.gamma, N, update_steps=T, entropy_coeff=0.0, **options)
    after = none + (batch.next_states[:, -1] - none) * batch.mask[:, -1]
    states = none + (batch.states - none) * batch.mask
    agent._flush_storage((N, 1), torch.zeros(N))
    agent.states = torch.tensor([*states.T, after])[..., None].float()
    agent.actions, agent.rewards = torch.tensor(batch.actions.T), torch.tensor(batch.rewards.T)
    agent.masks = 1.0 - torch.tensor(batch.terminated.T).float()
    agent.value_preds[:-1] = model.critic[states.T]
    agent.update()
    return -model.theta.grad


@pgbench.subject(
    target="undiscounted_states", scale="per_step", accepts={"critic"}, dtype="float32"
)
def a2c(batch):
    """A2C.update, entropy_coeff=0, update_steps=T: returns to the end, the critic where cut."""
    return _a2c(batch)


@pgbench.subject(
    target="undiscounted_states", scale="per_step", accepts={"critic"}, dtype="float32"
)
def a2c_gae(batch):
    """A2C.update, use_gae=True, entropy_coeff=0, update_steps=T; tau is 0.95."""
    return _a2c(batch, use_gae=True, tau=0.95)


def _ppo(batch, **options):
    """Minus the gradient of the policy in PPO._update with one minibatch of all steps, (d,)."""
    model, episodes = _ActorCritic(batch), [e for e in _episodes(batch) if e]
    steps = int(batch.mask.sum())
    agent = PPO(
        model, _still(model), gamma=batch.gamma, minibatch_size=steps, epochs=1, entropy_coef=0.0,
        clip_eps_vf=None, **options,
    )  # fmt: skip
    dataset = _dataset(batch, episodes, model, options.get("lambd", 0.95))
    agent._update(dataset)
    return -model.theta.grad


def _dataset(batch, episodes, model, lambd):
    return _make_dataset(
        episodes, model, lambda x: x, pfrl.utils.batch_states, None, batch.gamma, lambd,
        torch.device("cpu"),
    )  # fmt: skip


@pgbench.subject(
    target="undiscounted_states", scale="per_step", accepts={"critic"}, dtype="float32"
)
def ppo(batch):
    """PPO._update, standardize_advantages=False, entropy_coef=0, one epoch of one minibatch."""
    return _ppo(batch, standardize_advantages=False)


@pgbench.subject(
    target="undiscounted_states", scale="per_step", accepts={"critic"}, dtype="float32"
)
def ppo_monte_carlo(batch):
    """PPO._update, lambd=1, standardize_advantages=False, entropy_coef=0, one epoch and batch."""
    return _ppo(batch, standardize_advantages=False, lambd=1.0)


@pgbench.subject(
    target="surrogate", dtype="float32",
    surrogate={
        "estimator": "advantage_normalised", "critic_noise": 0.1, "discounted": False,
    },
)  # fmt: skip
def ppo_standardised(batch):
    """PPO._update, entropy_coef=0, one epoch of one minibatch, times steps, over N.

    Advantages, GAE(0.95), are standardised.
    """
    return _ppo(batch) * float(batch.mask.sum() / len(batch.mask))


@pgbench.subject(target="ascent", dtype="float32")
def trpo(batch):
    """TRPO._update_policy, entropy_coef=0: the step from θ that is taken; max_kl is 0.01."""
    policy, model = _Policy(batch), _ActorCritic(batch)
    value = torch.nn.Linear(1, 1)
    agent = TRPO(policy, value, _still(value), gamma=batch.gamma, entropy_coef=0.0)
    agent._update_policy(_dataset(batch, [e for e in _episodes(batch) if e], model, 0.95))
    return policy.theta.detach() - torch.tensor(batch.theta)
