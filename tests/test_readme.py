"""The README tells the truth: its tables are made from the code."""

import re
from pathlib import Path

import pytest

from pgbench.estimators import estimators
from pgbench.grid import parse_grid
from pgbench.results import schema_table

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_schema_table_is_the_schema():
    assert schema_table() in README


@pytest.mark.parametrize("name", estimators())
def test_every_estimator_has_its_row(name):
    row = re.search(rf"^\| `{name}` \|.*$", README, re.MULTILINE)
    assert row, name
    assert estimators()[name].reference in row[0]


def test_the_example_grid_is_valid():
    example = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert parse_grid(example[1]).name == "mine"


def test_the_example_code_runs(tmp_path, monkeypatch):
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    grid = "name: t\nproblems: corridor\nestimators: td\nreplicates: 20\n"
    (tmp_path / "grid.yaml").write_text(grid, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(example, names)
    assert names["g"].shape == (1000, 400)
    assert names["exact"].mean.shape == names["truth"].gradient.shape == (400,)
    assert (tmp_path / "results" / "t" / "results.nc").exists()


def test_every_linked_file_exists():
    root = Path(__file__).parents[1]
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (root / link).exists()] == []
