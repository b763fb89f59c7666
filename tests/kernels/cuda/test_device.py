"""Where rollouts run, and what a user reads who asks for a GPU that is not there."""

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import pgbench as pg
from pgbench.process.process import random_horizon
from pgbench.rollout.device import CPU, WORTH_A_GPU, Device, DeviceError, find_device
from pgbench.rollout.engines import choose_place
from pgbench.rollout.simulator import Draws

GRID = """\
name: tiny
horizon: 3
replicates: 2
problems: {problem: corridor}
estimators: [reinforce]
"""


def test_the_cpu_is_there():
    assert find_device("cpu") is CPU
    assert CPU.choice(1e18) == "cpu"


@pytest.mark.parametrize("kind", ["gpu", "", "CUDA"])
def test_other_devices_are_refused(kind):
    with pytest.raises(DeviceError, match=f"device is '{kind}', must be one of cpu, cuda, auto"):
        find_device(kind)


def test_what_no_gpu_can_hold_goes_to_the_cpu():
    """A GPU holds every step of sixteen replicates: 40 million each at γ = .999999."""
    mdp = pg.make_problem("random", n_states=3, gamma=0.999999)
    process = random_horizon(mdp, np.full((3, mdp.n_actions), 1 / mdp.n_actions), collect=False)
    draws = Draws(horizon=10, batch_size=1, replicates=16, seed=0, stream=0)
    for kind in ("cuda", "auto"):
        assert choose_place(Device(kind, "a GPU"), process, draws) == "cpu"
    nearer = random_horizon(replace(mdp, gamma=0.99), process.pi[:3], collect=False)
    assert choose_place(Device("cuda", "a GPU"), nearer, draws) == "cuda"


def test_auto_goes_by_size():
    auto = Device("auto", "a GPU")
    assert auto.choice(WORTH_A_GPU) == "cuda"
    assert auto.choice(WORTH_A_GPU - 1) == "cpu"
    assert Device("auto").choice(1e18) == "cpu"
    assert Device("cuda", "a GPU").choice(1) == "cuda"


def test_the_simulator_counts_as_a_gpu():
    device = find_device("cuda")
    assert device.name
    assert not device.note


def fake(error=None, gpus=("a GPU",), version=(12, 4)):
    """``numba.cuda`` as it looks on some machine."""

    def get_version():
        if isinstance(version, Exception):
            raise version
        return version

    driver = SimpleNamespace(driver=SimpleNamespace(get_version=get_version))
    return SimpleNamespace(
        cuda_error=lambda: error, gpus=gpus, cudadrv=SimpleNamespace(driver=driver)
    )


def test_a_driver_that_is_missing_is_named():
    from pgbench.kernels.cuda import diagnose

    found = diagnose(fake(error="\nCUDA driver library cannot be found.\nEnsure ..."))
    assert found == (
        "no CUDA driver can be used (CUDA driver library cannot be found; install NVIDIA's driver)"
    )


def test_a_machine_without_a_gpu_is_named():
    from pgbench.kernels.cuda import diagnose

    assert diagnose(fake(gpus=())) == "the CUDA driver finds no GPU"


def test_bindings_that_fail_are_named():
    from pgbench.kernels.cuda import diagnose

    found = diagnose(fake(version=RuntimeError("no such symbol")))
    assert found == "the CUDA driver cannot be used (no such symbol)"


def test_a_driver_that_is_too_old_is_named():
    from pgbench.kernels.cuda import diagnose

    found = diagnose(fake(version=(11, 8)))
    assert found == "the driver supports CUDA 11.8, 12 is needed (install a newer one)"


@pytest.mark.parametrize(("version", "extra"), [((12, 4), 12), ((13, 0), 13), ((14, 1), 13)])
def test_a_wrong_version_says_which_extra_to_install(version, extra, monkeypatch):
    from pgbench.kernels.cuda import diagnose, launch

    def fail():
        raise RuntimeError("ERROR_UNSUPPORTED_PTX_VERSION\nsecond line")

    monkeypatch.setattr(launch, "probe", fail)
    found = diagnose(fake(version=version))
    assert "did not run (ERROR_UNSUPPORTED_PTX_VERSION)" in found
    assert f"CUDA {version[0]}.{version[1]}: pip install 'pgbench[cuda{extra}]'" in found
    assert "\n" not in found


def test_a_first_kernel_runs():
    from pgbench.kernels.cuda import diagnose

    assert diagnose(fake()) == ""


def test_a_missing_package_says_what_to_install(monkeypatch):
    from pgbench.kernels import cuda

    monkeypatch.setattr(cuda, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match=r"numba-cuda is not installed \(pip install 'pgbench\["):
        find_device("cuda")
    device = find_device("auto")
    assert device.note.startswith("no GPU, the CPU is used: the package numba-cuda")
    assert device.choice(1e18) == "cpu"


def without_gpu(*words, cwd):
    """A command on a machine without a GPU."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"}
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env={**environment, "NUMBA_DISABLE_CUDA": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def grid(tmp_path):
    (tmp_path / "tiny.yaml").write_text(GRID)
    return tmp_path


def test_asking_for_a_gpu_that_is_not_there_is_bad_input(grid):
    words = "-m", "pgbench", "run", "tiny.yaml", "--device", "cuda"
    run = without_gpu(*words, cwd=grid)
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "device is cuda, but no CUDA driver can be used" in run.stderr
    assert not (grid / "results").exists()


def test_auto_says_that_the_cpu_is_used(grid):
    words = "-m", "pgbench", "run", "tiny.yaml", "--device", "auto", "--no-report"
    run = without_gpu(*words, cwd=grid)
    assert run.returncode == 0
    assert "note: no GPU, the CPU is used: no CUDA driver can be used" in run.stderr


def test_nothing_of_cuda_is_imported_unless_asked_for(tmp_path):
    code = (
        "import sys, pgbench as pg; mdp = pg.make_problem('corridor');"
        " policy = pg.make_policy('softmax', mdp);"
        " pg.sample_gradients(mdp, policy, policy.initial(), 'reinforce', horizon=3, replicates=2);"
        " print([n for n in sys.modules if n.startswith(('numba.cuda', 'cuda.', 'numba_cuda.'))])"
    )
    run = without_gpu("-c", code, cwd=tmp_path)
    assert run.stdout == "[]\n", run.stderr


@pytest.mark.parametrize("estimator", ["reward_to_go", "rloo"])
def test_the_api_takes_a_device(estimator):
    mdp = pg.make_problem("corridor")
    for kind in ("softmax", "loglinear"):
        policy = pg.make_policy(kind, mdp)
        theta = policy.initial(seed=0)
        given = {"horizon": 4, "replicates": 5, "batch_size": 2, "seed": 3}
        one = pg.sample_gradients(mdp, policy, theta, estimator, **given)
        other = pg.sample_gradients(mdp, policy, theta, estimator, device="cuda", **given)
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-12 * np.abs(one).max())
    with pytest.raises(ValueError, match="device is 'tpu'"):
        pg.sample_gradients(mdp, policy, theta, estimator, device="tpu", **given)
