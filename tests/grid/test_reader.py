"""The grid file: what it means, and every error located."""

import re

import numpy as np
import pytest

from pgbench.__main__ import main
from pgbench.declared.sources import digest_of
from pgbench.grid.plan import make_problem, settings
from pgbench.grid.reader import MAX_BYTES, GridError, grid_of, parse_grid, read_grid
from pgbench.problems import ProblemError
from pgbench.problems import make_problem as problem

MINIMAL = "name: t\nproblems: corridor\nestimators: reinforce\n"


def errors(text):
    with pytest.raises(GridError) as caught:
        parse_grid(text)
    return str(caught.value).splitlines()


def test_minimal_grid_takes_defaults():
    grid = parse_grid(MINIMAL)
    assert [p.label for p in grid.problems] == ["corridor"]
    assert [p.label for p in grid.policies] == ["softmax"]
    assert grid.batch_sizes == (1,)
    assert (grid.replicates, grid.seed, grid.common["horizon"].label) == (1000, 0, "auto")
    assert grid.common["theta"].values == {"init": "normal", "scale": 1.0}


def test_every_list_is_an_axis():
    grid = parse_grid(
        "name: t\n"
        "problems:\n"
        "  - {problem: garnet, n_states: [5, 6], gamma: [0.5, 0.9], instances: 3}\n"
        "  - {problem: gymnasium, id: FrozenLake-v1, options: [{map_name: 4x4}, {map_name: 8x8}]}\n"
        "estimators: [td, {estimator: gae, lam: [0, 1]}]\n"
        "batch_sizes: [4, 1]\n"
    )
    assert len(grid.problems) == 2 * 2 * 3 + 2
    assert grid.problems[-1].values["options"] == {"map_name": "8x8"}
    assert [e.label for e in grid.estimators] == ["td", "gae[lam=0]", "gae[lam=1]"]
    assert grid.batch_sizes == (1, 4)


def test_batches_are_of_one_group_by_default():
    ascent = "ascent: {algorithms: gradient, estimators: rloo, step_sizes: 0.1}\n"
    grid = parse_grid(MINIMAL + "group_size: 4\n" + ascent)
    assert grid.group_size == 4
    assert grid.batch_sizes == (4,)
    assert grid.ascent.climbers[0].batch_size == 4
    assert parse_grid(MINIMAL).group_size is None


def test_instances_are_seeds_counted_from_the_grid_seed():
    grid = parse_grid(
        "name: t\nseed: 7\nestimators: td\nproblems: {problem: garnet, n_states: 5, instances: 2}\n"
    )
    assert [p.values["seed"] for p in grid.problems] == [7, 8]
    assert [p.instance for p in grid.problems] == [0, 1]


def test_numbers_are_numbers_in_every_spelling():
    """YAML 1.1 reads 1e-3 as a string."""
    grid = parse_grid(MINIMAL + "theta: {scale: 1e-3}\n")
    assert grid.common["theta"].values["scale"] == 1e-3
    with pytest.raises(GridError, match="scale"):
        parse_grid(MINIMAL + "theta: {scale: '1e-3'}\n")


def test_error_names_file_line_column_place_and_suggestion():
    text = "name: t\nestimators: td\nproblems:\n  - {problem: garnet, n_state: 10}\n"
    assert errors(text) == [
        "grid.yaml:4:5: problems.0.garnet.n_states: missing, must be an integer ≥ 1",
        "grid.yaml:4:23: problems.0.garnet.n_state: unknown key, did you mean n_states?",
    ]


