"""Puts configurations on a cluster and waits until each answers; all stand side by side, one pod each."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from cluster.client import Client
from cluster.processes import ClusterError
from demo_cluster.installation import place_artifact
from demo_cluster.models import format_progress, is_ready, is_stalled

from load.configurations import ARTIFACTS, TENSORFLOW_SERVING, Limits, Planned, find_trained, render_manifest
from load.flask_pod import COUNT_FILES, PYTHON, FlaskServer, render_flask
from load.kpis import PrometheusPlace
from load.results import Configuration
from model_operator import names
from model_operator.serving_pod import Served, find_served

READY_SECONDS = 3600
_REACH_SECONDS = 5
_ANSWER_BYTES = 65_536

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Scene:
    """A cluster with the operator on it, on which configurations are measured.

    Attributes:
        client: kubectl.
        namespace: where the models are; it has a store.
        description: of the cluster, in words.
        prometheus: where Prometheus is.
        enter: the command prefix by which a generator gets to where Services' addresses lead.
        flask_image: of the Flask baseline; empty where there is none.
        generator_image: of generators that run as Jobs; empty where they run from here.
        store: folder of the store's files on this machine; None where it is elsewhere.
        trained: folder of trained artifacts on this machine.
    """

    client: Client
    namespace: str
    description: str
    prometheus: PrometheusPlace
    enter: tuple[str, ...] = ()
    flask_image: str = ""
    generator_image: str = ""
    store: Path | None = None
    trained: Path = ARTIFACTS

    def apply(self, *objects: Any) -> None:
        """Have these in the namespace."""
        body = objects[0] if len(objects) == 1 else {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.client.kubectl("apply", "-n", self.namespace, "-f", "-", text=json.dumps(body))

    def read(self, *arguments: str) -> Any:
        """What `kubectl get … -o json` gives in the namespace."""
        return self.client.read(*arguments, "-n", self.namespace)


def deploy(
    scene: Scene,
    planned: Sequence[Planned],
    limits: Limits,
    window: str,
    *,
    tell: Tell,
    flask_server: FlaskServer = "flask",
) -> None:
    """Have all of them ready; what stands already is left as it is.

    Raises:
        ClusterError: when one cannot be served, or it takes too long.
    """
    models = [each for each in planned if each.kind != "flask"]
    for each in models:
        scene.apply(render_manifest(each, limits, window, provide_trained(scene, each)))
    tell(f"applied {', '.join(each.name for each in models)} in namespace {scene.namespace}")
    wait_until_ready(scene, [each.name for each in models], tell)
    for each in planned:
        if each.kind == "flask":
            deploy_flask(scene, each, limits, flask_server, tell, weights_of=each.reference)


def provide_trained(scene: Scene, planned: Planned) -> dict[str, str] | None:
    """A trained artifact as `source.artifact`, copied into the store; None where there is none, or no way to it."""
    trained = find_trained(planned, scene.trained)
    if trained is None or scene.store is None:
        return None
    return place_artifact(scene.store, trained.path)


def read_server_image(scene: Scene) -> str:
    """The image of our servers, as the operator's own settings name it; empty where it is not seen."""
    selector = "app.kubernetes.io/name=modelpress,app.kubernetes.io/component=operator"
    found = scene.client.read("deployments", "--all-namespaces", "-l", selector)["items"]
    settings = [
        setting.get("value", "")
        for deployment in found
        for container in deployment["spec"]["template"]["spec"]["containers"]
        for setting in container.get("env", ())
        if setting["name"] == "MODELPRESS_SERVER_IMAGE"
    ]
    return str(settings[0]) if len(settings) == 1 else ""


def plan_image(planned: Planned, server_image: str, flask_image: str) -> str:
    """The image that a configuration's server will have; empty where it is not known yet."""
    return {"flask": flask_image, "tensorflow-serving": TENSORFLOW_SERVING}.get(planned.kind, server_image)


def find_digest(scene: Scene, planned: Planned) -> str | None:
    """Of the trained artifact that the configuration will serve; None where it will not be trained."""
    trained = find_trained(planned, scene.trained)
    return None if trained is None or scene.store is None else trained.digest


def wait_until_ready(scene: Scene, wanted: Sequence[str], tell: Tell) -> None:
    """All of these models ready; says what changes.

    Raises:
        ClusterError: when one stalls, or it takes too long.
    """
    deadline = time.monotonic() + READY_SECONDS
    told: dict[str, str] = {}
    while True:
        listed = scene.read("cmod")["items"]
        models = [model for model in listed if model["metadata"]["name"] in wanted]
        for model in models:
            name, line = model["metadata"]["name"], format_progress(model)
            if told.get(name) != line:
                told[name] = line
                tell(line)
        if len(models) == len(wanted) and all(is_ready(model) for model in models):
            return
        stalled = [told[model["metadata"]["name"]] for model in models if has_stalled(model)]
        if stalled or time.monotonic() > deadline:
            waiting = [line for line in told.values() if not line.endswith(": Ready")]
            raise ClusterError("; ".join(stalled or waiting) + f" (kubectl describe cmod -n {scene.namespace})")
        time.sleep(1)


def has_stalled(model: Mapping[str, Any]) -> bool:
    """Whether nothing goes on without a change, of what was asked for now and not of what was before."""
    seen = model.get("status", {}).get("observedGeneration") == model["metadata"]["generation"]
    return seen and is_stalled(model)


