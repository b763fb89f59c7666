"""How kernels are compiled, and where compiled code is kept.

Options stand in one place; code is never stale, nor in the way where nothing can be written.
"""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pgbench.kernels import jit, keeping

PROBE = """
from pgbench.kernels.driven import outcome
from pgbench.kernels.jit import kernel


@kernel
def probe(distribution, u):
    return outcome(distribution, u)
"""
"""A kernel in another file than the helper that becomes part of it."""

CALLED = """
import numpy as np
from pgbench.kernels.streams import _multiply
from pgbench.kernels.probe import probe
_multiply(np.uint64(3), np.uint64(5))  # numba reads its settings anew when it has compiled
print(probe(np.array([0.5, np.inf]), 0.7))
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the kernels that can be edited."""
    root = tmp_path / "copy" / "pgbench"
    root.mkdir(parents=True)
    (root / "__init__.py").touch()
    source = Path(jit.__file__).parent
    shutil.copytree(source, root / "kernels", ignore=shutil.ignore_patterns("__pycache__", "cuda"))
    (root / "kernels" / "probe.py").write_text(PROBE)
    return root


def called(package, **changed):
    """What the probe says in a process of its own; None removes a variable."""
    environment = os.environ | {"PYTHONPATH": str(package.parent)} | changed
    environment.pop("NUMBA_CACHE_DIR", None)
    environment = {name: value for name, value in environment.items() if value is not None}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", CALLED],
        env=environment, cwd=package.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


def kept(place):
    """Directories that hold compiled code."""
    return {path.parent for path in place.rglob("*.nbi")}


def test_an_edited_helper_changes_what_is_computed(package, tmp_path):
    cache = tmp_path / "cache"
    assert called(package, XDG_CACHE_HOME=str(cache)) == 1
    assert called(package, XDG_CACHE_HOME=str(cache)) == 1
    (before,) = kept(cache)
    helper = package / "kernels" / "driven.py"
    helper.write_text(helper.read_text().replace("    return k\n", "    return k + 10\n", 1))
    assert called(package, XDG_CACHE_HOME=str(cache)) == 11
    assert len(kept(cache) - {before}) == 1
    assert not kept(package)


COUNTED = """
from numba.core import event
compiled = []
class Counter(event.Listener):
    def on_start(self, event):
        compiled.append(event.data["dispatcher"].py_func.__name__)
    def on_end(self, event):
        pass
event.register("numba:compile", Counter())
import numpy as np
from pgbench.kernels.probe import probe
assert probe(np.array([0.5, np.inf]), 0.7) == 1
print(*[name for name in compiled if name in ("probe", "outcome")])
"""


def test_of_two_processes_one_compiles_and_the_other_waits(package, tmp_path):
    environment = os.environ | {
        "PYTHONPATH": str(package.parent),
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
    }
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", COUNTED],
            env=environment,
            cwd=package.parent,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    compiled = [name for run in runs for name in run.communicate()[0].split()]
    assert [run.returncode for run in runs] == [0, 0]
    assert sorted(compiled) == ["outcome", "probe"]


@pytest.mark.parametrize("temporary", [True, False], ids=["temporary only", "nowhere"])
def test_kernels_run_where_nothing_can_be_written(package, tmp_path, temporary):
    """A file in place of a folder, and links to it, refuse everybody, root too."""
    wall = tmp_path / "wall"
    wall.touch()
    (package / "kernels" / "__pycache__").touch()
    folder = tmp_path / "temporary"
    folder.mkdir()
    place = str(folder if temporary else wall)
    changed = {"HOME": str(wall), "XDG_CACHE_HOME": None, "TMPDIR": place}
    if not temporary:
        changed["NUMBA_CACHE_DIR"] = str(wall)
    assert called(package, PYTHONDONTWRITEBYTECODE="1", **changed) == 1
    if temporary:
        assert len(kept(folder)) == 1


