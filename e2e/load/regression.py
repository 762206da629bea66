"""`python -m load.regression OLD.json NEW.json`: whether an experiment found less than the one before it.

Judges what the targets are about: p95, CPU a request and memory of the most compressed configuration, by profile and
way, and the size of every artifact. The noise is what both measured themselves: blocks of each are resampled on their
own, and the interval of new over old holds for all that is judged together. That is a dozen figures: with all of the
hundred and fifty that there are the intervals of three blocks would be so wide that nothing was ever seen. The others
stand in the table and raise no alarm. A regression is an interval that lies wholly beyond the margin; a judged figure
that only the old one has; or failed requests, of any configuration of ours, beyond those of the old one's worst block.
The table tells how much worse a figure would have to be for this noise to show it.

Exit status: 0 no regression, 1 a regression, 2 the two cannot be compared.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

from load.report import paper
from load.report.bootstrap import CONFIDENCE, FEWEST_BLOCKS, Blocks, Estimate, estimate_change, geometric_mean
from load.report.cells import CPU_A_REQUEST, MEMORY, P95, Cells, Condition, Way, setting_of
from load.results import Configuration, ProfileTold, Provenance, Results, ResultsError, read_results

MARGIN_PERCENT = 5.0
MEASURES = (P95, MEMORY, CPU_A_REQUEST)

Verdict = Literal["regression", "improved", "same", "not told apart", "too few blocks", "not judged"]


class IncomparableError(Exception):
    """Two experiments cannot stand beside each other; one sentence with what to do."""


@dataclass(frozen=True)
class Compared:
    """One figure in both experiments.

    Attributes:
        configuration: its name.
        condition: profile and way; empty of a size.
        figure: its title and unit.
        old: geometric mean.
        new: likewise.
        change: new over old.
        verdict: of the change.
    """

    configuration: str
    condition: str
    figure: str
    old: float
    new: float
    change: Estimate
    verdict: Verdict

    def visible_percent(self, margin_percent: float) -> float | None:
        """How much worse it would have to be to be seen as a regression; None where no noise is known."""
        if self.change.low is None:
            return None
        return 100 * ((1 + margin_percent / 100) * self.change.value / self.change.low - 1)


def compare_results(old: Results, new: Results, margin_percent: float = MARGIN_PERCENT) -> list[Compared]:
    """Every figure that both have.

    Args:
        old: the experiment to compare with.
        new: the one to judge.
        margin_percent: how much more is no regression yet.

    Raises:
        IncomparableError: when the machines differ, or nothing was run by both.
    """
    _check_machines(old.provenance, new.provenance)
    pairs = list(_list_pairs(old, new))
    sizes = list(_compare_sizes(old, new, margin_percent))
    if not pairs and not sizes and not list_worse(old, new, margin_percent):
        raise IncomparableError("no configuration was run by both under the same profile: name two of the same kind")
    judged = _choose_judged(old, new)
    number = sum(pair.configuration in judged for pair in pairs)
    confidence = 1 - (1 - CONFIDENCE) / max(1, number)
    found = [_compare(pair, confidence, margin_percent) for pair in pairs]
    return [*(each if each.configuration in judged else replace(each, verdict="not judged") for each in found), *sizes]


def _choose_judged(old: Results, new: Results) -> set[str]:
    """Ours at the smallest setting of the paper's network, or of the others where that one is not in both."""
    alike = [each for each in _list_alike(old, new) if each.kind == "modelpress"]
    smallest = [each for each in alike if setting_of(each) == paper.SMALLEST] or alike
    return {each.name for each in smallest if each.network == paper.NETWORK} or {each.name for each in smallest}


@dataclass(frozen=True)
class _Pair:
    configuration: str
    condition: str
    figure: str
    old: Blocks
    new: Blocks


def _check_machines(old: Provenance, new: Provenance) -> None:
    told = [f"{place.hardware}, {place.cores} cores, {place.memory_gi_b:.0f} GiB" for place in (old, new)]
    if told[0] != told[1]:
        raise IncomparableError(
            f"the machines differ (old: {told[0]}; new: {told[1]}): compare two experiments of the same machine"
        )


def _list_pairs(old: Results, new: Results) -> Iterator[_Pair]:
    before, after = Cells(old), Cells(new)
    for made, condition in _list_cells(old, new, after.ways):
        for measure in MEASURES:
            sides = [cells.measure(made.name, condition, measure) for cells in (before, after)]
            if all(sides):
                under = f"{condition.profile}, {condition.way.name}"
                yield _Pair(made.name, under, f"{measure.title}, {measure.unit}", *sides)


def _list_shared(old: Results, new: Results) -> list[ProfileTold]:
    """The profiles that both have."""
    return [profile for profile in new.profiles if profile in old.profiles]


