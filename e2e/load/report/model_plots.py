"""Pictures of size against accuracy, of throughput against p95, and of what a thousand requests cost."""

from collections.abc import Mapping, Sequence
from typing import Any

from load.report import paper
from load.report.cells import name_briefly, name_setting
from load.report.cost import Cost
from load.report.drawing import Theme, colour_of, figure, format_plain, label_lines, line_style
from load.results import Configuration, Saturation, SaturationStep


def draw_sizes(theme: Theme, made: Sequence[Configuration]) -> bytes:
    """Accuracy against the file's size: the paper's six points, and ours that were trained.

    Args:
        theme: of the page.
        made: ours, of the paper's network.
    """
    told = [each for each in made if each.quality_percent is not None and each.artifact_bytes]
    # Neighbours by accuracy, whose names would lie on each other, take turns above and below.
    ours = sorted(told, key=lambda each: (each.quality_percent or 0.0, each.artifact_bytes or 0))
    with figure(theme, 3.7) as (_, axes, png):
        axis = axes[0]
        axis.set_xscale("log")
        for setting in paper.SETTINGS:
            place = paper.MEGABYTES[setting], paper.ACCURACY_PERCENT[setting]
            axis.plot(*place, "s", color=theme.faint, markerfacecolor=theme.paper, markersize=6)
            _name_point(axis, name_setting(setting), place, theme.faint, _SIDES.get(setting, _RIGHT))
        for number, each in enumerate(ours):
            place = (each.artifact_bytes or 0) / 1e6, each.quality_percent or 0.0
            axis.plot(*place, "o", color=colour_of(theme, each, made), markersize=8)
            _name_point(
                axis, f"ours, {name_briefly(each)}", place, colour_of(theme, each, made), (_ABOVE, _BELOW)[number % 2]
            )
        low, high = axis.get_xlim()
        axis.set_xlim(low * 0.4, high * 1.6)
        axis.xaxis.set_major_formatter(format_plain)
        axis.set(xlabel="size of the file, MB (log); squares: the paper", ylabel="accuracy on the test images, %")
        axis.margins(y=0.12)
    return png.getvalue()


_RIGHT, _LEFT = (7, 0, "left"), (-7, 0, "right")
_ABOVE, _BELOW = (0, 10, "center"), (0, -11, "center")
_SIDES = {(0.0, 8): _LEFT, (1.25, 8): _LEFT, (1.25, 32): _BELOW}
"""Where the name stands that would lie on a neighbour's point."""


def _name_point(axis: Any, text: str, place: tuple[float, float], colour: str, side: tuple[float, float, str]) -> None:
    right, up, align = side
    axis.annotate(
        text,
        place,
        xytext=(right, up),
        textcoords="offset points",
        ha=align,
        va="center",
        fontsize=8.5,
        color=colour,
    )


def draw_saturation(
    theme: Theme, found: Sequence[Saturation], by_name: Mapping[str, Configuration], among: Sequence[Configuration]
) -> bytes:
    """p95 against the requests answered a second, step by step; the last rate that was borne is a ring.

    Args:
        theme: of the page.
        found: of one network by one protocol.
        by_name: the configurations.
        among: all of the network, for their colours.
    """
    ends = []
    with figure(theme, 3.7) as (_, axes, png):
        axis = axes[0]
        axis.set_yscale("log")
        for each in found:
            made = by_name[each.configuration]
            colour = colour_of(theme, made, among)
            steps = list_drawn(each)
            rates = [step.achieved for step in steps]
            waits = [step.p95_milliseconds or 0.0 for step in steps]
            axis.plot(rates, waits, color=colour, linestyle=line_style(made), linewidth=1.7)
            for step, rate, wait in zip(steps, rates, waits, strict=True):
                borne = each.requests_per_second is not None and step.rate <= each.requests_per_second
                last = step.rate == each.requests_per_second
                axis.plot(rate, wait, _marker(step.failures), color=colour, markersize=9 if last else 4.5)
                axis.lines[-1].set_markerfacecolor(colour if borne and not last else theme.paper)
            if steps:
                ends.append((waits[-1], name_briefly(made), colour))
        axis.yaxis.set_major_formatter(format_plain)
        axis.yaxis.set_minor_formatter(lambda *_: "")
        axis.set(xlabel="requests answered a second", ylabel="p95 response time, ms (log)")
        axis.set_xlim(left=0)
        axis.figure.draw_without_rendering()
        label_lines(axis, ends)
    return png.getvalue()


def list_drawn(found: Saturation) -> list[SaturationStep]:
    """The steps that count and were answered, by their rates: the search goes up and down among them."""
    counted = [step for step in found.steps if step.void is None and step.p95_milliseconds is not None]
    return sorted(counted, key=lambda step: step.rate)


def _marker(failures: int) -> str:
    return "X" if failures else "o"


def draw_cost(theme: Theme, costs: Sequence[tuple[Configuration, Cost]], currency: str) -> bytes:
    """A bar a configuration: what the CPU of a thousand requests costs, and lighter behind it their memory."""
    among = [made for made, _ in costs]
    with figure(theme, 0.9 + 0.36 * len(costs)) as (_, axes, png):
        axis = axes[0]
        most = max((cost.whole for _, cost in costs), default=1.0) or 1.0
        for place, (made, cost) in enumerate(costs):
            colour = colour_of(theme, made, among)
            axis.barh(place, cost.cpu, color=colour, height=0.62)
            axis.barh(place, cost.memory, left=cost.cpu, color=colour, alpha=0.45, height=0.62)
            text = f"{cost.whole / most:.2f} of the dearest" if cost.whole < most else "the dearest"
            axis.annotate(
                text, (cost.whole, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8.5
            )
        axis.set_yticks(range(len(costs)), [name_briefly(made) for made, _ in costs])
        axis.invert_yaxis()
        axis.grid(visible=False, axis="y")
        axis.set_xlim(0, 1.45 * most)
        axis.xaxis.set_major_locator(_few_ticks())
        axis.xaxis.set_major_formatter(format_plain)
        axis.set(xlabel=f"{currency} for 1,000 requests; full: CPU, pale: memory")
    return png.getvalue()


def _few_ticks() -> object:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)
