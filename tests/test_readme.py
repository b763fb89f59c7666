"""The README tells the truth: its tables are made from the code."""

import re
from pathlib import Path

import pytest

from pgbench.cli.catalogue import markdown
from pgbench.declared.schema import schema_table
from pgbench.estimators import estimators
from pgbench.grid.reader import parse_grid
from pgbench.problems import FiniteMDP
from pgbench.problems.verifiers import VERIFIERS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SEQUENCES = (ROOT / "docs" / "sequences.md").read_text(encoding="utf-8")
CONTROL = (ROOT / "docs" / "control.md").read_text(encoding="utf-8")


def blocks(page, language):
    """Code of a page in a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_schema_table_is_the_schema():
    assert schema_table() in README


def test_the_page_of_estimators_is_up_to_date():
    """Else: python -m pgbench list estimators --markdown > docs/estimators.md."""
    page = (ROOT / "docs" / "estimators.md").read_text(encoding="utf-8")
    assert page == markdown() + "\n"
    assert all(f"## `{name}`" in page for name in estimators())


def test_the_example_grids_are_valid():
    assert [parse_grid(text).name for text in blocks(README, "yaml")] == ["mine", "responses"]


@pytest.mark.parametrize("text", blocks(SEQUENCES, "yaml") + blocks(CONTROL, "yaml"))
def test_the_grids_of_the_pages_are_valid(text):
    assert parse_grid(text).problems


def test_the_first_code_of_the_page_of_sequences_runs():
    names = {}
    exec(blocks(SEQUENCES, "python")[0], names)
    assert names["exact"].mean.shape == names["g"].mean(axis=0).shape


def test_the_page_of_sequences_names_every_verifier():
    assert all(f"| `{name}` |" in SEQUENCES for name in VERIFIERS)


def test_the_estimators_of_the_readme_are_all_there_are():
    named = set(re.findall(r"`(\w+)`", README[README.index("| group | estimators |") :]))
    known = estimators().items()
    assert [n for n, e in known if FiniteMDP in e.on and n not in named] == []


def test_the_example_code_runs(tmp_path, monkeypatch):
    example = blocks(README, "python")[0]
    grid = "name: t\nproblems: corridor\nestimators: td\nreplicates: 20\n"
    (tmp_path / "grid.yaml").write_text(grid, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(example, names)
    assert names["g"].shape == (1000, 400)
    assert names["exact"].mean.shape == names["truth"].gradient.shape == (400,)
    assert (tmp_path / "results" / "t" / "results.nc").exists()


def test_every_linked_file_exists():
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", README)
    links += [f"docs/{link}" for link in re.findall(r"\]\(([^)#]+)[^)]*\)", SEQUENCES + CONTROL)]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
