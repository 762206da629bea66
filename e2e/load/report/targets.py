"""Targets as ratios within one experiment: VGG-16 at (1.25, 8) against TensorFlow in float32 behind Flask. Pure.

Where channels were pruned as a whole at (1.25, 8), that configuration has a table of its own.
"""

from collections.abc import Iterator, Sequence
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
    explain_saturated,
    find_flask,
    find_row,
    find_saturation,
    list_rows,
    name_profile,
)
from load.report.figures import TIMES, format_interval
from load.report.load_tables import ratio_to, tell_no_ratio
from load.report.markup import MISSING, Cell, render_table
from load.results import Configuration, Saturation
from load.saturation import format_rate, is_borne


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
    """For each of ours that is judged a table: a line a target and condition, with what was reached."""
    rows = [row for row in list_rows(cells.results, paper.NETWORK) if row.setting]
    pruned = [row.configuration for row in rows if row.setting[:2] == paper.SMALLEST and row.setting[2:]]
    judged = [find_row(cells.results, paper.NETWORK, paper.SMALLEST), *pruned]
    return "".join(_render_targets_of(cells, ours) for ours in judged)


def _render_targets_of(cells: Cells, ours: Configuration | None) -> str:
    lines = [
        *_compare_runs(cells, ours),
        *_compare_at_equal_rate(cells, ours),
        _compare_size(cells, ours),
        _tell_saved_model(cells, ours),
        *_count_failures(cells, ours),
        *_tell_saturation(cells, ours),
    ]
    head = [("", ["target", "reached", "wanted", "verdict"])]
    share = ours.channel_sparsity if ours else 0
    pruned = f", {100 * share:g} % of its channels pruned," if share else ""
    return render_table(f"VGG-16 at (1.25, 8){pruned} against TensorFlow float32 behind Flask", head, lines)


def _conditions(cells: Cells) -> list[tuple[str, Condition]]:
    """Each profile, REST: the Flask pod speaks nothing else."""
    ways = [way for way in cells.ways if way.protocol == "rest"]
    return [
        (f"{name_profile(profile)}, {way.name}", Condition(profile.name, way))
        for profile in cells.results.profiles
        for way in ways
    ]


def _compare_runs(cells: Cells, ours: Configuration | None) -> Iterator[list[Cell]]:
    """Where a side was asked more than it bears, the row says so and is not judged: its figures are a queue's."""
    flask = find_flask(cells.results, paper.NETWORK)
    for target in TARGETS:
        for name, condition in _conditions(cells):
            found = None if ours is None else ratio_to(cells, flask, ours, condition, target.measure)
            sides = (("ours", ours), ("Flask", flask))
            over = [side for side, made in sides if made and explain_saturated(cells, made, condition)]
            none = tell_no_ratio(cells, flask, ours, condition, target.measure)
            verdict = judge_ratio(found, target.at_least) if found else none
            yield [
                Cell(f"{target.measure.title}, times less", name, "text"),
                _tell_ratio(found) if found else none,
                _tell_wanted(target),
                Cell("saturated", f"{' and '.join(over)}; not judged") if over and found else verdict,
            ]


def _tell_ratio(found: Estimate | None) -> Cell:
    return MISSING if found is None else Cell(f"{found.value:.2f}{TIMES}", format_interval(found, 2), "strong")


def _tell_wanted(target: Target) -> Cell:
    aim = f"aim {target.aim:g}{TIMES}, paper {target.paper}{TIMES}"
    return Cell(f"at least {target.at_least:g}{TIMES}", aim, "text")


@dataclass(frozen=True)
class EqualRate:
    """The highest flat rate that two configurations were both seen to bear.

    Attributes:
        requests_per_second: of both.
        ours_milliseconds: our p95 at it.
        theirs_milliseconds: the other's.
    """

    requests_per_second: float
    ours_milliseconds: float
    theirs_milliseconds: float


def find_equal_rate(ours: Saturation | None, theirs: Saturation | None) -> EqualRate | None:
    """None where there is no such rate, or one was not searched."""
    if ours is None or theirs is None:
        return None
    mine, others = _list_borne(ours), _list_borne(theirs)
    shared = max(mine.keys() & others.keys(), default=None)
    return None if shared is None else EqualRate(shared, mine[shared], others[shared])


