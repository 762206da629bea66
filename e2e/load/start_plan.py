"""Which pods are started over which link to the store, in which order, and what becomes of their times. Pure."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from load.configurations import Limits, Planned, plan_compression
from load.flask_pod import FlaskServer
from load.pod_times import PodTimes
from load.report.bootstrap import estimate_ratio
from load.results import Network, require_facts

PLAIN, SMALLEST = (0.0, 32), (1.25, 8)
TARGET_NETWORK: Network = "vgg16"
SOONER_AT_LEAST = 5.0
LARGEST_DELAY_SECONDS = 2.0
"""Between what Kubernetes says of a moment, cut to a second, and when the watch told of it."""


@dataclass(frozen=True)
class Link:
    """A way to the store.

    Attributes:
        megabits_per_second: that it carries at most, each way; None: it is not shaped.
    """

    megabits_per_second: float | None

    @property
    def name(self) -> str:
        """In words, with by what it is shaped."""
        if self.megabits_per_second is None:
            return "an unshaped link"
        return f"{self.megabits_per_second:g} Mbit/s (tc tbf)"


@dataclass(frozen=True)
class Start:
    """One pod more of a configuration, once.

    Attributes:
        configuration: the name of what is started.
        link: to the store.
        block: of the starts.
    """

    configuration: str
    link: Link
    block: int

    @property
    def entry(self) -> str:
        """Name of the entry of the results that holds it."""
        return name_entry(self.configuration, self.link)

    @property
    def name(self) -> str:
        """For people."""
        return f"start of {self.entry}, block {self.block}"


def name_entry(configuration: str, link: Link) -> str:
    """Of all starts of a configuration over a link."""
    return f"{configuration} over {link.name}"


@dataclass(frozen=True)
class StartupPlan:
    """What is to be started.

    Attributes:
        network: of the configurations.
        megabits_per_second: of the shaped link; an unshaped one is beside it.
        blocks: how often each is started over each link.
        baselines: servers beside ours.
        seed: of the order.
        limits: of each pod.
        flask_server: what stands before Flask.
        ready_seconds: that a pod may take.
        error_seconds: after an error, until the next try.
        channel_sparsity: share of the channels that is pruned as a whole at (1.25, 8).
    """

    network: Network
    megabits_per_second: float = 100.0
    blocks: int = 5
    baselines: tuple[str, ...] = ("flask",)
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    flask_server: FlaskServer = "flask"
    ready_seconds: float = 300.0
    error_seconds: float = 10.0
    channel_sparsity: float = 0.0

    @property
    def ours(self) -> Planned:
        """What the others are compared with."""
        return plan_compression(self.network, *SMALLEST, self.channel_sparsity)

    @property
    def links(self) -> tuple[Link, Link]:
        """The shaped one first."""
        return Link(self.megabits_per_second), Link(None)

    def configurations(self) -> tuple[Planned, ...]:
        """What is started: copies, beside the experiment's, whose artifacts lie behind the link."""
        compressions = plan_compression(self.network, *PLAIN), self.ours
        found = [replace(each, name=f"{each.name}-started") for each in compressions]
        if "flask" in self.baselines:
            found.append(Planned(f"{self.network}-flask-started", self.network, *PLAIN, "flask"))
        return tuple(found)

    def order(self) -> list[Start]:
        """Each configuration over each link once in each block, shuffled there."""
        found: list[Start] = []
        for block in range(self.blocks):
            starts = [Start(tell_name(each), link, block) for each in self.configurations() for link in self.links]
            random.Random(f"{self.seed}/{block}").shuffle(starts)  # noqa: S311 - an order, no secret
            found += starts
        return found


def tell_name(planned: Planned) -> str:
    """The name of a copy's configuration, as the experiment's tables have it."""
    return planned.name.removesuffix("-started")


def render_start(block: int, times: PodTimes, answered_unix: float, session: str = "") -> dict[str, Any]:
    """One start of a session (`Journal.session`), in the words of the results; the pod is ready."""
    ready = times.ready_unix or 0.0
    return {
        "block": block,
        "session": session,
        "readySeconds": round(ready - times.created_unix, 3),
        "scheduledToReadySeconds": _since(times.scheduled_unix, ready),
        "unpackedSeconds": _since(times.created_unix, times.unpacked_unix),
        "firstAnswerSeconds": round(answered_unix - times.created_unix, 3),
        "void": judge_times(times),
    }


def _since(begin_unix: float | None, end_unix: float | None) -> float | None:
    return None if begin_unix is None or end_unix is None else round(end_unix - begin_unix, 3)


def judge_times(times: PodTimes) -> str | None:
    """Why a start is void because the watch told of it late; None when it counts."""
    pairs = (("creation", times.created_unix, times.created_stamp), ("readiness", times.ready_unix, times.ready_stamp))
    for what, seen, stamped in pairs:
        if seen is not None and stamped is not None and seen - stamped > LARGEST_DELAY_SECONDS:
            return f"the watch told of the pod's {what} {seen - stamped:.1f} s after the time that Kubernetes states"
    return None


