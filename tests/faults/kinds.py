"""Kinds of faults: what is done to a run, how often, and with what it may end."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from pgbench.results.journal import Journal
from tests.faults.place import Ended, Place, ended

OK, SOME_FAILED, BAD_OUTPUT = 0, 1, 2
KILLED = -signal.SIGKILL

ROOT = "mounts, which only root may do"

Act = Callable[[Place, Place, Random], list[Ended]]
"""Disturbs a run in the first place; in the second one lies what an undisturbed run left."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes
    ----------
    name
        In words, for the table.
    act
        What is done.
    codes
        Exit codes that it may end with.
    tries
        How often it is tried in the long campaign; each with a seed of its own.
    report
        Whether runs draw a report.
    needs
        What not every machine allows.
    """

    name: str
    act: Act
    codes: tuple[int, ...]
    tries: int
    report: bool = False
    needs: str = ""


CALLS = {"write": 10, "fsync": 13, "replace": 3, "ftruncate": 7, "open": 13}
"""How often an undisturbed run makes a call, without a report."""

WRITING = ["write", "fsync", "replace"]
"""Calls after each of which something else is on disk."""

REPORTING = 100
"""How many of those a run makes that is finished, and draws a report."""


def _at_random(calls: Sequence[str], random: Random) -> dict[str, Any]:
    return {"calls": calls, "at": random.randint(1, sum(CALLS[call] for call in calls))}


def killed_at_a_call(place: Place, whole: Place, random: Random) -> list[Ended]:
    return [place.run({"act": "kill", **_at_random(WRITING, random)})]


def killed_in_a_report(place: Place, whole: Place, random: Random) -> list[Ended]:
    place.copy(whole)
    fault = {"act": "kill", "calls": WRITING, "at": random.randint(1, REPORTING)}
    return [place.run(fault, report=True)]


def killed_at_a_moment(place: Place, whole: Place, random: Random) -> list[Ended]:
    process = place.start(report=True)
    time.sleep(random.uniform(0, 1.2 * whole.seconds))
    process.kill()
    return [ended(process)]


def killed_again_and_again(place: Place, whole: Place, random: Random) -> list[Ended]:
    faults = [{"act": "kill", **_at_random(WRITING, random)} for _ in range(4)]
    return [place.run(fault) for fault in faults]


def refused(*calls: str, codes: tuple[str, ...], lasting: bool) -> Act:
    """Calls that fail, once or from then on."""

    def act(place: Place, whole: Place, random: Random) -> list[Ended]:
        fault = {"act": "refuse", **_at_random(calls, random), "code": random.choice(codes)}
        return [place.run({**fault, "until": 10**6 if lasting else fault["at"]})]

    return act


def limited(of: str, rooms: tuple[int, ...], late: bool) -> Act:
    """Limits of the process, from the start or from a call on."""

    def act(place: Place, whole: Place, random: Random) -> list[Ended]:
        when = _at_random(WRITING, random) if late else {"at": 0}
        return [place.run({"act": "limit", "of": of, "room": random.choice(rooms), **when})]

    return act


def damaged(damage: Callable[[bytes, Random], bytes]) -> Act:
    """What is done to the bytes of a finished journal."""

    def act(place: Place, whole: Place, random: Random) -> list[Ended]:
        place.directory.mkdir()
        place.journal.write_bytes(damage(whole.journal.read_bytes(), random))
        return []

    return act


def cut(data: bytes, random: Random) -> bytes:
    """Cut short within the last two records."""
    return data[: random.randrange(_start_of_last(data, 2), len(data))]


def _start_of_last(data: bytes, lines: int) -> int:
    return len(data) - len(b"".join(data.splitlines(keepends=True)[-lines:]))


def flipped(data: bytes, random: Random) -> bytes:
    """Some bits are the other way round."""
    wrong = bytearray(data)
    for _ in range(random.choice((1, 3, 30))):
        wrong[random.randrange(len(wrong))] ^= 1 << random.randrange(8)
    return bytes(wrong)


def shuffled(data: bytes, random: Random) -> bytes:
    """Lines change places, or stand there twice."""
    lines = data.splitlines(keepends=True)
    for _ in range(3):
        i, j = (random.randrange(len(lines)) for _ in "ij")
        lines[i], lines[j] = lines[j], lines[i]
        lines.insert(random.randrange(len(lines)), random.choice(lines))
    return b"".join(lines)


def littered(data: bytes, random: Random) -> bytes:
    """Something else between the lines, or within them."""
    for _ in range(3):
        at = random.choice((random.randrange(len(data)), data.index(b"\n") + 1))
        data = data[:at] + random.choice(LITTER) + data[at:]
    return data


LITTER = (
    b"\n",
    b"\0" * 5000,
    b"hello\n",
    b"\xff\xfe\r\n",
    b"[" * 9000 + b"\n",
    b'{"kind":"cell"}\n',
)


def cut_everywhere(place: Place, whole: Place, random: Random) -> list[Ended]:
    """Cut at every byte of the last two records: all that ended before is read, and no more."""
    data = whole.journal.read_bytes()
    place.directory.mkdir()
    start = _start_of_last(data, 2)
    for end in range(start, len(data)):
        place.journal.write_bytes(data[:end])
        journal = Journal.open(place.directory)
        left = data[: data[:end].rindex(b"\n") + 1]
        assert journal.notes == []
        assert place.journal.read_bytes() == left
    return []


@contextmanager
def memory_disk(directory: Path, size: int) -> Iterator[None]:
    """A file system of some KiB; it has room in plenty when the block ends."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", directory], check=True)
    try:
        yield
    finally:
        kept = directory.with_name("kept")
        shutil.copytree(directory, kept)
        subprocess.run(["umount", directory], check=True)
        directory.rmdir()
        kept.rename(directory)