def _list_borne(found: Saturation) -> dict[float, float]:
    """p95 by rate, of the steps that were borne."""
    unloaded = found.steps[0].p95_milliseconds if found.steps else None
    if unloaded is None:
        return {}
    return {step.rate: step.p95_milliseconds or 0.0 for step in found.steps if is_borne(step, unloaded)}


def _compare_at_equal_rate(cells: Cells, made: Configuration | None) -> Iterator[list[Cell]]:
    """p95 at a flat rate that neither side queues at; once each, so that there is no interval."""
    sides = [made, find_flask(cells.results, paper.NETWORK)]
    ours, flask = (None if side is None else find_saturation(cells.results, side.name, "rest") for side in sides)
    found = find_equal_rate(ours, flask)
    (target,) = (each for each in TARGETS if each.measure is P95)
    if found is None:
        under, ratio, told = "equal flat rate that both bear, REST", None, MISSING
    else:
        under = f"{found.requests_per_second:.4g} requests/s, always, which both bear, REST"
        value = found.theirs_milliseconds / found.ours_milliseconds
        ratio = Estimate(value, None, None, 1)
        both = f"{found.ours_milliseconds:.2f} and {found.theirs_milliseconds:.2f} ms"
        told = Cell(f"{value:.2f}{TIMES}", both, "strong")
    head = Cell(f"{target.measure.title}, times less", under, "text")
    yield [head, told, _tell_wanted(target), judge_ratio(ratio, target.at_least)]


def _compare_size(cells: Cells, ours: Configuration | None) -> list[Cell]:
    """Artifact against artifact: the float32 one is stored without loss, and smaller than its weights."""
    whole = find_row(cells.results, paper.NETWORK, paper.WHOLE)
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


def _tell_saved_model(cells: Cells, ours: Configuration | None) -> list[Cell]:
    """Beside it, what the baseline has on its disk: TensorFlow's own folder, not compressed."""
    flask = find_flask(cells.results, paper.NETWORK)
    ratio = None
    if ours is not None and flask is not None and ours.artifact_bytes and flask.saved_model_bytes:
        ratio = flask.saved_model_bytes / ours.artifact_bytes
    return [
        Cell("Size, times smaller than the SavedModel", "float32, the files on the Flask pod's disk", "text"),
        MISSING if ratio is None else Cell(f"{ratio:.2f}{TIMES}", "no noise", "strong"),
        Cell("stated", kind="text"),
        MISSING if ratio is None else Cell("stated"),
    ]


def _count_failures(cells: Cells, ours: Configuration | None) -> Iterator[list[Cell]]:
    """By profile and way, of the configuration that is judged; beside it, of all of the network that are ours."""
    rows = list_rows(cells.results, paper.NETWORK)
    every = [row.configuration for row in rows if row.configuration and row.setting is not None]
    for profile in cells.results.profiles:
        for way in cells.ways:
            condition, under = Condition(profile.name, way), f"{name_profile(profile)}, {way.name}"
            failed, requests = _sum_failures(cells, [ours] if ours else [], condition)
            told, met = _tell_failures(failed, requests), not failed
            verdict = Cell("met" if met else "missed", kind="good" if met else "bad") if requests else MISSING
            yield [Cell("Failed requests", under, "text"), told, Cell("none", kind="text"), verdict]
            told = _tell_failures(*_sum_failures(cells, every, condition))
            stated = Cell("stated", kind="text")
            yield [Cell("Failed requests, all of ours", under, "text"), told, stated, stated if requests else MISSING]


def _sum_failures(cells: Cells, made: Sequence[Configuration], condition: Condition) -> tuple[int, int]:
    """Failed requests, and all."""
    counts = [cells.failures(each.name, condition) for each in made]
    return sum(failed for failed, _ in counts), sum(requests for _, requests in counts)


def _tell_failures(failed: int, requests: int) -> Cell:
    return Cell(f"{failed:,}", f"of {requests:,}", "strong") if requests else MISSING


def _tell_saturation(cells: Cells, ours: Configuration | None) -> Iterator[list[Cell]]:
    """No target, but what the comparison stands on."""
    for name, made in (("ours", ours), ("Flask", find_flask(cells.results, paper.NETWORK))):
        found = None if made is None else find_saturation(cells.results, made.name, "rest")
        yield [
            Cell(f"Saturation, {name}", "flat rates, REST", "text"),
            MISSING if found is None else Cell(format_rate(found), "requests/s", "strong"),
            Cell("stated", kind="text"),
            MISSING if found is None else Cell("stated"),
        ]