def test_without_any_place_nothing_is_kept(monkeypatch):
    def none():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(keeping.tempfile, "gettempdir", none)
    monkeypatch.setenv("NUMBA_CACHE_DIR", os.devnull)
    assert keeping._cache_directory() is None
    monkeypatch.setattr(keeping, "CACHE_DIRECTORY", None)

    @jit.kernel
    def doubled(x):
        return 2 * x

    assert doubled(3) == 6
    assert doubled.stats.cache_path is None


def test_an_unknown_home_is_no_place(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(keeping.os.path, "expanduser", lambda path: path)
    assert all(root.is_absolute() for root in keeping._roots())


def test_what_is_asked_for_comes_first(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    directory = keeping._cache_directory()
    assert directory.parent == tmp_path
    assert directory.name == keeping.CACHE_DIRECTORY.name


ASKED_FOR_AT_ONCE = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
import numpy as np
from pgbench import make_policy, make_problem, sample_gradients


def sampled(seed):
    mdp = make_problem("corridor", length=3, gamma=0.9)
    policy = make_policy("softmax", mdp)
    theta = np.zeros(policy.n_parameters)
    return sample_gradients(
        mdp, policy, theta, "reward_to_go", horizon=10, replicates=64, seed=seed
    ).tobytes()


if __name__ == "__main__":
    expected = [sampled(seed) for seed in range(4)]
    if sys.argv[1] == "threads":
        executor = ThreadPoolExecutor(4)
    else:
        executor = ProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1]))
    with executor:
        assert [*executor.map(sampled, range(4))] == expected
"""


ANEW = "forkserver", "spawn"
"""Ways in which a process begins anew: to it a layer is what it is to the first process."""


@pytest.mark.parametrize(
    ("way", "layer"),
    [
        ("fork", "default"),
        *(("threads", layer) for layer in ("default", "workqueue")),
        ("forkserver", "default"),
        pytest.param("spawn", "default", marks=pytest.mark.slow),
        *(pytest.param(way, "workqueue", marks=pytest.mark.slow) for way in ("fork", *ANEW)),
    ],
)
def test_processes_and_threads_of_one_that_has_used_kernels_use_them_too(tmp_path, way, layer):
    """GNU OpenMP, which numba takes by default, ends a forked child that asks it for threads."""
    script = tmp_path / "script.py"
    script.write_text(ASKED_FOR_AT_ONCE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), way],
        env=os.environ | {"NUMBA_THREADING_LAYER": layer, "PYTHONPATH": os.getcwd()},
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


OPTIONS = {"njit", "jit", "vectorize", "guvectorize", "stencil", "cfunc", "CPUDispatcher"}


def compiles(path):
    """Whether a file asks a compiler of numba for anything, by whatever name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        asked: set[str] = set()
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("numba"):
            asked = {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("numba", "cuda"):
            asked = {node.attr}
        if asked & OPTIONS:
            return True
    return False


def test_options_of_the_compilers_stand_in_two_files():
    root = Path(jit.__file__).parents[1]
    found = {path.relative_to(root).as_posix() for path in root.rglob("*.py") if compiles(path)}
    assert found == {"kernels/parts.py", "kernels/cuda/jit.py"}


@pytest.mark.parametrize(
    "source",
    ["from numba import njit", "import numba\nnumba.njit(f)", "@cuda.jit\ndef f(): pass"],
)
def test_another_compiled_function_is_found(source, tmp_path):
    path = tmp_path / "some.py"
    path.write_text(source)
    assert compiles(path)


def test_kernels_of_one_name_on_one_line_of_modules_of_one_name_are_kept_apart():
    """As ``finite.weights._weigh`` and ``linear_quadratic.weights._weigh`` may stand."""

    def weigh(x):
        return x

    names = set()
    for module in ("pgbench.kernels.finite.weights", "pgbench.kernels.linear_quadratic.weights"):
        weigh.__module__ = module
        names.add(keeping._Locator(weigh, "weights.py").get_disambiguator())
    assert len(names) == 2
