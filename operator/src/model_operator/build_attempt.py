"""How a build stands, read off its Job, the Job's pods, Events and log. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from model_artifact.errors import ArtifactError
from model_artifact.summary import ArtifactSummary, Failure, parse_failure, parse_progress, parse_summary
from model_operator import names
from model_operator.container_status import find_status, last_line, parse_time, parse_trouble
from model_operator.observation import BuildAttempt, Object

State = Literal["Pending", "Suspended", "Running", "Succeeded", "Failed"]
JOB_NAME_LABEL = "job-name"
TOLD_WITHIN: Final = timedelta(seconds=60)
"""After a Job's end: the watch of pods is not so far behind that of Jobs."""


def parse_attempt(job: Object, pods: Sequence[Object], events: Sequence[Object], log: str) -> BuildAttempt:
    """The attempt that `job` is.

    Args:
        job: a build Job.
        pods: the Job's own, in any order.
        events: about the Job; needed only where it has no pod.
        log: the end of the build container's log; needed while it runs, and once when it fails.
    """
    metadata, conditions = job["metadata"], _find_conditions(job)
    newest_first = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), reverse=True)
    state = parse_state(job, newest_first)
    reason, message = _explain(state, conditions, newest_first, events)
    return BuildAttempt(
        job=metadata["name"],
        owners=parse_owners(job),
        build_hash=(metadata.get("labels") or {}).get(names.LABEL_BUILD, ""),
        attempt=_parse_attempt_number(metadata),
        state=state,
        started_at=parse_time((job.get("status") or {}).get("startTime")),
        finished_at=_find_end(job),
        progress=parse_progress(log) if state == "Running" else None,
        summary=_find_summary(newest_first) if state == "Succeeded" else None,
        failure=_find_failure(newest_first) if state == "Failed" else None,
        reason=reason,
        message=message,
        store=(metadata.get("annotations") or {}).get(names.ANNOTATION_STORE, ""),
        ending="deletionTimestamp" in metadata,
        uid=metadata.get("uid", ""),
        image=_find_image(job),
        log=log if is_failing(job) else "",
    )


def parse_state(job: Object, pods: Sequence[Object]) -> State:
    """Where the Job stands; only a Job that Kubernetes has finished is Succeeded or Failed."""
    finished = _find_conditions(job)
    if "Complete" in finished:
        return "Succeeded"
    if "Failed" in finished:
        return "Failed"
    if (job.get("spec") or {}).get("suspend"):
        return "Suspended"
    return "Running" if any(running_pod_name(pod) for pod in pods) else "Pending"


