"""What estimators declare about themselves, in words: for the terminal, for docs and reports."""

import re
from collections.abc import Mapping
from typing import Any

from pgbench.declared.causes import CAUSES, HORIZON, UNBIASED
from pgbench.declared.parameters import Formula, Parameter, write_formula
from pgbench.estimators import BatchEstimator, Estimator, TableEstimator, estimators
from pgbench.estimators.parts.variants import changes, others, required
from pgbench.exact import evaluate
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
    r"\,": " ",
    r"\!": "",
}


def plain_formula(formula: str) -> str:
    """A LaTeX formula in plain characters, for a terminal."""
    for symbol, character in _SYMBOLS.items():
        formula = formula.replace(symbol, character)
    formula = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"\1/\2", formula)
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
    return lines


def exactness(estimator: Estimator) -> str:
    """Which exact moments exist for default parameters, seen on a small problem."""
    if isinstance(estimator, TableEstimator):
        return "mean and variance"
    assert isinstance(estimator, BatchEstimator)
    truth, horizon, n = _small(estimator)
    try:
        exact = estimator.exact(truth, horizon, max(n, estimator.fewest), **required(estimator))
    except NotApplicable:
        return "none"
    known = {"mean": exact.mean, "variance": exact.variance}
    return " and ".join(word for word, value in known.items() if value is not None) or "none"


def _small(estimator: Estimator) -> tuple[Any, int, int]:
    """Exact quantities on a small problem that the estimator is for, a horizon, a batch size."""
    if FiniteMDP in estimator.on:
        from pgbench.trials.battery import cases

        case = next(case for case in cases() if case.name == "shared parameters")
        return case.truth, case.horizon, case.batch_size
    mdp = make_problem("lqg")
    policy = make_policy("gaussian", mdp)
    return evaluate(mdp, policy, policy.initial(init="zeros")), 4, 2


def applies_to(estimator: Estimator) -> str:
    """Classes of problems that an estimator is for, in words."""
    return " and ".join(kind.kind for kind in estimator.on)


def in_ascents(estimator: Estimator) -> str:
    """Why an ascent asks for one policy at a time, in words; nothing where it asks for all."""
    return f"one policy at a time: {estimator.alone}" if estimator.alone else ""


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
tests. H is the horizon of a rollout, n the batch size.

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
        f"- estimates: {goal}, of {applies_to(estimator)} problems",
        "- bias:",
        bias,
        f"- exact moments: {exactness(estimator)}",
        *([f"- in ascents: {reason}"] if (reason := in_ascents(estimator)) else []),
        *(["- parameters:", *given] if given else []),
        f"- source: {estimator.reference}",
        "",
    ]
    return "\n".join(lines)
