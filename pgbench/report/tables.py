"""The page's tables: every setting at one batch size, failures, estimators, provenance."""

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from pgbench.declared.causes import CAUSES, UNBIASED
from pgbench.declared.outcomes import Status
from pgbench.estimators import estimators
from pgbench.report.declared import TEST_LEVEL, declared_causes, sampled, written_formulas
from pgbench.report.style import INK, theme

if TYPE_CHECKING:
    from xarray import Dataset


@dataclass(frozen=True)
class SettingTable:
    """One setting: facts that are exact, a row of texts per estimator, and why some are empty."""

    title: str
    note: str
    facts: list[tuple[str, str]]
    rows: list[dict[str, Any]]


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
        text = f"{mantissa}·10{_raised(int(exponent))}"
    return text.replace("-", "−")


def p_value(p: Any) -> str:
    """A p-value; far tails are not told apart, for no test is exact there."""
    return "< 10⁻¹⁶" if float(p) < 1e-16 else number(p, 2)


def _raised(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


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
                    rows=[_row(own, (*place, e), labels[e]) for e in done],
                )


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


def _row(own: Mapping[str, Any], place: tuple[int, ...], label: str) -> dict[str, Any]:
    def part(name: str, digits: int = 3) -> str:
        return number(own[name][place], digits)

    p = own["bias_test_p_holm"][place]
    return {
        "estimator": label,
        "bias": part("relative_bias", 2),
        "bias_interval": f"[{part('relative_bias_low', 2)}, {part('relative_bias_high', 2)}]",
        "exact": part("exact_relative_bias", 2),
        "p": p_value(p),
        "significant": bool(p < TEST_LEVEL),
        "variance": f"{part('relative_variance')} ± {part('relative_variance_se', 2)}",
        "exact_variance": part("exact_relative_variance"),
        "cosine": f"{part('cosine', 3)} ± {part('cosine_se', 1)}",
        "ascent": part("ascent_probability", 3),
        "steps": part("steps"),
        "seconds": part("seconds", 2),
    }


def unmeasured(summary: "Dataset") -> list[dict[str, str]]:
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
    names = ("status", "problem", "policy", "message")
    return [{**dict(zip(names, key, strict=True)), "cells": str(n)} for key, n in groups.items()]


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
    with theme():
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
