"""``test``: examine an estimator of one's own."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from pgbench.cli.exit_codes import BAD_INPUT, NOT_RIGHT, OK
from pgbench.cli.notes import notes

HELP = "examine an estimator of your own: bias, variance, what it resembles"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    command.add_argument(
        "file", type=Path, help="Python file with `def estimate(batch)` or a record"
    )
    command.add_argument(
        "--function", help="name in the file; default: estimate, or its only record"
    )
    command.add_argument(
        "--replicates", type=int, help="per problem; default: what the time allows"
    )
    command.add_argument("--seed", type=int, default=0, help="default: 0")
    command.add_argument(
        "--skip-nan", action="store_true", help="leave out estimates that are not finite numbers"
    )
    command.add_argument(
        "--battery",
        choices=("general", "sequences", "continuous"),
        help="problems that it is tried on, before what the file says: general, by default, token"
        " sequences in groups, or linear systems with Gaussian actions",
    )
    command.add_argument(
        "--sampler", help="what draws the data: a name, or the JSON of a mapping as in a grid"
    )
    command.add_argument("--objective", help="what is maximised, in the same form; default: J")
    command.add_argument(
        "--policy", help="π, in the same form, such as a network of your own: docs/own-policy.md"
    )


def act(options: argparse.Namespace) -> int:
    """Do it; the exit code. The user's code runs in a child, which it may end as it likes."""
    from pgbench.harness.child import Child, ChildError, ChildTimeout

    names = (
        "function", "replicates", "seed", "skip_nan", "battery", "sampler", "objective", "policy"
    )  # fmt: skip
    chosen = {name: getattr(options, name) for name in names}
    try:
        with Child() as child:
            passed, page = child.perform(_examined, options.file, chosen)
    except ChildError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT if isinstance(error, ChildTimeout) else NOT_RIGHT
    sys.stdout.write(page)
    return OK if passed else NOT_RIGHT


def _examined(path: Path, chosen: dict[str, Any]) -> tuple[bool, str]:
    """Whether an estimator passed, and the page about it."""
    from pgbench.harness.child import doing
    from pgbench.trials.wording import blank_page

    page = blank_page()
    # The user's code may close the stream that everybody prints on; there may be none.
    errors = os.dup(sys.stderr.fileno()) if sys.stderr else os.open(os.devnull, os.O_WRONLY)
    with os.fdopen(errors, "w") as own, notes(), doing(path.name):
        passed = _judged(path, chosen, own, page)
    return passed, page.file.getvalue()  # type: ignore[attr-defined]


def _judged(path: Path, chosen: dict[str, Any], notices: TextIO, page: Any) -> bool:
    """Whether what a file holds passed; what is found is printed on the page."""
    from pgbench.trials.examination import examine_code
    from pgbench.trials.learners import judge
    from pgbench.trials.user_file import load
    from pgbench.trials.wording import print_examination, print_learner

    code = load(path, chosen.pop("function"))
    if code.ascent is not None:
        learner = judge(code, seed=chosen["seed"])
        print_learner(learner, page)
        return learner.passed
    found = examine_code(code, notices=notices, **chosen)
    print_examination(found, page)
    return found.passed
