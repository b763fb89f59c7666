"""Ascents of a grid: what the file means, what the dataset holds, and that nothing else matters."""

import json

import jsonschema
import numpy as np
import pytest
import yaml

import pgbench as pg
from pgbench.__main__ import main
from pgbench.ascent import climb
from pgbench.declared.ascents import ASCENT
from pgbench.declared.outcomes import Status
from pgbench.grid.json_schema import schema
from pgbench.grid.reader import GridError, parse_grid
from pgbench.harness.runner import Interrupted, execute
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.report import write_report
from pgbench.results import dataset as results
from pgbench.results.ascents import violations
from tests.support.runs import StopAfter, unpublished

GRID = """
name: t
horizon: 15
problems: [two_state, {problem: garnet, n_states: 5, gamma: 0.8}]
policies: [softmax, direct]
theta: {init: zeros}
ascent:
  steps: 12
  replicates: 6
  points: 8
  batch_sizes: [2, 3]
  step_sizes: [0.1, 0.5]
  algorithms:
    - {algorithm: gradient, estimators: [exact, reward_to_go, rloo]}
    - {algorithm: gradient, estimators: exact, step_sizes: {step_size: smoothness}}
    - {algorithm: gradient, batch_sizes: 1,
       estimators: {estimator: reward_to_go, discounted: false, expected: true}}
    - {algorithm: natural, estimators: [exact, baseline_value], batch_sizes: 2,
       step_sizes: {step_size: kl, radius: 0.01}}
    - {algorithm: page, estimators: reward_to_go, batch_sizes: 2, step_sizes: 0.1}
    - {algorithm: actor_critic, critic_step: [0.1, 0.3]}
"""

HEAD = "name: t\nproblems: corridor\n"


def errors(text):
    with pytest.raises(GridError) as caught:
        parse_grid(text)
    return str(caught.value).splitlines()


def test_axes_are_those_of_the_ascent_or_of_the_entry():
    plan = parse_grid(GRID).ascent
    labels = {c.label: [rule.label for rule in c.step_sizes] for c in plan.climbers}
    assert labels == {
        "gradient, exact": ["0.1", "0.5", "smoothness"],
        "gradient, reward_to_go, n=2": ["0.1", "0.5"],
        "gradient, reward_to_go, n=3": ["0.1", "0.5"],
        "gradient, rloo, n=2": ["0.1", "0.5"],
        "gradient, rloo, n=3": ["0.1", "0.5"],
        "gradient, E reward_to_go[discounted=false]": ["0.1", "0.5"],
        "natural, exact": ["kl[radius=0.01]"],
        "natural, baseline_value, n=2": ["kl[radius=0.01]"],
        "page, reward_to_go, n=2": ["0.1"],
        "actor_critic[critic_step=0.1]": ["0.1", "0.5"],
        "actor_critic[critic_step=0.3]": ["0.1", "0.5"],
    }
    assert [rule.label for rule in plan.step_sizes] == [
        "0.1",
        "0.5",
        "smoothness",
        "kl[radius=0.01]",
    ]
    assert (plan.steps, plan.replicates, plan.points) == (12, 6, 8)


