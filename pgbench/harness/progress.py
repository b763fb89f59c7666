"""Progress of a run: bars on a terminal and in notebooks, plain lines elsewhere, or nothing."""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, TextIO


class Silent:
    """Reports nothing; the interface of the others."""

    def note(self, text: str) -> None:
        """Something unusual that the user should know."""

    def phase(self, name: str) -> None:
        """A phase other than measuring begins."""

    def start(self, n_settings: int, n_cells: int, work: float) -> None:
        """Measuring begins: so many settings and cells; what they take, in environment steps."""

    def setting(self, label: str) -> None:
        """Something of a setting begins."""

    def batch(self, n_cells: int, steps: float) -> None:
        """Cells were finished, and so many environment steps taken."""

    def problem(self, label: str, n_cells: int, status: str, message: str) -> None:
        """Cells of a setting failed or were skipped."""

    def advance(self, work: float) -> None:
        """So much of the work is done."""

    def done(self, label: str, seconds: float, steps: float) -> None:
        """A setting ends, for which somebody worked so long and took so many steps."""

    def end(self, sentence: str) -> None:
        """The run is over; what became of it."""


Progress = Silent


def duration(seconds: float) -> str:
    """A duration in words, such as ``1 min 05 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s"
        if minutes < 60
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )


def rate(steps: float, seconds: float) -> str:
    """Environment steps per second in words."""
    return f"{steps / max(seconds, 1e-9) / 1e6:.1f} M steps/s"


class Telling(Silent, ABC):
    """Tells why cells have no numbers: a reason when it is first met, and at the end how often."""

    def __init__(self) -> None:
        self.reasons: dict[tuple[str, str], list[int]] = {}

    @abstractmethod
    def _say(self, text: str) -> None:
        """Tell a line."""

    def note(self, text: str) -> None:
        """Something unusual that the user should know."""
        self._say(f"note: {text}")

    def problem(self, label: str, n_cells: int, status: str, message: str) -> None:
        """Cells failed or were skipped."""
        counts = self.reasons.setdefault((status, message), [])
        if not counts:
            self._say(f"{label}: {n_cells} cells {status}: {message}")
        counts.append(n_cells)

    def end(self, sentence: str) -> None:
        """The run is over."""
        for (status, message), counts in self.reasons.items():
            if len(counts) > 1:
                self._say(f"in all {sum(counts)} cells {status}: {message}")


def time_left(begin: float, finished: float, total: float) -> str:
    """How much longer it takes in words, at the pace since the beginning."""
    seconds = time.perf_counter() - begin
    return f"about {duration(max(seconds * (total / max(finished, 1.0) - 1), 0.0))} left"


class Lines(Telling):
    """One plain line per setting."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self.stream = stream or sys.stderr
        self.begin = time.perf_counter()
        self.total = self.finished = 0.0
        self.number = self.n_settings = 0

    def _say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def phase(self, name: str) -> None:
        """A phase other than measuring begins."""
        self._say(f"{name} ...")

    def start(self, n_settings: int, n_cells: int, work: float) -> None:
        """Measuring begins."""
        self.begin, self.total, self.n_settings = time.perf_counter(), work, n_settings
        self._say(f"measuring {n_cells} cells in {n_settings} settings")

    def advance(self, work: float) -> None:
        """So much of the work is done."""
        self.finished += work

    def done(self, label: str, seconds: float, steps: float) -> None:
        """A setting ends."""
        self.number += 1
        left = time_left(self.begin, self.finished, self.total)
        self._say(
            f"[{self.number}/{self.n_settings}] {label}: {duration(seconds)},"
            f" {rate(steps, seconds)}, {left}"
        )


class Bars(Telling):
    """A live progress bar with the rate and the time left."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.bar = RichProgress(
            TextColumn("{task.description}", table_column=None),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[cells]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.task: Any = None
        self.begin = time.perf_counter()
        self.steps = 0.0
        self.cells = self.n_cells = 0

    def __enter__(self) -> "Bars":
        self.bar.start()
        return self

    def __exit__(self, *details: Any) -> None:
        self.bar.stop()

    def _say(self, text: str) -> None:
        self.bar.console.print(text, markup=False)

    def phase(self, name: str) -> None:
        """A phase other than measuring begins."""
        self._say(f"{name} ...")

    def start(self, n_settings: int, n_cells: int, work: float) -> None:
        """Measuring begins."""
        self.begin, self.n_cells = time.perf_counter(), n_cells
        self.task = self.bar.add_task("", total=work, cells="", rate="")

    def setting(self, label: str) -> None:
        """Something of a setting begins."""
        if self.task is not None:
            self.bar.update(self.task, description=label[:60].replace("[", "\\["))

    def batch(self, n_cells: int, steps: float) -> None:
        """Cells were finished."""
        self.steps += steps
        self.cells += n_cells
        self.bar.update(
            self.task,
            cells=f"{self.cells}/{self.n_cells} cells",
            rate=rate(self.steps, time.perf_counter() - self.begin),
        )

    def advance(self, work: float) -> None:
        """So much of the work is done."""
        self.bar.advance(self.task, work)


class Notebook(Telling):
    """A bar with the setting, the cells and the time left; notes stay below it."""

    def __init__(self) -> None:
        super().__init__()
        import IPython.display  # there, or nobody would be in a notebook

        shown: Any = IPython.display
        self._html = shown.HTML
        self._display = shown.display(shown.HTML(""), display_id=True)
        self.begin = time.perf_counter()
        self.label, self.lines = "", list[str]()
        self.total = self.finished = self.steps = 0.0
        self.cells = self.n_cells = 0

    def _draw(self, state: str) -> None:
        bar = f'<progress value="{self.finished:.0f}" max="{max(self.total, 1.0):.0f}"></progress>'
        lines = [f"{bar} {escape(state)}", *map(escape, self.lines)]
        self._display.update(self._html("<br>".join(lines)))

    def _measuring(self) -> None:
        seconds = time.perf_counter() - self.begin
        left = time_left(self.begin, self.finished, self.total)
        done = f"{self.cells} of {self.n_cells} cells, {rate(self.steps, seconds)}"
        self._draw(f"{done}, {left}: {self.label}")

    def _say(self, text: str) -> None:
        self.lines.append(text)

    def phase(self, name: str) -> None:
        """A phase other than measuring begins."""
        self._draw(f"{name} ...")

    def end(self, sentence: str) -> None:
        """The run is over."""
        super().end(sentence)
        self.finished = self.total
        self._draw(sentence)

    def start(self, n_settings: int, n_cells: int, work: float) -> None:
        """Measuring begins."""
        self.begin, self.n_cells, self.total = time.perf_counter(), n_cells, work
        self._draw(f"measuring {n_cells} cells in {n_settings} settings")

    def setting(self, label: str) -> None:
        """Something of a setting begins."""
        self.label = label

    def batch(self, n_cells: int, steps: float) -> None:
        """Cells were finished."""
        self.cells += n_cells
        self.steps += steps
        self._measuring()

    def advance(self, work: float) -> None:
        """So much of the work is done."""
        self.finished += work
        self._measuring()


@contextmanager
def showing(wanted: bool | None) -> Iterator[Progress]:
    """Where a run reports: in a notebook below its cell, with bars on a terminal, else in lines.

    Without a wish for or against it nothing is reported but in notebooks, where somebody waits.
    """
    from rich.console import Console

    if wanted is not False and Console().is_jupyter:
        yield Notebook()
    elif not wanted:
        yield Silent()
    elif sys.stderr.isatty():
        with Bars() as bars:
            yield bars
    else:
        yield Lines()
