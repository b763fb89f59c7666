"""The page of grid files says what the reader takes."""

import re
from pathlib import Path

import pytest

from pgbench.ascent import algorithms, step_sizes
from pgbench.grid.grid import MORE
from pgbench.grid.json_schema import schema
from pgbench.grid.plan import settings
from pgbench.grid.reader import parse_grid
from pgbench.grid.reference import markdown
from pgbench.policies import kinds
from pgbench.problems import families

PAGE = markdown()
EXAMPLES = {
    name: text
    for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    if (name := text.partition("\n")[0].removeprefix("name: "))
}


def section(title):
    """What stands below a heading, to the next one of its rank or above."""
    text = PAGE.partition(f"\n## {title}\n")[2]
    assert text
    return text.partition("\n## ")[0]


def keys(text):
    """Keys of the first table of a text, in order."""
    table = text[text.index("| key |") :].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)`", table, re.MULTILINE)


def test_the_page_is_up_to_date():
    """Else: python -m pgbench schema --markdown > docs/grid.md."""
    page = Path(__file__).parents[2] / "docs" / "grid.md"
    assert page.read_text(encoding="utf-8") == PAGE + "\n"


def test_tables_have_every_key_of_the_schema():
    top = schema()["properties"]
    assert sorted(keys(section("Keys"))) == sorted(top)
    assert sorted(keys(section("`theta`"))) == sorted(top["theta"]["anyOf"][0]["properties"])
    assert sorted(keys(section("`ascent`"))) == sorted(top["ascent"]["properties"])


@pytest.mark.parametrize(
    ("title", "records"),
    [
        ("`problems`", families()),
        ("`policies`", kinds()),
        *((f"`{axis}s`", records()) for axis, records in MORE.items()),
        ("`ascent`", algorithms()),
        ("`ascent`", step_sizes()),
    ],
)
def test_every_record_has_its_parameters(title, records):
    for record in records.values():
        (found,) = re.findall(
            rf"^\*\*`{record.name}`\*\*: (.*?)(?=^\*\*`|^#|\Z)",
            section(title),
            re.MULTILINE | re.DOTALL,
        )
        random = ["instances"] * (title == "`problems`" and "seed" in record.parameters)
        rows = re.findall(r"^\| `(\w+)`", found, re.MULTILINE)
        assert rows == [*record.parameters, *random]
        assert found.startswith(f"{record.summary} Source: {record.reference}.")


def test_rows_have_four_cells():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {6}


def test_a_row_says_all_that_is_declared():
    row = (
        "| `n_features` | an integer ≥ 1 | 8 | number d of random features |",
        "| `n_states` | an integer ≥ 1 |  | number of states S |",
        "| `seed` | an integer in [0, 9.22337e+18], or a list | none | one draw of θ or another,"
        " with the run's seed |",
        "| `entropy` | a number ≥ 0 | 0 | τ: rewards are r - τ log π(a\\|s), unit reward |",
    )
    assert all(f"\n{line}\n" in PAGE for line in row)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_grids(name):
    assert parse_grid(EXAMPLES[name]).name == name


def test_what_is_said_of_examples_holds():
    plan = settings(parse_grid(EXAMPLES["mine"]))
    assert (len(plan), sum(len(setting.cells) for setting in plan)) == (18, 270)
    assert len(parse_grid(EXAMPLES["thetas"]).axes["theta"]) == 6
    names = [problem.name for problem in parse_grid(EXAMPLES["problems"]).problems]
    assert names == ["riverswim", *["garnet"] * 6, "lqg"]
    assert len(parse_grid(EXAMPLES["seeds"]).axes["seed"]) == 3
