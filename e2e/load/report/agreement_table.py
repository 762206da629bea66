"""Whether the client, Prometheus and the operator say the same of each figure. Pure."""

import statistics
from collections.abc import Sequence

from load.report.cells import NETWORK_NAMES, Cells, Condition, name_configuration, name_profile
from load.report.figures import format_significant
from load.report.markup import Cell, render_paragraph, render_table
from load.results import Agreement

_SOURCES = ("client", "prometheus", "operator")
_TITLES = {"client": "client", "jmeter": "JMeter", "prometheus": "Prometheus", "operator": "operator"}


def render_agreement(cells: Cells) -> str:
    """A line for each configuration, condition and figure: medians over blocks, and in how many runs they agree."""
    sources = _list_sources(cells)
    lines = []
    for made in cells.results.configurations:
        for profile in cells.results.profiles:
            for way in cells.ways:
                told: dict[str, list[Agreement]] = {}
                for run in cells.find(made.name, Condition(profile.name, way)):
                    for each in run.agreement:
                        told.setdefault(each.kpi, []).append(each)
                label = f"{NETWORK_NAMES[made.network]}, {name_configuration(made)}"
                under = f"{name_profile(profile)}, {way.name}"
                lines += [_render_line(label, under, kpi, each, sources) for kpi, each in told.items()]
    if not lines:
        return render_paragraph("Not run: no run compared its sources.")
    head = [
        ("", ["configuration", "under", "figure"]),
        ("median over blocks", [_TITLES.get(source, source) for source in sources]),
        ("", ["runs that agree", "when they agree"]),
    ]
    return render_table("Three sources for each figure", head, lines)


def count_agreement(cells: Cells) -> tuple[int, int]:
    """In how many comparisons the sources agree, of how many."""
    found = [each.within for run in cells.results.runs if run.void is None for each in run.agreement]
    return sum(found), len(found)


def _list_sources(cells: Cells) -> list[str]:
    found = {source for run in cells.results.runs for each in run.agreement for source in each.sources}
    return [*(source for source in _SOURCES if source in found), *sorted(found - set(_SOURCES))]


def _render_line(label: str, under: str, kpi: str, each: Sequence[Agreement], sources: Sequence[str]) -> list[Cell]:
    within = sum(one.within for one in each)
    return [
        Cell(label, kind="text"),
        Cell(under, kind="text"),
        Cell(kpi, kind="text"),
        *(_tell([one.sources.get(source) for one in each]) for source in sources),
        Cell(f"{within} of {len(each)}", kind="good" if within == len(each) else "bad"),
        Cell(each[-1].tolerance, kind="text"),
    ]


def _tell(values: Sequence[float | None]) -> Cell:
    known = [value for value in values if value is not None]
    return Cell(format_significant(statistics.median(known), 4)) if known else Cell("not measured", kind="missing")
