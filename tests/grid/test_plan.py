"""Settings and cells are identified by their content."""

import json
import pickle
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest

from pgbench.declared.sources import forget_sources, source_digest
from pgbench.estimators import estimators
from pgbench.grid.plan import exact_work, make_problem, settings, work
from pgbench.grid.reader import parse_grid
from pgbench.memory import NotEnoughMemory
from pgbench.problems import families

GRID = """
name: t
problems: [corridor, {problem: garnet, n_states: [5, 6]}]
policies: [softmax, loglinear]
estimators: [td, reinforce]
batch_sizes: [1, 4]
replicates: 10
"""


def keys(text):
    return {
        (s.problem.label, s.policy.label, cell.estimator.label, cell.batch_size): cell.key
        for s in settings(parse_grid(text))
        for cell in s.cells
    }


def test_keys_are_unique_and_do_not_depend_on_order_or_name():
    base = keys(GRID)
    assert len(set(base.values())) == len(base) == 3 * 2 * 2 * 2
    turned = GRID.replace("[td, reinforce]", "[reinforce, td]").replace("[1, 4]", "[4, 1]")
    turned = turned.replace("[5, 6]", "[6, 5]").replace("name: t", "name: other")
    assert keys(turned) == base


def test_a_longer_grid_keeps_the_keys_it_had():
    longer = GRID.replace("[td,", "[q_oracle, td,").replace("[1, 4]", "[1, 2, 4]")
    base, more = keys(GRID), keys(longer)
    assert {cell: more[cell] for cell in base} == base


def test_everything_that_matters_changes_the_key():
    base = keys(GRID)
    for change in ("seed: 1", "horizon: 7", "max_horizon: 5", "theta: {scale: 2}"):
        changed = keys(GRID + change + "\n")
        assert set(changed.values()).isdisjoint(base.values()), change
    assert set(keys(GRID.replace("10", "11")).values()).isdisjoint(base.values())


def test_groups_change_keys_and_leave_streams():
    base, grouped = parse_grid(GRID), parse_grid(GRID.replace("[1, 4]", "4") + "group_size: 2\n")
    for one, other in zip(settings(base), settings(grouped), strict=True):
        assert one.stream == other.stream
        assert {c.key for c in one.cells}.isdisjoint(c.key for c in other.cells)
        assert other.prepare().group_size == 2


def test_streams_are_shared_by_estimators_and_differ_between_settings():
    streams = {s.label: s.stream for s in settings(parse_grid(GRID))}
    assert len(set(streams.values())) == len(streams)
    seeded = {s.label: s.stream for s in settings(parse_grid(GRID + "seed: 3\nhorizon: 9\n"))}
    assert seeded["corridor × softmax"] == streams["corridor × softmax"]


def test_later_parameters_leave_streams_as_they_were():
    """A log-linear policy that says nothing of tiles is identified as before there were any."""
    entries = "[loglinear, {policy: loglinear, n_tiles: 5}]"
    grid = parse_grid(GRID.replace("[softmax, loglinear]", entries))
    plain, tiled = (policy.values for policy in grid.policies)
    assert plain == {"features": "auto", "n_features": 8, "seed": 0}
    assert tiled == {**plain, "n_tiles": 5}
    spelt_out = GRID.replace("loglinear]", "{policy: loglinear, n_tiles: 4, degree: 2}]")
    assert keys(spelt_out).keys() == keys(GRID).keys()
    assert keys(spelt_out) == keys(GRID)


def test_theta_depends_on_the_seed():
    first = settings(parse_grid(GRID))[0].prepare().truth.theta
    again = settings(parse_grid(GRID))[0].prepare().truth.theta
    other = settings(parse_grid(GRID + "seed: 3\n"))[0].prepare().truth.theta
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_changed_file_is_another_problem(tmp_path):
    """The identity of a problem from a file holds the file's bytes."""
    path = tmp_path / "p.npz"
    text = GRID.replace("corridor", f"{{problem: file, path: {path}}}")
    arrays = {"P": np.ones((1, 1, 1)), "r": np.ones((1, 1)), "mu0": np.ones(1), "gamma": 0.5}
    np.savez(path, **arrays)
    before = settings(parse_grid(text))[0].key
    np.savez(path, **{**arrays, "gamma": 0.25})
    assert settings(parse_grid(text))[0].key != before


