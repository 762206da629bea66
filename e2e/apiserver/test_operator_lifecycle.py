"""The operator on a real API server, from a model to its Deployment and through what goes wrong on the way."""

import json

import pytest
from cluster.client import wait_until
from cluster.processes import ClusterError
from operator_play import DIGEST, PATIENCE_SECONDS, SUMMARY, training_model

SHORT = DIGEST.removeprefix("sha256:")[:12]


def resource_versions(cluster):
    kinds = ("cmod", "deployment", "service", "hpa", "pdb", "jobs", "configmaps")
    return {
        (kind, each["metadata"]["name"]): each["metadata"]["resourceVersion"]
        for kind in kinds
        for each in cluster.list(kind)
    }


def test_a_model_is_built_recorded_and_served(operator, cluster):
    assert operator
    cluster.make_claim()
    cluster.make(training_model())
    (job,) = cluster.wait_for_jobs(1)
    assert job["metadata"]["ownerReferences"][0]["uid"] == cluster.read("cmod", "small")["metadata"]["uid"]
    cluster.start_build(job)
    cluster.wait_for("small", ArtifactReady="False/Building", Ready="False/Building")
    cluster.end_build(job, json.dumps(SUMMARY))
    cluster.wait_for("small", ArtifactReady="True/Built", Available="False/NoReadyPods")
    cluster.serve("small")
    cluster.wait_for("small", Ready="True/Serving", Available="True/Serving")
    status = cluster.read("cmod", "small")["status"]
    assert status["observedGeneration"] == 1
    assert status["artifact"]["uri"] == f"pvc://modelpress-store/{SUMMARY['path']}"
    assert (status["artifact"]["digest"], status["artifact"]["ratio"]) == (DIGEST, 8.0)
    assert status["serving"]["revision"] == SHORT
    (record,) = cluster.list("configmaps", "app.kubernetes.io/managed-by=modelpress")
    assert record["immutable"] is True
    assert json.loads(record["data"]["summary.json"])["digest"] == DIGEST
    assert {name: cluster.read(name, "small") is not None for name in ("service", "pdb", "hpa")} == {
        "service": True,
        "pdb": True,
        "hpa": False,
    }


def test_a_model_waits_for_its_store_and_goes_on_by_itself(operator, cluster):
    assert operator
    cluster.make(training_model())
    cluster.wait_for("small", Ready="False/StoreMissing", Reconciling="True/StoreMissing", Stalled="False/NotStalled")
    assert "kubectl apply -n" in cluster.message("small", "Ready")
    assert cluster.list("jobs") == []
    cluster.make_claim()
    cluster.wait_for_jobs(1, seconds=20)


def test_a_build_that_fails_is_tried_again_and_says_why_when_no_try_is_left(operator, cluster):
    assert operator
    cluster.make_claim()
    cluster.make(training_model(build={"retries": 1}))
    (job,) = cluster.wait_for_jobs(1)
    cluster.start_build(job)
    failure = json.dumps({"error": "the data set cannot be downloaded; open the network", "permanent": False})
    cluster.end_build(job, failure, exit_code=5)
    cluster.wait_for("small", Ready="False/BuildFailed", Reconciling="True/BuildFailed")
    assert "the data set cannot be downloaded; open the network" in cluster.message("small", "Ready")
    assert "The next attempt starts at" in cluster.message("small", "Ready")
    jobs = cluster.wait_for_jobs(2, seconds=25)
    second = next(each for each in jobs if each["metadata"]["name"] != job["metadata"]["name"])
    cluster.start_build(second)
    cluster.end_build(second, "", exit_code=137, reason="OOMKilled")
    cluster.wait_for("small", Ready="False/BuildFailed", Stalled="True/BuildFailed")
    assert "spec.build.resources.limits.memory" in cluster.message("small", "Ready")
    assert len(cluster.list("jobs")) == 2


def test_a_failure_that_would_come_again_is_not_tried_again(operator, cluster):
    assert operator
    cluster.make_claim()
    cluster.make(training_model())
    (job,) = cluster.wait_for_jobs(1)
    cluster.start_build(job)
    cluster.end_build(job, json.dumps({"error": "bits must be less", "permanent": True}), exit_code=2)
    cluster.wait_for("small", Stalled="True/BuildFailed")
    assert "bits must be less" in cluster.message("small", "Stalled")


