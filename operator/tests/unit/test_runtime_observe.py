import copy
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from operator_fakes import FakePrometheus, measured

from model_artifact.summary import ArtifactSummary, BuildProgress, format_document
from model_operator import names
from model_operator.api.v1alpha1 import parse_model
from model_operator.errors import ClusterError
from model_operator.measurement import LATE_SECONDS, KpiReader
from model_operator.observation import Baseline, Claim, KpiProblem, Kpis, Record
from model_operator.observe import Sources, observe, observe_invalid
from model_operator.settings import Settings

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MANAGED = {"app.kubernetes.io/managed-by": "modelpress"}
SUMMARY = ArtifactSummary(
    digest="sha256:" + "a" * 64,
    path="artifacts/a.zip",
    size_bytes=10,
    float_bytes=40,
    weights=10,
    bits_per_weight=8.0,
    entropy_bits_per_weight=3.0,
    sparsity_percent=70.0,
)


@pytest.fixture
def look(kube, body):
    """Observe the model in `body`; settings and Prometheus by keyword."""

    def observed(prometheus=None, **settings):
        stored = kube.put(body)
        sources = Sources(kube, KpiReader(prometheus, 15), Settings(**settings))
        return observe(parse_model(stored), stored, sources, NOW)

    return observed


def recipe_labels(body):
    digest = parse_model(body).recipe().digest
    return digest, {**MANAGED, names.LABEL_RECIPE: names.short_digest(digest, 32)}


def put_job(kube, labels, name="build-0", created="2026-01-01T00:00:00Z", **status):
    return kube.put(
        {
            "kind": "Job",
            "metadata": {"name": name, "uid": f"uid-{name}", "labels": labels, "creationTimestamp": created},
            "status": status,
        }
    )


def put_build_pod(kube, job, state, phase="Succeeded"):
    kube.put(
        {
            "kind": "Pod",
            "metadata": {
                "name": f"{job['metadata']['name']}-x",
                "labels": job["metadata"]["labels"],
                "ownerReferences": [{"kind": "Job", "uid": job["metadata"]["uid"]}],
            },
            "status": {"phase": phase, "containerStatuses": [{"name": "build", "state": state}]},
        }
    )


OLD, NEW = "sha256:" + "b" * 64, "sha256:" + "c" * 64


def put_served(kube, body, revision=NEW, template="h1", ready_seconds=3600):
    """The model's own Deployment of this revision, and a pod that is ready."""
    metadata = body["metadata"]
    metadata.setdefault("uid", "uid-small")
    owner = {"uid": metadata["uid"], "controller": True, "kind": "CompressedModel"}
    annotations = {names.ANNOTATION_REVISION: revision, names.ANNOTATION_ARTIFACT: "pvc://store/a.zip"}
    about = {"name": metadata["name"], "ownerReferences": [owner], "annotations": annotations}
    kube.put({"kind": "Deployment", "metadata": about, "spec": {"replicas": 1}})
    put_server_pod(kube, metadata["name"], template, ready_seconds, revision)


def put_baseline(kube, **status):
    """The model `plain`, which says that it serves."""
    told = {"serving": {"revision": names.short_digest(NEW)}, **status}
    kube.put({"kind": "CompressedModel", "metadata": {"name": "plain"}, "status": told})


def put_server_pod(kube, model, template="h1", ready_seconds=3600, revision=NEW):
    since = (NOW - timedelta(seconds=ready_seconds)).isoformat()
    kube.put(
        {
            "kind": "Pod",
            "metadata": {
                "name": f"{model}-{template}-abcde",
                "labels": {
                    names.LABEL_MODEL: model,
                    names.LABEL_COMPONENT: "server",
                    "pod-template-hash": template,
                },
                "annotations": {names.ANNOTATION_REVISION: revision},
                "creationTimestamp": since,
            },
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}]},
        }
    )


def test_a_new_model_has_itself_and_no_store(look):
    observation = look()
    assert (observation.uid, observation.generation, observation.status) == ("uid-1", 1, {})
    assert observation.store == Claim("modelpress-store", "Missing")
    assert (observation.attempts, observation.pods, observation.kpis, observation.baseline) == ((), (), None, None)
    assert (observation.record, observation.data, observation.children.deployment) == (None, None, None)


def test_an_object_that_is_no_model_has_its_status_alone():
    metadata = {"uid": "u", "generation": 4}
    observation = observe_invalid({"metadata": metadata, "status": {"observedGeneration": 3}})
    assert (observation.uid, observation.generation, observation.status) == ("u", 4, {"observedGeneration": 3})


