"""Rollouts of Gaussian policies on linear-quadratic problems on a GPU, in four kernels.

    simulate    a thread per trajectory                 (x, 1, u) and the noise of its actions
    evaluate    … trajectory, step and form             every distinct quadratic form
    weigh       … trajectory and estimator              D_t (y_t - β_t) of every step
    gather      … replicate, estimator and entry        Σ D_t (y_t - β_t) (e_t, 1)(x̃_t, e_t)ᵀ

States and actions are made by multiplications and additions alone, in the order of the CPU's and
rounded one by one, so they are the same bits. Sums are each made by one thread in a fixed order.
"""

import math

import numpy as np
from numba import cuda, uint64

from pgbench.kernels import recursion
from pgbench.kernels.cuda.jit import device_function, kernel
from pgbench.kernels.cuda.launch import empty, launch, times, upload
from pgbench.kernels.cuda.weighed import Weighed
from pgbench.kernels.linear_quadratic import EstimatorTables, Sampler
from pgbench.kernels.normal import DEGREE, segment
from pgbench.kernels.streams import next_word, seed_state

backward = device_function(recursion.backward)

_ONE = uint64(1)


@device_function
def _normal(word, table):
    """The standard normal number of a word, see ``kernels.normal``."""
    row, t = segment(word)
    z = table[row, 0]
    for k in range(1, DEGREE + 1):
        z = times(z, t) + table[row, k]
    return -z if word & _ONE else z


@kernel
def _simulate(
    A, B, noise, start_mean, start, gain, factor, form, log_ratio, weighed, normals,
    seed, stream, first, batch_size, group_size, z, e, ratio,
):  # fmt: skip
    """Simulate into z (T+1, p, N), e (T, m, N) and, where laws differ, ratio (T, N)."""
    k = cuda.grid(1)
    horizon, m, total = e.shape
    n = start_mean.size
    if k >= total:
        return
    replicates = total // batch_size
    generator, r, own = cuda.local.array(4, uint64), first + k % replicates, k // replicates
    seed_state(generator, seed, stream, r, own - own % group_size, batch_size)
    for i in range(n):
        z[0, i, k] = start_mean[i]
    for j in range(start.shape[1]):
        number = _normal(uint64(next_word(generator)), normals)
        for i in range(n):
            if start[i, j] != 0.0:
                z[0, i, k] += times(start[i, j], number)
    if own % group_size:
        seed_state(generator, seed, stream, r, own, batch_size)
        for _ in range(start.shape[1]):
            next_word(generator)
    for t in range(horizon):
        z[t, n, k] = 1.0
        for i in range(m):
            e[t, i, k] = 0.0
        for j in range(m):
            number = _normal(uint64(next_word(generator)), normals)
            for i in range(j, m):
                if factor[i, j] != 0.0:
                    e[t, i, k] += times(factor[i, j], number)
        for i in range(m):
            u = e[t, i, k] + gain[i, n]
            for j in range(n):
                if gain[i, j] != 0.0:
                    u += times(gain[i, j], z[t, j, k])
            z[t, n + 1 + i, k] = u
        for i in range(n):
            x = 0.0
            for j in range(n):
                if A[i, j] != 0.0:
                    x += times(A[i, j], z[t, j, k])
            for j in range(m):
                if B[i, j] != 0.0:
                    x += times(B[i, j], z[t, n + 1 + j, k])
            z[t + 1, i, k] = x
        for j in range(noise.shape[1]):
            number = _normal(uint64(next_word(generator)), normals)
            for i in range(n):
                if noise[i, j] != 0.0:
                    z[t + 1, i, k] += times(noise[i, j], number)
        if weighed:
            exponent = log_ratio
            for i in range(m):
                for j in range(m):
                    if form[i, j] != 0.0:
                        exponent += times(times(form[i, j], e[t, i, k]), e[t, j, k])
            ratio[t, k] = math.exp(exponent)
    z[horizon, n, k] = 1.0
    for i in range(m):
        z[horizon, n + 1 + i, k] = 0.0


@kernel
def _evaluate(forms, z, values):
    """Values (J, T+1, N) of upper triangular forms (J, p, p)."""
    n_forms, n_times, total = values.shape
    at, k = divmod(cuda.grid(1), total)
    f, t = divmod(at, n_times)
    if f >= n_forms:
        return
    p = forms.shape[1]
    value = 0.0
    for i in range(p):
        row = 0.0
        for j in range(i, p):
            if forms[f, i, j] != 0.0:
                row += forms[f, i, j] * z[t, j, k]
        value += z[t, i, k] * row
    values[f, t, k] = value


