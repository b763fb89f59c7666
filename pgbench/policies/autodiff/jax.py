"""Networks in JAX, differentiated and compiled by it: the one file that imports it.

They are evaluated in float64 and on the CPU, in contexts that the rest of the process does not see.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.experimental
import jax.numpy as jnp
import numpy as np

from pgbench.arrays import FloatArray
from pgbench.policies.network import TOGETHER, Outputs
from pgbench.policies.user_module import OwnCode


@contextmanager
def _conditions() -> Iterator[None]:
    """Double precision, and the CPU, so that numbers do not depend on the machine."""
    doubles: Any = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    with doubles(True), jax.default_device(jax.devices("cpu")[0]):
        yield


class JaxOutputs(Outputs):
    """Outputs of a function of a pytree and features, with θ in place of the pytree's leaves.

    θ holds the leaves that are of floating point in the order of ``jax.tree.leaves``, that of the
    sorted keys of a dict, each row by row. Others stay what they are with seed 0.

    Parameters
    ----------
    code
        What the user wrote.
    init
        Makes the pytree from a key.
    apply
        Function of the pytree and rows of features (n, f) to outputs (n, o).
    """

    def __init__(
        self, code: OwnCode, init: Callable[[Any], Any], apply: Callable[[Any, Any], Any]
    ) -> None:
        self.name, self._code, self._init, self._apply = code.words, code, init, apply
        with _conditions():
            self._fixed, self._tree = jax.tree.flatten(self._made(0))
        self._places = [i for i, leaf in enumerate(self._fixed) if _trainable(leaf)]
        self.shapes = [np.shape(self._fixed[i]) for i in self._places]
        self._at = jax.jit(jax.vmap(self._call, (0, None)))
        self._pull_back = jax.jit(jax.vmap(self._pulled, (None, None, 0)))
        self._each_pull_back = jax.jit(jax.vmap(self._pulled, (0, None, 0)))
        self._push_forward = jax.jit(jax.vmap(self._pushed, (0, None, 0)))
        self._jacobian = jax.jit(jax.vmap(jax.jacrev(self._of_row), (None, 0)))

    @property
    def n_parameters(self) -> int:
        """Length d of θ."""
        return int(sum(np.prod(shape, dtype=np.int64) for shape in self.shapes))

    def at(self, thetas: FloatArray, rows: FloatArray) -> FloatArray:
        """Outputs (m, n, o)."""
        return _computed(self._at, _rounded_up(thetas), _widened(rows, 0))[
            : len(thetas), : len(rows)
        ]

    def traced(self, theta: Any, rows: FloatArray) -> Any:
        """Outputs (n, o) of an array θ of double precision, to differentiate.

        ValueError where JAX is not told to have it: ``jax.config.update("jax_enable_x64", True)``.
        """
        return self._call(theta, jnp.asarray(rows))

    def pull_back(self, theta: FloatArray, rows: FloatArray, weights: FloatArray) -> FloatArray:
        """Gradients (k, d) of Σ W ⊙ outputs at one θ (d,), of weights W (k, n, o)."""
        own = _widened(_rounded_up(weights), 1, zero=True)
        return _computed(self._pull_back, theta, _widened(rows, 0), own)[: len(weights)]

    def each_pull_back(
        self, thetas: FloatArray, rows: FloatArray, weights: FloatArray
    ) -> FloatArray:
        """Gradients (m, d) of Σ W ⊙ outputs, each at its own θ with weights of (m, n, o)."""
        own = _widened(_rounded_up(weights), 1, zero=True)
        every = _computed(self._each_pull_back, _rounded_up(thetas), _widened(rows, 0), own)
        return every[: len(thetas)]

    def each_push_forward(
        self, thetas: FloatArray, rows: FloatArray, directions: FloatArray
    ) -> FloatArray:
        """Derivatives (m, n, o) of outputs along directions (m, d), each at its own θ."""
        both = (_rounded_up(v) for v in (thetas, directions))
        own, along = both
        return _computed(self._push_forward, own, _widened(rows, 0), along)[
            : len(thetas), : len(rows)
        ]

    def jacobian(self, theta: FloatArray, rows: FloatArray) -> FloatArray:
        """Derivatives (n, o, d) of all outputs at one θ (d,)."""
        return _computed(self._jacobian, theta, _widened(rows, 0))[: len(rows)]

    def initial(self, seed: int) -> FloatArray:
        """The leaves (d,) of the pytree that ``init`` makes of ``jax.random.PRNGKey(seed)``."""
        with _conditions():
            leaves, tree = jax.tree.flatten(self._made(seed))
        own = [leaf for leaf in leaves if _trainable(leaf)]
        if tree != self._tree or [np.shape(leaf) for leaf in own] != self.shapes:
            raise ValueError(f"{self.name}: init makes other parameters with another key")
        return np.concatenate([np.ravel(np.asarray(leaf, np.float64)) for leaf in own])

    def _made(self, seed: int) -> Any:
        key = jax.random.PRNGKey(seed % 2**63)
        return self._code.call("init", lambda: self._init(key))

    def _call(self, theta: Any, rows: Any) -> Any:
        """What the function makes of rows (n, f), float64; ValueError where it is no such thing."""
        leaves, begin = list(self._fixed), 0
        for place, shape in zip(self._places, self.shapes, strict=True):
            end = begin + int(np.prod(shape, dtype=np.int64))
            leaves[place], begin = theta[begin:end].reshape(shape), end
        tree = jax.tree.unflatten(self._tree, leaves)
        found = self._code.call(
            f"apply with features {tuple(rows.shape)}", lambda: self._apply(tree, rows)
        )
        if getattr(found, "dtype", None) != jnp.float64:
            kind = getattr(found, "dtype", type(found).__name__)
            raise ValueError(f"{self.name} makes {kind}, must make an array of float64")
        return found

    def _of_row(self, theta: Any, row: Any) -> Any:
        return self._call(theta, row[None])[0]

    def _pulled(self, theta: Any, rows: Any, weights: Any) -> Any:
        _, back = jax.vjp(lambda own: self._call(own, rows), theta)
        return back(weights)[0]

    def _pushed(self, theta: Any, rows: Any, direction: Any) -> Any:
        return jax.jvp(lambda own: self._call(own, rows), (theta,), (direction,))[1]


def _trainable(leaf: Any) -> bool:
    return bool(jnp.issubdtype(jnp.result_type(leaf), jnp.floating))


def _computed(function: Any, *arrays: FloatArray) -> FloatArray:
    with _conditions():
        return np.array(function(*arrays), np.float64)


def _rounded_up(things: FloatArray) -> FloatArray:
    """One thing, or ``TOGETHER`` of them, the first for what is lacking: two shapes to compile."""
    lacking = 0 if len(things) == 1 else TOGETHER - len(things)
    return np.concatenate([things, np.repeat(things[:1], lacking, axis=0)])


def _widened(table: FloatArray, axis: int, zero: bool = False) -> FloatArray:
    """A table whose rows are a power of two, so that few shapes are compiled.

    What is lacking are copies of the first row, or zeros.
    """
    n = table.shape[axis]
    lacking = 2 ** max(n - 1, 0).bit_length() - n
    first = np.take(table, [0], axis=axis)
    more = np.repeat(np.zeros_like(first) if zero else first, lacking, axis=axis)
    return np.concatenate([table, more], axis=axis)
