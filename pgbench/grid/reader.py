"""The grid file: strict reading of ``grid.yaml``, with every error located and reported at once.

The file is parsed to a tree of nodes that know their line and column. Scalars are read by the rules
below and not by YAML 1.1's, which take ``1e-3`` for a string and ``no`` for false, and a key that
stands twice is an error instead of losing its first value.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Annotated, Any

import yaml

from pgbench.ascent import algorithms, step_sizes
from pgbench.declared.parameters import (
    Choice,
    Parameter,
    ParameterError,
    Range,
    did_you_mean,
    label,
    parameters_of,
)
from pgbench.declared.registry import Record
from pgbench.estimators import TableEstimator, estimators
from pgbench.policies import kinds
from pgbench.problems import Family, families
from pgbench.rollout.device import KINDS

MAX_BYTES = 2**20
MAX_NODES = 50_000
MAX_DEPTH = 30
MAX_CELLS = 200_000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan")


class GridError(ValueError):
    """The grid file is wrong; the message holds one located line per error."""


def _settings(
    name: Annotated[str, "name of the results folder and of the report"],
    seed: Annotated[int, Range(0, 2**63 - 1), "seed of every random stream of the run"] = 0,
    horizon: Annotated[
        int | str,
        Range(1, 10_000_000),
        Choice(("auto",)),
        "steps per rollout; auto is the smallest with exact truncation bias below 1 % of ‖∇J‖",
    ] = "auto",
    max_horizon: Annotated[int, Range(1, 10_000_000), "cap of an automatic horizon"] = 1000,
    replicates: Annotated[int, Range(2, 100_000_000), "independent estimates per cell"] = 1000,
    device: Annotated[
        str,
        Choice(KINDS),
        "where rollouts of table estimators run; auto takes a GPU if there is one and it pays",
    ] = "cpu",
) -> None:
    """Declare the scalar keys of a grid."""


def _theta(
    init: Annotated[str, Choice(("normal", "zeros")), "distribution of θ"] = "normal",
    scale: Annotated[float, Range(0), "standard deviation of normal θ"] = 1.0,
) -> None:
    """Declare the keys below ``theta``."""


def _ascent(
    steps: Annotated[int, Range(1, 100_000_000), "updates of every run"] = 1000,
    replicates: Annotated[int, Range(1, 1_000_000), "independent runs of whatever is sampled"] = 30,
    points: Annotated[int, Range(2, 1000), "iterates that are scored, about"] = 40,
) -> None:
    """Declare the scalar keys below ``ascent``."""


SETTINGS = parameters_of(_settings)
THETA = parameters_of(_theta)
BATCH_SIZE = Parameter(
    "batch_sizes", (int,), 1, Range(1, 1_000_000_000), None, "trajectories per estimate"
)
ASCENT = parameters_of(_ascent)
STEP = Parameter("step", (float,), 0.1, Range(0), None, "a constant step size α")
EXPECTED = Parameter(
    "expected", (bool,), False, Range(), None, "follow the estimator's exact mean, not estimates"
)
THETA_VALUES = Parameter(
    "values", (float,), 0.0, Range(), None, "θ itself, or one row that all states share"
)
INSTANCES = Parameter("instances", (int,), 1, Range(1, 10_000), None, "draws of a random family")


@dataclass(frozen=True)
class Chosen:
    """A problem, policy or estimator by name, with the value of every parameter.

    A parameter marked ``Later`` has a value here only if it is not the default.
    ``instance`` counts the draws of a random problem family; it is 0 for everything else.
    ``content`` stands for what a problem depends on beside its values, such as a file's bytes, and
    ``folder`` is where the grid's file lies, from which paths among the values begin.
    """

    name: str
    values: Mapping[str, Any]
    label: str
    instance: int = 0
    content: str = ""
    folder: str = ""

    @property
    def canonical(self) -> dict[str, Any]:
        """What identifies the choice, however it was spelt in the file."""
        return {"name": self.name, "values": dict(self.values)}


EXACT = "exact"
"""What stands for ∇J itself among the estimators of an ascent."""


@dataclass(frozen=True)
class Climber:
    """An algorithm with what it follows: a row of the axis ``algorithm``.

    Attributes
    ----------
    algorithm
        The algorithm by name.
    estimator
        What is followed: an estimator, or None for ∇J, or for an algorithm that takes none.
    expected
        Whether the estimator's exact mean is followed.
    batch_size
        Rollouts per update.
    step_sizes
        The rules it is run with.
    """

    algorithm: Chosen
    estimator: Chosen | None
    expected: bool
    batch_size: int
    step_sizes: tuple[Chosen, ...]

    @property
    def follows(self) -> str:
        """What is followed, in words."""
        if self.estimator is None:
            return EXACT if algorithms()[self.algorithm.name].estimates else ""
        return f"E {self.estimator.label}" if self.expected else self.estimator.label

    @property
    def sampled(self) -> bool:
        """Whether rollouts are taken."""
        takes = algorithms()[self.algorithm.name].estimates
        return not takes or (self.estimator is not None and not self.expected)

    @property
    def label(self) -> str:
        """Algorithm, what is followed, batch size."""
        words = [self.algorithm.label, *filter(None, [self.follows])]
        if self.estimator is not None and (not self.expected or self.batch_size > 1):
            words.append(f"n={self.batch_size}")
        return ", ".join(words)

    @property
    def canonical(self) -> dict[str, Any]:
        """What identifies the choice, step sizes apart."""
        followed = None if self.estimator is None else self.estimator.canonical
        return {
            "algorithm": self.algorithm.canonical,
            "estimator": followed,
            "expected": self.expected,
            "batch_size": self.batch_size if followed else 0,
        }


@dataclass(frozen=True)
class Ascents:
    """The ascents of a grid: who climbs, with which step sizes, and how long."""

    climbers: tuple[Climber, ...]
    step_sizes: tuple[Chosen, ...]
    steps: int
    replicates: int
    points: int


@dataclass(frozen=True)
class Grid:
    """A validated grid: its axes, and the settings common to all cells."""

    name: str
    problems: tuple[Chosen, ...]
    policies: tuple[Chosen, ...]
    estimators: tuple[Chosen, ...]
    batch_sizes: tuple[int, ...]
    theta: Mapping[str, Any]
    seed: int
    horizon: int | None
    max_horizon: int
    replicates: int
    device: str
    text: str
    ascent: Ascents | None = None


@dataclass(frozen=True)
class _Node:
    """A value and where it stands: a scalar, a list of nodes, or a mapping of (key, node)."""

    value: Any
    line: int
    column: int


def read_grid(path: str | Path) -> Grid:
    """The grid in a file.

    Raises
    ------
    GridError
        A ValueError with one line ``file:line:column: place: what is wrong`` per error.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise GridError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise GridError(f"{path}: is larger than {MAX_BYTES // 2**20} MiB, not a grid file")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GridError(f"{path}: is not text in UTF-8 (byte {error.start})") from error
    return parse_grid(text, str(path))