@kernel
def _weigh(sigma, after, beta, kappa, delta, total, weighed, values, ratio, out):
    """D_t (y_t - β_t), or y_0 - β_0, of every step into out (E, T, N)."""
    n_estimators, horizon, n_trajectories = out.shape
    e, k = divmod(cuda.grid(1), n_trajectories)
    if e >= n_estimators:
        return
    y = 0.0
    for back in range(horizon):
        t = horizon - 1 - back
        y = backward(values[sigma[e], t, k] if sigma[e] >= 0 else 0.0, kappa[e], y)
        if after[e] >= 0:
            y += values[after[e], t + 1, k]
        if weighed:
            y *= ratio[t, k]
        out[e, t, k] = y
    carry = 1.0
    for t in range(horizon):
        if not total[e]:
            baseline = values[beta[e], t, k] if beta[e] >= 0 else 0.0
            # Not ``recursion.forward``: as on the CPU, D y and D β are rounded one by one.
            out[e, t, k] = carry * out[e, t, k] - carry * baseline
            carry *= delta[e]
            if weighed:
                carry *= ratio[t, k]
        elif t == 0:
            if beta[e] >= 0:
                y -= values[beta[e], 0, k]
            out[e, t, k] = y
        else:
            out[e, t, k] = y


@kernel
def _gather(stepwise, z, e, batch_size, weights):
    """Sum the steps (E, T, N) of a replicate times (e, 1)(x̃, e)ᵀ to weights (E, (m+1)·p, R)."""
    n_estimators, entries, replicates = weights.shape
    at, r = divmod(cuda.grid(1), replicates)
    f, entry = divmod(at, entries)
    if f >= n_estimators:
        return
    horizon, m, _ = e.shape
    p = z.shape[1]
    i, j = divmod(entry, p)
    total = 0.0
    for b in range(batch_size):
        k = b * replicates + r
        own = 0.0
        for t in range(horizon):
            left = e[t, i, k] if i < m else 1.0
            right = z[t, j, k] if j < p - m else e[t, j - (p - m), k]
            own += stepwise[f, t, k] * left * right
        total += own
    weights[f, entry, r] = total * (1.0 / batch_size)


class DeviceRollouts:
    """Estimators of one Gaussian policy on a linear-quadratic problem, their forms on the GPU.

    sampler and tables are those that ``kernels.linear_quadratic.weigh`` takes, of one policy.
    """

    def __init__(self, sampler: Sampler, tables: EstimatorTables) -> None:
        if len(sampler.gain) > 1:
            raise ValueError(f"{len(sampler.gain)} policies at once, must be one on a GPU")
        self.n_states, self.n_actions = sampler.B.shape
        self.n_estimators, self._n_forms = tables.total.size, tables.forms.shape[1]
        self.magnitude = float(np.abs(tables.forms).max(initial=0.0))
        self._weighed = bool(sampler.weighed)
        self._sampler = (
            *map(upload, (sampler.A, sampler.B, sampler.noise, sampler.start_mean, sampler.start)),
            *map(upload, (sampler.gain[0], sampler.factor[0], sampler.ratio[0])),
            float(sampler.log_ratio[0]), self._weighed, upload(sampler.normals),
        )  # fmt: skip
        self._forms = upload(tables.forms[0])
        self._tables = tuple(
            upload(getattr(tables, name))
            for name in ("sigma", "after", "beta", "kappa", "delta", "total")
        )

    @property
    def _p(self) -> int:
        return self.n_states + 1 + self.n_actions

    def bytes_per_replicate(self, horizon: int, batch_size: int, rows: int) -> int:
        """Memory on the GPU that a replicate takes."""
        numbers = self._p + self.n_actions + 1 + self._n_forms + self.n_estimators
        weights = self.n_estimators * rows * self._p
        return 8 * ((horizon + 1) * batch_size * numbers + weights)

    def simulate(self, streams, first: int, m: int, horizon: int):
        """(x, 1, u) (T+1, p, n·m), noise (T, m, n·m) and ratios (T, n·m) of m replicates."""
        total = m * streams.batch_size
        drawn = empty((horizon + 1, self._p, total)), empty((horizon, self.n_actions, total))
        ratio = empty((horizon, total) if self._weighed else (1, 1))
        launch(
            _simulate, total, *self._sampler, np.uint64(streams.seed), np.uint64(streams.stream),
            first, int(streams.batch_size), int(streams.group_size), *drawn, ratio,
        )  # fmt: skip
        return *drawn, ratio

    def weigh(self, streams, first: int, m: int, horizon: int, rows: int) -> Weighed:
        """Weights of replicates first, ..., first + m - 1, of all rows, which ``rows`` counts."""
        E, n = self.n_estimators, int(streams.batch_size)
        z, e, ratio = self.simulate(streams, first, m, horizon)
        total, entries = m * n, rows * self._p
        values = empty((max(1, self._n_forms), horizon + 1, total))
        if self._n_forms:
            launch(_evaluate, values.size, self._forms, z, values)
        stepwise, weights = empty((E, horizon, total)), empty((E, entries, m))
        launch(_weigh, E * total, *self._tables, self._weighed, values, ratio, stepwise)
        launch(_gather, weights.size, stepwise, z, e, n, weights)
        every, steps = upload(np.full(m, rows)), upload(np.full(m, horizon * n))
        return Weighed(True, empty((1, 1), np.int32), every, weights, steps)
