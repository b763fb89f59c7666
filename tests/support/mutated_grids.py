"""Grids that went wrong in one to three places: by bytes, by words, by the nodes of their YAML."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]

SHIPPED = [ROOT / "grid.yaml", *sorted((ROOT / "grids").glob("*.yaml"))]

WORDS = (
    *("1_", "1__0", "_1", "+-1", "0x1F", "0o7", "1:30", "1e400", "-1e400", ".inf", "-.inf", ".nan"),
    *("1e-400", "-0.0", "0", "-1", "1.5", "9" * 39, "9" * 50, "9" * 5000, "1" * 310, "٣", "²"),
    *("null", "~", "true", "yes", "=", "<<", "<<: *a", "*a", "&a", "&a b", "!!int", "!!set", "!x"),
    *("!!python/name:os.system", "2020-01-01", "%YAML 9.9", "---", "...", "- ", "? ", ": ", "#"),
    *(
        "[",
        "]",
        "{",
        "}",
        ",",
        '"',
        "'",
        "|",
        ">",
        "\t",
        "\n",
        "\r",
        "\x00",
        "\x1b",
        "\x85",
        "\ufeff",
    ),
    *('"\\UFFFFFFFF"', '"\\U00110000"', '"\\ud800"', '"\\0"', '"\\x1b[31m"', '"a\\nb"', "\ud800"),
    *(
        "θ",
        "😀",
        "x" * 5000,
        "[" * 40,
        "[" * 400,
        "{a: " * 40,
        "[[1, 2], {a: b}]",
        "{}",
        "[]",
        "''",
    ),
    *("instances: 10000", "problem: file", "path: .", "path: /dev/null", "path: ''"),
    *("expected: true", "exact", "values: [0.0]", "seed: 3", "horizon: auto", "replicates: 2"),
)
"""What stands in place of a word, or beside it."""

VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, float("inf"), float("nan"), 1e300, 10**39, 10**400, -(2**63), 2**64),
    *("", "~", "x", "θ", "a\nb", "\x00", "x" * 3000, [], {}, [[]], [1, 1], [None], {"a": {}}),
    *({"problem": "garnet"}, {"values": [1.0]}, {"": 1}, {"instances": 10_000}, list(range(300))),
)
"""What stands in place of a node."""


def mutated(seed: int) -> str:
    """A shipped grid with one to three mistakes."""
    draw = random.Random(seed)
    text = draw.choice(SHIPPED).read_text(encoding="utf-8")
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        mistake = draw.choice((_of_bytes, _of_words, _of_words, _of_nodes))
        text = mistake(draw, text)
    return text


def _of_bytes(draw: random.Random, text: str) -> str:
    data = bytearray(text.encode("utf-8", "surrogatepass"))
    place, length = draw.randrange(len(data) + 1), draw.randint(1, 8)
    piece = bytes(data[place : place + length])
    data[place : place + length] = draw.choice(
        (b"", piece * 2, piece[::-1], draw.randbytes(length), bytes([draw.randrange(128)]) + piece)
    )
    return data.decode("utf-8", "ignore")


def _of_words(draw: random.Random, text: str) -> str:
    words = re.split(r"(\s+|[\[\]{},:])", text)
    place = draw.randrange(len(words))
    other = draw.choice((*WORDS, draw.choice(words)))
    words[place] = draw.choice((other, words[place] + other, other + " " + words[place], ""))
    return "".join(words)


def _of_nodes(draw: random.Random, text: str) -> str:
    """Another value, a level more, a value twice, or a key twice; other text if it is no YAML."""
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, TypeError):
        return _of_words(draw, text)
    places = _places(tree)
    if not places:
        return text
    holder, name = draw.choice(places)
    holder[name] = draw.choice(MISTAKES)(draw, holder[name])
    dumped: str = yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)
    if draw.random() < 0.2:
        lines = dumped.splitlines(keepends=True)
        dumped += draw.choice(lines)
    return dumped


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every node below a tree, as what holds it and where."""
    names = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    found = [(tree, name) for name in names]
    return found + [place for name in names for place in _places(tree[name])]


def _nested(draw: random.Random, value: Any) -> Any:
    for _ in range(draw.choice((1, 2, 40))):
        value = [value] if draw.random() < 0.5 else {"problem": value}
    return value


MISTAKES: tuple[Callable[[random.Random, Any], Any], ...] = (
    lambda draw, value: draw.choice(VALUES),
    lambda draw, value: [value, draw.choice(VALUES)],
    lambda draw, value: [value, value],
    lambda draw, value: str(value),
    _nested,
)
