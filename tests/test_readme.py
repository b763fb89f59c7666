"""The README is short and tells the truth, and the tables of pages are made from the code."""

import re
from pathlib import Path

import pytest

from pgbench.cli.catalogue import markdown
from pgbench.estimators import estimators
from pgbench.grid.reader import parse_grid
from pgbench.problems import FiniteMDP, families
from pgbench.problems.verifiers import VERIFIERS
from tests.support.shipped import shipped

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SEQUENCES = (ROOT / "docs" / "sequences.md").read_text(encoding="utf-8")
FROM_FILES = (ROOT / "docs" / "problems-from-files.md").read_text(encoding="utf-8")


def blocks(page, language):
    """Code of a page in a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@pytest.mark.every_estimator
def test_the_page_of_estimators_is_up_to_date():
    """Else: python -m pgbench list estimators --markdown > docs/estimators.md."""
    page = (ROOT / "docs" / "estimators.md").read_text(encoding="utf-8")
    assert page == markdown() + "\n"
    assert all(f"## `{name}`" in page for name in estimators())


def test_the_example_grids_are_valid():
    assert [parse_grid(text).name for text in blocks(README, "yaml")] == ["mine"]


def test_the_readme_is_short():
    """What is longer is a page of docs."""
    assert len(README.splitlines()) <= 200


def test_the_page_of_sequences_names_every_verifier():
    assert all(f"| `{name}` |" in SEQUENCES for name in VERIFIERS)


def test_the_page_of_files_shows_an_error_as_it_is(tmp_path):
    (text,) = re.findall(r'```text title="rooms.mdp"\n(.*?)```', FROM_FILES, re.DOTALL)
    path = tmp_path / "rooms.mdp"
    path.write_text(text.replace("door : left ", "door : lfet "), encoding="utf-8")
    with pytest.raises(ValueError, match="rooms") as error:
        families()["cassandra"].make(path=str(path))
    assert f"`{error.value}`".replace(str(path), "rooms.mdp") in FROM_FILES


def test_the_estimators_of_the_gallery_are_there():
    """For finite problems. What is there and not named is not shipped yet; what was, stays."""
    known = {name for name, e in estimators().items() if FiniteMDP in e.on}
    assert shipped() <= known
    assert len(shipped()) >= 61


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


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MADE = "notebooks/"
"""Pages that are made as the site is built."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_linked_file_exists(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)\s]*\)", page.read_text(encoding="utf-8"))
    files = [link for link in links if not link.startswith(("https:", MADE))]
    assert [link for link in files if not (page.parent / link).exists()] == []


def test_the_readme_links_every_page():
    """But the notebooks, which the first page links."""
    linked = set(re.findall(r"\]\((docs/\w[\w-]*\.md)\)", README))
    assert linked == {f"docs/{page.name}" for page in PAGES if page.parent.name == "docs"}