def test_all_errors_are_reported_at_once_in_order():
    found = errors(
        "name: a b\n"
        "problems: [garnett, {problem: garnet, n_states: 0, gamma: [0.5, 1.5]}]\n"
        "policies: []\n"
        "estimators: [gae, {estimator: reinforce, baseline: mean}]\n"
        "batch_sizes: [1, 0, x]\n"
        "replicate: 3\n"
    )
    places = [line.split(": ")[1] for line in found]
    assert places == [
        "name",
        "problems.0.problem",
        "problems.1.garnet.n_states",
        "problems.1.garnet.gamma.1",
        "policies",
        "estimators.0.gae.lam",
        "estimators.1.reinforce.baseline",
        "batch_sizes.1",
        "batch_sizes.2",
        "replicate",
    ]
    assert "did you mean garnet?" in found[1]
    assert "did you mean replicates?" in found[-1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the grid is empty"),
        (
            "name: t\nestimators: td\nproblems: [{problem: file, path: 3}]\n",
            "problems.0.file.path: 3 is not allowed here, must be a string",
        ),
        ("# only a comment\n", "the grid is empty"),
        ("- a\n", "a grid is a mapping"),
        ("just words", "a grid is a mapping"),
        ("a: [", "not valid YAML"),
        ("a: b: c", "1:5: not valid YAML"),
        ("\x00\x01", "not valid YAML"),
        ("a: *nowhere", "not valid YAML"),
        ("a: &a [*a]", "not a grid file"),
        ("[" * 5000, "nested too deeply"),
        ("a: 1\n---\na: 2\n", "not valid YAML"),
        (MINIMAL + "seed: !!python/object:os.system x\n", "is not allowed"),
        (MINIMAL + "name: u\n", "4:1: name: stands twice, first in line 1"),
        (MINIMAL + "1: 2\n", "4:1: the key 1 must be a word"),
        (MINIMAL + "seed: yes\n", "seed: 'yes' is not allowed here, must be an integer"),
        (MINIMAL + "seed: true\n", "seed: True is not allowed here, must be an integer"),
        (MINIMAL + "seed: 1.5\n", "seed: 1.5 is not allowed here"),
        (MINIMAL + "horizon: long\n", "horizon: 'long' is unknown, must be an integer"),
        (MINIMAL + "replicates: 1\n", "replicates: 1 is out of range"),
        (MINIMAL + "theta: {init: uniform}\n", "theta.init: 'uniform' is unknown"),
        (MINIMAL + "theta: {scale: .nan}\n", "theta.scale: nan is out of range"),
        (MINIMAL + "theta: 3\n", "theta: must be a mapping"),
        (MINIMAL + "theta: [{scale: 1}, 3]\n", "4:21: theta.1: must be a mapping"),
        (MINIMAL + "theta: [{scale: [1, -1]}]\n", "4:21: theta.0.scale.1: -1 is out of range"),
        (MINIMAL + "theta: [{scale: 1}, {}]\n", "4:21: theta.1: normal stands twice"),
        (MINIMAL + "theta: {seed: []}\n", "theta.seed: is empty, an axis needs at least one"),
        (MINIMAL + "theta: {file: [a.npy, a.npy]}\n", "theta: file[a.npy] stands twice"),
        (MINIMAL + "seed: [1, 1]\n", "4:7: seed: holds a value twice"),
        (MINIMAL + "seed: [1, x]\n", "4:11: seed.1: 'x' is not allowed here, must be an integer"),
        (MINIMAL + "seed: []\n", "4:7: seed: is empty, an axis needs at least one value"),
        (MINIMAL + "horizon: [3, long]\n", "4:14: horizon.1: 'long' is unknown, must be an"),
        (MINIMAL + "batch_sizes: [2, 2]\n", "batch_sizes: holds a value twice"),
        (
            MINIMAL + "group_size: 4\nbatch_sizes: [4, 6]\n",
            "5:18: batch_sizes.1: is 6, must be a multiple of group_size, 4",
        ),
        (
            MINIMAL + "group_size: 4\nascent: {algorithms: gradient, batch_sizes: 6}\n",
            "5:45: ascent.algorithms.0.batch_sizes: is 6, must be a multiple of group_size, 4",
        ),
        (MINIMAL + "group_size: 0\n", "group_size: 0 is out of range"),
        (MINIMAL.replace("reinforce", "[td, td]"), "estimators.1: td stands twice"),
        (MINIMAL.replace("corridor", "{problem: riverswim, instances: 2}"), "is not random"),
        (MINIMAL.replace("corridor", "{n_states: 3}"), "problems.0: must be a name or a mapping"),
        ("name: ../up\nproblems: corridor\nestimators: td\n", "name: must be letters"),
        ("name: t\nestimators: td\n", "problems: missing"),
        (MINIMAL + "seed: 1_\n", "4:7: seed: '1_' is not allowed here, must be an integer"),
        (MINIMAL + "seed: 1__0\n", "4:7: seed: '1__0' is not allowed here"),
        (MINIMAL + f"seed: {'9' * 5000}\n", "characters ... 99999"),
        (MINIMAL + "theta: {scale: 1e400}\n", "theta.scale: '1e400' is not allowed here"),
        (MINIMAL + "theta: {scale: .inf}\n", "theta.scale: inf is out of range"),
        (MINIMAL + 'device: "\\UFFFFFFFF"\n', "4:12: not valid YAML: a number or the code"),
        (MINIMAL + '"\\U00110000": 1\n', "4:4: not valid YAML: a number or the code"),
        (f"%YAML 1.{'9' * 5000}\n---\n" + MINIMAL, "1:9: not valid YAML: a number or the code"),
        (MINIMAL + 'device: "\\ud800"\n', "4:9: device: '\\ud800' is not allowed in text"),
        (MINIMAL + 'device: "a\\0"\n', "4:9: device: '\\x00' is not allowed in text"),
        (MINIMAL + '"a\\e[31m": 1\n', "4:1: '\\x1b' is not allowed in text"),
        (MINIMAL + "? |\n  seed\n: 3\n", "4:3: '\\n' is not allowed in text"),
        (MINIMAL + "? [a, {b: c}]\n: 1\n", "4:3: the key ['a', {'b': 'c'}] must be a word"),
        (MINIMAL + "seed: \0\n", "4:1: not valid YAML: '\\x00': special characters"),
        (MINIMAL + "theta: {<<: *a}\n", "not valid YAML: found undefined alias"),
        (MINIMAL + "<<: {seed: 3}\n", "4:1: <<: unknown key"),
        (MINIMAL + "theta:\n\tscale: 1\n", "5:1: not valid YAML"),
        (MINIMAL + "seed: 2020-01-01\n", "seed: '2020-01-01' is not allowed here"),
        (MINIMAL + "theta: !!set {scale}\n", "theta.scale: None is not allowed here"),
        (
            MINIMAL.replace("corridor", "{problem: garnet, n_states: [5, 5]}"),
            "problems.0: garnet[n_states=5] stands twice",
        ),
    ],
)
def test_bad_input_has_a_located_message(text, message):
    found = errors(text)
    assert any(message in line for line in found), found
    assert all(line.startswith("grid.yaml:") for line in found)


