"""Load generators as Jobs in the cluster, where Services can be reached from wherever the experiment is conducted.

A Job is one run. It is made suspended, is given its images as a ConfigMap that it owns, and then begins, so that
nothing is left when it is deleted, or when its time to live ends because nobody was left to delete it.
"""

import base64
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.processes import ClusterError

from load.deploying import Scene
from load.generating import Generator, GeneratorError, GeneratorRun, Protocol, Target
from load.generator_pod import (
    IMAGES,
    IMAGES_FOLDER,
    Order,
    parse_answer,
    parse_machine,
)
from load.machine import Machine
from load.measuring import Generate
from load.profiles import Profile
from model_operator import names
from model_operator.api.v1alpha1 import Placement
from model_operator.planning.pod import render_container, render_pod
from model_operator.settings import Settings

PYTHON = "/opt/modelpress/venv/bin/python"
CONTAINER = "generator"
LABELS = {"app.kubernetes.io/name": "modelpress-load-generator", "app.kubernetes.io/part-of": "modelpress"}
INSTANCE = "app.kubernetes.io/instance"
RESOURCES = {
    "requests": {"cpu": "250m", "memory": "256Mi", "ephemeral-storage": "64Mi"},
    "limits": {"cpu": "4", "memory": "1Gi", "ephemeral-storage": "1Gi"},
}
"""Much CPU at most, and more than the servers request: a generator that waits for a processor sends late."""

_SECONDS_TO_START = 180.0
_SECONDS_TO_ANSWER = 300.0
"""Beside the profile: a JVM's start, the wait for the last answers."""
_SECONDS_BETWEEN_LOOKS = 2.0
_SECONDS_TO_LIVE = 600
_TMP = "/tmp"  # noqa: S108 - the pod's own


@dataclass(frozen=True)
class GeneratorJobs:
    """Runs generators in the namespace of the models.

    Attributes:
        scene: the cluster.
        image: of the generators, as the cluster pulls it.
        seconds_to_start: until a pod runs, its image pulled.
    """

    scene: Scene
    image: str
    seconds_to_start: float = _SECONDS_TO_START

    def generate_by(self, generator: Generator, protocol: Protocol) -> Generate:
        """What sends a profile by that generator and gives its samples."""

        def generate(target: Target, profile: Profile, seed: int, out: Path) -> GeneratorRun:
            order = Order(target, profile, seed, protocol, generator)
            images = (target.bodies / IMAGES).read_bytes()
            return parse_answer(self._run(order.render(), profile.seconds, images), out)

        return generate

    def read_machine(self) -> Machine:
        """Where the generators run: by a Job that sends nothing, and shows early whether one can run at all.

        Raises:
            GeneratorError: when none can.
        """
        return parse_machine(self._run("{}", 0))

    def _run(self, order: str, load_seconds: float, images: bytes | None = None) -> str:
        """The log of a Job that did it."""
        client, namespace = self.scene.client, self.scene.namespace
        name = f"load-{secrets.token_hex(4)}"
        limit = load_seconds + _SECONDS_TO_ANSWER
        job = render_job(name, self.image, order, limit, with_images=images is not None)
        try:
            made = json.loads(client.kubectl("create", "-n", namespace, "-f", "-", "-o", "json", text=json.dumps(job)))
            if images is not None:
                owned = json.dumps(render_images(name, made["metadata"]["uid"], images))
                client.kubectl("create", "-n", namespace, "-f", "-", text=owned)
            client.kubectl("patch", "job", name, "-n", namespace, "--type=merge", "-p", '{"spec":{"suspend":false}}')
            self._wait(name, load_seconds)
            return client.kubectl("logs", f"job/{name}", "-n", namespace, "-c", CONTAINER)
        except ClusterError as error:
            raise GeneratorError(f"the generator's Job {namespace}/{name}: {error}") from error
        finally:
            client.run("delete", "job", name, "-n", namespace, "--ignore-not-found", "--wait=false")

    def _wait(self, name: str, load_seconds: float) -> None:
        """Return when the Job is complete; while the load lasts nothing is asked, which would be load of its own."""
        begun, load_left = time.monotonic(), load_seconds
        while True:
            found = self.scene.read("jobs,pods", "-l", f"{INSTANCE}={name}")["items"]
            job = next((each for each in found if each["kind"] == "Job"), {})
            pod = next((each for each in found if each["kind"] == "Pod"), {})
            if job.get("status", {}).get("succeeded"):
                return
            took = time.monotonic() - begun
            phase = pod.get("status", {}).get("phase", "Pending")
            too_late = took > (self.seconds_to_start if phase == "Pending" else load_seconds + _SECONDS_TO_ANSWER)
            if is_failed(job) or not job or too_late:
                raise GeneratorError(self._explain(name, pod))
            if phase == "Running" and load_left:
                time.sleep(load_left)
                load_left = 0.0
            else:
                time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _explain(self, name: str, pod: Mapping[str, Any]) -> str:
        """Why there is no answer, in a sentence with what to do."""
        where = f"the generator's Job {self.scene.namespace}/{name}"
        if why := explain_pending(pod):
            return f"{where} does not start: {why}; see that the cluster can pull {self.image} and has room for it"
        said = self.scene.client.run("logs", f"job/{name}", "-n", self.scene.namespace, "-c", CONTAINER, "--tail=3")
        words = " | ".join(said.stdout.strip().splitlines())[-2000:]
        return f"{where} failed; it said last: {words or 'nothing'}"


