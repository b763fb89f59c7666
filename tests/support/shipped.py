"""Estimators that the docs promise, of which tests ask more than of one just added."""

import re
from functools import cache
from pathlib import Path

GALLERY = Path(__file__).parents[2] / "docs" / "gallery.md"


@cache
def shipped() -> frozenset[str]:
    """Names in the gallery's table of estimators by group."""
    text = GALLERY.read_text(encoding="utf-8")
    table = text[text.index("| group | estimators |") :].split("\n\n")[0]
    return frozenset(re.findall(r"`(\w+)`", table))
