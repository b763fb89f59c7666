"""The same algorithm in C: ``rollouts.c``, built by gcc and called through ctypes."""

import ctypes
import shutil
import subprocess
from functools import cache, partial
from pathlib import Path

import numpy as np

from benchmarks.peers.contender import Contender

SOURCE = Path(__file__).parents[1] / "rollouts.c"
LIBRARY = Path(__file__).parents[3] / "build" / "peers" / "librollouts.so"
COMMAND = ("gcc", "-O3", "-march=native", "-Wall", "-Wextra", "-shared", "-fPIC")


class _Problem(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n_states", "n_actions", "n_slots")),
        *((name, ctypes.c_void_p) for name in ("start", "action", "slot")),
        *((name, ctypes.c_void_p) for name in ("start_cdf", "action_cdf", "slot_cdf", "outcomes")),
        ("gamma", ctypes.c_double),
        ("horizon", ctypes.c_int64),
    )


@cache
def library():
    """``rollouts.c`` compiled for this machine, anew in every process that finds it changed."""
    if not LIBRARY.exists() or LIBRARY.stat().st_mtime < SOURCE.stat().st_mtime:
        LIBRARY.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([*COMMAND, "-o", str(LIBRARY), str(SOURCE)], check=True)
    return ctypes.CDLL(str(LIBRARY))


def make(function, workload):
    """One of the functions of ``rollouts.c``."""
    from pgbench.kernels.alias import alias_table

    mdp, pi = workload.mdp, workload.pi
    outcomes = np.empty(workload.reward.size, [("reward", np.float64), ("successor", np.int64)])
    outcomes["reward"], outcomes["successor"] = workload.reward, workload.successor
    arrays = (
        alias_table(mdp.mu0[None, :]),
        alias_table(pi),
        alias_table(np.ascontiguousarray(mdp.probability).reshape(-1, mdp.branching)),
        np.cumsum(mdp.mu0),
        workload.action_cdf,
        workload.slot_cdf,
        outcomes,
    )
    problem = _Problem(
        *mdp.probability.shape,
        *(array.ctypes.data for array in arrays),
        mdp.gamma,
        workload.horizon,
    )
    call = getattr(library(), function)

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


def _no_compiler():
    return "" if shutil.which("gcc") else "needs gcc: install it with the system's package manager"


def _no_avx512():
    if reason := _no_compiler():
        return reason
    return "" if library().has_avx512() else "needs a processor with AVX-512 F and DQ"


lockstep = Contender(
    "c_lockstep", "C, lock step", partial(make, "lockstep"), batch=1024, missing=_no_compiler
)
avx512 = Contender(
    "c_avx512", "C, AVX-512 by hand", partial(make, "avx512"), batch=1024, missing=_no_avx512
)
plain = Contender(
    "c_plain", "C, one at a time", partial(make, "plain"), batch=1024, missing=_no_compiler
)
