"""The same rollouts on a GPU: one thread per trajectory, the same streams, the same bits.

Nothing else imports ``numba.cuda``, and nothing imports this package unless a GPU is asked for.
With ``NUMBA_ENABLE_CUDASIM=1`` set beforehand everything here runs in numba's simulator.

Trajectory b of the r-th of m replicates of a call is number b·m + r, and numbers of trajectories
are the last axis of every array, so that neighbouring threads touch neighbouring words.
"""

from importlib.util import find_spec

INSTALL = "pip install 'pgbench[cuda12]' or 'pgbench[cuda13]', whichever the driver supports"
"""What helps where the package is missing."""

OLDEST, NEWEST = 12, 13
"""CUDA that there is an extra for."""


def why_not() -> str:
    """Why no GPU can be used here, and what helps; nothing if one can."""
    if find_spec("numba_cuda") is None:
        return f"the package numba-cuda is not installed ({INSTALL})"
    try:
        from numba import cuda
        from numba.core import config
    except ImportError as error:
        return f"numba-cuda cannot be imported ({_line(error)}; {INSTALL})"
    return "" if config.ENABLE_CUDASIM else diagnose(cuda)


def diagnose(cuda) -> str:
    """Why no GPU can be used through an installed ``numba.cuda``; nothing if one can."""
    try:
        if error := cuda.cuda_error():
            return f"no CUDA driver can be used ({_line(error)}; install NVIDIA's driver)"
        if not list(cuda.gpus):
            return "the CUDA driver finds no GPU"
        major, minor = cuda.cudadrv.driver.driver.get_version()
    except Exception as error:  # whatever the driver's bindings raise
        return f"the CUDA driver cannot be used ({_line(error)})"
    if major < OLDEST:
        return f"the driver supports CUDA {major}.{minor}, {OLDEST} is needed (install a newer one)"
    try:
        from pgbench.kernels.cuda.launch import probe

        probe()
    except Exception as error:  # whatever compiler, linker or driver raise
        return (
            f"a first kernel did not run ({_line(error)}); the driver supports CUDA"
            f" {major}.{minor}: pip install 'pgbench[cuda{min(major, NEWEST)}]' in an environment"
            " without the other extra"
        )
    return ""


def device_name() -> str:
    """Name of the GPU that is used."""
    from numba import cuda
    from numba.core import config

    if config.ENABLE_CUDASIM:
        return "simulated GPU"
    name = cuda.get_current_device().name
    return name.decode() if isinstance(name, bytes) else str(name)


def _line(error) -> str:
    """The first line that says something."""
    lines = [line.strip(" :") for line in str(error).splitlines()]
    return next((line.rstrip(".") for line in lines if line), type(error).__name__)
