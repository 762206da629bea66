"""How pictures look: one style for a light and a dark page, one colour for each configuration, labels at the lines.

Orange is float32 and blue is quantised, darker to lighter with alpha on a light page: both hues are told apart by the
colour-blind, and every line has its name beside it anyway.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from load.results import Configuration

DPI = 160
COLOURS = 160
WIDTH_INCHES = 4.9
QUANTISED_BITS = 16
_GAP = 0.058
"""Between two labels, as part of an axis' height where the axis is three inches high."""


@dataclass(frozen=True)
class Theme:
    """Colours on a page.

    Attributes:
        paper: behind everything.
        ink: words.
        faint: what is read last.
        grid: lines behind the data.
        whole: of float32 by rising alpha.
        quantised: likewise of fewer bits.
        pruned: of ours whose channels are pruned as a whole.
        other: of TensorFlow Serving.
        alarm: failures.
    """

    name: str
    paper: str
    ink: str
    faint: str
    grid: str
    whole: tuple[str, ...]
    quantised: tuple[str, ...]
    pruned: str
    other: str
    alarm: str


LIGHT = Theme(
    "light",
    "#ffffff",
    "#1b1d21",
    "#5d646e",
    "#e3e5e8",
    ("#8a3a00", "#c75b00", "#ec8a2f"),
    ("#003b6b", "#0072b2", "#3fa0dc"),
    "#007a53",
    "#8f4f83",
    "#b3123a",
)
DARK = Theme(
    "dark",
    "#16181c",
    "#e8eaed",
    "#a0a7b1",
    "#33373d",
    ("#ffd3a6", "#ffa34f", "#e07b1a"),
    ("#c3e4fb", "#74bdf0", "#3c98d8"),
    "#5fd0a5",
    "#d79acb",
    "#ff6b81",
)
THEMES = (LIGHT, DARK)

Draw = Callable[[Theme], bytes]


def draw_both(name: str, draw: Draw) -> dict[str, bytes]:
    """The picture for a light page, and that for a dark one beside it."""
    return {f"{name}.png": draw(LIGHT), f"{name}-dark.png": draw(DARK)}


@contextmanager
def figure(theme: Theme, height_inches: float, rows: int = 1) -> Iterator[tuple[Any, list[Any], io.BytesIO]]:
    """A figure, its axes from top to bottom (one x axis for all), and where its PNG goes when it is left."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    png = io.BytesIO()
    with plt.rc_context(_style(theme)):
        made, axes = plt.subplots(
            rows, 1, figsize=(WIDTH_INCHES, height_inches), dpi=DPI, squeeze=False, sharex=True, layout="constrained"
        )
        try:
            yield made, [row[0] for row in axes], png
            _write_png(made, png)
        finally:
            plt.close(made)


def _write_png(made: Any, png: io.BytesIO) -> None:
    """Few colours, so that a page with all of its pictures stays small."""
    from PIL import Image

    made.canvas.draw()
    drawn = Image.fromarray(np.asarray(made.canvas.buffer_rgba())).convert("RGB")
    drawn.quantize(COLOURS, dither=Image.Dither.NONE).save(png, format="png", optimize=True)


def _style(theme: Theme) -> dict[str, Any]:
    return {
        "font.family": "DejaVu Sans",
        "font.size": 9.5,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.edgecolor": theme.faint,
        "axes.facecolor": theme.paper,
        "axes.labelcolor": theme.ink,
        "axes.titlecolor": theme.ink,
        "figure.facecolor": theme.paper,
        "grid.color": theme.grid,
        "grid.linewidth": 0.7,
        "text.color": theme.ink,
        "xtick.color": theme.faint,
        "ytick.color": theme.faint,
        "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink,
        "lines.solid_capstyle": "round",
    }


def colour_of(theme: Theme, made: Configuration, among: Sequence[Configuration]) -> str:
    """The same for a configuration in every picture of its network.

    Args:
        theme: of the page.
        made: whose colour.
        among: all of its network, which say how many alphas there are.
    """
    if made.kind == "flask":
        return theme.ink
    if made.kind != "modelpress":
        return theme.other
    if made.channel_sparsity:
        return theme.pruned
    shades = theme.quantised if made.bits <= QUANTISED_BITS else theme.whole
    alphas = sorted({each.alpha for each in among if each.kind == "modelpress"})
    return shades[min(alphas.index(made.alpha), len(shades) - 1)]


def line_style(made: Configuration) -> str:
    """Baselines are dashed."""
    return "-" if made.kind == "modelpress" else (0, (4, 2))  # type: ignore[return-value]


def label_lines(axis: Any, ends: Sequence[tuple[float, str, str]]) -> None:
    """Names to the right of an axis, each as near to its line's end as the others leave room for.

    Args:
        axis: with its limits and scale set.
        ends: (y of the line's end, name, colour).
    """
    height = axis.get_position().height * axis.figure.get_figheight()
    gap = _GAP * 3 / max(height, 0.5)
    wanted = sorted((float(_to_part(axis, y)), name, colour) for y, name, colour in ends)
    places = spread([place for place, _, _ in wanted], gap)
    for place, (_, name, colour) in zip(places, wanted, strict=True):
        axis.annotate(
            name,
            (1.0, place),
            xycoords="axes fraction",
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=8.5,
            annotation_clip=False,
        )


def _to_part(axis: Any, y: float) -> float:
    return float(axis.transAxes.inverted().transform(axis.transData.transform((axis.get_xlim()[0], y)))[1])


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Places at least a gap apart, in the same order and as near to what was given as that allows (least squares).

    Neighbours that are too near become a group around their mean; a group that would leave 0..1 is pushed into it.

    Args:
        places: ascending.
        gap: the least distance.
    """
    groups: list[tuple[float, int]] = []
    for number, place in enumerate(places):
        mean, size = place - number * gap, 1
        while groups and groups[-1][0] > mean:
            other, others = groups.pop()
            mean, size = (mean * size + other * others) / (size + others), size + others
        groups.append((mean, size))
    most = 1.0 - (len(places) - 1) * gap
    levels = [max(0.0, min(mean, most)) for mean, size in groups for _ in range(size)]
    return [level + number * gap for number, level in enumerate(levels)]


def format_plain(value: float, _: object = None) -> str:
    """A tick of a logarithmic axis without powers of ten."""
    return f"{value:,.10g}"
