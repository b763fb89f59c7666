"""The JSON schema of grid files."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml

from pgbench.grid.json_schema import schema
from pgbench.grid.reader import GridError, parse_grid, read_grid
from pgbench.problems import families

REPOSITORY = Path(__file__).parents[2]


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
        {"name": "t", "problems": "corridor", "estimators": "td", "samplers": "temperature"},
    ):
        assert not validator.is_valid(wrong), wrong
        with pytest.raises(GridError):
            parse_grid(json.dumps(wrong))


def test_schema_accepts_samplers():
    validator = jsonschema.Draft202012Validator(schema())
    axis = ["on_policy", {"sampler": "temperature", "value": [0.7, 1.3]}, "stale"]
    grid = {"name": "t", "problems": "corridor", "estimators": "td", "samplers": axis}
    validator.validate(grid)
    assert len(parse_grid(json.dumps(grid)).axes["sampler"]) == 4


def test_schema_accepts_networks_and_theta_in_files():
    validator = jsonschema.Draft202012Validator(schema())
    own = {"policy": "torch", "module": "net.py:Net", "options": {"width": 8}}
    grid = {"name": "t", "problems": "corridor", "estimators": "td", "policies": own}
    for theta in ({"file": "theta.npy"}, {"init": "own", "scale": 2}, {"values": [1]}):
        validator.validate(grid | {"theta": theta})
        parse_grid(json.dumps(grid | {"theta": theta}))
    for wrong in (own | {"module": "net.py"}, "torch", {"policy": "jax"}):
        assert not validator.is_valid(grid | {"policies": wrong})
        with pytest.raises(GridError):
            parse_grid(json.dumps(grid | {"policies": wrong}))


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