def test_changed_code_is_another_cell_on_the_same_trajectories(monkeypatch):
    """Numbers of older code are not reused, and streams stay what they were."""
    from pgbench.grid import plan

    before = settings(parse_grid(GRID))
    old = {cell.key for setting in before for cell in setting.cells}
    monkeypatch.setattr(plan, "source_digest", lambda maker: "edited")
    after = settings(parse_grid(GRID))
    assert old.isdisjoint(cell.key for setting in after for cell in setting.cells)
    assert [s.stream for s in before] == [s.stream for s in after]


def test_keys_are_hashes_of_whole_descriptions():
    """Parts that cells share are written once; what is hashed is what it ever was."""
    setting = settings(parse_grid(GRID))[3]
    assert setting.key == hashed(setting.description)
    for cell in setting.cells:
        whole = {
            **setting.description,
            "estimator": cell.estimator.canonical,
            "estimator_source": source_digest(estimators()[cell.estimator.name].maker),
            "batch_size": cell.batch_size,
            "replicates": 10,
        }
        assert cell.key == hashed(whole)


def hashed(description):
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return blake2b(text.encode(), digest_size=16).hexdigest()


def test_a_longer_plan_does_not_look_at_more_files(monkeypatch):
    looked, plain = [], Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: looked.append(path) or plain(path))
    counts = []
    for seeds in (1, 20):
        forget_sources()
        looked.clear()
        keys(GRID.replace("n_states: [5, 6]", f"n_states: [5, 6], instances: {seeds}"))
        counts.append(len(looked))
    assert 0 < counts[1] <= counts[0]


TOO_LARGE = [
    "{problem: bandit, n_actions: 100000000000}",
    "{problem: chain, length: 1000000000000}",
    "{problem: corridor, length: 1000000000000}",
    "{problem: garnet, n_states: 100000000000}",
    "{problem: garnet, n_states: 10000000, branching: 10000000}",
    "{problem: gridworld, size: 10000000}",
    "{problem: lqg_chain, masses: 10000000}",
    "{problem: random, n_states: 10000000}",
    "{problem: riverswim, n_states: 1000000000000}",
    "{problem: sequences, length: 1000000000000}",
    "{problem: sequences, length: 60, states: prefixes}",
]


@pytest.mark.parametrize("problem", TOO_LARGE)
def test_a_problem_that_cannot_fit_is_refused_before_it_is_built(problem, monkeypatch):
    family = families()[problem.removeprefix("{problem: ").split(",")[0]]
    monkeypatch.setattr("numpy.random.default_rng", None)
    monkeypatch.setattr("numpy.zeros", None)
    monkeypatch.setattr("numpy.arange", None)
    chosen = parse_grid(GRID.replace("problems: [corridor,", f"problems: [{problem},")).problems[0]
    with pytest.raises(
        NotEnoughMemory,
        match=rf"^{family.name}\[.*\] takes about [\d,]+ GiB of memory, .*available$",
    ):
        make_problem(chosen)


def test_a_policy_that_cannot_fit_is_refused_before_it_is_made():
    entry = "{policy: loglinear, n_features: 100000000000}"
    setting = settings(parse_grid(GRID.replace("[softmax, loglinear]", f"[{entry}]")))[1]
    message = r"^garnet\[n_states=5\] × loglinear\[.*\] takes about 37,253 GiB of memory, "
    with pytest.raises(NotEnoughMemory, match=message):
        setting.prepare()


