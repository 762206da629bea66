"""Which of the model's own objects must be written so that it is served as the spec says. Pure."""

from dataclasses import dataclass
from typing import Any

from model_operator import names
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.observation import Object, Observation, Pod
from model_operator.planning.artifact import Artifact
from model_operator.planning.autoscaling import render_autoscaler
from model_operator.planning.decision import Reference
from model_operator.planning.deployment import parse_live_artifact, render_deployment
from model_operator.planning.drift import find_drift, render_applied
from model_operator.planning.engine import find_unsuitable
from model_operator.planning.ownership import (
    Conflict,
    is_controlled,
    list_children,
    list_conflicts,
    render_own_metadata,
    render_selector,
)
from model_operator.planning.start import Start, choose_start, find_start
from model_operator.planning.verdict import Verdict
from model_operator.settings import Settings

_NEW_REPLICAS = 1
"""What the API server gives a Deployment that states none."""


@dataclass(frozen=True)
class ServingDecision:
    """The writes, and what stands in their way."""

    apply: tuple[Object, ...] = ()
    scale: int | None = None
    delete: tuple[Reference, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    unsuitable: Verdict | None = None
    """Why nothing is written: the image or the artifact cannot serve as the spec asks."""
    reasons: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.apply or self.delete or self.scale is not None)


def plan_serving(
    model: CompressedModel, observation: Observation, artifact: Artifact | None, settings: Settings
) -> ServingDecision:
    """The writes that serve `artifact`; without one, those that serve the live one as the rest of the spec says.

    An object that is not the model's is left alone, and nothing is made that would act on a foreign Deployment, or that
    could not serve as the spec asks.
    """
    conflicts = list_conflicts(model, observation.uid, observation.children)
    foreign = {conflict.reference.kind for conflict in conflicts}
    deployment = observation.children.deployment
    if deployment is not None and artifact is None and "Deployment" not in foreign:
        artifact = parse_live_artifact(deployment)
    unsuitable = find_unsuitable(model, settings, artifact)
    if artifact is None or "Deployment" in foreign or unsuitable is not None:
        return ServingDecision(conflicts=conflicts, unsuitable=unsuitable)
    live, kept = list_children(observation.children), observation.children.kept
    start = _hold_start(model, observation, artifact, settings)
    drifts = [
        (applied, drift)
        for applied in map(render_applied, _render_wanted(model, observation.uid, artifact, settings, start))
        if (kind := applied["kind"]) not in foreign
        and (drift := find_drift(applied, live.get(kind), kept.get(kind))) is not None
    ]
    scale, delete = _plan_replicas(model, deployment), _plan_removal(model, observation)
    reasons = [f"apply {applied['kind']} {model.metadata.name}: {drift}" for applied, drift in drifts]
    reasons += [f"scale Deployment {model.metadata.name} to {scale}"] if scale is not None else []
    reasons += [f"delete {gone.kind} {gone.name}: the spec has no autoscaling" for gone in delete]
    return ServingDecision(tuple(applied for applied, _ in drifts), scale, delete, conflicts, reasons=tuple(reasons))


def _hold_start(model: CompressedModel, observation: Observation, artifact: Artifact, settings: Settings) -> Start:
    """How the pods of the live Deployment begin, where that is all that would change; how new ones do otherwise.

    A release may bring another beginning for every model, and pods that serve need it no more: it comes with the next
    change of the Deployment, or at once where pods do not get past unpacking.
    """
    deployment, wanted = observation.children.deployment, choose_start(model, settings)
    live = None if deployment is None else find_start(deployment)
    if live in {None, wanted} or any(map(_is_held_up_by_unpacking, observation.pods)):
        return wanted
    standing = render_applied(render_deployment(model, observation.uid, artifact, settings, live))
    return live if find_drift(standing, deployment, observation.children.kept.get("Deployment")) is None else wanted


def _is_held_up_by_unpacking(pod: Pod) -> bool:
    return not pod.ready and not pod.terminating and pod.container == names.UNPACK_CONTAINER and bool(pod.reason)


def _render_wanted(
    model: CompressedModel, uid: str, artifact: Artifact, settings: Settings, start: Start
) -> tuple[dict[str, Any], ...]:
    autoscaling = model.spec.autoscaling
    return (
        render_deployment(model, uid, artifact, settings, start),
        render_service(model, uid),
        render_disruption_budget(model, uid),
        *((render_autoscaler(model, uid, autoscaling),) if autoscaling is not None else ()),
    )


def render_service(model: CompressedModel, uid: str) -> dict[str, Any]:
    """The Service (ClusterIP) with REST and gRPC."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": render_own_metadata(model, uid),
        "spec": {
            "type": "ClusterIP",
            "selector": render_selector(model),
            "ports": [
                _render_port("http", names.HTTP_PORT, "http"),
                _render_port("grpc", names.GRPC_PORT, "kubernetes.io/h2c"),
            ],
        },
    }


def render_disruption_budget(model: CompressedModel, uid: str) -> dict[str, Any]:
    """The PodDisruptionBudget: at most one pod is away for a node's sake."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": render_own_metadata(model, uid),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": render_selector(model)}},
    }


def _render_port(name: str, port: int, app_protocol: str) -> dict[str, Any]:
    return {"name": name, "port": port, "targetPort": name, "protocol": "TCP", "appProtocol": app_protocol}


def _plan_replicas(model: CompressedModel, deployment: Object | None) -> int | None:
    """The spec's replicas while no autoscaler has them; one that has does not start from zero, so it gets its least."""
    live = _NEW_REPLICAS if deployment is None else deployment.get("spec", {}).get("replicas", _NEW_REPLICAS)
    if model.spec.autoscaling is None:
        return model.spec.replicas if live != model.spec.replicas else None
    return model.spec.autoscaling.min_replicas if live == 0 else None


def _plan_removal(model: CompressedModel, observation: Observation) -> tuple[Reference, ...]:
    autoscaler = observation.children.autoscaler
    if model.spec.autoscaling is not None or autoscaler is None or not is_controlled(autoscaler, observation.uid):
        return ()
    return (Reference("HorizontalPodAutoscaler", model.metadata.name),)
