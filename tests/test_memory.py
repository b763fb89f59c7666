"""What memory there is, by files of Linux as they are with and without limits."""

import ctypes
import subprocess
import sys
from math import inf

import numpy as np
import pytest

from pgbench import memory
from pgbench.memory import NotEnoughMemory, available, explained, in_words, require_memory

GIB = 2**30
LIMIT = "{:<25} {:<20} {:<20} {:<10}\n"


@pytest.fixture
def machine(tmp_path):
    """``machine({path: text})``: a folder that looks like the root of a machine with 8 GiB free."""

    def made(files):
        meminfo = f"MemTotal: {16 * 2**20} kB\nMemAvailable:   {8 * 2**20} kB\nHugePages_Total: 0\n"
        for name, text in ({"proc/meminfo": meminfo} | files).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return made


def group(folder, limit, used, files):
    """A control group of version 2."""
    return {
        f"{folder}/memory.max": f"{limit}\n",
        f"{folder}/memory.current": f"{used}\n",
        f"{folder}/memory.stat": f"anon {used - files}\ninactive_file {files}\n",
    }


def test_what_a_process_is_allowed_counts_less_what_it_holds(machine, monkeypatch):
    monkeypatch.setattr(memory, "_allowed", inf)
    root = machine({"proc/self/status": f"VmRSS: {2**20} kB\n"})
    assert available(root) == 8 * GIB
    memory.allow(3 * GIB)
    assert available(root) == 2 * GIB


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="no glibc")
def test_freed_arrays_are_used_again_without_a_fault():
    """Of 80 arrays of 1 MiB, each with 256 pages, which glibc would give back every time.

    In a process of its own, whose heap holds nothing else; the best of several times counts.
    """
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    kept, plain = map(int, run.stdout.split())
    assert kept < 2000 < 10_000 < plain


FAULTS = """
import resource
import numpy as np
from pgbench import memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [np.ones(2**17) for _ in range(80)]
    held.clear()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

plain = min(faults() for _ in range(6))
memory.keep_freed()
print(min(faults() for _ in range(6)), plain)
"""


def test_where_nothing_tells_nothing_is_refused(tmp_path):
    assert available(tmp_path) == inf


def test_the_machine_says_what_is_left(machine):
    assert available(machine({})) == 8 * GIB


def test_a_control_group_leaves_its_limit_less_what_is_used(machine):
    files = group("sys/fs/cgroup/a/b", 3 * GIB, 2 * GIB, GIB // 2)
    files["proc/self/cgroup"] = "0::/a/b\n"
    assert available(machine(files)) == 1.5 * GIB


def test_groups_that_hold_the_group_count_too(machine):
    files = group("sys/fs/cgroup/a", 2 * GIB, GIB, 0) | group("sys/fs/cgroup/a/b", "max", GIB, 0)
    files["proc/self/cgroup"] = "0::/a/b\n"
    assert available(machine(files)) == GIB


def test_in_a_container_the_group_is_the_root(machine):
    files = group("sys/fs/cgroup", 4 * GIB, GIB, 0)
    files["proc/self/cgroup"] = "0::/docker/0123\n"
    assert available(machine(files)) == 3 * GIB


def test_the_first_version_of_control_groups(machine):
    folder = "sys/fs/cgroup/memory/a"
    files = {
        f"{folder}/memory.limit_in_bytes": f"{2 * GIB}\n",
        f"{folder}/memory.usage_in_bytes": f"{GIB}\n",
        f"{folder}/memory.stat": f"inactive_file 7\ntotal_inactive_file {GIB // 4}\n",
        "proc/self/cgroup": "9:cpu,cpuacct:/a\n4:memory:/a\n0::/\n",
    }
    assert available(machine(files)) == 1.25 * GIB


@pytest.mark.parametrize(
    ("limit", "used"), [("Max address space", "VmSize"), ("Max data size", "VmData")]
)
def test_limits_of_the_process(machine, limit, used):
    head = LIMIT.format("Limit", "Soft Limit", "Hard Limit", "Units")
    other = LIMIT.format("Max cpu time", "unlimited", "unlimited", "seconds")
    files = {
        "proc/self/limits": head + other + LIMIT.format(limit, 2 * GIB, "unlimited", "bytes"),
        "proc/self/status": f"Name:\tpython\n{used}:\t {2**20} kB\n",
    }
    assert available(machine(files)) == GIB


def test_what_is_over_its_limit_has_nothing_left(machine):
    files = group("sys/fs/cgroup", GIB, 2 * GIB, 0)
    files["proc/self/cgroup"] = "0::/\n"
    assert available(machine(files)) == 0


def test_what_does_not_fit_is_refused_in_a_sentence():
    require_memory("a number", 8)
    message = r"a world takes about 953,674,316,406,250 GiB of memory, .* [MG]iB are available"
    with pytest.raises(NotEnoughMemory, match=message):
        require_memory("a world", 1024e21)
    with pytest.raises(NotEnoughMemory, match="takes about inf GiB"):
        require_memory("a world", inf)


def test_what_did_not_fit_says_what_was_being_made():
    with (
        pytest.raises(NotEnoughMemory, match=r"a table needs another 2,097,152 GiB of memory, "),
        explained("a table"),
    ):
        np.empty(2**48)
    with pytest.raises(NotEnoughMemory, match="a list needs more memory, "), explained("a list"):
        raise MemoryError
    with pytest.raises(NotEnoughMemory, match=r"^as it was$"), explained("a thing"):
        raise NotEnoughMemory("as it was")


def test_a_limit_set_by_the_shell_is_seen():
    """4 GiB of address space, of which the interpreter takes some."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32));"
        "from pgbench.memory import available; print(available())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < float(done.stdout) < 2**32


@pytest.mark.parametrize(
    ("size", "words"),
    [(2**20, "1 MiB"), (3 * 2**29, "1.5 GiB"), (2**41, "2,048 GiB"), (0, "0 MiB")],
)
def test_sizes_in_words(size, words):
    assert in_words(size) == words
