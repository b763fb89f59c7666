"""Rollouts of Gaussian policies on linear-quadratic problems, weighed for every estimator.

Trajectories advance ``LANES`` at a time, as in ``rollout``; every array here has the lanes as its
last axis. One word per normal number: first those of the start, then per step those of the action
and those of the process noise. Per block of lanes states and noise are recorded; every distinct
quadratic form is evaluated once per step; then, per estimator,

    y_t = σ(z_t) + g(x_{t+1}) + κ y_{t+1},   D_{t+1} = δ D_t
    W += D_t (y_t - β_t) (e_t, 1)(x̃_t, e_t)ᵀ

or, in the "total" shape, W += (y_0 - β_0) (e_t, 1)(x̃_t, e_t)ᵀ. Where actions come from another law
than is scored, σ, κ and δ of a step are multiplied by the ratio of the densities. Trajectories that
are longer than a tape are cut into segments and simulated again, as in ``rollout``.
"""

from typing import NamedTuple

import numpy as np
from numba import get_num_threads, prange

from pgbench.kernels.jit import kernel, parallel_kernel
from pgbench.kernels.normal import normals, table
from pgbench.kernels.rollout import Streams
from pgbench.kernels.streams import LANES, next_words, seed_lane

TAPE_BYTES = 2**25
"""What a tape takes at most per thread, where that is enough for ``SHORTEST`` steps."""

SHORTEST = 2**12
"""Least number of steps that are recorded at a time."""


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
    """A block of lanes: generators, and what they drew in a segment of T steps.

    lanes, scratch, bits, number as ``normals`` takes them; z (T+1, p, LANES) with z = (x, 1, u), e
    (T, m, LANES), ratio (T, LANES), values (J, T+1, LANES) of the forms, x (T+1, LANES), sums
    (m+1, p, LANES), spare (p, LANES), and carry (LANES,), D_t or y_0 - β_0. Where each of the K
    segments begins: marks (K, 5·LANES) uint64, the generators; begins (K, n, LANES), the state; and
    edges (K+1, LANES), y.
    """

    horizon: int
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
    carry: np.ndarray
    marks: np.ndarray
    begins: np.ndarray
    edges: np.ndarray


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
def _tape(world, n_forms, horizon, segment):
    n, m = world.B.shape
    p, steps = n + 1 + m, min(segment, horizon)
    n_segments = (horizon + steps - 1) // steps
    scratch = np.empty(LANES)
    return Tape(
        horizon,
        np.zeros(5 * LANES, np.uint64),
        scratch,
        scratch.view(np.uint64),
        np.empty(LANES),
        np.zeros((steps + 1, p, LANES)),
        np.zeros((steps, m, LANES)),
        np.ones((steps, LANES)),
        np.zeros((n_forms, steps + 1, LANES)),
        np.zeros((steps + 1, LANES)),
        np.zeros((m + 1, p, LANES)),
        np.zeros((p, LANES)),
        np.zeros(LANES),
        np.zeros((n_segments, 5 * LANES), np.uint64),
        np.zeros((n_segments, n, LANES)),
        np.zeros((n_segments + 1, LANES)),
    )


