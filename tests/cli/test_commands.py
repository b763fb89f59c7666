"""The command line: exit codes, messages, and what is not imported."""

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import pgbench
from pgbench.__main__ import main
from pgbench.cli.commands import COMMANDS, _parser
from pgbench.cli.exit_codes import BAD_INPUT, EXPLAINED, INTERRUPTED, OK, SOME_FAILED
from pgbench.harness.child import Child
from tests.support.plugins import OWN

EXAMPLE = Path(__file__).parents[2] / "examples" / "wrong_baseline.py"

GRID = """
name: t
problems: corridor
estimators: [td, reinforce]
batch_sizes: [1, 4]
replicates: 20
"""


@pytest.fixture
def grid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "grid.yaml"
    path.write_text(GRID, encoding="utf-8")
    return path


@pytest.mark.usefixtures("unrendered", "one_figure")
def test_run_show_and_report(grid, capsys):
    assert main(["run", "grid.yaml"]) == 0
    printed = capsys.readouterr()
    assert "results/t/results.nc: 4 cells measured" in printed.out
    assert "report: reports/t/index.html" in printed.out
    assert "measuring 4 cells in 1 settings" in printed.err
    assert main(["show", "results/t", "--estimator", "td"]) == 0
    table = capsys.readouterr().out
    assert "batch size 4" in table
    assert "reinforce" not in table
    assert main(["report", "results/t", "--reports", "elsewhere"]) == 0
    assert (grid.parent / "elsewhere" / "t" / "index.html").exists()


@pytest.mark.usefixtures("unpublished")
def test_failed_cells_give_exit_code_1(grid, capsys):
    text = GRID.replace("corridor", "[corridor, {problem: gymnasium, id: No-v0}]")
    grid.write_text(text, encoding="utf-8")
    assert main(["run", "grid.yaml", "--no-report"]) == 1
    assert "4 failed" in capsys.readouterr().out
    assert main(["check", "grid.yaml"]) == 2
    assert "cannot make 'No-v0'" in capsys.readouterr().out


@pytest.mark.usefixtures("unpublished")
@pytest.mark.filterwarnings("default::pgbench.problems.distribution.Renormalised")
def test_rows_in_single_precision_are_noted_in_one_line(grid, capsys):
    P = np.random.default_rng(0).dirichlet(np.ones(5), size=(5, 2)).astype(np.float32)
    np.savez(grid.parent / "mine.npz", P=P, r=P[..., 0], mu0=[1, 0, 0, 0, 0], gamma=0.9)
    file = GRID.replace("corridor", "{problem: file, path: mine.npz}")
    grid.write_text(file + "policies: [softmax, direct]\n", encoding="utf-8")
    assert main(["run", "grid.yaml", "--no-report"]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if "rounded" in line]
    assert len(notes) == 1
    assert notes[0].startswith("note: P: rows sum to 1 within")


@pytest.fixture
def no_additions(monkeypatch):
    monkeypatch.setattr("pgbench.estimators._added", {})


