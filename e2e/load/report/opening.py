"""The sentences on top of the page: what was run, on what, how often, and what is void or not run. Pure."""

from collections import Counter
from collections.abc import Sequence

from load.report.agreement_table import count_agreement
from load.report.cells import NETWORK_NAMES, Cells, Condition, list_networks, list_rows, name_profile, speaks
from load.results import Results


def render_opening(cells: Cells) -> str:
    """One sentence of what was done, where, and how often."""
    results, place = cells.results, cells.results.provenance
    counted = [run for run in results.runs if run.void is None]
    requests = sum(run.requests for run in counted)
    failed = sum(sum(run.failures.values()) for run in counted)
    dirty = " with changes that are in no commit" if place.dirty else ""
    agreed, compared = count_agreement(cells)
    sources = f" Client, Prometheus and operator agree in {agreed:,} of {compared:,} comparisons." if compared else ""
    return (
        f"{_list_configurations(results)} under {_list([name_profile(each) for each in results.profiles])},"
        f" {_list([way.name for way in cells.ways])}: {_count(len(counted), 'run')} in"
        f" {_count(cells.blocks, 'interleaved block')}, {requests:,} requests, {failed:,} of them failed; on"
        f" {place.hardware}, {_count(place.cores, 'core')}, {place.memory_gi_b:g} GiB ({place.cluster}), commit"
        f" {place.commit[:12]}{dirty}, {place.data}, {place.started_at} to {place.finished_at or 'the moment'}."
        f"{sources}"
    )


def list_warnings(cells: Cells) -> list[str]:
    """What a reader must know before believing a number."""
    results = cells.results
    warnings = []
    if results.provenance.finished_at is None:
        warnings.append("The experiment was not finished: more runs were planned.")
    untrained = [each for each in results.configurations if not each.trained and each.kind == "modelpress"]
    if untrained:
        names = _list([f"{NETWORK_NAMES[each.network]} ({each.alpha:g}, {each.bits})" for each in untrained])
        warnings.append(
            f"Untrained: {names}. Speed, CPU and memory mean something; there is no accuracy, and zeros and size are of"
            " initial weights."
        )
    if results.troubles:
        left_out = [each.of for each in results.troubles if not each.again]
        lost = f"; left out: {_list(left_out)}" if left_out else ", and all of them were made again"
        warnings.append(f"{_count(len(results.troubles), 'try', 'tries')} ended in an error{lost}.")
    void = [run for run in results.runs if run.void is not None]
    if void:
        told = Counter(run.void for run in void)
        reasons = "; ".join(f"{number} x {reason}" for reason, number in told.items())
        warnings.append(f"Void and counted nowhere: {_count(len(void), 'run')} ({reasons}).")
    return warnings


def list_not_run(cells: Cells) -> list[str]:
    """What this page has tables for and nothing to write into them."""
    results = cells.results
    missing = []
    for network in list_networks(results):
        absent = [row.label for row in list_rows(results, network) if row.configuration is None]
        if absent:
            missing.append(f"{NETWORK_NAMES[network]}: {_list(absent)}, not deployed")
    for profile in results.profiles:
        for way in cells.ways:
            condition = Condition(profile.name, way)
            empty = [each for each in results.configurations if speaks(each, way)]
            names = [each.name for each in empty if cells.state(each.name, condition) != "run"]
            if names:
                missing.append(f"{name_profile(profile)}, {way.name}: {_list(names)}")
    scenarios = {
        "saturation": results.saturation,
        "scaling with the load": results.scaling,
        "scale-out against size": results.startup,
        "models a node": results.density,
    }
    missing += [name for name, found in scenarios.items() if not found]
    return missing


def _list_configurations(results: Results) -> str:
    parts = []
    for network in list_networks(results):
        own = [each for each in results.configurations if each.network == network]
        ours = sum(each.kind == "modelpress" for each in own)
        others = len(own) - ours
        if own:
            baselines = f" with {_count(others, 'baseline')}" if others else ""
            parts.append(f"{_count(ours, 'configuration')} of {NETWORK_NAMES[network]}{baselines}")
    return _list(parts) or "Nothing"


def _count(number: int, what: str, many: str = "") -> str:
    return f"{number:,} {what if number == 1 else many or what + 's'}"


def _list(texts: Sequence[str]) -> str:
    if len(texts) <= 1:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} and {texts[-1]}"
