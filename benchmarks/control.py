"""Values of control problems on grids against the continuous systems: docs/control.md.

``python -m benchmarks.control`` prints a table in three minutes; ``--problem``, ``--resolution``
and ``--repeat`` choose other lines.
"""

import argparse
from collections.abc import Callable
from time import perf_counter

import numpy as np

import pgbench as pg
from pgbench.exact import optimal_value
from pgbench.problems import acrobot, cartpole, mountain_car, pendulum
from pgbench.problems.control.interpolation import Grid
from pgbench.problems.control.system import System

SYSTEMS = {
    "cartpole": cartpole.SYSTEM,
    "mountain_car": mountain_car.SYSTEM,
    "acrobot": acrobot.SYSTEM,
    "pendulum": pendulum.system(5),
}
RESOLUTIONS = {2: (10, 32, 100, 316), 4: (3, 6, 10, 18)}
"""Points per coordinate that make about 10², 10³, 10⁴ and 10⁵ states of so many coordinates."""

GAMMA = 0.99
STEPS = 1200
"""Of an episode, after which γᵗ is 6·10⁻⁶."""

Choice = Callable[[np.ndarray], np.ndarray]
"""From states (k, m) to actions (m,)."""


def played(system: System, choose: Choice, episodes: int, repeat: int, seed: int) -> np.ndarray:
    """Discounted returns (episodes,) of the continuous system, every action held for a while."""
    rng = np.random.default_rng(seed)
    low, high = np.transpose(system.start)[:, :, None]
    states = rng.uniform(low, high, (len(low), episodes))
    returns, live = np.zeros(episodes), np.arange(episodes)
    for t in range(0, STEPS, repeat):
        actions = choose(states[:, live])
        ended = np.zeros(live.size, bool)
        for a in range(len(system.actions)):
            own = np.flatnonzero(actions == a)
            found = system.repeated(states[:, live[own]], a, repeat, GAMMA)
            states[:, live[own]], rewards, ended[own] = found
            returns[live[own]] += GAMMA**t * rewards
        live = live[~ended]
        if not live.size:
            break
    return returns


def uniform(system: System, seed: int) -> Choice:
    """Every action as likely."""
    rng = np.random.default_rng(seed)
    return lambda states: rng.integers(len(system.actions), size=states.shape[1])


def greedy(system: System, resolution: int, q: np.ndarray) -> Choice:
    """The action of the largest Q (S, A), interpolated between the points around a state."""
    grid = Grid(system.axes, resolution)

    def choose(states: np.ndarray) -> np.ndarray:
        points, weights = grid.between(states)
        return np.einsum("mk,mka->ma", weights, q[points]).argmax(axis=1)

    return choose


def written(returns: np.ndarray) -> str:
    """Mean and standard error."""
    return f"{returns.mean():.2f} ± {returns.std() / np.sqrt(returns.size):.2f}"


def row(name: str, resolution: int, repeat: int, episodes: int) -> str:
    """A line of the table: sizes, exact values and simulated ones, seconds."""
    seconds = [perf_counter()]
    mdp = pg.make_problem(name, resolution=resolution, repeat=repeat, gamma=GAMMA)
    seconds.append(perf_counter())
    policy = pg.make_policy("softmax", mdp)
    truth = pg.exact.evaluate(mdp, policy, policy.initial(init="zeros"))
    seconds.append(perf_counter())
    optimum = optimal_value(mdp)
    seconds.append(perf_counter())
    system = SYSTEMS[name]
    drawn = played(system, uniform(system, 1), episodes, repeat, seed=0)
    best = played(system, greedy(system, resolution, optimum.q), episodes, repeat, seed=1)
    times = " | ".join(f"{s:.2g}" for s in np.diff(seconds))
    return (
        f"| {name} | {repeat} | {resolution} | {mdp.n_states} | {truth.objective:.2f} |"
        f" {written(drawn)} | {optimum.objective:.2f} | {written(best)} | {times} |"
    )


HEAD = (
    "| problem | repeat | resolution | S | J of the uniform policy | in the system | J* |"
    " its policy in the system | s to build | to evaluate | to solve |\n|---|" + "--:|" * 10
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--resolution", nargs="+", type=int)
    parser.add_argument("--repeat", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--episodes", type=int, default=2000)
    chosen = parser.parse_args()
    print(HEAD)
    for name in chosen.problem:
        for repeat in chosen.repeat:
            for resolution in chosen.resolution or RESOLUTIONS[len(SYSTEMS[name].axes)]:
                print(row(name, resolution, repeat, chosen.episodes), flush=True)


if __name__ == "__main__":
    main()
