"""The schema is declared once, and nothing is measured, recorded or built beside it."""

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pgbench.declared.ascents import ASCENT
from pgbench.declared.causes import CAUSES, HORIZON, PARTS, UNDECLARED
from pgbench.declared.horizon_study import STUDY
from pgbench.declared.outcomes import AscentOutcome, Status
from pgbench.declared.schema import schema_table
from pgbench.declared.summary import AXES, MAPS, SUMMARY
from pgbench.declared.variables import allocate, breaches, on_axes, require_declared
from pgbench.grid.plan import settings
from pgbench.grid.reader import parse_grid
from pgbench.measure import measurement
from pgbench.measure.measurement import Measurement
from pgbench.results.build import build
from pgbench.results.journal import Journal
from pgbench.results.labelled import labelled

GRID = """
name: t
problems: corridor
estimators: td
ascent: {algorithms: gradient, estimators: exact, step_sizes: 0.1, steps: 2, points: 2}
"""

SCHEMAS = {"summary": SUMMARY, "maps": MAPS, "ascent": ASCENT, "study": STUDY}


def test_measuring_under_an_undeclared_name_is_refused():
    with pytest.raises(ValueError, match="'relative_bais' is not a declared variable of the summa"):
        Measurement({"relative_bais": 1.0}, {})
    with pytest.raises(ValueError, match="'landscape' is not a declared variable of the maps"):
        Measurement({}, {"landscape": np.zeros(2)})


def test_a_likely_name_is_suggested():
    with pytest.raises(ValueError, match="did you mean relative_bias"):
        require_declared(["relative_bais"], SUMMARY)


@pytest.mark.usefixtures("unpublished")
def test_an_undeclared_statistic_fails_the_cell(tmp_path, monkeypatch):
    from pgbench.harness.runner import execute

    found = measurement.summarise
    monkeypatch.setattr(
        measurement, "summarise", lambda sample: (x := found(sample)) | {"luck": x["bias"]}
    )
    text = "name: t\nproblems: corridor\nestimators: td\nreplicates: 20\n"
    outcome = execute(parse_grid(text), tmp_path)
    assert (outcome.measured, outcome.failed) == (0, 1)
    assert "'luck' is not a declared variable" in str(outcome.tree["message"].values.item())


@pytest.mark.parametrize("kind", ["cell", "setting", "ascent", "array"])
def test_a_record_under_an_undeclared_name_is_refused(tmp_path, kind):
    grid = parse_grid(GRID)
    (setting,) = settings(grid)
    places = {"cell": setting.cells[0], "setting": setting}
    key = places.get(kind, setting.ascents[0]).key
    record = {"kind": kind, "key": key, "status": "done", "values": {}, "arrays": {}}
    record |= {"problem": {}, "goal_kind": ""}
    record["arrays" if kind == "array" else "values"] = {"luck": np.zeros(1)}
    with pytest.raises(ValueError, match="'luck' is not a declared variable"):
        build(grid, Journal(tmp_path / "j", [record], []))


def test_a_map_under_an_undeclared_name_is_refused():
    with pytest.raises(ValueError, match="'luck' is not a declared variable"):
        labelled(MAPS, {"gradient": np.zeros(3), "luck": np.zeros(3)})


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_arrays_made_by_a_schema_keep_it(schema):
    sizes = dict.fromkeys({d for v in schema.values() for d in v.dims}, 2)
    arrays = allocate(schema, sizes)
    assert list(arrays) == list(schema)
    assert list(breaches(schema, labelled(schema, arrays).data_vars)) == []
    for name, variable in schema.items():
        kinds = {"number": "f", "text": "O", "code": "i"}
        assert arrays[name].dtype.kind == kinds[variable.kind]
        assert bool(variable.units) == (variable.kind != "text")


def test_what_breaks_a_schema_is_listed():
    broken = xr.Dataset(
        {"luck": 1.0, "bias": ("problem", [0.0]), "horizon": (("problem", "policy"), [[1]])}
    )
    assert list(breaches(SUMMARY, broken.data_vars, "/: ")) == [
        "/: luck: unknown",
        "/: bias: dims ('problem',), must be ('problem', 'policy', 'estimator', 'batch_size')",
        "/: horizon: needs long_name and units 'environment steps'",
    ]


def test_the_table_of_the_page_is_the_schema():
    """Written by ``schema_table``; every row has four cells, whatever stands in them."""
    page = Path(__file__).parents[2] / "docs" / "dataset.md"
    table = schema_table()
    assert f"\n\n{table}\n\n" in page.read_text(encoding="utf-8")
    assert {len(re.split(r"(?<!\\)\|", row)) for row in table.splitlines()} == {6}


def test_codes_are_what_datasets_hold():
    assert [(s.value, s.word) for s in Status] == [
        (0, "missing"),
        (1, "done"),
        (2, "failed"),
        (3, "skipped"),
    ]
    assert [Status.of(s.word) for s in Status] == [*Status]
    assert SUMMARY["status"].long_name == "0 missing, 1 done, 2 failed, 3 skipped"
    told = [part.split(" ")[0] for part in ASCENT["outcome"].long_name.split(", ")]
    assert told == [str(o.value) for o in AscentOutcome]


def test_every_cause_of_bias_beside_the_horizon_has_a_part():
    assert [*PARTS] == [*(c for c in CAUSES if c not in HORIZON | {UNDECLARED}), "horizon"]
    assert {f"exact_bias_{name}" for name in PARTS} <= SUMMARY.keys()


def test_axes_that_a_grid_names_stand_after_the_policy():
    """What is of such an axis is there with it alone; nothing else changes without it."""
    plain, wide = on_axes(SUMMARY, ()), on_axes(SUMMARY, ("sampler",))
    of_samplers = {"exact_bias_sampler", "kept_mass", "effective_sample_share"}
    assert wide.keys() - plain.keys() == of_samplers
    of_objectives = {f"exact_bias_{n}" for n in ("own_penalty", "divergence", "later_penalty")}
    assert SUMMARY.keys() - wide.keys() == of_objectives | {"penalty_gradient_norm"}
    assert on_axes(SUMMARY, AXES).keys() == SUMMARY.keys()
    assert all(variable == SUMMARY[name] for name, variable in plain.items())
    assert wide["variance"].dims == ("problem", "policy", "sampler", "estimator", "batch_size")
    assert wide["kept_mass"].dims == ("problem", "policy", "sampler")
    assert on_axes(MAPS, ("sampler",)) == MAPS
    pooled = on_axes(ASCENT, ("sampler",))["relative_suboptimality_iqm"]
    assert pooled.dims == ("policy", "sampler", "algorithm", "step_size", "step")
