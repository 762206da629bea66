"""A cluster for `bench.operator_scale`: many models whose artifacts are known, and the parts that Kubernetes plays.

No kubelet and no controller runs: pods are made ready as they would make them.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import kubernetes.client
import kubernetes.config
import prometheus_client.parser
import urllib3
from operator_play import NOW, SUMMARY, training_model

from model_artifact.summary import ArtifactSummary
from model_operator import names
from model_operator.api.v1alpha1 import parse_model
from model_operator.kube import ApiKube, load_configuration
from model_operator.measurement import KpiReader
from model_operator.observe import Sources
from model_operator.planning.job import render_record
from model_operator.planning.store import find_store
from model_operator.reconcile import Untaken, reconcile
from model_operator.settings import Settings

Object = Mapping[str, Any]
THREADS = 4
"""As many as the operator has workers."""
PASSES = 10
OURS = "deployments|services|horizontalpodautoscalers|poddisruptionbudgets|jobs|configmaps|pods|compressedmodels"


class Write(NamedTuple):
    """One write of the operator's, as text in which the model's name and uid can be replaced."""

    verb: str
    arguments: str


class Recorder:
    """A `Kube` that passes all on and keeps the writes."""

    def __init__(self, api: ApiKube) -> None:
        """Keep what `api` is asked to write."""
        self._api = api
        self.writes: list[Write] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A verb of the API's."""
        asked = getattr(self._api, name)
        if name not in {"create", "apply", "add_owner", "scale", "delete", "leave", "write_status"}:
            return asked

        def write(*arguments: Any) -> Any:
            self.writes.append(Write(name, json.dumps(arguments)))
            return asked(*arguments)

        return write


