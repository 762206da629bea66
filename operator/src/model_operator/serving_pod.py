"""How the serving pods stand, and which of them answer. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from model_operator import names
from model_operator.container_status import find_status, parse_end, parse_time, parse_trouble
from model_operator.observation import Object, Pod


@dataclass(frozen=True)
class Served:
    """The ReplicaSet whose pods answer."""

    namespace: str
    model: str
    template_hash: str
    since: datetime
    """When its oldest pod became ready."""


def parse_pods(pods: Sequence[Object]) -> tuple[Pod, ...]:
    """The pods that run or are going to, oldest first; those that ended for good were replaced and are left out."""
    living = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}]
    return tuple(parse_pod(pod) for pod in sorted(living, key=_created))


def parse_pod(pod: Object) -> Pod:
    """One serving pod."""
    metadata = pod["metadata"]
    trouble = parse_trouble(pod)
    end = parse_end(find_status(pod, "initContainerStatuses", names.UNPACK_CONTAINER))
    return Pod(
        name=metadata["name"],
        template_hash=_template_hash(pod),
        revision=_revision(pod),
        ready=_ready_since(pod) is not None,
        terminating="deletionTimestamp" in metadata,
        reason=trouble.reason,
        message=trouble.message,
        container=trouble.container,
        unpack_exit_code=end.get("exitCode"),
        unpack_message=str(end.get("message", "")),
    )


def select_revision(pods: Sequence[Object], revision: str | None) -> list[Object]:
    """The pods that serve this revision (12 digits); none where there is none."""
    return [pod for pod in pods if revision and names.short_digest(_revision(pod)) == revision]


def find_served(namespace: str, model: str, pods: Sequence[Object]) -> Served | None:
    """The newest ReplicaSet with a pod that is ready among these pods; None while nothing answers."""
    answering = [
        (pod, since)
        for pod in pods
        if _template_hash(pod) and "deletionTimestamp" not in pod["metadata"] and (since := _ready_since(pod))
    ]
    if not answering:
        return None
    template_hash = _template_hash(max((pod for pod, _ in answering), key=_created))
    oldest = min(since for pod, since in answering if _template_hash(pod) == template_hash)
    return Served(namespace, model, template_hash, oldest)


def _revision(pod: Object) -> str:
    """The content digest of what it serves."""
    return str((pod["metadata"].get("annotations") or {}).get(names.ANNOTATION_REVISION, ""))


def _template_hash(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get("pod-template-hash", ""))


def _created(pod: Object) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))


def _ready_since(pod: Object) -> datetime | None:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready" and condition.get("status") == "True":
            return parse_time(condition.get("lastTransitionTime")) or parse_time(_created(pod))
    return None