def test_memory_that_runs_out_all_the_same_is_a_sentence(monkeypatch):
    setting = settings(parse_grid(GRID))[2]
    monkeypatch.setattr("pgbench.objectives.objective.evaluate", lambda *given: np.empty(2**50))
    with pytest.raises(NotEnoughMemory, match=r"^garnet.* × softmax needs another 8,388,608 GiB"):
        setting.prepare()
    monkeypatch.setattr("pgbench.problems.garnet.np.sort", lambda *given, **more: np.empty(2**50))
    with pytest.raises(NotEnoughMemory, match=r"^garnet\[n_states=5\] needs another 8,388,608 GiB"):
        make_problem(setting.problem)


RECORDED = """
name: t
seed: 7
problems: [corridor, {problem: garnet, n_states: 5}]
policies: [softmax]
estimators: [td, reinforce]
batch_sizes: [1, 4]
replicates: 10
"""

GOLDEN = {
    "corridor": (
        "8125be057939452c64e70c6b5f212580",
        7868975756664145527,
        "af77e8dc321b1b5c1c2699e84b58758c",
        "9b8c3f5dff935e40768c22063fa6261a",
        "e7397ba317ade5e213fa83b2b98b85e1",
        "100ab28f5cb1e1dceef45ba5a0a8d46a",
    ),
    "garnet[n_states=5, seed=7]": (
        "203851839b33d61ab631adde735ad8d3",
        2883807414920876567,
        "d815f5197a3fd72b275c0c8a6c3a87cb",
        "49964cc2c354a5dccfc3dfcdd0cce631",
        "704112ccad35f9e048c4d25ce325d85f",
        "d380b8aaee38a847f48323e1b0a7509e",
    ),
}
"""Keys and streams of a grid as they were before there were samplers, at one state of the code."""


@pytest.fixture
def _one_state_of_the_code(monkeypatch):
    monkeypatch.setattr("pgbench.grid.plan.source_digest", lambda maker: "code")
    monkeypatch.setattr("pgbench.grid.plan.shared_digest", lambda *patterns: "code")
    monkeypatch.setattr("pgbench.grid.plan.FORMAT", 6)


def named(setting):
    return setting.key, setting.stream, *(cell.key for cell in setting.cells)


@pytest.mark.usefixtures("_one_state_of_the_code")
@pytest.mark.parametrize("more", ["", "samplers: on_policy\n", "samplers: [stale, on_policy]\n"])
def test_keys_are_what_they_were_before_there_were_samplers(more):
    own = [s for s in settings(parse_grid(RECORDED + more)) if s.sampler.name == "on_policy"]
    assert {s.problem.label: named(s) for s in own} == GOLDEN


SAMPLERS = "samplers: [on_policy, {sampler: top_k, k: [1, 2]}, {sampler: stale, updates: 3}]\n"


def test_a_sampler_is_in_the_key_and_in_the_streams_but_not_in_theta():
    plan = settings(parse_grid(GRID + SAMPLERS))
    assert len(plan) == 3 * 2 * 4
    assert plan[0].label == "corridor × softmax × on_policy"
    assert plan[1].label == "corridor × softmax × top_k[k=1]"
    every = [cell.key for setting in plan for cell in setting.cells]
    assert len(set(every)) == len(every)
    assert len({setting.stream for setting in plan}) == len(plan)
    truths = [setting.prepare().truth for setting in plan[4:8]]
    np.testing.assert_array_equal(truths[0].theta, truths[1].theta)
    assert truths[0].gradient.tobytes() == truths[1].gradient.tobytes()
    assert not np.array_equal(truths[0].process.pi, truths[1].process.pi)
    np.testing.assert_array_equal(truths[3].process.pi, truths[0].pi)


