"""Calls of a user's code in this process; what stops them is tested through the command."""

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from pgbench.functions.result import UserError
from pgbench.trials.guard import guarded


@pytest.mark.parametrize("failing", [False, True])
def test_a_copy_of_the_process_that_the_call_makes_does_not_come_back(failing):
    def body():
        made = os.fork()
        if failing:
            raise RuntimeError("oh dear")
        return made

    with pytest.raises(UserError, match="oh dear") if failing else nullcontext():
        assert guarded(Path("mine.py"), "f", body) > 0
    _, code = os.wait()
    assert code == 0
