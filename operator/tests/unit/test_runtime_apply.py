from itertools import pairwise

import pytest
from operator_fakes import refused

from model_operator.api.v1alpha1 import parse_model
from model_operator.apply import apply, write_report
from model_operator.errors import ClusterError
from model_operator.planning.decision import Plan, Reference, Refusal
from model_operator.planning.report import Report
from model_operator.refused import Refused
from model_operator.untold import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    LONGEST_REFUSED_PAUSE_SECONDS,
    MOST_UNTOLD,
    UNTOLD_SECONDS,
    Untold,
)

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
    assert apply(plan, model, "u", kube, Refused()) == ()
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
    assert apply(Plan(), model, "u", kube, Refused()) == ()
    assert kube.writes == []


def test_what_is_refused_is_returned_and_the_rest_is_done(kube, model):
    kube.refuse["apply", "HorizontalPodAutoscaler"] = refused("maxReplicas is too small")
    kube.refuse["create", "Job"] = refused("exceeded quota", invalid=False)
    plan = Plan(create=(thing("Job", "build"),), apply=(thing("HorizontalPodAutoscaler"), thing("Service")))
    assert apply(plan, model, "u", kube, Refused()) == (
        Refusal("Job", "build", "exceeded quota", invalid=False),
        Refusal("HorizontalPodAutoscaler", "small", "maxReplicas is too small", invalid=True),
    )
    assert kube.writes == [("apply", "Service", "small")]


def test_a_deployment_that_was_refused_is_not_scaled(kube, model):
    kube.refuse["apply", "Deployment"] = refused("no such field")
    assert len(apply(Plan(apply=(thing("Deployment"),), scale=2), model, "u", kube, Refused())) == 1
    assert kube.writes == []


def test_an_api_server_that_is_away_ends_the_pass(kube, model):
    kube.refuse["apply", "Service"] = ClusterError("away")
    with pytest.raises(ClusterError, match="away"):
        apply(Plan(apply=(thing("Service"), thing("Deployment"))), model, "u", kube, Refused())
    assert kube.writes == []


def test_a_shared_object_that_another_model_made_meanwhile_is_left(kube, model):
    there = kube.put(thing("Job", "build", labels=OURS, uid="theirs"))
    assert apply(Plan(create=(thing("Job", "build", labels=OURS),)), model, "u", kube, Refused()) == ()
    assert kube.objects["Job", "press", "build"] == there


def test_a_stranger_of_a_shared_objects_name_is_refused(kube, model):
    kube.put(thing("Job", "build"))
    (refusal,) = apply(Plan(create=(thing("Job", "build", labels=OURS),)), model, "u", kube, Refused())
    assert refusal.message == (
        "Job build: an object of that name is there that Modelpress did not make: delete or rename it"
    )


@pytest.mark.parametrize("owners", [[], [{"uid": "other", "controller": True}], [{"uid": "u"}]])
def test_what_the_model_does_not_control_is_not_deleted(kube, model, owners):
    kube.put(thing("HorizontalPodAutoscaler", ownerReferences=owners))
    apply(Plan(delete=(Reference("HorizontalPodAutoscaler", "small"),)), model, "u", kube, Refused())
    assert ("HorizontalPodAutoscaler", "press", "small") in kube.objects


def test_what_is_gone_need_not_be_deleted(kube, model):
    assert apply(Plan(delete=(Reference("HorizontalPodAutoscaler", "small"),)), model, "u", kube, Refused()) == ()
    assert kube.writes == []


EVENTS = (thing("Event", "small.1"), thing("Event", "small.2"))


@pytest.fixture
def untold(clock):
    """No Event that was not taken."""
    return Untold(clock)


@pytest.fixture
def stored(kube, body):
    """The model as it is stored."""
    return kube.put(body)


def told(kube):
    """Names of the Events that were taken, in order."""
    return [name for verb, kind, name in kube.writes if (verb, kind) == ("create", "Event")]


def test_events_are_written_before_the_one_status(kube, stored, untold):
    write_report(Report({"observedGeneration": 1}, EVENTS), stored, kube, untold)
    status = ("status", "CompressedModel", "small")
    assert kube.writes == [("create", "Event", "small.1"), ("create", "Event", "small.2"), status]
    assert kube.objects["CompressedModel", "press", "small"]["status"] == {"observedGeneration": 1}
    assert len(untold) == 0


def test_a_report_of_nothing_writes_nothing(kube, stored, untold):
    write_report(Report(), stored, kube, untold)
    assert kube.writes == []


