"""An audit: functions of installed libraries judged, each library in a process of its own."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import replace

from pgbench.harness.child import Child, ChildError
from pgbench.trials.audit.adapters import Adapter
from pgbench.trials.audit.entry import Entry, judged

LONGEST = 300.0
"""Seconds that a function may take, its library's import included."""


def entries(adapter: Adapter) -> list[Entry]:
    """A blank entry for each function of an installed library."""
    return [
        Entry(
            adapter.library, adapter.distribution, adapter.version or "", f.name, f.summary, f.note
        )
        for f in adapter.functions
    ]


def audit(
    every: Sequence[Adapter],
    workers: int = 1,
    replicates: int | None = None,
    say: Callable[[Entry], None] = lambda entry: None,
) -> list[Entry]:
    """The entries of all functions of the installed ones of these libraries, in their order.

    Each worker takes a library after another, in a process of its own: what a function does to it
    is a failed entry, and the next one has a new process. ``say`` hears of each as it is judged.
    """
    installed = [adapter for adapter in every if adapter.version is not None]
    turn = threading.Lock()

    def heard(entry: Entry) -> None:
        with turn:
            say(entry)

    # The longest first, so that workers end together.
    order = sorted(installed, key=lambda adapter: -len(adapter.functions))
    with ThreadPoolExecutor(workers) as pool:
        waiting = {pool.submit(_library, one, replicates, heard): one for one in order}
        found = {waiting[done].library: done.result() for done in as_completed(waiting)}
    return [entry for adapter in installed for entry in found[adapter.library]]


def _library(adapter: Adapter, replicates: int | None, say: Callable[[Entry], None]) -> list[Entry]:
    found = []
    with closing(Child()) as child:
        for blank in entries(adapter):
            try:
                arguments = adapter.path, blank, replicates
                entry = child.perform(judged, *arguments, seconds=LONGEST)
            except ChildError as error:
                entry = replace(blank, verdict=str(error))
            except Exception as error:
                # What is wrong in here must not take along what is known of the others.
                entry = replace(
                    blank, verdict=f"failed in pgbench: {type(error).__name__}: {error}"
                )
            say(entry)
            found.append(entry)
    return found
