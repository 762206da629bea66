"""Builds that nobody asks for any more end, and those that somebody asks for go on; played on a real API server."""

import json

from cluster.client import wait_until
from operator_play import PATIENCE_SECONDS, SUMMARY, training_model


def owners(cluster, job):
    """Who owns the Job; none where it is gone."""
    found = cluster.read("job", job)
    return sorted(each["name"] for each in found["metadata"].get("ownerReferences", ())) if found else None


def wait_for_owners(cluster, job, *names):
    wait_until(lambda: owners(cluster, job), lambda seen: seen == sorted(names), PATIENCE_SECONDS, f"owners of {job}")


def test_suspending_the_only_asker_ends_the_build_and_going_on_makes_it_again(operator, cluster):
    assert operator
    cluster.make_claim()
    cluster.make(training_model())
    (job,) = cluster.wait_for_jobs(1)
    name = job["metadata"]["name"]
    cluster.start_build(job)
    cluster.wait_for("small", Ready="False/Building")
    cluster.patch("cmod", "small", {"spec": {"suspend": True}})
    cluster.wait_for_leaving(name)
    cluster.wait_for("small", Ready="False/Suspended", ArtifactReady="False/Suspended", Stalled="False/NotStalled")
    cluster.patch("cmod", "small", {"spec": {"suspend": False}})
    cluster.wait_for("small", Ready="False/BuildPending")
    assert f"Job {name} is being ended" in cluster.message("small", "Ready")
    cluster.collect_build(name)
    (again,) = cluster.wait_for_jobs(1)
    assert again["metadata"]["name"] == name
    assert again["metadata"]["uid"] != job["metadata"]["uid"]
    cluster.start_build(again)
    cluster.end_build(again, json.dumps(SUMMARY))
    cluster.wait_for("small", ArtifactReady="True/Built")


def test_a_build_goes_on_while_another_model_asks_for_it(operator, cluster):
    assert operator
    cluster.make_claim()
    cluster.make(training_model("first"), training_model("second"), training_model("third"))
    (job,) = cluster.wait_for_jobs(1)
    name = job["metadata"]["name"]
    wait_for_owners(cluster, name, "first", "second", "third")
    cluster.start_build(job)
    cluster.patch("cmod", "first", {"spec": {"suspend": True}})
    wait_for_owners(cluster, name, "second", "third")
    cluster.patch("cmod", "second", {"spec": {"compression": {"bits": 4}}})
    wait_for_owners(cluster, name, "third")
    assert "deletionTimestamp" not in cluster.read("job", name)["metadata"]
    cluster.patch("cmod", "first", {"spec": {"suspend": False}})
    wait_for_owners(cluster, name, "first", "third")
    assert len(cluster.list("jobs")) == 2


def test_of_two_that_leave_at_once_one_ends_the_build(operator, cluster):
    assert operator
    cluster.make_claim()
    cluster.make(*(training_model(f"m{number}") for number in range(6)))
    (job,) = cluster.wait_for_jobs(1)
    name = job["metadata"]["name"]
    wait_for_owners(cluster, name, *(f"m{number}" for number in range(6)))
    cluster.make(*(training_model(f"m{number}", suspend=True) for number in range(6)))
    cluster.wait_for_leaving(name)


def test_many_models_of_one_recipe_made_at_once_build_once(operator, cluster):
    assert operator
    cluster.make_claim()
    models = [f"m{number}" for number in range(8)]
    cluster.make(*map(training_model, models))
    (job,) = cluster.wait_for_jobs(1)
    wait_for_owners(cluster, job["metadata"]["name"], *models)
    cluster.start_build(job)
    cluster.end_build(job, json.dumps(SUMMARY))
    for name in models:
        cluster.wait_for(name, seconds=30, ArtifactReady="True/Built")
    assert [each["metadata"]["uid"] for each in cluster.list("jobs")] == [job["metadata"]["uid"]]


def test_another_recipe_ends_the_build_of_the_one_before(operator, cluster):
    assert operator
    cluster.make_claim()
    cluster.make(training_model())
    (job,) = cluster.wait_for_jobs(1)
    cluster.start_build(job)
    cluster.patch("cmod", "small", {"spec": {"compression": {"bits": 4}}})
    cluster.wait_for_leaving(job["metadata"]["name"])
    assert len(cluster.wait_for_jobs(2)) == 2


def test_a_queue_admits_the_build_and_is_not_overruled(operator, cluster):
    """Kueue sees the label, lets the suspended Job run when there is room, and may suspend it again."""
    assert operator
    cluster.make_claim()
    cluster.make(training_model(build={"queueName": "team"}))
    (job,) = cluster.wait_for_jobs(1)
    name = job["metadata"]["name"]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    assert job["spec"]["suspend"] is True
    cluster.wait_for("small", Ready="False/BuildQueued")
    cluster.patch("job", name, {"spec": {"suspend": False}})
    cluster.start_build(cluster.read("job", name))
    cluster.wait_for("small", Ready="False/Building")
    assert cluster.read("job", name)["spec"]["suspend"] is False
    cluster.patch("cmod", "small", {"spec": {"suspend": True}})
    cluster.wait_for_leaving(name)


def test_gpus_node_and_deadline_reach_the_job(operator, cluster):
    assert operator
    cluster.make_claim()
    build = {
        "resources": {"limits": {"nvidia.com/gpu": "1", "memory": "8Gi"}},
        "nodeSelector": {"accelerator": "fast"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "timeoutSeconds": 600,
    }
    cluster.make(training_model(build=build))
    (job,) = cluster.wait_for_jobs(1)
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "1", "memory": "8Gi"}
    assert (pod["nodeSelector"], pod["tolerations"][0]["key"]) == ({"accelerator": "fast"}, "gpu")
    assert (job["spec"]["activeDeadlineSeconds"], job["spec"]["backoffLimit"]) == (600, 0)
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