@pytest.mark.parametrize("error", [refused("events are forbidden", invalid=False), ClusterError("away")])
def test_events_that_are_not_taken_fail_no_pass_and_are_told_once_when_they_are(
    kube, stored, untold, clock, error, caplog
):
    kube.refuse["create", "Event"] = error
    write_report(Report({"observedGeneration": 1}, EVENTS[:1]), stored, kube, untold)
    assert kube.writes == [("status", "CompressedModel", "small")]
    assert caplog.messages == [f"press: Events are not taken, and tried again in 2 s: {error}"]
    kube.refuse.clear()
    write_report(Report({"observedGeneration": 2}, EVENTS[1:]), stored, kube, untold)
    assert told(kube) == []
    clock.now += FIRST_PAUSE_SECONDS
    write_report(Report(), stored, kube, untold)
    write_report(Report(), stored, kube, untold)
    assert told(kube) == ["small.1", "small.2"]
    assert len(untold) == 0


@pytest.mark.parametrize(
    ("error", "doubled", "longest"),
    [
        (refused("forbidden", invalid=False), [2, 4, 8, 16, 32, 64, 128, 256], LONGEST_REFUSED_PAUSE_SECONDS),
        (ClusterError("away"), [2, 4, 8, 16], LONGEST_PAUSE_SECONDS),
    ],
)
def test_a_namespace_that_takes_no_events_is_asked_ever_more_seldom_and_others_are_not_held_up(
    kube, untold, clock, error, doubled, longest
):
    kube.refuse["create", "Event"] = error
    asked = []

    def create(namespace, event):
        asked.append(clock.now)
        return type(kube).create(kube, namespace, event)

    kube.create = create
    for _ in range(2000):
        untold.tell(kube, "press", "u", EVENTS[:1])
        clock.now += 1
    pauses = [later - sooner for sooner, later in pairwise(asked)]
    assert pauses == [*doubled, *[longest] * (len(pauses) - len(doubled))]
    assert len(pauses) > 10
    kube.refuse.clear()
    untold.tell(kube, "other", "v", EVENTS[1:])
    assert told(kube) == ["small.2"]
    clock.now += longest
    untold.tell(kube, "press", "u", EVENTS[:1])
    assert told(kube) == ["small.2", "small.1"]
    kube.refuse["create", "Event"] = ClusterError("away")
    untold.tell(kube, "press", "u", [thing("Event", "small.3")])
    clock.now += FIRST_PAUSE_SECONDS
    before = len(asked)
    untold.tell(kube, "press", "u", ())
    assert len(asked) == before + 1


def test_the_time_that_the_server_asks_for_is_waited_before_an_event_is_tried_again(kube, untold, clock):
    kube.refuse["create", "Event"] = ClusterError("too many requests", 40.0)
    untold.tell(kube, "press", "u", EVENTS)
    kube.refuse.clear()
    clock.now += 39
    untold.tell(kube, "press", "u", ())
    assert told(kube) == []
    clock.now += 1
    untold.tell(kube, "press", "u", ())
    assert told(kube) == ["small.1", "small.2"]


def test_an_event_that_can_never_be_taken_is_dropped_and_the_others_are_told(kube, untold, caplog):
    class Picky(type(kube)):
        def create(self, namespace, event):
            if event["metadata"]["name"] == "small.1":
                raise refused("reason is too long")
            return super().create(namespace, event)

    picky = Picky()
    untold.tell(picky, "press", "u", EVENTS)
    assert told(picky) == ["small.2"]
    assert caplog.messages == ["press: an Event is not taken, and not told: reason is too long"]
    assert len(untold) == 0


def test_events_that_are_never_taken_are_forgotten_in_time_and_bounded_in_number(kube, untold, clock):
    kube.refuse["create", "Event"] = ClusterError("away")
    for number in range(MOST_UNTOLD + 10):
        untold.tell(kube, "press", f"u{number}", EVENTS[:1])
    assert len(untold) == MOST_UNTOLD
    clock.now += UNTOLD_SECONDS + 1
    kube.refuse.clear()
    untold.tell(kube, "press", f"u{MOST_UNTOLD}", ())
    assert len(untold) == 0
    assert told(kube) == []


def test_a_report_that_was_cut_off_before_its_status_is_written_again_without_a_second_event(kube, stored, untold):
    report = Report({"observedGeneration": 1}, EVENTS)
    kube.refuse["status", "CompressedModel"] = ClusterError("away")
    with pytest.raises(ClusterError, match="away"):
        write_report(report, stored, kube, untold)
    kube.refuse.clear()
    write_report(report, stored, kube, untold)
    assert sorted(name for kind, _, name in kube.objects if kind == "Event") == ["small.1", "small.2"]
