"""A grid with whatever mistakes is a grid, or an error that says where and what is wrong."""

import re

import pytest

from pgbench.declared.messages import LONGEST_LINE, MOST_LINES
from pgbench.grid.plan import settings
from pgbench.grid.reader import GridError, parse_grid
from tests.support.mutated_grids import SHIPPED, mutated

MANY = 2000
"""Cells whose keys are not looked at, for the time that takes."""

LINE = re.compile(rf"grid\.yaml:\d+:\d+: .{{1,{LONGEST_LINE + 300}}}", re.DOTALL)


def keys(grid):
    """The keys of a grid's cells, up to many."""
    n_cells = len(grid.problems) * len(grid.policies) * len(grid.estimators) * len(grid.batch_sizes)
    if n_cells > MANY:
        return []
    plan = settings(grid)
    return [cell.key for one in plan for cell in (*one.cells, *one.ascents)]


def judged(seed):
    """What became of a mutated grid: nothing wrong, or a word for what is."""
    text = mutated(seed)
    try:
        grid = parse_grid(text)
    except GridError as error:
        lines = str(error).split("\n")
        wrong = [line for line in lines[:MOST_LINES] if not LINE.fullmatch(line)]
        assert wrong == [], f"seed {seed}\n{text}"
        assert len(lines) <= MOST_LINES + 1, f"seed {seed}\n{text}"
        str(error).encode()
        return "refused"
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error!r}\n{text}") from error
    try:
        found = keys(grid)
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error!r}\n{text}") from error
    assert all(re.fullmatch("[0-9a-f]{32}", key) for key in found), f"seed {seed}\n{text}"
    return "read"


@pytest.mark.parametrize("seeds", [range(200), pytest.param(range(10_000), marks=pytest.mark.slow)])
def test_a_mutated_grid_is_read_or_refused_in_located_sentences(seeds):
    outcomes = [judged(seed) for seed in seeds]
    for outcome in ("read", "refused"):
        assert outcomes.count(outcome) > len(seeds) / 20


def test_there_are_grids_to_mutate():
    assert len(SHIPPED) > 10
    assert len({mutated(seed) for seed in range(50)}) > 45