class BenchCluster:
    """The objects of one API server."""

    def __init__(self, kubeconfig: Path, models: int, namespaces: int) -> None:
        """Name `models` models in so many namespaces."""
        # The client read KUBECONFIG when it was imported.
        kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION = str(kubeconfig)
        self.api = ApiKube((), THREADS)
        self.keys = [(f"bench-{number % namespaces}", f"model-{number:05}") for number in range(models)]
        self._client = kubernetes.client.ApiClient(load_configuration())
        self._pool = ThreadPoolExecutor(THREADS)

    def close(self) -> None:
        """Close every connection."""
        self._pool.shutdown()
        self.api.close()
        self._client.close()

    def each(self, work: Callable[[tuple[str, str]], object], keys: Iterable[tuple[str, str]]) -> float:
        """Do it for every model, four at a time; the seconds that it took."""
        begun = time.monotonic()
        for _ in self._pool.map(work, keys):
            pass
        return time.monotonic() - begun

    def make_namespaces(self) -> None:
        """The namespaces, each with a bound claim for its store."""
        core = kubernetes.client.CoreV1Api(self._client)
        for namespace in sorted({namespace for namespace, _ in [*self.keys, ("bench-recorded", "")]}):
            core.create_namespace({"metadata": {"name": namespace}})
            core.create_namespaced_service_account(namespace, {"metadata": {"name": "default"}})
            spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
            core.create_namespaced_persistent_volume_claim(
                namespace, {"metadata": {"name": "modelpress-store"}, "spec": spec}
            )
            core.patch_namespaced_persistent_volume_claim_status(
                "modelpress-store", namespace, {"status": {"phase": "Bound"}}
            )

    def make_model(self, key: tuple[str, str]) -> None:
        """The model with autoscaling, and the record of its build, as if both had been restored from a backup."""
        namespace, name = key
        seed = int(re.sub(r"\D", "", name) or 0)
        body = training_model(name, seed=seed, autoscaling={"minReplicas": 1, "maxReplicas": 2})
        body["metadata"]["namespace"] = namespace
        self.api.create(namespace, render_bench_record(body))
        self.api.create(namespace, body)

    def record_writes(self) -> tuple[str, list[Write]]:
        """What the operator writes for one model until it is steady; the model's uid and the writes."""
        key = ("bench-recorded", "model-recorded")
        self.make_model(key)
        recorder = Recorder(self.api)
        untaken = Untaken()
        sources = Sources(recorder, KpiReader(None, 15), Settings())  # type: ignore[arg-type] - it passes all on
        for _ in range(PASSES):
            before = len(recorder.writes)
            reconcile(*key, sources, datetime.now(UTC), untaken)
            if len(recorder.writes) == before:
                break
        return self.read_model(key)["metadata"]["uid"], recorder.writes

    def replay(self, key: tuple[str, str], recorded_uid: str, writes: Sequence[Write]) -> None:
        """The recorded writes for another model, as fast as the API server answers."""
        namespace, name = key
        model = self.read_model(key)
        digest, recorded_digest = (recipe_digest(each, namespace) for each in (name, "model-recorded"))
        for write in writes:
            text = write.arguments.replace(recorded_uid, model["metadata"]["uid"])
            text = text.replace("bench-recorded", namespace).replace("model-recorded", name)
            text = text.replace(names.short_digest(recorded_digest, 32), names.short_digest(digest, 32))
            getattr(self.api, write.verb)(*json.loads(text))

    def read_model(self, key: tuple[str, str]) -> Any:
        """The model as it stands."""
        return self.api.read(names.KIND, *key)

    def serve(self, key: tuple[str, str]) -> None:
        """Be the Deployment's controller, scheduler and kubelet: one pod runs and is ready."""
        namespace, name = key
        core = kubernetes.client.CoreV1Api(self._client)
        deployment = self.api.read("Deployment", namespace, name)
        if deployment is None:
            raise RuntimeError(f"Deployment {namespace}/{name} is not there")
        template, pod = deployment["spec"]["template"], f"{name}-6d4cf56db6-abcde"
        labels = {**template["metadata"]["labels"], "pod-template-hash": "6d4cf56db6"}
        metadata = {"name": pod, "labels": labels, "annotations": template["metadata"].get("annotations")}
        self.api.create(namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
        container = {"name": "server", "ready": True, "restartCount": 0, "image": "i", "imageID": "i"}
        container["state"] = {"running": {"startedAt": NOW}}
        ready = [{"type": "Ready", "status": "True", "lastTransitionTime": NOW}]
        status = {"phase": "Running", "containerStatuses": [container], "conditions": ready}
        core.patch_namespaced_pod_status(pod, namespace, {"status": status})
        self._report(key, deployment["metadata"]["generation"])

    def _report(self, key: tuple[str, str], generation: int) -> None:
        """Be the Deployment's controller: its one pod is as this generation wants it."""
        namespace, name = key
        apps = kubernetes.client.AppsV1Api(self._client)
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1)
        status = {"observedGeneration": generation, **counts}
        apps.patch_namespaced_deployment_status(name, namespace, {"status": status})

    def change(self, key: tuple[str, str], number: int) -> float:
        """Change the model's spec; seconds until its Deployment is changed accordingly."""
        namespace, name = key
        objects = kubernetes.client.CustomObjectsApi(self._client)
        cpu = f"{100 + number}m"
        patch = {"spec": {"serving": {"resources": {"requests": {"cpu": cpu, "memory": "128Mi"}}}}}
        begun = time.monotonic()
        objects.patch_namespaced_custom_object(names.GROUP, names.VERSION, namespace, names.PLURAL, name, patch)
        while time.monotonic() < begun + 30:
            deployment = self.api.read("Deployment", namespace, name) or {}
            containers = deployment["spec"]["template"]["spec"]["containers"]
            if any(each.get("resources", {}).get("requests", {}).get("cpu") == cpu for each in containers):
                taken = time.monotonic() - begun
                self._report(key, deployment["metadata"]["generation"])
                return taken
            threading.Event().wait(0.01)
        raise RuntimeError(f"{namespace}/{name}: the change was not acted on within 30 s")

    def touch(self, key: tuple[str, str]) -> None:
        """Change a Service in what nobody looks at: an event, and one pass."""
        namespace, name = key
        core = kubernetes.client.CoreV1Api(self._client)
        patch = {"metadata": {"annotations": {"bench": str(time.monotonic_ns())}}}
        core.patch_namespaced_service(name, namespace, patch)

    def count_requests(self) -> dict[tuple[str, str], float]:
        """Requests for the kinds that the operator watches, by verb and resource, as the API server counts them."""
        text = self._client.call_api(
            *self._client.param_serialize("GET", "/metrics", auth_settings=["BearerToken"])
        ).read()
        counts: dict[tuple[str, str], float] = {}
        for sample in read_samples(text.decode()):
            if sample.name == "apiserver_request_total" and re.fullmatch(OURS, sample.labels.get("resource", "")):
                place = sample.labels["verb"], sample.labels["resource"]
                counts[place] = counts.get(place, 0) + sample.value
        return counts


def read_samples(text: str) -> Iterator[Any]:
    """The samples of a page of metrics."""
    for family in prometheus_client.parser.text_string_to_metric_families(text):
        yield from family.samples


def read_page(port: int, path: str) -> str:
    """A page of the operator's."""
    return urllib3.request("GET", f"http://127.0.0.1:{port}/{path}", timeout=30).data.decode()


def render_bench_record(body: Object) -> dict[str, Any]:
    """The record of the model's recipe, which nobody owns yet."""
    model = parse_model({**body, "metadata": {**body["metadata"], "uid": "none", "generation": 1}})
    recipe = model.recipe()
    if recipe is None:
        raise RuntimeError("a bench's model has a recipe")
    summary = ArtifactSummary.model_validate_json(json.dumps({**SUMMARY, "recipeDigest": recipe.digest}))
    record = render_record(model, "none", recipe.digest, summary, find_store(model.spec, None, Settings()))
    del record["metadata"]["ownerReferences"]
    return record


def recipe_digest(name: str, namespace: str) -> str:
    """Of a bench's model of that name."""
    seed = int(re.sub(r"\D", "", name) or 0)
    body = training_model(name, seed=seed)
    body["metadata"] |= {"namespace": namespace, "uid": "none", "generation": 1}
    recipe = parse_model(body).recipe()
    return "" if recipe is None else recipe.digest