def full_disk(place: Place, whole: Place, random: Random) -> list[Ended]:
    with memory_disk(place.output, random.choice((4, 8, 16, 40, 60, 100, 200, 300, 400, 500))):
        return [place.run()]


def full_disk_of_reports(place: Place, whole: Place, random: Random) -> list[Ended]:
    place.copy(whole)
    place.reports.mkdir()
    with memory_disk(place.reports, random.choice((4, 40, 200, 700, 1500))):
        return [place.run(report=True)]


def read_only_disk(place: Place, whole: Place, random: Random) -> list[Ended]:
    with memory_disk(place.output, 4096):
        place.copy(whole)
        place.journal.write_bytes(cut(place.journal.read_bytes(), random))
        subprocess.run(["mount", "-o", "remount,ro", place.output], check=True)
        return [place.run()]


def two_at_once(place: Place, whole: Place, random: Random) -> list[Ended]:
    first = place.start()
    time.sleep(random.uniform(0, whole.seconds))
    second = place.start()
    return [ended(first), ended(second)]


def two_cold_starts(place: Place, whole: Place, random: Random) -> list[Ended]:
    """On one empty cache of compiled kernels, each with an output of its own."""
    other = Place(place.root / "other")
    cold = {"NUMBA_CACHE_DIR": str(place.root / "cache")}
    processes = [p.start(environment=cold) for p in (place, other)]
    return [ended(process) for process in processes]


def closed_output(place: Place, whole: Place, random: Random) -> list[Ended]:
    """Nobody reads what the run says, or there is nowhere to say it."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = random.choice(("stdout", "stderr"))
    full = random.choice((True, False))
    target = os.open("/dev/full", os.O_WRONLY) if full else writer
    try:
        return [place.run(quiet=False, **{stream: target})]
    finally:
        os.close(writer)
        if full:
            os.close(target)


SURROUNDINGS = (
    {"COLUMNS": "20"},
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"HOME": None, "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None},
    {"HOME": "/proc", "XDG_CACHE_HOME": "/proc", "XDG_CONFIG_HOME": "/proc"},
    {"TMPDIR": "/nowhere", "MPLCONFIGDIR": "/proc"},
)


def surroundings(place: Place, whole: Place, random: Random) -> list[Ended]:
    """Narrow terminals, ASCII, no home; the seed chooses."""
    return [place.run(report=True, environment=random.choice(SURROUNDINGS))]


DISK = ("EIO", "ENOSPC", "EROFS", "EDQUOT")

KINDS = (
    Kind("killed at a write, flush or rename", killed_at_a_call, (OK, KILLED), 20),
    Kind("killed while the report is written", killed_in_a_report, (OK, KILLED), 12, report=True),
    Kind("killed at a random moment", killed_at_a_moment, (OK, KILLED), 12, report=True),
    Kind("killed four times in a row", killed_again_and_again, (OK, KILLED), 4),
    Kind(
        "a write, flush or rename fails once",
        refused(*WRITING, "ftruncate", codes=DISK, lasting=False),
        (OK, BAD_OUTPUT),
        20,
    ),
    Kind(
        "every write, flush and rename fails from then on",
        refused(*WRITING, "ftruncate", codes=DISK, lasting=True),
        (OK, BAD_OUTPUT),
        12,
    ),
    Kind(
        "nothing can be repaired: cutting back fails too",
        refused("write", "ftruncate", codes=DISK, lasting=True),
        (OK, BAD_OUTPUT),
        6,
    ),
    Kind("no file can be opened", refused("open", codes=("EMFILE",), lasting=True), (0, 1, 2), 6),
    Kind("a disk that fills up", full_disk, (OK, BAD_OUTPUT), 10, needs=ROOT),
    Kind(
        "a disk that fills up under the report",
        full_disk_of_reports,
        (OK, BAD_OUTPUT),
        5,
        report=True,
        needs=ROOT,
    ),
    Kind("a disk that is read-only", read_only_disk, (BAD_OUTPUT,), 2, needs=ROOT),
    Kind(
        "files may not be larger (RLIMIT_FSIZE)",
        limited("FSIZE", (100, 10_000, 60_000, 300_000), late=False),
        (OK, BAD_OUTPUT),
        8,
    ),
    Kind(
        "no more files (RLIMIT_NOFILE)",
        limited("NOFILE", (-4, -3, -2, -1, 0, 1), late=True),
        (OK, SOME_FAILED, BAD_OUTPUT),
        8,
    ),
    Kind(
        "no more memory (RLIMIT_AS)",
        limited("AS", (0, 2**20, 2**24, 2**26), late=True),
        (OK, SOME_FAILED, BAD_OUTPUT),
        8,
    ),
    Kind("a journal cut at every byte of two records", cut_everywhere, (), 1),
    Kind("a journal cut short", damaged(cut), (), 8),
    Kind("a journal with flipped bits", damaged(flipped), (), 20),
    Kind("a journal with swapped and doubled lines", damaged(shuffled), (), 10),
    Kind("a journal with garbage in it", damaged(littered), (), 12),
    Kind("two runs on one output at once", two_at_once, (OK, BAD_OUTPUT), 4),
    Kind("two cold starts on one cache of kernels", two_cold_starts, (OK,), 1),
    Kind("closed pipes and full ones", closed_output, (OK, BAD_OUTPUT), 6),
    Kind("narrow, ASCII, without a home", surroundings, (OK,), 8, report=True),
)
