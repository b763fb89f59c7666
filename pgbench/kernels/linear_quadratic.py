"""Rollouts of Gaussian policies on linear-quadratic problems, weighed for every estimator.

Trajectories advance ``LANES`` at a time, as in ``rollout``; every array here has the lanes as its
last axis. One word per normal number: first those of the start, then per step those of the action
and those of the process noise. Per block of lanes states and noise are recorded; every distinct
quadratic form is evaluated once per step; then, per estimator,

    y_t = σ(z_t) + g(x_{t+1}) + κ y_{t+1},   D_{t+1} = δ D_t
    W += D_t (y_t - β_t) (e_t, 1)(x̃_t, e_t)ᵀ

or, in the "total" shape, W += (y_0 - β_0) (e_t, 1)(x̃_t, e_t)ᵀ. Where actions come from another law
than is scored, σ, κ and δ of a step are multiplied by the ratio of the densities.
"""

from typing import NamedTuple

import numpy as np
from numba import get_num_threads, prange

from pgbench.kernels.jit import kernel, parallel_kernel
from pgbench.kernels.normal import normals, table
from pgbench.kernels.rollout import Streams
from pgbench.kernels.streams import LANES, next_words, seed_lane


class World(NamedTuple):
    """What is simulated: x' = A x + B u + F ω, u = K̃x̃ + L ξ, x_0 = mean + F_0 ζ; normals' table.

    gain (k, m, n+1), factor (k, m, m), ratio (k, m, m) and log_ratio (k,) with log π(u|x)/μ(u|x) =
    log_ratio + eᵀ ratio e: of one policy, k = 1, or of one per replicate. ``weighed`` says whether
    ratios are taken.
    """

    A: np.ndarray
    B: np.ndarray
    noise: np.ndarray
    start_mean: np.ndarray
    start: np.ndarray
    gain: np.ndarray
    factor: np.ndarray
    ratio: np.ndarray
    log_ratio: np.ndarray
    weighed: bool
    normals: np.ndarray


class Plan(NamedTuple):
    """What estimators compute: places of forms (E,), -1 for none, and numbers (E,).

    forms (k, J, p, p): upper triangles, entries off the diagonal doubled, of one policy or of one
    per replicate.
    """

    forms: np.ndarray
    sigma: np.ndarray
    after: np.ndarray
    beta: np.ndarray
    kappa: np.ndarray
    delta: np.ndarray
    total: np.ndarray


class Tape(NamedTuple):
    """A block of lanes: generators, and what they drew.

    lanes, scratch, bits, number as ``normals`` takes them; z (T+1, p, LANES) with z = (x, 1, u), e
    (T, m, LANES), ratio (T, LANES), values (J, T+1, LANES) of the forms, x (T+1, LANES), sums
    (m+1, p, LANES), and spare (p, LANES).
    """

    lanes: np.ndarray
    scratch: np.ndarray
    bits: np.ndarray
    number: np.ndarray
    z: np.ndarray
    e: np.ndarray
    ratio: np.ndarray
    values: np.ndarray
    x: np.ndarray
    sums: np.ndarray
    spare: np.ndarray


def make_world(process) -> World:
    """The arrays of a ``GaussianProcess``, of one policy or of several."""
    mdp, law = process.mdp, process.pi
    m = mdp.m
    gain, factor = (a.reshape(-1, *a.shape[-2:]) for a in (law.gain, law.factor))
    ratio, log_ratio = np.zeros((len(gain), m, m)), np.zeros(len(gain))
    if process.weighed:
        ratio = 0.5 * (law.precision - process.target.precision).reshape(-1, m, m)
        log_ratio = np.atleast_1d(law.log_volume - process.target.log_volume)
    return World(
        A=np.ascontiguousarray(mdp.A),
        B=np.ascontiguousarray(mdp.B),
        noise=np.ascontiguousarray(mdp.noise_factor),
        start_mean=mdp.start_mean,
        start=np.ascontiguousarray(mdp.start_factor),
        gain=np.ascontiguousarray(gain),
        factor=np.ascontiguousarray(factor),
        ratio=np.ascontiguousarray(ratio),
        log_ratio=log_ratio,
        weighed=process.weighed,
        normals=table(),
    )


