"""What a user gets without the repository: ``make package``.

Builds the source distribution and from it the wheel, installs the wheel in a virtual environment of
its own outside the tree, and tries there what a user does first. The source distribution is
unpacked elsewhere and has to pass its own tests. What has passed lies in ``dist/``.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from pgbench import __version__
from pgbench.cli.example import DEFAULT, examples

ROOT = Path(__file__).parents[1]

SMALL = """\
name: small
problems: {problem: garnet, n_states: 10, gamma: 0.9}
policies: softmax
estimators: [reinforce, td]
batch_sizes: [1, 4]
replicates: 100
"""

RIGHT = """\
import pgbench as pg

mdp = pg.make_problem("corridor")
policy = pg.make_policy("softmax", mdp)
theta = policy.initial(seed=0)
variance: float = pg.exact.moments(mdp, policy, theta, "td", horizon=9).variance.sum()
gradients = pg.sample_gradients(mdp, policy, theta, "td", horizon=9, seed=0).mean(axis=0)
"""

WRONG = {
    "pg.make_probelm('corridor')": "attr-defined",
    "pg.exact.momnets": "attr-defined",
    "pg.sample_gradients(1, 2, 3, 'td')": "arg-type",
    "pg.exact.moments(mdp, policy, theta, 'td').varience": "attr-defined",
}
"""Lines that a type checker refuses after those, and as what."""

QUICK = (
    "tests/test_readme.py", "tests/test_imports.py", "tests/test_mutations.py",
    "tests/test_packaging.py", "tests/cli/test_example.py", "tests/declared",
)  # fmt: skip
"""Tests that read files of the tree, and a room; all others are collected."""


def done(*command: str | Path, folder: Path) -> str:
    """What a command prints that must succeed; where it does not, all of it, and the end.

    It sees neither the tree nor what is installed for whoever calls it.
    """
    ours = {**os.environ, "PYTHONNOUSERSITE": "1"}
    ours.pop("PYTHONPATH", None)
    run = subprocess.run(command, cwd=folder, env=ours, capture_output=True, text=True)
    if run.returncode:
        words = " ".join(map(str, command))
        raise SystemExit(f"{words}\nends with {run.returncode}\n{run.stdout}{run.stderr}")
    return run.stdout


def say(text: str) -> None:
    """Tell what has been found, at once."""
    print(text, flush=True)


def require(condition: bool, complaint: str) -> None:
    """End with a complaint unless a condition holds."""
    if not condition:
        raise SystemExit(complaint)


def built(folder: Path) -> tuple[Path, Path]:
    """The source distribution of this tree, and the wheel that is built from it alone."""
    done(sys.executable, "-m", "build", "--outdir", folder, ROOT, folder=folder)
    (source,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    for file in (source, wheel):
        require(f"-{__version__}" in file.name, f"{file.name} is not of version {__version__}")
        say(f"{file.name}: {file.stat().st_size / 2**20:.1f} MiB")
    return source, wheel


def unpacked(source: Path, folder: Path) -> Path:
    """The tree in a source distribution: that of the repository, if this tree is in one."""
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    (tree,) = folder.iterdir()
    if (ROOT / ".git").exists():
        tracked = {*done("git", "ls-files", folder=ROOT).splitlines()}
        held = {file.relative_to(tree).as_posix() for file in tree.rglob("*") if file.is_file()}
        differ = sorted(held - {"PKG-INFO"} ^ tracked)
        require(not differ, f"not both in the repository and in {source.name}: {differ}")
        say(f"{source.name} holds the {len(tracked)} files of the repository")
    return tree


def installed(wheel: Path, folder: Path) -> Path:
    """Where programs lie of a new virtual environment that has the wheel and what it needs."""
    environment, constraints = folder / "environment", ROOT / "constraints.txt"
    done(sys.executable, "-m", "venv", environment, folder=folder)
    pip = (environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
    done(*pip, "install", "--quiet", "--constraint", constraints, wheel, folder=folder)
    done(*pip, "check", folder=folder)
    count = len(done(*pip, "list", "--format=freeze", folder=folder).splitlines())
    say(f"{wheel.name} is installed in an environment of {count} distributions")
    return environment / "bin"


def try_commands(programs: Path, folder: Path) -> None:
    """What a user types first, in an empty directory."""
    module, script = (programs / "python", "-m", "pgbench"), programs / "pg-bench"
    for command in (module, (script,)):
        told = done(*command, "--version", folder=folder)
        require(told == f"pgbench {__version__}\n", f"{command} --version says {told!r}")
    require("garnet" in done(script, "list", "problems", folder=folder), "garnet is not listed")
    require("usage: pg-bench" in done(script, "--help", folder=folder), "help has another name")
    lines = done(script, "example", "--list", folder=folder).splitlines()
    require([line.split()[0] for line in lines] == [*examples()], f"examples are {lines}")
    for name, file in examples().items():
        words = [] if name == DEFAULT else [name]
        text = done(*module, "example", *words, folder=folder)
        require(text == file.read_text("utf-8"), f"the example {name} is not {file}")
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        done(*module, "check", f"{name}.yaml", folder=folder)
        say(f"example {name} is as shipped, and valid")
    (folder / "small.yaml").write_text(SMALL, encoding="utf-8")
    say(done(script, "run", "small.yaml", folder=folder).rstrip())
    require((folder / "reports" / "small" / "index.html").exists(), "there is no report")


def try_types(programs: Path, folder: Path) -> None:
    """What a type checker says of code that uses the installed package, right and wrong."""
    (folder / "right.py").write_text(RIGHT, encoding="utf-8")
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", programs / "python")
    done(*mypy, "right.py", folder=folder)
    (folder / "wrong.py").write_text(RIGHT + "\n".join(WRONG), encoding="utf-8")
    run = subprocess.run([*mypy, "wrong.py"], cwd=folder, capture_output=True, text=True)
    for number, code in enumerate(WRONG.values(), RIGHT.count("\n") + 1):
        found = [line for line in run.stdout.splitlines() if f"wrong.py:{number}: error" in line]
        require(f"[{code}]" in "".join(found), f"line {number} is not found:\n{run.stdout}")
    done(programs / "python", "right.py", folder=folder)
    say(f"types are right of code that is, and wrong in each of {len(WRONG)} mistakes")


def try_tests(tree: Path) -> None:
    """The tests of an unpacked source distribution: all are collected, some run."""
    pytest = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    where = done(sys.executable, "-c", "import pgbench; print(pgbench.__file__)", folder=tree)
    require(Path(where.strip()).is_relative_to(tree), f"tests would import {where}")
    say(f"collected: {done(*pytest, '--collect-only', folder=tree).splitlines()[-1]}")
    say(f"run: {done(*pytest, *QUICK, folder=tree).splitlines()[-1]}")


def main() -> None:
    """Build, try everything, and leave in ``dist/`` what has passed."""
    with tempfile.TemporaryDirectory() as name:
        places = [Path(name) / word for word in ("built", "source", "wheel", "user")]
        for place in places:
            place.mkdir()
        out, source_folder, wheel_folder, user = places
        source, wheel = built(out)
        tree = unpacked(source, source_folder)
        programs = installed(wheel, wheel_folder)
        try_commands(programs, user)
        try_types(programs, user)
        try_tests(tree)
        for file in (source, wheel):
            (ROOT / "dist").mkdir(exist_ok=True)
            say(f"dist/{Path(shutil.copy(file, ROOT / 'dist')).name}")


if __name__ == "__main__":
    main()