def is_end_awaited(job: Object, pods: Sequence[Object], now: datetime) -> bool:
    """Whether the pods of a Job that has ended do not say how yet; the watch of Jobs may be ahead of that of pods.

    Of one that ended longer ago they are gone, or never will, unless one is known as it was before that end.
    """
    if parse_state(job, pods) not in {"Succeeded", "Failed"} or _ends(pods):
        return False
    if any((pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"} for pod in pods):
        return True
    ended_at = _find_end(job)
    return ended_at is None or now - ended_at < TOLD_WITHIN


def is_failing(job: Object) -> bool:
    """Whether the Job has failed or is bound to: its pods, and with them their logs, may go at any time."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(each.get("type") in {"FailureTarget", "Failed"} and each.get("status") == "True" for each in conditions)


def is_left_over(job: Object, recipe_label: str | None) -> bool:
    """Whether an unfinished build Job, which nothing ends yet, is of another recipe than that one."""
    return _is_of_another_recipe(job, recipe_label) and parse_state(job, ()) not in {"Succeeded", "Failed"}


def is_outlived(job: Object, recipe_label: str | None) -> bool:
    """Whether a finished build Job, which nothing ends yet, is of another recipe than that one."""
    return _is_of_another_recipe(job, recipe_label) and parse_state(job, ()) in {"Succeeded", "Failed"}


def _find_conditions(job: Object) -> dict[str, Object]:
    """The conditions of the Job that are True, by type."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return {each["type"]: each for each in conditions if each.get("status") == "True"}


def _find_end(job: Object) -> datetime | None:
    """When the Job ended, well or not."""
    completed = (job.get("status") or {}).get("completionTime")
    return parse_time(completed or _find_conditions(job).get("Failed", {}).get("lastTransitionTime"))


def _is_of_another_recipe(job: Object, recipe_label: str | None) -> bool:
    metadata = job["metadata"]
    labels = metadata.get("labels") or {}
    return (
        labels.get(names.LABEL_COMPONENT) == names.COMPONENT_BUILD
        and labels.get(names.LABEL_RECIPE) != recipe_label
        and "deletionTimestamp" not in metadata
    )


def running_pod_name(pod: Object) -> str | None:
    """The pod's name when its build container has started, which it keeps when that has ended."""
    state = find_status(pod, "containerStatuses", names.BUILD_CONTAINER).get("state") or {}
    return str(pod["metadata"]["name"]) if "running" in state or "terminated" in state else None


def parse_owners(shared: Object) -> frozenset[str]:
    """UIDs of the models that own a Job or a record."""
    references = shared["metadata"].get("ownerReferences") or ()
    return frozenset(each["uid"] for each in references if each.get("kind") == names.KIND)


def _find_image(job: Object) -> str:
    """The image that builds."""
    pod = ((job.get("spec") or {}).get("template") or {}).get("spec") or {}
    containers = {each.get("name"): each for each in pod.get("containers") or ()}
    return str(containers.get(names.BUILD_CONTAINER, {}).get("image", ""))


def _parse_attempt_number(metadata: Mapping[str, Any]) -> int:
    stated = (metadata.get("annotations") or {}).get(names.ANNOTATION_ATTEMPT, "")
    return int(stated) if stated.isdecimal() else 0


def _ends(pods: Sequence[Object]) -> list[Mapping[str, Any]]:
    """How the build containers ended, that of the newest pod first."""
    states = (find_status(pod, "containerStatuses", names.BUILD_CONTAINER).get("state") or {} for pod in pods)
    return [state["terminated"] for state in states if "terminated" in state]


def _find_summary(pods: Sequence[Object]) -> ArtifactSummary | None:
    for end in _ends(pods):
        try:
            return parse_summary(end.get("message", ""))
        except ArtifactError:
            continue
    return None


def _find_failure(pods: Sequence[Object]) -> Failure | None:
    for end in _ends(pods)[:1]:
        message = end.get("message", "")
        # The message file, or, where the builder could write none, the end of its log.
        return parse_failure(message) or parse_failure(last_line(message))
    return None


def _explain(
    state: State, conditions: Mapping[str, Object], pods: Sequence[Object], events: Sequence[Object]
) -> tuple[str, str]:
    """Kubernetes' reason and message, where there is anything to tell."""
    if state == "Failed":
        return _explain_failure(conditions["Failed"], pods)
    if state == "Pending":
        return parse_trouble(pods[0])[:2] if pods else _explain_missing_pod(events)
    return "", ""


def _explain_failure(failed: Object, pods: Sequence[Object]) -> tuple[str, str]:
    said, words = str(failed.get("reason", "")), str(failed.get("message", ""))
    if said == "DeadlineExceeded" or not pods:
        return said, words
    pod_status = pods[0].get("status") or {}
    ends = _ends(pods[:1])
    if ends and ends[0].get("reason") == "OOMKilled":
        return "OOMKilled", last_line(ends[0].get("message", ""))
    if pod_status.get("reason"):
        return str(pod_status["reason"]), str(pod_status.get("message", ""))
    if ends:
        message = last_line(ends[0].get("message", "")) or f"exit code {ends[0].get('exitCode')}"
        return str(ends[0].get("reason") or said), message
    return said, words


def _explain_missing_pod(events: Sequence[Object]) -> tuple[str, str]:
    """Why the Job has no pod, from its last warning."""
    warnings = [event for event in events if event.get("type") == "Warning"]
    if not warnings:
        return "", ""
    last = max(warnings, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    return str(last.get("reason", "")), last_line(str(last.get("message", "")))
