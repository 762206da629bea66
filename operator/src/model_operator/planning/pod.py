"""What the pods of builds and of servers have in common: no rights, bounded resources, placement. Pure."""

from typing import Any

from model_operator.api.v1alpha1 import Placement, Resources
from model_operator.settings import Settings, split_names

_USER = 65532

Amounts = dict[str, dict[str, str]]


def render_pod(placement: Placement, settings: Settings) -> dict[str, Any]:
    """The fields of a pod's spec that do not depend on what it runs."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **_render_placement(placement),
        **_render_pull_secrets(settings),
    }


def render_container(name: str, image: str, settings: Settings, resources: Amounts) -> dict[str, Any]:
    """The fields of every container."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def render_resources(stated: Resources | None, default: Amounts) -> Amounts:
    """What the spec states, and the default of each resource that it states nothing of.

    Of a resource that is stated, request and limit both are the spec's: a request may be above the default's limit.
    """
    if stated is None:
        return default
    named = {*stated.requests, *stated.limits}
    amounts = {
        kind: {
            **{resource: amount for resource, amount in default.get(kind, {}).items() if resource not in named},
            **{resource: str(amount) for resource, amount in each.items()},
        }
        for kind, each in (("requests", stated.requests), ("limits", stated.limits))
    }
    return {kind: each for kind, each in amounts.items() if each}


def _render_placement(placement: Placement) -> dict[str, Any]:
    tolerations = [toleration.model_dump(by_alias=True, exclude_none=True) for toleration in placement.tolerations]
    return {
        **({"nodeSelector": dict(placement.node_selector)} if placement.node_selector else {}),
        **({"tolerations": tolerations} if tolerations else {}),
    }


def _render_pull_secrets(settings: Settings) -> dict[str, Any]:
    secrets = [{"name": name} for name in split_names(settings.image_pull_secrets)]
    return {"imagePullSecrets": secrets} if secrets else {}
