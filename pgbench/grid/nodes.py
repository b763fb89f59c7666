"""YAML as nodes that know their line and column, and values read off them.

Scalars are read by the rules below and not by YAML 1.1's, which take ``1e-3`` for a string and
``no`` for false, and a key that stands twice is an error instead of losing its first value. What
looks like a number and is none, such as ``1_`` or ``1e999``, is a word. Text holds no control
characters, which no name or path needs, and no halves of characters.
"""

import math
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import yaml

from pgbench.declared.messages import shortened, shown
from pgbench.declared.parameters import Parameter, ParameterError, did_you_mean

MAX_NODES = 50_000
MAX_DEPTH = 30

LONGEST_PLACE = 200

_INTEGER = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan")


@dataclass(frozen=True)
class Node:
    """A value and where it stands: a scalar, a list of nodes, or a mapping of (key, node)."""

    value: Any
    line: int
    column: int


class NodeReader:
    """Turns YAML into nodes and nodes into checked values, and collects every error on the way."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.nodes = 0

    def fail(self, node: Node, place: str, message: str) -> None:
        """Record an error at a node."""
        self.fail_at(node.line, node.column, place, message)

    def fail_at(self, line: int, column: int, place: str, message: str) -> None:
        """Record an error at a line and column, which count from one."""
        where = shortened(place, LONGEST_PLACE) + ": " if place else ""
        self.errors.append(f"{line}:{column}: {where}{shortened(message)}")

    def parse(self, text: str) -> Node | None:
        """The tree of a text, or None after recording why there is none."""
        root = self.compose(text)
        if root is None:
            if not self.errors:
                self.fail_at(1, 1, "", "the grid is empty")
            return None
        try:
            return self.convert(root, "", 0)
        except OverflowError as error:
            self.fail_at(1, 1, "", str(error))
            return None

    def compose(self, text: str) -> yaml.Node | None:
        """The tree as YAML has it, or None if the text is empty or after recording an error."""
        line, column, problem = 1, 1, "nested too deeply"
        loader = None
        try:
            loader = yaml.SafeLoader(text)
            return loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            problem = f"not valid YAML: {error.problem or error.context}"
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            problem = f"not valid YAML: {shown(chr(error.character))}: {error.reason}"
        except (ValueError, OverflowError):
            # An escape such as "\UFFFFFFFF", or a version: YAML's scanner has Python convert them.
            assert loader is not None
            line, column = loader.line + 1, loader.column + 1
            problem = "not valid YAML: a number or the code of a character is too large"
        except RecursionError:
            pass
        self.fail_at(line, column, "", problem)
        return None

    def convert(self, node: Any, place: str, depth: int) -> Node:
        """Plain values with places; duplicate keys and foreign tags are errors."""
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            raise OverflowError(
                f"more than {MAX_NODES} values or {MAX_DEPTH} levels, not a grid file"
            )
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
            self.fail(Node(None, line, column), place, f"the tag {shown(node.tag)} is not allowed")
        if isinstance(node, yaml.SequenceNode):
            items = [
                self.convert(item, f"{place}.{i}".lstrip("."), depth + 1)
                for i, item in enumerate(node.value)
            ]
            return Node(items, line, column)
        if isinstance(node, yaml.ScalarNode):
            scalar = Node(_scalar(node), line, column)
            if wrong := _unprintable(node.value):
                self.fail(scalar, place, f"{shown(wrong)} is not allowed in text")
            return scalar
        mapping: dict[str, tuple[Node, Node]] = {}
        for key_node, value_node in node.value:
            key = self.convert(key_node, place, depth + 1)
            name = key.value
            if not isinstance(name, str):
                self.fail(key, place, f"the key {shown(plain(key))} must be a word")
                continue
            if _unprintable(name):  # said already
                continue
            here = f"{place}.{name}".lstrip(".")
            value = self.convert(value_node, here, depth + 1)
            if name in mapping:
                self.fail(key, here, f"stands twice, first in line {mapping[name][0].line}")
            mapping.setdefault(name, (key, value))
        return Node(mapping, line, column)

    def value(self, node: Node, place: str, parameter: Parameter) -> Any:
        """A checked value, or None after recording the error."""
        try:
            return parameter.check(plain(node))
        except ParameterError as error:
            self.fail(node, place, str(error))
            return None

    def values(self, tree: Node, place: str, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
        """Scalar values of the given parameters; a missing required one is an error."""
        found: dict[str, Any] = {}
        for name, parameter in parameters.items():
            here = f"{place}.{name}".lstrip(".")
            if name in tree.value:
                found[name] = self.value(tree.value[name][1], here, parameter)
            elif parameter.required:
                self.fail(tree, here, f"missing, must be {parameter.allowed}")
            else:
                found[name] = parameter.default
        return found

    def mapping(
        self,
        node: Node,
        place: str,
        parameters: Mapping[str, Parameter],
        known: Collection[str] = (),
    ) -> dict[str, Any]:
        """Scalar values of the given parameters, where ``known`` keys are allowed, or just they."""
        known = known or parameters
        if not isinstance(node.value, dict):
            self.fail(node, place, f"must be a mapping with the keys {', '.join(known)}")
            return {}
        self.only(node.value, place, known)
        return self.values(node, place, parameters)

    def only(
        self, content: Mapping[str, tuple[Node, Node]], place: str, known: Collection[str]
    ) -> None:
        """Keys that are not known are errors."""
        for name, (key, _) in content.items():
            if name not in known:
                here = f"{place}.{name}".lstrip(".")
                self.fail(key, here, f"unknown key{did_you_mean(name, known)}")

    def items(self, node: Node, place: str) -> list[Node]:
        """The values of an axis, one or several; an empty list is an error."""
        if not isinstance(node.value, list):
            return [node]
        if not node.value:
            self.fail(node, place, "is empty, an axis needs at least one value")
        return node.value

    def axis(self, node: Node, place: str, parameter: Parameter) -> list[Any]:
        """One or several values of a parameter; an empty list is an error."""
        if not isinstance(node.value, list):
            return [self.value(node, place, parameter)]
        items = self.items(node, place)
        return [self.value(item, f"{place}.{i}", parameter) for i, item in enumerate(items)]


def _scalar(node: yaml.ScalarNode) -> Any:
    text = node.value
    if node.style in ("'", '"', "|", ">"):
        return text
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text) and len(text) < 40:
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text.replace(".inf", "inf").replace(".nan", "nan"))
        if math.isfinite(number) or text.endswith((".inf", ".nan")):
            return number
    return text


def _unprintable(text: str) -> str:
    """The first control character of a text, or half of a character; nothing if there is none."""
    wrong = (c for c in text if unicodedata.category(c) in ("Cc", "Cs"))
    return "" if text.isprintable() else next(wrong, "")


def plain(node: Node) -> Any:
    """The value of a node without places."""
    if isinstance(node.value, dict):
        return {name: plain(value) for name, (_, value) in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value


def written(given: Any) -> str:
    """The YAML text of plain values: mappings, lists, tuples, arrays, numbers, words and paths.

    Raises ValueError that names the place of anything else.
    """
    text: str = yaml.safe_dump(_writable(given, ""), sort_keys=False, allow_unicode=True)
    return text


def _writable(value: Any, place: str) -> Any:
    """A value of types that YAML knows."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {key: _writable(own, f"{place}.{key}".lstrip(".")) for key, own in value.items()}
    if isinstance(value, list | tuple | range):
        return [_writable(own, f"{place}.{i}".lstrip(".")) for i, own in enumerate(value)]
    if isinstance(value, PurePath):
        return str(value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    where = f"{place}: " if place else ""
    raise ValueError(
        f"{where}{shown(value)} is not allowed in a grid, must be a number, a word, a list or a"
        " mapping"
    )
