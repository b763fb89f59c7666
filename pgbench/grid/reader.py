"""The grid file: strict reading of ``grid.yaml``, with every error located and reported at once."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

from pgbench.ascent import algorithms, step_sizes
from pgbench.declared.messages import bounded, shown
from pgbench.declared.parameters import Parameter, did_you_mean, label
from pgbench.declared.registry import Record
from pgbench.declared.sources import digest_of
from pgbench.estimators import TableEstimator, estimators
from pgbench.grid.grid import DEFAULTS, EXACT, MORE, Ascents, Chosen, Climber, Grid
from pgbench.grid.keys import (
    ASCENT,
    BATCH_SIZE,
    EXPECTED,
    HORIZON,
    INSTANCES,
    SEED,
    SETTINGS,
    STEP,
    THETA,
    THETA_FILE,
    THETA_VALUES,
)
from pgbench.grid.nodes import Node, NodeReader, plain, written
from pgbench.policies import PolicyKind, kinds
from pgbench.problems import Family, families

MAX_BYTES = 2**20
MAX_CELLS = 200_000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class GridError(ValueError):
    """The grid file is wrong; the message holds one located line per error."""


def grid_of(given: Grid | Mapping[str, Any] | str | Path) -> Grid:
    """A grid from what it may be given as.

    Parameters
    ----------
    given
        A Grid; a mapping of what a grid file holds, with lists, tuples or arrays for axes; the text
        of a file, if it has several lines; or a file's name. Files that it names are looked for
        beside the file, else in the working directory.

    Raises
    ------
    GridError
        A ValueError with one line per error; for a mapping ``place: what is wrong``.
    """
    if isinstance(given, Grid):
        return given
    if isinstance(given, Mapping):
        return _parsed(written(given), "", present=True)
    if not isinstance(given, str | PathLike):
        raise GridError(
            f"a grid is a mapping, a text or the name of a file, not {type(given).__name__}"
        )
    if isinstance(given, str) and "\n" in given:
        return parse_grid(given, "grid", present=True)
    return read_grid(given)


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
    return parse_grid(text, str(path), present=True)


def parse_grid(
    text: str,
    source: str = "grid.yaml",
    contents: Mapping[str, str] | None = None,
    present: bool = False,
) -> Grid:
    """The grid in a string; errors name ``source``. Raises GridError.

    ``contents`` gives the contents of files by label as they were at an earlier time, where they
    may have been moved since; with ``present`` policies' files and libraries must be there.
    """
    grid = _parsed(text, source, present)
    return grid if contents is None else grid.with_contents(contents)


def _parsed(text: str, source: str, present: bool) -> Grid:
    """The grid in a text; errors name its source, line and column, or neither without a source."""
    reader = _Reader(source, present)
    tree = reader.parse(text)
    grid = reader.grid(tree, text) if tree is not None else None
    if reader.errors or grid is None:
        found = sorted(set(reader.errors), key=_place)
        raise GridError(
            bounded(f"{source}:{e}" if source else e.split(":", 2)[2].strip() for e in found)
        )
    return grid


def _place(error: str) -> tuple[int, int]:
    line, column, _ = error.split(":", 2)
    return int(line), int(column)


def _identity(choice: Chosen | Climber) -> str:
    """What two choices share if one stands for the other."""
    return json.dumps(choice.canonical, sort_keys=True)


def _drawn(values: dict[str, Any]) -> Chosen:
    """θ that is drawn; its label and what identifies it say what is not the default."""
    more = {name: parameter for name, parameter in THETA.items() if name != "init"}
    name = label(str(values["init"]), more, values)
    return Chosen(values["init"], _identifying(values, THETA), name)


def _identifying(values: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """The values without those of later parameters that are at their defaults."""
    return {
        name: value
        for name, value in values.items()
        if not (parameters[name].later and value == parameters[name].default)
    }


class _Reader(NodeReader):
    """Turns YAML into a Grid."""

    def __init__(self, source: str, present: bool = False) -> None:
        super().__init__()
        self.folder, self.present = Path(source).parent, present
        self.group_size = 1

    def grid(self, tree: Node, text: str) -> Grid | None:
        if not isinstance(tree.value, dict):
            self.fail(tree, "", "a grid is a mapping with the keys name, problems, estimators, ...")
            return None
        more = [f"{axis}s" for axis in MORE]
        axes = ("problems", "policies", *more, "theta", "horizon", "seed")
        known = [*SETTINGS, *axes, "estimators", "batch_sizes", "ascent"]
        self.only(tree.value, "", known)
        values = self.values(tree, "", SETTINGS)
        if isinstance(values.get("name"), str) and not _NAME.fullmatch(values["name"]):
            node = tree.value["name"][1]
            self.fail(node, "name", "must be letters, digits, dots, dashes and underscores")
        seeds = self.numbers(tree, "seed", SEED)
        drawn = seeds[0].values["seed"] or 0
        chosen = {
            "problem": self.choices(tree, "problems", "problem", families(), drawn),
            "policy": self.choices(tree, "policies", "policy", kinds(), default="softmax"),
            **{axis: self.more(tree, axis) for axis in MORE},
            "theta": self.thetas(tree),
            "horizon": self.numbers(tree, "horizon", HORIZON),
            "seed": seeds,
        }
        followed: list[Chosen] = []
        if "estimators" in tree.value or "ascent" not in tree.value:
            followed = self.choices(tree, "estimators", "estimator", estimators())
        self.group_size = values.get("group_size") or 1
        batch_sizes = self.batch_sizes(tree)
        ascent = self.ascent(tree.value["ascent"][1]) if "ascent" in tree.value else None
        if self.errors:
            return None
        n_settings = prod(map(len, chosen.values()))
        n_cells = n_settings * len(followed) * len(batch_sizes)
        if ascent:
            n_cells += n_settings * sum(len(climber.step_sizes) for climber in ascent.climbers)
        if self.too_many(tree, "", n_cells):
            return None
        named = [axis for axis in chosen if axis not in DEFAULTS or self.names(tree, axis)]
        return Grid(
            axes={axis: tuple(chosen[axis]) for axis in named},
            common={axis: own[0] for axis, own in chosen.items() if axis not in named},
            estimators=tuple(followed),
            batch_sizes=batch_sizes,
            text=text,
            ascent=ascent,
            **values,
        )

    def names(self, tree: Node, axis: str) -> bool:
        """Whether a grid names an axis that it need not: by its plural, or by a list."""
        if axis in MORE:
            return f"{axis}s" in tree.value
        given = tree.value[axis][1].value if axis in tree.value else None
        if isinstance(given, dict):
            lists = (
                isinstance(node.value, list) for key, (_, node) in given.items() if key != "values"
            )
            return any(lists)
        return isinstance(given, list)

    def more(self, tree: Node, axis: str) -> list[Chosen]:
        """What is chosen along an axis of records that a grid need not name, or its default."""
        place = f"{axis}s"
        if place not in tree.value:
            return [DEFAULTS[axis]]
        return self.choices(tree, place, axis, MORE[axis]())

    def numbers(self, tree: Node, name: str, parameter: Parameter) -> list[Chosen]:
        """The values of a key whose list is an axis, such as ``seed``; words go by themselves."""
        if name not in tree.value:
            return [DEFAULTS[name]]
        node = tree.value[name][1]
        values = self.axis(node, name, parameter)
        known = [value for value in values if value is not None]
        if len(set(known)) < len(known):
            self.fail(node, name, "holds a value twice")
        return [
            Chosen(value, {}, value)
            if isinstance(value, str)
            else Chosen(name, {name: value}, str(value))
            for value in values
        ] or [DEFAULTS[name]]

    def too_many(self, node: Node, place: str, n_cells: int) -> bool:
        """Whether a grid, or a part of it alone, has more cells than a grid may have: an error."""
        if n_cells <= MAX_CELLS:
            return False
        what = "makes" if place else "the grid has"
        self.fail(node, place, f"{what} {n_cells} cells, at most {MAX_CELLS} are allowed")
        return True

    def thetas(self, tree: Node) -> list[Chosen]:
        """Every θ: the product of each entry's own axes."""
        if "theta" not in tree.value:
            return [DEFAULTS["theta"]]
        node = tree.value["theta"][1]
        several = isinstance(node.value, list)
        found: dict[str, Chosen] = {}
        for i, entry in enumerate(self.items(node, "theta")):
            place = f"theta.{i}" if several else "theta"
            for choice in self.theta(entry, place):
                if _identity(choice) in found:
                    self.fail(entry, place, f"{choice.label} stands twice")
                found[_identity(choice)] = choice
        return [*found.values()]

    def theta(self, node: Node, place: str) -> list[Chosen]:
        """How θ is drawn, or its values, or the files that it is in."""
        known = [*THETA, "values", "file"]
        content = node.value
        if not isinstance(content, dict):
            self.fail(node, place, f"must be a mapping with the keys {', '.join(known)}")
            return []
        self.only(content, place, known)
        given = [name for name in ("values", "file") if name in content]
        for name in [*given[1:], *THETA] if given else ():
            if name in content:
                said = "give either values, or a file, or how θ is drawn, not both"
                self.fail(content[name][0], f"{place}.{name}", said)
        if given == ["values"]:
            values = self.axis(content["values"][1], f"{place}.values", THETA_VALUES)
            label = f"values[{', '.join(f'{x:g}' for x in values if x is not None)}]"
            return [Chosen("values", {"values": values}, label)]
        if given:
            return self.theta_files(content["file"][1], f"{place}.file")
        axes = self.axes(node, content, place, THETA)
        if self.too_many(node, place, prod(map(len, axes.values()))):
            return []
        drawn = (dict(zip(axes, own, strict=True)) for own in product(*axes.values()))
        return [_drawn(values) for values in drawn]

    def theta_files(self, node: Node, place: str) -> list[Chosen]:
        """Files of θ, each with a hash of its bytes."""
        found = []
        several = isinstance(node.value, list)
        for i, item in enumerate(self.items(node, place)):
            here = f"{place}.{i}" if several else place
            name = self.value(item, here, THETA_FILE)
            if name is None:
                continue
            content = digest_of(self.folder / name)
            if self.present and not content:
                self.fail(item, here, f"{self.folder / name}: cannot be read")
            found.append(
                Chosen("file", {"file": name}, f"file[{name}]", 0, content, str(self.folder))
            )
        return found

    def ascent(self, node: Node) -> Ascents | None:
        """The ascents: every algorithm with what it follows, at its own or the common axes."""
        axes = ("estimators", "step_sizes", "batch_sizes")
        values = self.mapping(node, "ascent", ASCENT, ["algorithms", *axes, *ASCENT])
        if not isinstance(node.value, dict):
            return None
        common = {axis: node.value[axis][1] for axis in axes if axis in node.value}
        if "algorithms" not in node.value:
            self.fail(node, "ascent.algorithms", "missing, must be a list of algorithms")
            return None
        climbers: dict[str, Climber] = {}
        for i, entry in enumerate(self.items(node.value["algorithms"][1], "ascent.algorithms")):
            place = f"ascent.algorithms.{i}"
            own = dict(common)
            if isinstance(entry.value, dict):
                own |= {axis: entry.value[axis][1] for axis in axes if axis in entry.value}
                rest = {k: v for k, v in entry.value.items() if k not in axes}
                entry = replace(entry, value=rest)
            for climber in self.climbers(entry, place, own):
                same = climbers.setdefault(_identity(climber), climber)
                if same is climber:
                    continue
                # A further entry may add step sizes that are not for everyone.
                known = {*map(_identity, same.step_sizes)}
                for rule in climber.step_sizes:
                    if _identity(rule) in known:
                        twice = f"{climber.label} with step size {rule.label} stands twice"
                        self.fail(entry, place, twice)
                rules = same.step_sizes + climber.step_sizes
                climbers[_identity(climber)] = replace(climber, step_sizes=rules)
        every = (rule for climber in climbers.values() for rule in climber.step_sizes)
        axis: dict[str, Chosen] = {}
        for rule in every:
            axis.setdefault(_identity(rule), rule)
        return Ascents(tuple(climbers.values()), tuple(axis.values()), **values)

    def climbers(self, entry: Node, place: str, axes: Mapping[str, Node]) -> list[Climber]:
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
        sizes = [self.group_size]
        if "batch_sizes" in axes:
            sizes = self.grouped(axes["batch_sizes"], f"{place}.batch_sizes")
        found: list[Climber] = []
        if self.too_many(entry, place, len(estimating) * len(followed) * len(sizes)):
            return found
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

    def followed(self, node: Node, place: str) -> list[tuple[Chosen | None, bool]]:
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

    def step_sizes(self, node: Node, place: str) -> list[Chosen]:
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
        counts = Counter(map(_identity, rules))
        for rule in rules:
            if counts[_identity(rule)] > 1:
                self.fail(node, f"{place}.step_sizes", f"{rule.label} stands twice")
        return rules

    def batch_sizes(self, tree: Node) -> tuple[int, ...]:
        if "batch_sizes" not in tree.value:
            return (self.group_size,)
        sizes = self.grouped(tree.value["batch_sizes"][1], "batch_sizes")
        if len(set(sizes)) < len(sizes):
            self.fail(tree.value["batch_sizes"][1], "batch_sizes", "holds a value twice")
        return tuple(sorted(sizes))

    def grouped(self, node: Node, place: str) -> list[int]:
        """Batch sizes, each a multiple of the group's."""
        several = isinstance(node.value, list)
        sizes: list[int] = []
        for i, item in enumerate(self.items(node, place)):
            here = f"{place}.{i}" if several else place
            size = self.value(item, here, BATCH_SIZE)
            if size is not None and size % self.group_size:
                said = f"is {size}, must be a multiple of group_size, {self.group_size}"
                self.fail(item, here, said)
            sizes += [] if size is None else [size]
        return sizes

    def choices(
        self,
        tree: Node,
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
        chosen: dict[str, Chosen] = {}
        for i, entry in enumerate(self.items(node, axis)):
            for choice in self.entry(entry, f"{axis}.{i}", word, records, seed):
                if _identity(choice) in chosen:
                    self.fail(entry, f"{axis}.{i}", f"{choice.label} stands twice")
                chosen[_identity(choice)] = choice
        return [*chosen.values()]

    def entry(
        self, node: Node, place: str, word: str, records: Mapping[str, Record], seed: int
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
                f"unknown {word} {shown(plain(name_node))}{hint} (known: {known})",
            )
            return []
        place = f"{place}.{record.name}"
        parameters = record.parameters
        keys = [*parameters, *(["instances"] if word == "problem" else [])]
        self.only({key: pair for key, pair in content.items() if key != word}, place, keys)
        wrong = len(self.errors)
        axes = self.axes(node, content, place, parameters)
        instances = self.instances(content, place, parameters) if word == "problem" else 1
        choices: list[Chosen] = []
        several = self.too_many(node, place, prod(map(len, axes.values())) * instances)
        if several or len(self.errors) > wrong:
            return choices
        drawn = "seed" in parameters and "seed" not in content and word == "problem"
        for values in product(*axes.values()):
            for instance in range(instances):
                bound = dict(zip(axes, values, strict=True))
                if drawn:
                    bound["seed"] = seed + instance
                name = label(record.name, parameters, bound)
                bound = _identifying(bound, parameters)
                digest = ""
                if isinstance(record, Family | PolicyKind):
                    digest = record.content(record.located(self.folder, bound))
                if self.present and isinstance(record, PolicyKind):
                    self.require_made(node, place, record, bound)
                folder = str(self.folder)
                choices.append(Chosen(record.name, bound, name, instance, digest, folder))
        return choices

    def axes(
        self,
        node: Node,
        content: Mapping[str, tuple[Node, Node]],
        place: str,
        parameters: Mapping[str, Parameter],
    ) -> dict[str, list[Any]]:
        """The values of every parameter, given or default; a missing required one is an error."""
        found: dict[str, list[Any]] = {}
        for name, parameter in parameters.items():
            if name in content:
                found[name] = self.axis(content[name][1], f"{place}.{name}", parameter)
            elif parameter.required:
                self.fail(node, f"{place}.{name}", f"missing, must be {parameter.allowed}")
            else:
                found[name] = [parameter.default]
        return found

    def require_made(
        self, node: Node, place: str, kind: PolicyKind, values: Mapping[str, Any]
    ) -> None:
        """An error where it can be said beforehand that no policy can be made."""
        if reason := kind.objection(kind.located(self.folder, values)):
            self.fail(node, place, reason)

    def instances(
        self,
        content: Mapping[str, tuple[Node, Node]],
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
