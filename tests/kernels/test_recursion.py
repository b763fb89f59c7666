"""One step of an estimator's recursion: of its two shapes, and the only one that there is."""

from pathlib import Path

from pgbench.kernels import recursion, reference
from pgbench.kernels.recursion import backward, forward


def test_a_step_is_the_definition():
    assert backward(2.0, 0.5, 4.0) == 4.0
    assert forward(False, 0.5, 3.0, 1.0, 0.25) == (1.0, 0.125)
    assert forward(True, 1.0, 3.0, 1.0, 0.25) == (2.0, 1.0)


def test_the_reference_and_the_crowds_kernel_take_it():
    from pgbench.kernels import crowd

    assert reference.backward is backward
    assert reference.forward is forward
    assert crowd._backward.py_func is backward
    assert crowd._forward.py_func is forward


def test_so_do_both_kernels_of_a_gpu():
    """By their source: numba.cuda may be the simulator's, or not be there."""
    folder = Path(recursion.__file__).parent / "cuda"
    finite, quadratic = (
        (folder / f"{name}.py").read_text(encoding="utf-8")
        for name in ("finite", "linear_quadratic")
    )
    assert "device_function(recursion.backward), device_function(recursion.forward)" in finite
    assert "device_function(recursion.backward)" in quadratic