def parse_grid(
    text: str, source: str = "grid.yaml", contents: Mapping[str, str] | None = None
) -> Grid:
    """The grid in a string; errors name ``source``. Raises GridError.

    ``contents`` gives the contents of problems by label as they were at an earlier time, where
    files may have been moved since.
    """
    reader = _Reader(source)
    tree = reader.parse(text)
    grid = reader.grid(tree, text) if tree is not None else None
    if reader.errors or grid is None:
        raise GridError(
            "\n".join(f"{source}:{where}" for where in sorted(set(reader.errors), key=_place))
        )
    if contents is None:
        return grid
    problems = (replace(p, content=contents.get(p.label, p.content)) for p in grid.problems)
    return replace(grid, problems=tuple(problems))


def _place(error: str) -> tuple[int, int]:
    line, column, _ = error.split(":", 2)
    return int(line), int(column)


class _Reader:
    """Turns YAML into a Grid and collects every error on the way."""

    def __init__(self, source: str) -> None:
        self.source, self.folder = source, Path(source).parent
        self.errors: list[str] = []
        self.nodes = 0

    def fail(self, node: _Node, place: str, message: str) -> None:
        self.errors.append(f"{node.line}:{node.column}: {place + ': ' if place else ''}{message}")

    def parse(self, text: str) -> _Node | None:
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

    def convert(self, node: Any, place: str, depth: int) -> _Node:
        """Plain values with places; duplicate keys and foreign tags are errors."""
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            raise OverflowError(
                f"more than {MAX_NODES} values or {MAX_DEPTH} levels, not a grid file"
            )
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
            self.fail(_Node(None, line, column), place, f"the tag {node.tag} is not allowed")
        if isinstance(node, yaml.SequenceNode):
            items = [
                self.convert(item, f"{place}.{i}".lstrip("."), depth + 1)
                for i, item in enumerate(node.value)
            ]
            return _Node(items, line, column)
        if isinstance(node, yaml.ScalarNode):
            return _Node(_scalar(node), line, column)
        mapping: dict[str, tuple[_Node, _Node]] = {}
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
        return _Node(mapping, line, column)

    def grid(self, tree: _Node, text: str) -> Grid | None:
        if not isinstance(tree.value, dict):
            self.fail(tree, "", "a grid is a mapping with the keys name, problems, estimators, ...")
            return None
        axes = ("problems", "policies", "estimators", "batch_sizes")
        known = [*SETTINGS, *axes, "theta", "ascent"]
        self.only(tree.value, "", known)
        values = self.values(tree, "", SETTINGS)
        if isinstance(values.get("name"), str) and not _NAME.fullmatch(values["name"]):
            node = tree.value["name"][1]
            self.fail(node, "name", "must be letters, digits, dots, dashes and underscores")
        theta_node = tree.value.get("theta", (None, _Node({}, tree.line, tree.column)))[1]
        theta = self.theta(theta_node)
        choices = {
            "problems": self.choices(
                tree, "problems", "problem", families(), values.get("seed") or 0
            ),
            "policies": self.choices(tree, "policies", "policy", kinds(), default="softmax"),
            "estimators": [],
        }
        if "estimators" in tree.value or "ascent" not in tree.value:
            choices["estimators"] = self.choices(tree, "estimators", "estimator", estimators())
        batch_sizes = self.batch_sizes(tree)
        ascent = self.ascent(tree.value["ascent"][1]) if "ascent" in tree.value else None
        if self.errors:
            return None
        n_cells = prod(len(axis) for axis in choices.values()) * len(batch_sizes)
        if ascent:
            runs = sum(len(climber.step_sizes) for climber in ascent.climbers)
            n_cells += len(choices["problems"]) * len(choices["policies"]) * runs
        if n_cells > MAX_CELLS:
            self.fail(tree, "", f"the grid has {n_cells} cells, at most {MAX_CELLS} are allowed")
            return None
        horizon = values.pop("horizon")
        return Grid(
            problems=tuple(choices["problems"]),
            policies=tuple(choices["policies"]),
            estimators=tuple(choices["estimators"]),
            batch_sizes=batch_sizes,
            horizon=None if horizon == "auto" else horizon,
            theta=theta,
            text=text,
            ascent=ascent,
            **values,
        )

    def theta(self, node: _Node) -> dict[str, Any]:
        """Either how θ is drawn, or its values."""
        if not isinstance(node.value, dict) or "values" not in node.value:
            return self.mapping(node, "theta", THETA, [*THETA, "values"])
        self.only(node.value, "theta", [*THETA, "values"])
        for name in THETA:
            if name in node.value:
                key, _ = node.value[name]
                self.fail(key, f"theta.{name}", "give either values or how θ is drawn, not both")
        return {"values": self.axis(node.value["values"][1], "theta.values", THETA_VALUES)}

    def ascent(self, node: _Node) -> Ascents | None:
        """The ascents: every algorithm with what it follows, at its own or the common axes."""
        axes = ("estimators", "step_sizes", "batch_sizes")
        values = self.mapping(node, "ascent", ASCENT, ["algorithms", *axes, *ASCENT])
        if not isinstance(node.value, dict):
            return None
        common = {axis: node.value[axis][1] for axis in axes if axis in node.value}
        if "algorithms" not in node.value:
            self.fail(node, "ascent.algorithms", "missing, must be a list of algorithms")
            return None
        climbers: list[Climber] = []
        for i, entry in enumerate(self.items(node.value["algorithms"][1], "ascent.algorithms")):
            place = f"ascent.algorithms.{i}"
            own = dict(common)
            if isinstance(entry.value, dict):
                own |= {axis: entry.value[axis][1] for axis in axes if axis in entry.value}
                rest = {k: v for k, v in entry.value.items() if k not in axes}
                entry = replace(entry, value=rest)
            for climber in self.climbers(entry, place, own):
                same = [j for j, c in enumerate(climbers) if c.canonical == climber.canonical]
                if not same:
                    climbers.append(climber)
                    continue
                # A further entry may add step sizes that are not for everyone.
                rules = climbers[same[0]].step_sizes
                for rule in climber.step_sizes:
                    if rule in rules:
                        twice = f"{climber.label} with step size {rule.label} stands twice"
                        self.fail(entry, place, twice)
                climbers[same[0]] = replace(climber, step_sizes=rules + climber.step_sizes)
        axis: list[Chosen] = []
        for climber in climbers:
            axis += [rule for rule in climber.step_sizes if rule not in axis]
        return Ascents(tuple(climbers), tuple(axis), **values)

    def climbers(self, entry: _Node, place: str, axes: Mapping[str, _Node]) -> list[Climber]:
        """One entry of ``ascent.algorithms``: its parameters, estimators and batch sizes."""
        chosen = self.entry(entry, place, "algorithm", algorithms(), 0)
        if "step_sizes" not in axes:
            self.fail(entry, f"{place}.step_sizes", "missing here and in ascent")
        rules = self.step_sizes(axes["step_sizes"], place) if "step_sizes" in axes else []
        estimating = [c for c in chosen if algorithms()[c.name].estimates]
        followed: list[tuple[Chosen | None, bool]] = []
        if "estimators" in axes:
            followed = self.followed(axes["estimators"], place)
        elif estimating:
            self.fail(entry, f"{place}.estimators", f"missing here and in ascent; {EXACT} is ∇J")
        sizes = [1]
        if "batch_sizes" in axes:
            sizes = self.axis(axes["batch_sizes"], f"{place}.batch_sizes", BATCH_SIZE)
        found = []
        for choice in chosen:
            if choice not in estimating:
                found.append(Climber(choice, None, False, 1, tuple(rules)))
                continue
            for estimator, expected in followed:
                # What is exact has no batches; means of table estimators are those of one rollout.
                own = sizes
                if estimator is None:
                    own = sizes[:1]
                elif expected and isinstance(estimators()[estimator.name], TableEstimator):
                    own = [1]
                found += [Climber(choice, estimator, expected, n, tuple(rules)) for n in own]
        return found

    def followed(self, node: _Node, place: str) -> list[tuple[Chosen | None, bool]]:
        """Estimators of an ascent: ``exact``, records, and records whose mean is followed."""
        found: list[tuple[Chosen | None, bool]] = []
        for i, entry in enumerate(self.items(node, f"{place}.estimators")):
            here, expected = f"{place}.estimators.{i}", False
            if entry.value == EXACT:
                found.append((None, False))
                continue
            if isinstance(entry.value, dict) and "expected" in entry.value:
                flag = entry.value["expected"][1]
                expected = bool(self.value(flag, f"{here}.expected", EXPECTED))
                rest = {k: v for k, v in entry.value.items() if k != "expected"}
                entry = replace(entry, value=rest)
            choices = self.entry(entry, here, "estimator", estimators(), 0)
            found += [(choice, expected) for choice in choices]
        return found

    def step_sizes(self, node: _Node, place: str) -> list[Chosen]:
        """Rules for step sizes; a number is a constant one."""
        rules: list[Chosen] = []
        for i, entry in enumerate(self.items(node, f"{place}.step_sizes")):
            here = f"{place}.step_sizes.{i}"
            if isinstance(entry.value, int | float) and not isinstance(entry.value, bool):
                step = self.value(entry, here, STEP)
                if step is not None:
                    rules.append(Chosen("constant", {"step": step}, f"{step:g}"))
            else:
                for choice in self.entry(entry, here, "step_size", step_sizes(), 0):
                    if choice.name == "constant" and choice.values.get("step") is not None:
                        choice = replace(choice, label=f"{choice.values['step']:g}")
                    rules.append(choice)
        for rule in rules[:-1]:
            if rules.count(rule) > 1:
                self.fail(node, f"{place}.step_sizes", f"{rule.label} stands twice")
        return rules

    def value(self, node: _Node, place: str, parameter: Parameter) -> Any:
        """A checked value, or None after recording the error."""
        try:
            return parameter.check(_plain(node))
        except ParameterError as error:
            self.fail(node, place, str(error))
            return None

    def values(
        self, tree: _Node, place: str, parameters: Mapping[str, Parameter]
    ) -> dict[str, Any]:
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
        node: _Node,
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
        self, content: Mapping[str, tuple[_Node, _Node]], place: str, known: Collection[str]
    ) -> None:
        """Keys that are not known are errors."""
        for name, (key, _) in content.items():
            if name not in known:
                here = f"{place}.{name}".lstrip(".")
                self.fail(key, here, f"unknown key{did_you_mean(name, known)}")

    def items(self, node: _Node, place: str) -> list[_Node]:
        """The values of an axis, one or several; an empty list is an error."""
        if not isinstance(node.value, list):
            return [node]
        if not node.value:
            self.fail(node, place, "is empty, an axis needs at least one value")
        return node.value

    def batch_sizes(self, tree: _Node) -> tuple[int, ...]:
        if "batch_sizes" not in tree.value:
            return (1,)
        items = self.axis(tree.value["batch_sizes"][1], "batch_sizes", BATCH_SIZE)
        sizes = [x for x in items if x is not None]
        if len(set(sizes)) < len(sizes):
            self.fail(tree.value["batch_sizes"][1], "batch_sizes", "holds a value twice")
        return tuple(sorted(sizes))

    def axis(self, node: _Node, place: str, parameter: Parameter) -> list[Any]:
        """One or several values of a parameter; an empty list is an error."""
        if not isinstance(node.value, list):
            return [self.value(node, place, parameter)]
        items = self.items(node, place)
        return [self.value(item, f"{place}.{i}", parameter) for i, item in enumerate(items)]

    def choices(
        self,
        tree: _Node,
        axis: str,
        word: str,
        records: Mapping[str, Record],
        seed: int = 0,
        default: str | None = None,
    ) -> list[Chosen]:
        """Every choice of an axis such as ``problems``: the product of each entry's own axes."""
        if axis not in tree.value:
            if default is None:
                self.fail(tree, axis, f"missing, must be a list of {axis}")
                return []
            return [Chosen(default, {}, default)]
        node = tree.value[axis][1]
        chosen: list[Chosen] = []
        for i, entry in enumerate(self.items(node, axis)):
            expanded = self.entry(entry, f"{axis}.{i}", word, records, seed)
            for choice in expanded:
                if any(choice.canonical == other.canonical for other in chosen):
                    self.fail(entry, f"{axis}.{i}", f"{choice.label} stands twice")
            chosen += expanded
        return chosen

    def entry(
        self, node: _Node, place: str, word: str, records: Mapping[str, Record], seed: int
    ) -> list[Chosen]:
        content = {word: (node, node)} if isinstance(node.value, str) else node.value
        if not isinstance(content, dict) or word not in content:
            self.fail(node, place, f"must be a name or a mapping with the key {word}")
            return []
        name_node = content[word][1]
        record = records.get(name_node.value) if isinstance(name_node.value, str) else None
        if record is None:
            hint = did_you_mean(name_node.value, records)
            known = ", ".join(records)
            self.fail(
                name_node,
                f"{place}.{word}",
                f"unknown {word} {_plain(name_node)!r}{hint} (known: {known})",
            )
            return []
        place = f"{place}.{record.name}"
        parameters = record.parameters
        keys = [*parameters, *(["instances"] if word == "problem" else [])]
        self.only({key: pair for key, pair in content.items() if key != word}, place, keys)
        axes: dict[str, list[Any]] = {}
        wrong = len(self.errors)
        for name, parameter in parameters.items():
            if name in content:
                axes[name] = self.axis(content[name][1], f"{place}.{name}", parameter)
            elif parameter.required:
                self.fail(node, f"{place}.{name}", f"missing, must be {parameter.allowed}")
            else:
                axes[name] = [parameter.default]
        instances = self.instances(content, place, parameters) if word == "problem" else 1
        if len(self.errors) > wrong:
            return []
        drawn = "seed" in parameters and "seed" not in content and word == "problem"
        choices = []
        for values in product(*axes.values()):
            for instance in range(instances):
                bound = dict(zip(axes, values, strict=True))
                if drawn:
                    bound["seed"] = seed + instance
                name = label(record.name, parameters, bound)
                bound = {
                    key: value
                    for key, value in bound.items()
                    if not (parameters[key].later and value == parameters[key].default)
                }
                digest = ""
                if isinstance(record, Family):
                    digest = record.content(record.located(self.folder, bound))
                folder = str(self.folder)
                choices.append(Chosen(record.name, bound, name, instance, digest, folder))
        return choices

    def instances(
        self,
        content: Mapping[str, tuple[_Node, _Node]],
        place: str,
        parameters: Mapping[str, Parameter],
    ) -> int:
        if "instances" not in content:
            return 1
        key, node = content["instances"]
        if "seed" not in parameters:
            self.fail(key, f"{place}.instances", "this problem is not random and has no instances")
        elif "seed" in content:
            self.fail(key, f"{place}.instances", "give either seed or instances, not both")
        return self.value(node, f"{place}.instances", INSTANCES) or 1


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


def _plain(node: _Node) -> Any:
    if isinstance(node.value, dict):
        return {name: _plain(value) for name, (_, value) in node.value.items()}
    if isinstance(node.value, list):
        return [_plain(item) for item in node.value]
    return node.value
