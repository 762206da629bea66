"""A model's autoscaler on requests a pod and on p95, through a real prometheus-adapter with the chart's rules."""

import json
import re
from pathlib import Path

import pytest
import yaml
from cluster.processes import ClusterError
from demo_cluster.installation import RELEASE, SYSTEM_NAMESPACE
from demo_cluster.loading import Load, ask_once, list_failures, write_body
from images.steps import tell_on_stderr

from adapter.programs import MODULE
from adapter.running import GROUP, VALUES, VERSIONS, running_adapter

NAME = "followed"
REQUESTS_A_POD = 15
REQUESTS_PER_SECOND = 60
MOST_PODS = 3
PER_POD, P95 = "modelpress_requests_per_second", "modelpress_p95_milliseconds"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "scaling.md"


def documented_autoscaling():
    """`spec.autoscaling` as the page shows it, for the test's model."""
    (block,) = re.findall(r"```yaml\n(autoscaling:\n.*?)```", PAGE.read_text(), re.DOTALL)
    text = block.replace("MODEL", NAME)
    return yaml.safe_load(text)["autoscaling"]


def manifest():
    """A model whose autoscaler is the page's, with a target that a little load exceeds."""
    autoscaling = documented_autoscaling()
    per_pod, p95 = autoscaling["metrics"]
    per_pod["pods"]["target"]["averageValue"] = str(REQUESTS_A_POD)
    # It is read and never decides: what it would do depends on how busy this machine is.
    p95["object"]["target"]["value"] = "60000"
    training = {"architecture": "SmallCNN", "dataset": "Digits", "epochs": 2, "seed": 12}
    requests = {"cpu": "20m", "memory": "128Mi"}
    return {
        "apiVersion": "modelpress.dev/v1alpha1",
        "kind": "CompressedModel",
        "metadata": {"name": NAME},
        "spec": {
            "compression": {"alpha": 1.25, "bits": 8},
            "source": {"training": training},
            "serving": {"resources": {"requests": requests, "limits": {"cpu": "1", "memory": "512Mi"}}},
            "autoscaling": {**autoscaling, "minReplicas": 1, "maxReplicas": MOST_PODS},
        },
    }


@pytest.fixture(scope="module")
def custom_metrics(node, models):
    """prometheus-adapter, which asks the chart's own Prometheus."""
    service = models.installation.client.read("service", f"{RELEASE}-prometheus", "-n", SYSTEM_NAMESPACE)
    url = f"http://{service['spec']['clusterIP']}:9090"
    with running_adapter(node.node, MODULE.build_program(tell_on_stderr), url):
        yield


@pytest.fixture
def served(models, custom_metrics):
    """The model, served; gone afterwards."""
    del custom_metrics
    models.apply(manifest())
    models.wait_for(NAME, "Ready", "True", seconds=240)
    yield models
    models.delete(NAME)


def ready_pods(models):
    """How many pods answer."""
    deployment = models.installation.client.read("deployment", NAME, "-n", models.namespace)
    return deployment["status"].get("readyReplicas", 0)


def current_metrics(models):
    """What the autoscaler last read, by the metric's name, and its conditions."""
    status = models.installation.client.read("hpa", NAME, "-n", models.namespace).get("status", {})
    read = {}
    for each in status.get("currentMetrics") or ():
        told = each.get("pods") or each.get("object")
        if told:
            read[told["metric"]["name"]] = told["current"].get("averageValue") or told["current"].get("value")
    conditions = {each["type"]: (each["status"], each["reason"]) for each in status.get("conditions", ())}
    return {"read": read, "conditions": conditions}


def read_metric(models, version, path):
    """Values that the API of custom metrics tells, by object; none where the adapter has not found the metric yet."""
    asked = f"/apis/{GROUP}/{version}/namespaces/{models.namespace}/{path}"
    try:
        items = json.loads(models.node.kubectl("get", "--raw", asked))["items"]
    except ClusterError as error:
        if "could not find the metric" not in str(error):
            raise
        return {}
    return {each["describedObject"]["name"]: parse_quantity(each["value"]) for each in items}


def parse_quantity(text):
    """Such as 15, 1500m or 0."""
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


@pytest.mark.timeout(900)
def test_replicas_follow_requests_a_pod_and_come_back(served, digit_pictures, tmp_path):
    models, places = served, served.node.node.places
    address = models.installation.client.read("service", NAME, "-n", models.namespace)["spec"]["clusterIP"]
    unasked = models.node.wait_until(
        lambda: read_metric(models, VERSIONS[0], f"pods/*/{PER_POD}"), bool, 90, "the metric of a pod without requests"
    )
    assert {pod.rsplit("-", 2)[0]: value for pod, value in unasked.items()} == {NAME: 0}
    assert ask_once(places, NAME, address, digit_pictures)
    idle = models.node.wait_until(
        lambda: current_metrics(models), lambda seen: set(seen["read"]) == {PER_POD, P95}, 120, "both metrics"
    )
    assert idle["conditions"]["ScalingActive"] == ("True", "ValidMetricFound")
    body = write_body(digit_pictures, tmp_path / "body.json")
    url = f"http://{address}:8501/v1/models/{NAME}:predict"
    plan = {"seconds": 300, "targets": [{"name": NAME, "url": url, "body": str(body), "rate": REQUESTS_PER_SECOND}]}
    load = Load(places, tmp_path / "load", plan)
    try:
        models.node.wait_until(lambda: ready_pods(models), lambda count: count == MOST_PODS, 180, "as many as may be")
        told = models.node.wait_until(
            lambda: [read_metric(models, version, f"pods/*/{PER_POD}") for version in VERSIONS],
            lambda seen: all(sum(values.values()) > 0.7 * REQUESTS_PER_SECOND for values in seen),
            90,
            "requests a second of all pods",
        )
        (slowest,) = read_metric(models, VERSIONS[0], f"services/{NAME}/{P95}").values()
    finally:
        load.stop()
    print(f"requests a second by pod {told}, p95 {slowest} ms; load: {load.latest()}")
    assert 0 < slowest < 10_000
    assert list_failures(load.latest()["targets"][0]) == {}
    models.node.wait_until(lambda: ready_pods(models), lambda count: count == 1, 240, "one pod again")


def test_the_rules_name_no_more_than_the_page_does():
    rules = yaml.safe_load(VALUES.read_text())["rules"]["custom"]
    names = {each["name"]["as"] for each in rules}
    assert names == {PER_POD, P95} == set(re.findall(r"modelpress_\w+?_(?:second|milliseconds)\b", PAGE.read_text()))