def test_a_grid_of_ascents_needs_no_estimators():
    grid = parse_grid(HEAD + "ascent: {algorithms: gradient, estimators: exact, step_sizes: 1}\n")
    assert grid.estimators == ()
    assert errors(HEAD) == ["grid.yaml:1:1: estimators: missing, must be a list of estimators"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ascent: 3\n", "3:9: ascent: must be a mapping with the keys algorithms, estimators"),
        ("ascent: {step: 3}\n", "3:10: ascent.step: unknown key, did you mean steps?"),
        ("ascent: {steps: 3}\n", "3:9: ascent.algorithms: missing, must be a list of algorithms"),
        ("ascent: {algorithms: []}\n", "3:22: ascent.algorithms: is empty"),
        (
            "ascent: {algorithms: gradint, estimators: exact, step_sizes: 1}\n",
            "ascent.algorithms.0.algorithm: unknown algorithm 'gradint', did you mean gradient?",
        ),
        (
            "ascent: {algorithms: gradient, step_sizes: 1}\n",
            "ascent.algorithms.0.estimators: missing here and in ascent; exact is ∇J",
        ),
        (
            "ascent: {algorithms: gradient, estimators: exact}\n",
            "ascent.algorithms.0.step_sizes: missing here and in ascent",
        ),
        (
            "ascent: {algorithms: gradient, estimators: exact, step_sizes: -1}\n",
            "-1 is out of range, must be a number ≥ 0",
        ),
        (
            "ascent: {algorithms: gradient, estimators: exact, step_sizes: {step_size: kl}}\n",
            "step_sizes.0.kl.radius: missing, must be a number ≥ 0",
        ),
        (
            "ascent: {algorithms: adam, estimators: exact, step_sizes: {step_size: constant}}\n",
            "step_sizes.0.constant.step: missing, must be a number ≥ 0",
        ),
        (
            "ascent: {algorithms: {algorithm: [adam, page]}, estimators: exact, step_sizes: 1}\n",
            "unknown algorithm ['adam', 'page'] (known: actor_critic, ",
        ),
        (
            "ascent: {algorithms: [gradient, 3, {}], estimators: [], step_sizes: []}\n",
            "ascent.algorithms.1: must be a name or a mapping with the key algorithm",
        ),
        (
            "ascent: {algorithms: [gradient, gradient], estimators: exact, step_sizes: 1}\n",
            "gradient, exact with step size 1 stands twice",
        ),
        (
            "ascent: {algorithms: gradient, estimators: exact, step_sizes: [1, 1.0]}\n",
            "ascent.algorithms.0.step_sizes: 1 stands twice",
        ),
        (
            "ascent: {algorithms: {algorithm: actor_critic, critic_stp: 1}, step_sizes: 1}\n",
            "actor_critic.critic_stp: unknown key, did you mean critic_step?",
        ),
        (
            "theta: {values: [1, 2], scale: 3}\nestimators: td\n",
            "3:25: theta.scale: give either values, or a file, or how θ is drawn, not both",
        ),
        ("theta: {values: [1, a]}\nestimators: td\n", "'a' is not allowed here, must be a number"),
    ],
)
def test_errors_are_located(text, expected):
    assert any(expected in line for line in errors(HEAD + text)), errors(HEAD + text)


def test_theta_may_be_given():
    grid = parse_grid(HEAD + "theta: {values: [1, -2.5]}\nestimators: td\npolicies: loglinear\n")
    assert grid.common["theta"].values == {"values": [1.0, -2.5]}


@pytest.fixture(scope="module")
def validator():
    """What holds a grid against the schema, which is itself held against its own once."""
    kind = jsonschema.validators.validator_for(schema())
    kind.check_schema(schema())
    return kind(schema())


@pytest.mark.parametrize("name", ["corridor", "discount", "plateau", "vanishing", "sizes"])
def test_shipped_studies_follow_the_schema(name, validator):
    from pathlib import Path

    text = (Path(__file__).parents[2] / "grids" / f"{name}.yaml").read_text(encoding="utf-8")
    validator.validate(yaml.safe_load(text))
    assert parse_grid(text).ascent is not None


