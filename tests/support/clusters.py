"""Schedulers, workers and runs as processes on this machine, which can be disturbed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from xarray import DataTree

from pgbench.results import dataset as results

PACKAGE = Path(results.__file__).parents[2]

PATIENCE = 120
"""Seconds that anything has."""


@dataclass
class Process:
    """A process in a session of its own, and the file of what it prints."""

    handle: subprocess.Popen[bytes]
    file: Path

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return self.file.read_text(encoding="utf-8")

    def send(self, number: signal.Signals, *, to_all: bool = False) -> None:
        """Send it a signal, or to all of its group, as a terminal does."""
        (os.killpg if to_all else os.kill)(self.handle.pid, number)

    def code(self) -> int:
        """Its exit code, once it has ended."""
        return self.handle.wait(PATIENCE)

    @property
    def group(self) -> list[int]:
        """Numbers of the processes of its group that have not ended."""
        self.handle.poll()  # or one that has ended would be there until somebody asks
        found = subprocess.run(
            ["pgrep", "-g", str(self.handle.pid)], capture_output=True, text=True, check=False
        )
        return [int(line) for line in found.stdout.split()]

    def end(self) -> None:
        """Kill what is left of its group."""
        for number in self.group:
            os.kill(number, signal.SIGKILL)
        self.handle.wait()


class Site:
    """A folder in which grids are run; with the block all processes end.

    Parameters
    ----------
    root
        The folder.
    grid
        Text of a grid called t.
    """

    def __init__(self, root: Path, grid: str) -> None:
        self.root = root
        self.grid = root / "grid.yaml"
        self.grid.write_text(grid, encoding="utf-8")
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for process in self._processes:
            if error is not None:
                print(f"--- {process.file}\n{process.printed[-3000:]}")
            process.end()

    def start(self, *words: Any, cwd: Path | None = None, **environment: str) -> Process:
        """A process of this interpreter."""
        file = self.root / f"{len(self._processes)}.log"
        place = {"PYTHONPATH": str(PACKAGE), "OMP_NUM_THREADS": "1", **environment}
        with file.open("wb") as out:
            handle = subprocess.Popen(
                [sys.executable, "-m", *map(str, words)],
                stdout=out,
                stderr=out,
                cwd=cwd or self.root,
                env={**os.environ, **place},
                start_new_session=True,
            )
        self._processes.append(Process(handle, file))
        return self._processes[-1]

    def scheduler(self) -> tuple[Process, str]:
        """A scheduler that answers, and its address."""
        port = free_port()
        own = ["--host", "127.0.0.1", "--port", port, "--no-dashboard"]
        process = self.start("dask", "scheduler", *own)
        wait_for(lambda: answers(port))
        return process, f"tcp://127.0.0.1:{port}"

    def worker(
        self, address: str, *options: str, cwd: Path | None = None, **environment: str
    ) -> Process:
        """A worker of a scheduler, with one thread of Dask's unless options say otherwise."""
        own = ["--host", "127.0.0.1", "--no-dashboard", "--local-directory", self.root / "space"]
        threads = [] if "--nthreads" in options else ["--nthreads", "1"]
        environment = {"NUMBA_NUM_THREADS": "1", **environment}
        return self.start(
            "dask", "worker", address, *own, *threads, *options, cwd=cwd, **environment
        )

    def run(self, *options: Any, output: str = "o") -> Process:
        """A run of the grid."""
        own = ["--output", self.root / output, "--no-report"]
        return self.start("pgbench", "run", self.grid, *own, *options)

    def lines(self, output: str = "o") -> int:
        """Lines of a run's journal so far."""
        path = self.root / output / "t" / "journal.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def underway(self, output: str = "o", lines: int = 6) -> None:
        """Wait until a run has written something, and has not ended."""
        wait_for(lambda: self.lines(output) >= lines)

    def tree(self, output: str = "o") -> DataTree:
        """The dataset of a run."""
        return results.read_noted(self.root / output / "t")[0]


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        port: int = own.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether somebody listens to a port."""
    with socket.socket() as own:
        return own.connect_ex(("127.0.0.1", port)) == 0
