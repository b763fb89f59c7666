"""By what, where and when results were made."""

import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pgbench import __version__
from pgbench.declared.sources import shared_digest


def provenance(
    threads: int, seconds: float, steps: float, gpu: str = "", libraries: Iterable[str] = ()
) -> dict[str, Any]:
    """Attributes that say by what, where and when results were made; of more libraries if named."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": _revision(),
        "cpu": _cpu(),
        "threads": threads,
        "gpu": gpu or "none",
        "wall_time_s": round(seconds, 3),
        "environment_steps": steps,
        "python": platform.python_version(),
        **{
            f"{name.replace('-', '_')}_version": _version(name)
            for name in (
                "pgbench",
                "numpy",
                "scipy",
                "numba",
                "xarray",
                *["numba-cuda"] * bool(gpu),
                *libraries,
            )
        },
    }


@cache
def versions() -> dict[str, str]:
    """Versions of what numbers depend on; pgbench's with a digest of its files."""
    found = {name: _version(name) for name in ("numba", "numpy", "scipy")}
    return {"pgbench": f"{__version__} with sources {shared_digest('**/*.py')[:8]}", **found}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _revision() -> str:
    """Commit of the working tree that this package lies in, with -dirty if changed, or unknown."""
    try:
        answer = subprocess.run(
            [
                "git",
                "-C",
                str(Path(__file__).parent),
                "describe",
                "--always",
                "--dirty",
                "--exclude=*",
            ],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip() or "unknown"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()} ({os.cpu_count()} cores)"