def _segment(world, n_forms):
    """Steps that are recorded at a time."""
    n, m = world.B.shape
    per_step = 8 * LANES * (n + 1 + m + m + n_forms + 2)
    return max(SHORTEST, TAPE_BYTES // per_step)


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
def _start(world, streams, replicate, trajectory, n_lanes, tape):
    """Seed the generators and draw the first states of consecutive trajectories."""
    n = world.B.shape[0]
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


@kernel
def _simulate(world, policy, streams, replicate, trajectory, n_lanes, tape):
    """Simulate consecutive trajectories of a policy, segment by segment.

    ``tape.z`` and ``tape.e`` hold the last segment then.
    """
    _start(world, streams, replicate, trajectory, n_lanes, tape)
    for k in range(tape.marks.shape[0]):
        _walk(world, policy, k, tape)


@kernel
def _replay(world, policy, k, tape):
    """Simulate segment k again; the number of its steps."""
    tape.lanes[:] = tape.marks[k]
    tape.z[0, : world.B.shape[0]] = tape.begins[k]
    return _record_steps(world, policy, k, tape)


@kernel
def _walk(world, policy, k, tape):
    """Simulate segment k from where the tape has come to; the number of its steps."""
    n, longest = world.B.shape[0], tape.e.shape[0]
    if k > 0:
        tape.z[0, :n] = tape.z[longest, :n]
    tape.marks[k] = tape.lanes
    tape.begins[k] = tape.z[0, :n]
    return _record_steps(world, policy, k, tape)


@kernel
def _record_steps(world, policy, k, tape):
    """Simulate segment k from the state in ``tape.z[0]``; the number of its steps."""
    n, m = world.B.shape
    gain, factor = world.gain[policy], world.factor[policy]
    steps = min(tape.e.shape[0], tape.horizon - k * tape.e.shape[0])
    for t in range(steps):
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
    tape.z[steps, n, :] = 1.0
    if world.weighed:
        form = world.ratio[policy]
        for t in range(steps):
            ratio, e = tape.ratio[t], tape.e[t]
            ratio[:] = world.log_ratio[policy]
            for i in range(m):
                for j in range(m):
                    if form[i, j] != 0.0:
                        for lane in range(LANES):
                            ratio[lane] += form[i, j] * e[i, lane] * e[j, lane]
            for lane in range(LANES):
                ratio[lane] = np.exp(ratio[lane])
    return steps


@kernel
def _evaluate(forms, steps, tape):
    """Values of every form at every step and after the last."""
    p = forms.shape[1]
    row = tape.spare[0]
    for f in range(forms.shape[0]):
        form = forms[f]
        for t in range(steps + 1):
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
def _weigh(world, policy, plan, forms, e, tape):
    """Weights of estimator e of the simulated lanes, in ``tape.sums``."""
    n_segments = tape.marks.shape[0]
    tape.sums[:, :, :] = 0.0
    tape.edges[n_segments, :] = 0.0
    if n_segments > 1:
        for k in range(n_segments - 1, -1, -1):
            steps = _replay(world, policy, k, tape)
            _evaluate(forms, steps, tape)
            _signal(world, plan, e, k, steps, tape)
            tape.edges[k] = tape.x[0]
    for k in range(n_segments):
        steps = tape.horizon
        if n_segments > 1:
            steps = _replay(world, policy, k, tape)
            _evaluate(forms, steps, tape)
        _signal(world, plan, e, k, steps, tape)
        _collect(plan, e, k, steps, tape)


@kernel
def _signal(world, plan, e, k, steps, tape):
    """y_t of the steps of segment k, from the one after them."""
    x, values, kappa = tape.x, tape.values, plan.kappa[e]
    sigma, after = plan.sigma[e], plan.after[e]
    x[steps] = tape.edges[k + 1]
    for t in range(steps - 1, -1, -1):
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


@kernel
def _collect(plan, e, k, steps, tape):
    """Add the steps of segment k to the sums."""
    x, values, weight, carry = tape.x, tape.values, tape.spare[0], tape.carry
    delta, beta, total = plan.delta[e], plan.beta[e], plan.total[e]
    if k == 0:
        carry[:] = 1.0
        if total:
            carry[:] = x[0]
            if beta >= 0:
                _add(carry, -1.0, values[beta, 0])
    for t in range(steps):
        if total:
            weight[:] = carry
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
    segment = _segment(world, plan.forms.shape[1])
    _weights(world, plan, streams, first, horizon, segment, out, 4 * get_num_threads())


@parallel_kernel
def _weights(world, plan, streams, first, horizon, segment, out, spans):
    n_replicates = out.shape[0]
    # Lanes of a block share a policy.
    per_unit = max(1, LANES // streams.batch_size) if world.gain.shape[0] == 1 else 1
    n_units = (n_replicates + per_unit - 1) // per_unit
    n_spans = min(n_units, spans)
    for span in prange(n_spans):
        _run_span(
            world, plan, streams, first, horizon, segment, out,
            span * n_units // n_spans * per_unit,
            min((span + 1) * n_units // n_spans * per_unit, n_replicates),
            per_unit,
        )  # fmt: skip


@kernel
def _run_span(world, plan, streams, first, horizon, segment, out, begin, end, unit):
    """Replicates from ``begin`` to ``end``, a unit of them at a time."""
    tape = _tape(world, plan.forms.shape[1], horizon, segment)
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
            forms = plan.forms[low if formed else 0]
            if tape.marks.shape[0] == 1:
                _evaluate(forms, horizon, tape)
            for e in range(n_estimators):
                _weigh(world, policy, plan, forms, e, tape)
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
    _record(world, streams, first, _segment(world, 0), z, e, ratio, 4 * get_num_threads())


@parallel_kernel
def _record(world, streams, first, segment, z, e, ratio, spans):
    n_replicates, batch_size, horizon, _ = e.shape
    per_unit = max(1, LANES // batch_size)
    n_units = (n_replicates + per_unit - 1) // per_unit
    n_spans = min(n_units, spans)
    for span in prange(n_spans):
        tape = _tape(world, 0, horizon, segment)
        begin = span * n_units // n_spans * per_unit
        end = min((span + 1) * n_units // n_spans * per_unit, n_replicates)
        for low in range(begin, end, per_unit):
            n_trajectories = (min(low + per_unit, end) - low) * batch_size
            for trajectory in range(0, n_trajectories, LANES):
                n_lanes = min(LANES, n_trajectories - trajectory)
                _start(world, streams, first + low, trajectory, n_lanes, tape)
                for k in range(tape.marks.shape[0]):
                    begin_k = k * tape.e.shape[0]
                    end_k = begin_k + _walk(world, 0, k, tape)
                    steps = end_k - begin_k
                    for lane in range(n_lanes):
                        r = low + (trajectory + lane) // batch_size
                        i = (trajectory + lane) % batch_size
                        z[r, i, begin_k : end_k + 1] = tape.z[: steps + 1, :, lane]
                        e[r, i, begin_k:end_k] = tape.e[:steps, :, lane]
                        ratio[r, i, begin_k:end_k] = tape.ratio[:steps, lane]
