"""JSON schema of a grid file, from the same declarations that the reader follows."""

from collections.abc import Callable, Mapping
from typing import Any

from pgbench.estimators import estimators
from pgbench.grid import BATCH_SIZE, INSTANCES, SETTINGS, THETA
from pgbench.parameters import Parameter
from pgbench.policies import kinds
from pgbench.problems import families
from pgbench.registry import Record


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
        entry = {"anyOf": options}
        return {"anyOf": [entry, {"type": "array", "items": entry, "minItems": 1}]}

    properties = {name: described(parameter, dict) for name, parameter in SETTINGS.items()}
    properties["problems"] = entries("problem", families())
    properties["policies"] = entries("policy", kinds())
    properties["estimators"] = entries("estimator", estimators())
    properties["batch_sizes"] = described(BATCH_SIZE, axis)
    properties["theta"] = {
        "type": "object",
        "properties": {name: described(parameter, dict) for name, parameter in THETA.items()},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pgbench grid",
        "type": "object",
        "properties": properties,
        "required": ["name", "problems", "estimators"],
        "additionalProperties": False,
    }
