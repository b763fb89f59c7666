"""A Gymnasium environment and a NumPy policy, one step at a time, as people write it."""

import numpy as np

from benchmarks.peers.contender import Contender


def make(workload):
    """REINFORCE's loop: reset, choose, step, and discount at the end of the episode."""
    import gymnasium

    n_states, n_actions = workload.pi.shape

    class TabularEnv(gymnasium.Env):
        observation_space = gymnasium.spaces.Discrete(n_states)
        action_space = gymnasium.spaces.Discrete(n_actions)
        successor = workload.mdp.successor
        reward = workload.mdp.reward
        cdf = workload.slot_cdf.reshape(workload.mdp.probability.shape)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.t = 0
            self.state = int(self.np_random.integers(n_states))
            return self.state, {}

        def step(self, action):
            slot = self.cdf[self.state, action].searchsorted(self.np_random.random(), "right")
            reward = float(self.reward[self.state, action, slot])
            self.state = int(self.successor[self.state, action, slot])
            self.t += 1
            return self.state, reward, False, self.t == workload.horizon, {}

    theta = workload.theta.reshape(n_states, n_actions)

    def run(n, seed):
        env, rng = TabularEnv(), np.random.default_rng(seed)
        env.reset(seed=seed + 1)
        weights = np.zeros(workload.pi.shape)
        for _ in range(n):
            state, _ = env.reset()
            visited, rewards, done = [], [], False
            while not done:
                logits = theta[state]
                probabilities = np.exp(logits - logits.max())
                probabilities /= probabilities.sum()
                action = rng.choice(n_actions, p=probabilities)
                visited.append((state, action))
                state, reward, terminated, truncated, _ = env.step(action)
                rewards.append(reward)
                done = terminated or truncated
            to_go = 0.0
            for t in reversed(range(len(rewards))):
                to_go = rewards[t] + workload.mdp.gamma * to_go
                weights[visited[t]] += workload.discounts[t] * to_go
        return weights

    return run


contender = Contender(
    "gymnasium",
    "Gymnasium loop",
    make,
    batch=16,
    largest=10**5,
    packages=("gymnasium",),
)
