"""The page about grid files: every key with what it may be, its default and its meaning."""

from collections.abc import Iterable, Mapping
from typing import Any

from pgbench.ascent import algorithms, step_sizes
from pgbench.declared.parameters import Parameter, spelt
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
from pgbench.objectives import objectives
from pgbench.policies import kinds
from pgbench.problems import families
from pgbench.samplers import samplers

_PAGE = """# Grid files

A grid is a YAML file, or a Python mapping with the same keys (`pg.run({...})`), that says what is
measured. Its cells are the product of its axes. Written by `python -m pgbench schema --markdown`;
`python -m pgbench schema` writes the same as a JSON schema, with which editors complete keys and
mark mistakes.

```yaml
name: mine
problems:
  - {problem: garnet, n_states: [10, 100], gamma: [0.9, 0.99], instances: 2}
  - {problem: gymnasium, id: FrozenLake-v1, options: {map_name: 8x8}}
policies: [softmax, {policy: loglinear, n_features: 8}]
estimators: [reinforce, baseline_value, {estimator: gae, lam: [0, 0.95, 1]}]
batch_sizes: [1, 16, 256]
replicates: 1000
```

These are 9 problems, 2 policies, 5 estimators and 3 batch sizes: 270 cells of 1000 estimates each.

- **Entries** of an axis are names, for defaults alone, or mappings with the name under the axis's
  own word (`problem`, `policy`, `estimator`, `objective`, `sampler`, `algorithm`, `step_size`) and
  parameters beside it.
- **Lists** of a parameter's values are axes too: an entry stands for the product of its lists.
- **Labels** in results name what is not the default, `gae[lam=0]`; every parameter is a
  [coordinate](dataset.md#coordinates) besides.
- **Paths** begin at the folder of the grid's file. The bytes of the files are part of what
  identifies results.
- **Mistakes** are reported all at once, each with line, column and place. What stands twice is one.
- **Limits**: 1 MiB of text, 200000 cells.

`python -m pgbench check` prints the plan of a grid: cells, steps, memory, time.

## Keys

%(keys)s

## `problems`

```yaml
name: problems
problems:
  - riverswim
  - {problem: garnet, n_states: [10, 100], instances: 3}
  - {problem: lqg, A: "1 0.1; 0 1", B: "0; 0.1"}
policies: {policy: gaussian}
estimators: reward_to_go
```

Random families have a `seed`. Instead of it there may be `instances`: so many draws of every entry,
from the grid's first `seed` on. Cells of a policy or estimator that is not for a problem, as the
Gaussian one here is not for the first seven, are skipped with the reason. Own problems are in
[problems from files](problems-from-files.md), responses written token by token in
[sequences](sequences.md), cart-pole and its like in [control](control.md).

%(problems)s

## `policies`

```yaml
name: policies
problems: {problem: gridworld, size: 8}
policies:
  - softmax
  - {policy: loglinear, features: tiles, n_tiles: [2, 4], n_tilings: 2}
  - {policy: neural, hidden: 16x16}
estimators: reward_to_go
```

Networks of your own in PyTorch or JAX are in [own policies](own-policy.md).

%(policies)s

## `estimators`

```yaml
name: lambdas
problems: {problem: garnet, n_states: 20}
estimators:
  - reward_to_go
  - {estimator: reward_to_go, discounted: false}
  - {estimator: gae, lam: [0, 0.9, 0.95, 1], critic_noise: [0, 0.5]}
```

[Estimators](estimators.md) has every one with formula, bias, parameters and source. With `--plugin
FILE` the functions and records of a file of your own are there too ([own
estimators](own-estimator.md)).

## `objectives`

What is maximised, an axis. Where a grid names it the dataset has the dimension `criterion`.

```yaml
name: penalties
problems: {problem: sequences, length: 4}
objectives: [J, {objective: kl, beta: [0.05, 1]}, {objective: entropy, alpha: 0.1}]
estimators: [reward_to_go, {estimator: penalty_in_loss, form: k1}]
```

%(objectives)s

## `samplers`

What draws the data in place of the policy, an axis. The truth is still that of the policy. Where a
grid names it the dataset has the dimension `sampler`.

```yaml
name: off_policy
problems: {problem: sequences, length: 4}
samplers: [on_policy, {sampler: temperature, value: [0.7, 1.3]}, {sampler: top_p, p: 0.9}]
estimators: [rloo, importance_ratio]
batch_sizes: 8
```

%(samplers)s

## `group_size`

Trajectories of a batch come in groups that share their start state. Every batch size is then a
multiple of it.

```yaml
name: groups
problems: {problem: sequences, prompts: 8}
estimators: [rloo, grpo]
group_size: 4
batch_sizes: [4, 16]
```

## `theta`

The policy's parameters: drawn, given, or from a file; one mapping or a list of them. With lists, of
mappings or of a key's values, θ is an axis: the dataset has the dimension `initial`.

```yaml
name: thetas
problems: {problem: garnet, n_states: 20, n_actions: 3}
theta:
  - {init: zeros}
  - {scale: [0.5, 2], seed: [0, 1]}
  - {values: [2, 0, 0]}
estimators: reward_to_go
```

Those are six: zeros, four draws, and one in which every state prefers the first action. A draw
depends on the setting, on the grid's `seed`, and on the `seed` here: another one is another θ, with
random streams of its own.

%(theta)s

`values` and `file` stand alone, without the others.

## `horizon`

```yaml
name: horizons
problems: {problem: garnet, n_states: 20, gamma: 0.99}
horizon: [10, 100, auto]
max_horizon: 2000
estimators: [reward_to_go, baseline_value]
```

A list is an axis, the dimension `cutoff`. An automatic horizon ends at `max_horizon`. What H costs
in bias and variance without sampling is [what `horizons` draws](commands.md#horizons).

## `seed`

```yaml
name: seeds
problems: {problem: garnet, n_states: 20}
seed: [0, 1, 2]
estimators: reward_to_go
```

A list is an axis, the dimension `seed`: θ and all random streams differ. Problems do not: they are
drawn with the first.

## `ascent`

What becomes of θ along estimates: [ascent](ascent.md) says what is measured. A grid has
`estimators`, `ascent` or both.

```yaml
name: followed
problems: corridor
theta: {init: zeros}
ascent:
  steps: 1000
  replicates: 30
  step_sizes: [0.1, {step_size: kl, radius: 0.01}]
  batch_sizes: 16
  algorithms:
    - {algorithm: gradient, estimators: [exact, reward_to_go, {estimator: td, expected: true}]}
    - {algorithm: natural, estimators: [exact, baseline_value], step_sizes: 0.1}
    - {algorithm: actor_critic, critic_step: 0.1}
```

%(ascent)s

`estimators`, `step_sizes` and `batch_sizes` hold for every algorithm that does not have its own.

### Algorithms

%(algorithms)s

### Step sizes

%(step_sizes)s
"""

