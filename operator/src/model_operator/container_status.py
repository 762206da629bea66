"""Why a pod does not run, and other things that are read off a status. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

Object = Mapping[str, Any]

LONGEST_LINE = 500
# States that every pod passes through while all is well.
_PASSING = frozenset({"", "ContainerCreating", "PodInitializing"})
_CRASH_LOOP = "CrashLoopBackOff"
_SETTLED: Final = timedelta(seconds=30)
"""A container that stopped being ready so long after its start was ready in between: the kubelet tells of the end of
the container before a few seconds late, where it killed that itself."""


class Trouble(NamedTuple):
    """Why a pod does not run or does not stay up; all empty when all is well."""

    reason: str = ""
    """Kubernetes' own word."""
    message: str = ""
    """One line."""
    container: str = ""
    """Whose trouble it is; empty where it is the whole pod's."""


def find_status(pod: Object, field: str, container: str) -> Object:
    """The status of one container; empty where the pod has none yet.

    Args:
        pod: as the API server gives it.
        field: `containerStatuses` or `initContainerStatuses`.
        container: its name.
    """
    for status in (pod.get("status") or {}).get(field) or ():
        if status.get("name") == container:
            found: Object = status
            return found
    return {}


def parse_trouble(pod: Object) -> Trouble:
    """Why a pod does not run or does not stay up, and in which container.

    A container that fell is in trouble until it is ready again, whether it is held back or running for another try:
    both take turns for as long as it falls, and what is told of it stays the same meanwhile.
    """
    status = pod.get("status") or {}
    conditions = {each.get("type"): each for each in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return Trouble(str(scheduled.get("reason", "Unschedulable")), last_line(str(scheduled.get("message", ""))))
    for field in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(field) or ():
            lasting = field == "containerStatuses"
            reason, message = _container_trouble(container, conditions.get("Ready", {}), lasting=lasting)
            if reason:
                return Trouble(reason, message, str(container.get("name", "")))
    return Trouble(str(status.get("reason", "")), last_line(str(status.get("message", ""))))


def parse_end(container: Object) -> Object:
    """How the container last ended: this time or the time before; empty where it never did."""
    for field in ("state", "lastState"):
        end = (container.get(field) or {}).get("terminated")
        if end:
            found: Object = end
            return found
    return {}


def last_line(text: str) -> str:
    """The last line that says something, cut where it is very long."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:LONGEST_LINE] if lines else ""


def parse_time(text: str | None) -> datetime | None:
    """A time as Kubernetes writes it; None where there is none."""
    return datetime.fromisoformat(text) if text else None


def _container_trouble(container: Object, ready: Object, *, lasting: bool) -> tuple[str, str]:
    """Reason and message; empty when all is well.

    Args:
        container: its status.
        ready: the pod's condition.
        lasting: whether it is to run for as long as the pod, so that any end of it is a fall.
    """
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    end = parse_end(container)
    reason = str(waiting.get("reason", ""))
    if reason == _CRASH_LOOP or _is_trying_again(container, ready, lasting=lasting):
        return _format_crash(end, waiting)
    if reason not in _PASSING:
        return reason, last_line(str(waiting.get("message", "")))
    if end.get("exitCode") and not container.get("ready") and "running" not in state:
        return str(end.get("reason", "Error")), last_line(str(end.get("message", "")))
    return "", ""


def _is_trying_again(container: Object, ready: Object, *, lasting: bool) -> bool:
    """Whether it fell, is not held back, and was not ready since."""
    state = container.get("state") or {}
    if container.get("ready") or ready.get("status") == "True":
        return False
    if not container.get("restartCount") or "waiting" in state:
        return False
    started = parse_time((state.get("running") or {}).get("startedAt"))
    unready = parse_time(ready.get("lastTransitionTime"))
    if started is not None and unready is not None and unready - started > _SETTLED:
        return False
    # An init container that ended well is run again only because its pod was set up anew, as after a node's restart.
    return lasting or bool(parse_end(container).get("exitCode"))


def _format_crash(end: Object, waiting: Object) -> tuple[str, str]:
    """The same words each time, whatever it does just now: "back-off 40s" would be another message at every fall."""
    said = last_line(str(end.get("message", "")))
    if end.get("reason") == "OOMKilled":
        return "OOMKilled", said
    if end:
        return _CRASH_LOOP, said or f"exit code {end.get('exitCode', 'unknown')}"
    return _CRASH_LOOP, last_line(str(waiting.get("message", "")))
