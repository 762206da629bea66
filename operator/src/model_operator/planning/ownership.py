"""Whose an object is, and the metadata of those that we make. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_operator import names
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.observation import Children, Object
from model_operator.planning.decision import Kind, Reference

CHILD_KINDS: tuple[tuple[Kind, str], ...] = (
    ("Deployment", "deployment"),
    ("Service", "service"),
    ("PodDisruptionBudget", "disruption_budget"),
    ("HorizontalPodAutoscaler", "autoscaler"),
)


@dataclass(frozen=True)
class Conflict:
    """An object of the model's name that another controls, or none."""

    reference: Reference
    predecessor: bool
    """True when it belonged to an earlier model of the same name and goes with it."""


def list_children(children: Children) -> dict[Kind, Object]:
    """The live objects by kind."""
    found = {kind: getattr(children, attribute) for kind, attribute in CHILD_KINDS}
    return {kind: live for kind, live in found.items() if live is not None}


def is_controlled(live: Object, uid: str) -> bool:
    """Whether the model of that uid controls the object."""
    controller = _find_controller(live)
    return controller is not None and controller.get("uid") == uid


def list_conflicts(model: CompressedModel, uid: str, children: Children) -> tuple[Conflict, ...]:
    """The objects that the model needs under its name and may not take; an autoscaler only while one is wanted."""
    return tuple(
        Conflict(Reference(kind, model.metadata.name), _is_predecessor(live, model.metadata.name))
        for kind, live in list_children(children).items()
        if not is_controlled(live, uid) and (kind != "HorizontalPodAutoscaler" or model.spec.autoscaling is not None)
    )


def render_own_metadata(model: CompressedModel, uid: str, annotations: Mapping[str, str] | None = None) -> Object:
    """Metadata of an object that belongs to this model alone."""
    return {
        "name": model.metadata.name,
        "namespace": model.metadata.namespace,
        "labels": render_labels(model),
        **({"annotations": dict(annotations)} if annotations else {}),
        "ownerReferences": [render_owner(model, uid) | {"controller": True, "blockOwnerDeletion": True}],
    }


def render_owner(model: CompressedModel, uid: str) -> dict[str, Any]:
    """The entry by which an object goes when its last owner goes."""
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": model.metadata.name, "uid": uid}


def render_labels(model: CompressedModel) -> dict[str, str]:
    """Labels of everything that is made for the model."""
    return {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_NAME: names.MANAGED_BY,
        **render_selector(model),
    }


def render_selector(model: CompressedModel) -> dict[str, str]:
    """Labels that the model's pods, and no others, carry."""
    return {names.LABEL_MODEL: model.metadata.name, names.LABEL_COMPONENT: names.COMPONENT_SERVER}


def _find_controller(live: Object) -> Object | None:
    owners = live.get("metadata", {}).get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)


def _is_predecessor(live: Object, name: str) -> bool:
    controller = _find_controller(live)
    return controller is not None and controller.get("kind") == names.KIND and controller.get("name") == name