RECORD = (Path(pgbench.__file__).parent.parent / "examples" / "own_record.py").read_text()
OWN_GRID = GRID.replace(
    "estimators: [td, reinforce]",
    "estimators: [td, {estimator: own_baseline, share: [0, 1]}, baseline_value]",
)
WITH_PLUGIN = "grid.yaml", "--plugin", "mine.py"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The directory of a grid with estimators of a plugin that was run."""
    place = tmp_path_factory.mktemp("place")
    (place / "mine.py").write_text(RECORD, encoding="utf-8")
    (place / "grid.yaml").write_text(OWN_GRID, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr("pgbench.estimators._added", {})
        assert main(["run", *WITH_PLUGIN, "--no-report", "--quiet"]) == 0
    return place


@pytest.fixture
def measured(place, tmp_path, monkeypatch):
    """The same, to be changed; its estimators are not known yet."""
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pgbench.estimators._added", {})
    return tmp_path


@pytest.mark.usefixtures("measured", "unrendered", "one_figure")
def test_estimators_of_a_plugin_are_measured_like_all_others(capsys):
    assert main(["run", "grid.yaml"]) == 2
    assert "unknown estimator 'own_baseline'" in capsys.readouterr().err
    assert main(["check", *WITH_PLUGIN]) == 0
    summary = xr.open_dataset("results/t/results.nc")
    variance = summary["exact_variance"].isel(problem=0, policy=0)
    whole, known = (
        variance.sel(estimator=label) for label in ("own_baseline[share=1]", "baseline_value")
    )
    assert (whole == known).all()
    capsys.readouterr()
    assert main(["list", "estimators", "--plugin", "mine.py"]) == 0
    assert "own_baseline" in capsys.readouterr().out
    assert main(["report", "results/t", "--plugin", "mine.py"]) == 0
    assert "--plugin" not in capsys.readouterr().err


@pytest.mark.usefixtures("measured", "unrendered", "one_figure")
def test_a_report_without_its_plugin_says_so(capsys):
    assert main(["report", "results/t"]) == 0
    assert "give their file with --plugin" in capsys.readouterr().err


@pytest.mark.usefixtures("unpublished")
def test_an_edited_plugin_is_measured_again(measured, capsys):
    for source, words in (
        (RECORD, "8 reused"),
        (RECORD.replace("share * truth.v", "2 * share * truth.v"), "4 reused, 0 failed"),
    ):
        (measured / "mine.py").write_text(source, encoding="utf-8")
        assert main(["run", *WITH_PLUGIN, "--no-report"]) == 0
        assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "mine.py: there is no such file"),
        ("x = 1", "holds no function `estimate(batch)`, and no estimator's record"),
        (RECORD.replace("own_baseline", "gae"), "there is an estimator called 'gae' already"),
        ("import nowhere_to_be_found", "the module 'nowhere_to_be_found' is not installed"),
    ],
)
def test_what_is_wrong_with_a_plugin_is_said(grid, capsys, no_additions, source, message):
    if source is not None:
        (grid.parent / "mine.py").write_text(source, encoding="utf-8")
    assert main(["check", "grid.yaml", "--plugin", "mine.py"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("unpublished")
def test_a_plugin_that_declares_an_unknown_cause_fails_in_its_cells_alone(
    grid, capsys, no_additions
):
    source = RECORD.replace('("truncation",)', '("gremlins",)')
    (grid.parent / "mine.py").write_text(source, encoding="utf-8")
    grid.write_text(GRID.replace("reinforce", "own_baseline"), encoding="utf-8")
    assert main(["run", "grid.yaml", "--no-report", "--plugin", "mine.py"]) == 1
    printed = capsys.readouterr()
    assert "2 failed" in printed.out
    assert "declares the cause of bias 'gremlins', which there is not" in printed.err


def test_horizons_are_studied_before_and_after_a_run(grid, capsys):
    assert main(["horizons", "grid.yaml"]) == 0
    printed = capsys.readouterr()
    assert "results/t/horizons.nc: curves of 2 done, 0 failed, 0 skipped" in printed.out
    assert "report: reports/t/horizons.html" in printed.out
    assert "[1/1] corridor × softmax" in printed.err
    assert main(["run", "grid.yaml", "--quiet", "--no-report"]) == 0
    assert main(["horizons", "grid.yaml", "--reports", "elsewhere"]) == 0
    assert (grid.parent / "elsewhere" / "t" / "figures" / "horizons.png").exists()
    assert {p.name for p in (grid.parent / "results" / "t").iterdir()} >= {
        "horizons.nc",
        "results.nc",
    }


def test_a_plugin_that_ends_its_process_does_not_end_horizons(grid, capsys, no_additions):
    (grid.parent / "mine.py").write_text(OWN, encoding="utf-8")
    grid.write_text(GRID.replace("reinforce", "ends"), encoding="utf-8")
    assert main(["horizons", "grid.yaml", "--plugin", "mine.py"]) == 1
    printed = capsys.readouterr()
    assert "curves of 1 done, 1 failed, 0 skipped" in printed.out
    assert "ends in corridor × softmax: ends ended its process, with exit code 3" in printed.err


def test_horizons_of_a_problem_that_cannot_be_made_give_exit_code_1(grid, capsys):
    text = GRID.replace("corridor", "[corridor, {problem: gymnasium, id: No-v0}]")
    grid.write_text(text, encoding="utf-8")
    assert main(["horizons", "grid.yaml"]) == 1
    printed = capsys.readouterr()
    assert "curves of 2 done, 2 failed" in printed.out
    assert printed.err.count("cannot make 'No-v0'") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["horizons", "none.yaml"], "none.yaml: cannot be read"),
        (["horizons", "grid.yaml", "--output", "grid.yaml"], "grid.yaml"),
        (["horizons", "grid.yaml", "--reports", "grid.yaml"], "grid.yaml"),
        (["run", "none.yaml"], "none.yaml: cannot be read"),
        (["run", "grid.yaml", "--threads", "0"], "--threads is 0"),
        (["run", "grid.yaml", "--threads", "1000"], "threads"),
        (["run", "grid.yaml", "--output", "grid.yaml"], "cannot be written"),
        (["show", "nowhere"], "nowhere holds no run"),
        (["report", "nowhere"], "nowhere holds no run"),
    ],
)
def test_bad_input_gives_exit_code_2_and_one_message(grid, capsys, arguments, message):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err


@pytest.mark.usefixtures("unpublished")
def test_show_names_what_there_is(grid, capsys):
    main(["run", "grid.yaml", "--no-report", "--quiet"])
    assert main(["show", "results/t", "--batch-size", "3"]) == 2
    assert "must be one of 1, 4" in capsys.readouterr().err
    assert main(["show", "results/t", "--problem", "taxi"]) == 2
    assert "there are corridor" in capsys.readouterr().err


@pytest.mark.usefixtures("unpublished")
def test_show_names_skipped_cells_once(grid, capsys):
    """``rloo`` needs two trajectories, in every setting."""
    text = GRID.replace("corridor", "[corridor, {problem: chain, length: [2, 3]}]")
    text = text.replace("[td,", "[td, rloo, group_mean,")
    grid.write_text(text, encoding="utf-8")
    main(["run", "grid.yaml", "--no-report", "--quiet"])
    capsys.readouterr()
    assert main(["show", "results/t", "--batch-size", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("skipped") == 1
    assert "skipped everywhere: rloo: the batch size is 1, rloo needs at least 2" in printed
    assert "chain[length=3] × softmax" in printed


@pytest.mark.usefixtures("unpublished")
def test_show_writes_numbers_for_other_programs(grid, capsys):
    main(["run", "grid.yaml", "--no-report", "--quiet"])
    capsys.readouterr()
    assert main(["show", "results/t", "--format", "csv"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.startswith("problem,policy,estimator,family,")
    assert {"n_states", "policy_name", "estimator_name", "discounted", "relative_bias_low"} <= {
        *header.split(",")
    }
    assert len(rows) == 2


@pytest.mark.usefixtures("unpublished")
def test_compare_says_what_differs_and_its_exit_code_too(grid, capsys):
    main(["run", "grid.yaml", "--no-report", "--quiet"])
    grid.write_text(GRID.replace("name: t", "name: u") + "horizon: 3\n", encoding="utf-8")
    main(["run", "grid.yaml", "--no-report", "--quiet"])
    capsys.readouterr()
    assert main(["compare", "results/t", "results/t"]) == 0
    assert "Every measured number is the same to the last bit." in capsys.readouterr().out
    assert main(["compare", "results/t", "results/u", "--format", "csv"]) == 1
    printed = capsys.readouterr()
    assert "exact numbers differ by more than rounding" in printed.err
    assert printed.out.startswith("problem,policy,estimator,batch_size,quantity,a,b,z,p\n")
    assert main(["compare", "results/t", "results/nowhere"]) == 2


def test_check_prints_the_plan(grid, capsys):
    assert main(["check", "grid.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "corridor" in printed
    assert "4 cells" in printed


def test_check_says_what_memory_settings_take(grid, capsys):
    main(["check", "grid.yaml"])
    printed = capsys.readouterr().out
    assert re.search(r"│ [\d.]+ MiB", printed)
    assert re.search(r"in 1 tasks, of which the largest takes about [\d.]+ MiB beside", printed)


HUGE = "corridor, {problem: garnet, n_states: 1000000000000}"


@pytest.mark.usefixtures("unpublished")
def test_a_problem_that_cannot_fit_is_refused_and_the_others_are_measured(grid, capsys):
    text = GRID.replace("corridor", f"[{HUGE}]") + "policies: [softmax, direct]\n"
    grid.write_text(text, encoding="utf-8")
    assert main(["check", "grid.yaml"]) == 2
    lines = capsys.readouterr().out.splitlines()
    (told,) = [line for line in lines if line.startswith("error: garnet[n_states=1000000000000]")]
    assert re.search(r" takes about [\d,]+ GiB of memory, [\d.,]+ [GM]iB are available$", told)
    assert main(["run", "grid.yaml", "--no-report", "--quiet"]) == 1
    assert "8 cells measured" in (printed := capsys.readouterr()).out
    assert "8 failed" in printed.out
    assert printed.err.startswith("failed: NotEnoughMemory: garnet[n_states=1000000000000]")


def test_a_very_long_run_is_to_be_confirmed(grid, capsys):
    grid.write_text(
        GRID.replace("[1, 4]", "[1, 1000000000]").replace("20", "20000"), encoding="utf-8"
    )
    assert main(["check", "grid.yaml"]) == 0
    assert "needs --yes because it may take about" in capsys.readouterr().out
    assert main(["run", "grid.yaml", "--no-report"]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("t needs --yes (in Python confirmed=True) because it may take about")
    assert not (grid.parent / "results").exists()


@pytest.mark.usefixtures("unpublished")
def test_what_is_confirmed_runs(grid, monkeypatch, capsys):
    monkeypatch.setattr("pgbench.measure.forecast.MOST_HOURS", 0)
    assert main(["run", "grid.yaml", "--no-report"]) == 2
    assert main(["run", "grid.yaml", "--no-report", "--yes"]) == 0
    with pytest.raises(ValueError, match="needs --yes"):
        pgbench.run("grid.yaml")
    assert pgbench.run("grid.yaml", confirmed=True).attrs


def test_list_shows_everything(capsys):
    from pgbench.estimators import estimators
    from pgbench.problems import families

    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    for name in [*estimators(), *families(), "softmax", "loglinear"]:
        assert name in printed
    assert main(["list", "policies"]) == 0
    assert "garnet" not in capsys.readouterr().out


def test_schema_is_json(capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "pgbench grid"


def test_light_commands_import_nothing_heavy(grid):
    """One after another in one interpreter, from the one that may import least on."""
    plots = {"numba", "seaborn", "matplotlib", "xarray", "dask"}
    commands = [
        (["--help"], {*plots, "numpy", "scipy"}),
        (["check", "grid.yaml"], plots),
        (["list"], plots),
    ]
    code = (
        "import sys\n"
        "from pgbench.__main__ import main\n"
        f"for arguments, forbidden in {commands!r}:\n"
        "    try: main(arguments)\n"
        "    except SystemExit: pass\n"
        "    print('imported:', *sorted(forbidden & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=grid.parent
    )
    told = [line for line in done.stdout.splitlines() if line.startswith("imported:")]
    assert [line.strip() for line in told] == ["imported:"] * len(commands)


LISTED = (
    "example",
    "run",
    "check",
    "horizons",
    "report",
    "zoo",
    "list",
    "show",
    "compare",
    "test",
    "schema",
)


@pytest.mark.parametrize("words", [[], *([name] for name in LISTED)])
def test_help_says_the_exit_codes(capsys, words):
    with pytest.raises(SystemExit) as end:
        main([*words, "--help"])
    assert end.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "exit codes: 0 fine, 1 some cells or checks failed" in printed
    assert "2 bad input, or output or memory" in printed
    assert "130 interrupted" in printed


@pytest.mark.parametrize("error", [KeyboardInterrupt, ImportError])
def test_an_order_to_stop_is_one_line_whatever_becomes_of_it(grid, capsys, monkeypatch, error):
    """What is being loaded may make an ImportError of it."""

    def ordered(options):
        before = signal.getsignal(signal.SIGTERM)
        try:
            before(signal.SIGTERM, None)
        finally:
            raise error

    monkeypatch.setattr("pgbench.cli.check.act", ordered)
    assert main(["check", "grid.yaml"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_fault_is_no_interruption(grid, monkeypatch):
    def faulty(options):
        raise ZeroDivisionError

    monkeypatch.setattr("pgbench.cli.check.act", faulty)
    with pytest.raises(ZeroDivisionError):
        main(["check", "grid.yaml"])


def test_to_resume_is_what_was_typed(grid, capsys, monkeypatch):
    """Every option as it was given, and quoted for a shell."""

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt("3 cells measured before the interruption")

    monkeypatch.setattr("pgbench.harness.runner.execute", interrupted)
    words = ["run", "grid.yaml", "--output=my results", "--quiet", "--threads", "2", "--no-rep"]
    assert main(words) == 130
    assert capsys.readouterr().err == (
        "interrupted; 3 cells measured before the interruption. To resume: python -m pgbench"
        " run grid.yaml '--output=my results' --quiet --threads 2 --no-rep\n"
    )


ORDERING = """
import atexit, os, runpy, signal, sys
order = lambda: os.kill(os.getpid(), signal.SIGINT)