def test_aliases_cannot_blow_up():
    """A few hundred bytes that would expand to billions of values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert any("not a grid file" in line for line in errors("\n".join(lines)))


LONG = {
    "value": MINIMAL + f"seed: {'x' * 900_000}\n",
    "key": MINIMAL + f"? {'x' * 900_000}\n: 1\n",
    "mapping": MINIMAL + f"seed: {{{', '.join(f'k{i}: {i}' for i in range(2000))}}}\n",
    "alias": MINIMAL + f"theta: *{'x' * 900_000}\n",
    "tag": MINIMAL + f"seed: !{'x' * 900_000} 3\n",
    "errors": MINIMAL.replace("reinforce", f"[{', '.join(f'nope{i}' for i in range(1000))}]"),
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_messages_are_short_and_keep_their_place(text):
    found = errors(text)
    assert len(found) <= 41
    assert all(len(line) < 2300 for line in found)
    assert all(line.startswith("grid.yaml:") for line in found[:40])
    assert re.match(r"grid\.yaml:[1-4]:\d+: ", found[0])


def test_numbers_with_groups_of_digits():
    assert parse_grid(MINIMAL + "seed: 1_000_000\n").seed == 1_000_000


DRAWN = "{{problem: garnet, n_states: {}, instances: 10000}}"
MANY = {
    "listed": f"[{DRAWN.format(5)}, {DRAWN.format(6)}]",
    "multiplied": DRAWN.format(f"{[*range(2, 2002)]}, branching: {[*range(1, 2001)]}"),
}


@pytest.mark.parametrize("problems", MANY.values(), ids=MANY)
def test_many_choices_are_told_from_each_other_or_refused_at_once(problems):
    text = MINIMAL.replace("corridor", problems) + f"batch_sizes: {[*range(1, 1001)]}\n"
    assert "cells, at most 200000 are allowed" in errors(text)[0]


def test_too_many_cells():
    sizes = ", ".join(map(str, range(1, 2001)))
    text = MINIMAL.replace("corridor", "{problem: garnet, n_states: 9, instances: 200}")
    assert "cells, at most" in errors(text + f"batch_sizes: [{sizes}]\n")[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "is not text in UTF-8"),
        (b"#" * (MAX_BYTES + 1), "is larger than"),
    ],
)
def test_files_that_are_no_text(tmp_path, data, message):
    path = tmp_path / "grid.yaml"
    path.write_bytes(data)
    with pytest.raises(GridError, match=message):
        read_grid(path)


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(GridError, match="No such file"):
        read_grid(tmp_path / "none.yaml")
    with pytest.raises(GridError, match="Is a directory"):
        read_grid(tmp_path)


OF_A_FILE = """
name: own
problems: {problem: file, path: data/two.npz}
estimators: reward_to_go
horizon: 4
replicates: 10
"""


@pytest.mark.usefixtures("unpublished")
def test_files_are_found_beside_the_grid_wherever_one_stands(tmp_path, monkeypatch, capsys):
    place, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    (place / "data").mkdir(parents=True)
    elsewhere.mkdir()
    mdp = problem("two_state")
    mdp.to_npz(place / "data" / "two.npz")
    (place / "grid.yaml").write_text(OF_A_FILE, encoding="utf-8")
    contents = []
    for folder, path in ((elsewhere, "../study/grid.yaml"), (place, "grid.yaml")):
        monkeypatch.chdir(folder)
        grid = read_grid(path)
        contents.append(grid.problems[0].content)
        assert make_problem(grid.problems[0]).digest == mdp.digest
        assert main(["run", path, "--no-report", "--quiet", "--output", str(tmp_path / "o")]) == 0
    assert contents[0] == contents[1] != ""
    assert "1 reused" in capsys.readouterr().out


def test_a_missing_file_is_named_where_it_was_looked_for(tmp_path):
    (tmp_path / "grid.yaml").write_text(OF_A_FILE, encoding="utf-8")
    (chosen,) = read_grid(tmp_path / "grid.yaml").problems
    with pytest.raises(ProblemError, match=re.escape(str(tmp_path / "data" / "two.npz"))):
        make_problem(chosen)


OF_FILES = """
name: own
problems:
  problem: explicit
  path: data/two.tra
  labels: data/two.lab
  transition_rewards: data/two.trew
  state_rewards: data/two.srew
  terminal: done
  gamma: 0.9