def test_the_schema_knows_ascents(validator):
    good = yaml.safe_load(GRID)
    validator.validate(good)
    json.dumps(validator.schema)
    for change in ({"step": 1}, {"algorithms": []}, {"algorithms": "nonsense"}):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate({**good, "ascent": {**good["ascent"], **change}})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The grid run in one go."""
    return execute(parse_grid(GRID), tmp_path_factory.mktemp("whole"), threads=2)


def test_every_run_is_there(whole):
    """Of 20 runs a setting, actor-critics have no direct policy; 80 - 2·4 are done."""
    assert (whole.measured, whole.failed, whole.skipped) == (72, 0, 8)
    ascent = whole.tree["ascent"].to_dataset()
    assert set(ascent.data_vars) == set(ASCENT)
    done = ascent["ascent_status"] == 1
    assert int(done.sum()) == 72
    assert np.isfinite(ascent["objective"].isel(step=-1, replicate=0).where(done, 0.0)).all()
    message = ascent["ascent_message"].sel(
        policy="direct", algorithm="actor_critic[critic_step=0.1]"
    )
    assert "compiled for softmax" in str(message.values.ravel()[0])


def test_exact_runs_have_one_replicate(whole):
    ascent = whole.tree["ascent"].to_dataset()
    n = (ascent["outcome"] > 0).sum("replicate").isel(problem=0, policy=0, step_size=0)
    assert int(n.sel(algorithm="gradient, exact")) == 1
    assert int(n.sel(algorithm="gradient, reward_to_go, n=2")) == 6


def test_numbers_fit_together(whole):
    ascent = whole.tree["ascent"].to_dataset()
    gap = ascent["goal"] - ascent["objective"]
    np.testing.assert_allclose(ascent["suboptimality"], gap, rtol=0, atol=1e-7)
    start = ascent["objective"].isel(step=0)
    assert float(np.ptp(start.isel(problem=0, policy=0).values[np.isfinite(start[0, 0])])) < 1e-12
    low, mid, high = (ascent[f"suboptimality_iqm{end}"] for end in ("_low", "", "_high"))
    some = np.isfinite(low) & (low < high)
    assert (low <= mid).where(some, True).all()
    assert (mid <= high).where(some, True).all()
    assert (ascent["entropy"].isel(step=0).max() <= np.log(4) + 1e-12).all()
    assert violations(ascent) == []
    steps = ascent["environment_steps"].isel(problem=0, policy=0, step_size=0, step=-1)
    assert (steps.sel(algorithm="gradient, rloo, n=3") == 12 * 3 * 15).all()


@pytest.mark.usefixtures("unpublished")
def test_same_bytes_however_the_run_is_cut(whole, tmp_path):
    """In one thread; in two it went through in one go."""
    grid = parse_grid(GRID)
    for batches in (3, 20):
        with pytest.raises(Interrupted):
            execute(grid, tmp_path, threads=1, progress=StopAfter(batches))
    outcome = execute(grid, tmp_path, threads=1)
    assert outcome.reused >= 20
    assert results.same_numbers(whole.tree, outcome.tree) == []


def test_the_dataset_reads_back(whole):
    read, notes = results.read_noted(whole.directory)
    assert not notes
    assert results.same_numbers(whole.tree, read) == []


@pytest.mark.usefixtures("unpublished")
def test_a_longer_ascent_runs_again_and_another_step_size_is_added(tmp_path):
    text = HEAD + "policies: loglinear\nhorizon: 9\nascent: {algorithms: gradient, estimators: "
    text += "exact, step_sizes: [0.1], steps: 5}\n"
    first = execute(parse_grid(text), tmp_path)
    assert (first.measured, first.reused) == (1, 0)
    more = execute(parse_grid(text.replace("[0.1]", "[0.1, 0.2]")), tmp_path)
    assert (more.measured, more.reused) == (1, 1)
    longer = execute(parse_grid(text.replace("steps: 5", "steps: 6")), tmp_path)
    assert (longer.measured, longer.reused) == (1, 0)


@pytest.mark.usefixtures("unpublished")
def test_groups_of_replicates_share_nothing(monkeypatch, tmp_path):
    """Where memory runs short replicates go in groups; every group has numbers of its own."""
    text = HEAD + "policies: loglinear\nhorizon: 9\ntheta: {init: zeros}\n"
    text += "ascent: {algorithms: [gradient, {algorithm: actor_critic, critic_step: 0.1}],"
    text += " estimators: reward_to_go, step_sizes: 0.01, steps: 5, replicates: 7}\n"
    together = execute(parse_grid(text), tmp_path / "a").tree["ascent"]["objective"].values
    monkeypatch.setattr(climb, "STEPS_AND_SLOTS", 2 * (9 + 8))
    apart = execute(parse_grid(text), tmp_path / "b").tree["ascent"]["objective"].values
    assert np.isfinite(apart).all()
    np.testing.assert_array_equal(apart[..., :2, :], together[..., :2, :])
    for values in apart[0, 0, :, 0, :, -1]:
        assert len(np.unique(values)) == 7


@pytest.mark.usefixtures("unpublished")
def test_divergence_is_an_outcome_of_its_replicate(tmp_path):
    """A log-linear step of 1e308 overflows at once; an episode that cannot end has no value."""
    text = HEAD + "policies: loglinear\nhorizon: 9\ntheta: {init: zeros}\nascent: {algorithms: "
    text += "gradient, estimators: [exact, reward_to_go], step_sizes: [1e308, 1000], steps: 8}\n"
    outcome = execute(parse_grid(text), tmp_path)
    assert outcome.failed == 0
    ascent = outcome.tree["ascent"].to_dataset().isel(problem=0, policy=0)
    huge = ascent.sel(step_size="1e+308", algorithm="gradient, reward_to_go, n=1")
    assert (huge["outcome"] == 3).all()
    assert (huge["stopped_at"] <= 2).all()
    assert float(huge["diverged_share"]) == 1
    assert np.isnan(huge["objective"].isel(step=-1)).all()
    assert np.isinf(huge["suboptimality_iqm"].isel(step=-1))
    lost = ascent.sel(step_size="1000", algorithm="gradient, reward_to_go, n=1")
    assert set(np.unique(lost["outcome"])) <= {1, 2, 3}


@pytest.mark.usefixtures("unpublished")
def test_a_violated_check_is_told(tmp_path, monkeypatch, capsys):
    """As if the bound of natural gradient ascent were a millionth of what it is."""
    from pgbench.ascent import theory

    real = theory._divergence
    monkeypatch.setattr(theory, "_divergence", lambda *given: -1e3 * real(*given))
    path = tmp_path / "t.yaml"
    path.write_text(
        "name: t\nproblems: two_state\ntheta: {init: zeros}\nhorizon: 5\nascent: {algorithms: "
        "natural, estimators: exact, step_sizes: 0.1, steps: 50}\n"
    )
    given = ["run", str(path), "--output", str(tmp_path / "r"), "--no-report", "--quiet"]
    assert main(given) == 1
    told = capsys.readouterr().err
    assert "failed check: the proven bound on J* - J(θ_k): violated at" in told
    assert "two_state, softmax, natural, exact, 0.1" in told


def test_show_prints_ascents(whole, capsys):
    directory = str(whole.directory)
    assert main(["show", directory, "--algorithm", "natural", "--problem", "two"]) == 0
    told = capsys.readouterr().out
    assert "natural, exact" in told
    assert "garnet" not in told
    assert main(["show", directory, "--algorithm", "nothing"]) == 2
    assert "no label contains this" in capsys.readouterr().err


def test_check_counts_ascents(tmp_path, capsys):
    path = tmp_path / "t.yaml"
    path.write_text(GRID)
    assert main(["check", str(path)]) == 0
    assert "80 cells" in capsys.readouterr().out


AXES = """
name: t
horizon: 4
group_size: 4
problems: {problem: sequences, vocabulary: 2, length: 4, prompts: 1, prompt_length: 0}
policies: [softmax, loglinear]
theta: {init: zeros}
samplers: [on_policy, {sampler: temperature, value: 0.6}, {sampler: stale, updates: 2}]
objectives: [J, {objective: entropy, alpha: 0.5}]
ascent:
  steps: 6
  replicates: 2
  points: 6
  batch_sizes: 8
  step_sizes: 0.4
  algorithms:
    - {algorithm: gradient, estimators: [exact, rloo, clipped_ratio]}
    - {algorithm: epochs, epochs: 3, estimators: clipped_ratio}
    - {algorithm: actor_critic, critic_step: 0.1}