class Ordering:
    def find_spec(name, path, target=None):
        if name == moment:
            order()

moment = sys.argv.pop(1)
sys.meta_path.insert(0, Ordering)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have had it ignored
if moment == "end":
    atexit.register(order)
runpy.run_module("pgbench", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("moment", "code", "told"),
    [
        ("pgbench.cli.streams", -signal.SIGINT, ""),
        ("pgbench.cli.commands", 130, "interrupted\n"),
        ("numpy", 130, "interrupted\n"),
        ("end", -signal.SIGINT, ""),
    ],
)
def test_a_process_interrupted_at_any_moment_shows_no_traceback(grid, moment, code, told):
    """While a module is looked for, or at the end; a shell says 130 of a process that ^C ended."""
    words = [sys.executable, "-c", ORDERING, moment, "check", "grid.yaml"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=grid.parent)
    assert (done.returncode, done.stderr) == (code, told)


VANISHING = "import os\ndef estimate(batch):\n    os._exit(0)\n"


def test_user_code_that_ends_its_process_is_no_verdict(grid, capfd):
    """Neither where it is examined nor where it is a plug-in."""
    Path("mine.py").write_text(VANISHING, encoding="utf-8")
    assert main(["test", "mine.py"]) == 1
    problem = "on the problem 'continuing' with N = 4"
    sentence = f"mine.py: estimate {problem} ended its process, with exit code 0\n"
    assert capfd.readouterr() == ("", sentence)
    Path("mine.py").write_text("print('here I am')\nimport os; os.abort()\n", encoding="utf-8")
    assert main(["check", "grid.yaml", "--plugin", "mine.py"]) == 2
    sentence = "mine.py: importing it ended its process by signal 6, Aborted\n"
    assert capfd.readouterr() == ("", sentence)


