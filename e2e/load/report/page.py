"""The report as one HTML file that needs no other: styles and pictures are inside. Pure."""

from collections.abc import Sequence

from load.report import paper
from load.report.agreement_table import render_agreement
from load.report.cells import NETWORK_NAMES, Cells, list_networks, name_profile
from load.report.conditions import condition_parts, list_conditions, name_condition, picture_name
from load.report.cost import render_costs
from load.report.load_tables import render_load
from load.report.markup import (
    NOT_RUN,
    Pictures,
    render_contents,
    render_document,
    render_grid,
    render_heading,
    render_list,
    render_paragraph,
    render_picture,
    render_section,
)
from load.report.model_tables import render_models
from load.report.opening import list_not_run, list_warnings, render_opening
from load.report.sections import render_latency, render_provenance, render_saturation, render_scaling
from load.report.style import STYLE
from load.report.targets import render_targets
from load.results import ProfileTold, Results

TITLE = "Load on compressed models, ours beside the paper's"
_CONTENTS = (
    ("targets", "Targets"),
    ("models", "Tables II to IV: the models"),
    ("load", "Tables V and VI: under load"),
    ("latency", "Response times"),
    ("saturation", "Saturation"),
    ("scaling", "Scaling"),
    ("cost", "Cost"),
    ("agreement", "Agreement of sources"),
    ("provenance", "How it was made"),
)


def render_page(results: Results, pictures: Pictures) -> str:
    """The whole report.

    Args:
        results: of the experiment.
        pictures: by file name; see `writing.draw_pictures`.
    """
    cells = Cells(results)
    networks = list_networks(results)
    not_run = list_not_run(cells)
    body = [
        render_heading(TITLE, 1),
        render_paragraph(render_opening(cells), "lead"),
        render_list([*list_warnings(cells), *([f"Not run: {'; '.join(not_run)}."] if not_run else [])], "warn"),
        render_contents(_CONTENTS),
        render_section("targets", "Targets", render_targets(cells)),
        _render_models(results, networks, pictures),
        _render_load(cells, networks),
        render_latency(cells, networks, pictures),
        render_saturation(results, networks, pictures),
        render_scaling(results, pictures),
        _render_cost(cells, networks, pictures),
        render_section("agreement", "Agreement of sources", render_agreement(cells)),
        render_provenance(results),
    ]
    return render_document(TITLE, STYLE, body)


def _render_models(results: Results, networks: Sequence[str], pictures: Pictures) -> str:
    picture = render_picture(
        "size-accuracy.png", pictures, "Size against accuracy of VGG-16: the paper's points (squares) and ours (discs)."
    )
    trained = any(each.quality_percent is not None and each.network == paper.NETWORK for each in results.configurations)
    return render_section(
        "models",
        "Tables II to IV: the models",
        *(render_models(results, network) for network in networks),
        render_heading("Size against accuracy", 3),
        render_paragraph("" if trained else "No trained VGG-16 of ours was run: the points are the paper's.", "note"),
        picture,
    )


def _render_load(cells: Cells, networks: Sequence[str]) -> str:
    parts = [
        render_paragraph(
            "Every row has its requests a second. The paper's two profiles gave the same response times and CPU, so"
            " that neither can have saturated its pod; its rates are not told.",
            "note",
        )
    ]
    for profile in cells.results.profiles:
        table = paper.TABLE_NAMES.get(profile.name)
        title = f"{table}: {name_profile(profile)}" if table else name_profile(profile)
        parts += [render_heading(title, 3), render_paragraph(_describe(profile), "note")]
        parts += [render_load(cells, network, profile, way) for network in networks for way in cells.ways]
    if not cells.results.profiles:
        parts.append(render_paragraph(NOT_RUN))
    return render_section("load", "Tables V and VI: under load", *parts)


def _describe(profile: ProfileTold) -> str:
    points = ", ".join(f"{users:g} at {seconds:g} s" for seconds, users in profile.points)
    return (
        f"Simultaneous users, in straight lines: {points}. Each sends one request at its arrival and stays for"
        f" {profile.user_seconds:g} s: {profile.peak_requests_per_second:.4g} requests/s at the top."
    )


def _render_cost(cells: Cells, networks: Sequence[str], pictures: Pictures) -> str:
    conditions = list_conditions(cells)
    named = [(name_condition(profile, condition), condition) for profile, condition in conditions]
    drawn = [
        render_picture(
            f"{picture_name('cost', network, *condition_parts(condition))}.png",
            pictures,
            f"{NETWORK_NAMES[network]}, {title}: cost of 1,000 requests.",
        )
        for network in networks
        for title, condition in named
    ]
    return render_section("cost", "Cost", render_costs(cells, list(networks), named), render_grid(drawn))
