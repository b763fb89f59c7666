"""Messages are bounded, and say what they leave out."""

import pytest

from pgbench.declared.messages import LONGEST_VALUE, MOST_LINES, bounded, shortened, shown


@pytest.mark.parametrize("value", [1, "a", None, 1.5, [1, "a"], {"a": 1}, 2**99])
def test_what_is_short_is_shown_as_it_is(value):
    assert shown(value) == repr(value)


LONG = {"text": "x" * 10**6, "list": [0] * 10**5, "int": 10**10_000, "dict": {"a": "b" * 1000}}


@pytest.mark.parametrize("value", LONG.values(), ids=LONG)
def test_what_is_long_is_shown_by_its_ends(value):
    assert len(shown(value)) < LONGEST_VALUE + 40


def test_what_is_left_out_is_counted():
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijk", 4) == "ab ... 7 characters ... jk"


def test_lines_are_bounded_in_number_and_length():
    assert bounded(["a", "b"]) == "a\nb"
    told = bounded(["x" * 10_000] * (MOST_LINES + 7)).split("\n")
    assert len(told) == MOST_LINES + 1
    assert told[-1] == "... and 7 lines more"
    assert max(map(len, told)) < 2100
