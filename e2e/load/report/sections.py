"""The page's parts below the tables: response times, saturation, scaling, and how it was made. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from load.report.cells import NETWORK_NAMES, PROTOCOL_NAMES, Cells, find_flask, find_saturation
from load.report.conditions import condition_parts, list_conditions, name_condition, picture_name
from load.report.figures import TIMES
from load.report.markup import (
    MISSING,
    NOT_RUN,
    NOTHING,
    Cell,
    Pictures,
    render_facts,
    render_grid,
    render_heading,
    render_list,
    render_paragraph,
    render_picture,
    render_section,
    render_table,
)
from load.report.scaling import Scaling, list_scaling
from load.results import Results, Saturation
from load.saturation import format_rate

_INTERVALS = (
    "A figure is the geometric mean over blocks. A ratio is taken within each block of a session, where both sides met"
    " the same state of the machine, and then averaged. Intervals are of 95 %: whole blocks are resampled, 4,000 times,"
    " and the spread is multiplied by Student's quantile, since the plain percentiles of three blocks would hold the"
    " true value in three cases of four only. Requests of one run are not independent of each other and are never"
    " resampled. Void runs are in no figure."
)


def render_latency(cells: Cells, networks: Sequence[str], pictures: Pictures) -> str:
    """Response times by percentile and over time."""
    over_time, by_percentile = [], []
    for network in networks:
        for profile, condition in list_conditions(cells):
            title = f"{NETWORK_NAMES[network]}, {name_condition(profile, condition)}"
            parts = network, *condition_parts(condition)
            over_time.append(
                render_picture(
                    f"{picture_name('latency', *parts)}.png",
                    pictures,
                    f"{title}: a dot a request, a line a run (p95 of a twenty-fourth of the run); grey: users.",
                )
            )
            by_percentile.append(
                render_picture(
                    f"{picture_name('percentiles', *parts)}.png",
                    pictures,
                    f"{title}: percentiles of all blocks together.",
                )
            )
    grids = render_grid(by_percentile), render_grid(over_time)
    missing = render_paragraph("" if any(grids) else NOT_RUN)
    return render_section(
        "latency",
        "Response times",
        missing,
        render_heading("By percentile", 3),
        grids[0],
        render_heading("Over time", 3),
        grids[1],
    )


def render_saturation(results: Results, networks: Sequence[str], pictures: Pictures) -> str:
    """The highest rates that were borne."""
    if not results.saturation:
        return render_section("saturation", "Saturation", render_paragraph(NOT_RUN))
    lines = [
        [
            Cell(found.configuration, kind="text"),
            Cell(PROTOCOL_NAMES[found.protocol]),
            Cell(format_rate(found)),
            render_gain(results, made.network, found),
            Cell(str(len(found.steps))),
        ]
        for made in results.configurations
        for found in results.saturation
        if found.configuration == made.name
    ]
    rules = sorted({found.rule for found in results.saturation})
    protocols = sorted({found.protocol for found in results.saturation}, reverse=True)
    drawn = [
        render_picture(
            f"{picture_name('saturation', network, protocol)}.png",
            pictures,
            f"{NETWORK_NAMES[network]}, {PROTOCOL_NAMES[protocol]}: a step of flat load a point; ring: the last"
            " that was borne, hollow: no longer borne, cross: some failed.",
        )
        for network in networks
        for protocol in protocols
    ]
    table = render_table(
        "The highest flat rate that was borne",
        [("", ["configuration", "protocol", "requests/s", "more than Flask", "steps"])],
        lines,
    )
    return render_section(
        "saturation",
        "Saturation",
        *(render_paragraph(f"Rule: {rule}.", "note") for rule in rules),
        table,
        render_grid(drawn),
    )


def render_gain(results: Results, network: str, found: Saturation) -> Cell:
    """How many times the rate of the network's Flask pod was borne; nothing where its limit is not known."""
    flask = find_flask(results, network)
    beside = find_saturation(results, flask.name, found.protocol) if flask is not None else None
    if beside is None or beside.at_least or not beside.requests_per_second or found.requests_per_second is None:
        return NOTHING
    gain = found.requests_per_second / beside.requests_per_second
    return Cell(("at least " if found.at_least else "") + f"{gain:.2f}{TIMES}")


