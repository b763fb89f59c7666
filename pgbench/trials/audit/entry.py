"""What an audit says of one function, as a record that machines can read."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from pgbench.functions.result import UserError
from pgbench.trials.audit.parts import parts_of_bias
from pgbench.trials.examination import Examination, examine
from pgbench.trials.findings import State
from pgbench.trials.wording.conclusion import conclusion
from pgbench.trials.wording.resemblance import equal

FAILED = "failed"
"""The decision on what could not be called."""


@dataclass(frozen=True)
class Entry:
    """A function of a library, judged.

    Attributes
    ----------
    library, distribution, version, function, summary, note
        Whose it is, what it calls with which options, and what else is to be known of it.
    claims
        What the adapter declares of it; empty where that is to be unbiased.
    decision, as_claimed
        One of ``Decision``'s values, or ``failed``; and whether it is what is claimed.
    verdict
        In a sentence.
    known_as
        The estimator of the suite that it equals, estimate by estimate, or nothing.
    bias
        The largest relative bias that was seen on a problem; None where none was.
    parts
        By cause of bias the largest part over the problems, relative to the gradient, exactly; of
        what equals an estimator of the suite.
    replicates, seconds
        Estimates on each problem and size, and what the verdict took.
    """

    library: str
    distribution: str
    version: str
    function: str
    summary: str
    note: str = ""
    claims: str = ""
    decision: str = FAILED
    as_claimed: bool = False
    verdict: str = ""
    known_as: str = ""
    bias: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    replicates: int = 0
    seconds: float = 0.0

    @property
    def json(self) -> dict[str, Any]:
        """The record as JSON has it."""
        return asdict(self)


def judged(path: Path, entry: Entry, replicates: int | None = None) -> Entry:
    """The entry with what is found of its function."""
    begin = time.perf_counter()
    try:
        found = examine(path, entry.function, replicates, notices=StringIO())
    except UserError as error:
        said = str(error).removeprefix(f"{path.name}: ")
        changes: dict[str, Any] = {"verdict": said}
    else:
        changes = _said(found)
    return replace(entry, seconds=round(time.perf_counter() - begin, 1), **changes)


def _said(found: Examination) -> dict[str, Any]:
    verdict = found.verdict
    seen = [f.size for f in verdict.findings if f.state is State.SEEN and np.isfinite(f.size)]
    same = [one.known for one in equal(found)]
    return {
        "claims": verdict.claims.words,
        "decision": verdict.decision.value,
        "as_claimed": found.passed,
        "verdict": conclusion(found).removeprefix(f"{found.own.words} "),
        "known_as": same[0].name if same else "",
        "bias": max(seen, default=None),
        "parts": parts_of_bias(same[0], verdict.results) if same else {},
        "replicates": found.replicates,
    }
