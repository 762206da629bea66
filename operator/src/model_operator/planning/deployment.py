"""The Deployment of a model: unpack and verify the artifact, then serve it. Pure.

Its replicas are never stated here: they belong to the HorizontalPodAutoscaler, or go through the scale subresource.
"""

from typing import Any

from model_operator import names
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.observation import Object
from model_operator.planning.artifact import Artifact
from model_operator.planning.engine import choose_image, render_engine_arguments
from model_operator.planning.ownership import render_labels, render_own_metadata, render_selector
from model_operator.planning.pod import Amounts, render_container, render_pod, render_resources
from model_operator.planning.quantity import parse_quantity
from model_operator.planning.signing import render_trust
from model_operator.planning.start import Start, choose_start
from model_operator.planning.store import StoreAccess, render_access
from model_operator.settings import Settings

MODELS_FOLDER = "/models"
_CONFIGURATION_FOLDER = "/etc/modelpress"
_MONITORING_FILE = "monitoring.config"
_MONITORING = f'prometheus_config {{ enable: true, path: "{names.METRICS_PATH}" }}'
_TERMINATION_LOG = "/dev/termination-log"
_VERSION = 1

SERVER_RESOURCES: Amounts = {
    "requests": {"cpu": "250m", "memory": "256Mi"},
    "limits": {"cpu": "2", "memory": "1Gi"},
}
UNPACK_RESOURCES: Amounts = {
    "requests": {"cpu": "100m", "memory": "128Mi"},
    "limits": {"cpu": "1", "memory": "512Mi"},
}


def render_deployment(
    model: CompressedModel, uid: str, artifact: Artifact, settings: Settings, start: Start | None = None
) -> dict[str, Any]:
    """The Deployment that serves this artifact, its pods begun as `start` says, or as new ones are."""
    start = start or choose_start(model, settings)
    revision = {names.ANNOTATION_REVISION: artifact.digest}
    template_annotations = {
        **revision,
        names.ANNOTATION_MONITORING: _MONITORING,
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(names.HTTP_PORT),
        "prometheus.io/path": names.METRICS_PATH,
        **render_trust(settings).annotations,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": render_own_metadata(model, uid, {**revision, names.ANNOTATION_ARTIFACT: artifact.uri}),
        "spec": {
            "selector": {"matchLabels": render_selector(model)},
            "strategy": _render_strategy(model),
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 2,
            "template": {
                "metadata": {"labels": render_labels(model), "annotations": template_annotations},
                "spec": _render_pod_spec(model, artifact, settings, start),
            },
        },
    }


def parse_live_artifact(deployment: Object) -> Artifact | None:
    """The artifact that a Deployment of ours serves; None where its annotations were removed."""
    annotations = deployment.get("metadata", {}).get("annotations") or {}
    uri, digest = annotations.get(names.ANNOTATION_ARTIFACT), annotations.get(names.ANNOTATION_REVISION)
    return Artifact(digest, uri) if uri and digest else None


def find_unpack_memory(model: CompressedModel) -> str:
    """The memory limit of the unpacking: that of the server where the spec states one above the default.

    Both never run at once, so that what a quota counts of the pod stays the same. Up to the default the template does
    not change: no pod is replaced for it.
    """
    default = UNPACK_RESOURCES["limits"]["memory"]
    resources = model.spec.serving.resources
    stated = resources.limits.get("memory") if resources is not None else None
    wanted, least = parse_quantity(stated), parse_quantity(default)
    return str(stated) if wanted is not None and least is not None and wanted > least else default


def _render_unpack_resources(model: CompressedModel) -> Amounts:
    """Its own, with the memory that it may use, and with requests that never make the pod ask for more than its server.

    A pod asks for the larger of its init containers' requests and its servers': a small server would pay for the
    unpacking for as long as it lives.
    """
    server = render_resources(model.spec.serving.resources, SERVER_RESOURCES)
    asked = {**server.get("limits", {}), **server.get("requests", {})}
    requests = {name: _choose_less(own, asked.get(name)) for name, own in UNPACK_RESOURCES["requests"].items()}
    return {"requests": requests, "limits": {**UNPACK_RESOURCES["limits"], "memory": find_unpack_memory(model)}}


