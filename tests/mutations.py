"""Small mistakes made in a copy of the package, and which test sees each: ``make mutations``.

Every mistake stands in a room and is looked for by the tests of that room alone. The text that is
changed must occur exactly once in the room, whatever file it is in.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
NEEDED = (
    "pgbench", "tests", "benchmarks", "docs", "examples", "grids", "grid.yaml", "README.md",
    "pyproject.toml",
)  # fmt: skip
"""What is copied: the package, and what its tests read."""


@dataclass(frozen=True)
class Mutation:
    """A mistake: in which room, what becomes of which text, and tests other than the room's."""

    name: str
    room: str
    old: str
    new: str
    tests: str = ""

    @property
    def files(self) -> list[str]:
        """Files and folders of tests that must find it."""
        return (self.tests or f"tests/{self.room}").split()


MUTATIONS = [
    Mutation(
        "every trajectory of a group draws its own start",
        "kernels",
        "scratch[WIDTH + lane] = leader",
        "scratch[WIDTH + lane] = i",
        "tests/kernels/finite",
    ),
    Mutation(
        "what a group shares is counted once",
        "measure",
        "return Exact(mean, (variance + self._again * self.shared) / batch_size)",
        "return Exact(mean, variance / batch_size)",
        "tests/measure/test_subject.py",
    ),
    Mutation(
        "pairs of responses of a group are left out",
        "exact",
        "second += self._in_group(scores, w)",
        "second += 0 * self._in_group(scores, w)",
        "tests/exact/finite/test_outcome_moments.py",
    ),
    Mutation(
        "an alias is taken where it should not be",
        "kernels",
        "choose_below(word & _LOW, entry >> _HALF, index, alias)",
        "choose_below(word & _LOW, entry >> _HALF, alias, index)",
        "tests/kernels/finite",
    ),
    Mutation(
        "streams of different names are the same",
        "kernels",
        "zero, streams.seed, streams.stream",
        "zero, streams.seed, uint64(0)",
        "tests/kernels/finite",
    ),
    Mutation(
        "the last step of an episode is not counted",
        "kernels",
        "- since[lane] - max(idle - 1, 0)",
        "- since[lane] - idle",
        "tests/kernels/finite",
    ),
    Mutation(
        "terminal states are not absorbing",
        "problems",
        "successor[terminal] = np.flatnonzero(terminal)[:, None, None]",
        "successor[terminal] = 0",
    ),
    Mutation(
        "terminal states pay",
        "problems",
        "probability[terminal], reward[terminal] = 0.0, 0.0",
        "probability[terminal] = 0.0",
    ),
    Mutation(
        "a pull-back without its centring",
        "policies",
        "centred = centre(softmax(features @ theta, allowed), existing(weights, allowed))",
        "centred = existing(weights, allowed)",
    ),
    Mutation(
        "scores of the direct policy are not tangent",
        "policies",
        "every = np.eye(self.n_actions) - self._share()[:, None, :]",
        "every = np.eye(self.n_actions) - 0 * self._share()[:, None, :]",
    ),
    Mutation(
        "Q without the discount",
        "exact/finite",
        "return mdp.expected_reward + mdp.gamma * (mdp.transitions @ v)",
        "return mdp.expected_reward + (mdp.transitions @ v)",
    ),
    Mutation(
        "one step too many",
        "exact/finite",
        "walk.backward(mdp.gamma, walk.mean(mdp.expected_reward)).sum(horizon - 1)",
        "walk.backward(mdp.gamma, walk.mean(mdp.expected_reward)).sum(horizon)",
        "tests/exact/test_horizon.py tests/exact/finite",
    ),
    Mutation(
        "the baseline of a total return counts once too little in the second moment",
        "exact/finite",
        "self.beta**2, -2 * self.beta, np.ones_like(self.beta)",
        "self.beta**2, -self.beta, np.ones_like(self.beta)",
    ),
    Mutation(
        "exploration costs nothing",
        "exact/linear_quadratic",
        "per_step = _trace(mdp.R, law.covariance) + gamma * _trace(P, spread(mdp, law))",
        "per_step = gamma * _trace(P, spread(mdp, law))",
    ),
    Mutation(
        "tables are not cleared on terminal states",
        "process",
        "        if ends.size:\n",
        "        if not ends.size:\n",
        "tests/process tests/estimators/test_contract.py",
    ),
    Mutation(
        "returns without the discount",
        "process",
        "return self.backward(self.rewards, self.process.mdp.gamma)",
        "return self.backward(self.rewards, 1.0)",
        "tests/process tests/estimators/test_batch_definitions.py",
    ),
    Mutation(
        "an estimator's own batch is another than tables see",
        "rollout",
        "record(process.sampler, streams, first, pair, slot, steps)",
        "record(process.sampler, streams, first + 1, pair, slot, steps)",
    ),
    Mutation(
        "the mean of the others is over all",
        "estimators",
        "return np.asarray(x - rest / (G - 1), np.float64)",
        "return np.asarray(x - rest / G, np.float64)",
    ),
    Mutation(
        "GAE without the discount in its decay",
        "estimators",
        "kappa=truth.mdp.gamma * lam,\n        delta=step_discount(truth, discounted),",
        "kappa=lam,\n        delta=step_discount(truth, discounted),",
    ),
    Mutation(
        "a bias is not declared",
        "estimators",
        'bias=lambda baseline, discounted: ("truncation",) if discounted else ("discount",)',
        'bias=lambda baseline, discounted: ("truncation",)',
    ),
    Mutation(
        "Adam is corrected for one step too many",
        "ascent",
        "mean = self.first / (1 - self.beta1 ** (k + 1))",
        "mean = self.first / (1 - self.beta1 ** (k + 2))",
    ),
    Mutation(
        "steps of half the divergence",
        "ascent",
        "return _over(np.sqrt(2 * radius), np.sqrt(crowd.squared_lengths(direction)))",
        "return _over(np.sqrt(radius), np.sqrt(crowd.squared_lengths(direction)))",
    ),
    Mutation(
        "projections on the gradient are not of unit length",
        "measure",
        "self.running.scalars[e][:, 5] / self._norm",
        "self.running.scalars[e][:, 5]",
    ),
    Mutation(
        "intervals of 90 % are called 95 %",
        "statistics",
        "special.stdtrit(R - 1, 0.5 + CONFIDENCE / 2)",
        "special.stdtrit(R - 1, CONFIDENCE)",
    ),
    Mutation(
        "Holm's method without its order",
        "statistics",
        "np.maximum.accumulate((values.size - np.arange(values.size)) * values[order])",
        "(values.size - np.arange(values.size)) * values[order]",
    ),
    Mutation(
        "damaged lines of the journal are read",
        "results",
        'if line[:9] != b"%08x " % zlib.crc32(line[9:]):',
        "if len(line) < 9:",
    ),
    Mutation(
        "numbers of records may be anything",
        "results",
        "if why := KINDS[variable.kind](value):",
        "if why := KINDS[variable.kind](0):",
    ),
    Mutation(
        "what a disk refused to take back is followed by the next record",
        "results",
        "os.ftruncate(descriptor, self._torn)\n            write_all",
        "write_all",
    ),
    Mutation(
        "an ascent of more steps is taken for done",
        "grid",
        '                "steps": plan.steps,\n',
        "",
        "tests/grid tests/harness/test_ascents.py",
    ),
    Mutation(
        "failed cells are not tried again",
        "harness",
        "frozenset({Status.DONE.word, Status.SKIPPED.word})",
        "frozenset({Status.DONE.word, Status.SKIPPED.word, Status.FAILED.word})",
    ),
    Mutation(
        "numbers below the least are taken",
        "declared",
        "low, high = self.range.minimum, self.range.maximum\n        if",
        "low, high = None, self.range.maximum\n        if",
    ),
    Mutation(
        "the interval of an exponent has a degree of freedom too many",
        "statistics",
        "y - y.mean(), x.size - 2",
        "y - y.mean(), x.size - 1",
    ),
    Mutation(
        "what is ruled out holds",
        "trials",
        "return np.asarray(self.p < LEVEL)",
        "return np.asarray(self.p > LEVEL)",
        "tests/trials/test_findings.py tests/trials/test_verdict.py",
    ),
    Mutation(
        "the reference is drawn with the policy's own scale",
        "objectives",
        "theta = policy.initial(seed=seed, scale=scale)",
        "theta = policy.initial(seed=seed)",
    ),
    Mutation(
        "the boundary of the simplex has a gradient",
        "objectives",
        "        self._require_inside(theta)\n",
        "",
    ),
    Mutation(
        "a uniform reference counts actions that a state does not have",
        "objectives",
        "mdp.choices / mdp.choices.sum(axis=1, keepdims=True)",
        "mdp.choices / mdp.n_actions",
    ),
    Mutation(
        "a penalty is paid out",
        "exact",
        "self.plain.paying(self.plain.reward - self.table[..., None])",
        "self.plain.paying(self.plain.reward + self.table[..., None])",
        "tests/exact/test_penalty.py",
    ),
    Mutation(
        "one of several policies has the first one's penalty",
        "exact",
        "log_ratio=self.log_ratio[policies], plain=plain",
        "log_ratio=self.log_ratio[:1], plain=plain",
        "tests/exact/test_penalty.py",
    ),
    Mutation(
        "soft policy iteration ends before it has settled",
        "exact",
        "SETTLED = 1e-9",
        "SETTLED = 1e-2",
        "tests/exact/finite/test_soft_optimum.py",
    ),
    Mutation(
        "k3 has the slope of the other sign",
        "estimators",
        "-np.expm1(-log_ratio)",
        "np.expm1(log_ratio)",
        "tests/estimators/parts/test_penalty.py",
    ),
    Mutation(
        "an action answers for its own state's divergence too",
        "estimators",
        "to_go = batch.backward(w * (rewards - here), gamma * w) + w * here",
        "to_go = batch.backward(w * (rewards - here), gamma * w)",
        "tests/estimators/test_batch_definitions.py",
    ),
    Mutation(
        "a clip looks at the wrong sign",
        "estimators",
        "np.stack([w <= 1 + high, (w >= 1 - low) & (w <= most)])",
        "np.stack([(w >= 1 - low) & (w <= most), w <= 1 + high])",
        "tests/estimators/parts/test_ratios.py",
    ),
    Mutation(
        "later epochs draw a batch of their own",
        "ascent",
        "self.source.gradient(crowd.drawn_from(self.drawn), first)",
        "self.source.gradient(crowd.drawn_from(self.drawn), k)",
        "tests/ascent/test_sampled_ascents.py",
    ),
    Mutation(
        "stale data are one update too old",
        "ascent",
        "deque(maxlen=lag + 1)",
        "deque(maxlen=lag + 2)",
        "tests/ascent/test_sampled_ascents.py",
    ),
]


