"""Batch estimators beside table estimators: ns per environment step, in turns on one thread.

``python -m benchmarks.batches [NAME ...]`` prints, for every estimator that is a function of
batches, or for those named, processor time of a thousand estimates per step that they take, that of
reward-to-go on the same problem, and the ratio. Each is the least of several laps taken in turns.

Settings: a garnet of 100 states, 4 actions and γ = 0.99, tabular softmax, batches of 16 rollouts of
100 steps; token sequences in groups of 8 for estimators that look at groups, with data of a sampler
for those that look at ratios to it; a garnet of 10 states for finite differences, which take few
parameters; an objective with a penalty for what differentiates one; a linear-quadratic problem
beside the others. Exact values are worked out before.
"""

import sys
from functools import cache
from time import process_time

from benchmarks.settings import use_threads

HORIZON, BATCH_SIZE, GROUP_SIZE, REPLICATES = 100, 16, 8, 1000
LAPS = 5
YARDSTICK = "reward_to_go"
SMALL = ("finite_differences",)
"""Estimators of so few parameters that the problem is a small one."""

PERTURBED = 160
"""Estimates of those that perturb θ, which are of many policies each."""


class Ratios:
    """Time per step of a batch estimator over that of reward-to-go."""

    params = ("rloo", "natural", "doubly_robust", "antithetic", "compatible_critic", "spsa")
    param_names = ("estimator",)
    timeout = 300

    def setup(self, estimator):
        """One thread."""
        use_threads(1)

    def track_ratio(self, estimator):
        """Least of laps in turns."""
        from pgbench.estimators import find_estimator

        record = find_estimator(estimator)
        own, plain = compare(record, finite_setting(record))
        return round(own / plain, 2)

    track_ratio.unit = "1"


@cache
def truth_of(setting):
    """Problem, policy and θ of a setting, with everything exact about them."""
    from pgbench import exact, make_policy, make_problem
    from pgbench.objectives import make_objective
    from pgbench.samplers import sampled

    if setting == "linear_quadratic":
        mdp = make_problem("lqg", gamma=0.99)
        policy = make_policy("gaussian", mdp)
        return exact.evaluate(mdp, policy, policy.initial(seed=0))
    if setting in ("sequences", "sampled"):
        mdp = make_problem(
            "sequences", verifier="modulo", modulus=3, truncated="judged", states="merged",
            vocabulary=3, length=20, prompts=2, prompt_length=1,
        )  # fmt: skip
    else:
        n_states = 10 if setting == "small" else 100
        mdp = make_problem(
            "garnet", n_states=n_states, n_actions=4, branching=4, gamma=0.99, seed=0
        )
    policy = make_policy("softmax", mdp)
    theta = policy.initial(seed=0)
    if setting in ("sequences", "sampled"):
        policy.table(theta)[:, -1] -= 3.0  # the end token is rare, or responses would be short
    objective = make_objective("kl" if setting == "penalised" else "J", mdp, policy)
    truth = objective.truth(theta)
    return sampled(truth, "temperature", value=1.2) if setting == "sampled" else truth


def settings_of(record):
    """The settings that an estimator is timed in."""
    from pgbench.problems import FiniteMDP, LinearQuadratic

    finite = [finite_setting(record)] if FiniteMDP in record.on else []
    return finite + ["linear_quadratic"] * (LinearQuadratic in record.on)


def finite_setting(record):
    """The finite problem that an estimator is timed on."""
    from pgbench.estimators.dynamic_sampling import Filtered
    from pgbench.estimators.parts.outcomes import OutcomeEstimator
    from pgbench.estimators.parts.ratios import RatioEstimator

    if record.penalised:
        return "penalised"
    if isinstance(record, RatioEstimator):
        return "sampled"
    if isinstance(record, OutcomeEstimator | Filtered):
        return "sequences"
    return "small" if record.name in SMALL else "garnet"


def lap(record, setting):
    """Nanoseconds of processor time per step of the estimates of a lap."""
    from pgbench.measure.gradients import estimates
    from pgbench.rollout.simulator import Draws

    truth, replicates = truth_of(setting), PERTURBED if record.own_data else REPLICATES
    group = GROUP_SIZE if setting in ("sequences", "sampled") else None
    draws = Draws(HORIZON, BATCH_SIZE, replicates, 0, 0, group_size=group)
    values = {p.name: 0.5 for p in record.parameters.values() if p.required}
    if record.name == "sampled_actor_critic" and setting == "linear_quadratic":
        values["method"] = "lstd"  # the only one there
    begin = process_time()
    _, steps = estimates(truth, record, values, draws)
    return 1e9 * (process_time() - begin) / steps.sum()


def compare(record, setting):
    """Nanoseconds per step of an estimator and of reward-to-go: the least of laps in turns."""
    from pgbench.estimators import find_estimator

    yardstick = find_estimator(YARDSTICK)
    laps = [(lap(record, setting), lap(yardstick, setting)) for _ in range(LAPS + 1)]
    return [min(own) for own in zip(*laps[1:], strict=True)]  # the first one compiles


def main(names):
    """Print the table, the largest ratio first."""
    from pgbench.estimators import BatchEstimator, estimators
    from pgbench.memory import keep_freed

    use_threads(1)
    keep_freed()  # as runs do
    every = {n: e for n, e in estimators().items() if isinstance(e, BatchEstimator)}
    timed = [(name, setting) for name in names or every for setting in settings_of(every[name])]
    found = [(*compare(every[name], setting), name, setting) for name, setting in timed]
    print(f"| estimator | setting | ns per step | {YARDSTICK} | ratio |\n|---|---|--:|--:|--:|")
    for own, plain, name, setting in sorted(found, key=lambda row: row[1] / row[0]):
        print(f"| {name} | {setting} | {own:.1f} | {plain:.1f} | {own / plain:.1f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
