"""The Flask baseline's Deployment and Service, made from those of the uncompressed model. Pure.

Its pod is the model's with another server. The same init container unpacks and verifies the same artifact, and what
ours leaves packed as well, since TensorFlow alone reads that. Limits, security and probes are the same, so that
nothing differs but what is compared.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal

APPLICATION = "/opt/modelpress/flask_baseline/app.py"
PYTHON = "/opt/modelpress/venv/bin/python"
COUNT_FILES = (
    "import pathlib, sys; root = pathlib.Path(sys.argv[1]);"
    " assert root.is_dir(); print(sum(each.stat().st_size for each in root.rglob('*') if each.is_file()"
    " and not {'assets.extra', 'model.tflite'} & set(each.relative_to(root).parts)))"
)
"""A program that prints the bytes of a SavedModel: of its folder, without our own files beside it."""
CONTAINER = "server"
"""The name of ours, by which the chart's Prometheus keeps what the kubelet tells."""
FLASK_PORT = 8501
FlaskServer = Literal["flask", "gunicorn"]


def render_flask(
    name: str, image: str, deployment: Mapping[str, Any], threads: int, server: FlaskServer = "flask"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The Deployment and the Service.

    Args:
        name: of both.
        image: with the application.
        deployment: the live Deployment of the CompressedModel with the same weights.
        threads: what TensorFlow may compute with.
        server: Flask's own, or gunicorn.
    """
    labels = {"app.kubernetes.io/name": "flask-baseline", "app.kubernetes.io/instance": name}
    template = copy.deepcopy(dict(deployment["spec"]["template"]["spec"]))
    (ours,), (unpack,) = template["containers"], template["initContainers"]
    unpack["args"] = _unpack_all(unpack["args"])
    version = find_version_folder(template)
    kept = ("imagePullPolicy", "resources", "securityContext", "terminationMessagePolicy", "lifecycle")
    probe = {"httpGet": {"path": f"/v1/models/{name}", "port": "http"}}
    template["containers"] = [
        {key: ours[key] for key in kept if key in ours}
        | {
            "name": CONTAINER,
            "image": image,
            "command": [PYTHON, APPLICATION],
            "args": [f"--name={name}", f"--folder={version}", f"--threads={threads}", f"--server={server}"],
            "ports": [{"name": "http", "containerPort": FLASK_PORT, "protocol": "TCP"}],
            "readinessProbe": {**probe, "periodSeconds": 1, "failureThreshold": 15, "timeoutSeconds": 5},
            "livenessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 10, "initialDelaySeconds": 120},
            "volumeMounts": [
                {"name": "model", "mountPath": "/models", "readOnly": True},
                {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
            ],
        }
    ]
    template["volumes"] = [volume for volume in template["volumes"] if volume["name"] != "configuration"]
    metadata = {"name": name, "labels": labels}
    return (
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": template},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"name": "http", "port": FLASK_PORT, "targetPort": "http"}]},
        },
    )


def _unpack_all(arguments: Sequence[str]) -> list[str]:
    """The arguments without what they leave out of the artifact."""
    options = [place for place, each in enumerate(arguments) if each == "--exclude"]
    return [each for place, each in enumerate(arguments) if not {place, place - 1} & set(options)]


def find_version_folder(template: Mapping[str, Any]) -> str:
    """Where the init container unpacks the artifact to."""
    (unpack,) = template["initContainers"]
    target: str = unpack["args"][2]
    return target
