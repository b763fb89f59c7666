"""A way to run an ascent in one line."""

from typing import Any

from pgbench.ascent import algorithms, step_sizes
from pgbench.ascent.climb import Trace, climb
from pgbench.ascent.goal import find_goal
from pgbench.ascent.sources import Numbers, make_source
from pgbench.estimators import estimators
from pgbench.policies import Policy
from pgbench.problems import FiniteMDP
from pgbench.samplers import samplers


def ascend(
    mdp: FiniteMDP,
    policy: Policy,
    theta: Any = None,
    algorithm: str = "gradient",
    estimator: str | None = None,
    step: float = 0.1,
    rule: str = "constant",
    horizon: int = 20,
    batch_size: int = 4,
    replicates: int = 3,
    steps: int = 10,
    points: int = 1000,
    given: dict[str, Any] | None = None,
    sampler: dict[str, Any] | None = None,
    expected: bool = False,
    group_size: int | None = None,
    **parameters: Any,
) -> Trace:
    """An ascent from zero, every iterate logged unless there are more than a thousand."""
    numbers = Numbers(horizon, seed=3, stream=5, group_size=group_size)
    drawing = dict(sampler or {"sampler": "on_policy"})
    record = estimators()[estimator] if estimator else None
    sizes = {"radius": step} if rule == "kl" else {} if rule == "smoothness" else {"step": step}
    return climb(
        mdp,
        policy,
        policy.initial(init="zeros") if theta is None else theta,
        algorithms()[algorithm],
        parameters,
        lambda own: make_source(
            mdp, policy, record, given or {}, own, batch_size, expected=expected
        ),
        step_sizes()[rule].bound(**sizes),
        find_goal(mdp, policy),
        numbers=numbers,
        batch_size=batch_size,
        replicates=replicates,
        steps=steps,
        points=points,
        sampler=samplers()[drawing.pop("sampler")].along(**drawing),
    )
