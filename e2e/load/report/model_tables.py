"""Tables II to IV: zeros, sizes and accuracies of the models, ours beside the paper's. Pure."""

from load.report import paper
from load.report.cells import NETWORK_NAMES, Row, find_row, list_rows
from load.report.figures import TIMES, format_bytes
from load.report.markup import MISSING, NOTHING, Cell, render_grid, render_heading, render_table
from load.results import Configuration, Results


def _name_table(number: str, what: str, *, beside: bool) -> str:
    """The paper's number where the table is of the paper's network."""
    return f"Table {number}: {what}" if beside else f"{what[0].upper()}{what[1:]}"


UNTRAINED = Cell("untrained", kind="missing")


def render_models(results: Results, network: str) -> str:
    """The three tables of one network; the paper's columns where it is the paper's network."""
    rows = [row for row in list_rows(results, network) if row.setting is not None]
    whole = find_row(results, network, paper.WHOLE)
    beside = network == paper.NETWORK
    tables = [_render_zeros(rows, beside), _render_sizes(rows, whole, beside), _render_accuracies(rows, whole, beside)]
    return render_heading(NETWORK_NAMES[network], 3) + render_grid(tables)


def label_row(row: Row) -> Cell:
    """The first column: which row, and whether it was trained."""
    untrained = row.configuration is not None and row.setting is not None and not row.configuration.trained
    return Cell(row.label, "untrained" if untrained else "", "text")


def _theirs(values: dict[paper.Setting, float], row: Row, beside: bool, text: str) -> list[Cell]:
    """The paper's column, where the table has one."""
    if not beside:
        return []
    return [Cell(text.format(values[row.setting])) if row.setting in values else NOTHING]


def _render_zeros(rows: list[Row], beside: bool) -> str:
    lines = []
    for row in rows:
        made = row.configuration
        known = made is not None and made.zeros_percent is not None
        note = "of initial weights" if known and made is not None and not made.trained else ""
        ours = Cell(f"{made.zeros_percent:.2f} %", note) if made is not None and known else MISSING
        lines.append([label_row(row), *_theirs(paper.ZEROS_PERCENT, row, beside, "{:.2f} %"), ours])
    head = [("", ["configuration"]), ("", [*(["paper"] if beside else []), "ours"])]
    return render_table(_name_table("II", "weights that are zero", beside=beside), head, lines)


def _render_sizes(rows: list[Row], whole: Configuration | None, beside: bool) -> str:
    lines = []
    for row in rows:
        made = row.configuration
        if made is None or made.artifact_bytes is None:
            ours = [MISSING] * 4
        else:
            ours = [
                Cell(format_bytes(made.artifact_bytes)),
                _divide(whole.artifact_bytes if whole else None, made.artifact_bytes),
                _divide(made.uncompressed_bytes, made.artifact_bytes),
                _tell_bits(made),
            ]
        size, against_whole, *others = ours
        their_ratio = [_divide(paper.MEGABYTES[paper.WHOLE], paper.MEGABYTES.get(_setting(row)))] if beside else []
        lines.append(
            [
                label_row(row),
                *_theirs(paper.MEGABYTES, row, beside, "{:.2f} MB"),
                size,
                *their_ratio,
                against_whole,
                *others,
            ]
        )
    names = [*(["paper"] if beside else []), "ours"]
    head = [
        ("", ["configuration"]),
        ("size", names),
        ("smaller than (0, 32)", names),
        ("", ["smaller than float32", "bits a weight"]),
    ]
    return render_table(_name_table("III", "size of the artifact", beside=beside), head, lines)


def _setting(row: Row) -> paper.Setting:
    return row.setting or paper.WHOLE


def _divide(above: float | None, below: float | None) -> Cell:
    return Cell(f"{above / below:.2f}{TIMES}") if above and below else NOTHING


def _tell_bits(made: Configuration) -> Cell:
    if made.bits_per_weight is None:
        return NOTHING
    entropy = made.entropy_bits_per_weight
    return Cell(f"{made.bits_per_weight:.3f}", "" if entropy is None else f"entropy {entropy:.3f}")


def _render_accuracies(rows: list[Row], whole: Configuration | None, beside: bool) -> str:
    lines = []
    for row in rows:
        made = row.configuration
        ours, change = MISSING, MISSING
        if made is not None and made.quality_percent is None:
            ours = change = Cell("not measured", kind="missing") if made.trained else UNTRAINED
        elif made is not None and made.quality_percent is not None:
            ours = Cell(f"{made.quality_percent:.2f} %")
            base = whole.quality_percent if whole else None
            change = NOTHING if base is None else Cell(f"{made.quality_percent - base:+.2f}")
        theirs = paper.ACCURACY_PERCENT.get(_setting(row)) if beside else None
        their_change = [] if not beside else [NOTHING if theirs is None else _points(theirs)]
        lines.append(
            [label_row(row), *_theirs(paper.ACCURACY_PERCENT, row, beside, "{:.2f} %"), ours, *their_change, change]
        )
    names = [*(["paper"] if beside else []), "ours"]
    head = [("", ["configuration"]), ("accuracy", names), ("points against (0, 32)", names)]
    return render_table(_name_table("IV", "accuracy", beside=beside), head, lines)


def _points(accuracy: float) -> Cell:
    return Cell(f"{accuracy - paper.ACCURACY_PERCENT[paper.WHOLE]:+.2f}")
