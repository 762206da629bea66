"""The operator is away while requests come: pods answer, the autoscaler scales, and what is deleted goes.

`--absent-seconds 600` has it away for ten minutes.
"""

import pytest
from demo_cluster.installation import SYSTEM_NAMESPACE
from demo_cluster.loading import Load, ask_once, list_failures, write_body

NAME = "left-alone"
OPERATOR = "app.kubernetes.io/component=operator"
REQUESTS_PER_SECOND = 60
MOST_PODS = 3
GONE_KINDS = "deployments,services,hpa,pdb,pods,replicasets"


def manifest():
    """A model that needs little, so that a little load is much for one of its pods."""
    training = {"architecture": "SmallCNN", "dataset": "Digits", "epochs": 2, "seed": 11}
    requests = {"cpu": "20m", "memory": "128Mi"}
    return {
        "apiVersion": "modelpress.dev/v1alpha1",
        "kind": "CompressedModel",
        "metadata": {"name": NAME},
        "spec": {
            "compression": {"alpha": 1.25, "bits": 8},
            "source": {"training": training},
            "serving": {"resources": {"requests": requests, "limits": {"cpu": "1", "memory": "512Mi"}}},
            "autoscaling": {"minReplicas": 1, "maxReplicas": MOST_PODS, "targetCPUUtilizationPercentage": 50},
        },
    }


def scale_operator(models, replicas):
    """Have so many operators, and wait until it is so."""
    client = models.installation.client
    (deployment,) = models.installation.client.read("deployments", "-n", SYSTEM_NAMESPACE, "-l", OPERATOR)["items"]
    name = deployment["metadata"]["name"]
    client.kubectl("scale", "deployment", name, "-n", SYSTEM_NAMESPACE, f"--replicas={replicas}")
    models.node.wait_until(
        lambda: len(operators(models)), lambda count: count == replicas, 60, f"{replicas} pods of the operator"
    )
    if replicas:
        client.kubectl("rollout", "status", f"deployment/{name}", "-n", SYSTEM_NAMESPACE, "--timeout=90s")


def operators(models):
    """The operator's pods."""
    return models.installation.client.read("pods", "-n", SYSTEM_NAMESPACE, "-l", OPERATOR)["items"]


def ready_pods(models):
    """How many pods answer."""
    deployment = models.installation.client.read("deployment", NAME, "-n", models.namespace)
    return deployment["status"].get("readyReplicas", 0)


@pytest.fixture
def served(models):
    """The model, served; the operator is there again afterwards, and the model gone."""
    models.apply(manifest())
    models.wait_for(NAME, "Ready", "True", seconds=240)
    yield models
    scale_operator(models, 1)
    models.delete(NAME)
    models.node.wait_until(lambda: left(models), lambda names: names == [], 90, "nothing of the model")


def left(models):
    """What was made for the model and is there."""
    return models.names(GONE_KINDS, f"modelpress.dev/model={NAME}")


@pytest.mark.timeout(1500, func_only=True)  # before it, images may be built for as long
def test_without_an_operator_models_serve_scale_and_can_be_deleted(served, digit_pictures, tmp_path, absent_seconds):
    models, places = served, served.node.node.places
    client = models.installation.client
    address = client.read("service", NAME, "-n", models.namespace)["spec"]["clusterIP"]
    body = write_body(digit_pictures, tmp_path / "body.json")
    url = f"http://{address}:8501/v1/models/{NAME}:predict"
    target = {"name": NAME, "url": url, "body": str(body), "rate": REQUESTS_PER_SECOND}
    scale_operator(models, 0)
    before = models.read(NAME)
    load = Load(places, tmp_path / "load", {"seconds": absent_seconds, "targets": [target]})
    try:
        models.node.wait_until(lambda: ready_pods(models), lambda count: count > 1, 120, "pods that were added")
        models.node.wait_until(load.is_over, bool, absent_seconds + 60, "the end of the load")
    finally:
        load.stop()
    told = load.latest()["targets"][0]
    print(told)
    assert list_failures(told) == {}
    assert told["ok"] > 0.9 * REQUESTS_PER_SECOND * absent_seconds
    assert operators(models) == []
    assert models.read(NAME)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    scaled = client.read("deployment", NAME, "-n", models.namespace)
    scale_operator(models, 1)
    models.wait_for(NAME, "Ready", "True")
    again = client.read("deployment", NAME, "-n", models.namespace)
    assert again["spec"]["template"] == scaled["spec"]["template"]
    assert ask_once(places, NAME, address, digit_pictures)
    scale_operator(models, 0)
    models.node.kubectl("delete", "cmod", NAME, "-n", models.namespace, "--timeout=20s")
    models.node.wait_until(lambda: left(models), lambda names: names == [], 90, "objects of a deleted model")
