"""How the report looks: theme, one colour, marker and line per estimator, labels that fit."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
import seaborn as sns
from matplotlib.colors import to_hex, to_rgb

from pgbench.declared.summary import AXES, in_words
from pgbench.problems import families
from pgbench.report.parameters import values_along, word

if TYPE_CHECKING:
    from xarray import Dataset

HUES = (
    "#0173b2",
    "#de8f05",
    "#029e73",
    "#d55e00",
    "#cc78bc",
    "#56b4e9",
    "#5a5a5a",
    "#8a9a00",
    "#8c2d04",
    "#542788",
    "#00b3b3",
    "#f768a1",
)
"""Seaborn's colour-blind palette without its pale colours, its grey darkened, and more hues."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
SHADES = (0.0, -0.4, 0.3)
"""Of the variants of an estimator: as it is, mixed with black, mixed with white."""

INK = "#222222"
GUIDE = "#b5b5b5"


@dataclass(frozen=True)
class Style:
    """Colour, marker and line of an estimator in every figure."""

    colour: str
    marker: str
    line: Any


@contextmanager
def theme() -> Iterator[None]:
    """Settings under which figures are made and saved; the caller's own are back afterwards."""
    settings: dict[str, Any] = {
        **sns.plotting_context("paper"),
        **sns.axes_style("ticks"),
        "axes.edgecolor": "#555555",
        "axes.grid": True,
        "axes.linewidth": 0.7,
        "axes.titlesize": 8.5,
        "axes.titley": 1.0,  # not searched for anew at every draw
        "axes.labelsize": 8.5,
        "errorbar.capsize": 0,
        "figure.constrained_layout.h_pad": 0.05,
        "figure.constrained_layout.w_pad": 0.05,
        "figure.facecolor": "white",
        "font.family": ["sans-serif"],
        "font.sans-serif": ["DejaVu Sans"],
        "grid.color": "#e9e9e9",
        "grid.linewidth": 0.6,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "lines.markersize": 4.2,
        "mathtext.fontset": "dejavusans",
        "savefig.dpi": 144,
        "svg.fonttype": "none",
        "svg.hashsalt": "pgbench",
        "text.hinting": "none",  # or a layout would hold at one resolution only
        "xtick.labelsize": 7.5,
        "xtick.major.size": 3,
        "xtick.major.width": 0.7,
        "xtick.minor.size": 0,
        "ytick.labelsize": 7.5,
        "ytick.major.size": 3,
        "ytick.major.width": 0.7,
        "ytick.minor.size": 0,
    }
    with matplotlib.rc_context(settings):  # type: ignore[arg-type]  # keys are checked at run time
        yield


def styles(summary: "Dataset") -> dict[str, Style]:
    """The style of every estimator of a run by label, whatever the order of the grid.

    Estimators of one name share a hue; variants of it differ in shade, line and marker.
    """
    names = dict(
        zip(
            map(str, summary["estimator"].values),
            map(str, summary["estimator_name"].values),
            strict=True,
        )
    )
    families = sorted(set(names.values()))
    found: dict[str, Style] = {}
    for label in sorted(names, key=lambda label: (names[label], label)):
        family = families.index(names[label])
        variant = sum(names[other] == names[label] for other in found)
        shade = SHADES[(variant + family // len(HUES)) % len(SHADES)]
        found[label] = Style(
            colour=mixed(HUES[family % len(HUES)], shade),
            marker=MARKERS[len(found) % len(MARKERS)],
            line=LINES[variant % len(LINES)],
        )
    return found


def looks(summary: "Dataset") -> list[Style]:
    """The styles of ``styles`` in the order of the grid."""
    found = styles(summary)
    return [found[str(label)] for label in summary["estimator"].values]


def mixed(colour: str, shade: float) -> str:
    """A colour mixed with white (shade > 0) or black."""
    target = 1.0 if shade > 0 else 0.0
    red, green, blue = (c + (target - c) * abs(shade) for c in to_rgb(colour))
    return to_hex((red, green, blue))


def problem_titles(data: "Dataset") -> dict[str, str]:
    """Short titles of problems by label: parameters that all of a kind share are left out.

    ``gymnasium[id=FrozenLake-v1]`` is called FrozenLake-v1.
    """
    kinds = [str(kind) for kind in data["family"].values]
    rows = values_along(data, "problem")
    called = [_called(kind, row) for kind, row in zip(kinds, rows, strict=True)]
    return dict(zip(map(str, data["problem"].values), _titles(called, rows), strict=True))


def policy_titles(data: "Dataset") -> list[str]:
    """Short titles of policies, with what else makes a setting, in their order."""
    if "policy_name" not in data.coords:
        return [str(label) for label in data["policy"].values]
    names = [str(name) for name in data["policy_name"].values]
    titles = _titles(names, values_along(data, "policy"))
    for axis in AXES:
        if axis in data.coords and len({*data[axis].values.tolist()}) > 1:
            others = (in_words(axis, own) for own in data[axis].values.tolist())
            titles = [", ".join(pair) for pair in zip(titles, others, strict=True)]
    return titles


def _titles(names: Sequence[str], rows: Sequence[dict[str, Any]]) -> list[str]:
    """Names, each with the parameters in which those of that name differ."""
    titles = []
    for name, row in zip(names, rows, strict=True):
        alike = [other for other, own in zip(rows, names, strict=True) if own == name]
        differing = [k for k in row if any(other.get(k) != row[k] for other in alike)]
        titles.append(", ".join([name, *(f"{k}={word(row[k])}" for k in differing)]))
    return titles


def _called(kind: str, values: dict[str, Any]) -> str:
    """The name of a problem, taken from its values where its family goes by one of them."""
    family = families().get(kind)
    return str(values.pop(family.named_by, kind)) if family and family.named_by else kind


def plain(text: str) -> str:
    """Text that matplotlib does not read as mathematics."""
    return text.replace("$", r"\$")


def shortened(text: str, width: int) -> str:
    """Text of at most ``width`` characters; what is left out is in the middle."""
    if len(text) <= width:
        return plain(text)
    return plain(f"{text[: width // 2]}…{text[len(text) - (width - width // 2 - 1) :]}")


def wrapped(text: str, width: int, lines: int = 3) -> str:
    """Text broken to lines of a width; what does not fit ends in an ellipsis."""
    words = " ".join(
        word if len(word) <= width else f"…{word[1 - width :]}" for word in text.split()
    )
    return plain(
        "\n".join(
            textwrap.wrap(words, width, max_lines=lines, placeholder=" …", break_on_hyphens=False)
        )
    )


def estimator_labels(labels: Sequence[str], marked: Mapping[str, bool]) -> list[str]:
    """Labels of one line for an axis, with a dagger where ``marked``."""
    return [shortened(label, 34) + (" †" if marked.get(label) else "") for label in labels]
