"""The command in a process with a fault in it: ``python -m tests.faults.process FAULT run ...``.

A fault is JSON. The system is not asked to fail: functions of ``os`` are replaced before the
package is loaded, so that no compiler and no root is needed.
"""

import errno
import itertools
import json
import os
import resource
import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def refuse(code: str, **_: Any) -> None:
    """Fail as the system would, with a code such as ``ENOSPC``."""
    number = getattr(errno, code)
    raise OSError(number, os.strerror(number))


def kill(**_: Any) -> None:
    """End at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def limit(of: str, room: int, **_: Any) -> None:
    """Take away what is beyond some room: bytes, or files, beside what is used now."""
    used = {
        "AS": lambda: 4096 * int(Path("/proc/self/statm").read_text().split()[0]),
        "NOFILE": lambda: len(os.listdir("/proc/self/fd")),
    }.get(of, lambda: 0)
    name = getattr(resource, f"RLIMIT_{of}")
    resource.setrlimit(name, (used() + room, resource.getrlimit(name)[1]))


ACTS: dict[str, Callable[..., None]] = {"refuse": refuse, "kill": kill, "limit": limit}


def inject(act: str, calls: list[str], at: int, until: int | None = None, **how: Any) -> None:
    """From the call number ``at`` on, and up to ``until``, act before it is made."""
    numbers = itertools.count(1)
    act_now = ACTS[act]
    last = at if until is None else until

    def hit(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if at <= next(numbers) <= last:
                act_now(**how)
            return function(*arguments, **options)

        return call

    for name in calls:
        setattr(os, name, hit(getattr(os, name)))


def main() -> None:
    """Run the command with the fault of the first argument."""
    fault = json.loads(sys.argv[1])
    sys.argv = ["pgbench", *sys.argv[2:]]
    if fault.get("at") == 0:
        ACTS[fault["act"]](**fault)
    elif fault:
        inject(**fault)
    runpy.run_module("pgbench", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
