"""What estimators declare about themselves, in words: for the terminal, for docs and reports."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pgbench.declared.causes import CAUSES, HORIZON, UNBIASED
from pgbench.declared.parameters import Formula, Parameter, write_formula
from pgbench.estimators import BatchEstimator, Estimator, TableEstimator, estimators
from pgbench.estimators.parts.outcomes import OutcomeEstimator
from pgbench.estimators.parts.variants import changes, others, required
from pgbench.exact import evaluate
from pgbench.exact.finite.transform import transform
from pgbench.objectives import make_objective
from pgbench.policies import NotApplicable, make_policy
from pgbench.problems import FiniteMDP, make_problem

_SYMBOLS = {
    r"\gamma": "γ",
    r"\alpha": "α",
    r"\beta": "β",
    r"\omega\,": "ω ",
    r"\leftarrow": "←",
    r"\tilde\mu": "μ̃",
    r"\tilde\theta": "θ̃",
    r"\hat m": "m̂",
    r"\sqrt{\hat v}": "√v̂",
    r"\sqrt": "√",
    r"\|": "‖",
    r"\lambda": "λ",
    r"\tau": "τ",
    r"\psi": "ψ",
    r"\delta": "δ",
    r"\sigma": "σ",
    r"\epsilon": "ε",
    r"\theta": "θ",
    r"\phi": "φ",
    r"\sum": "Σ",
    r"\prod": "Π",
    r"\sim": " ~ ",
    r"\geq ": "≥",
    r"\leq ": "≤",
    r"\neq ": "≠",
    r"\rho": "ρ",
    r"\propto": " ∝ ",
    r"\in ": "∈ ",
    r"\xi": "ξ",
    r"\pi": "π",
    r"\mu": "μ",
    r"\nabla": "∇",
    r"\partial": "∂",
    r"\Sigma": "Σ",
    r"\dagger": "†",
    r"\hat Q": "Q̂",
    r"\hat F": "F̂",
    r"\hat g": "ĝ",
    r"\bar R": "R̄",
    r"\bar A": "Ā",
    r"\bar o": "ō",
    r"\arcsin": "arcsin ",
    r"\log": "log",
    r"\lfloor": "⌊",
    r"\rfloor": "⌋",
    r"\quad": "  ",
    r"\in": "∈",
    r"\,": " ",
    r"\!": "",
}


def plain_formula(formula: str) -> str:
    """A LaTeX formula in plain characters, for a terminal."""
    for symbol, character in _SYMBOLS.items():
        formula = formula.replace(symbol, character)
    formula = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"\1/\2", formula)
    formula = re.sub(r"\\binom\{([^{}]*)\}\{([^{}]*)\}", r"C(\1, \2)", formula)
    formula = re.sub(r"√\{([^{}]*)\}", r"√(\1)", formula)
    formula = re.sub(r"\\mathrm\{([^{}]*)\}", r"\1", formula)
    return re.sub(r"\{([^{}]*)\}", r"\1", formula).replace("\\", "")


def described(parameters: dict[str, Parameter]) -> str:
    """What parameters allow, a line each."""
    return "\n".join(
        f"{p.name}: {p.allowed}" + ("" if p.required else f" (default {p.default})")
        for p in parameters.values()
    )


def bias_classes(estimator: Estimator) -> list[str]:
    """The declared bias by default, and what other parameter values add to it."""
    given = required(estimator)
    default = estimator.causes(**given)
    beside = set(default) - HORIZON
    lines = [
        ("otherwise " if beside and cause in HORIZON else "") + CAUSES[cause].sentence
        for cause in default
    ] or [UNBIASED]
    told = set(default)
    for name, value, word in changes(estimator):
        more = [c for c in estimator.causes(**given, **{name: value}) if c not in told]
        lines += [f"{name} {word}: {CAUSES[cause].sentence}" for cause in more]
        told |= set(more)
    return lines + _elsewhere(estimator, given)


def _elsewhere(estimator: Estimator, given: Mapping[str, Any]) -> list[str]:
    """The declared bias that comes with data of a sampler, and what parameter values make of it."""
    default = estimator.causes_elsewhere(**given)
    lines = [f"on data of a sampler: {CAUSES[cause].sentence}" for cause in default]
    told = set(default)
    for name, value, word in changes(estimator):
        own = estimator.causes_elsewhere(**given, **{name: value})
        more = [CAUSES[cause].sentence for cause in own if cause not in told]
        if default and not own:
            more = ["nothing more"]
        lines += [f"{name} {word}, on data of a sampler: {sentence}" for sentence in more]
        told |= set(own)
    return lines


def exactness(estimator: Estimator) -> str:
    """Which exact moments exist for default parameters, seen on a small problem."""
    if isinstance(estimator, TableEstimator):
        return "mean and variance"
    assert isinstance(estimator, BatchEstimator)
    if known := _known(estimator, *_small(estimator)):
        return known
    if FiniteMDP in estimator.on and (known := _known(estimator, *_written())):
        return f"{known}, where returns and lengths take few values"
    return "none"


def _known(estimator: BatchEstimator, truth: Any, horizon: int, n: int) -> str:
    """Which exact moments exist on a problem, in words, or nothing."""
    try:
        given = required(estimator)
        exact = estimator.exact(truth, horizon, max(n, estimator.least(**given)), **given)
    except NotApplicable:
        return ""
    known = {"mean": exact.mean, "variance": exact.variance}
    return " and ".join(word for word, value in known.items() if value is not None)


def _written() -> tuple[Any, int, int]:
    """The same of responses written token by token."""
    mdp = make_problem("sequences", prompts=1, length=3)
    policy = make_policy("softmax", mdp)
    return evaluate(mdp, policy, policy.initial(init="zeros")), 3, 2


def _small(estimator: Estimator) -> tuple[Any, int, int]:
    """Exact quantities on a small problem that the estimator is for, a horizon, a batch size."""
    if FiniteMDP in estimator.on:
        from pgbench.trials.battery import cases

        case = next(case for case in cases() if case.name == "shared parameters")
        truth = case.truth
        if estimator.penalised:
            truth = make_objective("kl", truth.mdp, truth.policy).truth(truth.theta)
        return truth, case.horizon, case.batch_size
    mdp = make_problem("lqg")
    policy = make_policy("gaussian", mdp)
    return evaluate(mdp, policy, policy.initial(init="zeros")), 4, 2


def applies_to(estimator: Estimator) -> str:
    """Classes of problems, and objectives, that an estimator is for, in words."""
    kinds = " and ".join(kind.kind for kind in estimator.on)
    return f"{kinds} problems" + ", under an objective with a penalty" * estimator.penalised


def in_ascents(estimator: Estimator) -> str:
    """Why an ascent asks for one policy at a time, in words; nothing where it asks for all."""
    return f"one policy at a time: {estimator.alone}" if estimator.alone else ""


GROUPS = (2, 8)
CHANCES = (0.1, 0.5, 0.9)
"""Sizes of groups, and chances of success, at which a transform is printed."""


def climbed(estimator: Estimator) -> tuple[str, dict[int, list[float]]]:
    """The function F of the chance of success that large groups climb, as LaTeX; of small groups.

    By the size of the group F at ``CHANCES`` less F(0). Nothing of estimators that look at more
    than success, or at single steps.
    """
    if not isinstance(estimator, OutcomeEstimator):
        return "", {}
    values = estimator.bound(**required(estimator))
    found = estimator.follows(**values)
    if found is None:
        return "", {}
    weights = partial(estimator.weights, **values)
    return found.formula, {G: transform(weights, G).value(CHANCES).tolist() for G in GROUPS}


def in_words(estimator: Estimator, formula: Callable[[str], str]) -> str:
    """What an estimator climbs where responses succeed or fail and are alike otherwise."""
    limit, exact = climbed(estimator)
    if not limit:
        return ""
    chances = ", ".join(f"{p:g}" for p in CHANCES)
    own = "; ".join(
        f"groups of {G} at p = {chances}: " + ", ".join(f"{x:.3g}" for x in values)
        for G, values in exact.items()
    )
    return f"of success or failure alone, large groups {formula(limit)}; {own}"


SUPPORT = """Two causes of bias hang on θ and on where data come from, and not on the estimator
alone. Where a direct policy gives an action of a visited state probability 0, on the boundary of
the simplex, no rollout sees what that action would bring to ∇J (`exact_bias_support`); nor does one
of a sampler that leaves actions out, and no ratio repairs that. Where data come from a sampler,
whoever does not correct for it estimates something else (`exact_bias_sampler`)."""
"""What no estimator says of itself, since all would say the same, at some θ alone."""

_PAGE = """# Estimators

