"""What the compiler makes of the GPU's kernels: ``python -m benchmarks.gpu_code``.

Needs CUDA's compiler, which the extras ``cuda12`` and ``cuda13`` bring, and no GPU: kernels are
compiled for the arguments that tiny rollouts launch them with. Printed per kernel: registers, bytes
that do not fit in them, share of a multiprocessor's threads that may be resident, instructions of
the intermediate language (PTX), and how many of them multiply and add at once.
"""

import argparse
import re
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np

MODULES = "launch", "finite", "linear_quadratic", "running"
REGISTERS, THREADS = 65536, 2048
"""Of a multiprocessor of compute capability 8.0 or 9.0."""


@dataclass(frozen=True)
class Compiled:
    """A kernel's name and its intermediate code."""

    name: str
    ptx: str

    @property
    def instructions(self):
        """Lines that do something."""
        lines = (line.strip() for line in self.ptx.splitlines())
        return [line for line in lines if line.endswith(";") and not line.startswith((".", "//"))]

    @property
    def fused(self):
        """Multiplications and additions that round once."""
        return [line for line in self.instructions if line.startswith("fma.rn.f64")]


def compile_kernels(capability=(9, 0)):
    """Every kernel of the back end, compiled for the arguments that it is launched with."""
    import numba.cuda.dispatcher
    from numba import cuda
    from numba.cuda.typing.typeof import typeof

    found = {}

    def compile_it(kernel, threads, *arguments, shared=0):
        name = f"{kernel.py_func.__module__.split('.')[-1]}.{kernel.py_func.__name__}"
        if name not in found:
            types = tuple(typeof(argument) for argument in arguments)
            ptx, _ = cuda.compile_ptx(kernel.py_func, types, cc=capability)
            found[name] = Compiled(name, ptx)

    device = SimpleNamespace(compute_capability=capability)
    with ExitStack() as stack:
        stack.enter_context(
            patch.object(numba.cuda.dispatcher, "get_current_device", lambda: device)
        )
        for module in MODULES:
            for name, stand_in in {
                "launch": compile_it, "upload": _array, "empty": _zeros, "zeros": _zeros,
            }.items():  # fmt: skip
                where = f"pgbench.kernels.cuda.{module}.{name}"
                stack.enter_context(patch(where, stand_in, create=True))
        _launch_everything()
    return list(found.values())


class _OnHost(np.ndarray):
    """An array that passes for one on a GPU."""

    def copy_to_host(self):
        return np.asarray(self)


def _array(array):
    return np.ascontiguousarray(array).view(_OnHost)


def _zeros(shape, dtype=np.float64):
    return np.zeros(shape, dtype).view(_OnHost)


def _launch_everything():
    from benchmarks import gpu
    from pgbench.kernels.cuda import launch

    with patch.multiple(gpu, HORIZON=4, BATCH_SIZE=2, REPLICATES=16):
        gpu.summing(400)(16)
    launch.launch(launch._add_one, 1, _zeros(1))
    launch.launch(launch._clear, 1, _zeros(1))
    gpu.make_quadratic().weigh(gpu.streams(), 0, 4, 3, gpu.ROWS)


def assembled(compiled, capability=(9, 0)):
    """Registers and spilled bytes of a kernel, by CUDA's assembler."""
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "kernel.ptx"
        source.write_text(compiled.ptx)
        major, minor = capability
        run = subprocess.run(
            [_assembler(), f"-arch=sm_{major}{minor}", "-v", "-o", "/dev/null", str(source)],
            capture_output=True,
            text=True,
            check=True,
        )
    registers = int(re.search(r"Used (\d+) registers", run.stderr)[1])
    spilled = sum(map(int, re.findall(r"(\d+) bytes spill", run.stderr)))
    return registers, spilled


def _assembler():
    """``ptxas`` of an extra, or of the system."""
    import site

    for root in site.getsitepackages():
        for path in Path(root).glob("nvidia/**/bin/ptxas"):
            return str(path)
    return "ptxas"


def main(arguments=None):
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--capability", type=int, nargs=2, default=(9, 0), metavar="N")
    capability = tuple(parser.parse_args(arguments).capability)
    print("| kernel | registers | spilled bytes | resident threads | PTX | fused |")
    print("|---|--:|--:|--:|--:|--:|")
    for kernel in compile_kernels(capability):
        registers, spilled = assembled(kernel, capability)
        # Registers are handed out in eights.
        resident = min(1.0, REGISTERS // (-(-registers // 8) * 8) / THREADS)
        n, fused = len(kernel.instructions), len(kernel.fused)
        print(f"| `{kernel.name}` | {registers} | {spilled} | {resident:.0%} | {n} | {fused} |")


if __name__ == "__main__":
    main()
