"""What a spec names and the cluster has not: it is told with what to do, and it goes on when that comes.

The words are those of the API server's own admission; the Job controller, which repeats them in an Event, is played.
"""

import json

import pytest
from cluster.client import wait_until
from operator_play import NOW, PATIENCE_SECONDS, training_model

OURS = "registry.example/modelpress-server:1"
OWN = {"uri": "pvc://nets/v1/own.keras", "dataset": {"uri": "s3://sets/own.npz"}, "epochs": 1}


def own_model(**fields):
    """A model of a user's own, to be built from files in a claim and in a bucket."""
    body = training_model(**fields)
    body["spec"]["source"] = {"model": OWN}
    return body


def try_pod(cluster, job):
    """Be the Job controller: make the Job's pod, and where that is refused say so as it does; the refusal."""
    template = job["spec"]["template"]
    name, labels = job["metadata"]["name"], template["metadata"]["labels"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{name}-x", "labels": labels},
        "spec": template["spec"],
    }
    tried = cluster.server.kubectl("create", "-n", cluster.namespace, "-f", "-", text=json.dumps(pod))
    assert tried.returncode != 0, tried.stdout
    refusal = tried.stderr.strip().removeprefix("Error from server (Forbidden): ").split("error when creating", 1)[-1]
    words = f"Error creating: {refusal.split(': ', 1)[-1]}"
    about = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"]}
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.1"},
        "involvedObject": about | {"namespace": cluster.namespace},
        "type": "Warning",
        "reason": "FailedCreate",
        "message": words,
        "firstTimestamp": NOW,
        "lastTimestamp": NOW,
    }
    cluster.make(event)
    return words


def test_a_model_of_ones_own_waits_for_its_claim_and_is_built(operator, cluster):
    assert operator
    cluster.make_claim()
    cluster.make(own_model())
    cluster.wait_for("small", Ready="False/DataMissing", Reconciling="True/DataMissing", Stalled="False/NotStalled")
    assert cluster.message("small", "Ready").startswith(
        "The PersistentVolumeClaim nets, in which spec.source.model says that files are, does not exist"
    )
    assert cluster.list("jobs") == []
    cluster.make_claim("nets")
    (job,) = cluster.wait_for_jobs(1, seconds=20)
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    stated = {each["name"]: each["value"] for each in container["env"]}
    assert json.loads(stated["MODELPRESS_RECIPE"])["training"] == {
        "model": {"uri": OWN["uri"]},
        "data": {"uri": OWN["dataset"]["uri"]},
        "epochs": 1,
    }
    assert stated["MODELPRESS_CLAIMS"] == "/claims"
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert mounts == {"/store": False, "/claims/nets": True, "/tmp": False}  # noqa: S108  the pod's own
    claims = {each["persistentVolumeClaim"]["claimName"] for each in spec["volumes"] if "persistentVolumeClaim" in each}
    assert claims == {"modelpress-store", "nets"}


def test_a_model_waits_for_its_baseline(operator, cluster):
    assert operator
    cluster.make_claim()
    cluster.make(training_model(baseline={"name": "whole"}))
    cluster.wait_for("small", Compared="False/BaselineMissing", Ready="False/BuildPending")
    assert cluster.message("small", "Compared") == "The baseline whole does not exist in this namespace; create it."
    cluster.make(training_model("whole", seed=1))
    cluster.wait_for("small", seconds=20, Compared="False/BaselineNotReady")


def test_a_priority_class_that_is_not_there_is_named_with_the_remedy(operator, cluster):
    assert operator
    cluster.make_claim()
    cluster.make(training_model(build={"priorityClassName": "batch-high"}))
    (job,) = cluster.wait_for_jobs(1)
    assert "no PriorityClass with name batch-high was found" in try_pod(cluster, job)
    cluster.wait_for("small", Ready="False/BuildPending", Reconciling="True/BuildPending")
    expected = "Make it: kubectl create priorityclass batch-high --value=0; or correct spec.build.priorityClassName."
    wait_until(
        lambda: cluster.message("small", "Ready"), lambda said: said.endswith(expected), PATIENCE_SECONDS, "the remedy"
    )
    cluster.patch("cmod", "small", {"spec": {"build": {"priorityClassName": ""}}})
    cluster.wait_for_leaving(job["metadata"]["name"])
    cluster.collect_build(job["metadata"]["name"])
    (corrected,) = cluster.wait_for_jobs(1, seconds=20)
    assert corrected["metadata"]["name"] != job["metadata"]["name"], "a corrected name begins anew"
    assert "priorityClassName" not in corrected["spec"]["template"]["spec"]


def test_a_quota_that_leaves_no_room_is_named(operator, cluster):
    assert operator
    cluster.make_claim()
    hard = {"requests.cpu": "500m"}
    cluster.make({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"}, "spec": {"hard": hard}})
    cluster.patch(
        "resourcequota", "tight", {"status": {"hard": hard, "used": {"requests.cpu": "0"}}}, "--subresource=status"
    )
    cluster.make(training_model())
    (job,) = cluster.wait_for_jobs(1)
    assert "exceeded quota: tight" in try_pod(cluster, job)
    cluster.wait_for("small", Ready="False/QuotaExceeded", Reconciling="True/QuotaExceeded")
    assert cluster.message("small", "Ready").endswith(
        "Raise the quota, or lower spec.build.resources; it goes on by itself."
    )


def test_an_accelerator_is_asked_for_in_requests_and_limits(operator, cluster):
    assert operator
    cluster.make_claim()
    cluster.make(training_model(build={"resources": {"limits": {"nvidia.com/gpu": 1}}}))
    (job,) = cluster.wait_for_jobs(1)
    cluster.start_build(job)
    (pod,) = cluster.list("pods")
    (container,) = pod["spec"]["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "1", "memory": "2Gi", "nvidia.com/gpu": "1"},
        "limits": {"memory": "6Gi", "nvidia.com/gpu": "1"},
    }


@pytest.mark.parametrize("asked", [{"engine": "LiteRT"}, {"precision": "Float32", "image": OURS}])
def test_an_image_that_cannot_serve_so_is_told_and_what_is_served_stays(asked, served):
    cluster = served
    before = cluster.read("deployment", "small")["spec"]
    cluster.patch("cmod", "small", {"spec": {"serving": asked}})
    cluster.wait_for("small", Ready="False/UnsuitableImage", Stalled="True/UnsuitableImage", Available="True/Serving")
    assert cluster.read("deployment", "small")["spec"] == before
    cluster.patch("cmod", "small", {"spec": {"serving": {"engine": "LiteRT", "precision": "Auto", "image": OURS}}})
    cluster.wait_for("small", Ready="False/RollingOut", Stalled="False/NotStalled")
    (container,) = cluster.read("deployment", "small")["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["args"][-1]) == (OURS, "--engine=litert")