def make_plan(tables) -> Plan:
    """The distinct forms of several estimators' ``Forms``, and who uses which."""
    kept: list[np.ndarray] = []

    def place(form) -> int:
        if not form.matrix.any():
            return -1
        whole = form.matrix.reshape(-1, *form.matrix.shape[-2:])
        upper = np.triu(whole) + np.triu(whole, 1)
        for i, known in enumerate(kept):
            if np.array_equal(known, upper):
                return i
        kept.append(upper)
        return len(kept) - 1

    places = np.array([[place(f) for f in (t.sigma, t.after, t.beta)] for t in tables], np.int64)
    size, k = tables[0].sigma.matrix.shape[-1], max((len(form) for form in kept), default=1)
    forms = [np.broadcast_to(form, (k, size, size)) for form in kept]
    return Plan(
        forms=np.stack(forms, axis=1) if forms else np.zeros((k, 0, size, size)),
        sigma=places[:, 0].copy(),
        after=places[:, 1].copy(),
        beta=places[:, 2].copy(),
        kappa=np.array([t.kappa for t in tables]),
        delta=np.array([t.delta for t in tables]),
        total=np.array([t.total for t in tables]),
    )


@kernel
def _tape(world, n_forms, horizon):
    n, m = world.B.shape
    p = n + 1 + m
    scratch = np.empty(LANES)
    return Tape(
        np.zeros(5 * LANES, np.uint64),
        scratch,
        scratch.view(np.uint64),
        np.empty(LANES),
        np.zeros((horizon + 1, p, LANES)),
        np.zeros((horizon, m, LANES)),
        np.ones((horizon, LANES)),
        np.zeros((n_forms, horizon + 1, LANES)),
        np.zeros((horizon + 1, LANES)),
        np.zeros((m + 1, p, LANES)),
        np.zeros((p, LANES)),
    )


@kernel
def _draw(world, tape):
    """The next standard normal number of every lane, in ``tape.number``."""
    next_words(tape.lanes)
    normals(tape.lanes, tape.scratch, tape.bits, world.normals, tape.number)


@kernel
def _add(out, factor, x):
    for lane in range(LANES):
        out[lane] += factor * x[lane]


@kernel
def _simulate(world, policy, streams, replicate, trajectory, n_lanes, tape):
    """Simulate consecutive trajectories of a policy into ``tape.z`` and ``tape.e``."""
    horizon = tape.e.shape[0]
    n, m = world.B.shape
    gain, factor = world.gain[policy], world.factor[policy]
    for lane in range(LANES):
        # Idle lanes repeat the last one and are never read.
        index = trajectory + min(lane, n_lanes - 1)
        seed_lane(
            tape.lanes, lane, streams.seed, streams.stream,
            replicate + index // streams.batch_size, index % streams.batch_size, streams.batch_size,
        )  # fmt: skip
    z = tape.z[0]
    for i in range(n):
        for lane in range(LANES):
            z[i, lane] = world.start_mean[i]
    for j in range(world.start.shape[1]):
        _draw(world, tape)
        for i in range(n):
            if world.start[i, j] != 0.0:
                _add(z[i], world.start[i, j], tape.number)
    for t in range(horizon):
        z, after, e = tape.z[t], tape.z[t + 1], tape.e[t]
        z[n, :] = 1.0
        e[:, :] = 0.0
        for j in range(m):
            _draw(world, tape)
            for i in range(j, m):
                if factor[i, j] != 0.0:
                    _add(e[i], factor[i, j], tape.number)
        for i in range(m):
            u = z[n + 1 + i]
            for lane in range(LANES):
                u[lane] = e[i, lane] + gain[i, n]
            for j in range(n):
                if gain[i, j] != 0.0:
                    _add(u, gain[i, j], z[j])
        after[:, :] = 0.0
        for i in range(n):
            x = after[i]
            for j in range(n):
                if world.A[i, j] != 0.0:
                    _add(x, world.A[i, j], z[j])
            for j in range(m):
                if world.B[i, j] != 0.0:
                    _add(x, world.B[i, j], z[n + 1 + j])
        for j in range(world.noise.shape[1]):
            _draw(world, tape)
            for i in range(n):
                if world.noise[i, j] != 0.0:
                    _add(after[i], world.noise[i, j], tape.number)
    tape.z[horizon, n, :] = 1.0
    if world.weighed:
        form = world.ratio[policy]
        for t in range(horizon):
            ratio, e = tape.ratio[t], tape.e[t]
            ratio[:] = world.log_ratio[policy]
            for i in range(m):
                for j in range(m):
                    if form[i, j] != 0.0:
                        for lane in range(LANES):
                            ratio[lane] += form[i, j] * e[i, lane] * e[j, lane]
            for lane in range(LANES):
                ratio[lane] = np.exp(ratio[lane])


