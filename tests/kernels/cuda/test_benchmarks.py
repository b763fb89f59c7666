"""Benchmarks of the GPU back end run, at tiny sizes; without a GPU asv skips them."""

import pytest

from benchmarks import gpu

TRACKED = [
    (cls, name)
    for cls in (gpu.Rollouts, gpu.Sums, gpu.QuadraticRollouts)
    for name in dir(cls)
    if name.startswith("track_")
]


@pytest.mark.parametrize(("cls", "name"), TRACKED)
def test_benchmark_runs(cls, name, monkeypatch):
    for constant, value in {"HORIZON": 3, "BATCH_SIZE": 2, "REPLICATES": 2}.items():
        monkeypatch.setattr(gpu, constant, value)
    monkeypatch.setattr(gpu.per_step, "__defaults__", (1,))
    benchmark, chosen = cls(), [10] if hasattr(cls, "params") else []
    benchmark.setup(*chosen)
    assert getattr(benchmark, name)(*chosen) > 0


@pytest.mark.parametrize("cls", ["Rollouts", "Sums", "QuadraticRollouts"])
def test_asv_skips_what_needs_a_gpu(cls, monkeypatch):
    from pgbench.kernels import cuda

    monkeypatch.setattr(cuda, "find_spec", lambda name: None)
    with pytest.raises(NotImplementedError, match="numba-cuda is not installed"):
        getattr(gpu, cls)().setup(*[10] if cls != "QuadraticRollouts" else [])


def test_the_race_checks_and_times_everybody(capsys):
    from benchmarks.gpu_race import main

    words = "--sizes 10 --trajectories 32 --rounds 1 --horizon 3 --loads 64 --calls 5"
    assert main(words.split()) == 0
    printed = capsys.readouterr().out
    assert printed.count(" z = ") >= 2
    assert "WRONG" not in printed
    for title in ("pgbench, CPU", "pgbench, GPU, weights", "pgbench, GPU, moments"):
        assert f"| 10 | {title} |" in printed
    assert "the GPU is quicker from" in printed


def test_a_wrong_contender_is_not_timed(capsys, monkeypatch):
    from benchmarks import gpu_race

    right = gpu_race.Weights.mean
    monkeypatch.setattr(gpu_race.Weights, "mean", lambda self, seed: 1.5 * right(self, seed))
    rows = gpu_race.race((10,), trajectories=64, rounds=1, horizon=3, calls=8)
    assert "GPU, weights: z = " in capsys.readouterr().out
    assert gpu_race.Weights.title not in {row[1] for row in rows}


@pytest.mark.parametrize("module", ["gpu_race", "gpu_limits"])
def test_without_a_gpu_one_line_says_why(module, monkeypatch, capsys):
    import importlib

    from pgbench.kernels import cuda

    monkeypatch.setattr(cuda, "find_spec", lambda name: None)
    main = importlib.import_module(f"benchmarks.{module}").main
    assert (main([]) if module == "gpu_race" else main()) == 2
    printed = capsys.readouterr().out
    assert printed.startswith("no GPU: the package numba-cuda is not installed")
    assert printed.count("\n") == 1


def test_limits_are_positive():
    from benchmarks.gpu_limits import copy, loads

    assert copy(8) > 0
    assert loads(4, 128) > 0
