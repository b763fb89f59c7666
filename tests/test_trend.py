"""The trend of the benchmarks: reading asv's results, and finding changes in them."""

import json

import numpy as np
import pytest
from matplotlib.image import imread

from benchmarks.trend import ResultsError, largest_changes, main, read_results

BENCHMARKS = {
    "version": 2,
    "a.time_it": {"param_names": ["n", "kind"], "unit": "seconds", "version": "v2"},
    "b.track_step": {"param_names": [], "unit": "ns", "version": "w"},
    "c.track_work": {"param_names": [], "unit": "steps", "version": "w"},
}
PARAMS = [["10", "20"], ["'x'", "'y'"]]
COLUMNS = ["result", "params", "version", "stats_q_25", "stats_q_75"]


def times(*values, version="v2", spread=0.1):
    low = [None if v is None else v * (1 - spread) for v in values]
    high = [None if v is None else v * (1 + spread) for v in values]
    return [list(values), PARAMS, version, low, high]


def number(value):
    return [[value], [], "w"]  # asv leaves out columns at the end of a row


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def add_run(folder, commit, date, results, machine="box", environment="env"):
    run = {
        "commit_hash": commit * 5,
        "date": date,
        "env_name": environment,
        "result_columns": COLUMNS,
        "results": results,
    }
    write(folder / machine / "machine.json", {"machine": machine})
    write(folder / machine / f"{commit}-{environment}.json", run)


@pytest.fixture
def results(tmp_path):
    """Three revisions, whose names are not in the order of their dates."""
    folder = tmp_path / "results"
    write(folder / "benchmarks.json", BENCHMARKS)
    add_run(
        folder,
        "ccc00001",
        1000,
        {
            "a.time_it": times(1.0, 2.0, None, 4.0),
            "b.track_step": number(20.0),
            "c.track_work": number(7.0),
        },
    )
    add_run(
        folder,
        "aaa00002",
        2000,
        {
            "a.time_it": times(1.05, 8.0, np.nan, 4.0),
            "b.track_step": [None, [], "w"],  # failed
            "c.track_work": number(7.0),
        },
    )
    add_run(
        folder,
        "bbb00003",
        3000,
        {
            "a.time_it": times(1.01, 8.0, 3.0, 1.0),
            "b.track_step": number(10.0),
            "c.track_work": number(7.000001),
        },
    )
    return folder


def by_label(folder):
    return {one.label: one for one in read_results(folder)[1]}


def test_revisions_are_in_the_order_of_their_dates(results):
    assert read_results(results)[0] == ["ccc0000", "aaa0000", "bbb0000"]


def test_values_belong_to_their_parameters(results):
    series = by_label(results)
    assert list(series) == [
        "a.time_it[n=10, kind=x]",
        "a.time_it[n=10, kind=y]",
        "a.time_it[n=20, kind=x]",
        "a.time_it[n=20, kind=y]",
        "b.track_step",
        "c.track_work",
    ]
    np.testing.assert_array_equal(series["a.time_it[n=10, kind=y]"].value, [2, 8, 8])
    np.testing.assert_allclose(series["a.time_it[n=10, kind=y]"].low, [1.8, 7.2, 7.2])
    np.testing.assert_allclose(series["a.time_it[n=10, kind=y]"].high, [2.2, 8.8, 8.8])
    assert series["a.time_it[n=10, kind=y]"].growth == 4


def test_failed_and_skipped_results_are_gaps(results):
    series = by_label(results)
    np.testing.assert_array_equal(series["a.time_it[n=20, kind=x]"].value, [np.nan, np.nan, 3])
    assert series["a.time_it[n=20, kind=x]"].growth == 1
    np.testing.assert_allclose(series["b.track_step"].value, [20e-9, np.nan, 10e-9], rtol=1e-15)
    assert series["b.track_step"].unit == "s"
    assert np.isnan(series["b.track_step"].low).all()


def test_results_of_an_earlier_version_of_a_benchmark_are_left_out(results):
    add_run(results, "ddd00004", 4000, {"a.time_it": times(9.0, 9.0, 9.0, 9.0, version="v1")})
    assert np.isnan(by_label(results)["a.time_it[n=10, kind=x]"].value[-1])


def test_largest_change_of_each_series_is_found_where_it_happened(results):
    changes = largest_changes(read_results(results)[1])
    found = [(c.series.label, c.before, c.after, round(c.ratio, 3), c.clear) for c in changes]
    assert found[:4] == [
        ("a.time_it[n=10, kind=y]", 0, 1, 4.0, True),
        ("a.time_it[n=20, kind=y]", 1, 2, 0.25, True),
        ("b.track_step", 0, 2, 0.5, True),
        ("a.time_it[n=10, kind=x]", 0, 1, 1.05, False),  # its quartiles overlap
    ]
    assert found[4][0] == "c.track_work"
    assert found[4][4], "without a spread any change counts"
    assert len(found) == 5, "a series with one result has no change"


def test_command_prints_changes_and_draws(results, tmp_path, capsys):
    output = tmp_path / "reports" / "trend.png"
    assert main(["--results", str(results), "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    times, others = printed.split("largest changes of memory and statistical work:")
    first = " ".join(times.splitlines()[1].split())
    assert first == "×4 2.0 s → 8.0 s ccc0000..aaa0000 a.time_it[n=10, kind=y]"
    assert "20.0 ns → 10.0 ns" in times
    assert "kind=x" not in times, "a change within the spread is none"
    assert "c.track_work" in others
    pixels = imread(output)
    assert pixels.shape[0] > 100
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 100


def test_selection(results, tmp_path, capsys):
    arguments = ["--results", str(results), "--output", str(tmp_path / "t.png"), "--bench"]
    assert main([*arguments, "n=10"]) == 0
    assert "2 series over 3 revisions" in capsys.readouterr().out
    assert main([*arguments, "nothing"]) == 2
    assert "no result of a benchmark like 'nothing'" in capsys.readouterr().err


def test_several_machines_or_environments_must_be_chosen_from(results):
    add_run(results, "eee00005", 5000, {}, machine="other")
    with pytest.raises(ResultsError, match="--machine is missing, must be one of box, other"):
        read_results(results)
    assert len(read_results(results, machine="box")[0]) == 3
    with pytest.raises(ResultsError, match="--machine is 'bx', must be one of box, other"):
        read_results(results, machine="bx")
    add_run(results, "fff00006", 6000, {}, environment="env2")
    with pytest.raises(ResultsError, match="--environment is missing, must be one of env, env2"):
        read_results(results, machine="box")
    assert read_results(results, "box", "env2")[0] == ["fff0000"]


def test_missing_or_broken_results_are_named(results, tmp_path, capsys):
    assert main(["--results", str(tmp_path / "none")]) == 2
    assert "none/benchmarks.json: No such file" in capsys.readouterr().err
    broken = results / "box" / "ccc00001-env.json"
    broken.write_text("{")
    with pytest.raises(ResultsError, match=r"ccc00001-env\.json: is not JSON"):
        read_results(results)
    write(tmp_path / "empty" / "benchmarks.json", BENCHMARKS)
    with pytest.raises(ResultsError, match="holds results of no machine"):
        read_results(tmp_path / "empty")
