"""What a run costs beside its cells: the plan of a grid, and the journal."""

import shutil
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.revisions import find

GRID = """
name: plan
problems: [{problem: garnet, n_states: [10, 100], gamma: 0.9, instances: 5}]
policies: [softmax, {policy: loglinear, n_features: 8}]
estimators: [reinforce, reward_to_go, baseline_value, q_oracle, advantage_oracle, td,
             {estimator: gae, lam: [0, 0.9, 0.95, 1]}]
batch_sizes: [1, 4, 16, 64, 256]
"""

RECORDS, TOGETHER = 1000, 10

NAMES = [
    f"{name}{end}"
    for name in (
        "bias", "bias_squared", "relative_bias", "variance", "relative_variance", "mse", "rmse",
        "relative_rmse", "snr", "cosine", "ascent_probability", "steps",
        "work_normalised_variance",
    )
    for end in ("", "_se", "_low", "_high")
]  # fmt: skip
MAPS = ["mean_gradient", "gradient_variance", "expected_gradient", "expected_variance"]
"""Numbers and arrays of a record; a journal takes those alone that a dataset declares."""


class Plan:
    """A grid of 1000 cells in 20 settings; no problem is made."""

    def time_plan(self):
        """Seconds from the text of the grid to the key of every cell."""
        settings = find("grid.plan.settings", "plan.settings")
        parse_grid = find("grid.reader.parse_grid", "grid.parse_grid")

        keys = {cell.key for setting in settings(parse_grid(GRID)) for cell in setting.cells}
        if len(keys) != 1000:
            raise RuntimeError(f"the grid has {len(keys)} cells, must have 1000")


class Journal:
    """1000 records, each of 52 numbers and four arrays of 100, in a temporary directory."""

    number = 1
    warmup_time = 0
    repeat = (3, 10, 5.0)

    def setup(self):
        Journal = find("results.journal.Journal", "journal.Journal")

        self.open = Journal.open
        self.directory = Path(tempfile.mkdtemp())
        self.journal = self.open(self.directory)
        self.records = _records()

    def teardown(self):
        shutil.rmtree(self.directory)


class Append(Journal):
    """Appending flushes to disk, so the disk is part of it."""

    def time_append(self):
        """Seconds for 1000 records, ten at a time as a run with ten estimators does."""
        for begin in range(0, RECORDS, TOGETHER):
            self.journal.append(self.records[begin : begin + TOGETHER])


class Open(Journal):
    """Opening the journal of a run that is to be resumed."""

    def setup(self):
        super().setup()
        self.journal.append(self.records)

    def time_open(self):
        """Seconds for reading and checking 1000 records."""
        n = len(self.open(self.directory).records)
        if n != RECORDS:
            raise RuntimeError(f"{n} records were read, must be {RECORDS}")


def _records():
    rng = np.random.default_rng(0)
    return [
        {
            "kind": "cell",
            "key": f"{i:032x}",
            "status": "done",
            "estimator": "gae[lam=0.95]",
            "batch_size": 16,
            "values": dict(zip(NAMES, rng.normal(size=len(NAMES)), strict=True)),
            "maps": {name: rng.normal(size=100) for name in MAPS},
            "exact_note": "",
        }
        for i in range(RECORDS)
    ]
