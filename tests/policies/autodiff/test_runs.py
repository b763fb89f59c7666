"""Runs of grids with networks of users: other processes, edited files, and the examples."""

import re
import runpy
import shutil
from pathlib import Path

import pytest

from pgbench.grid.reader import read_grid
from pgbench.harness.cluster.performer import by_workers
from pgbench.harness.cluster.workers import Workers
from pgbench.harness.runner import execute
from pgbench.results.dataset import read, same_numbers
from tests.support.runs import unpublished

EXAMPLES = Path(__file__).parents[3] / "examples"

GRID = """
name: own
problems: [{problem: gridworld, size: 3}]
policies: [{policy: NAME, module: FILE}]
theta: {init: own}
horizon: 10
replicates: 30
estimators: [reinforce, rloo]
batch_sizes: 3
"""
FILES = {"torch": "torch_policy.py:Net", "jax": "jax_policy.py:net"}


@pytest.fixture(params=FILES)
def grid(request, folder):
    """A grid beside an example."""
    pytest.importorskip(request.param, reason="make test-autodiff installs it")
    place = FILES[request.param]
    shutil.copy(EXAMPLES / place.partition(":")[0], folder)
    text = GRID.replace("NAME", request.param).replace("FILE", place)
    (folder / "grid.yaml").write_text(text, encoding="utf-8")
    return folder / "grid.yaml"


def test_an_edited_file_is_measured_again(grid):
    output, (name,) = grid.parent / "o", (p.name for p in grid.parent.glob("*_policy.py"))
    with unpublished():
        first = execute(read_grid(grid), output)
        assert (first.measured, first.failed) == (2, 0)
        library = name.partition("_")[0]
        assert f"{library}_version" in first.tree.attrs
        assert execute(read_grid(grid), output).reused == 2
        with (grid.parent / name).open("a", encoding="utf-8") as file:
            file.write("# a remark\n")
        again = execute(read_grid(grid), output)
    assert again.measured == 2
    assert same_numbers(first.tree, again.tree) == []


def test_results_outlive_the_file(grid):
    run = execute(read_grid(grid), grid.parent / "o")
    (run.directory / "results.nc").unlink()
    for path in grid.parent.glob("*_policy.py"):
        path.unlink()
    tree = read(run.directory)
    assert same_numbers(run.tree, tree) == []
    assert (tree["status"] == 1).all()


def test_a_network_of_another_shape_fails_its_cells_with_a_reason(grid):
    for path in grid.parent.glob("*_policy.py"):
        text = path.read_text(encoding="utf-8")
        wider = re.sub(r"(?i)(width), n_actions\)", r"\1, n_actions + 1)", text)
        path.write_text(wider, encoding="utf-8")
    with unpublished():
        run = execute(read_grid(grid), grid.parent / "o")
    assert run.failed == 2
    text = (run.directory / "journal.jsonl").read_text(encoding="utf-8")
    assert "makes (9, 5) of features (9, 2), must make (9, 4)" in text


@pytest.mark.slow
def test_workers_make_the_same_numbers(grid):
    alone = execute(read_grid(grid), grid.parent / "alone")
    shared = execute(
        read_grid(grid), grid.parent / "shared", performer=by_workers(Workers(2, None, None))
    )
    assert shared.failed == 0
    assert same_numbers(alone.tree, shared.tree) == []


@pytest.mark.parametrize("library", FILES)
def test_examples_run(library, capsys):
    pytest.importorskip(library, reason="make test-autodiff installs it")
    runpy.run_path(str(EXAMPLES / f"{library}_policy.py"), run_name="__main__")
    printed = re.findall(r"-?\d+\.\d+", capsys.readouterr().out)
    before, after = map(float, printed[-2:])
    # Exact and measured variance, or the objective at both ends of an ascent.
    assert abs(after / before - 1) < 0.2 if library == "torch" else after > before


def test_the_page_about_policies_runs(folder):
    pytest.importorskip("torch", reason="make test-autodiff installs it")
    page = (EXAMPLES.parent / "docs" / "own-policy.md").read_text(encoding="utf-8")
    for language, name in (("python", "net.py"), ("yaml", "grid.yaml")):
        text = page.partition(f'```{language} title="{name}"\n')[2].partition("```")[0]
        (folder / name).write_text(text.replace("replicates: 500", "replicates: 20"), "utf-8")
    with unpublished():
        run = execute(read_grid(folder / "grid.yaml"), folder / "o")
    assert (run.measured, run.failed, run.skipped) == (6, 0, 0)
    assert [*run.tree["policy"].values] == [
        "neural[hidden=16]",
        "torch[module=net.py:Net, options={width=8}]",
    ]
