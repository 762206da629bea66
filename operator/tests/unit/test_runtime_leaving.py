"""Whole passes over models that ask for a build no longer, and over builds whose logs are to be kept."""

from datetime import UTC, datetime

import pytest
from planning_toy import make_summary

from model_operator.api.v1alpha1 import parse_model
from model_operator.measurement import KpiReader
from model_operator.observe import Sources
from model_operator.planning.job import render_job, render_record
from model_operator.reconcile import reconcile
from model_operator.settings import Settings
from model_operator.untaken import Untaken

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SETTINGS = Settings()


@pytest.fixture
def look(kube, body):
    """One pass over the model, with these fields of its spec."""
    kube.put({"kind": "PersistentVolumeClaim", "metadata": {"name": "modelpress-store"}, "status": {"phase": "Bound"}})

    def passed(**spec):
        stored = kube.put(body | {"metadata": body["metadata"] | {"uid": "u"}, "spec": body["spec"] | spec})
        kube.writes.clear()
        reconcile("press", "small", Sources(kube, KpiReader(None, 15), SETTINGS), NOW, Untaken())
        return stored

    return passed


def put_job(kube, body, *owners, **status):
    """The build of the model's recipe, asked for by these."""
    model = parse_model(body)
    job = render_job(model, "u", model.recipe(), SETTINGS, 0)
    job["metadata"] |= {"uid": "job", "ownerReferences": [{"uid": each, "kind": "CompressedModel"} for each in owners]}
    return kube.put(job | {"status": status})["metadata"]["name"]


def put_failed(kube, body):
    """The build that failed, with its pod and log."""
    name = put_job(kube, body, "u", conditions=[{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}])
    labels = kube.objects["Job", "press", name]["metadata"]["labels"]
    state = {"terminated": {"exitCode": 1, "message": ""}}
    metadata = {"name": "pod", "labels": labels, "ownerReferences": [{"kind": "Job", "uid": "job"}]}
    status = {"containerStatuses": [{"name": "build", "state": state}]}
    kube.put({"kind": "Pod", "metadata": metadata, "status": status})
    kube.logs["press", "pod", "build"] = "first\nlast\n"
    return name


def test_a_suspended_model_takes_itself_off_a_build_that_another_asks_for(kube, body, look):
    name = put_job(kube, body, "u", "other")
    look(suspend=True)
    assert ("leave", "Job", name) in kube.writes
    assert [each["uid"] for each in kube.objects["Job", "press", name]["metadata"]["ownerReferences"]] == ["other"]
    look(suspend=True)
    assert ("leave", "Job", name) not in kube.writes


def test_the_last_asker_ends_the_build(kube, body, look):
    name = put_job(kube, body, "u")
    look(suspend=True)
    assert ("Job", "press", name) not in kube.objects


def test_the_build_of_an_earlier_recipe_is_left_and_the_next_one_made(kube, body, look):
    name = put_job(kube, body, "u")
    look(compression={"alpha": 1, "bits": 4})
    (job,) = [key[2] for key in kube.objects if key[0] == "Job"]
    assert job != name
    assert [verb for verb, kind, _ in kube.writes if kind == "Job"] == ["create", "leave"]


def test_the_log_of_a_failed_build_is_kept_once(kube, body, look):
    name = put_failed(kube, body)
    look(build={"retries": 0})
    assert kube.objects["ConfigMap", "press", f"{name}-log"]["data"] == {"log.txt": "first\nlast\n"}
    look(build={"retries": 0})
    assert [write for write in kube.writes if write[1] == "ConfigMap"] == []


def test_a_log_that_cannot_be_read_yet_is_kept_at_a_later_pass(kube, body, look):
    name = put_failed(kube, body)
    text = kube.logs.pop(("press", "pod", "build"))
    look(build={"retries": 0})
    assert ("ConfigMap", "press", f"{name}-log") not in kube.objects
    kube.logs["press", "pod", "build"] = text
    look(build={"retries": 0})
    assert ("ConfigMap", "press", f"{name}-log") in kube.objects


def test_a_build_that_ended_well_is_not_given_up_before_it_is_recorded(kube, body, look):
    ended = {"conditions": [{"type": "Complete", "status": "True"}], "completionTime": "2025-12-01T12:00:00Z"}
    name = put_job(kube, body, "u", **ended)
    model = parse_model(body)
    look(compression={"alpha": 1, "bits": 4})
    assert ("leave", "Job", name) not in kube.writes
    digest = model.recipe().digest
    kube.put(render_record(model, "u", digest, make_summary(digest), ""))
    look(compression={"alpha": 1, "bits": 4})
    assert ("leave", "Job", name) in kube.writes
