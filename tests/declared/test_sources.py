"""Keys follow imports: an edit runs again what it may have changed, and nothing else."""

import shutil
from pathlib import Path

import pytest

from pgbench.declared import sources
from pgbench.grid.plan import SHARED, settings
from pgbench.grid.reader import parse_grid

GRID = """
name: t
problems: [corridor, {problem: lqg}]
policies: [softmax, gaussian]
estimators: [rloo, dr_grpo, td]
batch_sizes: [2]
replicates: 10
ascent:
  algorithms:
    - {algorithm: gradient, estimators: exact}
    - {algorithm: svrpg, estimators: reward_to_go}
    - {algorithm: page, estimators: reward_to_go}
  steps: 2
  replicates: 2
  batch_sizes: 2
  step_sizes: 0.1
"""


@pytest.fixture
def edit(tmp_path, monkeypatch):
    """Edits files of a copy of the package, from which digests are taken."""
    original, copy = sources.ROOT, tmp_path / "pgbench"
    shutil.copytree(original, copy, ignore=shutil.ignore_patterns("__pycache__"))
    found = sources.source
    there = {str(path): str(copy / path.relative_to(original)) for path in original.rglob("*.py")}
    monkeypatch.setattr(sources, "source", lambda maker: there.get(found(maker), found(maker)))
    monkeypatch.setattr(sources, "ROOT", copy)
    sources.forget_sources()

    def append(name, text="\n# edited\n"):
        path = copy / name
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
        sources.forget_sources()

    yield append
    sources.forget_sources()


def keys():
    found = {}
    for setting in settings(parse_grid(GRID)):
        place = setting.label
        found |= {(place, cell.estimator.label): cell.key for cell in setting.cells}
        found |= {(place, cell.climber.label): cell.key for cell in setting.ascents}
    return found


def changed(edit, name):
    """What runs again after an edit, each with its setting."""
    before = keys()
    edit(name)
    after = keys()
    return {what for what in before if after[what] != before[what]}


def names(what):
    return {name.split("[")[0].split(",")[0] for _, name in what}


def test_an_edit_reaches_all_that_imports_it(edit):
    """``dr_grpo`` imports ``group_mean``, which imports ``rloo``."""
    assert names(changed(edit, "estimators/group_mean.py")) == {"dr_grpo"}
    assert names(changed(edit, "estimators/rloo.py")) == {"dr_grpo", "rloo"}
    assert names(changed(edit, "estimators/parts/by_trajectory.py")) == {"dr_grpo", "rloo"}


@pytest.mark.parametrize(
    "name",
    [
        "estimators/ppo.py",
        "problems/garnet.py",
        "policies/neural.py",
        "ascent/methods/adam.py",
        "harness/progress.py",
        "trials/verdict.py",
    ],
)
def test_an_edit_reaches_nothing_else(edit, name):
    assert not changed(edit, name)


def test_an_edit_of_a_problem_or_policy_reaches_its_settings_alone(edit):
    """The Gaussian policy imports what solves Riccati's equation by way of no other policy."""
    for name in ("problems/lqg.py", "problems/riccati.py"):
        cells = changed(edit, name)
        assert cells
        finite = [name for place, name in cells if "corridor × softmax" in place]
        assert not {name.split("[")[0] for name in finite} & {"rloo", "dr_grpo", "td"}
    assert {place for place, _ in changed(edit, "problems/corridor.py")} == {
        f"corridor × {policy}" for policy in ("softmax", "gaussian")
    }


def test_an_edit_of_an_algorithm_reaches_those_made_of_it(edit):
    assert {"svrpg", "page"} == names(changed(edit, "ascent/methods/svrpg.py"))
    assert len(names(changed(edit, "ascent/climb.py"))) == 3


@pytest.mark.parametrize(
    "name",
    ["kernels/streams.py", "kernels/cuda/finite.py", "exact/finite/values.py", "rounding.py"],
)
def test_an_edit_of_what_all_goes_through_reaches_everything(edit, name):
    assert changed(edit, name) == keys().keys()


def test_what_all_goes_through_exists():
    assert all(list(sources.ROOT.glob(pattern)) for pattern in SHARED)


def test_a_file_of_ones_own_follows_what_it_imports_from_the_package(edit, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        "def estimate(simulator):\n"
        "    from pgbench.estimators.td import tables\n"
        "    return tables\n",
        encoding="utf-8",
    )
    scope = {}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), scope)

    def digest():
        return sources.source_digest(scope["estimate"])

    before = digest()
    edit("estimators/gae.py")
    assert digest() == before
    edit("estimators/td.py")
    assert digest() != before
    after = digest()
    edit(path)
    assert digest() not in (before, after)


def test_a_name_that_a_package_passes_on_leads_to_its_file():
    """``from pgbench.policies import NotApplicable`` does not hang on every policy."""
    homes = {
        origin: [path.relative_to(sources.ROOT).as_posix() for path in sources._homes(origin)]
        for origin in ("pgbench.policies.NotApplicable", "pgbench.policies.kinds")
    }
    assert homes == {
        "pgbench.policies.NotApplicable": ["problems/problem.py"],
        "pgbench.policies.kinds": ["policies/__init__.py"],
    }


def test_a_maker_without_a_file_has_no_digest():
    assert sources.source_digest(len) == ""
    assert Path(sources.source(keys)) == Path(__file__)
