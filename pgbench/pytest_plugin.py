"""Pytest: functions of test files that say what they estimate are tests of just that.

Whatever is decorated with ``pgbench.subject`` or ``pgbench.estimates`` in a test file is judged as
``python -m pgbench test`` judges it, and fails with the verdict as message.
"""

from collections.abc import Callable
from typing import Any

import pytest

from pgbench.declared.claims import is_declared


class Judged(pytest.Item):
    """A function of a batch as a test."""

    def __init__(self, *, function: Callable[..., Any], **given: Any) -> None:
        super().__init__(**given)
        self.function = function

    def runtest(self) -> None:
        """AssertionError unless the function is what it claims."""
        from pgbench.testing import assert_unbiased

        assert_unbiased(self.function)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """The verdict, or what is wrong with the function, alone."""
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Where the function is."""
        return self.path, self.function.__code__.co_firstlineno - 1, f"pgbench: {self.name}"


def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> Judged | None:
    """A test for what says that it is a function of a batch."""
    if callable(obj) and is_declared(obj):
        item: Judged = Judged.from_parent(collector, name=name, function=obj)
        return item
    return None
