"""Pictures of response times: over the time of the run with its users behind, and by percentile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from load.report.cells import name_briefly
from load.report.drawing import Theme, colour_of, figure, format_plain, label_lines, line_style
from load.results import Configuration, ProfileTold
from load.samples import Samples

WINDOWS = 24
"""Parts of a run whose percentile makes the line over time."""
_USERS_HEIGHT = 0.8
"""Of the panel, where all users are there."""
_FEWEST_IN_WINDOW = 20
_MOST_NINES = 4
_TICKS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """What one configuration gave under one condition.

    Attributes:
        made: the configuration.
        runs: the samples of each block.
    """

    made: Configuration
    runs: Mapping[int, Samples]

    @property
    def answered_milliseconds(self) -> Floats:
        """Of all blocks, ascending."""
        found = [samples.latency_milliseconds[samples.ok] for samples in self.runs.values()]
        return np.sort(np.concatenate(found)) if found else np.array([])


def draw_over_time(theme: Theme, profile: ProfileTold, series: Sequence[Series]) -> bytes:
    """A panel a configuration: each request a dot, each run's p95 a line, the profile's users a grey shape behind."""
    among = [each.made for each in series]
    answered = [each.answered_milliseconds for each in series]
    known = np.concatenate([values for values in answered if len(values)] or [np.array([1.0, 10.0])])
    limits = max(0.1, float(known.min()) * 0.7), float(known.max()) * 1.5
    with figure(theme, 0.9 + 1.25 * len(series), rows=len(series)) as (made, axes, png):
        for axis, each in zip(axes, series, strict=True):
            _draw_users(axis, theme, profile)
            _draw_run_dots(axis, each, colour_of(theme, each.made, among))
            _draw_failures(axis, theme, each)
            axis.set_yscale("log")
            axis.set(xlim=(0, profile.seconds), ylim=limits)
            axis.yaxis.set_major_formatter(format_plain)
            axis.yaxis.set_minor_locator(_no_ticks())
            axis.set_title(_title(each), color=colour_of(theme, each.made, among), fontweight="bold")
        axes[-1].set_xlabel("seconds from the start of the run")
        made.supylabel("response time, ms (log)", fontsize=9.5, color=theme.ink)
    return png.getvalue()


def _title(each: Series) -> str:
    failed = sum(int((~samples.ok).sum()) for samples in each.runs.values())
    requests = sum(len(samples.ok) for samples in each.runs.values())
    runs = f"{len(each.runs)} run{'s' if len(each.runs) != 1 else ''}"
    return f"{name_briefly(each.made)}: {runs}, {requests:,} requests, {failed:,} failed"


def _draw_users(axis: Any, theme: Theme, profile: ProfileTold) -> None:
    """Behind the dots, on a scale of its own that the right edge names."""
    seconds, numbers = zip(*profile.points, strict=True)
    heights = [_USERS_HEIGHT * number / max(*numbers, 1) for number in numbers]
    behind = axis.get_xaxis_transform()
    axis.fill_between(seconds, heights, color=theme.faint, alpha=0.17, linewidth=0, transform=behind, zorder=0)
    style = {"transform": axis.transAxes, "va": "center", "color": theme.faint, "fontsize": 8}
    axis.text(1.01, _USERS_HEIGHT, f"{profile.users:g}\nusers", **style)
    axis.text(1.01, 0.0, "0", **style)


def _draw_run_dots(axis: Any, each: Series, colour: str) -> None:
    for samples in each.runs.values():
        axis.plot(
            samples.planned_seconds[samples.ok],
            samples.latency_milliseconds[samples.ok],
            linestyle="",
            marker="o",
            markersize=1.3,
            markeredgewidth=0,
            color=colour,
            alpha=0.28,
        )
    for samples in each.runs.values():
        axis.plot(*find_windows(samples), color=colour, linewidth=1.4)


def find_windows(samples: Samples) -> tuple[Floats, Floats]:
    """p95 of the answered requests in equal parts of the run, at their middles; nan where few were sent."""
    if not len(samples.planned_seconds):
        return np.array([]), np.array([])
    edges = np.linspace(0.0, float(samples.planned_seconds.max()) + 1e-9, WINDOWS + 1)
    values = []
    for begin, end in pairwise(edges.tolist()):
        part = samples.during(begin, end)
        latencies = part.latency_milliseconds[part.ok]
        values.append(np.percentile(latencies, 95) if len(latencies) >= _FEWEST_IN_WINDOW else np.nan)
    return (edges[:-1] + edges[1:]) / 2, np.array(values)


def _draw_failures(axis: Any, theme: Theme, each: Series) -> None:
    """Crosses on the upper edge: a failure has no response time."""
    moments = [moment for samples in each.runs.values() for moment in samples.planned_seconds[~samples.ok]]
    if not moments:
        return
    places = [0.96] * len(moments)
    axis.plot(
        moments, places, "x", color=theme.alarm, markersize=4, transform=axis.get_xaxis_transform(), clip_on=False
    )


def draw_percentiles(theme: Theme, series: Sequence[Series]) -> bytes:
    """How long so many of a hundred requests waited at most; the rarest to the right, a nine a step."""
    among = [each.made for each in series]
    ends = []
    most = max([count_nines(len(each.answered_milliseconds)) for each in series] or [2.0])
    with figure(theme, 3.7) as (_, axes, png):
        axis = axes[0]
        axis.set_yscale("log")
        for each in series:
            waits = each.answered_milliseconds
            if not len(waits):
                continue
            colour = colour_of(theme, each.made, among)
            steps, values = find_percentiles(waits)
            axis.plot(steps, values, color=colour, linestyle=line_style(each.made), linewidth=1.7)
            ends.append((float(values[-1]), name_briefly(each.made), colour))
        axis.set_xlim(0, most)
        ticks = [tick for tick in _TICKS if place_of(tick) <= most]
        axis.set_xticks([place_of(tick) for tick in ticks], [f"{tick:g}" for tick in ticks])
        axis.yaxis.set_major_formatter(format_plain)
        axis.yaxis.set_minor_formatter(format_plain)
        axis.yaxis.set_minor_locator(_some_ticks())
        axis.tick_params(axis="y", which="minor", labelsize=8)
        axis.set(xlabel="percentile of the answered requests (each step a nine)", ylabel="response time, ms (log)")
        axis.figure.draw_without_rendering()
        label_lines(axis, ends)
    return png.getvalue()


def _no_ticks() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _some_ticks() -> Any:
    from matplotlib.ticker import LogLocator

    return LogLocator(subs=(2.0, 5.0))


def place_of(percent: float) -> float:
    """Where a percentile stands on the axis: 90 at 1, 99 at 2, 99.9 at 3."""
    return float(-np.log10(1 - percent / 100))


def count_nines(requests: int) -> float:
    """How far so many requests reach on the axis."""
    return float(min(_MOST_NINES, np.log10(max(requests, 10))))


def find_percentiles(ascending: Floats) -> tuple[Floats, Floats]:
    """Places on the axis and the wait at each; no further than the requests reach."""
    steps = np.linspace(0.0, count_nines(len(ascending)), 400)
    ranks = np.clip(np.ceil((1 - 10**-steps) * len(ascending)).astype(int) - 1, 0, len(ascending) - 1)
    return steps, ascending[ranks]
