"""Replicas against load: what a scenario with an autoscaler left behind, and its picture."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from load.report.drawing import Theme, figure
from load.results import Results


class Scaling(BaseModel):
    """One scenario; what is not named here is left to others.

    Attributes:
        name: of the scenario.
        configuration: what was scaled.
        metric: on what it is scaled.
        load: (seconds from the start, requests a second), joined by straight lines.
        replicas: (seconds from the start, pods that are ready), a step at each.
        p95: (seconds from the start, milliseconds).
        failures: requests that failed.
        followed_seconds: from the load's rise to enough replicas.
        came_back_seconds: from the load's fall to as many replicas as before.
        recovered_ratio: p95 after the rise over that before it, once replicas had followed.
        void: why it counts for nothing; None when it counts.
        missed: what was to be reached and was not.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")

    name: str
    configuration: str = ""
    metric: str = ""
    load: list[tuple[float, float]] = []
    replicas: list[tuple[float, int]] = []
    p95: list[tuple[float, float]] = []
    failures: int | None = None
    followed_seconds: float | None = None
    came_back_seconds: float | None = None
    recovered_ratio: float | None = None
    void: str | None = None
    missed: list[str] | None = None


def list_scaling(results: Results) -> list[Scaling]:
    """The scenarios, and runs in which the number of replicas changed."""
    found = []
    for number, told in enumerate(results.scaling, start=1):
        try:
            found.append(Scaling.model_validate(told))
        except ValidationError:
            found.append(Scaling(name=f"scenario {number}, told in a form that this report does not know"))
    points = {profile.name: profile for profile in results.profiles}
    for run in results.runs:
        profile = points.get(run.profile)
        if run.void is None and profile is not None and len({ready for _, ready in run.replicas}) > 1:
            load = [(seconds, users / profile.user_seconds) for seconds, users in profile.points]
            name = f"{run.configuration}, {run.profile}, block {run.block}"
            found.append(
                Scaling(
                    name=name,
                    configuration=run.configuration,
                    load=load,
                    replicas=run.replicas,
                    failures=sum(run.failures.values()),
                )
            )
    return found


def draw_scaling(theme: Theme, scenario: Scaling) -> bytes:
    """The load above, the replicas below, on one time axis; p95 between them where it was told."""
    panels = [("load", "requests/s", scenario.load), ("replicas", "pods ready", scenario.replicas)]
    if scenario.p95:
        panels.insert(1, ("p95", "p95, ms", scenario.p95))
    with figure(theme, 0.8 + 1.35 * len(panels), rows=len(panels)) as (_, axes, png):
        for axis, (what, unit, points) in zip(axes, panels, strict=True):
            _draw_panel(axis, theme, what, points)
            axis.set_ylabel(unit)
            axis.set_ylim(bottom=0)
        axes[-1].set_xlabel("seconds from the start")
        axes[0].set_title(scenario.name, fontweight="bold")
    return png.getvalue()


def _draw_panel(axis: Any, theme: Theme, what: str, points: Any) -> None:
    if not points:
        axis.text(0.5, 0.5, "not recorded", transform=axis.transAxes, ha="center", color=theme.faint)
        return
    seconds, values = zip(*points, strict=True)
    if what == "load":
        axis.fill_between(seconds, values, color=theme.faint, alpha=0.35, linewidth=0)
    elif what == "replicas":
        axis.step(seconds, values, where="post", color=theme.quantised[1], linewidth=2)
        axis.yaxis.get_major_locator().set_params(integer=True)
    else:
        axis.plot(seconds, values, color=theme.whole[1], linewidth=1.7)