estimators: reward_to_go
horizon: 4
replicates: 10
"""
FILES = {
    "two.tra": "mdp\n0 0 0 0.5\n0 0 1 0.5\n0 1 1 1\n1 0 1 1\n",
    "two.lab": '0="init" 1="done"\n0: 0\n1: 1\n',
    "two.trew": "0 1 1 1\n",
    "two.srew": "0 -1\n",
}


def test_every_file_of_a_problem_is_part_of_what_identifies_it(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "grid.yaml").write_text(OF_FILES, encoding="utf-8")
    for name, text in FILES.items():
        (tmp_path / "data" / name).write_text(text, encoding="utf-8")
    contents = [read_grid(tmp_path / "grid.yaml").problems[0].content]
    assert main(["check", str(tmp_path / "grid.yaml")]) == 0
    for name, text in FILES.items():
        (tmp_path / "data" / name).write_text(f"{text}\n", encoding="utf-8")
        contents.append(read_grid(tmp_path / "grid.yaml").problems[0].content)
        (tmp_path / "data" / name).write_text(text, encoding="utf-8")
    assert len({*contents}) == 5
    assert read_grid(tmp_path / "grid.yaml").problems[0].content == contents[0]
    (tmp_path / "data" / "two.tra").write_text("mdp\n0 0 0 1.5\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["check", str(tmp_path / "grid.yaml")]) != 0
    printed = "".join(capsys.readouterr().out.split())
    assert "two.tra:2:probabilityis1.5,mustbein[0,1]" in printed


SAMPLED = MINIMAL + "samplers: [on_policy, {sampler: temperature, value: [0.7, 1.3]}, stale]\n"


def test_samplers_are_an_axis_that_need_not_be_named():
    plain, grid = parse_grid(MINIMAL), parse_grid(SAMPLED)
    assert plain.common["sampler"].label == "on_policy"
    assert [*plain.axes] == ["problem", "policy"]
    assert [*grid.axes] == ["problem", "policy", "sampler"]
    assert [s.label for s in grid.axes["sampler"]] == [
        "on_policy",
        "temperature[value=0.7]",
        "temperature[value=1.3]",
        "stale",
    ]


def test_wrong_samplers_are_located():
    entries = (
        "[top_q, temperature, {sampler: top_k, k: 0}, {sampler: floor, epsilom: 1}, stale, stale]"
    )
    found = errors(MINIMAL + f"samplers: {entries}\n")
    assert found[0].startswith(
        "grid.yaml:4:12: samplers.0.sampler: unknown sampler 'top_q', did you mean top_p? (known: "
    )
    assert found[1:] == [
        "grid.yaml:4:19: samplers.1.temperature.value: missing, must be a number ≥ 0.001",
        "grid.yaml:4:52: samplers.2.top_k.k: 0 is out of range, must be an integer ≥ 1",
        "grid.yaml:4:56: samplers.3.floor.epsilon: missing, must be a number in [0, 1]",
        "grid.yaml:4:73: samplers.3.floor.epsilom: unknown key, did you mean epsilon?",
        "grid.yaml:4:93: samplers.5: stale stands twice",
    ]
    assert errors(MINIMAL + "sampler: stale\n") == [
        "grid.yaml:4:1: sampler: unknown key, did you mean samplers?"
    ]


def test_ascents_have_samplers_too(monkeypatch):
    ascent = "ascent: {algorithms: gradient, estimators: exact, step_sizes: [0.1, 0.2]}\n"
    assert len(parse_grid(SAMPLED + ascent).axes["sampler"]) == 4
    # Four cells, and two runs in each of four settings.
    monkeypatch.setattr("pgbench.grid.reader.MAX_CELLS", 11)
    assert "the grid has 12 cells" in errors(SAMPLED + ascent)[0]


def test_samplers_count_among_the_cells(monkeypatch):
    monkeypatch.setattr("pgbench.grid.reader.MAX_CELLS", 3)
    assert errors(SAMPLED) == ["grid.yaml:1:1: the grid has 4 cells, at most 3 are allowed"]


NETWORK = MINIMAL + "policies: [softmax, {policy: torch, module: net.py:Net}]\n"
FILED = MINIMAL + "theta: {file: theta.npy}\n"


def read_in(folder, text):
    (folder / "grid.yaml").write_text(text, encoding="utf-8")
    return read_grid(folder / "grid.yaml")


@pytest.fixture
def installed(monkeypatch):
    """Whether PyTorch is installed is another question."""
    monkeypatch.setattr("pgbench.policies.user_module.require", lambda library: None)


@pytest.mark.usefixtures("installed")
def test_a_network_goes_by_the_content_of_its_file(tmp_path):
    (tmp_path / "net.py").write_text("class Net: pass\n", encoding="utf-8")
    softmax, own = read_in(tmp_path, NETWORK).policies
    assert softmax.content == ""
    assert own.label == "torch[module=net.py:Net]"
    assert own.content == digest_of(tmp_path / "net.py") != ""
    assert own.folder == str(tmp_path)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "net.py: there is no such file"),
        ("class Nett: pass\n", "net.py: has nothing called 'Net', did you mean Nett?"),
        ("class Net\n", "net.py:1: expected ':'"),
    ],
)
def test_a_network_that_is_not_there_is_located(tmp_path, source, message):
    if source is not None:
        (tmp_path / "net.py").write_text(source, encoding="utf-8")
    with pytest.raises(GridError) as caught:
        read_in(tmp_path, NETWORK)
    place = f"{tmp_path / 'grid.yaml'}:4:21: policies.1.torch: "
    assert str(caught.value) == f"{place}{tmp_path}/{message}"
    # What a run left behind is read all the same.
    assert len(parse_grid(NETWORK, str(tmp_path / "grid.yaml")).policies) == 2


def test_a_library_that_is_missing_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(GridError, match=r"4:21: .*the module 'torch' is not installed: .*autodiff"):
        read_in(tmp_path, NETWORK)


def test_the_form_of_a_networks_place_is_told():
    (found,) = errors(MINIMAL + "policies: {policy: jax, module: net.py}\n")
    assert "policies.0.jax.module: 'net.py' is not of the form needed, must be a file and" in found


def test_theta_from_a_file_goes_by_its_content(tmp_path):
    np.save(tmp_path / "theta.npy", np.zeros(4))
    before = read_in(tmp_path, FILED)
    content = digest_of(tmp_path / "theta.npy")
    theta = before.common["theta"]
    assert (theta.values, theta.content) == ({"file": "theta.npy"}, content)
    assert before.contents == {"file[theta.npy]": content}
    np.save(tmp_path / "theta.npy", np.ones(4))
    after = read_in(tmp_path, FILED)
    assert after.common["theta"].content not in ("", content)
    assert after.with_contents(before.contents).common["theta"] == theta


@pytest.mark.parametrize(
    ("theta", "message"),
    [
        ("{file: gone.npy}", "4:15: theta.file: {folder}/gone.npy: cannot be read"),
        ("{file: 3}", "4:15: theta.file: 3 is not allowed here, must be a string"),
        ("{file: a.npy, scale: 2}", "4:22: theta.scale: give either values, or a file, or how"),
        ("{file: a.npy, values: [2]}", "4:9: theta.file: give either values, or a file, or how"),
    ],
)
def test_wrong_files_of_theta_are_located(tmp_path, theta, message):
    (tmp_path / "a.npy").write_bytes(b"")
    with pytest.raises(GridError, match=re.escape(message.format(folder=tmp_path))):
        read_in(tmp_path, f"{MINIMAL}theta: {theta}\n")


LISTED = {
    "name": "t",
    "problems": ({"problem": "garnet", "n_states": np.array([4, 8]), "gamma": np.float64(0.9)},),
    "estimators": ["td", {"estimator": "gae", "lam": [0, 0.95, 1e-7]}],
    "batch_sizes": range(1, 4),
    "seed": np.int64(3),
}
SPELT = """
name: t
problems: [{problem: garnet, n_states: [4, 8], gamma: 0.9}]
estimators: [td, {estimator: gae, lam: [0, 0.95, 1e-7]}]
batch_sizes: [1, 2, 3]
seed: 3
"""


def test_a_grid_may_be_a_mapping_a_text_or_a_file(tmp_path):
    (tmp_path / "grid.yaml").write_text(SPELT, encoding="utf-8")
    of_file, of_text = grid_of(tmp_path / "grid.yaml"), grid_of(SPELT)
    of_mapping = grid_of(LISTED | {"batch_sizes": [*LISTED["batch_sizes"]]})
    assert grid_of(of_text) is of_text
    keys = [[s.key for s in settings(grid)] for grid in (of_file, of_text, of_mapping)]
    assert keys[0] == keys[1] == keys[2]
    assert of_file.batch_sizes == of_text.batch_sizes == of_mapping.batch_sizes
    # The dataset holds the grid as text, which reads as the same grid.
    assert parse_grid(of_mapping.text).axes == of_mapping.axes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed: -1 is out of range, must be an integer in [0, 9.22337e+18]"),
        ({"problems": {"problem": "garnet", "n_state": 3}}, "problems.0.garnet.n_state: unknown"),
        ({"estimators": [object]}, "estimators.0: <class 'object'> is not allowed in a grid, must"),
        ({"batch_sizes": {1: 2}}, "batch_sizes: the key 1 must be a word"),
        ({"batch_sizes": {3}}, "batch_sizes: {3} is not allowed in a grid"),
    ],
)
def test_mistakes_in_a_mapping_are_located_without_lines(change, message):
    with pytest.raises(ValueError, match=re.escape(message)) as found:
        grid_of(LISTED | {"batch_sizes": 1} | change)
    assert not re.search(r"^\d+:", str(found.value), re.MULTILINE)


def test_a_word_is_a_file_and_several_lines_are_a_text():
    with pytest.raises(GridError, match=r"^missing\.yaml: cannot be read: No such file"):
        grid_of("missing.yaml")
    with pytest.raises(GridError, match=r"^grid:1:1: estimators: missing"):
        grid_of("name: t\nproblems: corridor\n")


def test_a_product_of_thetas_is_counted_before_it_is_made(monkeypatch):
    monkeypatch.setattr("pgbench.grid.reader.MAX_CELLS", 11)
    (found,) = errors(MINIMAL + "theta: {scale: [1, 2, 3], seed: [1, 2, 3, 4]}\n")
    assert found == "grid.yaml:4:8: theta: makes 12 cells, at most 11 are allowed"
