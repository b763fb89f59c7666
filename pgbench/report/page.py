"""One self-contained HTML page per run, with every figure in it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pgbench.declared.outcomes import Status
from pgbench.harness.crew import Crew
from pgbench.report.ascents import section
from pgbench.report.declared import TEST_LEVEL, Conformity, normal_means, smallest, verdicts
from pgbench.report.drawing import draw_all
from pgbench.report.extent import cut, most_settings
from pgbench.report.findings import findings, of_ascents
from pgbench.report.plots import Subject
from pgbench.report.scaling import exponents
from pgbench.report.svg import font_faces
from pgbench.report.tables import (
    CELL,
    STATISTICS,
    UNMEASURED,
    VERDICT,
    Sheet,
    cells,
    estimator_rows,
    number,
    p_value,
    setting_tables,
    unmeasured,
    verdict_rows,
)
from pgbench.results.files import remove_temporaries, write_file
from pgbench.results.folding import part_of

if TYPE_CHECKING:
    from xarray import Dataset, DataTree


def write_report(tree: "DataTree", directory: Path, crew: Crew | None = None) -> Path:
    """Write ``index.html`` and ``figures/*.png``, ``*.svg`` of a run; the path of the page.

    Parameters
    ----------
    tree
        The dataset of a run, whole or partial, as ``pgbench.results.dataset`` makes it.
    directory
        Made if needed; files of an earlier report are replaced.
    crew
        Processes that share the drawing, where there is much.

    Raises
    ------
    OSError, OutputError
        If the directory cannot be written.
    """
    figures, data = (
        folder_of_figures(directory),
        {of: part_of(tree, of) for of in get_args(Subject)},
    )
    shown = draw_all(data, figures, crew)
    summary, ascent = data["run"].to_dataset(), data["ascents"]
    path = directory / "index.html"
    page = _page(summary, [*shown["run"], *shown["estimators"]], ascent, shown["ascents"])
    write_file(path, page.encode())
    return path


def folder_of_figures(directory: Path) -> Path:
    """Where the figures of a report go, made if needed; what killed runs left there is removed."""
    figures = directory / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for folder in (directory, figures):
        remove_temporaries(folder)
    return figures


def rendered(template: str, **values: Any) -> str:
    """A page from a template beside this file, everything in it escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def _page(
    summary: "Dataset",
    figures: list[dict[str, str]],
    ascent: "Dataset | None",
    climbed: list[dict[str, str]],
) -> str:
    batch_size = int(summary["batch_size"].values[-1])
    attributes = {str(k): v for k, v in summary.attrs.items() if k != "grid"}
    estimating = summary.sizes["estimator"] > 0
    found = verdicts(summary) if estimating else []
    fonts = font_faces(own["svg"] for own in (*figures, *climbed) if "svg" in own)
    first = next((own for own in (*figures, *climbed) if "svg" in own), None)
    figures, climbed = ([own for own in those if own is not first] for those in (figures, climbed))
    return rendered(
        "page.html.jinja",
        name=summary.attrs.get("name", "run"),
        findings=findings(summary if estimating else None, ascent, found),
        first=first,
        counts=_counts(summary, ascent),
        sentences=_sentences(summary, found) if estimating else _work(summary.attrs),
        estimating=estimating,
        verdicts=Sheet(VERDICT, verdict_rows(found)),
        figures=figures,
        exponents=_exponents(summary) if estimating else None,
        batch_size=batch_size,
        columns=STATISTICS,
        settings=_settings(summary, batch_size) if estimating else ([], ""),
        cells=_cells(summary) if estimating else None,
        unmeasured=_unmeasured(summary) if estimating else None,
        estimators=estimator_rows(summary) if estimating else [],
        ascents=None
        if ascent is None
        else {
            "figures": climbed,
            "sentences": [*(of_ascents(ascent) if estimating else ()), *section.sentences(ascent)],
            "columns": section.RUN,
            "settings": _runs(ascent),
            "unfinished": section.unfinished(ascent),
        },
        grid=summary.attrs.get("grid", ""),
        provenance={key: str(value) for key, value in attributes.items()},
        fonts=fonts,
    )


Rows = tuple[list[Any], str]
"""Rows of a table, and a sentence on those left out."""


def _settings(summary: "Dataset", batch_size: int) -> Rows:
    measured = summary["status"].sel(batch_size=batch_size).values == Status.DONE
    total = int(measured.any(axis=-1).sum())
    return cut(setting_tables(summary, batch_size), total, "settings", most_settings(summary))


def _runs(ascent: "Dataset") -> Rows:
    done = ascent["ascent_status"].values == Status.DONE
    total = int(done.any(axis=(2, 3)).sum())
    return cut(section.tables(ascent), total, "settings", most_settings(ascent))


def _cells(summary: "Dataset") -> Sheet:
    total = int((summary["status"].values == Status.DONE).sum())
    return Sheet(CELL, *cut(cells(summary), total, "cells"))


def _unmeasured(summary: "Dataset") -> Sheet:
    rows = unmeasured(summary)
    return Sheet(UNMEASURED, *cut(rows, len(rows), "kinds of failed and skipped cells"))


def _exponents(summary: "Dataset") -> Sheet:
    names, rows = exponents(summary)
    powers = ((f"p of {name}", "n") for name in names)
    columns = (("problem × policy", ""), ("estimator", ""), ("states", "n"), *powers)
    return Sheet(columns, *cut(rows, len(rows), "rows"))


def _counts(summary: "Dataset", ascent: "Dataset | None") -> list[tuple[str, int]]:
    status = summary["status"].values.ravel() if "status" in summary else np.zeros(0)
    if ascent is not None:
        # Runs that are not planned are not missing.
        own = ascent["ascent_status"].values.ravel()
        status = np.concatenate([status, own[own != Status.MISSING]])
    counts = [(code, int((status == code).sum())) for code in Status]
    return [
        ("measured" if code is Status.DONE else code.word, n)
        for code, n in counts
        if n or code is Status.DONE
    ]


def _sentences(summary: "Dataset", found: Sequence[Conformity]) -> list[str]:
    """What the run says, in plain words."""
    measured = [v for v in found if v.cells]
    if not measured:
        return ["No cell was measured, so there is nothing to say about the estimators."]
    answers = [v.answer for v in measured]
    judged = answers.count("yes") + answers.count("no")
    lines = [f"{answers.count('yes')} of {judged} estimators behave as they declare."]
    unjudged = [v.label for v in measured if v.answer not in ("yes", "no")]
    if unjudged:
        lines.append(f"Measured but not judged: {', '.join(unjudged)}.")
    lines += [f"{v.label}: {v.objection}." for v in measured if v.objection]
    lines += _checks(summary)
    biased = [v.label for v in measured if v.biased and v.rejected]
    if biased:
        lines.append(f"Declared biased, and seen to be: {', '.join(biased)}.")
    lines += _work(summary.attrs)
    return lines


def _checks(summary: "Dataset") -> Iterator[str]:
    """How measured means and variances compare with exact ones."""
    n_cells = int((summary["status"].values == Status.DONE).sum())
    for test, pair in (
        ("code_test_p_holm", "means were compared with exact expectations"),
        ("variance_test_p_holm", "variances were compared with exact variances"),
    ):
        p = summary[test].values
        if tested := int(np.isfinite(p).sum()):
            yield (
                f"Measured {pair} in {tested} of {n_cells} cells; the smallest p-value after"
                f" Holm's correction is {p_value(smallest(p))}."
            )
    normal = normal_means(summary)
    if tested := int(np.isfinite(normal).sum()):
        word = "do not follow" if smallest(normal) < TEST_LEVEL else "follow"
        yield (
            f"z-scores of means {word} the standard normal: smallest Holm p"
            f" {p_value(smallest(normal))} over {tested} estimators."
        )


def _work(attributes: Any) -> list[str]:
    steps, seconds = attributes.get("environment_steps"), attributes.get("wall_time_s")
    if not steps or not seconds:
        return []
    return [f"{number(steps)} environment steps in {number(seconds)} s of wall time."]
