"""The page's tables: every setting at one batch size, failures, estimators, provenance."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from pgbench.declared.causes import CAUSES, UNBIASED
from pgbench.declared.outcomes import Status
from pgbench.estimators import estimators
from pgbench.report.declared import (
    TEST_LEVEL,
    Conformity,
    declared_causes,
    sampled,
    written_formulas,
)
from pgbench.report.marks import RAISED
from pgbench.report.style import INK, theme

if TYPE_CHECKING:
    from xarray import Dataset


Columns = tuple[tuple[str, str], ...]
"""Heads of columns, and their kind: ``n`` of numbers, ``w`` of words that are not broken."""


@dataclass(frozen=True)
class Sheet:
    """A table of texts, and a sentence on what of it is left out."""

    columns: Columns
    rows: Sequence[Sequence[str]]
    sentence: str = ""


@dataclass(frozen=True)
class SettingTable:
    """One setting: facts that are exact, a row of texts per estimator, and why some are empty."""

    title: str
    note: str
    facts: list[tuple[str, str]]
    rows: list[list[str]]


STATISTICS: Columns = (
    ("estimator", ""),
    ("bias", "n"),
    ("interval", "n"),
    ("exact bias", "n"),
    ("p (Holm)", "n"),
    ("variance", "n"),
    ("exact variance", "n"),
    ("cosine", "n"),
    ("P(ascent)", "n"),
    ("steps", "n"),
    ("seconds", "n"),
)
"""Columns of the table of a setting."""

CELL: Columns = (("problem", ""), ("policy", ""), STATISTICS[0], ("n", "n"), *STATISTICS[1:])
"""Columns of the table of all cells."""

VERDICT: Columns = (
    ("estimator", ""),
    ("cells", "n"),
    ("tested", "n"),
    ("bias found", "n"),
    ("largest exact relative bias", "n"),
    ("p of means", "n"),
    ("p of variances", "n"),
    ("p of normal z", "n"),
    ("behaves as declared", ""),
)
"""Columns of the table of verdicts."""

UNMEASURED: Columns = (("status", ""), ("cells", "n"), ("problem", ""), ("policy", ""), ("why", ""))
"""Columns of the table of failed and skipped cells."""


def number(x: Any, digits: int = 3) -> str:
    """A number in few characters; an em dash for NaN."""
    value = float(x)
    if not np.isfinite(value):
        return "—" if np.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        text = f"{value:.{digits}g}"
        if "e" in text:
            text = f"{value:.0f}"
    else:
        mantissa, exponent = f"{value:.{max(digits - 1, 0)}e}".split("e")
        text = f"{mantissa}·10{str(int(exponent)).translate(RAISED)}"
    return text.replace("-", "−")


def p_value(p: Any) -> str:
    """A p-value; far tails are not told apart, for no test is exact there."""
    return "< 10⁻¹⁶" if float(p) < 1e-16 else number(p, 2)


def setting_tables(summary: "Dataset", batch_size: int) -> Iterator[SettingTable]:
    """A table per setting with a measured cell at this batch size."""
    chosen = summary.sel(batch_size=batch_size)
    labels = [str(e) for e in summary["estimator"].values]
    for i, problem in enumerate(summary["problem"].values):
        for j, policy in enumerate(summary["policy"].values):
            own = {str(name): array.values for name, array in chosen.data_vars.items()}
            place = (i, j)
            done = [e for e in range(len(labels)) if own["status"][(*place, e)] == Status.DONE]
            if done:
                yield SettingTable(
                    title=f"{problem} × {policy}",
                    note=str(own["gradient_note"][place]),
                    facts=list(_facts(own, summary, place)),
                    rows=[[labels[e], *_row(own, (*place, e))] for e in done],
                )


def cells(summary: "Dataset") -> Iterator[list[str]]:
    """A row per measured cell."""
    own = {str(name): array.values for name, array in summary.data_vars.items()}
    axes = ("problem", "policy", "estimator", "batch_size")
    labels = [[str(label) for label in summary[axis].values] for axis in axes]
    for place in zip(*np.nonzero(own["status"] == Status.DONE), strict=True):
        names = [axis[i] for axis, i in zip(labels, place, strict=True)]
        yield [*names, *_row(own, place)]


def verdict_rows(found: Sequence[Conformity]) -> list[list[str]]:
    """A row per estimator."""
    return [
        [
            own.label,
            *(str(n) for n in (own.cells, own.tested, own.rejected)),
            number(own.exact_bias, 2),
            *(p_value(p) for p in (own.code_p, own.variance_p, own.normal_p)),
            f"{own.answer}: {own.objection}" if own.objection else own.answer,
        ]
        for own in found
    ]


def _facts(
    own: Mapping[str, Any], summary: "Dataset", place: tuple[int, int]
) -> Iterator[tuple[str, str]]:
    i = place[0]
    if summary["n_states"].values[i]:
        yield "states", str(int(summary["n_states"].values[i]))
        yield "actions", str(int(summary["n_actions"].values[i]))
    else:
        yield "state dimension", str(int(summary["state_dimension"].values[i]))
        yield "action dimension", str(int(summary["action_dimension"].values[i]))
    yield "γ", number(summary["gamma"].values[i], 5)
    yield "parameters", number(own["n_parameters"][place])
    yield "horizon", number(own["horizon"][place], 5)
    yield "J(θ)", number(own["objective"][place], 5)
    yield "J*", number(own["optimal_objective"][place], 5)
    yield "‖∇J‖", number(own["gradient_norm"][place])
    yield "its error, at most", number(own["gradient_error_bound"][place], 2)
    yield "truncation bias", number(own["truncation_bias"][place], 2)


def _row(own: Mapping[str, Any], place: tuple[int, ...]) -> list[str]:
    """What is known of a cell, as in the columns; a star marks a significant bias."""

    def part(name: str, digits: int = 3) -> str:
        return number(own[name][place], digits)

    p = own["bias_test_p_holm"][place]
    low, high = (float(own[f"relative_bias_{end}"][place]) for end in ("low", "high"))
    # A squared bias below zero by chance is none.
    bias = np.fmin(np.fmax(float(own["relative_bias"][place]), low), high)
    return [
        number(bias, 2) + ("*" if p < TEST_LEVEL else ""),
        f"[{number(low, 2)}, {number(high, 2)}]",
        part("exact_relative_bias", 2),
        p_value(p),
        f"{part('relative_variance')} ± {part('relative_variance_se', 2)}",
        part("exact_relative_variance"),
        f"{part('cosine', 3)} ± {part('cosine_se', 1)}",
        part("ascent_probability", 3),
        part("steps"),
        part("seconds", 2),
    ]


def unmeasured(summary: "Dataset") -> list[list[str]]:
    """Failed and skipped cells, those with the same message in one row."""
    status, messages = summary["status"].values, summary["message"].values
    groups: dict[tuple[str, str, str, str], int] = {}
    for place in zip(*np.nonzero(status > Status.DONE), strict=True):
        key = (
            Status(status[place]).word,
            str(summary["problem"].values[place[0]]),
            str(summary["policy"].values[place[1]]),
            str(messages[place]),
        )
        groups[key] = groups.get(key, 0) + 1
    return [[word, str(n), *rest] for (word, *rest), n in groups.items()]


def estimator_rows(summary: "Dataset") -> list[dict[str, Any]]:
    """Every estimator of the run with its formula as an image, declared bias and reference."""
    known = estimators()
    rows = []
    causes, written = declared_causes(summary), written_formulas(summary)
    boundary = bool((summary["support_bias"].values > 0).any())
    for label, name in zip(
        summary["estimator"].values, summary["estimator_name"].values, strict=True
    ):
        record = known.get(str(name))
        rows.append(
            {
                "label": str(label),
                "summary": record.summary if record else "",
                "formula": written[str(label)],
                "image": formula_image(written[str(label)]) if written[str(label)] else "",
                "bias": declared_bias(causes[str(label)], _of_data(summary, record, boundary)),
                "reference": record.reference if record else "",
            }
        )
    return rows


def _of_data(summary: "Dataset", record: Any, boundary: bool) -> tuple[str, ...]:
    """Causes of bias that hang on where the data of the run come from."""
    corrects = record is not None and record.corrects
    elsewhere = sampled(summary).any()
    lost = corrects and elsewhere and (summary["kept_mass"].values < 1).any()
    sampler = ("sampler",) * bool(elsewhere and not corrects)
    return sampler + ("support",) * bool(boundary or lost)


def declared_bias(causes: tuple[str, ...] | None, more: tuple[str, ...] = ()) -> str:
    """Declared causes of bias in words, those of the run's θ among them."""
    if causes is None:
        return "not declared"
    return "; ".join(map(_sentence, (*causes, *more))) or UNBIASED


def _sentence(cause: str) -> str:
    """What is said of a cause; one that is not known here stands for itself."""
    return CAUSES[cause].sentence if cause in CAUSES else cause


@cache
def formula_image(formula: str) -> str:
    """A formula set as mathematics, as the data URI of an SVG image."""
    buffer = io.BytesIO()
    # As an image of its own it has no fonts.
    with theme(), rc_context({"svg.fonttype": "path"}):
        figure = Figure(figsize=(0.1, 0.1))
        figure.text(0, 0, f"${formula}$", fontsize=11, color=INK)
        figure.savefig(
            buffer,
            format="svg",
            bbox_inches="tight",
            pad_inches=0.02,
            transparent=True,
            metadata={"Date": None},
        )
    return data_uri(buffer.getvalue())


def data_uri(svg: bytes) -> str:
    """An SVG image as a data URI."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
