"""Children side by side: their answers, and that nothing is left of them."""

import os
import time

import pytest

from pgbench.harness.child import ChildError
from pgbench.harness.crew import Crew
from tests.support import children


def test_every_child_is_a_process_of_its_own_that_stays():
    with Crew(2) as crew:
        pids = [crew.submit(place, os.getpid).result() for place in (0, 1, 0, 1)]
        assert pids[:2] == pids[2:]
        assert len({*pids, os.getpid()}) == 3
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_calls_of_one_child_are_performed_in_their_order():
    with Crew(1) as crew:
        first, second = crew.submit(0, time.sleep, 0.1), crew.submit(0, os.getpid)
        second.result()
        assert first.done()


def test_every_child_is_prepared_and_can_be_told_the_same():
    with Crew(2, children.prepare_one) as crew:
        crew.each(children.prepare, "two")
        for place in (0, 1):
            assert crew.submit(place, children.prepared).result() == ["one", "two"]


@pytest.mark.parametrize("number", [0, 1, 2, 7])
def test_items_are_shared_and_answers_know_theirs(number):
    with Crew(2) as crew:
        found = dict(crew.unordered(abs, [-k for k in range(number)]))
    assert found == {k: k for k in range(number)}


def test_what_an_item_raises_is_raised():
    with Crew(2) as crew, pytest.raises(TypeError, match="bad operand"):
        list(crew.unordered(abs, [1, "two", 3]))


def test_a_child_that_vanishes_loses_its_call_alone():
    with Crew(2) as crew:
        lost, kept = crew.submit(0, os._exit, 3), crew.submit(1, abs, -1)
        with pytest.raises(ChildError, match="exit code 3"):
            lost.result()
        assert (kept.result(), crew.submit(0, abs, -2).result()) == (1, 2)


def test_what_children_do_is_broken_off_at_the_end_of_the_block():
    begin = time.perf_counter()
    with Crew(2) as crew:
        pid = crew.submit(0, os.getpid).result()
        calls = [crew.submit(0, time.sleep, 60), crew.submit(0, abs, 1)]
        time.sleep(0.3)
    assert time.perf_counter() - begin < 30
    with pytest.raises(ChildError):
        calls[0].result()
    assert calls[1].cancelled()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
