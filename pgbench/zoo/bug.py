"""A bug is a wrong estimator with the claim that it makes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pgbench.estimators import Estimator
from pgbench.parameters import Parameter


@dataclass(frozen=True)
class Bug:
    """A wrong estimator.

    Attributes
    ----------
    estimator
        The wrong one; its name is that of the bug.
    claims, given
        Name and parameters of the correct estimator whose moments it claims to have.
    mistake
        What is wrong, in a sentence.
    source
        Where it was seen.
    """

    estimator: Estimator
    claims: str
    mistake: str
    source: str
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the bug."""
        return self.estimator.name

    @property
    def parameters(self) -> dict[str, Parameter]:
        """None: a bug has nothing to choose."""
        return {}