def _list_alike(old: Results, new: Results) -> list[Configuration]:
    """The new experiment's configurations that the old one deployed in the same way."""
    before = {each.name: _describe(each) for each in old.configurations}
    return [each for each in new.configurations if before.get(each.name) == _describe(each)]


def _describe(made: Configuration) -> tuple[object, ...]:
    return made.network, setting_of(made), made.kind, made.trained, made.cpu_limit, made.memory_limit


def list_left_out(old: Results, new: Results) -> list[str]:
    """What one of the two has and the comparison has not, so that a run that vanished does not pass for a good one."""
    alike = {each.name for each in _list_alike(old, new)}
    profiles = _list_shared(old, new)
    names = {each.name for each in (*old.configurations, *new.configurations)} - alike
    other_profiles = {each.name for each in (*old.profiles, *new.profiles)} - {each.name for each in profiles}
    before, after = Cells(old), Cells(new)
    lost = [
        f"{name} ({profile.name}, {way.name})"
        for name in sorted(alike)
        for profile in profiles
        for way in before.ways
        if before.find(name, Condition(profile.name, way)) and not after.find(name, Condition(profile.name, way))
    ]
    return [*sorted(names), *(f"profile {name}" for name in sorted(other_profiles)), *lost]


_LACKS = {"run": "no run has it", "void": "every run is void", "not run": "it was not run"}


def list_worse(old: Results, new: Results, margin_percent: float = MARGIN_PERCENT) -> list[str]:
    """Regressions that no interval shows, in words: judged figures that are gone, and requests that fail."""
    before, after = Cells(old), Cells(new)
    judged = _choose_judged(old, new)
    found = []
    for made, condition in _list_cells(old, new, [way for way in before.ways if way in after.ways]):
        under = f"{made.name} ({condition.profile}, {condition.way.name})"
        if made.name in judged and (gone := _list_gone(before, after, made.name, condition)):
            state = _LACKS[after.state(made.name, condition)]
            found.append(f"{under}: no {' and no '.join(gone)}, which the old one has; {state}")
        failed, requests = after.failures(made.name, condition)
        worst = _find_worst_share(before, made.name, condition)
        if made.kind != "modelpress" or worst is None:
            continue
        if failed > (1 + margin_percent / 100) * worst * requests:
            found.append(
                f"{under}: {failed} of {requests} requests failed; before at most {worst:.2%} of a block's did"
            )
    return found


def _list_cells(old: Results, new: Results, ways: Sequence[Way]) -> Iterator[tuple[Configuration, Condition]]:
    """Each configuration that both deployed, under each profile that both have, asked in each of these ways."""
    for made, profile, way in product(_list_alike(old, new), _list_shared(old, new), ways):
        yield made, Condition(profile.name, way)


def _list_gone(before: Cells, after: Cells, name: str, condition: Condition) -> list[str]:
    """Titles of the figures of a cell that only the old one has."""
    return [
        measure.title
        for measure in MEASURES
        if before.measure(name, condition, measure) and not after.measure(name, condition, measure)
    ]


def _find_worst_share(cells: Cells, name: str, condition: Condition) -> float | None:
    """The largest share of a block's requests that failed; None where nothing was run."""
    runs = [run for run in cells.find(name, condition) if run.requests]
    return max((sum(run.failures.values()) / run.requests for run in runs), default=None)


def _compare(pair: _Pair, confidence: float, margin_percent: float) -> Compared:
    change = estimate_change(pair.old, pair.new, confidence)
    if change is None:
        raise IncomparableError(f"{pair.configuration} has nothing of {pair.figure} ({pair.condition}): run it again")
    verdict, means = judge(change, margin_percent), (geometric_mean(pair.old), geometric_mean(pair.new))
    return Compared(pair.configuration, pair.condition, pair.figure, *means, change, verdict)


def _compare_sizes(old: Results, new: Results, margin_percent: float) -> Iterator[Compared]:
    """A size has no noise: its interval is a point."""
    for made in _list_alike(old, new):
        before = old.find_configuration(made.name)
        if before is None or not before.artifact_bytes or not made.artifact_bytes:
            continue
        ratio = made.artifact_bytes / before.artifact_bytes
        change = Estimate(ratio, ratio, ratio, FEWEST_BLOCKS)
        verdict = judge(change, margin_percent)
        yield Compared(made.name, "", "Size, bytes", before.artifact_bytes, made.artifact_bytes, change, verdict)


def judge(change: Estimate, margin_percent: float) -> Verdict:
    """A regression only where the whole interval is beyond the margin; less is better."""
    most = 1 + margin_percent / 100
    if change.low is None or change.high is None:
        return "too few blocks"
    if change.low > most:
        return "regression"
    if change.high < 1 / most:
        return "improved"
    return "same" if 1 / most <= change.low and change.high <= most else "not told apart"


