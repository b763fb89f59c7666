"""Orders to stop: heard wherever they come, obeyed in one way, forgotten afterwards."""

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import llvmlite.binding.executionengine as engine
import pytest
from numba import njit

from pgbench.harness import signals
from pgbench.harness.signals import ORDERS, Stopped, stoppable, unheard


@pytest.fixture(autouse=True)
def heard():
    """A parent may have had signals ignored; the suite's own handlers come back."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in ORDERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number=signal.SIGINT):
    os.kill(os.getpid(), number)


def wait(order, seconds=5.0):
    """Give an order, and the time to come again if it was dropped."""
    order()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        time.sleep(0.01)


@pytest.mark.parametrize("number", ORDERS)
def test_every_order_interrupts_and_handlers_are_put_back(number):
    with pytest.raises(KeyboardInterrupt), stoppable() as stop:
        wait(partial(send, number))
    assert stop.asked
    assert {signal.getsignal(n) for n in ORDERS} == {signal.default_int_handler}
    assert sys.unraisablehook is not stop.lost


@pytest.mark.parametrize("number", ORDERS)
def test_what_is_ignored_stays_ignored(number):
    """As ``nohup`` has it for SIGHUP, and a shell for SIGINT of what runs in the background."""
    signal.signal(number, signal.SIG_IGN)
    with stoppable() as stop:
        send(number)
    assert not stop.asked
    assert signal.getsignal(number) is signal.SIG_IGN


@pytest.mark.parametrize("number", ORDERS)
def test_processes_of_a_block_hear_no_orders_and_this_one_hears_them_after_it(number):
    with stoppable() as stop, suppress(KeyboardInterrupt):
        with unheard():
            process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
            process.send_signal(number)
            wait(partial(send, number), 0.1)
            assert not stop.asked
        wait(lambda: None)
    assert stop.asked
    process.communicate(b"\n")
    assert process.returncode == 0


def test_on_another_thread_nothing_changes():
    def body():
        with stoppable() as stop:
            found.append((stop.asked, signal.getsignal(signal.SIGTERM)))

    found = []
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [(False, signal.default_int_handler)]


def test_who_is_patient_is_interrupted_once_answered_once_and_obeyed_at_last(capfd):
    with stoppable(patient=True):
        with pytest.raises(Stopped):
            send()
        for number in (signal.SIGTERM, signal.SIGHUP):
            send(number)
        with pytest.raises(Stopped):
            send()
    assert capfd.readouterr().err.count("is being written") == 1


def test_who_is_not_patient_is_interrupted_each_time():
    with stoppable():
        for number in ORDERS:
            with pytest.raises(Stopped):
                send(number)


def test_what_is_held_is_not_interrupted(capfd):
    with stoppable(patient=True) as stop:
        stop.hold()
        send()
        assert stop.asked
        assert "once more to stop at once" in capfd.readouterr().err
        with pytest.raises(Stopped):
            send()


def test_an_answer_that_nobody_can_read_is_no_error(monkeypatch):
    def refused(descriptor, data):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(signals.os, "write", refused)
    with stoppable(patient=True) as stop:
        stop.hold()
        send()
    assert stop.asked


def test_an_order_while_llvm_calls_back_is_heard_later(monkeypatch):
    """There an exception is dropped, and what was compiled is lost with it."""

    def read(*arguments):
        send()
        read_before.append(string_at(*arguments))
        return read_before[-1]

    read_before, string_at = [], engine.string_at
    monkeypatch.setattr(engine, "string_at", read)
    with pytest.raises(Stopped), stoppable():
        wait(lambda: njit(lambda x: x + 1)(1))
    assert read_before


def test_an_interruption_that_a_destructor_drops_comes_again():
    class Kept:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped), stoppable():
        wait(Kept)


def test_other_exceptions_that_are_dropped_are_told_as_ever(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    class Failing:
        def __del__(self):
            raise ZeroDivisionError

    with stoppable():
        Failing()
    assert [one.exc_type for one in told] == [ZeroDivisionError]


def test_an_order_that_has_not_come_again_is_forgotten(monkeypatch):
    monkeypatch.setattr(signals, "SOON", 0.1)
    with stoppable() as stop:
        stop._repeat()
    wait(lambda: None, 0.3)
    assert not stop.asked


def test_the_module_loads_nothing_of_the_package():
    """It is loaded before anything else can be interrupted."""
    tree = ast.parse(Path(signals.__file__).read_text(encoding="utf-8"))
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not any(name.startswith("pgbench") for name in names)
