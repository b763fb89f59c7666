"""A function of a batch as an estimator, to be measured in grids beside all others."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.causes import UNDECLARED
from pgbench.declared.claims import claims_of
from pgbench.declared.parameters import REQUIRED
from pgbench.estimators.parts.estimator import BatchEstimator
from pgbench.functions.result import UserError, check_usable, numbers
from pgbench.functions.trajectories import of_block
from pgbench.rollout.simulator import Simulator

FORMULA = r"\hat g = f(\mathrm{batch})"
"""What is known of a function's formula."""


def estimator_of(function: Callable[..., Any], name: str) -> BatchEstimator:
    """The estimator that a function of a batch is, under a name.

    Its parameters are the function's keyword-only arguments, which need annotations and defaults.
    It declares nothing of its bias, which is then measured alone. Estimates are made by one call
    after another, or of all replicates of a block at once where the function claims to take them.

    Raises
    ------
    UserError
        For a keyword-only argument without an annotation or a default.
    """
    check_keywords(function, name)
    claims = claims_of(function)

    def estimate(simulator: Simulator, **values: Any) -> FloatArray:
        batches = of_block(simulator).claimed(claims)
        if claims.vectorised:
            return np.vstack([one(part.at_once(), values) for part in batches.parts()])
        return np.stack([one(batches[r], values) for r in range(batches.replicates)])

    def one(batch: Any, values: dict[str, Any]) -> FloatArray:
        estimates = numbers(function(batch, **values), batch, name)
        check_usable(estimates, batch, name)
        return estimates

    _dress(estimate, function)
    return BatchEstimator(
        name=name,
        estimate=estimate,
        bias=lambda **values: (UNDECLARED,),
        formula=FORMULA,
        reference="a function of its own file",
        target="natural gradient" if claims.target == "natural" else "gradient",
    )


def keywords(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Keyword-only arguments, which are its parameters."""
    every = inspect.signature(function).parameters.values()
    return [p for p in every if p.kind is inspect.Parameter.KEYWORD_ONLY]


def check_keywords(function: Callable[..., Any], name: str) -> None:
    """UserError for a parameter that grids could not check."""
    for parameter in keywords(function):
        parts = (parameter.annotation, "an", "annotation"), (parameter.default, "a", "default")
        for given, article, part in parts:
            if given is REQUIRED:
                raise UserError(
                    f"{name}: the keyword {parameter.name} has no {part}, must have {article}"
                    f" {part}: such as `{parameter.name}: float = 0.95`"
                )


def _dress(estimate: Any, function: Callable[..., Any]) -> None:
    """Let an estimator's function be read as the user's: its parameters, its text, its file."""
    simulator = inspect.Parameter("simulator", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    estimate.__signature__ = inspect.Signature([simulator, *keywords(function)])
    estimate.__annotations__ = {p.name: p.annotation for p in keywords(function)}
    estimate.__module__ = function.__module__
    estimate.__doc__ = inspect.getdoc(function) or "A function of a batch, without a docstring."
    estimate.__wrapped__ = function
