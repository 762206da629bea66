"""What the operator must be allowed to do; the chart's roles grant exactly this. Pure constants."""

from typing import NamedTuple

from model_operator import names


class Right(NamedTuple):
    """One verb on one resource, named as a SelfSubjectAccessReview has it."""

    verb: str
    group: str
    resource: str
    subresource: str = ""


_OBSERVED = ("get", "list", "watch")
# Server-side apply of an object that is not there yet needs both.
_APPLIED = (*_OBSERVED, "create", "patch")

_VERBS: dict[tuple[str, ...], tuple[str, ...]] = {
    (names.GROUP, names.PLURAL): _OBSERVED,
    (names.GROUP, names.PLURAL, "status"): ("patch",),
    ("apps", "deployments"): _APPLIED,
    ("apps", "deployments", "scale"): ("patch",),
    ("", "services"): _APPLIED,
    ("autoscaling", "horizontalpodautoscalers"): (*_APPLIED, "delete"),
    ("policy", "poddisruptionbudgets"): _APPLIED,
    ("batch", "jobs"): _APPLIED,
    ("", "configmaps"): _APPLIED,
    ("", "pods"): ("list", "watch"),
    ("", "pods", "log"): ("get",),
    ("", "persistentvolumeclaims"): ("get",),
    ("", "events"): ("list",),
}

REQUIRED_RIGHTS = tuple(Right(verb, *resource) for resource, verbs in _VERBS.items() for verb in verbs)


def format_right(right: Right) -> str:
    """The right as `kubectl auth can-i` takes it: `patch deployments.apps/scale`."""
    group = f".{right.group}" if right.group else ""
    return f"{right.verb} {right.resource}{group}{f'/{right.subresource}' if right.subresource else ''}"