@kernel
def _evaluate(forms, tape):
    """Values of every form at every step."""
    p = forms.shape[1]
    row = tape.spare[0]
    for f in range(forms.shape[0]):
        form = forms[f]
        for t in range(tape.values.shape[1]):
            z, out = tape.z[t], tape.values[f, t]
            out[:] = 0.0
            for i in range(p):
                used = False
                for j in range(i, p):
                    c = form[i, j]
                    if c != 0.0:
                        if not used:
                            row[:] = 0.0
                            used = True
                        _add(row, c, z[j])
                if used:
                    for lane in range(LANES):
                        out[lane] += z[i, lane] * row[lane]


@kernel
def _accumulate(tape, t, weight):
    """Add weight (LANES,) times (e, 1)(x̃, e)ᵀ of step t to the sums."""
    z, e, sums, left = tape.z[t], tape.e[t], tape.sums, tape.spare[1]
    m, p = e.shape[0], z.shape[0]
    for i in range(m + 1):
        for lane in range(LANES):
            left[lane] = weight[lane] * e[i, lane] if i < m else weight[lane]
        for j in range(p):
            right = z[j] if j < p - m else e[j - (p - m)]
            total = sums[i, j]
            for lane in range(LANES):
                total[lane] += left[lane] * right[lane]


@kernel
def _weigh(world, plan, e, tape):
    """Weights of estimator e of the recorded lanes, in ``tape.sums``."""
    horizon = tape.e.shape[0]
    x, values = tape.x, tape.values
    kappa, delta = plan.kappa[e], plan.delta[e]
    sigma, after, beta = plan.sigma[e], plan.after[e], plan.beta[e]
    x[horizon, :] = 0.0
    for t in range(horizon - 1, -1, -1):
        here, later, ratio = x[t], x[t + 1], tape.ratio[t]
        for lane in range(LANES):
            here[lane] = kappa * later[lane]
        if sigma >= 0:
            _add(here, 1.0, values[sigma, t])
        if after >= 0:
            _add(here, 1.0, values[after, t + 1])
        if world.weighed:
            for lane in range(LANES):
                here[lane] *= ratio[lane]
    weight, carry = tape.spare[0], tape.scratch
    tape.sums[:, :, :] = 0.0
    carry[:] = 1.0
    for t in range(horizon):
        if plan.total[e]:
            if t == 0:
                weight[:] = x[0]
                if beta >= 0:
                    _add(weight, -1.0, values[beta, 0])
        else:
            for lane in range(LANES):
                weight[lane] = carry[lane] * x[t, lane]
            if beta >= 0:
                for lane in range(LANES):
                    weight[lane] -= carry[lane] * values[beta, t, lane]
            for lane in range(LANES):
                carry[lane] *= delta * tape.ratio[t, lane]
        _accumulate(tape, t, weight)


