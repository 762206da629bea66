import pytest
from operator_fakes import refused

from model_operator.api.v1alpha1 import parse_model
from model_operator.apply import apply, write_report
from model_operator.errors import ClusterError
from model_operator.planning.decision import Plan, Reference, Refusal
from model_operator.planning.report import Report

OURS = {"app.kubernetes.io/managed-by": "modelpress"}


@pytest.fixture
def model(body):
    """The smallest model, named small in press."""
    return parse_model(body)


def thing(kind, name="small", **metadata):
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **metadata}, "spec": {"replicas": 1}}


def test_everything_is_written_in_order(kube, model):
    kube.put(thing("ConfigMap", "record"))
    kube.put(thing("HorizontalPodAutoscaler", ownerReferences=[{"uid": "u", "controller": True}]))
    plan = Plan(
        create=(thing("Job", "build"),),
        adopt=(Reference("ConfigMap", "record"),),
        apply=(thing("Service"), thing("Deployment")),
        scale=3,
        delete=(Reference("HorizontalPodAutoscaler", "small"),),
    )
    assert apply(plan, model, "u", kube) == ()
    assert kube.writes == [
        ("create", "Job", "build"),
        ("own", "ConfigMap", "record"),
        ("apply", "Service", "small"),
        ("apply", "Deployment", "small"),
        ("scale", "Deployment", "small"),
        ("delete", "HorizontalPodAutoscaler", "small"),
    ]
    assert kube.objects["ConfigMap", "press", "record"]["metadata"]["ownerReferences"] == [
        {"apiVersion": "modelpress.dev/v1alpha1", "kind": "CompressedModel", "name": "small", "uid": "u"}
    ]
    assert kube.objects["Deployment", "press", "small"]["spec"]["replicas"] == 3


def test_an_empty_plan_writes_nothing(kube, model):
    assert apply(Plan(), model, "u", kube) == ()
    assert kube.writes == []


def test_what_is_refused_is_returned_and_the_rest_is_done(kube, model):
    kube.refuse["apply", "HorizontalPodAutoscaler"] = refused("maxReplicas is too small")
    kube.refuse["create", "Job"] = refused("exceeded quota", invalid=False)
    plan = Plan(create=(thing("Job", "build"),), apply=(thing("HorizontalPodAutoscaler"), thing("Service")))
    assert apply(plan, model, "u", kube) == (
        Refusal("Job", "build", "exceeded quota", invalid=False),
        Refusal("HorizontalPodAutoscaler", "small", "maxReplicas is too small", invalid=True),
    )
    assert kube.writes == [("apply", "Service", "small")]


def test_a_deployment_that_was_refused_is_not_scaled(kube, model):
    kube.refuse["apply", "Deployment"] = refused("no such field")
    assert len(apply(Plan(apply=(thing("Deployment"),), scale=2), model, "u", kube)) == 1
    assert kube.writes == []


def test_an_api_server_that_is_away_ends_the_pass(kube, model):
    kube.refuse["apply", "Service"] = ClusterError("away")
    with pytest.raises(ClusterError, match="away"):
        apply(Plan(apply=(thing("Service"), thing("Deployment"))), model, "u", kube)
    assert kube.writes == []


def test_a_shared_object_that_another_model_made_meanwhile_is_left(kube, model):
    there = kube.put(thing("Job", "build", labels=OURS, uid="theirs"))
    assert apply(Plan(create=(thing("Job", "build", labels=OURS),)), model, "u", kube) == ()
    assert kube.objects["Job", "press", "build"] == there


def test_a_stranger_of_a_shared_objects_name_is_refused(kube, model):
    kube.put(thing("Job", "build"))
    (refusal,) = apply(Plan(create=(thing("Job", "build", labels=OURS),)), model, "u", kube)
    assert refusal.message == (
        "Job build: an object of that name is there that Modelpress did not make: delete or rename it"
    )


@pytest.mark.parametrize("owners", [[], [{"uid": "other", "controller": True}], [{"uid": "u"}]])
def test_what_the_model_does_not_control_is_not_deleted(kube, model, owners):
    kube.put(thing("HorizontalPodAutoscaler", ownerReferences=owners))
    apply(Plan(delete=(Reference("HorizontalPodAutoscaler", "small"),)), model, "u", kube)
    assert ("HorizontalPodAutoscaler", "press", "small") in kube.objects


def test_what_is_gone_need_not_be_deleted(kube, model):
    assert apply(Plan(delete=(Reference("HorizontalPodAutoscaler", "small"),)), model, "u", kube) == ()
    assert kube.writes == []


EVENTS = (thing("Event", "small.1"), thing("Event", "small.2"))


@pytest.fixture
def stored(kube, body):
    """The model as it is stored."""
    return kube.put(body)


def test_events_are_written_before_the_one_status(kube, stored):
    write_report(Report({"observedGeneration": 1}, EVENTS), stored, kube)
    told = ("status", "CompressedModel", "small")
    assert kube.writes == [("create", "Event", "small.1"), ("create", "Event", "small.2"), told]
    assert kube.objects["CompressedModel", "press", "small"]["status"] == {"observedGeneration": 1}


def test_a_report_of_nothing_writes_nothing(kube, stored):
    write_report(Report(), stored, kube)
    assert kube.writes == []


@pytest.mark.parametrize("error", [refused("events are forbidden", invalid=False), ClusterError("away")])
def test_events_that_cannot_be_written_fail_no_pass(kube, stored, error, caplog):
    kube.refuse["create", "Event"] = error
    write_report(Report({"observedGeneration": 1}, EVENTS), stored, kube)
    assert kube.writes == [("status", "CompressedModel", "small")]
    assert caplog.messages == [f"press/small: its Events could not be written: {error}"]


def test_a_report_that_was_cut_off_before_its_status_is_written_again_without_a_second_event(kube, stored):
    report = Report({"observedGeneration": 1}, EVENTS)
    kube.refuse["status", "CompressedModel"] = ClusterError("away")
    with pytest.raises(ClusterError, match="away"):
        write_report(report, stored, kube)
    kube.refuse.clear()
    write_report(report, stored, kube)
    assert sorted(name for kind, _, name in kube.objects if kind == "Event") == ["small.1", "small.2"]
