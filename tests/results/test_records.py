"""What a run writes is as declared, and what breaks a declaration is said in words."""

import numpy as np
import pytest

from pgbench.results.records import RECORDS, breach, storable

SETTING = {"kind": "setting", "key": "a", "problem": {"n_states": 4, "gamma": 1.0}, "values": {}}
CELL = {"kind": "cell", "key": "a", "status": "done", "values": {"bias": np.float64(0.1)}}
ASCENT = {
    "kind": "ascent",
    "key": "a",
    "status": "done",
    "goal_kind": "optimum",
    "values": {"goal": 1, "bound_name": "", "rate": float("nan")},
    "arrays": {"objective": np.ones((3, 6)), "snr": np.ones(6), "outcome": np.ones(3)},
}
RIGHT = {
    "header": {"kind": "header", "format": "pgbench journal", "version": 1},
    "grid": {"kind": "grid", "text": "problems: 七橋", "contents": {"p": "0f"}},
    "setting": {**SETTING, "maps": {"gradient": np.ones(3), "landscape_objective": np.eye(2)}},
    "cell": {**CELL, "maps": {"mean_gradient": np.ones(3)}, "device": "cuda"},
    "ascent": ASCENT,
    "execution": {
        "kind": "execution",
        "attributes": {"wall_time_s": 1, "environment_steps": 2.0, "python": "3.11"},
    },
    "portion": {"kind": "portion", "key": "a", "device": "cpu", "arrays": {"total": np.ones(3)}},
}


@pytest.mark.parametrize("kind", RECORDS)
def test_every_kind_has_a_record_that_is_right(kind):
    assert breach(RIGHT[kind]) == ""


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_what_was_not_measured_needs_no_values(status):
    assert breach({"kind": "cell", "key": "a", "status": status, "message": "why"}) == ""


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (None, "it is no mapping"),
        ({"kind": "sell"}, "kind is 'sell', must be one of header, grid, setting, cell"),
        ({"kind": "cell", "status": "done"}, "cell: lacks key"),
        ({**CELL, "status": "dnoe"}, "status is 'dnoe', must be one of done, failed, skipped"),
        ({**CELL, "values": {"bias": True}}, "cell: values bias is 'True', must be a number"),
        ({**CELL, "values": {"luck": 1.0}}, "cell: values hold 'luck', which is not declared"),
        (
            {**CELL, "maps": {"mean_gradient": np.eye(2)}},
            "cell: maps mean_gradient has shape (2, 2), must be parameter",
        ),
        (
            {**SETTING, "maps": {"gradient": np.ones(2), "theta": np.ones(3)}},
            "setting: maps theta has shape (3,), must be parameter",
        ),
        (
            {"kind": "portion", "key": "a", "device": "cpu", "arrays": {"squares": np.ones(3)}},
            "portion: arrays lacks blocks",
        ),
        (
            {**ASCENT, "arrays": {"outcome": np.full(3, np.nan)}},
            "ascent: arrays outcome must hold codes",
        ),
        ({**ASCENT, "message": "\0"}, r"ascent: message is '\x00', must be text"),
    ],
)
def test_what_is_wrong_is_said(record, words):
    assert words in breach(record)


@pytest.mark.parametrize(
    ("words", "spelled"), [("ĝ", "ĝ"), ("", ""), ("a\0b", r"a\0b"), ("\ud800 ĝ", r"\ud800 ĝ")]
)
def test_words_that_no_dataset_holds_are_spelled_out(words, spelled):
    assert storable(words) == spelled
