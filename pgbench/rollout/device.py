"""Where rollouts run: on the CPU, on a GPU, or where it is quicker.

Nothing of CUDA is imported unless a GPU is asked for.
"""

from dataclasses import dataclass

KINDS = ("cpu", "cuda", "auto")

WORTH_A_GPU = 2**22
"""With ``auto``, environment steps from which on rollouts go to the GPU.

An estimate, not a measurement: a dozen launches and transfers take a GPU about as long as so many
steps take a few cores. ``make gpu-bench`` prints where the two meet.
"""


class DeviceError(ValueError):
    """A device that is unknown or cannot be used."""


@dataclass(frozen=True)
class Device:
    """Where rollouts run.

    Attributes
    ----------
    kind
        ``cpu``, ``cuda`` or ``auto``.
    name
        Of the GPU, or nothing.
    note
        Why there is no GPU although one would do; nothing else.
    """

    kind: str
    name: str = ""
    note: str = ""

    def choice(self, steps: float) -> str:
        """Where so many environment steps are simulated: cpu or cuda."""
        if self.kind != "auto":
            return self.kind
        return "cuda" if self.name and steps >= WORTH_A_GPU else "cpu"


CPU = Device("cpu")


def find_device(kind: str) -> Device:
    """The device of a kind: ``cpu``, ``cuda``, or ``auto``, which is the CPU where there is no GPU.

    Raises
    ------
    DeviceError
        If the kind is unknown, or ``cuda`` cannot be used; it says what to install.
    """
    if kind not in KINDS:
        raise DeviceError(f"device is {kind!r}, must be one of {', '.join(KINDS)}")
    if kind == "cpu":
        return CPU
    from pgbench.kernels.cuda import device_name, why_not

    reason = why_not()
    if not reason:
        return Device(kind, device_name())
    if kind == "cuda":
        raise DeviceError(f"device is cuda, but {reason}")
    return Device(kind, note=f"no GPU, the CPU is used: {reason}")
