"""Targets as ratios within one experiment: VGG-16 at (1.25, 8) against TensorFlow in float32 behind Flask. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from load.report import paper
from load.report.bootstrap import Estimate
from load.report.cells import (
    CPU_A_REQUEST,
    MEMORY,
    P95,
    Cells,
    Condition,
    Measure,
    find_flask,
    find_row,
    find_saturation,
    list_rows,
    name_profile,
)
from load.report.figures import TIMES, format_interval
from load.report.load_tables import ratio_to
from load.report.markup import MISSING, Cell, render_table
from load.results import Configuration


@dataclass(frozen=True)
class Target:
    """What is to be reached.

    Attributes:
        measure: of a run.
        at_least: how many times less than the baseline.
        aim: what would be better still.
        paper: how many times the paper says.
    """

    measure: Measure
    at_least: float
    aim: float
    paper: float


TARGETS = (Target(P95, 6, 8, 1.8), Target(MEMORY, 6, 8, 1.71), Target(CPU_A_REQUEST, 6, 8, 1.46))
SIZE_AT_LEAST, SIZE_PAPER = 14, 5.6


def judge_ratio(found: Estimate | None, at_least: float) -> Cell:
    """Met or missed, and whether the noise could turn it over."""
    if found is None:
        return MISSING
    met = found.value >= at_least
    if found.low is None or found.high is None:
        return Cell("met" if met else "missed", "no interval", "good" if met else "bad")
    if met:
        return Cell("met", "" if found.low >= at_least else "not beyond the noise", "good")
    return Cell("missed", "" if found.high < at_least else "within the noise", "bad")


def render_targets(cells: Cells) -> str:
    """A line a target and condition, with what was reached."""
    lines = [*_compare_runs(cells), _compare_size(cells), *_count_failures(cells), *_tell_saturation(cells)]
    head = [("", ["target", "reached", "wanted", "verdict"])]
    return render_table("VGG-16 at (1.25, 8) against TensorFlow float32 behind Flask", head, lines)


def _conditions(cells: Cells) -> list[tuple[str, Condition]]:
    """Each profile, REST: the Flask pod speaks nothing else."""
    ways = [way for way in cells.ways if way.protocol == "rest"]
    return [
        (f"{name_profile(profile)}, {way.name}", Condition(profile.name, way))
        for profile in cells.results.profiles
        for way in ways
    ]


def _ours(cells: Cells) -> Configuration | None:
    return find_row(cells.results, paper.NETWORK, paper.SMALLEST)


def _compare_runs(cells: Cells) -> Iterator[list[Cell]]:
    ours, flask = _ours(cells), find_flask(cells.results, paper.NETWORK)
    for target in TARGETS:
        for name, condition in _conditions(cells):
            found = None if ours is None else ratio_to(cells, flask, ours, condition, target.measure)
            yield [
                Cell(f"{target.measure.title}, times less", name, "text"),
                MISSING if found is None else Cell(f"{found.value:.2f}{TIMES}", format_interval(found, 2), "strong"),
                Cell(
                    f"at least {target.at_least:g}{TIMES}",
                    f"aim {target.aim:g}{TIMES}, paper {target.paper}{TIMES}",
                    "text",
                ),
                judge_ratio(found, target.at_least),
            ]


def _compare_size(cells: Cells) -> list[Cell]:
    """Artifact against artifact: the float32 one is stored without loss, and smaller than its weights."""
    ours, whole = _ours(cells), find_row(cells.results, paper.NETWORK, paper.WHOLE)
    ratio = None
    if ours is not None and whole is not None and ours.artifact_bytes and whole.artifact_bytes:
        ratio = whole.artifact_bytes / ours.artifact_bytes
    reached = MISSING if ratio is None else Cell(f"{ratio:.2f}{TIMES}", "no noise", "strong")
    exact = None if ratio is None else Estimate(ratio, ratio, ratio, 1)
    untrained = ours is not None and not ours.trained
    return [
        Cell("Size, times smaller than (0, 32)", "artifact's file" + (", untrained" if untrained else ""), "text"),
        reached,
        Cell(f"at least {SIZE_AT_LEAST}{TIMES}", f"paper {SIZE_PAPER}{TIMES}", "text"),
        judge_ratio(exact, SIZE_AT_LEAST),
    ]


def _count_failures(cells: Cells) -> Iterator[list[Cell]]:
    """Of all our configurations of the network, by profile and way."""
    rows = list_rows(cells.results, paper.NETWORK)
    ours = [row.configuration for row in rows if row.configuration and row.setting is not None]
    for profile in cells.results.profiles:
        for way in cells.ways:
            counts = [cells.failures(made.name, Condition(profile.name, way)) for made in ours]
            failed, requests = (sum(numbers) for numbers in zip(*counts, strict=True)) if counts else (0, 0)
            met = not failed
            yield [
                Cell("Failed requests, all six of ours", f"{name_profile(profile)}, {way.name}", "text"),
                Cell(f"{failed:,}", f"of {requests:,}", "strong") if requests else MISSING,
                Cell("none", kind="text"),
                Cell("met" if met else "missed", kind="good" if met else "bad") if requests else MISSING,
            ]


def _tell_saturation(cells: Cells) -> Iterator[list[Cell]]:
    """No target, but what the comparison stands on."""
    for name, made in (("ours", _ours(cells)), ("Flask", find_flask(cells.results, paper.NETWORK))):
        most = None if made is None else find_saturation(cells.results, made.name, "rest")
        yield [
            Cell(f"Saturation, {name}", "flat rates, REST", "text"),
            MISSING if most is None else Cell(f"{most:.4g}", "requests/s", "strong"),
            Cell("stated", kind="text"),
            MISSING if most is None else Cell("stated"),
        ]