"""


@pytest.fixture(scope="module")
def axes(tmp_path_factory):
    with unpublished():
        return execute(parse_grid(AXES), tmp_path_factory.mktemp("axes")).tree


def test_samplers_and_objectives_are_axes_of_ascents(axes):
    """Each is what the same ascent is in Python."""
    ascent = axes["ascent"].to_dataset()
    assert ascent["objective"].dims[:4] == ("problem", "policy", "criterion", "sampler")
    assert ascent["goal"].dims == ("problem", "policy", "criterion", "sampler")
    assert ascent.sizes["sampler"] == 3
    own = ascent.isel(problem=0, step_size=0).sel(policy="softmax")
    mdp = make_problem("sequences", vocabulary=2, length=4, prompts=1, prompt_length=0)
    policy = make_policy("softmax", mdp)
    exact = pg.ascend(mdp, policy, policy.initial(init="zeros"), step_size=0.4, steps=6, points=6,
                      objective={"objective": "entropy", "alpha": 0.5}, horizon=4)  # fmt: skip
    found = own.isel(criterion=1, algorithm=0).objective.sel(replicate=0)
    for sampler in range(3):  # what is exact takes no data
        np.testing.assert_allclose(found.values[sampler], exact.objective[0], rtol=1e-12)
    # Data differ, and so do paths; the first two updates with old data are those of own data.
    path = own.isel(criterion=0, algorithm=1).objective.sel(replicate=1).values
    assert (path[0, :2] == path[1, :2]).sum() == 1
    assert np.isfinite(path).all()


def test_what_makes_no_sense_is_skipped_with_its_reason(axes):
    ascent = axes["ascent"].to_dataset().isel(problem=0, policy=0, step_size=0)
    status = ascent["ascent_status"].sel(algorithm="actor_critic[critic_step=0.1]").values
    message = ascent["ascent_message"].sel(algorithm="actor_critic[critic_step=0.1]").values
    assert (status == [[Status.DONE, *2 * [Status.SKIPPED]], 3 * [Status.SKIPPED]]).all()
    assert "takes no sampler's data" in message[0, 1]
    assert "an objective with a penalty" in message[1, 0]


def test_the_report_folds_the_axes_into_policies(axes, tmp_path):
    page = write_report(axes, tmp_path).read_text(encoding="utf-8")
    assert "softmax, entropy[alpha=0.5], temperature[value=0.6]" in page
    for name in ("length", "cosine", "suboptimality"):
        assert (tmp_path / "figures" / f"ascent_{name}.png").exists()


def test_an_interrupted_run_of_many_axes_is_the_same(axes, tmp_path):
    grid = parse_grid(AXES)
    with pytest.raises(Interrupted):
        execute(grid, tmp_path, threads=1, progress=StopAfter(12))
    outcome = execute(grid, tmp_path, threads=1)
    assert outcome.reused > 0
    assert results.same_numbers(outcome.tree, axes) == []
