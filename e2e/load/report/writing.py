"""Writes a report: report.html, and each of its pictures beside it."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from load.report import paper
from load.report.cells import Cells, Condition, list_networks
from load.report.conditions import condition_parts, list_conditions, picture_name
from load.report.cost import find_cost, has_prices
from load.report.drawing import draw_both
from load.report.latency_plots import Series, draw_over_time, draw_percentiles
from load.report.model_plots import draw_cost, draw_saturation, draw_sizes
from load.report.page import render_page
from load.report.scaling import draw_scaling, list_scaling
from load.results import Configuration, ProfileTold, Results, read_results
from load.samples import read_samples

REPORT_FILE = "report.html"

Drawn = Iterator[dict[str, bytes]]


def write_report(results_file: Path, folder: Path) -> Path:
    """Write the report into a folder, which is made where it is missing; returns the page's path.

    Args:
        results_file: results.json; the samples that it names lie beside it.
        folder: of the report.

    Raises:
        ResultsError: when the results cannot be read.
        SamplesError: when the samples of a run that counts cannot be read.
    """
    results = read_results(results_file)
    pictures = draw_pictures(results, results_file.parent)
    folder.mkdir(parents=True, exist_ok=True)
    for name, png in pictures.items():
        (folder / name).write_bytes(png)
    page = folder / REPORT_FILE
    page.write_text(render_page(results, pictures), encoding="utf-8")
    return page


def draw_pictures(results: Results, folder: Path) -> dict[str, bytes]:
    """Every picture there is something to draw for, each for a light and for a dark page."""
    cells = Cells(results)
    pictures: dict[str, bytes] = {}
    for drawn in (_draw_models(results), _draw_load(cells, folder), _draw_saturation(results), _draw_scaling(results)):
        for each in drawn:
            pictures |= each
    return pictures


def _own(results: Results, network: str) -> list[Configuration]:
    return [each for each in results.configurations if each.network == network]


def _draw_models(results: Results) -> Drawn:
    made = _own(results, paper.NETWORK)
    yield draw_both("size-accuracy", partial(draw_sizes, made=made))


def _draw_load(cells: Cells, folder: Path) -> Drawn:
    for network in list_networks(cells.results):
        for profile, condition in list_conditions(cells):
            parts = network, *condition_parts(condition)
            series = _read_series(cells, folder, network, condition)
            if series:
                yield from _draw_latency(parts, profile, series)
            yield from _draw_cost(cells, parts, network, condition)


def _read_series(cells: Cells, folder: Path, network: str, condition: Condition) -> list[Series]:
    """The samples of each configuration that has any."""
    found = []
    for made in _own(cells.results, network):
        runs = {run.block: read_samples(folder / run.samples) for run in cells.find(made.name, condition)}
        if any(len(samples.ok) for samples in runs.values()):
            found.append(Series(made, runs))
    return found


def _draw_latency(parts: tuple[str, ...], profile: ProfileTold, series: list[Series]) -> Drawn:
    yield draw_both(picture_name("latency", *parts), partial(draw_over_time, profile=profile, series=series))
    yield draw_both(picture_name("percentiles", *parts), partial(draw_percentiles, series=series))


def _draw_cost(cells: Cells, parts: tuple[str, ...], network: str, condition: Condition) -> Drawn:
    prices = cells.results.prices
    found = [(made, find_cost(cells, made, condition)) for made in _own(cells.results, network)]
    costs = [(made, cost) for made, cost in found if cost is not None]
    if has_prices(prices) and costs:
        yield draw_both(picture_name("cost", *parts), partial(draw_cost, costs=costs, currency=prices.currency))


def _draw_saturation(results: Results) -> Drawn:
    by_name = {each.name: each for each in results.configurations}
    for network in list_networks(results):
        own = _own(results, network)
        for protocol in sorted({each.protocol for each in results.saturation}):
            found = [
                each
                for each in results.saturation
                if each.protocol == protocol and each.configuration in {made.name for made in own} and each.steps
            ]
            if found:
                name = picture_name("saturation", network, protocol)
                yield draw_both(name, partial(draw_saturation, found=found, by_name=by_name, among=own))


def _draw_scaling(results: Results) -> Drawn:
    for number, scenario in enumerate(list_scaling(results), start=1):
        yield draw_both(f"scaling-{number}", partial(draw_scaling, scenario=scenario))
