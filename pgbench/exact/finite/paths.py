"""Returns to states of large problems, until what is left of them is known in closed form.

Paths of j + 1 steps from the pairs of a state back to the state are L Bʲ e, of the recursion's step
B and lift L. They are followed for a group of states at a time, backwards from their end, and only
where they can be. Where the walk forgets where it was, Bʲ e becomes R Tʲ c (``dominant``), after
some thirty steps on graphs that mix; what that leaves out is bounded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np

from pgbench.arrays import FloatArray, IndexArray
from pgbench.exact.finite.dominant import TRIED, Dominant
from pgbench.exact.finite.recursion import Recursion

Returns = dict[tuple[int, int], FloatArray]
"""What paths from the pairs of s states (s, A) make of moment k at their end for moment i at their
beginning, by (i, k)."""

LEFT_OUT = 1e-11
"""Most that may be left out of all later returns together, beside the visit that they return to
or, where they grow, beside all of them."""


@dataclass(frozen=True, eq=False)
class Path:
    """Returns to the states of a group.

    Attributes
    ----------
    steps
        Those after 1, 2, ..., J steps.
    ended
        Whether later ones are L R Tʲ c, but for little.
    c, size
        (F, F, s) float64, c and ‖x - R c‖ after J steps of what was moment k at the end, k second.
    """

    steps: list[Returns]
    ended: bool
    c: FloatArray
    size: FloatArray


@dataclass(frozen=True, eq=False)
class Ever:
    """Returns after any number of steps, and a bound (F, F, s, A) on their error."""

    returns: Returns
    error: FloatArray


class Paths:
    """Paths of one recursion, whatever its β, as far as they were followed.

    Attributes
    ----------
    dominant
        The subspace that they end up in.
    known
        Path of each group by its first state.
    """

    def __init__(self, recursion: Recursion) -> None:
        self._recursion = recursion
        self.dominant = Dominant.of(recursion)
        self.known: dict[int, Path] = {}

    def to(self, begin: int, ends: IndexArray, steps: int | None) -> Path:
        """The path of the group that begins there, of so many steps or without limit."""
        path = self.known.get(begin)
        if path is None or not self._serves(path, steps):
            path = self.known[begin] = self.follow(ends, steps)
        return path

    def _serves(self, path: Path, steps: int | None) -> bool:
        done = len(path.steps)
        if steps is not None and done >= steps:
            return True
        return path.ended and self._little(path.c, path.size, self._remaining(steps, done))

    def follow(self, ends: IndexArray, steps: int | None) -> Path:
        """The path to states ``ends`` (s,) of so many steps, at most, or until little is left."""
        r, dominant = self._recursion, self.dominant
        gather, walks = gathering(r, ends), [self._walk(k, ends) for k in self._starts]
        reached, reaching = self._distances(ends)
        most = TRIED if steps is None else steps
        found: list[Returns] = []
        none = np.zeros((r.order, r.order, ends.size))
        for j in range(most):
            here: Returns = {}
            for walk in walks:
                gather(walk.first, walk.moments, here)
            found.append(here if r.decay is None else decayed(r, here, r.decay ** (j + 1)))
            if j + 1 == most:
                break
            # Where it is not known what is left, only what can come back in time counts.
            back = r.n if dominant.known else min(most - 1 - j, r.n - 1)
            rows = np.flatnonzero((reached <= j + 1) & (reaching <= back))
            for walk in walks:
                walk.advance(rows)
            if dominant.known:
                if self._little(
                    *self._fitted(walks, j + 1, slice(1)), self._remaining(steps, j + 1)
                ):
                    c, size = self._fitted(walks, j + 1, slice(None))
                    if self._little(c, size, self._remaining(steps, j + 1)):
                        return Path(found, True, c, size)
            elif not any(walk.x[rows].any() for walk in walks):
                return Path(found, True, none, none)
        return Path(found, False, none, none)

    def _remaining(self, steps: int | None, done: int) -> int | None:
        """Over how many more steps little must be left: without limit wherever that is bounded.

        So paths serve every horizon.
        """
        return None if self.settles else later(steps, done)

    @property
    def _starts(self) -> range:
        """Moments at the end that are followed: the others are multiples where κ is one number."""
        return range(1 if self._recursion.decay is not None else self._recursion.order)

    def _walk(self, first: int, ends: IndexArray) -> "_Walk":
        indptr, indices, entries = self._pattern
        later = [(i, j) for i in range(self._recursion.order) for j in range(i + 1)]
        own = np.ascontiguousarray(entries[:, [min(place) >= first for place in later]])
        return _Walk(first, self._recursion.order, indptr, indices, own, ends)

    @cached_property
    def _pattern(self) -> tuple[IndexArray, IndexArray, FloatArray]:
        """indptr, indices and entries (nnz, F(F+1)/2) of the step, by the pattern of all blocks."""
        step, n = self._recursion.step, self._recursion.n
        every = [(i, j) for i in range(self._recursion.order) for j in range(i + 1)]
        places = {
            at: np.repeat(np.arange(n), np.diff(block.indptr)) * n + block.indices
            for at, block in step.items()
        }
        union = np.unique(np.concatenate([np.zeros(0, np.int64), *places.values()]))
        entries = np.zeros((union.size, len(every)))
        for at, own in places.items():
            entries[np.searchsorted(union, own), every.index(at)] = step[at].data
        indptr = np.searchsorted(union, np.arange(n + 1) * n)
        return indptr, union % n, entries

    def _distances(self, ends: IndexArray) -> tuple[IndexArray, IndexArray]:
        """Fewest steps (n,) from every state to the group, and from the group to it."""
        from pgbench.kernels.stepping import distances

        indptr, indices, _ = self._pattern
        return distances(*self._backwards, ends), distances(indptr, indices, ends)

    @cached_property
    def _backwards(self) -> tuple[IndexArray, IndexArray]:
        """The pattern by columns: where one may have come from."""
        indptr, indices, _ = self._pattern
        n = self._recursion.n
        came = np.repeat(np.arange(n), np.diff(indptr))[np.argsort(indices, kind="stable")]
        return np.searchsorted(np.sort(indices), np.arange(n + 1)), came

    def _fitted(
        self, walks: "list[_Walk]", done: int, which: slice
    ) -> tuple[FloatArray, FloatArray]:
        """c and ‖x - R c‖ (F, F, s) of these columns after so many steps."""
        F, decay = self._recursion.order, self._recursion.decay
        found = []
        for k in range(F):
            if decay is None:
                x = walks[k].x[:, :, which]
            else:
                factors = [comb(i, k) * decay ** (k * done) for i in range(k, F)]
                x = walks[0].x[:, : F - k, which] * np.array(factors)[:, None]
            found.append(self.dominant.fitted(x, k))
        c, size = (np.stack(part, axis=1) for part in zip(*found, strict=True))
        return c, size

    def _little(self, c: FloatArray, size: FloatArray, steps: int | None) -> bool:
        """Whether what is left after fitted columns is little, over so many steps or all."""
        return all(
            self._little_of(c[:, k], size[:, k], steps, k) for k in range(self._recursion.order)
        )

    def _little_of(self, c: FloatArray, size: FloatArray, steps: int | None, first: int) -> bool:
        left = self.dominant.left_after(steps, size, c)
        allowed = self.dominant.allowed(steps, c, first)
        return bool((left <= LEFT_OUT * allowed)[first:].all())

    def steps_until_little(self, steps: int | None) -> int:
        """After how many steps little is left, seen on a few columns, or all steps there are."""
        r, most = self._recursion, TRIED if steps is None else steps
        ends = r.scored[:: max(1, r.scored.size // 4)]
        X = {0: units(r, ends)}
        for j in range(1, most if self.dominant.known else 0):
            X = stepped(r, X)
            x = np.stack([X.get(i, np.zeros((r.n, ends.size))) for i in range(r.order)], axis=1)
            c, size = self.dominant.fitted(x, 0)
            if self._little_of(c, size, self._remaining(steps, j), 0):
                return j
        return most

    @property
    def settles(self) -> bool:
        """Whether returns without limit may end in the dominant subspace, and have a sum."""
        dominant = self.dominant
        return dominant.known and bool((dominant.growth.diagonal() < 1).all())

    def lifted(self, ends: IndexArray) -> FloatArray:
        """L R (F, s, A, F) at the pairs of these states."""
        r = self._recursion
        return self.dominant.lifted.reshape(r.order, r.n, -1, r.order)[:, ends]

    def summed(self, path: Path, ends: IndexArray) -> Returns:
        """Returns after any number of steps, of a path that ended."""
        F, out = self._recursion.order, Returns()
        lifted = self.lifted(ends)
        c = np.stack([self.dominant.limit(path.c[:, k]) for k in range(F)], axis=1)
        for i, k in np.ndindex(F, F):
            later = np.einsum("saf,fs->sa", lifted[i], c[:, k])
            out[i, k] = sum((step[i, k] for step in path.steps if (i, k) in step), later)
        return out

    def solved(self, ends: IndexArray) -> Ever:
        """Returns after any number of steps by linear systems, whose residuals bound the error."""
        r, norms, F = self._recursion, self._contracting, self._recursion.order
        gather, found = gathering(r, ends), Returns()
        wrong = np.zeros((F, F, ends.size))
        for k in range(F):
            X: dict[int, FloatArray] = {}
            x, away, size = np.zeros((3, r.n, F, ends.size))
            for i in range(k, F):
                right = solved_from(r, X, i, units(r, ends) if i == k else None)
                if right is None:
                    continue
                X[i] = r.factored[i].columns(right)
                x[:, i], away[:, i] = X[i], right - X[i]
                if (i, i) in r.step:
                    away[:, i] += r.step[i, i] @ X[i]
                size[:, i] = np.abs(right) + np.abs(X[i])
            # Where no step leads on, x is what it begins with.
            ended = norms.weights[:, 0] == 0
            x[ended] = size[ended] = 0.0
            rounding = norms.unit * (norms.growth @ norms.norms(x) + norms.norms(size))
            wrong[:, k] = norms.passed_on(norms.norms(away) + rounding)
            gather(k, X, found)
        return Ever(found, self._at_pairs(norms, ends, wrong))

    @cached_property
    def _contracting(self) -> Dominant:
        """Norms in which the step shrinks: those of the dominant vectors, or by the time to go.

        τ = 1 + P τ becomes τ - 1 in a step, so that its growth is 1 - 1/max τ.
        """
        if (self.dominant.growth.diagonal() < 1).all():
            return self.dominant
        r = self._recursion
        time, _ = r.factored[0].solve(np.ones(r.n))
        return Dominant.of(r, np.repeat(time[:, None], r.order, axis=1))

    def _at_pairs(self, norms: Dominant, ends: IndexArray, wrong: FloatArray) -> FloatArray:
        """What columns that are wrong by ‖e‖ (F, F, s) make of returns at most (F, F, s, A)."""
        r = self._recursion
        lift = norms.lift_growth.reshape(r.order, r.n, -1, r.order)[:, ends]
        return np.asarray(np.einsum("isaj,jks->iksa", lift, wrong) * (1 + 1e-6), np.float64)

    def error(self, path: Path, ends: IndexArray, steps: int | None) -> FloatArray:
        """Bound (F, F, s, A) on what is wrong with all returns together: left out and rounding.

        Entry (i, k) as of ``Returns``, and as long as rounding is, so is the walk: ‖e‖ = 1/w.
        """
        r, dominant = self._recursion, self.dominant
        done = len(path.steps) if steps is None else min(len(path.steps), steps)
        total, last = dominant.rounding(done)
        weights = dominant.weights[ends]
        begun = np.divide(1.0, weights, out=np.zeros_like(weights), where=weights > 0).T
        wrong = total[:, :, None] * begun
        if path.ended and (steps is None or steps > done):
            size = path.size + last[:, :, None] * begun
            for k in range(r.order):
                wrong[:, k] += dominant.left_after(later(steps, done), size[:, k], path.c[:, k])
        return self._at_pairs(dominant, ends, wrong)


def later(steps: int | None, done: int) -> int | None:
    """How many of so many steps are left."""
    return None if steps is None else steps - done


class _Walk:
    """Columns x (n, F - first, s) that are taken from step to step."""

    def __init__(
        self, first: int, order: int, indptr: IndexArray, indices: IndexArray,
        entries: FloatArray, ends: IndexArray,
    ) -> None:  # fmt: skip
        self.first = first
        self._matrix = indptr, indices, entries
        self.x = np.zeros((indptr.size - 1, order - first, ends.size))
        self.x[ends, 0, np.arange(ends.size)] = 1.0
        self._next = np.zeros_like(self.x)

    @property
    def moments(self) -> dict[int, FloatArray]:
        """The columns (n, s) of every moment."""
        return {self.first + i: self.x[:, i] for i in range(self.x.shape[1])}

    def advance(self, rows: IndexArray) -> None:
        """Take one more step at the end of which are these states."""
        from pgbench.kernels.stepping import advance

        advance(*self._matrix, rows, self.x, self._next)
        self.x, self._next = self._next, self.x


def units(recursion: Recursion, ends: IndexArray) -> FloatArray:
    """Columns (n, s) that are 1 at the end of a path."""
    columns = np.zeros((recursion.n, ends.size))
    columns[ends, np.arange(ends.size)] = 1.0
    return columns


def stepped(recursion: Recursion, X: dict[int, FloatArray]) -> dict[int, FloatArray]:
    """Columns of moments with one more step before them; absent where they are zero."""
    out: dict[int, FloatArray] = {}
    for (i, j), block in recursion.step.items():
        if j in X:
            added = block @ X[j]
            out[i] = out[i] + added if i in out else added
    return out


def solved_from(
    recursion: Recursion, X: dict[int, FloatArray], i: int, own: FloatArray | None
) -> FloatArray | None:
    """The right-hand side for moment i: its own and what earlier ones add; None where zero."""
    right = own
    for j, earlier in X.items():
        if (i, j) in recursion.step:
            added = recursion.step[i, j] @ earlier
            right = added if right is None else right + added
    return right


def decayed(recursion: Recursion, found: Returns, decay: float) -> Returns:
    """Every entry from those of moment 0, where X is what is collected plus decay·X later."""
    return {
        (i, k): comb(i, k) * decay**k * found[i - k, 0]
        for i in range(recursion.order)
        for k in range(i + 1)
        if (i - k, 0) in found and (k == 0 or decay != 0)
    }


def gathering(
    recursion: Recursion, ends: IndexArray
) -> Callable[[int, dict[int, FloatArray], Returns], None]:
    """A function that adds (L X)(s, a; s) of the pairs of ``ends`` to entries (i, k)."""
    A = recursion.n_actions
    pairs = (ends[:, None] * A + np.arange(A)).ravel()
    blocks = {}
    for place, block in recursion.lift.items():
        own = block[pairs].tocsr()
        row = np.repeat(np.arange(pairs.size), np.diff(own.indptr))
        blocks[place] = (own.data, own.indices, row)

    def gather(k: int, X: dict[int, FloatArray], found: Returns) -> None:
        for (i, j), (data, successor, row) in blocks.items():
            if j in X:
                values = np.bincount(row, data * X[j][successor, row // A], pairs.size)
                before = found.get((i, k), np.zeros((1, A)))
                found[i, k] = before + values.reshape(-1, A)

    return gather
