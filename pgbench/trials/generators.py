"""Generators that belong to everybody: seeded before every call of a user's function.

So the same batch has the same random numbers from them, as from its own ``rng``.
"""

import random
import sys
from typing import Any

import numpy as np

from pgbench.functions import AnyBatch


def seed_by(batch: AnyBatch) -> None:
    """Seed Python's, NumPy's and PyTorch's generators with a number that hangs on the batch."""
    # Of the batch's own generator the seed only, which draws from it do not change.
    sequence: Any = batch.rng.bit_generator.seed_seq
    seed = int(sequence.generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    if (torch := sys.modules.get("torch")) is not None:
        # torch.manual_seed(seed) asks every kind of device, which takes longer than a small loss.
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)


def drawn_from(batch: AnyBatch) -> list[str]:
    """Names of those that a call with this batch has drawn from, if it was the last; seeds them."""
    after = _states()
    seed_by(batch)
    return [name for name, fresh in _states().items() if not _equal(after[name], fresh)]


def _states() -> dict[str, Any]:
    numpy: Any = np.random.get_state()  # noqa: NPY002
    found = {"numpy.random's global generator": numpy[1:3], "Python's random": random.getstate()}
    if (torch := sys.modules.get("torch")) is not None:
        found["torch's global generator"] = torch.get_rng_state().numpy().copy()
    return found


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(np.array_equal(a, b))
