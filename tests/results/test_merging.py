"""Journals are joined by key: what is better counts, and what contradicts is named."""

import numpy as np
import pytest

from pgbench.results.journal import Journal
from pgbench.results.merging import Contradiction, join


def cell(key="a", status="done", numbers=(1.0, 2.0), **values):
    maps = {"mean_gradient": np.array(numbers)}
    return {"kind": "cell", "key": key, "status": status, "values": values, "maps": maps}


def made(created, steps=1.0):
    attributes = {"created": created, "wall_time_s": 1.0, "environment_steps": steps}
    return {"kind": "execution", "attributes": attributes}


def journals(tmp_path, *contents):
    return [
        Journal(tmp_path / name / "journal.jsonl", records)
        for name, records in zip("AB", contents, strict=False)
    ]


def test_records_of_all_are_kept(tmp_path):
    joined = join(journals(tmp_path, [cell("a")], [cell("b"), cell("c")]), {})
    assert sorted(joined.records) == ["a", "b", "c"]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("better", "worse"), [("done", "skipped"), ("skipped", "failed"), ("done", "failed")]
)
def test_done_counts_before_skipped_before_failed(tmp_path, turned, better, worse):
    both = [[cell(status=status)] for status in (better, worse)]
    joined = join(journals(tmp_path, *(both[::-1] if turned else both)), {})
    assert joined.records["a"]["status"] == better


def test_clocks_and_places_may_differ_and_the_first_counts(tmp_path):
    first = {**cell(seconds=1.0, bias=float("nan")), "device": "cpu"}
    second = {**cell(seconds=2.0, bias=float("nan")), "device": "cuda"}
    assert join(journals(tmp_path, [first], [second]), {}).records["a"] is first


def test_failures_may_differ(tmp_path):
    both = ([{**cell(status="failed"), "message": word}] for word in ("once", "again"))
    assert join(journals(tmp_path, *both), {}).records["a"]["message"] == "once"


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (cell(bias=0.1), cell(bias=0.2), "bias is 0.1 in {A} and 0.2 in {B}"),
        (cell(bias=0.0), cell(bias=-0.0), "bias is 0.0 in {A} and -0.0 in {B}"),
        (cell(bias=0.1), cell(), "bias is 0.1 in {A} and missing in {B}"),
        (cell(numbers=[1, 2]), cell(numbers=[1, 3]), "mean_gradient is 2.0 in {A} and 3.0 in {B}"),
        (cell(), cell(numbers=[1]), r"mean_gradient is of shape \(2,\) in {A} and of shape \(1,\)"),
        (
            {**cell(status="skipped"), "message": "too large"},
            {**cell(status="skipped"), "message": "too small"},
            "message is 'too large' in {A} and 'too small' in {B}",
        ),
        (
            {"kind": "setting", "key": "a", "values": {}, "problem": {"digest": "1"}},
            {"kind": "setting", "key": "a", "values": {}, "problem": {"digest": "2"}},
            "digest is '1' in {A} and '2' in {B}",
        ),
    ],
    ids=["a value", "a sign", "a value that is missing", "an entry", "a shape", "words", "facts"],
)
def test_what_contradicts_is_named(tmp_path, first, second, words):
    words = words.format(A=tmp_path / "A", B=tmp_path / "B")
    for names, name in (({}, "key a"), ({"a": "corridor, td"}, "corridor, td")):
        with pytest.raises(Contradiction, match=f"^{name}: {words}.*nothing was written"):
            join(journals(tmp_path, [first], [second]), names)


def test_of_many_contradictions_the_first_is_named(tmp_path):
    first, second = ([cell(key, bias=x) for key in "abc"] for x in (1.0, 2.0))
    with pytest.raises(Contradiction, match=r"^key a: .*; 2 more differ"):
        join(journals(tmp_path, first, second), {})


def test_executions_are_kept_once_in_the_order_of_time(tmp_path):
    both = ([made("2026-02"), made("2026-01", 2.0)], [made("2026-02"), made("2026-03")])
    joined = join(journals(tmp_path, *both), {})
    assert [e["attributes"]["created"] for e in joined.executions] == [
        "2026-01",
        "2026-02",
        "2026-03",
    ]
