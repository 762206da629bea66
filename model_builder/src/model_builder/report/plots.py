"""The report's pictures, as PNG bytes."""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from string import ascii_uppercase
from typing import Any

import numpy as np

from model_artifact.manifest import Epoch, Quality
from model_builder.errors import BuildError
from model_builder.masters import Histogram
from model_builder.published import ANCHORS
from model_builder.report.subject import Levels, Subject

_DPI = 120
_BLUE, _ORANGE, _GREEN, _GREY = "#1f5fa8", "#d9720a", "#2a8a4a", "#707070"
_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "svg.hashsalt": "modelpress",
}
_MANY_EPOCHS = 25
_MOST_BARS = 512
_FEW_WEIGHTS = 20_000
_LABELLED_CLASSES = 20


def _load_pyplot() -> Any:
    try:
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise BuildError(
            "the report is drawn by matplotlib, which is not installed here; install modelpress-builder[report]"
        ) from error
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    return plt


@contextmanager
def _figure(width: float, height: float, columns: int = 1, rows: int = 1) -> Iterator[tuple[Any, Any, io.BytesIO]]:
    """A figure, its axes as an array of (rows, columns), and where its PNG goes when it is left."""
    pyplot = _load_pyplot()
    png = io.BytesIO()
    with pyplot.rc_context(_STYLE):
        figure, axes = pyplot.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained")
        try:
            yield figure, axes, png
            figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
        finally:
            pyplot.close(figure)


def draw_curves(curve: Sequence[Epoch], learnt: str = "accuracy", unit: str = "percent") -> bytes:
    """What is learnt, on training, held-out and test images, and the share of zeros, by epoch.

    Args:
        curve: of the training.
        learnt: what it measures.
        unit: percent, or that of the targets.
    """
    epochs = [entry.epoch for entry in curve]
    marker = "o" if len(epochs) <= _MANY_EPOCHS else ""
    lines: list[tuple[str, str, list[float | None]]] = [
        ("training images, as they were trained", _GREY, [entry.quality for entry in curve]),
        ("held-out images", _GREEN, [entry.validation_quality for entry in curve]),
        ("test images", _BLUE, [entry.test_quality for entry in curve]),
    ]
    with _figure(9, 3.4, columns=2) as (_, axes, png):
        left, right = axes[0]
        for label, colour, values in lines:
            if None not in values:
                left.plot(epochs, values, color=colour, label=label, marker=marker, markersize=4)
        named, title = f"{learnt}{', %' if unit == 'percent' else ''}", f"{learnt[0].upper()}{learnt[1:]}"
        left.set(xlabel="epoch", ylabel=named, title=f"{title} with the compressed weights")
        left.legend(fontsize=8)
        right.plot(epochs, [e.zeros_percent for e in curve], color=_ORANGE, marker=marker, markersize=4)
        right.set(xlabel="epoch", ylabel="weights that are zero, %", title="Sparsity", ylim=(-2, 102))
        for axis in (left, right):
            axis.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
            axis.xaxis.get_major_locator().set_params(integer=True)
    return png.getvalue()


def draw_histograms(levels: Sequence[Levels], masters: dict[str, Histogram] | None, caption: str) -> bytes:
    """Each shown kernel before (float masters) and after (code x step), one below the other (paper 000, fig. 2)."""
    with _figure(9, 2.3 * len(levels) + 0.4, columns=2, rows=len(levels)) as (figure, axes, png):
        for row, level in enumerate(levels):
            before, after = axes[row]
            kept = (masters or {}).get(level.name)
            span = max(
                [*([_span(level)] if level.in_steps else []), *([abs(kept.smallest), kept.largest] if kept else [])]
            )
            _draw_before(before, kept)
            _draw_after(after, level)
            for axis in (before, after) if level.in_steps else (before,):
                axis.set(xlim=(-1.05 * span, 1.05 * span))
            before.set_ylabel(f"{level.name}\n{level.total:,} weights", fontsize=8)
        axes[0][0].set_title("before: float masters")
        axes[0][1].set_title(f"after: {caption}")
        axes[-1][0].set_xlabel("value of the weight")
        axes[-1][1].set_xlabel("value of the weight" if levels[-1].in_steps else "code")
        figure.align_ylabels()
    return png.getvalue()


def _span(level: Levels) -> float:
    return float(np.abs(level.values).max(initial=0)) or 1.0


def _draw_before(axis: Any, kept: Histogram | None) -> None:
    if kept is None:
        axis.text(0.5, 0.5, "not kept", transform=axis.transAxes, ha="center", va="center", color=_GREY)
        axis.set_yticks([])
        return
    counts = np.array(kept.counts)
    if counts.sum() < _FEW_WEIGHTS and len(counts) % 3 == 0:
        counts = counts.reshape(-1, 3).sum(axis=1)
    axis.stairs(counts, np.linspace(kept.smallest, kept.largest, len(counts) + 1), fill=True, color=_BLUE)