def render_scaling(results: Results, pictures: Pictures) -> str:
    """Replicas against load, and what else was done beyond the two profiles."""
    scenarios = list_scaling(results)
    parts = [
        render_heading("Replicas against load", 3),
        render_paragraph("" if scenarios else "Not run: no run had an autoscaler."),
        render_grid([_render_scenario(number, each, pictures) for number, each in enumerate(scenarios, start=1)]),
        render_heading("Scale-out against size", 3),
        _render_entries("Pod created, ready, first answer", results.startup),
        render_heading("Models a node", 3),
        _render_entries("How many fit", results.density),
    ]
    return render_section("scaling", "Scaling", *parts)


def _render_scenario(number: int, each: Scaling, pictures: Pictures) -> str:
    facts = [
        f"Scaled on {each.metric}." if each.metric else "",
        "" if each.followed_seconds is None else f"Replicas followed in {each.followed_seconds:.4g} s.",
        "" if each.came_back_seconds is None else f"They came back in {each.came_back_seconds:.4g} s.",
        "" if each.recovered_ratio is None else f"p95 came back to {each.recovered_ratio:.2f} times its value before.",
        "" if each.failures is None else f"{each.failures:,} requests failed.",
        f"Missed: {'; '.join(each.missed)}." if each.missed else "",
        f"Void, it counts for nothing: {each.void}." if each.void else "",
    ]
    return render_picture(
        f"scaling-{number}.png", pictures, " ".join(fact for fact in (f"{each.name}.", *facts) if fact)
    )


def _render_entries(title: str, entries: Sequence[dict[str, Any]]) -> str:
    """A table of what a scenario wrote, its names as they are."""
    if not entries:
        return render_paragraph(NOT_RUN)
    names = list(dict.fromkeys(_flat_names(entries)))
    lines = [[_render_figure(entry.get(name, "")) for name in names] for entry in entries]
    return render_table(title, [("", names)], lines)


def _render_figure(value: Any) -> Cell:
    return MISSING if value is None else Cell(str(value), kind="text")


def _flat_names(entries: Sequence[dict[str, Any]]) -> Iterable[str]:
    return (name for entry in entries for name, value in entry.items() if not isinstance(value, dict | list))


def _tell_sessions(results: Results) -> dict[str, str]:
    """The blocks whose runs are of several sessions, so that not all of them are pairs; nothing where there is none."""
    sessions: dict[int, set[str]] = {}
    for run in results.runs:
        if run.void is None:
            sessions.setdefault(run.block, set()).add(run.session or "one that is not told")
    told = [
        f"block {block} ({', '.join(sorted(found))})" for block, found in sorted(sessions.items()) if len(found) > 1
    ]
    return {"several sessions": f"{'; '.join(told)}: only runs of one session are paired"} if told else {}


def render_provenance(results: Results) -> str:
    """All that is needed to repeat it, and how the intervals are made."""
    place = results.provenance
    facts = {
        "command": place.command,
        "commit": place.commit + (" and changes that are in no commit" if place.dirty else ""),
        "started, finished": f"{place.started_at}, {place.finished_at or 'not yet'}",
        "seed": str(place.seed),
        "hardware": f"{place.hardware}, {place.cores} cores, {place.memory_gi_b:g} GiB, kernel {place.kernel}",
        "cluster": place.cluster,
        "data": place.data,
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(place.versions.items())),
        **_tell_sessions(results),
        **place.conditions,
    }
    lines = [
        [
            Cell(each.name, kind="text"),
            Cell(each.image or each.kind, kind="text"),
            Cell(each.cpu_limit),
            Cell(each.memory_limit),
            Cell(each.weights or ("trained" if each.trained else "untrained"), kind="text"),
        ]
        for each in results.configurations
    ]
    head = [("", ["configuration", "image", "CPU limit", "memory limit", "weights"])]
    void = [
        f"{run.configuration}, {run.profile}, {run.protocol}, block {run.block}: {run.void}"
        for run in results.runs
        if run.void
    ]
    return render_section(
        "provenance",
        "How it was made",
        render_facts(facts),
        render_paragraph(_INTERVALS),
        render_table("Configurations", head, lines),
        render_heading("Void runs", 3) if void else "",
        render_list(void),
    )
