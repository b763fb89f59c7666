"""The compiled rollouts of a process: modules that offer the same names for every class of them."""

from functools import singledispatch
from types import ModuleType
from typing import Any

from pgbench.process.process import GaussianProcess, Process


@singledispatch
def kernels(process: Any) -> ModuleType:
    """The module with ``compact``, ``weigh`` and ``record`` of a process, on the CPU."""
    raise NotImplementedError(f"no rollouts are compiled of a {type(process).__name__}")


@kernels.register
def _(process: Process) -> ModuleType:
    from pgbench.kernels import finite

    return finite


@kernels.register
def _(process: GaussianProcess) -> ModuleType:
    from pgbench.kernels import linear_quadratic

    return linear_quadratic


@singledispatch
def device_kernels(process: Any) -> ModuleType:
    """The module with ``DeviceRollouts`` of a process, on a GPU."""
    raise NotImplementedError(f"no rollouts on a GPU are compiled of a {type(process).__name__}")


@device_kernels.register
def _(process: Process) -> ModuleType:
    from pgbench.kernels.cuda import finite

    return finite


@device_kernels.register
def _(process: GaussianProcess) -> ModuleType:
    from pgbench.kernels.cuda import linear_quadratic

    return linear_quadratic