def find(package: Path, mutation: Mutation) -> Path:
    """The one file of the room that holds the text; SystemExit where it is not there once."""
    paths = sorted((package / mutation.room).rglob("*.py"))
    counts = {path: path.read_text("utf-8").count(mutation.old) for path in paths}
    found = [path for path, count in counts.items() if count]
    if sum(counts.values()) != 1:
        where = ", ".join(path.name for path in found) or "no file"
        sys.exit(f"{mutation.name}: its text must occur once in {mutation.room}, is in {where}")
    return found[0]


def copied(place: Path) -> None:
    """Copy the package and what its tests read."""
    for name in NEEDED:
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=ignore)
        else:
            shutil.copy(source, place / name)


def catcher(place: Path, mutation: Mutation) -> str:
    """The first test that fails, or nothing."""
    environment = os.environ | {"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    if mutation.room == "kernels":
        environment["NUMBA_CACHE_DIR"] = str(place / "compiled")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, *mutation.files], cwd=place, env=environment, capture_output=True, text=True
    )
    if run.returncode not in (0, 1, 2):
        sys.exit(f"{mutation.name}: pytest ended with {run.returncode}\n{run.stdout}{run.stderr}")
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", run.stdout, re.MULTILINE)
    return found[1] if found else ""


def seen(place: Path, mutation: Mutation) -> bool:
    """Whether a test sees the mistake, which is said."""
    path = find(place / "pgbench", mutation)
    text = path.read_text("utf-8")
    path.write_text(text.replace(mutation.old, mutation.new), "utf-8")
    try:
        test = catcher(place, mutation)
    finally:
        path.write_text(text, "utf-8")
    print(f"{mutation.room}: {mutation.name}: {test or 'NO TEST FAILS'}", flush=True)
    return bool(test)


def main(chosen: list[str]) -> int:
    """Number of mistakes that no test sees, of those in the chosen rooms or of all."""
    mutations = [m for m in MUTATIONS if not chosen or m.room in chosen]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        copied(place)
        for mutation in MUTATIONS:
            find(place / "pgbench", mutation)
        return sum(not seen(place, mutation) for mutation in mutations)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
