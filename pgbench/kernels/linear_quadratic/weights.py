"""Weights of rollouts of Gaussian policies: simulated once, weighed for every estimator.

Per block of lanes states and noise are recorded; every distinct quadratic form is evaluated once
per step; then, per estimator,

    y_t = σ(z_t) + g(x_{t+1}) + κ y_{t+1},   D_{t+1} = δ D_t
    W += D_t (y_t - β_t) (e_t, 1)(x̃_t, e_t)ᵀ

or, in the "total" shape, W += (y_0 - β_0) (e_t, 1)(x̃_t, e_t)ᵀ. Where actions come from another law
than is scored, σ, κ and δ of a step are multiplied by the ratio of the densities.
"""

from pgbench.kernels.jit import parallel_kernel, part
from pgbench.kernels.linear_quadratic.recursion import evaluate, weigh_lanes
from pgbench.kernels.linear_quadratic.tape import make_tape, segment, simulate
from pgbench.kernels.partition import partition
from pgbench.kernels.streams import LANES


def weigh(sampler, tables, streams, first, horizon, visited, n_visited, weights, steps) -> None:
    """Fill arrays with weights of replicates ``first``, ``first + 1``, ....

    first is a multiple of ``LANES``, or every replicate has a policy of its own; weights
    (replicates, E, m+1, p) float64 receives the weights, averaged over the batch. visited,
    n_visited and steps, as in ``finite.weigh``, receive all rows in order and H·n.
    """
    rows = visited.shape[1]
    visited[:], n_visited[:], steps[:] = range(rows), rows, horizon * streams.batch_size
    longest = segment(sampler, tables.forms.shape[1], horizon)
    # Lanes of a block share a policy.
    parts = partition(len(weights), streams.batch_size, apart=len(sampler.gain) > 1)
    numbers = first, horizon, longest, parts.unit
    _weigh_span(parts.bounds, sampler, tables, streams, *numbers, weights)


@parallel_kernel
def _weigh_span(sampler, tables, streams, first, horizon, longest, unit, weights, begin, end):
    """``weigh`` for the replicates from ``begin`` to ``end``, ``unit`` at a time."""
    tape = make_tape(sampler, tables.forms.shape[1], horizon, longest)
    for low in range(begin, end, unit):
        policy = low if sampler.gain.shape[0] > 1 else 0
        forms = tables.forms[low if tables.forms.shape[0] > 1 else 0]
        own = weights[low : min(low + unit, end)]
        _weigh_unit(sampler, policy, tables, forms, streams, first + low, tape, own)


@part
def _weigh_unit(sampler, policy, tables, forms, streams, first, tape, weights):
    """``weigh`` for the replicates of a unit."""
    n_replicates, n_estimators, rows, columns = weights.shape
    n_trajectories = n_replicates * streams.batch_size
    weights[:] = 0.0
    for trajectory in range(0, n_trajectories, LANES):
        n_lanes = min(LANES, n_trajectories - trajectory)
        simulate(sampler, policy, streams, first, trajectory, n_lanes, tape)
        if tape.marks.shape[0] == 1:
            evaluate(forms, tape.horizon, tape)
        for e in range(n_estimators):
            weigh_lanes(sampler, policy, tables, forms, e, tape)
            for lane in range(n_lanes):
                r = (trajectory + lane) // streams.batch_size
                for i in range(rows):
                    for j in range(columns):
                        weights[r, e, i, j] += tape.sums[i, j, lane]
    if streams.batch_size > 1:
        weights *= 1.0 / streams.batch_size