def test_a_foreign_object_of_the_models_name_is_left_alone(operator, cluster):
    assert operator
    spec = {"ports": [{"port": 80}], "selector": {"app": "other"}}
    cluster.make({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "small"}, "spec": spec})
    before = cluster.read("service", "small")
    cluster.make_claim()
    cluster.make(training_model())
    cluster.build()
    cluster.wait_for("small", Stalled="True/NameConflict", Ready="False/NameConflict")
    assert "Service small" in cluster.message("small", "Ready")
    assert cluster.read("service", "small") == before
    cluster.kubectl("delete", "service", "small")
    cluster.wait_for("small", seconds=25, Stalled="False/NotStalled")
    assert cluster.read("service", "small")["spec"]["selector"] != spec["selector"]


def test_a_child_that_is_edited_or_deleted_by_hand_is_put_back(served):
    served.patch("service", "small", {"spec": {"ports": [{"name": "http", "port": 9999, "targetPort": 1}]}})
    wait_until(
        lambda: [each["port"] for each in served.read("service", "small")["spec"]["ports"]],
        lambda ports: sorted(ports) == [8500, 8501],
        PATIENCE_SECONDS,
        "the Service's ports",
    )
    served.kubectl("delete", "pdb", "small")
    wait_until(lambda: served.read("pdb", "small"), bool, PATIENCE_SECONDS, "the PodDisruptionBudget")


