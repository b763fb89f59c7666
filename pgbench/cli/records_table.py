"""Tables of what there is: of everything that grids name, and of the zoo."""

from collections.abc import Mapping
from typing import Any

from pgbench.ascent import algorithms, step_sizes
from pgbench.cli.catalogue import (
    SUPPORT,
    applies_to,
    bias_classes,
    described,
    exactness,
    formulas,
    in_ascents,
    in_words,
    plain_formula,
)
from pgbench.cli.terminal import console, titled
from pgbench.declared.parameters import Formula, Parameter
from pgbench.estimators import estimators
from pgbench.objectives import objectives
from pgbench.policies import kinds
from pgbench.problems import families
from pgbench.samplers import samplers


def print_list(what: str | None) -> None:
    """Print what there is of one kind, or of all kinds but the zoo, with formula and reference."""
    out = console()
    if what in (None, "problems"):
        table = titled("problems", "name", "description", "parameters", "source", lines=True)
        for family in families().values():
            size = f" (size: {family.size})" if family.size else ""
            table.add_row(
                family.name, family.summary + size, described(family.parameters), family.reference
            )
        out.print(table)
    if what in (None, "policies"):
        table = titled("policies", "name", "description", "parameters", "source", lines=True)
        for kind in kinds().values():
            table.add_row(kind.name, kind.summary, described(kind.parameters), kind.reference)
        out.print(table)
    if what in (None, "objectives"):
        _print_with_formulas("objectives", objectives())
    if what in (None, "samplers"):
        _print_with_formulas("samplers", samplers())
    if what in (None, "estimators"):
        columns = ("name", "description", "bias", "exact moments", "parameters", "source")
        table = titled("estimators", *columns, lines=True)
        for estimator in estimators().values():
            table.add_row(
                estimator.name,
                f"{estimator.summary}\n{_formulas(estimator.formula, estimator.parameters)}\n"
                f"for {applies_to(estimator)}"
                + (f"\nclimbs {words}" if (words := in_words(estimator, plain_formula)) else "")
                + (f"\nin ascents {reason}" if (reason := in_ascents(estimator)) else ""),
                "\n".join(bias_classes(estimator)),
                exactness(estimator),
                described(estimator.parameters),
                estimator.reference,
            )
        out.print(table)
        out.print(SUPPORT.replace("\n", " "))
    for axis, records in (("algorithms", algorithms()), ("step_sizes", step_sizes())):
        if what in (None, axis):
            _print_with_formulas(axis.replace("_", " "), records)
    if what == "zoo":
        from pgbench.trials.zoo import bugs

        table = titled("zoo", "name", "claims to be", "battery", "mistake", "source", lines=True)
        for bug in bugs().values():
            table.add_row(bug.name, bug.claims, bug.battery, bug.mistake, bug.source)
        out.print(table)


def _print_with_formulas(title: str, records: Mapping[str, Any]) -> None:
    """Print what records say of themselves, their formulas below their summaries."""
    table = titled(title, "name", "description", "parameters", "source", lines=True)
    for record in records.values():
        table.add_row(
            record.name,
            f"{record.summary}\n{_formulas(record.formula, record.parameters)}",
            described(record.parameters),
            record.reference,
        )
    console().print(table)


def _formulas(formula: Formula, parameters: Mapping[str, Parameter]) -> str:
    """The formula, and on lines of their own those that words and switches make of it."""
    return "\n".join(
        f"with {changed}: {plain_formula(text)}" if changed else plain_formula(text)
        for changed, text in formulas(formula, parameters).items()
    )
