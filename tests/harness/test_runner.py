"""Runs: the same bytes however they are cut, nothing lost however they end."""

import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import xarray as xr

import pgbench as pg
from pgbench.declared.outcomes import Status
from pgbench.declared.summary import SUMMARY
from pgbench.declared.variables import on_axes
from pgbench.grid.reader import parse_grid
from pgbench.harness import measuring
from pgbench.harness.progress import Silent
from pgbench.harness.runner import Interrupted, execute
from pgbench.kernels.partition import use_threads
from pgbench.results import dataset as results
from pgbench.results.build import build
from pgbench.results.files import OutputError
from pgbench.results.journal import Journal
from tests.support.runs import Ordering, StopAfter, unpublished

GRID = """
name: t
problems: [corridor, {problem: garnet, n_states: [4, 30], gamma: 0.8}]
policies: [softmax, loglinear]
estimators: [reinforce, baseline_value, {estimator: gae, lam: 0.9, critic_noise: 0.5}]
batch_sizes: [1, 6, 20]
replicates: 120
max_horizon: 200
"""

KILLED = """
import os, signal, sys
from pgbench.__main__ import main
from pgbench.results.journal import Journal

appended, append = [], Journal.append

def append_then_die(journal, records):
    append(journal, records)
    appended.append(records)
    if len(appended) == 3:  # the grid and two batches of cells
        os.kill(os.getpid(), int(sys.argv[1]))

Journal.append = append_then_die
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have had it ignored
sys.exit(main(sys.argv[2:]))
"""
"""The command in a process that gets a signal after its second batch of cells is on disk."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The grid run in one go."""
    return execute(parse_grid(GRID), tmp_path_factory.mktemp("whole"), threads=2)


def test_every_cell_is_measured(whole):
    assert (whole.measured, whole.reused, whole.failed, whole.skipped) == (54, 0, 0, 0)
    assert (whole.tree["status"] == 1).all()
    assert np.isfinite(whole.tree["variance"].values).all()


def test_numbers_are_right(whole):
    """Measured bias of the unbiased and exact bias of the biased agree with the truth."""
    tree = whole.tree
    assert float(tree["code_test_p_holm"].min()) > 0.01
    unbiased = tree["exact_relative_bias"].sel(estimator="reinforce")
    np.testing.assert_array_less(unbiased, 0.011)
    biased = tree["exact_relative_bias"].sel(estimator="gae[lam=0.9, critic_noise=0.5]")
    assert float(biased.min()) > 0.011
    corridor = tree["objective"].sel(problem="corridor", policy="loglinear")
    assert float(corridor) < -11.65


@pytest.mark.usefixtures("unpublished")
@pytest.mark.parametrize("options", [{"threads": 1}, {"memory_bytes": 1}, {"memory_bytes": 50_000}])
def test_threads_and_memory_do_not_change_a_byte(whole, tmp_path, options):
    other = execute(parse_grid(GRID), tmp_path, **options)
    use_threads(2)
    assert results.same_numbers(whole.tree, other.tree) == []


@pytest.mark.usefixtures("unpublished")
def test_another_seed_changes_the_numbers(whole, tmp_path):
    """The comparison that the tests above rely on can fail."""
    other = execute(parse_grid(GRID + "seed: 1\n"), tmp_path)
    different = results.same_numbers(whole.tree, other.tree)
    assert "/variance" in different
    assert "/horizon" in different or "/gradient_norm" in different


@pytest.mark.usefixtures("unpublished")
def test_what_is_broken_off_while_it_is_loaded_is_an_interruption(tmp_path):
    """Modules that are half loaded raise errors of their own."""

    @contextmanager
    def loading(order, tasks):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise AttributeError("module has no attribute") from None
        yield

    with pytest.raises(Interrupted):
        execute(parse_grid(GRID), tmp_path, performer=loading)


