"""Which milestones a change of the status is, as Kubernetes Events. Pure.

They follow from the status that stands and the one that takes its place, and from nothing else: a restart repeats none,
and what is in no status (keys, credentials) is in no Event. An Event's name follows from what it tells, so that a pass
that is done again, because it was cut off before its status was written, makes the same Event, which is there already.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

from model_operator import names
from model_operator.api.status import CompressedModelStatus, Condition, ConditionType, format_time
from model_operator.planning.drift import hash_object
from model_operator.planning.reasons import Reason
from model_operator.planning.redaction import redact
from model_operator.planning.status import parse_status

Object = Mapping[str, Any]

LONGEST_MESSAGE: Final = 1024
"""Characters that Kubernetes' own recorders keep to."""
COMPONENT: Final = "modelpress-operator"

_TROUBLES = frozenset(
    {
        Reason.PODS_FAILING,
        Reason.PODS_PENDING,
        Reason.QUOTA_EXCEEDED,
        Reason.RIGHTS_MISSING,
        Reason.STORE_UNAVAILABLE,
    }
)
"""What makes a model that was Ready unready without anybody having asked for a change."""


class EventReason(StrEnum):
    """The reason of an Event; docs/reasons.md says when each is made."""

    ARTIFACT_FOUND = "ArtifactFound"
    ARTIFACT_VERIFIED = "ArtifactVerified"
    BUILD_FAILED = "BuildFailed"
    BUILD_STARTED = "BuildStarted"
    BUILD_SUCCEEDED = "BuildSucceeded"
    NOT_READY = "NotReady"
    OBJECTIVES_MET = "ObjectivesMet"
    OBJECTIVES_MISSED = "ObjectivesMissed"
    READY = "Ready"
    ROLLED_OUT = "RolledOut"
    STALLED = "Stalled"
    SUSPENDED = "Suspended"


WARNINGS: Final = frozenset(
    {EventReason.BUILD_FAILED, EventReason.NOT_READY, EventReason.OBJECTIVES_MISSED, EventReason.STALLED}
)


@dataclass(frozen=True)
class _Milestone:
    reason: EventReason
    message: str
    key: tuple[Any, ...]
    """What it is about: the same milestone, found twice, has the same one."""


@dataclass(frozen=True)
class _Change:
    """The status that stands, and the one that takes its place."""

    before: CompressedModelStatus | None
    after: CompressedModelStatus

    def find(self, kind: ConditionType) -> tuple[Condition | None, Condition | None]:
        """The condition before and after."""
        return _find(self.before, kind), _find(self.after, kind)

    def key(self, kind: ConditionType) -> tuple[Any, ...]:
        """Of a milestone that is the change of one condition, and may come again after the next change."""
        before, after = self.find(kind)
        since = format_time(before.last_transition_time) if before is not None else ""
        generation = self.before.observed_generation if self.before is not None else 0
        return kind, after.reason if after is not None else "", since, generation


def plan_events(body: Object, before: Object, after: Object, now: datetime) -> tuple[Object, ...]:
    """The Events that tell of the change of a model's status.

    Args:
        body: the model; only its metadata counts.
        before: the status that stands; empty where there is none.
        after: the status that takes its place.
        now: the time of the Events.
    """
    status = parse_status(after)
    if status is None:
        return ()
    change = _Change(parse_status(before), status)
    return tuple(_render_event(body["metadata"], milestone, now) for milestone in _list_milestones(change))


def _list_milestones(change: _Change) -> Iterator[_Milestone]:
    yield from _list_artifact_milestones(change)
    yield from _list_serving_milestones(change)
    yield from _list_objective_milestones(change)
    yield from _list_course_milestones(change)


def _list_artifact_milestones(change: _Change) -> Iterator[_Milestone]:
    before, after = change.find("ArtifactReady")
    build = change.after.build
    known = change.before.build if change.before is not None else None
    is_same_job = build is not None and known is not None and known.job == build.job
    started = is_same_job and known is not None and known.started_at is not None
    if build is not None and build.started_at is not None and build.finished_at is None and not started:
        text = f"Job {build.job} builds the recipe {build.recipe_digest}, attempt {build.attempt}."
        yield _Milestone(EventReason.BUILD_STARTED, text, (build.job,))
    if after is None:
        return
    if build is not None and after.reason == Reason.BUILD_FAILED and not (is_same_job and _is_alike(before, after)):
        yield _Milestone(EventReason.BUILD_FAILED, after.message, (build.job,))
    if after.status == "True" and not _is_artifact_known(change, before):
        yield _tell_artifact(change, after)


def _is_artifact_known(change: _Change, before: Condition | None) -> bool:
    """Whether that very artifact was told to be ready."""
    _, after = change.find("ArtifactReady")
    artifact, known = change.after.artifact, change.before.artifact if change.before is not None else None
    if artifact is not None and known is not None and artifact.digest == known.digest:
        return True
    return before is not None and after is not None and (before.status, before.message) == ("True", after.message)


