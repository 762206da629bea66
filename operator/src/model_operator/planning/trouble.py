"""Why a serving pod does not run, in Kubernetes' words, and what to do about it. Pure."""

from collections.abc import Callable, Mapping
from typing import Final

from model_artifact.summary import parse_failure
from model_operator import names
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.observation import Pod
from model_operator.planning.deployment import UNPACK_RESOURCES, find_unpack_memory
from model_operator.planning.verdict import format_sentence

_IMAGE_REASONS: Final = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull")


def format_trouble(model: CompressedModel, pod: Pod | None) -> str:
    """Which pod does not run, Kubernetes' reason, and what to do where we know it; empty where there is no such pod."""
    if pod is None:
        return ""
    words = _find_words(pod)
    where = f" in its container {pod.container}" if pod.container not in {"", names.SERVER_CONTAINER} else ""
    told = f"Pod {pod.name} does not run, {pod.reason}{where}{f': {words}' if words else ''}"
    find = _REMEDIES.get(pod.reason)
    return f"{format_sentence(told)} {find(model, pod) if find is not None else ''}".strip()


def _find_words(pod: Pod) -> str:
    """What was said; of an unpacking that failed its error, without the rest of the document."""
    failure = parse_failure(pod.unpack_message) if pod.container == names.UNPACK_CONTAINER else None
    return failure.error if failure is not None else pod.message


def _remedy_memory(model: CompressedModel, pod: Pod) -> str:
    if pod.container in {"", names.SERVER_CONTAINER}:
        return "Raise spec.serving.resources.limits.memory."
    if pod.container != names.UNPACK_CONTAINER:
        return ""
    least = UNPACK_RESOURCES["limits"]["memory"]
    return (
        f"Raise spec.serving.resources.limits.memory above {find_unpack_memory(model)}: the unpacking may use as much "
        f"as the server, and at least {least}."
    )


def _remedy_image(model: CompressedModel, pod: Pod) -> str:
    pull = "and that the node may pull it"
    if pod.container == names.UNPACK_CONTAINER:
        return f"It is the operator's image for unpacking: check the chart's images.unpack, {pull}."
    if pod.container not in {"", names.SERVER_CONTAINER}:
        return f"Check the image of the container {pod.container}, {pull}."
    if model.spec.serving.image:
        return f"Check spec.serving.image, {pull}."
    return f"It is the operator's image for serving: check the chart's images.server, {pull}."


def _remedy_node(model: CompressedModel, pod: Pod) -> str:
    if "persistentvolumeclaim" in pod.message:
        return f"Make the claim in the namespace {model.metadata.namespace}."
    return "Lower spec.serving.resources.requests, change spec.serving.nodeSelector, or add a node."


def _remedy_crash(model: CompressedModel, pod: Pod) -> str:
    container = f" -c {pod.container}" if pod.container else ""
    return f"Look at its log: kubectl -n {model.metadata.namespace} logs {pod.name}{container} --previous."


_REMEDIES: Final[Mapping[str, Callable[[CompressedModel, Pod], str]]] = {
    "OOMKilled": _remedy_memory,
    **dict.fromkeys(_IMAGE_REASONS, _remedy_image),
    "Unschedulable": _remedy_node,
    "CrashLoopBackOff": _remedy_crash,
}