def _choose_less(own: str, asked: str | None) -> str:
    mine, servers = parse_quantity(own), parse_quantity(asked)
    return str(asked) if mine is not None and servers is not None and servers < mine else own


def _render_strategy(model: CompressedModel) -> dict[str, Any]:
    if model.spec.rollout.strategy == "Recreate":
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def _render_pod_spec(model: CompressedModel, artifact: Artifact, settings: Settings, start: Start) -> dict[str, Any]:
    monitoring = {
        "path": _MONITORING_FILE,
        "fieldRef": {"fieldPath": f"metadata.annotations['{names.ANNOTATION_MONITORING}']"},
    }
    access, trust = render_access(artifact.uri, settings, read_only=True), render_trust(settings)
    return {
        **render_pod(model.spec.serving, settings),
        "terminationGracePeriodSeconds": 30,
        "initContainers": [_render_unpack(model, artifact, settings, start, access)],
        "containers": [_render_server(model, settings, start)],
        "volumes": [
            *access.volumes,
            *trust.volumes,
            {"name": "model", "emptyDir": {}},
            {"name": "configuration", "downwardAPI": {"items": [monitoring]}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }


def _render_unpack(
    model: CompressedModel, artifact: Artifact, settings: Settings, start: Start, access: StoreAccess
) -> dict[str, Any]:
    """The only container that sees the store; it ends with an error before a wrong byte is served."""
    trust = render_trust(settings)
    return {
        **render_container(names.UNPACK_CONTAINER, start.unpack_image, settings, _render_unpack_resources(model)),
        "command": ["model-artifact"],
        "args": [
            "unpack",
            access.place,
            f"{MODELS_FOLDER}/{model.metadata.name}/{_VERSION}",
            "--digest",
            artifact.digest,
            *start.arguments,
            *trust.arguments,
            "--summary",
            _TERMINATION_LOG,
        ],
        **({"envFrom": list(access.environment_from)} if access.environment_from else {}),
        "volumeMounts": [
            *access.mounts,
            *trust.mounts,
            {"name": "model", "mountPath": MODELS_FOLDER},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  the pod's own, an emptyDir
        ],
    }


def _render_server(model: CompressedModel, settings: Settings, start: Start) -> dict[str, Any]:
    name = model.metadata.name
    resources = render_resources(model.spec.serving.resources, SERVER_RESOURCES)
    return {
        **render_container(names.SERVER_CONTAINER, choose_image(model, settings), settings, resources),
        "command": ["/usr/bin/tensorflow_model_server"],
        "args": [
            f"--port={names.GRPC_PORT}",
            f"--rest_api_port={names.HTTP_PORT}",
            f"--model_name={name}",
            f"--model_base_path={MODELS_FOLDER}/{name}",
            f"--monitoring_config_file={_CONFIGURATION_FOLDER}/{_MONITORING_FILE}",
            *render_engine_arguments(model),
        ],
        "ports": [
            {"name": "http", "containerPort": names.HTTP_PORT, "protocol": "TCP"},
            {"name": "grpc", "containerPort": names.GRPC_PORT, "protocol": "TCP"},
        ],
        **_render_probes(name, start),
        "volumeMounts": [
            {"name": "model", "mountPath": MODELS_FOLDER, "readOnly": True},
            {"name": "configuration", "mountPath": _CONFIGURATION_FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  the pod's own, an emptyDir
        ],
    }


def _render_probes(name: str, start: Start) -> dict[str, Any]:
    status = {"httpGet": {"path": f"/v1/models/{name}", "port": "http"}}
    return {
        **start.render_probes(status),
        # Endpoints go before the server does, so that no request meets a closed port.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
    }