def _tell_artifact(change: _Change, after: Condition) -> _Milestone:
    """An artifact that is ready: verified, built while the model waited for it, or known from an earlier build."""
    build, known = change.after.build, change.before.build if change.before is not None else None
    if after.reason == Reason.VERIFIED:
        return _Milestone(EventReason.ARTIFACT_VERIFIED, after.message, (after.message,))
    was_awaited = build is not None and known is not None and known.recipe_digest == build.recipe_digest
    if was_awaited and build is not None and build.finished_at is not None:
        return _Milestone(EventReason.BUILD_SUCCEEDED, f"Job {build.job} is done. {after.message}", (build.job,))
    return _Milestone(EventReason.ARTIFACT_FOUND, f"It was built before. {after.message}", change.key("ArtifactReady"))


def _list_serving_milestones(change: _Change) -> Iterator[_Milestone]:
    before, after = change.find("Ready")
    serving, key = change.after.serving, change.key("Ready")
    becomes_ready, is_replaced = _becomes(before, after, "True"), _is_replaced(change)
    if after is not None and (becomes_ready or (is_replaced and after.status == "True")):
        if serving is not None and after.reason == Reason.SERVING and (is_replaced or _is_new(serving.since, before)):
            text = f"Revision {serving.revision} is served; its artifact is {serving.digest or 'not known'}."
            # Times have whole seconds: of a model that is Ready twice within one, they would tell twice.
            yield _Milestone(EventReason.ROLLED_OUT, text, (serving.revision, *_find_replaced(change.after)))
        elif becomes_ready:
            yield _Milestone(EventReason.READY, after.message, key)
    if before is not None and before.status == "True" and after is not None and after.reason in _TROUBLES:
        yield _Milestone(EventReason.NOT_READY, f"{after.reason}: {after.message}", key)


def _is_replaced(change: _Change) -> bool:
    """Whether another revision than before is served; where nobody looked meanwhile, the model was Ready all along."""
    before, after = change.before.serving if change.before is not None else None, change.after.serving
    return before is not None and after is not None and before.revision not in {None, after.revision}


def _find_replaced(status: CompressedModelStatus) -> tuple[Any, ...]:
    """What the served revision took the place of, and since when that was served: the same as long as it is served."""
    return (status.history[-1].digest, status.history[-1].served_at) if status.history else ()


def _is_new(since: datetime | None, before: Condition | None) -> bool:
    """Whether the revision took the place of another after the model was Ready last."""
    return since is not None and (before is None or since >= before.last_transition_time)


def _list_objective_milestones(change: _Change) -> Iterator[_Milestone]:
    before, after = change.find("WithinObjectives")
    if after is None:
        return
    for status, reason in (("True", EventReason.OBJECTIVES_MET), ("False", EventReason.OBJECTIVES_MISSED)):
        if _becomes(before, after, status):
            yield _Milestone(reason, after.message, change.key("WithinObjectives"))


def _list_course_milestones(change: _Change) -> Iterator[_Milestone]:
    before, after = change.find("Stalled")
    if after is not None and after.status == "True" and not _is_alike(before, after):
        yield _Milestone(EventReason.STALLED, f"{after.reason}: {after.message}", change.key("Stalled"))
    before, after = change.find("Reconciling")
    if after is not None and after.reason == Reason.SUSPENDED and not _is_alike(before, after):
        yield _Milestone(EventReason.SUSPENDED, after.message, change.key("Reconciling"))


def _find(status: CompressedModelStatus | None, kind: ConditionType) -> Condition | None:
    conditions = status.conditions if status is not None else ()
    found = next((condition for condition in conditions if condition.type == kind), None)
    return None if found is None else found.model_copy(update={"message": redact(found.message)})


def _becomes(before: Condition | None, after: Condition | None, status: str) -> bool:
    return after is not None and after.status == status and (before is None or before.status != status)


def _is_alike(before: Condition | None, after: Condition) -> bool:
    return before is not None and (before.status, before.reason) == (after.status, after.reason)


def _render_event(metadata: Object, milestone: _Milestone, now: datetime) -> Object:
    """A core/v1 Event, which `kubectl describe` and every older reader shows with its time."""
    kind: Literal["Warning", "Normal"] = "Warning" if milestone.reason in WARNINGS else "Normal"
    about = {key: metadata[key] for key in ("name", "namespace", "uid")}
    told = hash_object([about["uid"], milestone.reason.value, [str(part) for part in milestone.key]])
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{about['name']}.{told}", "namespace": about["namespace"]},
        "involvedObject": {"apiVersion": names.API_VERSION, "kind": names.KIND, **about},
        "type": kind,
        "reason": milestone.reason.value,
        "message": milestone.message[:LONGEST_MESSAGE],
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": format_time(now),
        "lastTimestamp": format_time(now),
        "count": 1,
    }
