"""Rollouts of finite problems on a GPU, in five kernels.

    simulate    a thread per trajectory                 the slots that it draws
    list        … replicate                             its states, in order of first visits
    weigh       … trajectory and estimator              D_t (x_t - β_t) of every step
    gather      … part of a batch and estimator         sums of those over its trajectories
    average     … replicate, estimator and weight       sums of those over the batch's parts

Every sum is made by one thread in a fixed order, and no thread waits for another: numbers depend
neither on how threads are scheduled nor on how replicates are cut into calls.
"""

import numpy as np
from numba import cuda, int64, uint64

from pgbench.kernels import recursion
from pgbench.kernels.cuda.jit import device_function, kernel
from pgbench.kernels.cuda.launch import empty, launch, shared_bytes, upload, zeros
from pgbench.kernels.cuda.weighed import Weighed
from pgbench.kernels.finite import EstimatorTables, Sampler, sampler
from pgbench.kernels.streams import next_word, seed_state

pick_start, pick_step = device_function(sampler.pick_start), device_function(sampler.pick_step)
backward, forward = device_function(recursion.backward), device_function(recursion.forward)


@kernel
def _simulate(
    start, start_state, step, n, n_slots, bits, staged,
    seed, stream, first, batch_size, group_size, slot, pair, lengths,
):  # fmt: skip
    """Simulate into slot and pair (H, N) uint32, flat (s, a, k) and (s, a), and lengths (N,)."""
    table = step
    if staged:
        table = cuda.shared.array(0, uint64)
        for i in range(cuda.threadIdx.x, step.size, cuda.blockDim.x):
            table[i] = step[i]
        cuda.syncthreads()
    i = cuda.grid(1)
    horizon, total = slot.shape
    if i >= total:
        return
    m = total // batch_size
    generator, r, own = cuda.local.array(4, uint64), first + i % m, i // m
    seed_state(generator, seed, stream, r, own - own % group_size, batch_size)
    state = uint64(start_state[pick_start(start, uint64(next_word(generator)))])
    if own % group_size:
        seed_state(generator, seed, stream, r, own, batch_size)
        next_word(generator)
    length = horizon
    for t in range(horizon):
        drawn, state, ended = pick_step(table, n, bits, state, uint64(next_word(generator)))
        slot[t, i] = drawn
        pair[t, i] = int64(drawn) // n_slots
        if ended:
            length = t + 1
            break
    lengths[i] = length


