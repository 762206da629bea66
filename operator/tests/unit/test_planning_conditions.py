"""Ready, Available, Reconciling and Stalled in every situation; and what is said of refusals."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from planning_toy import ToyCluster, make_summary

from model_artifact.summary import QualitySummary, format_document
from model_operator.api.status import CompressedModelStatus
from model_operator.api.v1alpha1 import Source
from model_operator.errors import InvalidModelError
from model_operator.observation import Baseline, Claim, Observation, Pod
from model_operator.planning.decision import Plan, Refusal
from model_operator.planning.plan import WATCHED_SECONDS, add_refusals, plan, plan_invalid

HPA_REFUSAL = Refusal(
    "HorizontalPodAutoscaler", "small", 'HorizontalPodAutoscaler "small" is invalid: metrics[0]: x', invalid=True
)


@pytest.fixture
def served(body):
    """A model that is served and steady."""
    cluster = ToyCluster(body)
    cluster.run()
    return cluster


def plan_with(cluster, **facts):
    return plan(cluster.model, replace(cluster.observe(), **facts), cluster.settings, cluster.now)


def conditions_of(status):
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in status["conditions"]}


def failing_pod(cluster, **facts):
    (pod,) = cluster.observe().pods
    return replace(pod, ready=False, **facts)


@pytest.mark.parametrize(
    ("reason", "message", "expected", "remedy"),
    [
        ("OOMKilled", "", "PodsFailing", "Raise spec.serving.resources.limits.memory."),
        ("CrashLoopBackOff", "bad flag", "PodsFailing", "--previous."),
        ("RunContainerError", "", "PodsFailing", "RunContainerError."),
        (
            "ImagePullBackOff",
            "no such image",
            "PodsPending",
            "check the chart's images.server, and that the node may pull it.",
        ),
        ("Unschedulable", "0/1 nodes", "PodsPending", "or add a node."),
        (
            "Unschedulable",
            'persistentvolumeclaim "x" not found',
            "PodsPending",
            "Make the claim in the namespace press.",
        ),
    ],
)
def test_a_pod_that_does_not_run_makes_it_not_ready_with_a_remedy(served, reason, message, expected, remedy):
    result = plan_with(served, pods=(failing_pod(served, reason=reason, message=message),))
    conditions = conditions_of(result.status)
    assert conditions["Ready"][:2] == ("False", expected)
    assert conditions["Ready"][2].endswith(remedy)
    assert conditions["Reconciling"][:2] == ("True", expected)
    assert conditions["Available"][:2] == ("False", "NoReadyPods")
    # Pods are watched: what comes round besides is for a watch that says nothing, and bounds the passes of many models.
    assert result.requeue_after_seconds == WATCHED_SECONDS


MEMORY = "Raise spec.serving.resources.limits.memory"


@pytest.mark.parametrize(
    ("container", "reason", "remedy"),
    [
        ("server", "OOMKilled", f"OOMKilled. {MEMORY}."),
        (
            "unpack",
            "OOMKilled",
            f"unpack. {MEMORY} above 512Mi: the unpacking may use as much as the server, and at least 512Mi.",
        ),
        ("istio-proxy", "OOMKilled", "OOMKilled in its container istio-proxy."),
        ("server", "CrashLoopBackOff", "kubectl -n press logs NAME -c server --previous."),
        ("unpack", "CrashLoopBackOff", "kubectl -n press logs NAME -c unpack --previous."),
        (
            "unpack",
            "ImagePullBackOff",
            "It is the operator's image for unpacking: check the chart's images.unpack, and that the node may pull it.",
        ),
        ("istio-proxy", "ErrImagePull", "Check the image of the container istio-proxy, and that the node may pull it."),
    ],
)
def test_the_remedy_is_for_the_container_that_needs_it(served, container, reason, remedy):
    pod = failing_pod(served, reason=reason, container=container)
    told = conditions_of(plan_with(served, pods=(pod,)).status)["Ready"][2]
    assert told.endswith(remedy.replace("NAME", pod.name))


def test_an_image_that_the_spec_names_is_the_specs_to_correct(served):
    served.body["spec"]["serving"] = {"image": "registry.example/own:1"}
    served.run()
    pod = failing_pod(served, reason="ImagePullBackOff", container="server")
    told = conditions_of(plan_with(served, pods=(pod,)).status)["Ready"][2]
    assert told.endswith("Check spec.serving.image, and that the node may pull it.")


def test_an_unpacking_that_failed_says_its_error_and_a_server_nothing_of_what_was_unpacked(served):
    failure = '{"error":"the store is full; make room.","permanent":false}'
    facts = {"reason": "CrashLoopBackOff", "message": failure, "unpack_message": failure, "unpack_exit_code": 1}
    told = [
        conditions_of(plan_with(served, pods=(failing_pod(served, **each),)).status)["Ready"][2]
        for each in (
            {**facts, "container": "unpack"},
            {"reason": "OOMKilled", "container": "server", "unpack_message": '{"digest":"x"}', "unpack_exit_code": 0},
        )
    ]
    assert "CrashLoopBackOff in its container unpack: the store is full; make room. Look at" in told[0]
    assert told[1].endswith(f"OOMKilled. {MEMORY}.")


@pytest.mark.parametrize(("ready", "told"), [(1, ("True", "Serving")), (0, ("False", "PodsPending"))])
def test_a_pod_that_an_autoscaler_adds_may_wait_for_a_node(served, ready, told):
    served.body["spec"]["autoscaling"] = {"minReplicas": 1, "maxReplicas": 3}
    served.run()
    (pod,) = served.observe().pods
    served.children["deployment"]["spec"]["replicas"] = 2
    counts = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": ready, "availableReplicas": ready}
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
    for conditions in ([], [late] if ready else []):
        served.children["deployment"]["status"] |= {**counts, "conditions": conditions}
        extra = replace(pod, name="extra", ready=False, reason="Unschedulable", message="0/1 nodes")
        result = plan_with(served, pods=(replace(pod, ready=bool(ready)), extra))
        found = conditions_of(result.status or served.status)
        assert found["Ready"][:2] == told
        assert "Pod extra does not run, Unschedulable: 0/1 nodes. Lower spec" in found["Ready"][2]
        assert found["Stalled"][0] == "False"
    failing = replace(pod, name="extra", ready=False, reason="CrashLoopBackOff", container="server")
    found = conditions_of(plan_with(served, pods=(replace(pod, ready=bool(ready)), failing)).status)
    assert found["Ready"][:2] == ("False", "PodsFailing")


def test_a_pod_that_ends_counts_no_more(served):
    result = plan_with(served, pods=(replace(served.observe().pods[0], terminating=True),))
    assert conditions_of(result.status)["Available"][:2] == ("False", "NoReadyPods")
    assert result.status["serving"]["replicas"] == 0


def with_deployment(cluster, **status):
    cluster.children["deployment"]["status"] |= status
    return plan_with(cluster)


def test_a_rollout_past_its_deadline_is_stalled_and_says_which_pod(served):
    progressing = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "message": "timed out",
    }
    served.children["deployment"]["status"] |= {"conditions": [progressing], "updatedReplicas": 0}
    pod = failing_pod(served, reason="CrashLoopBackOff")
    conditions = conditions_of(plan_with(served, pods=(pod,)).status)
    assert conditions["Stalled"][:2] == ("True", "RolloutStuck")
    assert conditions["Stalled"][2].startswith(f"timed out. Pod {pod.name} does not run, CrashLoopBackOff.")
    assert conditions["Reconciling"][:2] == ("False", "RolloutStuck")


@pytest.mark.parametrize(
    ("words", "reason"),
    [("pods is forbidden: exceeded quota: small", "QuotaExceeded"), ("violates PodSecurity", "Refused")],
)
def test_pods_that_kubernetes_refuses_are_told(served, words, reason):
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": words}
    conditions = conditions_of(with_deployment(served, conditions=[failure], availableReplicas=0).status)
    assert conditions["Ready"][:2] == ("False", reason)
    assert words in conditions["Ready"][2]


@pytest.mark.parametrize(
    "status",
    [{"observedGeneration": 0}, {"updatedReplicas": 0}, {"replicas": 2}, {"availableReplicas": 0}],
)
def test_a_rollout_that_is_not_over_is_not_ready(served, status):
    conditions = conditions_of(with_deployment(served, **status).status)
    assert conditions["Ready"][:2] == ("False", "RollingOut")
    assert conditions["Available"][:2] == ("True", "Serving")


def test_pods_that_an_autoscaler_adds_do_not_make_it_unready(served):
    served.edit(autoscaling={"minReplicas": 1, "maxReplicas": 5})
    served.run()
    served.children["deployment"]["spec"]["replicas"] = 3
    result = with_deployment(served, replicas=3, updatedReplicas=3, availableReplicas=1)
    assert result.scale is None
    assert conditions_of(result.status)["Ready"][:2] == ("True", "Serving")
    assert conditions_of(result.status)["Available"][2].endswith("1 of 3 pods ready.")


def foreign(kind):
    return {"kind": kind, "metadata": {"name": "small", "ownerReferences": []}, "spec": {}}


@pytest.mark.parametrize(
    ("attribute", "kind", "applied"),
    [
        ("deployment", "Deployment", []),
        ("service", "Service", ["Deployment", "PodDisruptionBudget"]),
        ("disruption_budget", "PodDisruptionBudget", ["Deployment", "Service"]),
        ("autoscaler", "HorizontalPodAutoscaler", ["Deployment", "Service", "PodDisruptionBudget"]),
    ],
)
def test_a_foreign_object_is_named_and_never_touched(body, attribute, kind, applied):
    body["spec"]["autoscaling"] = {}
    cluster = ToyCluster(body)
    cluster.step()
    cluster.step()
    cluster.children[attribute] = foreign(kind)
    for job in cluster.jobs.values():
        job["attempt"] = replace(job["attempt"], state="Succeeded", summary=make_summary(job["recipe"]))
    result = cluster.plan()
    kinds = [each["kind"] for each in result.apply if each["kind"] != "HorizontalPodAutoscaler"]
    assert kinds == applied
    assert kind not in [each["kind"] for each in result.apply]
    assert result.scale is None
    assert result.delete == ()
    stalled = conditions_of(result.status)["Stalled"]
    assert stalled[:2] == ("True", "NameConflict")
    assert f"There is a {kind} small that this model does not control" in stalled[2]


def test_a_foreign_autoscaler_is_welcome_where_none_is_wanted(served):
    served.children["autoscaler"] = foreign("HorizontalPodAutoscaler")
    result = served.plan()
    assert (result.delete, result.status) == ((), None)


def test_what_an_earlier_model_of_the_name_left_is_waited_for(served):
    successor = Observation(**{**vars(served.observe()), "uid": "uid-2"})
    result = plan(served.model, successor, served.settings, served.now)
    assert result.apply == ()
    assert conditions_of(result.status)["Reconciling"][:2] == ("True", "NameConflict")
    assert conditions_of(result.status)["Stalled"][0] == "False"


def test_a_revision_that_is_another_one_than_the_spec_asks_for_is_the_previous(served):
    served.edit(compression={"alpha": 0.5, "bits": 8})
    conditions = conditions_of(served.plan().status)
    assert conditions["Available"][:2] == ("True", "PreviousRevision")
    assert conditions["Ready"][:2] == ("False", "BuildPending")


def given_body(body, digest, uri="pvc://shared/models/small.zip"):
    artifact = {"uri": uri, "digest": digest}
    return body | {"spec": {"source": {"artifact": artifact}}}


DIGEST = "sha256:" + "ab" * 32


def test_a_given_artifact_is_rolled_out_and_its_facts_come_from_a_pod(body):
    cluster = ToyCluster(given_body(body, DIGEST))
    cluster.run()
    assert cluster.condition("ArtifactReady") == ("True", "Verified")
    assert "artifact" not in cluster.status
    compression = {"alpha": 1.25, "bits": 8, "rule": "Shadow"}
    less = {"channel_sparsity": 0.5, "first_and_last_layers": "Dense"}
    update = {"digest": DIGEST, "recipe_digest": None, **compression, **less}
    summary = make_summary(DIGEST).model_copy(update=update)
    pod = replace(cluster.observe().pods[0], unpack_message=format_document(summary))
    told = plan_with(cluster, pods=(pod,)).status
    assert told["artifact"]["uri"] == "pvc://shared/models/small.zip"
    assert told["artifact"]["sizeBytes"] == 1000
    assert "build" not in told
    assert told["compression"] == compression | {"channelSparsity": 0.5, "firstAndLastLayers": "Dense"}
    # Pods that come later, or none at all, take nothing of it away; what is of another artifact does not stay.
    for part in ("artifact", "compression"):
        assert plan_with(cluster, pods=(), status=told).status[part] == told[part]
    other = {**told, "artifact": {**told["artifact"], "digest": "sha256:" + "cd" * 32}}
    assert "compression" not in plan_with(cluster, pods=(), status=other).status


@pytest.mark.parametrize(
    ("metric", "measures"),
    [("Accuracy", None), ("Accuracy", {"Accuracy": 96.0, "F1": 95.0}), ("F1", {"Accuracy": 97.0})],
)
def test_what_is_kept_of_an_artifact_is_beside_the_baseline_that_there_is_now(body, metric, measures):
    """It was scaled to nothing, and its baseline was replaced or deleted since."""
    cluster = ToyCluster(given_body(body, DIGEST))
    cluster.run()
    quality = QualitySummary(metric=metric, value=96.0, float_value=97.5, samples=360, measures=measures)
    update = {"digest": DIGEST, "recipe_digest": None, "quality": quality}
    summary = make_summary(DIGEST).model_copy(update=update)
    pod = replace(cluster.observe().pods[0], unpack_message=format_document(summary))
    told = plan_with(cluster, pods=(pod,), baseline=baseline_of(4000, 98.0)).status
    assert (told["artifact"]["ratio"], told["artifact"]["quality"]["loss"]) == (4.0, 2.0)
    stored = json.loads(json.dumps(told, sort_keys=True))
    for baseline, ratio, loss in (
        (baseline_of(2000, 99.0), 2.0, 3.0),
        (Baseline("renamed", exists=False), 8.0, None),
        (None, 8.0, None),
    ):
        kept = plan_with(cluster, pods=(), baseline=baseline, status=stored).status["artifact"]
        assert kept == plan_with(cluster, pods=(pod,), baseline=baseline).status["artifact"]
        assert (kept["ratio"], kept["quality"].get("loss")) == (ratio, loss)
    # Written before the size as float32 was noted.
    stored["artifact"].pop("floatSizeBytes")
    assert plan_with(cluster, pods=(), baseline=None, status=stored).status["artifact"]["ratio"] == 4.0


def baseline_of(size_bytes, value):
    """A baseline of this size, which has this value by either metric."""
    quality = {"metric": "Accuracy", "value": value, "measures": {"Accuracy": value, "F1": value}}
    artifact = {"sizeBytes": size_bytes, "trained": True, "quality": quality}
    return Baseline("plain", exists=True, ready=True, artifact=artifact)


@pytest.mark.parametrize(("code", "reason"), [(2, "ArtifactMissing"), (3, "ArtifactMismatch"), (4, "ArtifactMismatch")])
def test_a_given_artifact_that_is_another_is_stalled_with_a_remedy(body, code, reason):
    cluster = ToyCluster(given_body(body, DIGEST))
    cluster.step()
    pod = Pod("p", "h", DIGEST, ready=False, terminating=False, unpack_exit_code=code, reason="CrashLoopBackOff")
    conditions = conditions_of(plan_with(cluster, pods=(pod,)).status)
    assert conditions["ArtifactReady"][:2] == ("False", reason)
    assert conditions["Stalled"][:2] == ("True", reason)
    assert "models/small.zip in the claim shared" in conditions["Stalled"][2]
    assert "so it is never served: the pod did not say why." in conditions["Stalled"][2]
    assert conditions["Stalled"][2].endswith("in spec.source.artifact.")


@pytest.mark.parametrize("code", [1, 137, None])
def test_other_ends_of_the_unpacking_are_the_pods_trouble(body, code):
    cluster = ToyCluster(given_body(body, DIGEST))
    cluster.step()
    pod = Pod("p", "h", DIGEST, ready=False, terminating=False, unpack_exit_code=code, reason="CrashLoopBackOff")
    conditions = conditions_of(plan_with(cluster, pods=(pod,)).status)
    assert conditions["ArtifactReady"][:2] == ("Unknown", "Verifying")
    assert conditions["Ready"][:2] == ("False", "PodsFailing")


def test_a_given_artifact_without_its_claim_waits(body):
    cluster = ToyCluster(given_body(body, DIGEST))
    result = plan_with(cluster, store=Claim("shared", "Missing"))
    assert result.apply == ()
    assert conditions_of(result.status)["ArtifactReady"][:2] == ("False", "StoreMissing")


def test_a_spec_without_any_source_is_invalid(served):
    empty = served.model.spec.model_copy(update={"source": Source.model_construct(training=None, artifact=None)})
    with pytest.raises(InvalidModelError, match=r"neither training nor artifact; state one of them$"):
        plan(served.model.model_copy(update={"spec": empty}), served.observe(), served.settings, served.now)


def test_an_invalid_object_is_stalled_and_what_is_served_stays_told(served):
    later = served.now + timedelta(minutes=1)
    observation = Observation(uid="uid-1", generation=7, status=served.status)
    result = plan_invalid(observation, "CompressedModel press/small: spec.compression.bits is 99; use 8", later)
    conditions = conditions_of(result.status)
    assert conditions["Ready"][:2] == ("False", "InvalidSpec")
    assert conditions["Stalled"] == ("True", "InvalidSpec", conditions["Ready"][2])
    assert conditions["Reconciling"][:2] == ("False", "InvalidSpec")
    assert conditions["Available"][:2] == ("True", "Serving")
    assert result.status["serving"] == served.status["serving"]
    assert result.status["observedGeneration"] == 7
    assert result == Plan(status=result.status, reasons=result.reasons)
    again = plan_invalid(replace(observation, status=result.status), result.reasons[0], later + timedelta(hours=1))
    assert again.status is None


def test_an_invalid_object_that_was_never_valid_has_a_status_all_the_same():
    result = plan_invalid(
        Observation(uid="u", generation=1, status={}), "spec is missing; state it", ToyCluster({}).now
    )
    assert [each["type"] for each in result.status["conditions"]] == ["Ready", "Reconciling", "Stalled"]


@pytest.mark.parametrize(
    ("refusal", "reason", "stalled"),
    [
        (HPA_REFUSAL, "InvalidAutoscaling", True),
        (replace(HPA_REFUSAL, invalid=False), "Refused", False),
        (Refusal("Deployment", "small", "admission webhook says no", invalid=True), "Refused", True),
        (Refusal("Job", "b", 'jobs is forbidden: exceeded quota: "q"', invalid=False), "QuotaExceeded", False),
        (Refusal("Job", "b", "exceeded quota: q", invalid=True), "QuotaExceeded", False),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(served, refusal, reason, stalled):
    status = add_refusals(served.status, [refusal], served.now)
    conditions = conditions_of(status)
    assert conditions["Ready"][:2] == ("False", reason)
    assert f"refuses {refusal.kind} {refusal.name}: {refusal.message}" in conditions["Ready"][2]
    assert conditions["Stalled"][0] == ("True" if stalled else "False")
    assert conditions["Reconciling"][0] == ("False" if stalled else "True")
    assert conditions["Available"][:2] == ("True", "Serving")
    assert CompressedModelStatus.model_validate(status).to_json() == status


def test_the_refusal_that_lasts_leads_and_all_are_told(served):
    passing = Refusal("Job", "b", "exceeded quota: q", invalid=False)
    ready = conditions_of(add_refusals(served.status, [passing, HPA_REFUSAL], served.now))["Ready"]
    assert ready[1] == "InvalidAutoscaling"
    assert "exceeded quota: q. The API server refuses HorizontalPodAutoscaler" in ready[2]
    assert ready[2].endswith("Correct spec.autoscaling.")


def test_a_refusal_that_goes_on_keeps_its_times_and_its_status(served):
    first = add_refusals(served.status, [HPA_REFUSAL], served.now)
    served.status = first
    served.now += timedelta(minutes=5)
    planned = served.plan().status
    assert planned != first
    assert add_refusals(planned, [HPA_REFUSAL], served.now, first) == first


def test_what_was_refused_is_not_tried_again_at_once(served):
    served.edit(autoscaling={"minReplicas": 1, "maxReplicas": 2})
    served.status = add_refusals(served.status, [HPA_REFUSAL], served.now)
    result = served.plan()
    assert [each["kind"] for each in result.apply] == ["HorizontalPodAutoscaler"]
    assert result.requeue_after_seconds == 10.0


def test_a_thousand_models_that_roll_out_at_once_come_round_thirty_three_times_a_second(served):
    """Their Deployments and pods are watched, so that coming round is only for a watch that says nothing."""
    deployment = served.observe().children.deployment
    unready = {**deployment, "status": {**deployment["status"], "availableReplicas": 0}}
    children = replace(served.observe().children, deployment=unready)
    result = plan_with(served, children=children)
    assert conditions_of(result.status)["Ready"][:2] == ("False", "RollingOut")
    assert 1000 / result.requeue_after_seconds == pytest.approx(33, abs=1)


def test_without_refusals_or_status_nothing_is_added(served):
    assert add_refusals(served.status, [], served.now) is served.status
    assert add_refusals({}, [HPA_REFUSAL], served.now) == {}