def test_an_examination_in_a_child_is_bounded(grid, capfd, monkeypatch):
    monkeypatch.setattr("pgbench.harness.child.available", lambda: 2**20)
    Path("mine.py").write_text("import time; time.sleep(60)", encoding="utf-8")
    assert main(["test", "mine.py"]) == 1
    printed = capfd.readouterr()
    assert "GiB of memory, at most 0.000879 GiB are allowed, and was stopped" in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.slow
def test_an_examination_in_a_child_is_printed_as_one_here(grid, capfd, monkeypatch):
    command = ["test", str(EXAMPLE), "--replicates", "250"]
    assert main(command) == 1
    printed = capfd.readouterr()
    monkeypatch.setattr(Child, "perform", lambda child, f, *arguments: f(*arguments))
    assert main(command) == 1
    here = capfd.readouterr()

    def unhurried(text):
        """Headings and the verdict; what is compared with what hangs on how long it takes."""
        return [line for line in text.splitlines() if not line.startswith((" ", "│"))]

    assert unhurried(printed.out) == unhurried(here.out)
    assert printed.out.count("\n") > 40
    assert printed.err[:50] == here.err[:50]


def parsers():
    """The parser of every command by its name, and what each takes besides help."""
    (commands,) = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    return {
        name: [action for action in own._actions if action.dest != "help"]
        for name, own in commands.choices.items()
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_of_commands_has_every_argument(name):
    """Its section is a table of what the parser takes, in the parser's words."""
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^ `]+)[^|]*` \| (.*) \|$", section, re.MULTILINE)
    taken = parsers()[name]
    named = [action.option_strings or [action.metavar or action.dest] for action in taken]
    assert [key for key, _ in rows] == [names[0] for names in named]
    for (_, said), action in zip(rows, taken, strict=True):
        assert all(f"`{choice}`" in said for choice in action.choices or ())


def test_the_page_of_commands_has_every_command_and_exit_code():
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## `(\w+)`$", page, re.MULTILINE)) == {*COMMANDS}
    codes = re.findall(r"^\| (\d+) \| ", page, re.MULTILINE)
    assert codes == re.findall(r"(?:: |, )(\d+) ", EXPLAINED)
    assert [int(code) for code in codes] == [OK, SOME_FAILED, BAD_INPUT, INTERRUPTED]
