"""`kubectl cmod why`: the first hindrance, what it means, what to do, and what was said last. Pure but for `read_*`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from kubectl_cmod import state
from kubectl_cmod.facts import ModelFacts
from kubectl_cmod.kubectl import Kubectl
from kubectl_cmod.remedies import find_remedy
from kubectl_cmod.words import format_age
from model_operator import names

Object = Mapping[str, Any]

LOG_LINES: Final = 12
_EVENTS: Final = 5
_OBJECTS_ASKED_ABOUT: Final = 6
_TOLD_BY_PODS: Final = frozenset(
    {"ArtifactMismatch", "ArtifactMissing", "SignatureInvalid", "SignatureMissing", "StoreUnavailable"}
)
"""Reasons of ArtifactReady that the unpacking in a serving pod gave."""


@dataclass(frozen=True)
class Event:
    """One of Kubernetes' Events."""

    time: str
    reason: str
    object: str
    message: str


@dataclass(frozen=True)
class Log:
    """The end of a container's log."""

    source: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """Why a model is not ready; of one that is, that it is."""

    name: str
    ready: bool
    reason: str
    message: str
    meaning: str
    remedy: str
    since: str = ""
    events: tuple[Event, ...] = ()
    log: Log | None = None

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def explain(facts: ModelFacts, events: Sequence[Object] = (), log: Log | None = None) -> Explanation:
    """What keeps the model from being ready."""
    ready = facts.condition("Ready")
    if not ready or not state.is_current(facts):
        message = "The operator has not looked at the model, or at its last change, yet."
        remedy = "Wait a few seconds; where it stays so, look whether the operator runs."
        return Explanation(
            facts.full_name, ready=False, reason="NotObserved", message=message, meaning="", remedy=remedy
        )
    meaning, remedy = find_remedy(str(ready["reason"]))
    found = Explanation(
        facts.full_name,
        ready=state.is_ready(facts),
        reason=str(ready["reason"]),
        message=str(ready["message"]),
        meaning=meaning,
        remedy=remedy,
        since=str(ready.get("lastTransitionTime", "")),
    )
    if found.ready:
        return found
    told = [each for each in _parse_events(events) if found.message not in each.message]
    return Explanation(**{**vars(found), "events": tuple(told[-_EVENTS:]), "log": log})


def read_events(kubectl: Kubectl, facts: ModelFacts) -> tuple[Object, ...]:
    """Kubernetes' Events about the model, its newest build and its pods."""
    about = [facts.name, *(each["metadata"]["name"] for each in find_subjects(facts))]
    unique = list(dict.fromkeys(about))[:_OBJECTS_ASKED_ABOUT]
    found = kubectl.read_lists(*(("events", f"--field-selector=involvedObject.name={name}") for name in unique))
    return tuple(event for events in found for event in events)


def read_log(kubectl: Kubectl, facts: ModelFacts) -> Log | None:
    """The end of the log that says most about the hindrance; None where there is none."""
    build = concerns_build(facts)
    for pod in reversed(facts.build_pods if build else facts.server_pods):
        container = names.BUILD_CONTAINER if build else state.find_troubled_container(pod)
        status = state.find_container(pod, container)
        if status.get("ready") and not build:
            continue
        name, crashed = str(pod["metadata"]["name"]), "terminated" in (status.get("lastState") or {})
        text = kubectl.read_log(name, container, LOG_LINES, previous=crashed and not build)
        if text.strip():
            return Log(f"{container} of {name}", _split(text))
    kept = state.find_build_log(facts) if build else ""
    return Log("the last failed build, as it was kept", _split(kept)) if kept else None


def concerns_build(facts: ModelFacts) -> bool:
    """Whether the model waits for its artifact to be built rather than for its pods."""
    ready = facts.condition("ArtifactReady")
    return ready.get("status") != "True" and ready.get("reason") not in _TOLD_BY_PODS and bool(facts.part("build"))


def concerns_unpacking(facts: ModelFacts) -> bool:
    """Whether a pod waits because the artifact cannot be unpacked in it."""
    return any(state.find_troubled_container(pod) == names.UNPACK_CONTAINER for pod in facts.server_pods)


def find_subjects(facts: ModelFacts) -> tuple[Object, ...]:
    """The newest objects whose Events may say more."""
    if concerns_build(facts):
        return (*facts.jobs[-1:], *facts.build_pods[-1:])
    return facts.server_pods[-3:]


def format_explanation(found: Explanation, now: datetime) -> str:
    """The hindrance, its meaning and what to do, and below it what was said last."""
    if found.ready:
        return f"{found.name} is ready: {found.message}"
    since = f" for {format_age(found.since, now)}" if found.since else ""
    first = [f"{found.name} is not ready{since}, {found.reason}: {found.message}"]
    first += [f"What it means: {found.meaning}"] if found.meaning else []
    first += [f"What to do: {found.remedy}"] if found.remedy else []
    parts = ["\n".join(first)]
    if found.events:
        told = (
            f"  {format_age(each.time, now)} ago  {each.reason}  {each.object}: {each.message}" for each in found.events
        )
        parts.append("\n".join(["Last events:", *told]))
    if found.log is not None:
        parts.append("\n".join([f"End of the log ({found.log.source}):", *(f"  {line}" for line in found.log.lines)]))
    return "\n\n".join(parts)


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.rstrip().splitlines()[-LOG_LINES:])


def _parse_events(events: Sequence[Object]) -> tuple[Event, ...]:
    """Warnings, or the others where there are none, oldest first."""
    warnings = [each for each in events if each.get("type") == "Warning"]
    return tuple(
        Event(
            _time_of(each),
            str(each.get("reason", "")),
            f"{each['involvedObject'].get('kind')} {each['involvedObject'].get('name')}",
            " ".join(str(each.get("message", "")).split()),
        )
        for each in sorted(warnings or events, key=_time_of)
    )


def _time_of(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")