def deploy_flask(
    scene: Scene, planned: Planned, limits: Limits, server: FlaskServer, tell: Tell, *, weights_of: str
) -> None:
    """The Flask baseline with the weights of that uncompressed model, which its own init container fetches likewise.

    Raises:
        ClusterError: when it does not become ready.
    """
    deployment = scene.read("deployment", weights_of)
    scene.apply(*render_flask(planned.name, scene.flask_image, deployment, count_threads(limits.cpu), server))
    tell(f"{planned.name}: waiting for TensorFlow behind Flask")
    scene.client.kubectl("rollout", "status", f"deployment/{planned.name}", "-n", scene.namespace, "--timeout=600s")
    tell(f"{planned.name}: Ready")


def count_threads(cpu: str) -> int:
    """The threads that a CPU limit such as `500m` or `2` has processors for; at least 1."""
    cores = int(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)
    return max(1, -(-int(1000 * cores) // 1000))


def read_served(scene: Scene, planned: Planned) -> Served:
    """The pods of the configuration that answer.

    Raises:
        ClusterError: when none does.
    """
    selector = (
        f"app.kubernetes.io/instance={planned.name}"
        if planned.kind == "flask"
        else f"{names.LABEL_MODEL}={planned.name},{names.LABEL_COMPONENT}={names.COMPONENT_SERVER}"
    )
    pods = scene.read("pods", "-l", selector)["items"]
    served = find_served(scene.namespace, planned.name, pods)
    if served is None:
        raise ClusterError(f"{planned.name} has no pod that answers (kubectl get pods -n {scene.namespace})")
    return served


def read_ready(scene: Scene, planned: Planned) -> tuple[int, Mapping[str, Any]]:
    """How many pods are ready, and the object that says so: the CompressedModel, or the baseline's Deployment."""
    kind = "deployment" if planned.kind == "flask" else "cmod"
    found = scene.read(kind, planned.name)
    status = found.get("status", {})
    told = status if planned.kind == "flask" else status.get("serving", {})
    return int(told.get("readyReplicas", 0)), found


def read_address(scene: Scene, planned: Planned) -> str:
    """The cluster address of the configuration's Service."""
    address: str = scene.read("service", planned.name)["spec"]["clusterIP"]
    return address


def require_reach(scene: Scene, planned: Planned) -> None:
    """Refuse a cluster whose Services cannot be reached from here: a forwarded port would measure the forwarding.

    Raises:
        ClusterError: when the model does not answer at its Service's address.
    """
    if scene.enter or scene.generator_image:
        return
    address = read_address(scene, planned)
    if problem := find_silence(address, names.HTTP_PORT, planned.name):
        raise ClusterError(
            f"{planned.name} at {address}:{names.HTTP_PORT} cannot be reached from here ({problem}): say --generators"
            " job where the command takes it, or run this on a node of the cluster; a port that kubectl forwards is no"
            " way for load, it would be measured itself"
        )


def find_silence(host: str, port: int, name: str) -> str:
    """Why the model of that name does not answer there; empty when it does.

    It has to answer: a gateway may well take connections to addresses that it does not know.
    """
    try:
        with closing(HTTPConnection(host, port, timeout=_REACH_SECONDS)) as connection:
            connection.request("GET", f"/v1/models/{name}")
            answer = connection.getresponse()
            said = answer.read(_ANSWER_BYTES)
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    return "" if answer.status == HTTPStatus.OK and b"AVAILABLE" in said else f"HTTP {answer.status}, from no model"


def read_configuration(scene: Scene, planned: Planned, limits: Limits) -> Configuration:
    """What is known of a configuration that is ready."""
    served = scene.read("cmod", planned.source)
    artifact = served["status"]["artifact"]
    reference = scene.read("cmod", planned.reference)["status"]["artifact"]
    trained = bool(artifact.get("trained", False))
    deployment = scene.read("deployment", planned.name)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    flask = planned.kind == "flask"
    return Configuration(
        name=planned.name,
        network=planned.network,
        alpha=planned.alpha,
        bits=planned.bits,
        channel_sparsity=planned.channel_sparsity,
        kind=planned.kind,
        trained=trained,
        quality_percent=artifact.get("quality", {}).get("value") if trained else None,
        zeros_percent=artifact.get("sparsityPercent"),
        artifact_bytes=reference.get("baselineSizeBytes") if flask else artifact.get("sizeBytes"),
        uncompressed_bytes=reference.get("baselineSizeBytes"),
        saved_model_bytes=read_saved_model_bytes(scene, planned, container) if flask else None,
        bits_per_weight=32.0 if flask else artifact.get("bitsPerWeight"),
        entropy_bits_per_weight=artifact.get("entropyBitsPerWeight"),
        image=container["image"],
        cpu_limit=limits.cpu,
        memory_limit=limits.memory,
        weights=format_weights(artifact),
    )


def read_saved_model_bytes(scene: Scene, planned: Planned, container: Mapping[str, Any]) -> int | None:
    """The size of the SavedModel on the Flask pod's disk, asked of the pod; None where it does not say."""
    folder = next(each for each in container["args"] if each.startswith("--folder=")).removeprefix("--folder=")
    command = ["exec", f"deployment/{planned.name}", "-n", scene.namespace, "--", PYTHON, "-c", COUNT_FILES, folder]
    done = scene.client.run(*command)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdigit() else None


def format_weights(artifact: Mapping[str, Any]) -> str:
    """Where they come from, in words."""
    if artifact.get("trained"):
        return f"trained on {artifact.get('dataset', 'data of its own')}, {artifact['digest']}"
    return f"initial weights, pruned and quantised without training, {artifact['digest']}"
