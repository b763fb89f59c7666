"""The grid file: what it means, and every error located."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml

from pgbench.grid.json_schema import schema
from pgbench.grid.reader import MAX_BYTES, GridError, parse_grid, read_grid
from pgbench.problems import families

REPOSITORY = Path(__file__).parents[2]
MINIMAL = "name: t\nproblems: corridor\nestimators: reinforce\n"


def errors(text):
    with pytest.raises(GridError) as caught:
        parse_grid(text)
    return str(caught.value).splitlines()


def test_minimal_grid_takes_defaults():
    grid = parse_grid(MINIMAL)
    assert [p.label for p in grid.problems] == ["corridor"]
    assert [p.label for p in grid.policies] == ["softmax"]
    assert grid.batch_sizes == (1,)
    assert (grid.replicates, grid.seed, grid.horizon) == (1000, 0, None)
    assert dict(grid.theta) == {"init": "normal", "scale": 1.0}


def test_every_list_is_an_axis():
    grid = parse_grid(
        "name: t\n"
        "problems:\n"
        "  - {problem: garnet, n_states: [5, 6], gamma: [0.5, 0.9], instances: 3}\n"
        "  - {problem: gymnasium, id: FrozenLake-v1, options: [{map_name: 4x4}, {map_name: 8x8}]}\n"
        "estimators: [td, {estimator: gae, lam: [0, 1]}]\n"
        "batch_sizes: [4, 1]\n"
    )
    assert len(grid.problems) == 2 * 2 * 3 + 2
    assert grid.problems[-1].values["options"] == {"map_name": "8x8"}
    assert [e.label for e in grid.estimators] == ["td", "gae[lam=0]", "gae[lam=1]"]
    assert grid.batch_sizes == (1, 4)


def test_instances_are_seeds_counted_from_the_grid_seed():
    grid = parse_grid(
        "name: t\nseed: 7\nestimators: td\nproblems: {problem: garnet, n_states: 5, instances: 2}\n"
    )
    assert [p.values["seed"] for p in grid.problems] == [7, 8]
    assert [p.instance for p in grid.problems] == [0, 1]


def test_numbers_are_numbers_in_every_spelling():
    """YAML 1.1 reads 1e-3 as a string."""
    grid = parse_grid(MINIMAL + "theta: {scale: 1e-3}\n")
    assert grid.theta["scale"] == 1e-3
    with pytest.raises(GridError, match="scale"):
        parse_grid(MINIMAL + "theta: {scale: '1e-3'}\n")


def test_error_names_file_line_column_place_and_suggestion():
    text = "name: t\nestimators: td\nproblems:\n  - {problem: garnet, n_state: 10}\n"
    assert errors(text) == [
        "grid.yaml:4:5: problems.0.garnet.n_states: missing, must be an integer ≥ 1",
        "grid.yaml:4:23: problems.0.garnet.n_state: unknown key, did you mean n_states?",
    ]


def test_all_errors_are_reported_at_once_in_order():
    found = errors(
        "name: a b\n"
        "problems: [garnett, {problem: garnet, n_states: 0, gamma: [0.5, 1.5]}]\n"
        "policies: []\n"
        "estimators: [gae, {estimator: reinforce, baseline: mean}]\n"
        "batch_sizes: [1, 0, x]\n"
        "replicate: 3\n"
    )
    places = [line.split(": ")[1] for line in found]
    assert places == [
        "name",
        "problems.0.problem",
        "problems.1.garnet.n_states",
        "problems.1.garnet.gamma.1",
        "policies",
        "estimators.0.gae.lam",
        "estimators.1.reinforce.baseline",
        "batch_sizes.1",
        "batch_sizes.2",
        "replicate",
    ]
    assert "did you mean garnet?" in found[1]
    assert "did you mean replicates?" in found[-1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the grid is empty"),
        (
            "name: t\nestimators: td\nproblems: [{problem: file, path: 3}]\n",
            "problems.0.file.path: 3 is not allowed here, must be a string",
        ),
        ("# only a comment\n", "the grid is empty"),
        ("- a\n", "a grid is a mapping"),
        ("just words", "a grid is a mapping"),
        ("a: [", "not valid YAML"),
        ("a: b: c", "1:5: not valid YAML"),
        ("\x00\x01", "not valid YAML"),
        ("a: *nowhere", "not valid YAML"),
        ("a: &a [*a]", "not a grid file"),
        ("[" * 5000, "nested too deeply"),
        ("a: 1\n---\na: 2\n", "not valid YAML"),
        (MINIMAL + "seed: !!python/object:os.system x\n", "is not allowed"),
        (MINIMAL + "name: u\n", "4:1: name: stands twice, first in line 1"),
        (MINIMAL + "1: 2\n", "4:1: the key 1 must be a word"),
        (MINIMAL + "seed: yes\n", "seed: 'yes' is not allowed here, must be an integer"),
        (MINIMAL + "seed: true\n", "seed: True is not allowed here, must be an integer"),
        (MINIMAL + "seed: 1.5\n", "seed: 1.5 is not allowed here"),
        (MINIMAL + "horizon: long\n", "horizon: 'long' is unknown, must be an integer"),
        (MINIMAL + "replicates: 1\n", "replicates: 1 is out of range"),
        (MINIMAL + "theta: {init: uniform}\n", "theta.init: 'uniform' is unknown"),
        (MINIMAL + "theta: {scale: .nan}\n", "theta.scale: nan is out of range"),
        (MINIMAL + "theta: 3\n", "theta: must be a mapping"),
        (MINIMAL + "batch_sizes: [2, 2]\n", "batch_sizes: holds a value twice"),
        (MINIMAL.replace("reinforce", "[td, td]"), "estimators.1: td stands twice"),
        (MINIMAL.replace("corridor", "{problem: riverswim, instances: 2}"), "is not random"),
        (MINIMAL.replace("corridor", "{n_states: 3}"), "problems.0: must be a name or a mapping"),
        ("name: ../up\nproblems: corridor\nestimators: td\n", "name: must be letters"),
        ("name: t\nestimators: td\n", "problems: missing"),
    ],
)
def test_bad_input_has_a_located_message(text, message):
    found = errors(text)
    assert any(message in line for line in found), found
    assert all(line.startswith("grid.yaml:") for line in found)


def test_aliases_cannot_blow_up():
    """A few hundred bytes that would expand to billions of values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert any("not a grid file" in line for line in errors("\n".join(lines)))