def format_table(compared: Sequence[Compared], margin_percent: float = MARGIN_PERCENT) -> str:
    """Plain text, in columns; regressions first."""
    rows = [_HEAD, *(_format_row(each, margin_percent) for each in sort_worst_first(compared))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def format_markdown(
    compared: Sequence[Compared], sentence: str, margin_percent: float = MARGIN_PERCENT, worse: Sequence[str] = ()
) -> str:
    """For a CI job's summary: the sentence, what changed, and the rest folded away."""
    changed = [each for each in sort_worst_first(compared) if each.verdict in {"regression", "improved"}]
    others = [each for each in sort_worst_first(compared) if each not in changed]
    parts = ["## Load: compared with the last experiment", sentence, *(f"**Regression:** {each}" for each in worse)]
    if changed:
        parts.append(_format_markdown_table(changed, margin_percent))
    if others:
        title = f"<details><summary>{len(others)} without a change that can be told</summary>"
        parts += [title, _format_markdown_table(others, margin_percent), "</details>"]
    return "\n\n".join(parts) + "\n"


def _format_markdown_table(compared: Sequence[Compared], margin_percent: float) -> str:
    rows = [_HEAD, ("---",) * len(_HEAD), *(_format_row(each, margin_percent) for each in compared)]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows)


_HEAD = ("configuration", "under", "figure", "old", "new", "new/old", "interval", "sees from", "blocks", "verdict")
_ORDER: dict[Verdict, int] = {
    "regression": 0,
    "improved": 1,
    "not told apart": 2,
    "too few blocks": 3,
    "same": 4,
    "not judged": 5,
}


def sort_worst_first(compared: Sequence[Compared]) -> list[Compared]:
    """Regressions, the largest first; then what improved, what cannot be told, and the rest."""
    return sorted(compared, key=lambda each: (_ORDER[each.verdict], -each.change.value))


def _format_row(each: Compared, margin_percent: float) -> tuple[str, ...]:
    change, visible = each.change, each.visible_percent(margin_percent)
    exact = each.figure.startswith("Size")
    interval = "none" if change.low is None or change.high is None else f"{change.low:.3f} to {change.high:.3f}"
    return (
        each.configuration,
        each.condition or "-",
        each.figure,
        f"{each.old:,.0f}" if exact else f"{each.old:,.3f}",
        f"{each.new:,.0f}" if exact else f"{each.new:,.3f}",
        f"{change.value:.3f}",
        "exact" if exact else interval,
        "-" if visible is None else f"+{visible:.0f} %",
        "-" if exact else str(change.blocks),
        each.verdict,
    )


def format_sentence(compared: Sequence[Compared], margin_percent: float, left_out: Sequence[str] = ()) -> str:
    """What came of it, how it was judged, and what only one of the two has."""
    visible = [
        found
        for each in compared
        if each.condition and each.verdict != "not judged" and (found := each.visible_percent(margin_percent))
    ]
    seen = f" It would have seen a figure worse by {min(visible):.0f} to {max(visible):.0f} %." if visible else ""
    counts = {verdict: sum(each.verdict == verdict for each in compared) for verdict in _ORDER}
    told = ", ".join(f"{number} {verdict}" for verdict, number in counts.items() if number)
    return (
        f"{len(compared)} comparisons: {told}. A regression is an interval of new/old wholly beyond"
        f" {1 + margin_percent / 100:g}; the intervals hold in {CONFIDENCE:.0%} of cases for all that is judged."
        + seen
        + (f" Not in both, or not alike: {', '.join(left_out)}." if left_out else "")
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare two files, print the table; the exit status is the module's."""
    parser = argparse.ArgumentParser(prog="load.regression", description="Compare two load experiments.")
    parser.add_argument("old", type=Path, help="results.json to compare with")
    parser.add_argument("new", type=Path, help="results.json to judge")
    parser.add_argument("--margin-percent", type=float, default=MARGIN_PERCENT, help="no regression yet (default 5)")
    parser.add_argument("--markdown", type=Path, help="append a summary in Markdown to this file")
    options = parser.parse_args(arguments)
    try:
        old, new = read_results(options.old), read_results(options.new)
        compared = compare_results(old, new, options.margin_percent)
        worse = list_worse(old, new, options.margin_percent)
    except (ResultsError, IncomparableError) as error:
        print(error, file=sys.stderr)
        return 2
    sentence = format_sentence(compared, options.margin_percent, list_left_out(old, new))
    print(f"{format_table(compared, options.margin_percent)}\n{sentence}")
    for each in worse:
        print(f"regression: {each}")
    if options.markdown is not None:
        with options.markdown.open("a", encoding="utf-8") as out:
            out.write(format_markdown(compared, sentence, options.margin_percent, worse))
    return 1 if worse or any(each.verdict == "regression" for each in compared) else 0


if __name__ == "__main__":
    sys.exit(main())
