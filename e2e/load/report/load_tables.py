"""Tables V and VI: response time, memory and CPU under load, ours beside the paper's, and the cost of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from load.report import paper
from load.report.bootstrap import FEWEST_BLOCKS, Estimate, estimate_mean, estimate_ratio
from load.report.cells import (
    CPU,
    KIND_NAMES,
    MEASURES,
    MEMORY,
    NETWORK_NAMES,
    P95,
    Cells,
    Condition,
    Measure,
    Row,
    Way,
    explain_saturated,
    find_flask,
    find_row,
    list_rows,
    name_configuration,
    speaks,
)
from load.report.figures import TIMES, format_cell, format_ratio
from load.report.markup import (
    MISSING,
    NOTHING,
    Cell,
    render_grid,
    render_heading,
    render_paragraph,
    render_table,
)
from load.report.model_tables import label_row
from load.results import Configuration, ProfileTold


def render_load(cells: Cells, network: str, profile: ProfileTold, way: Way) -> str:
    """A table for each figure, under a heading; with what must be known of their rows."""
    condition = Condition(profile.name, way)
    rows = [
        row for row in list_rows(cells.results, network) if row.configuration is None or speaks(row.configuration, way)
    ]
    notes = [_explain_blocks(cells, rows, condition), *_explain_saturation(cells, rows, profile, way)]
    tables = [_render_measure(cells, network, rows, _Asked(condition, measure)) for measure in MEASURES]
    return (
        render_heading(f"{NETWORK_NAMES[network]}, {way.name}", 3)
        + "".join(render_paragraph(note, "note") for note in notes)
        + render_grid(tables)
    )


@dataclass(frozen=True)
class _Asked:
    """What a table tells: a figure under a condition."""

    condition: Condition
    measure: Measure


def ratio_to(
    cells: Cells, base: Configuration | None, made: Configuration, condition: Condition, measure: Measure
) -> Estimate | None:
    """How many times less this configuration takes than the base in the same blocks of the same sessions."""
    if base is None:
        return None
    mine = cells.measure(made.name, condition, measure)
    return estimate_ratio(cells.measure(base.name, condition, measure), mine)


def tell_no_ratio(
    cells: Cells, base: Configuration | None, made: Configuration | None, condition: Condition, measure: Measure
) -> Cell:
    """What stands in place of a ratio that there is none of."""
    sides = [side and cells.measure(side.name, condition, measure) for side in (base, made)]
    return UNPAIRED if all(sides) else MISSING


def _render_measure(cells: Cells, network: str, rows: Sequence[Row], asked: _Asked) -> str:
    measure, profile = asked.measure, asked.condition.profile
    bases = [find_row(cells.results, network, paper.WHOLE)]
    flask = find_flask(cells.results, network)
    with_flask = asked.condition.way.protocol == "rest"
    if with_flask:
        bases.append(flask)
    theirs = paper.KPIS.get(profile, {}) if network == paper.NETWORK and measure in _PAPER else {}
    lines = [
        [label_row(row), *_render_row(cells, row, asked, bases, theirs)]
        for row in rows
        if with_flask or row.label != KIND_NAMES["flask"]
    ]
    names = [*(["paper"] if theirs else []), "ours"]
    head = [
        ("", ["configuration"]),
        (f"{measure.title}, {measure.unit}", names),
        ("less than (0, 32)", names),
        *([("", ["less than Flask"])] if with_flask else []),
        ("", ["requests/s", "generator"]),
    ]
    table = paper.TABLE_NAMES.get(profile, "") if theirs else ""
    return render_table(f"{table}: {measure.title}".removeprefix(": "), head, lines)


def _render_row(
    cells: Cells,
    row: Row,
    asked: _Asked,
    bases: Sequence[Configuration | None],
    theirs: dict[paper.Setting, paper.Kpis],
) -> list[Cell]:
    """All columns but the first."""
    made, condition, measure = row.configuration, asked.condition, asked.measure
    state = "not run" if made is None else cells.state(made.name, condition)
    if made is None or state != "run":
        absent = Cell("void", kind="missing") if state == "void" else MISSING
        ours, ratios, tail = absent, [absent] * len(bases), [absent] * 2
    else:
        figure = estimate_mean(cells.measure(made.name, condition, measure))
        ours = NOT_MEASURED if figure is None else format_cell(figure, measure.digits)
        ratios = [ONE if base is made else _tell_ratio(cells, base, made, asked) for base in bases]
        tail = [_tell_load(cells, made, condition), _tell_generator(cells, made, condition)]
    beside = [_tell_paper(theirs, row, measure)] if theirs else []
    against = [_tell_paper_ratio(theirs, row, measure)] if theirs else []
    return [*beside, ours, *against, *ratios, *tail]


ONE = Cell(f"1{TIMES}", kind="missing")
UNPAIRED = Cell("no pair", "no block of a session in common", "missing")
NOT_MEASURED = Cell("not measured", kind="missing")
_PAPER = (P95, MEMORY, CPU)


def _tell_ratio(cells: Cells, base: Configuration | None, made: Configuration, asked: _Asked) -> Cell:
    ratio = ratio_to(cells, base, made, asked.condition, asked.measure)
    return format_ratio(ratio) if ratio else tell_no_ratio(cells, base, made, asked.condition, asked.measure)


def _read_paper(kpis: paper.Kpis, measure: Measure) -> float:
    return {P95: kpis.p95_milliseconds, MEMORY: kpis.memory_mebibytes, CPU: kpis.cpu_millicores}[measure]


def _tell_paper(theirs: dict[paper.Setting, paper.Kpis], row: Row, measure: Measure) -> Cell:
    if row.setting not in theirs:
        return NOTHING
    kpis = theirs[row.setting]
    spread = f"\N{PLUS-MINUS SIGN} {kpis.spread_milliseconds:.3f}" if measure is P95 else ""
    return Cell(f"{_read_paper(kpis, measure):.{2 if measure is P95 else 0}f}", spread)


def _tell_paper_ratio(theirs: dict[paper.Setting, paper.Kpis], row: Row, measure: Measure) -> Cell:
    if row.setting not in theirs:
        return NOTHING
    if row.setting == paper.WHOLE:
        return ONE
    return Cell(f"{_read_paper(theirs[paper.WHOLE], measure) / _read_paper(theirs[row.setting], measure):.2f}{TIMES}")


def _tell_load(cells: Cells, made: Configuration, condition: Condition) -> Cell:
    """Requests a second, and how many failed."""
    rate = cells.rate(made.name, condition)
    failed, _ = cells.failures(made.name, condition)
    if rate is None:
        return MISSING
    return Cell(f"{rate:.2f}", f"{failed:,} failed" if failed else "none failed", "bad" if failed else "")


def _tell_generator(cells: Cells, made: Configuration, condition: Condition) -> Cell:
    """The part of the node's processor time that the load itself took: the mean over runs, and the most."""
    shares = [run.generator_share_percent for run in cells.find(made.name, condition)]
    if not shares:
        return MISSING
    return Cell(f"{sum(shares) / len(shares):.1f} %", f"of the node, most {max(shares):.1f} %")


