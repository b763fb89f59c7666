"""The README tells the truth: its tables are made from the code."""

import re
from pathlib import Path

from pgbench.cli.catalogue import markdown
from pgbench.declared.schema import schema_table
from pgbench.estimators import estimators
from pgbench.grid.reader import parse_grid

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_schema_table_is_the_schema():
    assert schema_table() in README


def test_the_page_of_estimators_is_up_to_date():
    """Else: python -m pgbench list estimators --markdown > docs/estimators.md."""
    page = (ROOT / "docs" / "estimators.md").read_text(encoding="utf-8")
    assert page == markdown() + "\n"
    assert all(f"## `{name}`" in page for name in estimators())


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
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