def test_an_edited_sampler_is_another_setting(monkeypatch):
    from pgbench.grid import plan
    from pgbench.samplers import samplers

    before = [setting.key for setting in settings(parse_grid(GRID + SAMPLERS))]
    edited, digest = samplers()["top_k"].maker, plan.source_digest
    monkeypatch.setattr(
        plan, "source_digest", lambda maker: "edited" if maker is edited else digest(maker)
    )
    after = [setting.key for setting in settings(parse_grid(GRID + SAMPLERS))]
    changed = [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert changed == [i for i in range(len(before)) if i % 4 in (1, 2)]


def test_a_recipe_carries_the_sampler():
    for setting in settings(parse_grid(GRID + SAMPLERS))[:4]:
        assert setting.recipe.key == setting.key
        assert setting.recipe.label == setting.label
        assert setting.recipe.stream == setting.stream


def test_whoever_measures_elsewhere_is_told_the_keys(monkeypatch):
    """Else every process would read all sources, and threads of one may not do so at once."""
    from pgbench.harness.tasks import PortionTask, tasks

    def unread(_):
        raise AssertionError("sources are read")

    long = parse_grid(GRID + "horizon: 10_000\n")
    large = replace(long, replicates=64, batch_sizes=(1000,))
    portions = [task for task in tasks(settings(large)) if isinstance(task, PortionTask)]
    keys = [[task.group, *map(task.key, task.cells)] for task in portions]
    assert keys
    sent = pickle.dumps([task.to_send() for task in portions])
    monkeypatch.setattr("pgbench.grid.plan.source_digest", unread)
    found = pickle.loads(sent)
    assert [[task.group, *map(task.key, task.cells)] for task in found] == keys


def test_steps_are_those_of_the_data():
    """The corridor ends sooner or later as whoever draws the actions goes right."""
    text = "name: t\nproblems: corridor\nestimators: td\nhorizon: 50\n"
    text += "samplers: [on_policy, {sampler: mixture, weight: 1}]\n"
    own, uniform = (setting.prepare() for setting in settings(parse_grid(text)))
    assert own.horizon == uniform.horizon
    assert uniform.expected_steps == pytest.approx(12, abs=0.5)
    assert abs(own.expected_steps - uniform.expected_steps) > 1


def test_an_edited_network_makes_its_cells_run_again_with_the_same_streams(tmp_path):
    text = GRID.replace("loglinear", "{policy: torch, module: net.py:Net}")
    found = []
    for source in ("class Net: pass\n", "class Net: pass  # edited\n"):
        (tmp_path / "net.py").write_text(source, encoding="utf-8")
        found.append(settings(parse_grid(text, str(tmp_path / "grid.yaml"))))
    for one, other in zip(*found, strict=True):
        own = one.policy.name == "torch"
        assert (one.key != other.key) == own
        assert {c.key for c in one.cells}.isdisjoint(c.key for c in other.cells) == own
        assert one.stream == other.stream


def test_theta_is_read_beside_the_grid(tmp_path):
    theta = np.arange(4.0)
    np.save(tmp_path / "theta.npy", theta)
    text = GRID.replace("[softmax, loglinear]", "softmax").replace(
        "[corridor, {problem: garnet, n_states: [5, 6]}]", "two_state"
    )
    filed = text + "theta: {file: theta.npy}\n"
    (own,) = settings(parse_grid(filed, str(tmp_path / "grid.yaml")))
    (same,) = settings(parse_grid(text + "theta: {values: [0, 1, 2, 3]}\n"))
    np.testing.assert_array_equal(own.prepare().truth.theta, theta)
    assert own.prepare().truth.objective == same.prepare().truth.objective
    np.save(tmp_path / "theta.npy", np.arange(5.0))
    (other,) = settings(parse_grid(filed, str(tmp_path / "grid.yaml")))
    assert other.key != own.key
    with pytest.raises(ValueError, match=r"theta\.npy .*has shape \(5,\), must be \(4,\)"):
        other.prepare()


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (np.array([1.0, np.nan, 0, 0]), r"theta\[1\] is nan, must be finite"),
        (np.array(["a", "b", "c", "d"]), "could not convert string"),
        (None, "there is no such file"),
    ],
)
def test_files_that_hold_no_theta_are_named(tmp_path, saved, message):
    if saved is not None:
        np.save(tmp_path / "theta.npy", saved)
    text = "name: t\nproblems: two_state\nestimators: td\ntheta: {file: theta.npy}\n"
    (own,) = settings(parse_grid(text, str(tmp_path / "grid.yaml")))
    with pytest.raises(ValueError, match=rf"theta\.npy.*{message}"):
        own.prepare()