def weights(
    world: World, plan: Plan, streams: Streams, first: int, horizon: int, out: np.ndarray
) -> None:
    """Weights of replicates ``first``, ``first + 1``, ..., averaged over their batches.

    first is a multiple of ``LANES``, or every replicate has a policy of its own; out
    (replicates, E, m+1, p) float64 receives the weights.
    """
    # Spans of work share their scratch memory; how many there are does not enter the results.
    _weights(world, plan, streams, first, horizon, out, 4 * get_num_threads())


@parallel_kernel
def _weights(world, plan, streams, first, horizon, out, spans):
    n_replicates = out.shape[0]
    # Lanes of a block share a policy.
    per_unit = max(1, LANES // streams.batch_size) if world.gain.shape[0] == 1 else 1
    n_units = (n_replicates + per_unit - 1) // per_unit
    n_spans = min(n_units, spans)
    for span in prange(n_spans):
        _run_span(
            world, plan, streams, first, horizon, out,
            span * n_units // n_spans * per_unit,
            min((span + 1) * n_units // n_spans * per_unit, n_replicates),
            per_unit,
        )  # fmt: skip


@kernel
def _run_span(world, plan, streams, first, horizon, out, begin, end, unit):
    """Replicates from ``begin`` to ``end``, a unit of them at a time."""
    tape = _tape(world, plan.forms.shape[1], horizon)
    several, formed = world.gain.shape[0] > 1, plan.forms.shape[0] > 1
    n_estimators, rows, columns = out.shape[1:]
    for low in range(begin, end, unit):
        high = min(low + unit, end)
        out[low:high] = 0.0
        n_trajectories = (high - low) * streams.batch_size
        for trajectory in range(0, n_trajectories, LANES):
            n_lanes = min(LANES, n_trajectories - trajectory)
            policy = low if several else 0
            _simulate(world, policy, streams, first + low, trajectory, n_lanes, tape)
            _evaluate(plan.forms[low if formed else 0], tape)
            for e in range(n_estimators):
                _weigh(world, plan, e, tape)
                for lane in range(n_lanes):
                    r = low + (trajectory + lane) // streams.batch_size
                    for i in range(rows):
                        for j in range(columns):
                            out[r, e, i, j] += tape.sums[i, j, lane]
        if streams.batch_size > 1:
            out[low:high] *= 1.0 / streams.batch_size


def record(
    world: World, streams: Streams, first: int, z: np.ndarray, e: np.ndarray, ratio: np.ndarray
) -> None:
    """Record replicates ``first``, ... of one policy as they are simulated.

    z (replicates, batch, T+1, p), e (replicates, batch, T, m) and ratio (replicates, batch, T)
    float64 receive (x, 1, u), the noise of the actions, and ratios of densities.
    """
    _record(world, streams, first, z, e, ratio, 4 * get_num_threads())


@parallel_kernel
def _record(world, streams, first, z, e, ratio, spans):
    n_replicates, batch_size, horizon, _ = e.shape
    per_unit = max(1, LANES // batch_size)
    n_units = (n_replicates + per_unit - 1) // per_unit
    n_spans = min(n_units, spans)
    for span in prange(n_spans):
        tape = _tape(world, 0, horizon)
        begin = span * n_units // n_spans * per_unit
        end = min((span + 1) * n_units // n_spans * per_unit, n_replicates)
        for low in range(begin, end, per_unit):
            n_trajectories = (min(low + per_unit, end) - low) * batch_size
            for trajectory in range(0, n_trajectories, LANES):
                n_lanes = min(LANES, n_trajectories - trajectory)
                _simulate(world, 0, streams, first + low, trajectory, n_lanes, tape)
                for lane in range(n_lanes):
                    r = low + (trajectory + lane) // batch_size
                    i = (trajectory + lane) % batch_size
                    z[r, i] = tape.z[:, :, lane]
                    e[r, i] = tape.e[:, :, lane]
                    ratio[r, i] = tape.ratio[:, lane]