_HEAD = ("key", "may be", "default", "meaning")
_ENTRIES = "a name or a mapping, or a list of them"

Row = tuple[str, str, str, str]


def markdown() -> str:
    """The page, without the end of its last line."""
    parts = {
        "keys": _table(_keys()),
        "problems": _records(families(), also=[INSTANCES]),
        "policies": _records(kinds()),
        "objectives": _records(objectives()),
        "samplers": _records(samplers()),
        "theta": _table(_theta()),
        "ascent": _table(_ascent()),
        "algorithms": _records(algorithms()),
        "step_sizes": _records(step_sizes()),
    }
    return (_PAGE % parts).rstrip("\n")


def _keys() -> list[Row]:
    """The keys at the top of a grid."""
    settings = {row[0]: row for row in map(_row, SETTINGS.values())}
    return [
        settings.pop("`name`"),
        ("`problems`", _ENTRIES, "", "[what is solved](#problems)"),
        ("`policies`", _ENTRIES, "softmax", "[what θ are the parameters of](#policies)"),
        ("`estimators`", _ENTRIES, "none beside `ascent`", "[what is measured](#estimators)"),
        ("`objectives`", _ENTRIES, "J", "[what is maximised](#objectives)"),
        ("`samplers`", _ENTRIES, "on_policy", "[what draws the data](#samplers)"),
        _listed(BATCH_SIZE, default="1, or `group_size`"),
        ("`theta`", "a mapping, or a list of them", "init: normal", "[the parameters](#theta)"),
        _listed(HORIZON),
        _listed(SEED),
        *settings.values(),
        ("`ascent`", "a mapping", "none", "[what is followed, and how](#ascent)"),
    ]


def _theta() -> list[Row]:
    """The keys below ``theta``."""
    values = _row(THETA_VALUES)
    return [
        *map(_listed, THETA.values()),
        (values[0], f"{values[1]}, or several", "", values[3]),
        _listed(THETA_FILE),
    ]


def _ascent() -> list[Row]:
    """The keys below ``ascent``."""
    expected = _row(EXPECTED)
    number = f"{STEP.allowed}, {_ENTRIES}"
    return [
        *map(_row, ASCENT.values()),
        ("`algorithms`", _ENTRIES, "", "[who climbs](#algorithms)"),
        (
            "`estimators`",
            f"exact, {_ENTRIES}",
            "",
            "what is followed; exact is ∇J. An entry may have the key `expected`, true or false,"
            f" by default {expected[2]}: {expected[3]}",
        ),
        ("`step_sizes`", number, "", "[how far](#step-sizes); a number is a constant α"),
        _listed(BATCH_SIZE, default="1, or `group_size`"),
    ]


def _records(records: Mapping[str, Any], also: Iterable[Parameter] = ()) -> str:
    """Every record with its parameters, a table each; ``also`` what random ones take besides."""
    sections = []
    for record in records.values():
        parameters = [*record.parameters.values()]
        parameters += also if "seed" in record.parameters else ()
        head = f"**`{record.name}`**: {record.summary} Source: {record.reference}."
        table = _table(map(_row, parameters))
        sections.append(f"{head}\n\n{table}" if parameters else head)
    return "\n\n".join(sections)


def _row(parameter: Parameter) -> Row:
    """A parameter as declared. No default stands where a value must be given."""
    default = parameter.default
    written = "" if parameter.required else "none" if default is None else spelt(default)
    return f"`{parameter.name}`", parameter.allowed, written, parameter.meaning


def _listed(parameter: Parameter, default: str | None = None) -> Row:
    """The same of one of which a list is an axis."""
    name, allowed, written, meaning = _row(parameter)
    return name, f"{allowed}, or a list", written if default is None else default, meaning


def _table(rows: Iterable[Row]) -> str:
    """Rows as a Markdown table."""
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    lines = [f"| {' | '.join(row)} |" for row in escaped]
    return "\n".join([f"| {' | '.join(_HEAD)} |", "|---|---|---|---|", *lines])
