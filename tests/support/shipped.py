"""Estimators that the README promises, of which tests ask more than of one just added."""

import re
from functools import cache
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


@cache
def shipped() -> frozenset[str]:
    """Names in the README's table of estimators."""
    text = README.read_text(encoding="utf-8")
    table = text[text.index("| group | estimators |") :].split("\n\n")[0]
    return frozenset(re.findall(r"`(\w+)`", table))