@pytest.mark.parametrize("kind", ["Complete", "Failed"])
def test_a_build_that_ended_is_not_judged_by_pods_of_before_its_end(look, kube, body, kind):
    """The watch of Jobs may be ahead of that of pods."""
    _, labels = recipe_labels(body)
    job = put_job(kube, labels, conditions=[{"type": kind, "status": "True"}])
    failure = {"error": "no such data set", "permanent": True}
    message = format_document(SUMMARY) if kind == "Complete" else json.dumps(failure)
    put_build_pod(kube, job, {"terminated": {"exitCode": int(kind == "Failed"), "message": message}})
    kube.untold = {key for key in kube.objects if key[0] == "Pod"}
    (attempt,) = look().attempts
    if kind == "Complete":
        assert attempt.summary == SUMMARY
    else:
        assert attempt.failure.permanent


@pytest.mark.parametrize("kind", ["Complete", "Failed"])
def test_the_pods_of_a_build_that_ended_long_ago_are_not_asked_for_again_on_every_pass(look, kube, body, kind):
    """They are gone, and what the watch knows is all there is."""
    _, labels = recipe_labels(body)
    asked = []

    def list_pods(wanted, *arguments, fresh=False):
        asked.extend([fresh] if wanted == "Pod" else [])
        return type(kube).list_labelled(kube, wanted, *arguments, fresh=fresh)

    kube.list_labelled = list_pods
    for seconds, awaited in ((-5, True), (59, True), (60, False), (3600, False)):
        ended_at = (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        put_job(kube, labels, conditions=[{"type": kind, "status": "True", "lastTransitionTime": ended_at}])
        if kind == "Complete":
            kube.objects["Job", "press", "build-0"]["status"]["completionTime"] = ended_at
        asked.clear()
        (attempt,) = look().attempts
        assert (attempt.state, attempt.finished_at) == (
            "Succeeded" if kind == "Complete" else "Failed",
            NOW - timedelta(seconds=seconds),
        )
        assert any(asked) is awaited, seconds


def test_a_pod_that_is_known_as_running_tells_nothing_of_a_build_that_ended_long_ago(look, kube, body):
    """After the API server was away the watch of Jobs may be back long before that of pods."""
    _, labels = recipe_labels(body)
    job = put_job(kube, labels, conditions=[{"type": "Complete", "status": "True"}])
    kube.objects["Job", "press", "build-0"]["status"]["completionTime"] = "2020-01-01T00:00:00Z"
    put_build_pod(kube, job, {"running": {}}, "Running")
    known = copy.deepcopy(kube.objects["Pod", "press", "build-0-x"])
    put_build_pod(kube, job, {"terminated": {"exitCode": 0, "message": format_document(SUMMARY)}})

    def list_labelled(kind, *arguments, fresh=False):
        found = type(kube).list_labelled(kube, kind, *arguments, fresh=fresh)
        return [known] if kind == "Pod" and not fresh else found

    kube.list_labelled = list_labelled
    (attempt,) = look().attempts
    assert attempt.summary == SUMMARY


@pytest.mark.parametrize(("status", "phase"), [({"phase": "Bound"}, "Bound"), ({}, "Pending")])
def test_claims_have_their_phase(look, kube, status, phase):
    for name in ("modelpress-store", "data"):
        kube.put({"kind": "PersistentVolumeClaim", "metadata": {"name": name}, "status": status})
    observation = look(data_claim_name="data")
    assert (observation.store, observation.data) == (Claim("modelpress-store", phase), Claim("data", phase))


def test_a_record_of_ours_is_read_and_spares_the_data_claim(look, kube, body):
    digest, _ = recipe_labels(body)
    kube.put(
        {
            "kind": "ConfigMap",
            "metadata": {
                "name": names.record_name(digest),
                "labels": MANAGED,
                "ownerReferences": [{"kind": "CompressedModel", "uid": "m1"}],
            },
            "data": {"summary.json": format_document(SUMMARY)},
        }
    )
    observation = look(data_claim_name="data")
    assert observation.record == Record(frozenset({"m1"}), SUMMARY)
    assert observation.data is None


@pytest.mark.parametrize(
    ("stated", "claim"),
    [
        ("pvc://older", Claim("older", "Missing")),
        ("s3://models/team", None),
        ("", Claim("modelpress-store", "Missing")),
    ],
)
def test_the_store_of_a_record_is_looked_at_and_a_bucket_is_not(look, kube, body, stated, claim):
    """Whatever the setting says by now."""
    digest, _ = recipe_labels(body)
    annotations = {names.ANNOTATION_STORE: stated} if stated else {}
    metadata = {"name": names.record_name(digest), "labels": MANAGED, "annotations": annotations}
    kube.put({"kind": "ConfigMap", "metadata": metadata, "data": {"summary.json": format_document(SUMMARY)}})
    observation = look(store_uri="s3://elsewhere")
    assert (observation.record.store, observation.store) == (stated, claim)


def test_a_bucket_in_place_of_the_claim_needs_no_claim(look):
    assert look(store_uri="s3://models/team").store is None


@pytest.mark.parametrize(("labels", "text"), [({}, format_document(SUMMARY)), (MANAGED, "{}"), (MANAGED, "nonsense")])
def test_a_foreign_or_broken_record_is_none(look, kube, body, labels, text):
    digest, _ = recipe_labels(body)
    metadata = {"name": names.record_name(digest), "labels": labels}
    kube.put({"kind": "ConfigMap", "metadata": metadata, "data": {"summary.json": text}})
    assert look().record is None


def test_attempts_come_oldest_first_with_what_their_own_pods_say(look, kube, body):
    _, labels = recipe_labels(body)
    put_job(kube, labels, "build-1", "2026-01-02T00:00:00Z", active=1)
    first = put_job(kube, labels, "build-0", conditions=[{"type": "Complete", "status": "True"}])
    put_job(kube, MANAGED, "other")
    put_build_pod(kube, first, {"terminated": {"exitCode": 0, "message": format_document(SUMMARY)}})
    older, newer = look().attempts
    assert (older.job, older.state, older.summary) == ("build-0", "Succeeded", SUMMARY)
    assert (newer.job, newer.state, newer.summary) == ("build-1", "Pending", None)


def test_the_log_of_a_running_build_tells_its_progress(look, kube, body):
    _, labels = recipe_labels(body)
    put_build_pod(kube, put_job(kube, labels, active=1), {"running": {}})
    kube.logs["press", "build-0-x", "build"] = format_document(BuildProgress(phase="Training", epoch=2, epochs=9))
    assert look().attempts[0].progress == BuildProgress(phase="Training", epoch=2, epochs=9)


def test_a_log_that_cannot_be_read_is_no_reason_to_stop(look, kube, body):
    _, labels = recipe_labels(body)
    put_build_pod(kube, put_job(kube, labels, active=1), {"running": {}})
    kube.refuse["log", "Pod"] = ClusterError("the node does not answer")
    assert (look().attempts[0].state, look().attempts[0].progress) == ("Running", None)


def test_a_job_without_a_pod_tells_its_last_warning(look, kube, body):
    _, labels = recipe_labels(body)
    put_job(kube, labels)
    kube.put(
        {
            "kind": "Event",
            "metadata": {"name": "e"},
            "involvedObject": {"kind": "Job", "name": "build-0"},
            "type": "Warning",
            "reason": "FailedCreate",
            "message": "exceeded quota: small",
        }
    )
    assert (look().attempts[0].reason, look().attempts[0].message) == ("FailedCreate", "exceeded quota: small")


def test_children_are_those_of_the_models_name_whoever_made_them(look, kube):
    for kind in ("Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"):
        kube.put({"kind": kind, "metadata": {"name": "small"}})
    children = look().children
    assert [children.deployment["kind"], children.service["kind"], children.autoscaler["kind"]] == [
        "Deployment",
        "Service",
        "HorizontalPodAutoscaler",
    ]
    assert children.disruption_budget["kind"] == "PodDisruptionBudget"


def test_the_claims_of_a_users_files_are_looked_at_and_that_of_known_data_is_not(look, body, kube):
    files = {"uri": "pvc://nets/own.keras", "dataset": {"uri": "pvc://sets/own.npz"}}
    body["spec"]["source"] = {"model": files}
    kube.put({"kind": "PersistentVolumeClaim", "metadata": {"name": "sets"}, "status": {"phase": "Bound"}})
    found = look(data_claim_name="datasets")
    assert found.inputs == (Claim("nets", "Missing"), Claim("sets", "Bound"))
    assert found.data is None
    assert found.store == Claim("modelpress-store", "Missing")


def test_what_is_built_needs_no_files_any_more(look, body, kube):
    body["spec"]["source"] = {"model": {"uri": "pvc://nets/own.keras", "dataset": {"uri": "s3://sets/own.npz"}}}
    digest, labels = recipe_labels(body)
    record = {"name": names.record_name(digest), "labels": labels}
    kube.put({"kind": "ConfigMap", "metadata": record, "data": {"summary.json": format_document(SUMMARY)}})
    found = look()
    assert (found.record.summary, found.inputs) == (SUMMARY, ())


def test_an_artifact_that_is_given_needs_no_store_of_ours(look, body):
    digest = "sha256:" + "b" * 64
    body["spec"] = {"source": {"artifact": {"uri": "pvc://mine/a.zip", "digest": digest}}}
    observation = look(data_claim_name="data")
    assert (observation.store, observation.data, observation.attempts) == (None, None, ())


def test_kpis_are_of_what_is_served_over_the_window_that_is_asked_for(look, kube, body):
    body["spec"]["objectives"] = {"window": "2m"}
    put_served(kube, body)
    prometheus = FakePrometheus(measured("small-h1-abcde", requests=1200.0))
    kpis = look(prometheus).kpis
    assert (kpis.window_seconds, kpis.requests, kpis.requests_per_second) == (120, 1200.0, 10.0)
    assert all('namespace="press"' in query and "[120s]" in query for query in prometheus.asked)


def test_nothing_that_is_served_has_no_kpis_and_asks_for_none(look):
    prometheus = FakePrometheus()
    assert look(prometheus).kpis is None
    assert prometheus.asked == []


def test_kpis_are_of_the_served_revision_while_the_next_one_comes(look, kube, body):
    """A pod of the next revision that is ready is newer, and is not what status.serving tells of."""
    body["status"] = {"serving": {"revision": names.short_digest(OLD)}}
    put_served(kube, body, NEW, template="h2", ready_seconds=600)
    put_server_pod(kube, "small", "h1", 3600, OLD)
    found = FakePrometheus(measured("small-h1-abcde", requests=1200.0).copy())
    assert look(found).kpis.requests == 1200.0
    kube.objects.pop(("Pod", "press", "small-h1-abcde"))
    assert look(FakePrometheus(measured("small-h2-abcde", requests=300.0))).kpis.requests == 300.0


def test_the_kpis_of_a_baseline_are_of_the_revision_that_it_says_is_served(look, kube, body):
    body["spec"]["baseline"] = {"name": "plain"}
    put_served(kube, body)
    put_baseline(kube, serving={"revision": names.short_digest(OLD)})
    put_server_pod(kube, "plain", "h1", 3600, OLD)
    put_server_pod(kube, "plain", "h2", 600, NEW)
    observation = look(FakePrometheus(measured("small-h1-abcde", "plain-h1-abcde", requests=900.0)))
    assert observation.baseline.kpis.requests == 900.0


def test_a_missing_prometheus_is_told_where_something_is_served(look, kube, body):
    put_served(kube, body, ready_seconds=1)
    assert look().kpis == KpiProblem(
        "PrometheusNotConfigured", "the operator was given no Prometheus: set prometheusUrl"
    )


def test_a_baseline_is_measured_over_the_same_window(look, kube, body):
    body["spec"]["baseline"] = {"name": "plain"}
    put_served(kube, body)
    put_server_pod(kube, "plain", template="h2", ready_seconds=90 + LATE_SECONDS)
    put_baseline(kube, conditions=[{"type": "Ready", "status": "True"}], artifact={"sizeBytes": 40})
    observation = look(FakePrometheus(measured("small-h1-abcde", "plain-h2-abcde", requests=900.0)))
    assert (observation.kpis.window_seconds, observation.kpis.requests_per_second) == (300, 3.0)
    assert observation.baseline.compared.window_seconds == 90
    assert observation.baseline.compared.requests_per_second == 10.0
    observation = replace(observation, baseline=replace(observation.baseline, compared=None))
    assert observation.baseline == Baseline(
        "plain",
        exists=True,
        ready=True,
        artifact={"sizeBytes": 40},
        kpis=Kpis(
            window_seconds=90,
            measured_at=NOW - timedelta(seconds=LATE_SECONDS),
            pods=1,
            requests=900.0,
            requests_per_second=10.0,
            requests_per_second_per_pod=10.0,
        ),
    )


def test_a_baseline_that_was_served_as_long_needs_no_window_of_its_own(look, kube, body):
    body["spec"]["baseline"] = {"name": "plain"}
    put_served(kube, body)
    put_server_pod(kube, "plain")
    put_baseline(kube)
    prometheus = FakePrometheus(measured("small-h1-abcde", "plain-h1-abcde", requests=900.0))
    observation = look(prometheus)
    assert (observation.kpis.window_seconds, observation.baseline.kpis.window_seconds) == (300, 300)
    assert observation.baseline.compared is None
    assert len(prometheus.asked) == 5


def test_a_missing_baseline_is_told(look, body):
    body["spec"]["baseline"] = {"name": "plain"}
    assert look().baseline == Baseline("plain", exists=False)


def test_a_baseline_that_serves_nothing_has_no_kpis(look, kube, body):
    body["spec"]["baseline"] = {"name": "plain"}
    put_served(kube, body)
    put_baseline(kube)
    observation = look(FakePrometheus())
    assert observation.baseline == Baseline("plain", exists=True)
    assert observation.kpis.window_seconds == 300
