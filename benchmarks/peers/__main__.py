"""``python -m benchmarks.peers``: check and time every contender, write table, figure and data."""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.peers.contenders import CONTENDERS
from benchmarks.peers.race import available_cores, race
from benchmarks.peers.worker import WorkerError

HERE = Path(__file__).parent
QUICK = Path("build/peers")


def main(arguments=None):
    """Exit code: 0 fine, 1 a contender is wrong or died, 2 bad input."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument(
        "--sizes", type=_counts, help="numbers of states (10,1000,100000,1000000; quick: 10,1000)"
    )
    parser.add_argument("--rounds", type=_count, help="laps of every contender (7; quick: 5)")
    parser.add_argument("--threads", type=_counts, help="numbers of threads (1,2)")
    parser.add_argument("--only", type=_names, help=f"of {', '.join(CONTENDERS)}")
    parser.add_argument(
        "--quick", action="store_true", help="two sizes, short laps, to build/peers"
    )
    parser.add_argument("--output", type=Path, help="directory to write to (benchmarks/peers)")
    given = parser.parse_args(arguments)
    sizes = given.sizes or ((10, 1000) if given.quick else (10, 1000, 100_000, 1_000_000))
    if min(sizes) < 4:
        parser.error(f"--sizes: {min(sizes)} states, must be at least 4, the successors of a pair")
    threads = given.threads or tuple(n for n in (1, 2) if n <= available_cores())
    if max(threads) > available_cores():
        parser.error(f"--threads: {max(threads)}, must be at most {available_cores()}, the cores")
    chosen = {}
    for name in given.only or CONTENDERS:
        if reason := CONTENDERS[name].absence():
            print(f"{name} is left out: {reason}")
        else:
            chosen[name] = CONTENDERS[name]
    if not chosen:
        parser.error("no contender is left")
    try:
        result = race(
            chosen,
            sizes,
            threads,
            rounds=given.rounds or (5 if given.quick else 7),
            seconds=0.05 if given.quick else 0.25,
        )
    except WorkerError as error:
        print(error, file=sys.stderr)
        return 1
    output = given.output or (QUICK if given.quick else HERE)
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1) + "\n"
    (output / "peers.json").write_text(text, encoding="utf-8")
    if not result["laps"]:
        print("no contender was timed", file=sys.stderr)
        return 1

    from benchmarks.peers.figure import draw
    from benchmarks.peers.table import table

    text = table(result)
    (output / "table.md").write_text(text, encoding="utf-8")
    draw(result, output / "peers.png")
    print(text)
    print(f"written to {output}: table.md, peers.png, peers.json")
    return 1 if any(not check["passed"] for check in result["checks"]) else 0


def _count(text):
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _counts(text):
    return tuple(sorted({_count(part) for part in text.split(",")}))


def _names(text):
    unknown = [name for name in text.split(",") if name not in CONTENDERS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} is unknown, must be of {', '.join(CONTENDERS)}"
        )
    return text.split(",")


if __name__ == "__main__":
    sys.exit(main())
