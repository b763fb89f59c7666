"""Mistakes that are made in a copy of the package can be made: their texts are still there."""

import pytest

from tests.mutations import MUTATIONS, ROOT


def in_room(room):
    """All text of a room."""
    return "".join(file.read_text("utf-8") for file in (ROOT / "pgbench" / room).rglob("*.py"))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_its_text_occurs_once(mutation):
    assert in_room(mutation.room).count(mutation.old) == 1
    assert mutation.new != mutation.old
