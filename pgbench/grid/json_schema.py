"""JSON schema of a grid file, from the same declarations that the reader follows."""

from collections.abc import Callable, Mapping
from typing import Any

from pgbench.ascent import algorithms, step_sizes
from pgbench.declared.parameters import Parameter
from pgbench.declared.registry import Record
from pgbench.estimators import estimators
from pgbench.grid.grid import EXACT, MORE
from pgbench.grid.keys import (
    ASCENT,
    BATCH_SIZE,
    EXPECTED,
    HORIZON,
    INSTANCES,
    SEED,
    SETTINGS,
    STEP,
    THETA,
    THETA_FILE,
    THETA_VALUES,
)
from pgbench.policies import kinds
from pgbench.problems import families


def schema() -> dict[str, Any]:
    """JSON schema of a grid file, for editors."""

    def axis(value: dict[str, Any]) -> dict[str, Any]:
        return {"anyOf": [value, {"type": "array", "items": value, "minItems": 1}]}

    def described(
        parameter: Parameter, wrap: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        entry = wrap(parameter.schema())
        if parameter.meaning:
            entry["description"] = parameter.meaning
        if not parameter.required and parameter.default is not None:
            entry["default"] = parameter.default
        return entry

    def entries(word: str, records: Mapping[str, Record]) -> dict[str, Any]:
        options: list[dict[str, Any]] = []
        names = [
            r.name for r in records.values() if not any(p.required for p in r.parameters.values())
        ]
        options.append({"enum": names})
        for record in records.values():
            properties: dict[str, Any] = {word: {"const": record.name}}
            for parameter in record.parameters.values():
                properties[parameter.name] = described(parameter, axis)
            if word == "problem" and "seed" in record.parameters:
                properties["instances"] = described(INSTANCES, dict)
            required = [word, *(p.name for p in record.parameters.values() if p.required)]
            options.append(
                {
                    "type": "object",
                    "properties": properties,
                    "required": required,
                    "additionalProperties": False,
                }
            )
        return axis({"anyOf": options})

    properties = {name: described(parameter, dict) for name, parameter in SETTINGS.items()}
    properties["problems"] = entries("problem", families())
    properties["policies"] = entries("policy", kinds())
    properties |= {f"{word}s": entries(word, records()) for word, records in MORE.items()}
    properties["estimators"] = entries("estimator", estimators())
    properties["batch_sizes"] = described(BATCH_SIZE, axis)

    drawn = {name: described(parameter, axis) for name, parameter in THETA.items()}
    properties["theta"] = axis(
        {
            "type": "object",
            "properties": {
                **drawn,
                "values": described(THETA_VALUES, axis),
                "file": described(THETA_FILE, axis),
            },
            "additionalProperties": False,
        }
    )
    properties |= {p.name: described(p, axis) for p in (HORIZON, SEED)}

    def options_of(schema: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = schema["anyOf"][0]["anyOf"]
        return found

    followed = options_of(entries("estimator", estimators()))
    for option in followed[1:]:
        option["properties"]["expected"] = described(EXPECTED, dict)
    rules = options_of(entries("step_size", step_sizes()))
    shared = {
        "followed": axis({"anyOf": [{"const": EXACT}, *followed]}),
        "step_sizes": axis({"anyOf": [STEP.schema(), *rules]}),
    }
    common: dict[str, Any] = {
        "estimators": {"$ref": "#/$defs/followed"},
        "step_sizes": {"$ref": "#/$defs/step_sizes"},
        "batch_sizes": described(BATCH_SIZE, axis),
    }
    climbing = options_of(entries("algorithm", algorithms()))
    for option in climbing[1:]:
        option["properties"] |= common
    properties["ascent"] = {
        "type": "object",
        "properties": {
            **{name: described(parameter, dict) for name, parameter in ASCENT.items()},
            **common,
            "algorithms": axis({"anyOf": climbing}),
        },
        "required": ["algorithms"],
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pgbench grid",
        "$defs": shared,
        "type": "object",
        "properties": properties,
        "required": ["name", "problems"],
        "anyOf": [{"required": ["estimators"]}, {"required": ["ascent"]}],
        "additionalProperties": False,
    }
