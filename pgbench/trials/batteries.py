"""Every battery: its problems, and what is known on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pgbench.trials import battery
from pgbench.trials.case import CONTINUOUS, GENERAL, PLAIN, SEQUENCES, Case, Laboratory
from pgbench.trials.continuous.cases import laboratory_cases
from pgbench.trials.continuous.known import known_functions
from pgbench.trials.known_estimators import KnownEstimator
from pgbench.trials.known_records import known_records


@dataclass(frozen=True)
class Battery:
    """Problems of a kind, and known estimators on them.

    cases, known
        Functions of a laboratory of this battery. ValueError for a sampler or an objective that
        there is not, or not there.
    """

    cases: Callable[[Laboratory], Sequence[Case]]
    known: Callable[[Laboratory], Sequence[KnownEstimator]]


FINITE = Battery(battery.cases, known_records)

BATTERIES = {
    GENERAL: FINITE,
    SEQUENCES: FINITE,
    CONTINUOUS: Battery(laboratory_cases, known_functions),
}


def cases(laboratory: Laboratory = PLAIN) -> Sequence[Case]:
    """The problems of a laboratory's battery; made once."""
    return BATTERIES[laboratory.battery].cases(laboratory)


def every_known(laboratory: Laboratory = PLAIN) -> Sequence[KnownEstimator]:
    """Known estimators and mistakes on a battery; they remember their estimates."""
    return BATTERIES[laboratory.battery].known(laboratory)
