"""What it costs to share a grid among workers: ``python -m benchmarks.scale_out``.

Three parts. The overhead of a call is what a run of very many very small ones takes on one worker
beyond the work itself. Efficiency is the time of one process with all threads over that of workers
with as many threads in all, measured in turns. Growth is simulated: workers that take tasks of the
measured lengths from one client, which needs the measured time for each, and then publishes; it
says what a run spends its time on, and which part that is not work becomes the longest first.
"""

import argparse
import heapq
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from unittest.mock import patch

import numpy as np

from benchmarks.growth import alone, make_run, publish, report
from pgbench.grid.plan import settings
from pgbench.grid.reader import parse_grid
from pgbench.harness.cluster import performer as of_workers
from pgbench.harness.cluster.performer import by_workers, tasks_per_call
from pgbench.harness.cluster.workers import Workers
from pgbench.harness.measuring import Conditions
from pgbench.harness.performing import Here, Order
from pgbench.harness.progress import Silent
from pgbench.harness.runner import execute
from pgbench.harness.tasks import tasks, unfinished
from pgbench.results.lines import LineFile
from pgbench.rollout.device import CPU

SMALL = """
name: small
problems: [{problem: bandit, n_actions: 2, instances: INSTANCES}]
policies: softmax
estimators: [reinforce]
batch_sizes: [1]
replicates: 20
"""
"""A task for every instance, of next to no work."""

WORK = """
name: work
problems: [{problem: garnet, n_states: [20, 100], gamma: 0.95, instances: 2}]
policies: [softmax, {policy: loglinear, n_features: 8}]
estimators: [reinforce, reward_to_go, baseline_value, td, rloo]
batch_sizes: [1, 16, 256]
horizon: 100
replicates: 4000
"""

WORKERS = (10, 100, 1000, 10_000)
CELLS = (10**3, 10**4, 10**5, 10**6)
NAMES = ("work", "calls", "journal", "plan", "dataset", "report")
"""Stages of a run; calls are what client, scheduler and the disk cost beyond the work."""


@dataclass(frozen=True)
class Costs:
    """Measured seconds.

    dispatch, append
        Of client and scheduler, and of the journal, per call of a worker.
    record, plan, dataset
        Of the journal, the plan, and of making the dataset, per cell.
    report
        Of the report of many cells.
    """

    dispatch: float
    append: float
    record: float
    plan: float
    dataset: float
    report: float


def small_tasks(instances: int) -> list:
    """Tasks of next to no work."""
    plan = settings(parse_grid(SMALL.replace("INSTANCES", str(instances))))
    return unfinished(tasks(plan), {})


def lap(performer, todo: list) -> tuple[float, list[float]]:
    """Seconds of performing tasks, and of each of them, nothing written."""
    lengths, begin = [], perf_counter()
    for done in performer.performed(todo, lambda key: None, Silent()):
        for _ in done.batches:
            pass
        lengths.append(done.seconds)
    return perf_counter() - begin, lengths


def overhead(instances: int, rounds: int) -> tuple[float, float]:
    """Seconds that a small task takes in this process, and what a call of a worker adds to it."""
    with patch.object(of_workers, "tasks_per_call", lambda *of: 1):
        return _overhead(instances, rounds)


def _overhead(instances: int, rounds: int) -> tuple[float, float]:
    order, todo = Order(Conditions(1, None, CPU)), small_tasks(instances)
    with Here(order) as here, by_workers(Workers(1))(order, todo) as cluster:
        for performer in (here, cluster):
            performer.prepare(todo, Silent())
            lap(performer, todo[:20])
        own, added = [], []
        for _ in range(rounds):
            own.append(lap(here, todo)[0] / len(todo))
            wall, lengths = lap(cluster, todo)
            added.append((wall - sum(lengths)) / len(todo))
    return median(own), median(added)