def test_exact_work_grows_with_the_problem_and_is_no_work_of_sampling():
    grid = parse_grid(
        """
name: t
problems: {problem: garnet, n_states: [10, 1000], gamma: 0.9}
estimators: [td, reinforce]
batch_sizes: [1, 8]
ascent: {algorithms: gradient, estimators: [exact, td], step_sizes: 0.1, steps: 10}
"""
    )
    small, large = settings(grid)
    cells, ascents = large.cells, large.ascents
    assert exact_work(large, cells) == 100 * exact_work(small, small.cells) > 0
    own = [cell for cell in cells if cell.estimator == cells[0].estimator]
    assert exact_work(large, own) == exact_work(large, own[:1])  # batch sizes share it
    assert exact_work(large, (), ascents) == 100 * exact_work(small, (), small.ascents) > 0
    assert work(large, cells) == work(small, small.cells)


@pytest.mark.parametrize(
    ("axis", "listed", "single"),
    [
        ("seed", "seed: [3, 1]", ["seed: 3", "seed: 1"]),
        ("horizon", "horizon: [7, auto]", ["horizon: 7", "horizon: auto"]),
        (
            "theta",
            "theta: {scale: [0, 2], seed: [4, 5]}",
            [f"theta: {{scale: {s}, seed: {k}}}" for s in (0, 2) for k in (4, 5)],
        ),
        (
            "theta",
            "theta: [{init: zeros}, {scale: 2}, {values: [1, 2, 3, 4]}]",
            ["theta: {init: zeros}", "theta: {scale: 2}", "theta: {values: [1, 2, 3, 4]}"],
        ),
    ],
)
def test_a_list_is_an_axis_of_what_each_value_is_alone(axis, listed, single):
    """The cells are the same, so a run of one finds what a run of the other has measured."""
    text = "name: t\nproblems: {problem: garnet, n_states: 4, seed: 0}\nestimators: [td, rloo]\n"
    grid = parse_grid(text + listed)
    assert grid.more_axes == (axis,)
    alone = [settings(parse_grid(text + line)) for line in single]
    assert all(parse_grid(text + line).more_axes == () for line in single)
    assert [s.key for s in settings(grid)] == [s.key for (s,) in alone]
    assert [c.key for s in settings(grid) for c in s.cells] == [
        c.key for (s,) in alone for c in s.cells
    ]


def test_one_draw_of_theta_is_not_another():
    text = "name: t\nproblems: {problem: garnet, n_states: 4}\nestimators: td\n"
    drawn = settings(parse_grid(text + "theta: {seed: [0, 1], scale: [1, 2]}"))
    thetas = [setting.prepare().truth.theta for setting in drawn]
    assert len({theta.tobytes() for theta in thetas}) == 4
    for one, two in zip(thetas[::2], thetas[1::2], strict=True):
        assert abs(np.corrcoef(one, two)[0, 1]) < 0.9


def test_problems_are_drawn_by_the_first_seed():
    """Else the axes of seeds and problems would not be two."""
    text = "name: t\nproblems: {problem: garnet, n_states: 4, instances: 2}\nestimators: td\n"
    (several, first) = (parse_grid(text + f"seed: {seed}\n") for seed in ("[5, 9]", "5"))
    assert several.problems == first.problems
    assert [own.values["seed"] for own in several.problems] == [5, 6]