def _explain_blocks(cells: Cells, rows: Sequence[Row], condition: Condition) -> str:
    """Of how many blocks the figures are, and whether intervals can be given."""
    names = [row.configuration.name for row in rows if row.configuration is not None]
    counts = sorted({len(cells.find(name, condition)) for name in names} - {0})
    if not counts:
        return ""
    blocks = " or ".join(map(str, counts)) + (" block" if counts == [1] else " blocks")
    if counts[-1] < FEWEST_BLOCKS:
        return f"Of {blocks}: with fewer than {FEWEST_BLOCKS} no interval can be given, and none is."
    few = f" Where there are fewer than {FEWEST_BLOCKS} blocks there is none." if counts[0] < FEWEST_BLOCKS else ""
    return f"Geometric means over {blocks}; below each its 95 % interval.{few}"


def _explain_saturation(cells: Cells, rows: Sequence[Row], profile: ProfileTold, way: Way) -> list[str]:
    """Which rows were asked more than they bear, so that their latency is a queue's."""
    condition = Condition(profile.name, way)
    asked = [row.configuration for row in rows if row.configuration and cells.find(row.configuration.name, condition)]
    return [
        f"{name_configuration(made)} {why}: its response time is that of a queue. Targets compare at an equal rate that"
        " both bear."
        for made in asked
        if (why := explain_saturated(cells, made, condition))
    ]