def efficiency(rounds: int) -> dict[str, list[float]]:
    """Seconds of the same run by threads, by one and by two workers, in turns."""
    grid, cores = parse_grid(WORK), os.cpu_count() or 1
    order = Order(Conditions(None, None, CPU))
    todo = unfinished(tasks(settings(grid)), {})
    ways: dict[str, Callable] = {
        f"one process, {cores} threads": lambda order, tasks: Here(order),
        f"1 worker, {cores} threads": by_workers(Workers(1)),
        f"{cores} workers, 1 thread each": by_workers(Workers(cores)),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, make in ways.items():
            with tempfile.TemporaryDirectory() as folder, make(order, todo) as performer:
                performer.prepare(todo, Silent())
                lap(performer, small_tasks(4))
                begin = perf_counter()
                execute(grid, Path(folder), performer=_given(performer))
                found[name].append(perf_counter() - begin)
    return found


def _given(performer) -> Callable:
    """What makes a performer that is there already, and leaves it."""
    from contextlib import nullcontext

    return lambda order, tasks: nullcontext(performer)


def appends() -> tuple[float, float]:
    """Seconds of an append to the journal with one record, and of each further record."""
    record = {
        "kind": "cell",
        "key": "0" * 32,
        "status": "done",
        "values": {"bias": 1.0, "variance": 2.0},
        "maps": {"mean_gradient": np.ones(40)},
    }
    with tempfile.TemporaryDirectory() as folder:
        file = LineFile(Path(folder) / "journal.jsonl")
        laps = {n: [] for n in (1, 101)}
        for _ in range(20):
            for n, own in laps.items():
                begin = perf_counter()
                file.append([record] * n)
                own.append(perf_counter() - begin)
    one, many = (median(own) for own in laps.values())
    return one, (many - one) / 100


def published(cells: int) -> tuple[float, float, float]:
    """Seconds per cell of the plan and of making the dataset, and of the report of them all."""
    with tempfile.TemporaryDirectory() as folder:
        directory = alone(make_run, cells, Path(folder))
        stages = {name: wall for name, wall, _, _ in alone(publish, directory)}
        ((_, drawn, _, _),) = alone(report, directory)
    plan = stages.pop("plan")
    return plan / cells, sum(stages.values()) / cells, drawn


def simulated(
    lengths: np.ndarray, n_tasks: int, workers: int, costs: Costs, together: bool
) -> float:
    """Seconds until the last of so many tasks is there: one client, and workers that wait for it.

    With ``together`` tasks are put together to calls.
    """
    drawn = np.random.default_rng(0).choice(lengths, n_tasks)
    busy: list[float] = []
    client, first = 0.0, 0
    while first < n_tasks:
        size = tasks_per_call(n_tasks - first, lengths.mean(), workers) if together else 1
        if len(busy) >= workers:
            client = max(client, heapq.heappop(busy))
        client += costs.dispatch + costs.append
        heapq.heappush(busy, client + float(drawn[first : first + size].sum()))
        first += size
    return max(client, max(busy))


def growth(
    lengths: np.ndarray, cells_per_task: float, costs: Costs, together: bool
) -> Iterator[tuple]:
    """Rows: cells, workers, seconds, and the seconds of each stage."""
    for cells in CELLS:
        n_tasks = max(1, round(cells / cells_per_task))
        fixed = {
            "plan": costs.plan * cells,
            "dataset": costs.dataset * cells,
            "report": costs.report * min(1.0, cells / CELLS[2]),
        }
        for workers in WORKERS:
            work = lengths.mean() * n_tasks / min(workers, n_tasks)
            spent = simulated(lengths, n_tasks, workers, costs, together)
            stages = {
                "work": min(work, spent),
                "calls": max(0.0, spent - work),
                "journal": costs.record * cells,
                **fixed,
            }
            yield cells, workers, spent + stages["journal"] + sum(fixed.values()), stages


def main() -> None:
    """Measure, simulate, and print three tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--tasks", type=int, default=300, help="small tasks, default: 300")
    parser.add_argument("--cells", type=int, default=20_000, help="published, default: 20 000")
    options = parser.parse_args()

    own, added = overhead(options.tasks, options.rounds)
    print(f"a task of {own * 1e3:.1f} ms here takes {added * 1e3:.1f} ms more as a worker's call")
    laps = efficiency(options.rounds)
    first = median(next(iter(laps.values())))
    for name, seconds in laps.items():
        print(f"{name:30}{median(seconds):8.1f} s   efficiency {first / median(seconds):.2f}")
    one, each = appends()
    plan, dataset, drawn = published(options.cells)
    costs = Costs(added, one, each, plan, dataset, drawn)
    print(
        f"client and scheduler {added * 1e3:.2f} ms a call; journal {one * 1e3:.2f} ms an append,"
        f" {each * 1e6:.0f} us a cell; plan {plan * 1e6:.0f} us, dataset {dataset * 1e6:.0f} us a"
        f" cell; report {drawn:.0f} s"
    )
    order, todo = Order(Conditions(1, None, CPU)), unfinished(tasks(settings(parse_grid(WORK))), {})
    with Here(order) as here:
        here.prepare(todo, Silent())
        lengths = np.array(lap(here, todo)[1])
    cells = sum(len(task.cells) for task in todo if task.finishes)
    print(f"tasks of {lengths.mean():.2f} s, of {cells / len(todo):.1f} cells each\n")
    for title, together in (("a call for every task", False), ("tasks put together", True)):
        print(f"{title}\n{'cells':>9}{'workers':>9}{'hours':>9}" + "".join(map(_right, NAMES)))
        for n, workers, seconds, stages in growth(lengths, cells / len(todo), costs, together):
            shares = "".join(_right(f"{stages[name] / seconds:.0%}") for name in NAMES)
            print(f"{n:>9}{workers:>9}{seconds / 3600:>9.3g}{shares}", flush=True)


def _right(text: str) -> str:
    return f"{text:>11}"


if __name__ == "__main__":
    main()