@kernel
def _list(pair, lengths, n_actions, known, shift, where, visited, n_visited):
    """List the states of a replicate, and where (H, N) uint32 each of its steps adds.

    known (m, 2^k) uint64: per replicate a hash table by linear probing, of zeros at first; an entry
    is the state plus one in the high half and its row in the low one. shift is 32 - k: so far a
    hash of 32 bits is shifted to the right.
    """
    r = cuda.grid(1)
    m, size = known.shape
    if r >= m:
        return
    n_rows = 0
    for b in range(lengths.size // m):
        i = b * m + r
        for t in range(lengths[i]):
            p = int64(pair[t, i])
            s = p // n_actions
            # Multiplicative hashing by the golden ratio, Knuth 1998, section 6.4.
            at = ((s * 2654435769) & 0xFFFFFFFF) >> shift
            while True:
                entry = int64(known[r, at])
                if entry >> 32 == s + 1:
                    row = entry & 0xFFFFFFFF
                    break
                if entry == 0:
                    row = n_rows
                    known[r, at] = (s + 1) << 32 | row
                    visited[row, r] = s
                    n_rows += 1
                    break
                at = (at + 1) & (size - 1)
            where[t, i] = row * n_actions + (p - s * n_actions)
    n_visited[r] = n_rows


@kernel
def _weigh(
    values, sigma, kappa, beta, delta, by_slot, constant_kappa, constant_beta, constant_delta,
    total, slot, pair, lengths, out,
):  # fmt: skip
    """D_t (x_t - β_t), or x_0 - β_0, of every step into out (E, H, N)."""
    e, i = divmod(cuda.grid(1), lengths.size)
    if e >= out.shape[0]:
        return
    # A table of one number is read at its beginning.
    vary_k, vary_b = int64(not constant_kappa[e]), int64(not constant_beta[e])
    vary_d = int64(not constant_delta[e])
    length = lengths[i]
    x = 0.0
    for back in range(length):
        t = length - 1 - back
        p = int64(pair[t, i])
        q = int64(slot[t, i]) if by_slot[e] else p
        x = backward(values[sigma[e] + q], values[kappa[e] + vary_k * p], x)
        out[e, t, i] = x
    carry = 1.0
    for t in range(length):
        p = int64(pair[t, i])
        origin = int64(pair[0, i]) if total[e] else p
        own = x if total[e] else out[e, t, i]
        baseline, factor = values[beta[e] + vary_b * origin], values[delta[e] + vary_d * p]
        out[e, t, i], carry = forward(total[e], carry, own, baseline, factor)


@kernel
def _gather(where, lengths, stepwise, n_actions, parts, n_visited, partial):
    """Sum what the steps (E, H, N) of a part of a batch add to weights (E·parts, rows·A, m)."""
    m = n_visited.size
    at, r = divmod(cuda.grid(1), m)
    if at >= partial.shape[0]:
        return
    e, part = divmod(at, parts)
    batch_size = lengths.size // m
    for j in range(n_visited[r] * n_actions):
        partial[at, j, r] = 0.0
    for b in range(part * batch_size // parts, (part + 1) * batch_size // parts):
        i = b * m + r
        for t in range(lengths[i]):
            partial[at, where[t, i], r] += stepwise[e, t, i]


@kernel
def _average(partial, parts, lengths, n_actions, n_visited, weights, steps):
    """Sum the parts of a batch to weights (E, rows·A, m), averaged, which may be ``partial``."""
    m = n_visited.size
    at, r = divmod(cuda.grid(1), m)
    e, j = divmod(at, weights.shape[1])
    if e >= weights.shape[0]:
        return
    batch_size = lengths.size // m
    if at == 0:
        taken = 0
        for b in range(batch_size):
            taken += lengths[b * m + r]
        steps[r] = taken
    if j < n_visited[r] * n_actions:
        total = 0.0
        for part in range(parts):
            total += partial[e * parts + part, j, r]
        weights[e, j, r] = total * (1.0 / batch_size)


def _parts(horizon, batch_size, width):
    """Into how many parts a batch is cut, each with a table of ``width`` weights.

    As many as there are trajectories, as long as tables take no more room than steps do.
    """
    return max(1, min(batch_size, horizon * batch_size // width))


class DeviceRollouts:
    """Estimators of one finite process, their tables on the GPU.

    sampler and tables are those that ``kernels.finite.weigh`` takes.
    """

    def __init__(self, sampler: Sampler, tables: EstimatorTables) -> None:
        self.n_states, self.n_actions = sampler.terminal.size, sampler.n_actions
        self.n_estimators, self.magnitude = tables.total.size, float(np.abs(tables.values).max())
        step = np.ascontiguousarray(sampler.step).reshape(-1)
        self._shared = shared_bytes(step)
        self._sampler = (
            upload(sampler.start), upload(sampler.start_state), upload(step),
            sampler.step.shape[1], sampler.n_slots, np.uint64(sampler.bits), self._shared > 0,
        )  # fmt: skip
        self._tables = tuple(
            upload(getattr(tables, name))
            for name in (
                "values", "sigma", "kappa", "beta", "delta",
                "sigma_by_slot", "constant_kappa", "constant_beta", "constant_delta", "total",
            )
        )  # fmt: skip

    def bytes_per_replicate(self, horizon: int, batch_size: int, rows: int) -> int:
        """Memory on the GPU that a replicate takes."""
        E, listed = self.n_estimators, rows < self.n_states
        width = rows * self.n_actions
        parts = _parts(horizon, batch_size, width)
        steps = horizon * batch_size * (8 + 4 * listed + 8 * E)
        tables = 8 * E * width * (parts + (parts > 1))
        return steps + tables + listed * (4 * rows + 8 * _hash_size(rows))

    def simulate(self, streams, first: int, m: int, horizon: int):
        """Slots and pairs (H, n·m) uint32 and lengths (n·m,) int64 of m replicates."""
        total = m * streams.batch_size
        drawn = empty((horizon, total), np.uint32), empty((horizon, total), np.uint32)
        lengths = empty(total, np.int64)
        launch(
            _simulate, total, *self._sampler, np.uint64(streams.seed), np.uint64(streams.stream),
            first, int(streams.batch_size), int(streams.group_size), *drawn, lengths,
            shared=self._shared,
        )  # fmt: skip
        return *drawn, lengths

    def weigh(self, streams, first: int, m: int, horizon: int, rows: int) -> Weighed:
        """Weights of replicates first, ..., first + m - 1, of at most ``rows`` states each."""
        E, everywhere = self.n_estimators, rows == self.n_states
        slot, pair, lengths = self.simulate(streams, first, m, horizon)
        stepwise = empty((E, horizon, m * streams.batch_size))
        launch(_weigh, E * lengths.size, *self._tables, slot, pair, lengths, stepwise)
        if everywhere:
            where, visited = pair, empty((1, 1), np.int32)
            n_visited = upload(np.full(m, rows))
        else:
            size = _hash_size(rows)
            known = zeros((m, size), np.uint64)
            where = empty(pair.shape, np.uint32)
            visited, n_visited = empty((rows, m), np.int32), empty(m, np.int64)
            launch(
                _list, m, pair, lengths, self.n_actions, known, 33 - size.bit_length(), where,
                visited, n_visited,
            )  # fmt: skip
        width = rows * self.n_actions
        parts = _parts(horizon, int(streams.batch_size), width)
        partial, steps = empty((E * parts, width, m)), empty(m, np.int64)
        weights = empty((E, width, m)) if parts > 1 else partial
        counts = self.n_actions, parts, n_visited
        launch(_gather, E * parts * m, where, lengths, stepwise, *counts, partial)
        launch(
            _average, E * width * m, partial, parts, lengths, self.n_actions, n_visited,
            weights, steps,
        )  # fmt: skip
        return Weighed(everywhere, visited, n_visited, weights, steps)


def _hash_size(rows: int) -> int:
    """Entries of a hash table of so many states: a power of two, at most half full."""
    return 1 << max(1, (2 * rows - 1).bit_length())
