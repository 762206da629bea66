"""How far the model's Deployment is, and which revision answers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_operator import names
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.observation import Observation, Pod
from model_operator.planning.artifact import Artifact
from model_operator.planning.deployment import parse_live_artifact
from model_operator.planning.history import match_digest
from model_operator.planning.ownership import is_controlled

_PENDING_REASONS = frozenset(
    {"Unschedulable", "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ContainerCreating"}
)


@dataclass(frozen=True)
class Rollout:
    """What is said of the Deployment and its pods; all empty where there is none of ours."""

    exists: bool = False
    artifact: Artifact | None = None
    """What the Deployment's template serves."""
    replicas: int = 0
    """What the Deployment is asked to run."""
    complete: bool = False
    """Every wanted pod is of the template, and as many as must are available; nothing older is left."""
    stuck: str = ""
    """Kubernetes' words when the rollout made no progress for its deadline."""
    refusal: str = ""
    """Kubernetes' words when it may not make pods."""
    served: str | None = None
    """Revision (12 digits) that answers, or that answered last."""
    served_digest: str | None = None
    """Its content digest; None where nothing tells it any more."""
    pods: tuple[Pod, ...] = ()
    """Those that are not ending."""

    @property
    def ready_pods(self) -> int:
        """Pods that answer."""
        return sum(pod.ready for pod in self.pods)

    @property
    def failing(self) -> Pod | None:
        """A pod that does not run, one of the template before others."""
        digest = self.artifact.digest if self.artifact is not None else ""
        troubled = [pod for pod in self.pods if pod.reason]
        return min(troubled, key=lambda pod: (pod.revision != digest, is_pending(pod), pod.name), default=None)


def is_pending(pod: Pod) -> bool:
    """Whether the pod waits for something outside it, rather than failing itself."""
    return pod.reason in _PENDING_REASONS


def parse_rollout(model: CompressedModel, observation: Observation) -> Rollout:
    """What the live Deployment and its pods tell."""
    deployment = observation.children.deployment
    if deployment is None or not is_controlled(deployment, observation.uid):
        return Rollout()
    artifact = parse_live_artifact(deployment)
    replicas = deployment.get("spec", {}).get("replicas", 1)
    status, least = _parse_fresh_status(deployment), _least_available(model, replicas)
    pods = tuple(pod for pod in observation.pods if not pod.terminating)
    complete = _is_complete(status, replicas, least) and _is_borne_out(artifact, pods, least)
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    progressing, failure = conditions.get("Progressing", {}), conditions.get("ReplicaFailure", {})
    serving = observation.status.get("serving") or {}
    served = _find_served(artifact, complete, pods, serving.get("revision"))
    digests = (artifact.digest if artifact is not None else None, *(pod.revision for pod in observation.pods))
    return Rollout(
        exists=True,
        artifact=artifact,
        replicas=replicas,
        complete=complete,
        stuck=progressing.get("message", "") if progressing.get("reason") == "ProgressDeadlineExceeded" else "",
        refusal=failure.get("message", "") if failure.get("status") == "True" else "",
        served=served,
        served_digest=match_digest(served, *digests, serving.get("digest")) if served is not None else None,
        pods=pods,
    )


def _parse_fresh_status(deployment: Mapping[str, Any]) -> Mapping[str, Any]:
    """The Deployment's status, unless it was written before its spec changed last."""
    status: Mapping[str, Any] = deployment.get("status") or {}
    generation = deployment.get("metadata", {}).get("generation", 0)
    return status if status.get("observedGeneration", -1) >= generation else {}


def _least_available(model: CompressedModel, replicas: int) -> int:
    """Pods that must be available; those that an autoscaler adds above its least may still be on their way."""
    return min(replicas, model.spec.autoscaling.min_replicas) if model.spec.autoscaling is not None else replicas


def _is_complete(status: Mapping[str, Any], replicas: int, least: int) -> bool:
    if "observedGeneration" not in status:
        return False
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas")]
    return counts == [replicas, replicas] and status.get("availableReplicas", 0) >= least


def _is_borne_out(artifact: Artifact | None, pods: tuple[Pod, ...], least: int) -> bool:
    """Whether the pods say the same as the Deployment's status, which may be older than they are, or newer."""
    if artifact is None:
        return False
    fresh = [pod for pod in pods if pod.revision == artifact.digest]
    others = [pod for pod in pods if pod.revision and pod.revision != artifact.digest]
    return not others and sum(pod.ready for pod in fresh) >= least


def _find_served(artifact: Artifact | None, complete: bool, pods: tuple[Pod, ...], previous: str | None) -> str | None:
    """Until a rollout is complete the revision that was served stays, as long as one of its pods answers."""
    template = names.short_digest(artifact.digest) if artifact is not None else None
    if complete:
        return template or previous
    answering = {names.short_digest(pod.revision) for pod in pods if pod.ready}
    if not answering or previous in answering:
        return previous
    return template if template in answering else min(answering)
