"""Why a pod does not run, and other things that are read off a status. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

Object = Mapping[str, Any]

LONGEST_LINE = 500
# States that every pod passes through while all is well.
_PASSING = frozenset({"", "ContainerCreating", "PodInitializing"})


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


def parse_trouble(pod: Object) -> tuple[str, str]:
    """Kubernetes' reason and message for a pod that does not run or does not stay up; empty when all is well."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("reason", "Unschedulable")), last_line(str(condition.get("message", "")))
    for field in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(field) or ():
            reason, message = _container_trouble(container)
            if reason:
                return reason, message
    return str(status.get("reason", "")), last_line(str(status.get("message", "")))


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


def _container_trouble(container: Object) -> tuple[str, str]:
    waiting = (container.get("state") or {}).get("waiting") or {}
    end = parse_end(container)
    reason = str(waiting.get("reason", ""))
    if reason == "CrashLoopBackOff" and end.get("reason") == "OOMKilled":
        return "OOMKilled", last_line(str(end.get("message", "")))
    if reason == "CrashLoopBackOff" and end.get("message"):
        return reason, last_line(str(end["message"]))
    if reason not in _PASSING:
        return reason, last_line(str(waiting.get("message", "")))
    if end.get("exitCode") and not container.get("ready") and "running" not in (container.get("state") or {}):
        return str(end.get("reason", "Error")), last_line(str(end.get("message", "")))
    return "", ""
