"""What is taken away or changed under the operator: its store, its children, its models, its namespace."""

import json

import pytest
from cluster.client import wait_until
from model_life import MANAGED
from operator_play import PATIENCE_SECONDS, SUMMARY, training_model

CHILDREN = ("deployment", "service", "pdb", "hpa")
SHARED = ("job", "configmap")
AUTOSCALING = {"minReplicas": 1, "maxReplicas": 4}
CLAIM = "modelpress-store"


@pytest.fixture
def served(stage):
    """A stage with a model that is served and scaled by an autoscaler."""
    stage.cluster.make_claim()
    stage.cluster.make(training_model(autoscaling=AUTOSCALING))
    stage.life.build(1)
    stage.life.roll_out("small", "aaaaaaaaaa")
    return stage


def jobs(stage):
    """Uids of the builds."""
    return [each["metadata"]["uid"] for each in stage.cluster.list("job")]


def left(cluster):
    """All that the operator made and that is there."""
    return [f"{kind}/{each['metadata']['name']}" for kind in (*CHILDREN, *SHARED) for each in made(cluster, kind)]


def made(cluster, kind):
    """The objects of the kind that the operator made."""
    return cluster.list(kind, MANAGED)


def release_claim(cluster):
    """Be the controller that lets a claim go when no pod uses it."""
    cluster.patch("persistentvolumeclaim", CLAIM, {"metadata": {"finalizers": None}})


def remove_claim(cluster):
    """Delete the claim."""
    release_claim(cluster)
    cluster.delete("persistentvolumeclaim", CLAIM)
    wait_until(
        lambda: cluster.read("persistentvolumeclaim", CLAIM), lambda found: found is None, PATIENCE_SECONDS, "no claim"
    )


def wait_for_look(cluster, generation):
    """Wait until the status is of this generation of the spec."""

    def seen():
        return cluster.read("cmod", "small")["status"]["observedGeneration"]

    wait_until(seen, lambda found: found == generation, PATIENCE_SECONDS, f"a look at generation {generation}")


def test_a_store_that_is_gone_for_a_while_is_told_and_costs_no_build(served):
    cluster, before = served.cluster, jobs(served)
    remove_claim(cluster)
    cluster.wait_for(
        "small", 30, Ready="False/StoreMissing", ArtifactReady="False/StoreMissing", Available="True/Serving"
    )
    deployment = cluster.read("deployment", "small")
    cluster.make_claim()
    cluster.wait_for("small", 30, Ready="True/Serving", ArtifactReady="True/Built")
    assert jobs(served) == before
    assert cluster.read("deployment", "small")["metadata"]["generation"] == deployment["metadata"]["generation"]


def test_a_store_that_goes_in_a_build_leaves_that_build_alone(stage):
    cluster = stage.cluster
    cluster.make_claim()
    cluster.make(training_model())
    (job,) = cluster.wait_for_jobs(1)
    cluster.start_build(job)
    cluster.wait_for("small", ArtifactReady="False/Building")
    remove_claim(cluster)
    cluster.patch("cmod", "small", {"spec": {"replicas": 2}})
    wait_for_look(cluster, 2)
    cluster.make_claim()
    cluster.end_build(job, json.dumps(SUMMARY))
    cluster.wait_for("small", 30, ArtifactReady="True/Built")
    assert jobs(stage) == [job["metadata"]["uid"]]


@pytest.mark.parametrize("absent", [False, True], ids=["while it looks", "while it is down"])
def test_children_that_are_deleted_by_hand_come_back_as_they_were(served, absent):
    cluster = served.cluster
    before = served.life.snapshot()
    if absent:
        served.operator.kill()
    for kind in CHILDREN:
        cluster.delete(kind, "small")
    if absent:
        served.operator.start()
    for kind in CHILDREN:
        wait_until(lambda kind=kind: cluster.read(kind, "small"), bool, PATIENCE_SECONDS, kind)
    cluster.report_deployment("small")
    served.life.wait_ready("small")
    after = served.life.snapshot()
    for kind in CHILDREN:
        assert after[f"{kind}/small"] == before[f"{kind}/small"]


