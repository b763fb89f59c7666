"""The same algorithm in C: ``rollouts.c``, built by gcc and called through ctypes."""

import ctypes
import shutil
import subprocess
from functools import cache, partial
from pathlib import Path

import numpy as np

from benchmarks.peers.contender import Contender

SOURCE = Path(__file__).parents[1] / "rollouts.c"
BUILD = Path(__file__).parents[3] / "build" / "peers"
COMMAND = ("gcc", "-O3", "-march=native", "-Wall", "-Wextra", "-shared", "-fPIC")


class _Problem(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n_states", "n_actions", "n_slots")),
        *((name, ctypes.c_void_p) for name in ("start", "action", "slot")),
        *((name, ctypes.c_void_p) for name in ("start_cdf", "action_cdf", "slot_cdf", "outcomes")),
        *((name, ctypes.c_void_p) for name in ("step", "reward")),
        ("bits", ctypes.c_int64),
        ("gamma", ctypes.c_double),
        ("horizon", ctypes.c_int64),
    )


@cache
def library(lanes=16):
    """``rollouts.c`` compiled for this machine, with so many trajectories in lock step.

    Anew in every process that finds the source changed.
    """
    path = BUILD / f"librollouts{lanes}.so"
    if not path.exists() or path.stat().st_mtime < SOURCE.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        subprocess.run([*COMMAND, f"-DLANES={lanes}", "-o", str(path), str(SOURCE)], check=True)
    return ctypes.CDLL(str(path))


def make(function, workload, lanes=16):
    """One of the functions of ``rollouts.c``, with so many trajectories in lock step."""
    from pgbench.kernels.finite import make_sampler

    mdp, pi = workload.mdp, workload.pi
    sampler = make_sampler(mdp, pi)
    outcomes = np.empty(workload.reward.size, [("reward", np.float64), ("successor", np.int64)])
    outcomes["reward"], outcomes["successor"] = workload.reward, workload.successor
    arrays = (
        sampler.start,
        _flat_alias(pi),
        _flat_alias(mdp.probability.reshape(-1, mdp.branching)),
        np.cumsum(mdp.mu0),
        workload.action_cdf,
        workload.slot_cdf,
        outcomes,
        sampler.step,
        np.ascontiguousarray(mdp.reward[:, :, 0]),
    )
    problem = _Problem(
        *mdp.probability.shape,
        *(array.ctypes.data for array in arrays),
        int(sampler.bits) + 1,
        mdp.gamma,
        workload.horizon,
    )
    call = getattr(library(lanes), function)

    def run(n, seed, arrays=arrays):  # which keeps the arrays alive
        weights = np.zeros(pi.shape)
        call(
            ctypes.byref(problem),
            ctypes.c_uint64(seed),
            ctypes.c_int64(0),
            ctypes.c_int64(n),
            ctypes.c_void_p(weights.ctypes.data),
        )
        return weights

    return run


def _flat_alias(probability):
    """Tables of rows (n, k) as alias << 32 | threshold, with aliases that count from the first row.

    ``two_draws`` and ``avx512`` take the entry's index for a draw and look it up again.
    """
    from pgbench.kernels.finite.alias import alias_tables

    n, k = probability.shape
    own = alias_tables(probability[:, None], np.ones((n, 1)))
    alias = (own & np.uint64(0xFFFFFFFF)) + (np.arange(n, dtype=np.uint64) * np.uint64(k))[:, None]
    return alias << np.uint64(32) | own >> np.uint64(32)


def _no_compiler():
    return "" if shutil.which("gcc") else "needs gcc: install it with the system's package manager"


def _no_avx512():
    if reason := _no_compiler():
        return reason
    return "" if library().has_avx512() else "needs a processor with AVX-512 F and DQ"


lockstep = Contender(
    "c_lockstep", "C, lock step", partial(make, "lockstep"), batch=1024, missing=_no_compiler
)
lockstep_32 = Contender(
    "c_lockstep_32", "C, 32 in lock step", partial(make, "lockstep", lanes=32), batch=1024,
    missing=_no_compiler,
)  # fmt: skip
two_draws = Contender(
    "c_two_draws", "C, lock step, two draws", partial(make, "two_draws"), batch=1024,
    missing=_no_compiler,
)  # fmt: skip
two_draws_32 = Contender(
    "c_two_draws_32", "C, 32 in lock step, two draws", partial(make, "two_draws", lanes=32),
    batch=1024, missing=_no_compiler,
)  # fmt: skip
avx512 = Contender(
    "c_avx512", "C, AVX-512 by hand", partial(make, "avx512"), batch=1024, missing=_no_avx512
)
plain = Contender(
    "c_plain", "C, one at a time", partial(make, "plain"), batch=1024, missing=_no_compiler
)
