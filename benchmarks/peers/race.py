"""Contenders checked, then timed in turns: a lap of everybody per round."""

import os
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version

from benchmarks.peers.worker import Worker

PACKAGES = ("numpy", "numba", "jax", "torch", "gymnasium")


def available_cores():
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def race(contenders, sizes, threads, rounds, seconds):
    """Checks and laps of every contender at every size and number of threads it runs with.

    Returns
    -------
    dict
        ``machine``; ``checks``, a list of records with n_states, name, threads, worst, resolution
        and passed; ``laps``, a list of records with n_states, name, threads, trajectories and ns,
        nanoseconds per environment step of every round; ``titles`` by name. A contender that does
        not pass its check is not timed.
    """
    result = {"machine": _machine(), "checks": [], "laps": []}
    result["titles"] = {name: contender.title for name, contender in contenders.items()}
    with ExitStack() as stack:
        workers = {}
        for n in threads:
            workers[n] = Worker(n)
            stack.callback(workers[n].stop)
        for n_states in sizes:
            starters = [
                (name, n)
                for n in threads
                for name, contender in contenders.items()
                if n in contender.threads and n_states <= contender.largest
            ]
            result["laps"] += _race(workers, n_states, starters, rounds, seconds, result["checks"])
    return result


def _race(workers, n_states, starters, rounds, seconds, checks):
    for n in {n for _, n in starters}:
        workers[n].open(n_states)
    laps = []
    for name, n in starters:
        workers[n].prepare(name)
        check = workers[n].check(name)
        label = f"S = {n_states:,}  {name}, {n} {'thread' if n == 1 else 'threads'}"
        print(
            f"{label}: {check.worst:.1f} standard errors from the exact answer, 4 are "
            f"{check.resolution:.1%} of it{'' if check.passed else '. WRONG, so not timed'}",
            flush=True,
        )
        where = {"n_states": n_states, "name": name, "threads": n}
        checks.append({**where, **check._asdict(), "passed": check.passed})
        if check.passed:
            trajectories = workers[n].calibrate(name, seconds)
            laps.append({**where, "trajectories": trajectories, "ns": []})
    for i in range(rounds):
        # Forth and back, so that nobody always follows the same other.
        for record in laps if i % 2 == 0 else reversed(laps):
            record["ns"].append(workers[record["threads"]].lap(record["name"], i + 1))
    return laps


def _machine():
    from pgbench.harness.provenance import provenance

    made = provenance(available_cores(), 0, 0)
    machine = {key: made[key] for key in ("created", "revision", "cpu", "threads", "python")}
    machine["versions"] = {name: found for name in PACKAGES if (found := _version(name))}
    return machine


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
