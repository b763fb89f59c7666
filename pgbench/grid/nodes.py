"""YAML as nodes that know their line and column, and values read off them.

Scalars are read by the rules below and not by YAML 1.1's, which take ``1e-3`` for a string and
``no`` for false, and a key that stands twice is an error instead of losing its first value.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from pgbench.declared.parameters import Parameter, ParameterError, did_you_mean

MAX_NODES = 50_000
MAX_DEPTH = 30

_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*")
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
        self.errors.append(f"{node.line}:{node.column}: {place + ': ' if place else ''}{message}")

    def parse(self, text: str) -> Node | None:
        """The tree of a text, or None after recording why there is none."""
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            self.errors.append(f"{line}:{column}: not valid YAML: {error.problem or error.context}")
            return None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            self.errors.append(f"{line}:1: not valid YAML: {error.reason}")
            return None
        except RecursionError:
            self.errors.append("1:1: nested too deeply")
            return None
        if root is None:
            self.errors.append("1:1: the grid is empty")
            return None
        try:
            return self.convert(root, "", 0)
        except OverflowError as error:
            self.errors.append(f"1:1: {error}")
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
            self.fail(Node(None, line, column), place, f"the tag {node.tag} is not allowed")
        if isinstance(node, yaml.SequenceNode):
            items = [
                self.convert(item, f"{place}.{i}".lstrip("."), depth + 1)
                for i, item in enumerate(node.value)
            ]
            return Node(items, line, column)
        if isinstance(node, yaml.ScalarNode):
            return Node(_scalar(node), line, column)
        mapping: dict[str, tuple[Node, Node]] = {}
        for key_node, value_node in node.value:
            key = self.convert(key_node, place, depth + 1)
            name = key.value
            if not isinstance(name, str):
                self.fail(key, place, f"the key {name!r} must be a word")
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
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    return text


def plain(node: Node) -> Any:
    """The value of a node without places."""
    if isinstance(node.value, dict):
        return {name: plain(value) for name, (_, value) in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value