@pytest.mark.parametrize("absent", [False, True], ids=["while it looks", "while it is down"])
def test_children_that_are_edited_by_hand_become_as_they_were(served, absent):
    cluster = served.cluster
    before = served.life.snapshot()
    if absent:
        served.operator.kill()
    template = {"spec": {"containers": [{"name": "server", "image": "someone/else:1"}]}}
    cluster.edit("deployment", "small", {"spec": {"template": template}})
    cluster.edit("service", "small", {"spec": {"selector": {"app": "other"}}})
    cluster.edit("hpa", "small", {"spec": {"maxReplicas": 50}})
    cluster.edit("pdb", "small", {"spec": {"maxUnavailable": 5}})
    cluster.edit("deployment", "small", {"metadata": {"labels": {"app.kubernetes.io/managed-by": "someone"}}})
    if absent:
        served.operator.start()
    wait_until(lambda: children(served), lambda found: found == pick(before), PATIENCE_SECONDS, "children as they were")
    assert jobs(served) == [each["metadata"]["uid"] for each in cluster.list("job")]


def children(stage):
    """Spec and labels of the children."""
    return pick(stage.life.snapshot())


def pick(snapshot):
    """Spec and labels of the children; whoever bears our label no more is none."""
    there = {kind: snapshot.get(f"{kind}/small") for kind in CHILDREN}
    return {kind: body and (body["spec"], body["metadata"]["labels"]) for kind, body in there.items()}


def test_a_record_and_a_job_that_are_deleted_by_hand_cost_one_build_together_and_none_alone(served):
    cluster = served.cluster
    (record,) = made(cluster, "configmap")
    name = record["metadata"]["name"]
    cluster.delete("configmap", name)
    wait_until(lambda: cluster.read("configmap", name), bool, PATIENCE_SECONDS, "the record, from the Job")
    (job,) = jobs(served)
    assert jobs(served) == [job]
    for each in cluster.list("job"):
        cluster.delete("job", each["metadata"]["name"])
    cluster.patch("cmod", "small", {"spec": {"replicas": 2}})
    wait_for_look(cluster, 2)
    served.life.wait_ready("small")
    assert jobs(served) == []


def test_a_model_that_is_deleted_while_the_operator_is_down_goes_with_all_its_children(served):
    cluster = served.cluster
    assert set(left(cluster)) >= {"deployment/small", "service/small", "pdb/small", "hpa/small"}
    served.operator.stop()
    cluster.delete("cmod", "small")
    assert cluster.read("cmod", "small") is None  # at once: nothing of ours holds it back
    wait_until(lambda: left(cluster), lambda found: found == [], 40, "no child")
    served.operator.start()
    cluster.make(training_model("next", autoscaling=AUTOSCALING))
    cluster.wait_for_jobs(1, PATIENCE_SECONDS)
    assert [each for each in left(cluster) if not each.startswith("job/")] == []


def test_a_model_that_is_made_anew_while_the_operator_is_down_is_a_model_of_its_own(served):
    cluster = served.cluster
    uid = cluster.read("cmod", "small")["metadata"]["uid"]
    served.operator.kill()
    cluster.delete("cmod", "small")
    cluster.make(training_model(replicas=2))
    served.operator.start()
    wait_until(
        lambda: owners(cluster), lambda found: found not in (set(), {uid}) and uid not in found, 40, "new owners"
    )
    assert cluster.read("hpa", "small") is None


def owners(cluster):
    """Uids of all who own what the operator made."""
    return {
        owner["uid"]
        for kind in (*CHILDREN, *SHARED)
        for each in made(cluster, kind)
        for owner in each["metadata"].get("ownerReferences", ())
    }


def test_a_namespace_that_is_deleted_goes_and_the_operator_lives_on(served):
    cluster = served.cluster
    cluster.patch("cmod", "small", {"spec": {"compression": {"bits": 4}}})
    cluster.wait_for_jobs(2, PATIENCE_SECONDS)
    release_claim(cluster)
    cluster.delete_namespace()
    wait_until(cluster.has_namespace, lambda there: not there, 60, "no namespace")
    assert served.operator.running
    assert served.operator.begun == 1
