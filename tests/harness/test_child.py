"""A call in a child: its answer, or one sentence about why there is none, and nothing left over."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from pgbench.harness import child as door
from pgbench.harness.child import Child, ChildError, ChildTimeout, doing
from tests.support import children

ENDINGS = {
    "an exit": (os._exit, 0, "the call ended its process, with exit code 0"),
    "another exit": (os._exit, 7, "the call ended its process, with exit code 7"),
    "sys.exit": (sys.exit, 0, "the call ended its process, sys.exit(0)"),
    "an abort": (signal.raise_signal, 6, "the call ended its process by signal 6, Aborted"),
    "a wrong address": (
        ctypes.string_at, 0, "the call ended its process by signal 11, Segmentation fault",
    ),
    "closed pipes": (
        partial(os.closerange, 3), 99, "the call closed the pipe to its parent process and was st",
    ),
    "in the midst of it": (
        children.vanish_while, "mine.py: γ", "mine.py: γ ended its process, with exit code 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ENDINGS)
def test_a_child_that_vanishes_is_one_sentence_and_the_next_call_starts_another(case):
    function, argument, sentence = ENDINGS[case]
    with Child() as child:
        before = child.perform(os.getpid)
        with pytest.raises(ChildError) as caught:
            child.perform(function, argument)
        assert str(caught.value).startswith(sentence)
        if case != "sys.exit":
            assert child.perform(os.getpid) != before
        assert child.perform(abs, -1) == 1


def test_a_child_that_the_system_kills_says_what_it_held():
    with Child() as child, pytest.raises(ChildError, match=r"signal 9.*memory runs out \(when"):
        child.perform(signal.raise_signal, signal.SIGKILL)


def test_a_child_stays_for_the_next_calls_and_is_gone_after_the_block():
    with Child() as child:
        pid = child.perform(os.getpid)
        assert child.perform(os.getpid) == pid != os.getpid()
    assert not is_alive(pid)


def test_one_that_has_ended_between_calls_is_replaced():
    with Child() as child:
        os.kill(child.perform(os.getpid), signal.SIGKILL)
        time.sleep(0.1)
        assert child.perform(abs, -2) == 2


def test_every_child_is_prepared():
    with Child(prepare=partial(children.prepare, "one")) as child:
        for _ in range(2):
            assert child.perform(children.prepared) == ["one"]
            with pytest.raises(ChildError):
                child.perform(os._exit, 0)


def test_what_prepares_may_fail_or_vanish():
    with Child(prepare=children.fail) as child, pytest.raises(ValueError, match="oh dear"):
        child.perform(abs, 1)
    with Child(prepare=partial(os._exit, 4)) as child, pytest.raises(ChildError, match="code 4"):
        child.perform(abs, 1)


def test_compiled_code_that_does_not_return_is_stopped():
    """By the time of the call, or by that of what it is doing, which its message names."""
    with Child() as child:
        with pytest.raises(ChildTimeout, match=r"the call did not return within 0.3 s and was st"):
            child.perform(children.hold_the_interpreter, 60, seconds=0.3)
        with pytest.raises(ChildTimeout, match=r"mine.py: f did not return within 0.2 s"):
            child.perform(children.hold_the_interpreter_as, "mine.py: f", 0.2)


def test_a_child_that_holds_too_much_memory_is_stopped():
    sentence = r"the call held 0\.\d+ GiB of memory, at most 0.0977 GiB are allowed, and was stop"
    with Child(memory_bytes=100 * 2**20) as child, pytest.raises(ChildError, match=sentence):
        child.perform(children.take, 200 * 2**20)


def test_a_copy_that_the_call_makes_of_its_process_does_not_answer():
    with Child() as child:
        pid = child.perform(os.getpid)
        assert [child.perform(children.fork_and_return) for _ in range(3)] == [pid] * 3


def test_grandchildren_end_with_their_parent(capfd):
    with Child() as child:
        left = child.perform(children.leave_a_grandchild, "and return")
        assert is_alive(left)
    assert not is_alive(left)
    with Child() as child:
        with pytest.raises(ChildError):
            child.perform(children.leave_a_grandchild, "and vanish")
        assert not is_alive(int(capfd.readouterr().out))


def test_closed_streams_do_not_matter(capfd):
    with Child() as child:
        assert child.perform(children.close_the_streams) == "here"
    assert capfd.readouterr().out == "printed before\n"


def test_what_is_printed_and_warned_of_is_seen(capfd, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mine"])
    with Child() as child:
        assert child.perform(children.warn_and_print) == ("mine", os.getcwd())
    printed = capfd.readouterr()
    assert printed.out == "to the output\n"
    assert "to the errors\n" in printed.err
    assert "UserWarning: careful" in printed.err


def test_exceptions_come_as_they_are_or_as_the_kinds_that_commands_know():
    with Child() as child:
        with pytest.raises(ValueError, match="OwnError: oh dear") as caught:
            child.perform(children.fail)
        assert type(caught.value) is ValueError
        assert "in fail" in caught.value.__notes__[0]
        with pytest.raises(KeyboardInterrupt):
            child.perform(signal.raise_signal, signal.SIGINT)
        with pytest.raises(ZeroDivisionError):
            child.perform(divmod, 1, 0)


def test_nothing_happens_in_a_process_that_is_no_child():
    with doing("nothing", 0):
        door.postpone(0)


PARENT = """
import os, time
from pgbench.harness.child import Child
from tests.support import children
child = Child()
print(os.getpid(), child.perform(os.getpid), flush=True)
child.perform(children.hold_the_interpreter, 60)
"""
"""A script that has no ``if __name__ == "__main__"``."""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_child_ends_with_its_parent(tmp_path, sent):
    """However the parent ends, though compiled code does not return; ^C is for the parent alone."""
    script = tmp_path / "script.py"
    script.write_text(PARENT, encoding="utf-8")
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": root},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as parent:  # fmt: skip
        pids = [int(word) for word in parent.stdout.readline().split()]
        time.sleep(0.2)
        assert all(map(is_alive, pids))
        os.killpg(parent.pid, sent)
        _, errors = parent.communicate(timeout=10)
    assert ("KeyboardInterrupt" in errors) == (sent == signal.SIGINT)
    assert errors.count("Traceback") == (sent == signal.SIGINT)
    assert not any(map(is_alive, pids))


def is_alive(pid):
    """Whether a process runs, one that has just been told to end being given the time."""
    for _ in range(30):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        if state == "Z":
            return False
        time.sleep(0.01)
    return True
