"""The keys of a grid file with a value each: what they accept, by default are, and mean."""

from typing import Annotated

from pgbench.declared.parameters import REQUIRED, Choice, Later, Parameter, Range, parameters_of
from pgbench.rollout.device import KINDS


def _settings(
    name: Annotated[str, "name of the results folder and of the report"],
    max_horizon: Annotated[int, Range(1, 10_000_000), "cap of an automatic horizon"] = 1000,
    replicates: Annotated[int, Range(2, 100_000_000), "independent estimates per cell"] = 1000,
    group_size: Annotated[
        int | None,
        Range(1, 1_000_000_000),
        "trajectories of a batch that share a start state; default every one has its own",
    ] = None,
    device: Annotated[
        str,
        Choice(KINDS),
        "where rollouts of table estimators run; auto takes a GPU if there is one and it pays",
    ] = "cpu",
) -> None:
    """Declare the scalar keys of a grid."""


def _theta(
    init: Annotated[
        str,
        Choice(("normal", "zeros", "own")),
        "distribution of θ; own is a module's own initialisation, normal where there is none",
    ] = "normal",
    scale: Annotated[float, Range(0), "standard deviation of normal θ, or a factor"] = 1.0,
    seed: Annotated[
        int | None, Range(0, 2**63 - 1), Later(), "one draw of θ or another, with the run's seed"
    ] = None,
) -> None:
    """Declare the keys below ``theta``."""


def _ascent(
    steps: Annotated[int, Range(1, 100_000_000), "updates of every run"] = 1000,
    replicates: Annotated[int, Range(1, 1_000_000), "independent runs of whatever is sampled"] = 30,
    points: Annotated[int, Range(2, 1000), "iterates that are scored, about"] = 40,
) -> None:
    """Declare the scalar keys below ``ascent``."""


SETTINGS = parameters_of(_settings)
SEED = Parameter(
    "seed", (int,), 0, Range(0, 2**63 - 1), None, "seed of every random stream of the run"
)
HORIZON = Parameter(
    "horizon",
    (int, str),
    "auto",
    Range(1, 10_000_000),
    Choice(("auto",)),
    "steps per rollout; auto is the smallest with exact truncation bias below 1 % of ‖∇J‖",
)
THETA = parameters_of(_theta)
BATCH_SIZE = Parameter(
    "batch_sizes", (int,), 1, Range(1, 1_000_000_000), None, "trajectories per estimate"
)
ASCENT = parameters_of(_ascent)
STEP = Parameter("step", (float,), 0.1, Range(0), None, "a constant step size α")
EXPECTED = Parameter(
    "expected", (bool,), False, Range(), None, "follow the estimator's exact mean, not estimates"
)
THETA_VALUES = Parameter(
    "values", (float,), 0.0, Range(), None, "θ itself, or one row that all states share"
)
THETA_FILE = Parameter(
    "file",
    (str,),
    REQUIRED,
    Range(),
    None,
    "θ (d,) in an .npy file, or a PyTorch state dict in a .pt",
)
INSTANCES = Parameter("instances", (int,), 1, Range(1, 10_000), None, "draws of a random family")