def is_failed(job: Mapping[str, Any]) -> bool:
    """Whether it has failed for good."""
    conditions = job.get("status", {}).get("conditions", ())
    return any(each["type"] == "Failed" and each["status"] == "True" for each in conditions)


def explain_pending(pod: Mapping[str, Any]) -> str:
    """What a pod waits for that does not run; empty when it runs, or ran."""
    status = pod.get("status", {})
    if status.get("phase", "Pending") != "Pending":
        return ""
    waiting = [each.get("state", {}).get("waiting") for each in status.get("containerStatuses", ())]
    unplaced = [each for each in status.get("conditions", ()) if each["status"] != "True" and each.get("message")]
    told = next((each for each in [*waiting, *unplaced] if each), {"reason": "it has no pod that was placed"})
    return ": ".join(str(told[key]) for key in ("reason", "message") if told.get(key))


def render_job(name: str, image: str, order: str, seconds: float, *, with_images: bool) -> dict[str, Any]:
    """The Job, suspended; pure.

    Args:
        name: of it, and of the ConfigMap with its images.
        image: with the generators.
        order: see `load.generator_pod`.
        seconds: after which it is ended.
        with_images: whether it needs the ConfigMap.
    """
    labels = {**LABELS, INSTANCE: name}
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {"sizeLimit": "512Mi"}}]
    mounts: list[dict[str, Any]] = [{"name": "tmp", "mountPath": _TMP}]
    if with_images:
        volumes.append({"name": "images", "configMap": {"name": name}})
        mounts.append({"name": "images", "mountPath": IMAGES_FOLDER, "readOnly": True})
    settings = Settings()
    container = render_container(CONTAINER, image, settings, RESOURCES)
    pod = {
        **render_pod(Placement(), settings),
        "restartPolicy": "Never",
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": _list_apart()}},
        "containers": [{**container, "command": [PYTHON, "-m", "load.generator_pod", order], "volumeMounts": mounts}],
        "volumes": volumes,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "suspend": True,
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(seconds),
            "ttlSecondsAfterFinished": _SECONDS_TO_LIVE,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _list_apart() -> list[dict[str, Any]]:
    """Away from what is measured, where there is more than one node."""
    servers = ({names.LABEL_COMPONENT: names.COMPONENT_SERVER}, {"app.kubernetes.io/name": "flask-baseline"})
    return [
        {
            "weight": 100,
            "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}},
        }
        for labels in servers
    ]


def render_images(name: str, owner: str, images: bytes) -> dict[str, Any]:
    """The ConfigMap of a Job's images, which goes with it; pure.

    Args:
        name: of it and of the Job.
        owner: the Job's uid.
        images: an .npy file of uint8 images.
    """
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": owner}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {**LABELS, INSTANCE: name}, "ownerReferences": [reference]},
        "immutable": True,
        "binaryData": {IMAGES: base64.b64encode(images).decode()},
    }
