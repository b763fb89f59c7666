"""Adapters are read without being imported, and name what they are for."""

import sys

import pytest

from pgbench.trials.audit.adapters import adapters, chosen

TEXT = '''
"""A library that is not there."""

import nowhere_to_be_found
import pgbench

DISTRIBUTION = "{}"


def _helper(batch):
    return batch.theta


def helper(batch):
    return batch.theta


@pgbench.subject(accepts={{"critic"}})
def loss(batch):
    """loss, normalised: with its defaults.

    More words.
    """
    return nowhere_to_be_found.loss(batch)


@pgbench.estimates(sampler="stale")
def other(batch):
    """The other one."""
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "absent.py").write_text(TEXT.format("nowhere-to-be-found"), encoding="utf-8")
    (tmp_path / "present.py").write_text(TEXT.format("NumPy"), encoding="utf-8")
    (tmp_path / "_private.py").write_text("", encoding="utf-8")
    return tmp_path


def test_functions_that_say_what_they_claim_are_listed_and_nothing_is_imported(folder):
    absent, present = adapters(folder)
    assert (absent.library, absent.distribution, absent.version) == (
        "absent", "nowhere-to-be-found", None
    )  # fmt: skip
    assert present.version == sys.modules["numpy"].__version__
    assert [(f.name, f.summary) for f in absent.functions] == [
        ("loss", "loss, normalised: with its defaults."), ("other", "The other one."),
    ]  # fmt: skip
    assert [f.note for f in absent.functions] == ["More words.", ""]
    assert "nowhere_to_be_found" not in sys.modules


def test_a_file_that_names_no_distribution_is_an_error(folder):
    (folder / "nameless.py").write_text("x = 1", encoding="utf-8")
    with pytest.raises(ValueError, match=r"nameless\.py: must name its distribution once"):
        adapters(folder)


def test_libraries_are_chosen_by_name(folder):
    every = adapters(folder)
    assert [one.library for one in chosen(every, [])] == ["absent", "present"]
    assert [one.library for one in chosen(every, ["present"])] == ["present"]
    with pytest.raises(ValueError, match="unknown library 'presents', did you mean present"):
        chosen(every, ["presents"])


def test_every_shipped_adapter_says_what_each_function_calls():
    for adapter in adapters():
        assert adapter.functions, adapter.library
        for function in adapter.functions:
            assert function.summary.endswith("."), f"{adapter.library}.{function.name}"
