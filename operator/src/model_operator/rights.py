"""What the operator must be allowed to do, and why; the chart's roles grant exactly this. Pure constants."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from model_operator import names


class Right(NamedTuple):
    """One verb on one resource, named as a SelfSubjectAccessReview has it."""

    verb: str
    group: str
    resource: str
    subresource: str = ""


class Grant(NamedTuple):
    """Verbs on one resource, and why the operator needs them.

    Attributes:
        optional: without it models are built and served all the same; the reason says what is lost.
    """

    group: str
    resource: str
    """With its subresource: `pods/log`."""
    verbs: tuple[str, ...]
    reason: str
    optional: bool = False


_OBSERVED: Final = ("get", "list", "watch")
# Server-side apply of an object that is not there yet needs both.
_APPLIED: Final = (*_OBSERVED, "create", "patch")

GRANTS: Final = (
    Grant(names.GROUP, names.PLURAL, _OBSERVED, "What users declare; the operator never changes it."),
    Grant(names.GROUP, f"{names.PLURAL}/status", ("patch",), "What it answers, by server-side apply."),
    Grant(
        names.GROUP,
        f"{names.PLURAL}/finalizers",
        ("update",),
        "Owner references that block an owner's deletion: asked for where OwnerReferencesPermissionEnforcement is on.",
        optional=True,
    ),
    Grant("apps", "deployments", _APPLIED, "One for a model. Garbage collection deletes it with the model."),
    Grant("apps", "deployments/scale", ("patch",), "`spec.replicas` of a model without autoscaling."),
    Grant("", "services", _APPLIED, "One for a model."),
    Grant("policy", "poddisruptionbudgets", _APPLIED, "One for a model."),
    Grant(
        "autoscaling",
        "horizontalpodautoscalers",
        (*_APPLIED, "delete"),
        "One for a model that asks for autoscaling; deleted when it no longer does.",
    ),
    Grant(
        "batch",
        "jobs",
        (*_APPLIED, "delete"),
        "Builds. A further model that needs one becomes its owner (patch); one that nobody needs any more is ended "
        "(delete).",
    ),
    Grant(
        "",
        "configmaps",
        _APPLIED,
        "Records of what was built and ends of failed builds' logs. RBAC cannot tell them from other ConfigMaps; the "
        "operator asks by label.",
    ),
    Grant(
        "",
        "configmaps",
        ("delete",),
        "Nothing is deleted: a further model becomes a record's owner, and OwnerReferencesPermissionEnforcement, where "
        "it is on, asks for this.",
        optional=True,
    ),
    Grant("", "pods", ("list", "watch"), "Why a pod does not run, and what a build and an unpacking handed over."),
    Grant("", "pods/log", ("get",), "How far a build is, and why it failed: the end of its log."),
    Grant("", "events", ("list",), "Why a Job cannot make its pod, such as a quota."),
    Grant("", "events", ("create",), "Milestones of a model: built, rolled out, stalled.", optional=True),
    Grant("", "persistentvolumeclaims", ("get",), "Whether the claims of store and data are there."),
)


def list_rights(grant: Grant) -> tuple[Right, ...]:
    """The grant verb by verb."""
    resource, _, subresource = grant.resource.partition("/")
    return tuple(Right(verb, grant.group, resource, subresource) for verb in grant.verbs)


REQUIRED_RIGHTS: Final = tuple(right for grant in GRANTS if not grant.optional for right in list_rights(grant))


def format_right(right: Right) -> str:
    """The right as `kubectl auth can-i` takes it: `patch deployments.apps/scale`."""
    group = f".{right.group}" if right.group else ""
    return f"{right.verb} {right.resource}{group}{f'/{right.subresource}' if right.subresource else ''}"


def is_granted(right: Right, rule: Mapping[str, Any]) -> bool:
    """Whether an RBAC rule gives the right, for objects of whatever name."""
    resource = f"{right.resource}/{right.subresource}" if right.subresource else right.resource
    any_resource = {"*", resource, *([f"*/{right.subresource}"] if right.subresource else [])}
    return (
        not rule.get("resourceNames")
        and _holds(rule, "verbs", {"*", right.verb})
        and _holds(rule, "apiGroups", {"*", right.group})
        and _holds(rule, "resources", any_resource)
    )


def _holds(rule: Mapping[str, Any], field: str, wanted: set[str]) -> bool:
    stated: Sequence[str] = rule.get(field) or ()
    return not wanted.isdisjoint(stated)
