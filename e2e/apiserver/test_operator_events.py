"""Events of a model on a real API server: each milestone once, also when the operator ends and begins anew."""

import json

import pytest
from cluster.client import wait_until
from operator_play import DIGEST, PATIENCE_SECONDS, OperatorProcess, training_model

REVISION = DIGEST.removeprefix("sha256:")[:12]


@pytest.fixture
def own_operator(operator_kubeconfig, api_namespace, tmp_path):
    """An operator of the test's own namespace."""
    with OperatorProcess(
        operator_kubeconfig, tmp_path / "log", watch_namespaces=api_namespace, resync_seconds=5
    ) as running:
        yield running


def list_events(cluster):
    """Type, reason and message of the Events about models, in the order of their reasons."""
    listed = cluster.kubectl("get", "events", "-o", "json", "--field-selector", "involvedObject.kind=CompressedModel")
    return sorted((each["type"], each["reason"], each["message"]) for each in json.loads(listed)["items"])


def wait_for_generation(cluster, generation):
    """Until the operator has looked at that generation."""
    wait_until(
        lambda: cluster.read("cmod", "small")["status"],
        lambda status: status["observedGeneration"] == generation,
        PATIENCE_SECONDS,
        f"generation {generation} observed",
    )


def test_each_milestone_is_told_once_whatever_restarts(own_operator, cluster):
    cluster.make_claim()
    cluster.make(training_model())
    (job,) = cluster.wait_for_jobs(1)
    cluster.start_build(job)
    cluster.wait_for("small", Ready="False/Building")
    own_operator.kill()
    own_operator.start()
    cluster.end_build(job, json.dumps({"error": "the data set cannot be downloaded", "permanent": True}), exit_code=5)
    cluster.wait_for("small", Stalled="True/BuildFailed")
    told = list_events(cluster)
    assert [(kind, reason) for kind, reason, _ in told] == [
        ("Normal", "BuildStarted"),
        ("Warning", "BuildFailed"),
        ("Warning", "Stalled"),
    ]
    assert "the data set cannot be downloaded" in told[1][2]
    own_operator.stop()
    own_operator.start()
    cluster.patch("cmod", "small", {"spec": {"objectives": {"window": "10m"}}})
    wait_for_generation(cluster, 2)
    assert list_events(cluster) == told
    described = cluster.kubectl("describe", "cmod", "small")
    assert "BuildStarted" in described
    assert "modelpress-operator" in described


def test_a_model_that_is_served_has_its_history_and_its_events(own_operator, cluster):
    assert own_operator
    cluster.make_claim()
    cluster.make(training_model())
    (job,) = cluster.wait_for_jobs(1)
    cluster.start_build(job)
    cluster.wait_for("small", Ready="False/Building")
    cluster.build()
    cluster.serve("small")
    cluster.wait_for("small", Ready="True/Serving")
    assert [reason for _, reason, _ in list_events(cluster)] == ["BuildStarted", "BuildSucceeded", "RolledOut"]
    serving = cluster.read("cmod", "small")["status"]["serving"]
    assert (serving["revision"], serving["digest"]) == (REVISION, DIGEST)
    other = "sha256:" + "cd" * 32
    cluster.kubectl("delete", "pods", "--all", "--force")
    artifact = {"artifact": {"uri": "pvc://modelpress-store/other.zip", "digest": other}, "training": None}
    cluster.patch("cmod", "small", {"spec": {"source": artifact, "compression": None}})
    wait_for_generation(cluster, 2)
    cluster.wait_for("small", ArtifactReady="Unknown/Verifying")
    cluster.serve("small", "7f5b9c8d4")
    cluster.wait_for("small", Ready="True/Serving", ArtifactReady="True/Verified")
    status = cluster.read("cmod", "small")["status"]
    (entry,) = status["history"]
    assert (entry["digest"], entry["servedAt"]) == (DIGEST, serving["since"])
    assert entry["reason"] == f"replaced by {other} at generation 2 of the spec"
    assert entry["replacedAt"] == status["serving"]["since"]
    assert [reason for _, reason, _ in list_events(cluster)].count("RolledOut") == 2