def render_entry(
    name: str, facts: Mapping[str, Any], link: Mapping[str, Any], starts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """All starts of a configuration over a link.

    Args:
        name: of the entry.
        facts: `configuration`, `artifactBytes`, `weights`, `image`, and `flaskServer` of that baseline.
        link: `link`, and `measuredMegabitsPerSecond` as a program found it.
        starts: each once, void ones too.
    """
    counted = [start for start in starts if not start["void"]]
    told: dict[str, Any] = {"name": name, **facts, **link, "starts": list(starts), "counted": len(counted)}
    for figure in ("readySeconds", "scheduledToReadySeconds", "unpackedSeconds", "firstAnswerSeconds"):
        values = [start[figure] for start in counted if start[figure] is not None]
        told[figure] = round(median(values), 3) if values else None
    ready = [start["readySeconds"] for start in counted]
    return told | {"readyFromTo": f"{min(ready):.2f} to {max(ready):.2f}" if ready else None}


def tell_server(plan: StartupPlan, planned: Planned) -> dict[str, str]:
    """What stands before Flask, of its starts."""
    return {"flaskServer": plan.flask_server} if planned.kind == "flask" else {}


def require_alike(plan: StartupPlan, entries: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to put starts of another server before Flask beside each other.

    Raises:
        ResultsError: naming what differs.
    """
    facts = {tell_name(each): tell_server(plan, each) for each in plan.configurations()}
    for entry in entries:
        require_facts(entry, facts.get(entry["configuration"], {}), "measured")


def list_left(order: Sequence[Start], entries: Sequence[Mapping[str, Any]], most_void: int) -> list[Start]:
    """The starts that are not known yet; one that was void so often is not made again."""
    known = {entry["name"]: entry.get("starts", ()) for entry in entries}
    return [start for start in order if not _is_known(start, known.get(start.entry, ()), most_void)]


def _is_known(start: Start, starts: Sequence[Mapping[str, Any]], most_void: int) -> bool:
    tries = [each["void"] for each in starts if each["block"] == start.block]
    return None in tries or len(tries) >= most_void


def compare(plan: StartupPlan, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The entries by link, each baseline's with how many times sooner (1.25, 8) is ready over the same link.

    It is judged against the baseline that the target names, of VGG-16 behind the shaped link; elsewhere it is stated.
    """
    ours = plan.ours.name
    found = []
    for link in plan.links:
        names = {name_entry(tell_name(each), link): each for each in plan.configurations()}
        best = _blocks(entries, name_entry(ours, link))
        for entry in entries:
            planned = names.get(entry["name"])
            if planned is not None and tell_name(planned) != ours:
                ratio = estimate_ratio(_blocks(entries, entry["name"]), best)
                judged = planned.kind == "flask" and link == plan.links[0] and plan.network == TARGET_NETWORK
                found.append({**entry, **_tell_ratio(ratio, judged=judged)})
    compared = {entry["name"]: entry for entry in found}
    order = [name_entry(tell_name(each), link) for link in plan.links for each in plan.configurations()]
    places = {name: place for place, name in enumerate(order, start=1)}
    told = [compared.get(entry["name"], dict(entry)) for entry in entries]
    return sorted(told, key=lambda entry: places.get(entry["name"], 0))


def _blocks(entries: Sequence[Mapping[str, Any]], name: str) -> dict[tuple[int, str], float]:
    """Seconds to Ready by block and session, of the starts that count: what another session made is no pair."""
    starts = next((entry.get("starts", ()) for entry in entries if entry["name"] == name), ())
    return {(start["block"], start.get("session", "")): start["readySeconds"] for start in starts if not start["void"]}


def _tell_ratio(ratio: Any, *, judged: bool) -> dict[str, Any]:
    if ratio is None:
        return {"smallestIsSooner": None, "verdict": None}
    told = f"{ratio.value:.2f}x" + (f" ({ratio.low:.2f} to {ratio.high:.2f})" if ratio.low is not None else "")
    met = "met" if ratio.value >= SOONER_AT_LEAST else "missed"
    return {
        "smallestIsSooner": told,
        "timesSooner": round(ratio.value, 3),
        "verdict": f"{met}, at least {SOONER_AT_LEAST:g}x is wanted" if judged else "stated",
    }


def list_missed(plan: StartupPlan, entries: Sequence[Mapping[str, Any]], left_out: Sequence[str]) -> list[str]:
    """What was to be reached and was not, or was not made, in words."""
    found = [f"{name}: not made" for name in left_out]
    wanted = {name_entry(tell_name(each), link) for each in plan.configurations() for link in plan.links}
    for entry in entries:
        if entry["name"] in wanted:
            counted = {block for block, _ in _blocks(entries, entry["name"])}
            void = sorted({start["block"] for start in entry["starts"]} - counted)
            found += [f"{entry['name']}: block {block} is void each time" for block in void]
            if str(entry.get("verdict", "")).startswith("missed"):
                found.append(f"{entry['name']}: (1.25, 8) is ready {entry['smallestIsSooner']} sooner")
    return found