@pytest.mark.parametrize(
    "batches",
    [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 17))],
)
def test_an_interrupted_run_resumes_to_the_same_bytes(whole, tmp_path, batches):
    grid = parse_grid(GRID)
    with pytest.raises(Interrupted):
        execute(grid, tmp_path, progress=StopAfter(batches))
    partial, notes = results.read_noted(tmp_path / "t")
    assert notes == []
    done = int((partial["status"] == 1).sum())
    assert done == 3 * batches
    with unpublished():
        resumed = execute(grid, tmp_path)
    assert (resumed.measured, resumed.reused) == (54 - done, done)
    assert results.same_numbers(whole.tree, resumed.tree) == []


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        signal.SIGINT,
        *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGTERM, signal.SIGHUP)),
    ],
)
def test_a_killed_process_resumes_to_the_same_bytes(whole, tmp_path, number):
    path = tmp_path / "grid.yaml"
    path.write_text(GRID, encoding="utf-8")
    arguments = ["run", str(path), "--output", str(tmp_path / "o"), "--no-report"]
    stopped = subprocess.run(
        [sys.executable, "-c", KILLED, str(int(number)), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if number != signal.SIGKILL:
        assert stopped.returncode == 130
        assert f"To resume: python -m pgbench run {path} --output" in stopped.stderr
    else:
        assert stopped.returncode == -signal.SIGKILL
    with unpublished():
        resumed = execute(parse_grid(GRID), tmp_path / "o")
    assert 0 < resumed.reused < 54
    assert results.same_numbers(whole.tree, resumed.tree) == []


FEW = "name: t\nproblems: corridor\nestimators: td\nbatch_sizes: [1, 2, 3]\nreplicates: 20\n"
"""Three cells, one after another."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def heard():
    """A parent may have had signals ignored."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(
    ("batches", "writing"),
    [
        ({2: signal.SIGINT}, ()),
        ({2: signal.SIGHUP}, (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP)),
        ({2: signal.SIGINT}, (signal.SIGINT,)),
        ({}, (signal.SIGINT,)),
    ],
)
def test_what_is_finished_is_published_whatever_signals_come(tmp_path, batches, writing):
    with pytest.raises(Interrupted, match="cells measured before the interruption"):
        execute(parse_grid(FEW), tmp_path, progress=Ordering(batches, writing))
    found, notes = results.read_noted(tmp_path / "t")
    assert notes == []
    assert int((found["status"] == 1).sum()) == (2 if batches else 3)
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler


@pytest.mark.usefixtures("heard")
def test_who_does_not_want_to_wait_for_the_dataset_loses_nothing(whole, tmp_path):
    progress = Ordering({4: signal.SIGINT}, (signal.SIGINT, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        execute(parse_grid(GRID), tmp_path, progress=progress)
    left = {path.name for path in (tmp_path / "t").iterdir()}
    assert left == {".lock", "grid.yaml", "journal.jsonl"}
    with unpublished():
        resumed = execute(parse_grid(GRID), tmp_path)
    assert resumed.reused == 12
    assert results.same_numbers(whole.tree, resumed.tree) == []


@pytest.mark.usefixtures("unpublished")
def test_a_finished_run_measures_nothing(whole, tmp_path):
    again = execute(parse_grid(GRID), whole.directory.parent)
    assert (again.measured, again.reused) == (0, 54)
    assert results.same_numbers(whole.tree, again.tree) == []


@pytest.mark.usefixtures("unpublished")
def test_an_unpublished_run_leaves_its_journal_alone(tmp_path):
    """Tests that look at the tree alone are quick because nothing else is written."""
    grid = parse_grid("name: t\nproblems: corridor\nestimators: td\nreplicates: 20\n")
    execute(grid, tmp_path)
    left = {path.name for path in (tmp_path / "t").iterdir()}
    assert left == {".lock", "grid.yaml", "journal.jsonl"}


@pytest.mark.usefixtures("unpublished")
def test_a_longer_grid_adds_and_a_shorter_one_loses_nothing(tmp_path):
    small = "name: t\nproblems: corridor\nestimators: td\nbatch_sizes: [1, 2]\nreplicates: 20\n"
    first = execute(parse_grid(small), tmp_path)
    longer = execute(parse_grid(small.replace("[1, 2]", "[1, 2, 3]")), tmp_path)
    assert (longer.measured, longer.reused) == (1, 2)
    np.testing.assert_array_equal(
        longer.tree["variance"].sel(batch_size=[1, 2]), first.tree["variance"]
    )
    shorter = execute(parse_grid(small), tmp_path)
    assert (shorter.measured, shorter.reused) == (0, 2)
    assert len(Journal.read(tmp_path / "t").grids) == 3


@pytest.mark.usefixtures("unpublished")
def test_the_order_of_the_grid_does_not_matter(whole, tmp_path):
    turned = GRID.replace("[1, 6, 20]", "[20, 1, 6]").replace("[4, 30]", "[30, 4]")
    other = execute(parse_grid(turned), tmp_path).tree
    assert results.same_numbers(whole.tree, other) != []
    a, b = (tree.to_dataset().sortby("problem")["rmse"] for tree in (whole.tree, other))
    assert a.values.tobytes() == b.values.tobytes()


@pytest.mark.usefixtures("unpublished")
def test_failed_cells_keep_their_traceback_and_are_retried(tmp_path, monkeypatch):
    grid = parse_grid(GRID)
    make = measuring.make_subject

    def broken(prepared, estimator, values, threads=None):
        if estimator.name == "reinforce":
            raise ZeroDivisionError("on purpose")
        return make(prepared, estimator, values, threads)

    monkeypatch.setattr(measuring, "make_subject", broken)
    first = execute(grid, tmp_path)
    assert (first.measured, first.failed) == (36, 18)
    cell = first.tree.isel(problem=0, policy=0, batch_size=0).sel(estimator="reinforce")
    assert int(cell["status"]) == Status.FAILED
    assert str(cell["message"].values) == "ZeroDivisionError: on purpose"
    records = Journal.read(tmp_path / "t").records.values()
    traces = [r["traceback"] for r in records if r.get("status") == "failed"]
    assert len(traces) == 18
    assert all("in broken" in trace for trace in traces)
    monkeypatch.undo()
    again = execute(grid, tmp_path)
    assert (again.measured, again.reused, again.failed) == (18, 36, 0)


@pytest.mark.usefixtures("unpublished")
def test_a_problem_that_cannot_be_built_fails_alone(tmp_path):
    text = (
        "name: t\nestimators: td\nreplicates: 20\n"
        "problems: [corridor, {problem: gymnasium, id: No-v0}]\n"
    )
    outcome = execute(parse_grid(text), tmp_path)
    assert (outcome.measured, outcome.failed) == (1, 1)
    message = str(outcome.tree["message"].values[1, 0, 0, 0])
    assert "gymnasium cannot make 'No-v0'" in message


@pytest.mark.usefixtures("unpublished")
def test_combinations_without_sense_are_skipped_with_a_reason(tmp_path):
    text = (
        "name: t\nestimators: td\nreplicates: 20\nproblems: [corridor, riverswim]\n"
        "policies: {policy: loglinear, features: own}\n"
    )
    outcome = execute(parse_grid(text), tmp_path)
    assert (outcome.measured, outcome.skipped, outcome.failed) == (1, 1, 0)
    assert "has no features of its own" in str(outcome.tree["message"].values[1, 0, 0, 0])
    again = execute(parse_grid(text), tmp_path)
    assert (again.measured, again.reused, again.skipped) == (0, 1, 1)


@pytest.mark.usefixtures("unpublished")
def test_a_second_run_at_the_same_time_is_refused(tmp_path):
    class Second(Silent):
        message = ""

        def start(self, n_settings, n_cells, work):
            with pytest.raises(OutputError) as caught:
                execute(parse_grid(GRID), tmp_path)
            Second.message = str(caught.value)

    grid = parse_grid("name: t\nproblems: corridor\nestimators: td\nreplicates: 20\n")
    execute(grid, tmp_path, progress=Second())
    assert "another run is writing to" in Second.message


def test_a_directory_with_something_else_is_refused(tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(OutputError, match=r"holds something else \(thesis.tex\)"):
        execute(parse_grid(GRID), tmp_path)
    assert sorted(p.name for p in (tmp_path / "t").iterdir()) == ["thesis.tex"]


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "o").write_text("a file", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"):
        execute(parse_grid(GRID), tmp_path / "o")


@pytest.mark.parametrize("damage", ["truncate", "overwrite", "remove"])
def test_a_damaged_dataset_is_rebuilt_from_the_journal(whole, tmp_path, damage):
    directory = tmp_path / "t"
    directory.mkdir()
    for name in ("journal.jsonl", "results.nc"):
        (directory / name).write_bytes((whole.directory / name).read_bytes())
    path = directory / "results.nc"
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:2000])
    elif damage == "overwrite":
        path.write_bytes(b"nonsense")
    else:
        path.unlink()
    tree, notes = results.read_noted(directory)
    assert results.same_numbers(whole.tree, tree) == []
    assert len(notes) == (damage != "remove")


def test_a_record_that_does_not_fit_is_named(whole, tmp_path):
    """It is as declared by itself, and says of more coordinates than its setting has."""
    records = Journal.read(whole.directory).records.values()
    cell = next(record for record in records if record.get("maps") and record["kind"] == "cell")
    wrong = {name: np.append(array, array) for name, array in cell["maps"].items()}
    journal = Journal.open(tmp_path)
    journal.append([*records, {**cell, "maps": wrong}])
    with pytest.raises(OutputError, match=rf"record {cell['key']} holds \w+ of shape .* delete"):
        build(parse_grid(GRID), journal)


def test_a_full_disk_while_publishing_says_so(whole, tmp_path, monkeypatch):
    def full(path, data):
        raise OutputError(f"{path} cannot be written: No space left on device")

    monkeypatch.setattr(results, "write_file", full)
    with pytest.raises(OutputError, match="No space left on device; the journal is complete"):
        execute(parse_grid(GRID), whole.directory.parent)
    monkeypatch.undo()
    assert results.same_numbers(whole.tree, results.read_noted(whole.directory)[0]) == []


def test_the_file_opens_with_plain_xarray(whole):
    path = whole.directory / "results.nc"
    with xr.open_dataset(path) as summary:
        assert summary["variance"].dims == ("problem", "policy", "estimator", "batch_size")
        assert set(summary.data_vars) == set(on_axes(SUMMARY, ()))
        assert all(v.attrs["long_name"] for v in summary.data_vars.values())
        assert summary.attrs["grid"] == GRID
        assert summary.attrs["seed"] == 0
    with xr.open_datatree(path) as tree:
        maps = tree["maps/corridor softmax"]
        assert maps["mean_gradient"].dims == ("estimator", "batch_size", "parameter")
        np.testing.assert_allclose(maps["visitation"].values[-1], 0)


def test_maps_agree_with_the_summary(whole):
    maps = whole.tree["maps/garnet[n_states=4, gamma=0.8] softmax"]
    summary = whole.tree.sel(problem="garnet[n_states=4, gamma=0.8]", policy="softmax")
    np.testing.assert_allclose(
        maps["gradient_variance"].sum("parameter"), summary["variance"], rtol=1e-9
    )
    np.testing.assert_allclose(np.linalg.norm(maps["gradient"]), summary["gradient_norm"])


def test_the_schema_is_enforced(whole):
    tree = whole.tree.copy()
    tree["surprise"] = ("problem", np.zeros(3))
    with pytest.raises(ValueError, match="surprise: unknown"):
        results.validate(tree)


def test_the_api_runs_a_grid_file(tmp_path):
    path = tmp_path / "grid.yaml"
    text = "name: t\nproblems: corridor\nestimators: td\nreplicates: 20\n"
    path.write_text(text, encoding="utf-8")
    tree = pg.run(path, output=tmp_path / "o")
    assert isinstance(tree, xr.DataTree)
    assert float(tree["n_parameters"].values[0, 0]) == 8


@pytest.mark.usefixtures("unpublished")
def test_the_api_runs_a_share_of_a_grid(tmp_path):
    grid = parse_grid("name: t\nproblems: [corridor, riverswim]\nestimators: td\nreplicates: 20\n")
    tree = pg.run(grid, output=tmp_path / "o", shard="2/2")
    assert tree["status"].values.ravel().tolist() == [0, 1]
    with pytest.raises(ValueError, match="--workers is 0, must be at least 1"):
        pg.run(grid, output=tmp_path / "o", workers=0)


def test_results_of_a_file_outlive_the_file(tmp_path):
    """The journal knows what the file was; reading results does not need it."""
    path = tmp_path / "p.npz"
    pg.make_problem("riverswim").to_npz(path)
    text = f"name: t\nproblems: {{problem: file, path: {path}}}\nestimators: td\nreplicates: 120\n"
    run = execute(parse_grid(text), tmp_path / "o")
    (run.directory / "results.nc").unlink()
    path.unlink()
    tree, _ = results.read_noted(run.directory)
    assert results.same_numbers(run.tree, tree) == []
    assert (tree["status"] == 1).all()


@pytest.mark.usefixtures("unpublished")
def test_an_unseen_reward_rejects_nothing(tmp_path):
    """No replicate reaches the end of the chain: that is no evidence against the code."""
    text = (
        "name: t\nproblems: {problem: chain, length: 15}\nestimators: reinforce\nreplicates: 200\n"
    )
    tree = execute(parse_grid(text), tmp_path).tree
    assert float(tree["mse"].values.item()) > 0
    assert float(tree["variance"].values.item()) == 0
    assert np.isnan(tree["code_test_p"].values.item())


@pytest.mark.usefixtures("unpublished")
def test_a_gradient_of_rounding_noise_is_zero(tmp_path):
    """With γ = 0 nothing near the start tells actions apart; their advantage is exactly zero."""
    text = (
        "name: t\nproblems: {problem: gridworld, size: 4, gamma: 0}\npolicies: loglinear\n"
        "estimators: baseline_value\nreplicates: 120\n"
    )
    tree = execute(parse_grid(text), tmp_path).tree
    assert float(tree["gradient_norm"].values.item()) == 0
    assert float(tree["horizon"].values.item()) == 1
    assert np.isnan(tree["relative_variance"].values.item())


@pytest.mark.usefixtures("unpublished")
def test_overflow_fails_the_cell_with_a_reason(tmp_path):
    """Scores of the direct policy are as large as 1/π, which may be beyond all numbers."""
    grid = parse_grid(
        "name: t\nproblems: {problem: garnet, n_states: 5}\npolicies: direct\n"
        "theta: {scale: 1000}\nestimators: [td, reinforce]\nreplicates: 20\n"
    )
    outcome = execute(grid, tmp_path)
    assert (outcome.measured, outcome.failed) == (0, 2)
    messages = outcome.tree["message"].values.ravel()
    assert all("of the exact variance is inf, must be finite" in str(m) for m in messages)


@pytest.mark.usefixtures("unpublished")
def test_what_has_no_interval_says_why(tmp_path):
    """Ratios without bound: the exact variance guards those of steps, nothing those of episodes."""
    grid = parse_grid("""
name: t
problems: [{problem: garnet, n_states: 4, gamma: 0.8}]
policies: [softmax]
estimators: [importance_sampling, trajectory_importance_sampling]
batch_sizes: [2]
replicates: 300
""")
    own = execute(grid, tmp_path).tree.to_dataset().isel(problem=0, policy=0, batch_size=0)
    steps, whole = (str(note) for note in own["interval_note"].values)
    assert whole.startswith("a product of ratios without bound")
    given = np.isfinite(own["variance_low"].values)
    assert given.tolist() == [not steps, False]
    assert np.isfinite(own["variance"].values).all()
