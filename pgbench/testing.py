"""Assertions for tests of other projects: that a function of a batch estimates what it claims.

With pytest, functions of a test file that are decorated with ``pgbench.subject`` or
``pgbench.estimates`` are tests by themselves: see ``pgbench.pytest_plugin``.
"""

from collections.abc import Callable
from functools import wraps
from io import StringIO
from pathlib import Path
from typing import Any

from pgbench.declared.claims import subject
from pgbench.declared.sources import source


def assert_unbiased(
    estimate: Callable[..., Any],
    *,
    replicates: int | None = None,
    seed: int = 0,
    **claims: Any,
) -> None:
    """AssertionError, with the verdict as message, unless a function is what it claims.

    Parameters
    ----------
    estimate
        A function of a batch, ``estimate(batch) -> (d,)``; see ``docs/own-estimator.md``.
    replicates
        Estimates on each problem and batch size, by default what 25 seconds allow: fewer where
        what it is was plain before.
    seed
        Of the trajectories.
    claims
        As of ``pgbench.subject``, beside those that the function is decorated with: without any it
        must be unbiased for the gradient of the discounted return.

    Raises
    ------
    AssertionError
        If it is biased, or could not be judged.
    ValueError
        If it returns no estimate, or claims are wrong.
    """
    from pgbench.trials.examination import examine_code
    from pgbench.trials.user_file import UserCode
    from pgbench.trials.wording.conclusion import conclusion

    name = getattr(estimate, "__name__", type(estimate).__name__)
    # A function of its own, for claims are noted on it.
    own = subject(**claims)(_another(estimate)) if claims else estimate
    file = source(estimate) or type(estimate).__name__
    code = UserCode(Path(file), name, own)
    found = examine_code(code, replicates, seed, notices=StringIO())
    if not found.passed:
        raise AssertionError(conclusion(found))


def _another(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def same(batch: Any) -> Any:
        return function(batch)

    return same