Every estimator by name: what it returns, its formula, its declared bias, which exact moments are
known, its parameters and its source. On linear-quadratic problems variances are exact for up to
two states. Written by
`python -m pgbench list estimators --markdown`; declarations and moments are checked by the contract
tests. H is the horizon of a rollout, n the batch size; batches come in P groups of G trajectories
that share their start, g(i) is that of trajectory i. Without groups the batch is one, of
independent starts. What outcome estimators climb is a function F(p) of the chance of success:
their mean is F'(p) ∇p. Of small groups F is given less F(0).

{support}
"""


def formulas(formula: Formula, parameters: Mapping[str, Parameter]) -> dict[str, str]:
    """The formula with default parameters, by "", and those that single words and switches make.

    By what is changed, such as ``discounted=false``; those that change nothing are left out.
    """
    found = {"": write_formula(formula, parameters, {})}
    for name, p in parameters.items():
        for value in others(p):
            text = write_formula(formula, parameters, {name: value})
            if text not in found.values():
                found[f"{name}={str(value).lower()}"] = text
    return found


def markdown() -> str:
    """Every estimator as a section of a Markdown page."""
    return "\n".join(
        [
            _PAGE.format(support=SUPPORT),
            *(_section(estimator) for estimator in estimators().values()),
        ]
    )


def _section(estimator: Estimator) -> str:
    bias = "\n".join(f"  - {line}" for line in bias_classes(estimator))
    given = [
        f"  - `{p.name}`: {p.meaning}; {p.allowed}"
        + ("" if p.required else f", by default {str(p.default).lower()}")
        for p in estimator.parameters.values()
    ]
    goal = "the natural gradient F†∇J" if estimator.target == "natural gradient" else "∇J"
    plain, *others = formulas(estimator.formula, estimator.parameters).items()
    formulas_of = [f"$${plain[1]}$$"]
    for changed, text in others:
        formulas_of += ["", f"with `{changed}`:", "", f"$${text}$$"]
    lines = [
        f"## `{estimator.name}`",
        "",
        estimator.summary,
        "",
        *formulas_of,
        "",
        f"- estimates: {goal}, of {applies_to(estimator)}",
        "- bias:",
        bias,
        f"- exact moments: {exactness(estimator)}",
        *([f"- climbs {words}"] if (words := in_words(estimator, "${}$".format)) else []),
        *([f"- in ascents: {reason}"] if (reason := in_ascents(estimator)) else []),
        *(["- parameters:", *given] if given else []),
        f"- source: {estimator.reference}",
        "",
    ]
    return "\n".join(lines)
