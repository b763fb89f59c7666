"""Tests of tables: no digit is cut at any width, and formats hold what the table does."""

import csv
import io
import json
import re

import pytest

from pgbench.cli.tables import (
    WRITERS,
    Column,
    Table,
    print_table,
    rounded,
    with_error,
    with_interval,
)

ROWS = [
    {
        "problem": problem,
        "estimator": estimator,
        "bias": bias,
        "bias_low": 0.0,
        "bias_high": 0.25,
        "variance": 1234.5678 * bias,
        "variance_se": 1.5,
        "seconds": 1.25e-5,
    }
    for problem in ("garnet[n_states=10]", "a_b|c & 5 %")
    for estimator, bias in (
        ("gae[lam=0.95, critic_noise=0.123456, discounted=false]", 0.125),
        ("td", -0.5),
    )
]
TABLE = Table(
    "all of it",
    ("problem",),
    ("estimator",),
    (
        Column("bias / ‖∇J‖", ("bias", "bias_low", "bias_high"), 0, with_interval("bias")),
        Column("s", ("seconds",), 2, rounded("seconds")),
        Column("variance", ("variance", "variance_se"), 1, with_error("variance")),
    ),
    ROWS,
)


def printed(capsys, monkeypatch, width):
    monkeypatch.setattr("rich.console.Console.is_terminal", property(lambda self: True))
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")  # rich takes a dumb terminal to have 80 columns
    print_table(TABLE)
    return re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)


@pytest.mark.parametrize("width", [20, 40, 80, 100, 200])
def test_numbers_are_whole_at_any_width(capsys, monkeypatch, width):
    text = printed(capsys, monkeypatch, width)
    assert max(map(len, text.splitlines())) <= max(width, 80)
    assert "…" not in text
    for row in ROWS:
        for column in TABLE.columns:
            if f"no room for: {column.title}" not in text:
                assert column.of(row) in text
    assert "0.12 [0, 0.25]" in text


def test_what_has_no_room_is_named(capsys, monkeypatch):
    monkeypatch.setattr("pgbench.cli.terminal.NARROWEST", 40)
    text = printed(capsys, monkeypatch, 60)
    assert "no room for: s; a wider terminal or --format shows them" in " ".join(text.split())
    assert "1.3e-05" not in text
    assert "no room" not in printed(capsys, monkeypatch, 120)


def test_a_norm_below_zero_is_shown_as_the_end_of_its_interval():
    assert TABLE.columns[0].of(ROWS[1]) == "0 [0, 0.25]"
    assert TABLE.columns[0].of({"bias": 3.0, "bias_low": float("nan"), "bias_high": 1.0}) == "3"


def test_csv_and_json_have_every_digit():
    rows = list(csv.DictReader(io.StringIO(WRITERS["csv"](TABLE))))
    assert [float(row["variance"]) for row in rows] == [row["variance"] for row in ROWS]
    assert [row["problem"] for row in rows] == [row["problem"] for row in ROWS]
    assert json.loads(WRITERS["json"](TABLE)) == [
        {key: row[key] for key in rows[0]} for row in ROWS
    ]


def test_what_is_not_known_is_empty_or_null():
    table = Table("", (), ("e",), (Column("x", ("x",), 0),), [{"e": "a", "x": float("nan")}])
    assert WRITERS["csv"](table) == "e,x\na,\n"
    assert json.loads(WRITERS["json"](table)) == [{"e": "a", "x": None}]
    assert WRITERS["markdown"](table) == "| e | x |\n| --- | --: |\n| a | — |\n"


def test_markdown_has_a_cell_per_label_and_column():
    lines = WRITERS["markdown"](TABLE).splitlines()
    assert len(lines) == 2 + len(ROWS)
    assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {2 + 5}
    assert r"a_b\|c & 5 %" in lines[-1]


def test_latex_has_no_character_that_it_reads_as_its_own():
    text = WRITERS["latex"](TABLE)
    assert r"a\_b|c \& 5 \% & td & 0 [0, 0.25] & $1.3 \cdot 10^{-5}$ &" in text
    assert r"bias / $\|\nabla$J$\|$ & s & variance \\" in text
    assert text.startswith("\\begin{tabular}{llrrr}\n\\toprule\n")
    assert text.isascii()


def test_what_all_rows_share_is_told_once(capsys):
    rows = [row | {"step_size": "0.1"} for row in ROWS]
    columns = (Column("s", ("seconds",), 0),)
    print_table(Table("t", ("problem",), ("estimator", "step_size"), columns, rows))
    printed = capsys.readouterr().out
    assert printed.count("0.1\n") == 1
    assert "step size: 0.1" in printed


def test_a_table_without_rows_says_so(capsys):
    print_table(Table("t", ("problem",), ("estimator",), TABLE.columns, []))
    assert capsys.readouterr().out == "t\nnothing was measured\n"
