"""The schema of a run's dataset: variables by the part of the dataset that they stand in."""

from collections.abc import Iterator

from pgbench.declared.ascents import ASCENT
from pgbench.declared.summary import MAPS, SUMMARY
from pgbench.declared.variables import SPREAD, Schema


def schema_table() -> str:
    """The schema as a Markdown table; parts of an interval share a row."""
    lines = ["| variable | dimensions | unit | meaning |", "|---|---|---|---|"]
    for prefix, schema in (("", SUMMARY), ("maps/…/", MAPS), ("ascent/", ASCENT)):
        lines += _rows(prefix, schema)
    return "\n".join(lines)


def _rows(prefix: str, schema: Schema) -> Iterator[str]:
    for name, variable in schema.items():
        if name.endswith(tuple(SPREAD)):
            continue
        more = "".join(f", `{end}`" for end in SPREAD if name + end in schema)
        note = "" if variable.reproducible else " (not the same in every run)"
        note += f" (where the grid names the axis {variable.axis})" if variable.axis else ""
        dims = ", ".join(variable.dims)
        unit = variable.units.replace("theta", "θ")
        meaning = f"{variable.long_name}{note}".replace("|", r"\|")
        yield f"| `{prefix}{name}`{more} | {dims} | {unit} | {meaning} |"