def test_a_field_of_someone_else_is_left_alone(served):
    served.patch(
        "deployment", "small", {"metadata": {"annotations": {"team": "vision"}}, "spec": {"minReadySeconds": 7}}
    )
    served.patch("cmod", "small", {"spec": {"serving": {"resources": {"requests": {"cpu": "300m"}}}}})
    changed = wait_until(
        lambda: served.read("deployment", "small"),
        lambda body: body["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "300m",
        PATIENCE_SECONDS,
        "the new request",
    )
    assert changed["metadata"]["annotations"]["team"] == "vision"
    assert changed["spec"]["minReadySeconds"] == 7


def test_nothing_is_written_while_nothing_changes(served):
    settled = wait_until(
        lambda: resource_versions(served), lambda seen: seen == resource_versions(served), PATIENCE_SECONDS, "steady"
    )
    never = 20
    with pytest.raises(ClusterError, match="a write"):
        wait_until(lambda: resource_versions(served), lambda seen: seen != settled, never, "a write")


def test_back_to_a_known_recipe_serves_the_known_artifact_without_a_job(served):
    served.patch("cmod", "small", {"spec": {"compression": {"bits": 4}}})
    served.wait_for_jobs(2)
    served.wait_for("small", ArtifactReady="False/BuildPending", Available="True/PreviousRevision")
    served.patch("cmod", "small", {"spec": {"compression": {"bits": 8}}})
    served.wait_for("small", Ready="True/Serving", ArtifactReady="True/Built")
    served.kubectl("delete", "jobs", "--all", "--cascade=background")
    served.patch("cmod", "small", {"spec": {"serving": {"resources": {"requests": {"cpu": "320m"}}}}})
    wait_until(
        lambda: served.read("cmod", "small")["status"]["observedGeneration"],
        lambda generation: generation == 4,
        PATIENCE_SECONDS,
        "the last change of the spec",
    )
    served.report_deployment("small")
    served.wait_for("small", Ready="True/Serving", ArtifactReady="True/Built")
    assert served.list("jobs") == []


def test_two_models_with_one_recipe_build_once_and_both_own_it(operator, cluster):
    assert operator
    cluster.make_claim()
    cluster.make(training_model("first"), training_model("second"))
    (job,) = cluster.wait_for_jobs(1)
    wait_until(
        lambda: {each["name"] for each in cluster.list("jobs")[0]["metadata"]["ownerReferences"]},
        lambda owners: owners == {"first", "second"},
        PATIENCE_SECONDS,
        "owners of the Job",
    )
    cluster.start_build(job)
    cluster.end_build(job, json.dumps(SUMMARY))
    for name in ("first", "second"):
        cluster.wait_for(name, seconds=20, ArtifactReady="True/Built")
    wait_until(
        lambda: {each["name"] for each in cluster.list("configmaps")[0]["metadata"].get("ownerReferences", ())},
        lambda owners: owners == {"first", "second"},
        PATIENCE_SECONDS,
        "owners of the record",
    )
    assert len(cluster.list("jobs")) == 1


def test_a_suspended_model_is_told_of_and_not_touched(served):
    served.patch("cmod", "small", {"spec": {"suspend": True, "replicas": 3}})
    served.wait_for("small", Ready="False/Suspended", Reconciling="False/Suspended", Available="True/Serving")
    assert served.read("deployment", "small")["spec"]["replicas"] == 1
    served.patch("cmod", "small", {"spec": {"suspend": False}})
    wait_until(
        lambda: served.read("deployment", "small")["spec"]["replicas"],
        lambda count: count == 3,
        PATIENCE_SECONDS,
        "replicas",
    )


def test_replicas_pass_to_the_autoscaler_without_a_dip_and_back(served):
    served.patch("cmod", "small", {"spec": {"replicas": 3}})
    wait_until(
        lambda: served.read("deployment", "small")["spec"]["replicas"],
        lambda count: count == 3,
        PATIENCE_SECONDS,
        "replicas",
    )
    served.patch("cmod", "small", {"spec": {"autoscaling": {"minReplicas": 2, "maxReplicas": 4}}})
    wait_until(lambda: served.read("hpa", "small"), bool, PATIENCE_SECONDS, "the autoscaler")
    assert served.read("deployment", "small")["spec"]["replicas"] == 3
    served.kubectl("scale", "deployment", "small", "--replicas=4")
    served.patch("cmod", "small", {"spec": {"serving": {"resources": {"requests": {"cpu": "310m"}}}}})
    wait_until(
        lambda: served.read("deployment", "small")["spec"]["template"]["spec"]["containers"][0]["resources"],
        lambda resources: resources["requests"]["cpu"] == "310m",
        PATIENCE_SECONDS,
        "the new request",
    )
    assert served.read("deployment", "small")["spec"]["replicas"] == 4
    served.patch("cmod", "small", {"spec": {"autoscaling": None}})
    wait_until(lambda: served.read("hpa", "small"), lambda found: found is None, PATIENCE_SECONDS, "no autoscaler")
    wait_until(
        lambda: served.read("deployment", "small")["spec"]["replicas"],
        lambda count: count == 3,
        PATIENCE_SECONDS,
        "replicas",
    )


def test_an_autoscaler_that_the_api_server_refuses_is_told_in_its_words(served):
    metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Nonsense"}}}]
    served.patch("cmod", "small", {"spec": {"autoscaling": {"metrics": metrics}}})
    served.wait_for("small", Stalled="True/InvalidAutoscaling", Available="True/Serving")
    assert "Nonsense" in served.message("small", "Stalled")
    settled = served.read("cmod", "small")["metadata"]["resourceVersion"]
    with pytest.raises(ClusterError, match="another status"):
        wait_until(
            lambda: served.read("cmod", "small")["metadata"]["resourceVersion"],
            lambda seen: seen != settled,
            7,
            "another status",
        )


def test_a_missing_baseline_is_told_and_found_when_it_appears(served):
    served.patch("cmod", "small", {"spec": {"baseline": {"name": "plain"}}})
    served.wait_for("small", Compared="False/BaselineMissing", Ready="True/Serving")
    served.make(training_model("plain"))
    wait_until(
        lambda: served.conditions("small")["Compared"],
        lambda told: told != "False/BaselineMissing",
        PATIENCE_SECONDS,
        "the baseline",
    )


def test_objectives_without_a_prometheus_are_unknown(served):
    served.patch("cmod", "small", {"spec": {"objectives": {"p95LatencyMilliseconds": 10}}})
    served.wait_for("small", WithinObjectives="Unknown/PrometheusNotConfigured", Ready="True/Serving")
