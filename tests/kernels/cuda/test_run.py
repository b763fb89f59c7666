"""A whole run on a GPU: the CPU's dataset to rounding, resumed, and labelled."""

import numpy as np
import pytest

from pgbench.grid.reader import GridError, parse_grid
from pgbench.harness.runner import execute, run
from tests.support.runs import unpublished

GRID = """\
name: both
device: cuda
horizon: 3
replicates: 4
problems:
  - {problem: garnet, n_states: [3, 40], n_actions: 2, branching: 2, gamma: 0.5}
  - {problem: lqg}
policies: [softmax, gaussian]
estimators: [reinforce, visitation_q, rloo]
batch_sizes: [1, 2]
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same grid on either device."""
    output = tmp_path_factory.mktemp("runs")
    grid = parse_grid(GRID)
    with unpublished():
        return {
            device: run(grid, output / device, device=device if device == "cpu" else None)
            for device in ("cpu", "cuda")
        }


def numbers(tree):
    """Everything that is promised to be reproducible."""
    for node in tree.subtree:
        for name, array in node.data_vars.items():
            if array.attrs.get("reproducible", 1) and array.dtype.kind == "f":
                yield f"{node.path}/{name}", array.values


def test_results_are_those_of_the_cpu_to_rounding(both):
    one, other = dict(numbers(both["cpu"])), dict(numbers(both["cuda"]))
    assert one.keys() == other.keys()
    assert len(one) > 100
    for name, values in one.items():
        scale = np.max(np.abs(values), initial=0.0, where=np.isfinite(values))
        np.testing.assert_allclose(other[name], values, 1e-12, 1e-12 * scale, err_msg=name)


def test_cells_say_where_they_ran(both):
    done = both["cuda"]["status"] == 1
    for name, where in {"reinforce": "cuda", "visitation_q": "cuda", "rloo": "cpu"}.items():
        found = both["cuda"]["device"].where(done, "").sel(estimator=name)
        assert set(np.unique(found.values)) == {"", where}
    assert both["cuda"].attrs["gpu"] != "none"
    assert "numba_cuda_version" in both["cuda"].attrs
    assert set(np.unique(both["cpu"]["device"].values)) == {"", "cpu"}
    assert both["cpu"].attrs["gpu"] == "none"


@pytest.mark.usefixtures("unpublished")
def test_what_a_gpu_cannot_add_the_cpu_measures(both, tmp_path, monkeypatch):
    monkeypatch.setattr("pgbench.kernels.cuda.running._AGREEMENT", -1.0)
    text = GRID.replace("[3, 40]", "3").replace("- {problem: lqg}", "")
    found = run(parse_grid(text), tmp_path)
    assert set(np.unique(found["device"].values)) == {"", "cpu"}
    assert not (found["status"] == 2).any()
    one = both["cpu"]["variance"].sel(problem=found.problem, policy="softmax")
    np.testing.assert_array_equal(found["variance"].sel(policy="softmax"), one)


@pytest.mark.usefixtures("unpublished")
def test_a_run_is_resumed_on_another_device(tmp_path):
    grid = parse_grid(GRID.replace("[3, 40]", "3").replace("- {problem: lqg}", ""))
    execute(grid, tmp_path, device="cpu")
    again = execute(grid, tmp_path)
    assert again.measured == 0
    assert again.reused > 0
    assert "cuda" not in again.tree["device"].values


def test_a_wrong_device_is_an_error_of_the_grid():
    with pytest.raises(GridError, match=r"grid.yaml:2:9: device: .*'gpu'.*cpu, cuda, auto"):
        parse_grid(GRID.replace("device: cuda", "device: gpu"))
