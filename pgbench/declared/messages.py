"""How much of a text a message holds, so that the rest of it stays readable."""

from collections.abc import Iterable
from typing import Any

LONGEST_VALUE = 100
LONGEST_LINE = 2000
MOST_LINES = 40


def shown(value: Any) -> str:
    """A value as Python writes it, or its two ends where that is long."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"an integer of {value.bit_length()} bits"  # of which Python writes no digits
    return shortened(repr(value), LONGEST_VALUE)


def shortened(text: str, longest: int = LONGEST_LINE) -> str:
    """The text, or its two ends and how much of it is left out between them."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} ... {len(text) - 2 * half} characters ... {text[-half:]}"


def bounded(lines: Iterable[str]) -> str:
    """Lines as one text: the first ones, shortened, and how many there are beside them."""
    whole = list(lines)
    told = [shortened(line) for line in whole[:MOST_LINES]]
    if len(whole) > MOST_LINES:
        told.append(f"... and {len(whole) - MOST_LINES} lines more")
    return "\n".join(told)