def test_too_many_cells():
    sizes = ", ".join(map(str, range(1, 2001)))
    text = MINIMAL.replace("corridor", "{problem: garnet, n_states: 9, instances: 200}")
    assert "cells, at most" in errors(text + f"batch_sizes: [{sizes}]\n")[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "is not text in UTF-8"),
        (b"#" * (MAX_BYTES + 1), "is larger than"),
    ],
)
def test_files_that_are_no_text(tmp_path, data, message):
    path = tmp_path / "grid.yaml"
    path.write_bytes(data)
    with pytest.raises(GridError, match=message):
        read_grid(path)


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(GridError, match="No such file"):
        read_grid(tmp_path / "none.yaml")
    with pytest.raises(GridError, match="Is a directory"):
        read_grid(tmp_path)


def test_schema_accepts_what_the_reader_accepts_and_refuses_misspellings():
    validator = jsonschema.Draft202012Validator(schema())
    validator.check_schema(schema())
    shipped = [*sorted(REPOSITORY.glob("grids/*.yaml")), REPOSITORY / "grid.yaml"]
    for path in shipped:
        validator.validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    for wrong in (
        {"name": "t", "problems": "garnet", "estimators": "td"},
        {"name": "t", "problems": {"problem": "garnet", "n_state": 3}, "estimators": "td"},
        {"name": "t", "problems": "corridor", "estimators": []},
        {"name": "t", "problems": "corridor", "estimators": "td", "seed": -1},
    ):
        assert not validator.is_valid(wrong), wrong
        with pytest.raises(GridError):
            parse_grid(json.dumps(wrong))


def test_schema_names_every_family():
    text = json.dumps(schema())
    assert all(f'"const": "{name}"' in text for name in families())


def test_choices_are_what_the_makers_take():
    """Every problem of the shipped grid builds from the values that the grid holds."""
    from pgbench.grid.plan import make_problem

    grid = read_grid(REPOSITORY / "grid.yaml")
    for problem in grid.problems:
        mdp = make_problem(problem)
        np.testing.assert_allclose(mdp.mu0.sum(), 1)