def _draw_after(axis: Any, level: Levels) -> None:
    """A bar for each value but zero; zeros would hide all others, so that they are told in words."""
    nonzero = level.values != 0
    values, counts = level.values[nonzero], level.counts[nonzero]
    if len(values) > _MOST_BARS:
        axis.hist(values, bins=201, weights=counts, color=_ORANGE)
    elif len(values):
        levels = 2 * _span(level) / np.diff(level.values).min(initial=2 * _span(level))
        axis.vlines(values, 0, counts, color=_ORANGE, linewidth=float(np.clip(250 / levels, 0.9, 5)))
        axis.set_ylim(0, 1.35 * counts.max())
    text = f"zero: {level.zeros:,} ({100 * level.zeros / level.total:.1f} %), not drawn\nother values: {len(values):,}"
    if not level.in_steps:
        text += "\ncodes: each channel has a step of its own"
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}
    axis.text(0.98, 0.95, text, transform=axis.transAxes, ha="right", va="top", fontsize=8, bbox=box)


def draw_confusion(quality: Quality, of: str = "images") -> bytes:
    """How often each class (row) was taken for each class (column), in percent of the row (paper 000, fig. 5)."""
    matrix = np.array(quality.confusion, float)
    names = quality.class_names or tuple(str(label) for label in range(len(matrix)))
    shares = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = max(4.2, 0.52 * len(names) + 1.6)
    with _figure(side + 0.9, side) as (figure, axes, png):
        axis = axes[0][0]
        axis.grid(visible=False)
        image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axis.set_yticks(range(len(names)), names)
        axis.set(xlabel="answer", ylabel="label")
        if len(names) <= _LABELLED_CLASSES:
            _write_shares(axis, shares)
        figure.colorbar(image, ax=axis, label=f"% of the label's {of}", shrink=0.8)
    return png.getvalue()


def _write_shares(axis: Any, shares: Any) -> None:
    for row, column in np.ndindex(shares.shape):
        colour = "white" if shares[row, column] > 55 else "black"
        axis.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=8)


def draw_layers(subject: Subject) -> bytes:
    """Zeros, bits a weight with their entropy, and stored bytes of each kernel."""
    stored = {tensor.name: tensor for tensor in subject.facts.tensors}
    layers = [layer for layer in subject.made.layers if layer.name in stored]
    names = [layer.name.removesuffix("/kernel") for layer in layers]
    weights = np.array([np.prod(layer.shape) for layer in layers], float)
    sizes = np.array([stored[layer.name].stored_bytes for layer in layers], float)
    places = np.arange(len(layers))
    with _figure(9.5, 0.28 * len(layers) + 1.4, columns=3) as (_, axes, png):
        zeros, bits, kilobytes = axes[0]
        zeros.barh(
            places, [100 * layer.zeros / size for layer, size in zip(layers, weights, strict=True)], color=_ORANGE
        )
        zeros.set(xlim=(0, 100), xlabel="%", title="weights that are zero")
        bits.barh(places, 8 * sizes / weights, color=_BLUE)
        entropies = [layer.entropy_bits_per_weight for layer in layers]
        if None not in entropies:
            bits.plot(entropies, places, "|", color=_ORANGE, markersize=12, markeredgewidth=2)
        bits.set(xlabel="bits (mark: entropy)", title="bits a weight, stored")
        kilobytes.barh(places, sizes / 1000, color=_GREEN)
        kilobytes.set(xlabel="kB", title="stored bytes")
        zeros.set_yticks(places, names, fontsize=8)
        for axis in (zeros, bits, kilobytes):
            axis.invert_yaxis()
        for axis in (bits, kilobytes):
            axis.set_yticks(places, [])
    return png.getvalue()


def draw_frontier(subjects: Sequence[Subject]) -> bytes:
    """Accuracy of the deployed form against the bytes of the artifact, among published results.

    Args:
        subjects: those whose accuracy is one on CIFAR-10's images.
    """
    anchors = [anchor for anchor in ANCHORS if anchor.counts == "file"]
    with _figure(10.5, 5.4) as (figure, axes, png):
        axis = axes[0][0]
        key = []
        for number, anchor in enumerate(anchors, start=1):
            paper = anchor.name.startswith("Paper")
            place = anchor.kilobytes, anchor.accuracy_percent
            colour = _BLUE if paper else _GREY
            axis.plot(*place, "s" if paper else "o", color=colour, markersize=6)
            _label(axis, str(number), place, colour, fontsize=8)
            key.append((f"{number}  {anchor.name}", colour))
        for number, subject in enumerate(subjects):
            place = subject.facts.size_bytes / 1000, _deployed(subject)
            letter = ascii_uppercase[number % len(ascii_uppercase)]
            axis.plot(*place, "*", color=_ORANGE, markersize=15, zorder=3)
            _label(axis, letter, place, _ORANGE, fontsize=11)
            key.append((f"{letter}  {subject.name}", _ORANGE))
        axis.set_xscale("log")
        axis.set(xlabel="bytes of the whole file, kB (log)", ylabel="accuracy, %")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        _draw_key(figure, key)
    return png.getvalue()


def _deployed(subject: Subject) -> float:
    return subject.made.quality.deployed if subject.made.quality is not None else math.nan


def _label(axis: Any, text: str, place: tuple[float, float], colour: str, fontsize: int) -> None:
    axis.annotate(text, place, textcoords="offset points", xytext=(5, 4), fontsize=fontsize, color=colour)


def _draw_key(figure: Any, key: Sequence[tuple[str, str]]) -> None:
    """The names of what is numbered, to the right of the plot."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], linestyle="", label=text) for text, _ in key]
    legend = figure.legend(handles=handles, loc="outside right upper", fontsize=8, frameon=False, handlelength=0)
    for entry, (_, colour) in zip(legend.get_texts(), key, strict=True):
        entry.set_color(colour)
