"""A process with a fixed number of cores, in which contenders are checked and timed.

Every library takes as many threads as its process has cores, so they are set once, here, before
anything is imported, and no library needs to be told.
"""

import multiprocessing
import os
import traceback
from time import perf_counter


class WorkerError(RuntimeError):
    """What went wrong in the process, with its traceback."""


class Worker:
    """The process, seen from outside: attributes of ``Bench`` become calls to it."""

    def __init__(self, threads):
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        self._process = context.Process(target=_serve, args=(end, threads), daemon=True)
        self._process.start()
        end.close()

    def __getattr__(self, name):
        def call(*arguments):
            self._pipe.send((name, arguments))
            try:
                answer, error = self._pipe.recv()
            except EOFError:
                raise WorkerError(f"the process died in {name}{arguments}") from None
            if error:
                raise WorkerError(error)
            return answer

        return call

    def stop(self):
        """End the process."""
        self._process.terminate()
        self._process.join()


class Bench:
    """The contenders at one size."""

    def open(self, n_states):
        """Make the workload; the contenders of the last size are forgotten."""
        from benchmarks.peers.workload import make_workload

        self.runs, self.laps = {}, {}
        self.workload = make_workload(n_states)

    def prepare(self, name):
        """Make a contender and call it once, which compiles it."""
        from benchmarks.peers.contenders import CONTENDERS

        self.runs[name] = CONTENDERS[name].make(self.workload)
        self.runs[name](CONTENDERS[name].batch, 0)

    def check(self, name):
        """Hold a contender against the exact answer."""
        from benchmarks.peers.contenders import CONTENDERS
        from benchmarks.peers.verify import check

        contender = CONTENDERS[name]
        n = contender.check_batches * contender.batch
        return check(self.workload, self.runs[name], contender.gives, n)

    def calibrate(self, name, seconds):
        """Set the lap of a contender so that it takes about so long; the number of trajectories."""
        from benchmarks.peers.contenders import CONTENDERS

        batch = CONTENDERS[name].batch
        batches = 1
        while (taken := self._time(name, batches * batch, 0)) < seconds / 4:
            batches *= 2
        self.laps[name] = max(1, round(batches * seconds / taken)) * batch
        return self.laps[name]

    def lap(self, name, seed):
        """Nanoseconds per environment step of one lap."""
        n = self.laps[name]
        return 1e9 * self._time(name, n, seed) / (n * self.workload.horizon)

    def _time(self, name, n, seed):
        begin = perf_counter()
        self.runs[name](n, seed)
        return perf_counter() - begin


def _serve(pipe, threads):
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    bench = Bench()
    while True:
        try:
            name, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((getattr(bench, name)(*arguments), None))
        except Exception:
            pipe.send((None, traceback.format_exc()))
