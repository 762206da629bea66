"""Events tell each milestone once, follow from nothing but the status, and bother nobody."""

import copy
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from planning_golden import list_cases, load_case
from planning_toy import ToyCluster

from model_artifact.summary import Failure
from model_operator.planning.decision import Plan, Refusal
from model_operator.planning.events import LONGEST_MESSAGE, WARNINGS, EventReason, plan_events
from model_operator.planning.redaction import REMOVED
from model_operator.planning.report import plan_report

ROW = re.compile(r"^\| `(\w+)` \| (Normal|Warning) \| [^|]+ \|$", re.MULTILINE)


class Listener:
    """Keeps the Events of every status that a toy cluster writes."""

    def __init__(self, cluster):
        self.cluster, self.before, self.events = cluster, copy.deepcopy(cluster.status), []

    def listen(self, _cluster, result):
        """Of one pass."""
        if result.status is not None:
            self.events += plan_events(self.body(), self.before, result.status, self.cluster.now)
            self.before = copy.deepcopy(dict(result.status))

    def body(self):
        """The model as far as Events tell of it."""
        return {"metadata": {"name": "small", "namespace": "press", "uid": self.cluster.uid, "labels": {}}}

    def take(self):
        """Reasons of the Events since they were last taken."""
        self.cluster.run(check=self.listen, limit=120)
        reasons, self.events = [event["reason"] for event in self.events], []
        return reasons


@pytest.fixture
def cluster(body):
    return ToyCluster(body)


@pytest.fixture
def listener(cluster):
    return Listener(cluster)


def test_a_model_that_is_built_and_served_has_three_milestones(listener):
    assert listener.take() == ["BuildStarted", "BuildSucceeded", "RolledOut"]
    assert listener.take() == []


def test_a_known_recipe_is_found_and_rolled_out(cluster, listener):
    listener.take()
    cluster.edit(compression={"alpha": 0.5, "bits": 8})
    assert listener.take() == ["BuildStarted", "BuildSucceeded", "RolledOut"]
    cluster.edit(compression={"alpha": 1, "bits": 8})
    assert listener.take() == ["ArtifactFound", "RolledOut"]


def test_each_attempt_that_fails_is_told_and_then_that_it_stalls(cluster, listener):
    cluster.failures = ["OOMKilled", "Evicted", Failure(error="It cannot be.", permanent=True)]
    assert listener.take() == [*["BuildStarted", "BuildFailed"] * 3, "Stalled"]


def test_a_change_that_rolls_pods_only_ends_ready(cluster, listener):
    listener.take()
    cluster.edit(serving={"resources": {"requests": {"cpu": "2"}}})
    assert listener.take() == ["Ready"]


def test_a_suspended_model_says_so_once(cluster, listener):
    cluster.edit(suspend=True)
    assert listener.take() == ["Suspended"]
    cluster.edit(suspend=None)
    assert listener.take() == ["BuildStarted", "BuildSucceeded", "RolledOut"]


def test_a_given_artifact_is_verified(body, listener):
    artifact = {"uri": "pvc://shared/models/small.zip", "digest": "sha256:" + "ab" * 32}
    listener.cluster = ToyCluster(body | {"spec": {"source": {"artifact": artifact}}})
    assert sorted(listener.take()) == ["ArtifactVerified", "RolledOut"]


def make_status(generation=1, **conditions):
    """A status with these conditions, `Ready="True/Serving"`, since ten o'clock."""
    return {
        "observedGeneration": generation,
        "conditions": [
            {
                "type": kind,
                "status": told.partition("/")[0],
                "reason": told.partition("/")[2],
                "message": f"{kind} is so.",
                "lastTransitionTime": "2026-03-02T10:00:00Z",
                "observedGeneration": generation,
            }
            for kind, told in conditions.items()
        ],
    }


BODY = {"metadata": {"name": "small", "namespace": "press", "uid": "uid-1"}}
NOW = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)


def plan(before, after, now=NOW):
    return plan_events(BODY, before, after, now)


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        (
            {"WithinObjectives": "Unknown/InsufficientData"},
            {"WithinObjectives": "True/ObjectivesMet"},
            ["ObjectivesMet"],
        ),
        ({}, {"WithinObjectives": "False/ObjectivesMissed"}, ["ObjectivesMissed"]),
        ({"WithinObjectives": "True/ObjectivesMet"}, {"WithinObjectives": "Unknown/PrometheusUnavailable"}, []),
        ({"WithinObjectives": "True/ObjectivesMet"}, {}, []),
        ({"Ready": "True/Serving"}, {"Ready": "False/PodsFailing"}, ["NotReady"]),
        ({"Ready": "True/Serving"}, {"Ready": "False/Applying"}, []),
        ({"Ready": "False/RollingOut"}, {"Ready": "False/PodsFailing"}, []),
        ({"Ready": "False/PodsFailing"}, {"Ready": "True/Serving"}, ["Ready"]),
        ({"Stalled": "False/NotStalled"}, {"Stalled": "True/NameConflict"}, ["Stalled"]),
        ({"Stalled": "True/BuildFailed"}, {"Stalled": "True/NameConflict"}, ["Stalled"]),
        ({"Stalled": "True/NameConflict"}, {"Stalled": "True/NameConflict"}, []),
        ({"Stalled": "True/NameConflict"}, {"Stalled": "False/NotStalled"}, []),
    ],
)
def test_what_a_change_of_conditions_is(before, after, reasons):
    events = plan(make_status(**before), make_status(**after))
    assert [event["reason"] for event in events] == reasons


def test_an_event_is_one_of_kubernetes():
    (event,) = plan({}, make_status(Stalled="True/NameConflict"))
    name = event["metadata"].pop("name")
    assert re.fullmatch(r"small\.[0-9a-f]{16}", name)
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "press"},
        "involvedObject": {
            "apiVersion": "modelpress.dev/v1alpha1",
            "kind": "CompressedModel",
            "name": "small",
            "namespace": "press",
            "uid": "uid-1",
        },
        "type": "Warning",
        "reason": "Stalled",
        "message": "NameConflict: Stalled is so.",
        "source": {"component": "modelpress-operator"},
        "reportingComponent": "modelpress-operator",
        "firstTimestamp": "2026-03-02T10:30:00Z",
        "lastTimestamp": "2026-03-02T10:30:00Z",
        "count": 1,
    }


def test_the_same_change_has_the_same_name_later_and_another_change_has_not():
    met, missed = (
        make_status(WithinObjectives="True/ObjectivesMet"),
        make_status(WithinObjectives="False/ObjectivesMissed"),
    )
    missed["conditions"][0]["lastTransitionTime"] = "2026-03-02T10:20:00Z"
    again = make_status(WithinObjectives="True/ObjectivesMet")
    again["conditions"][0]["lastTransitionTime"] = "2026-03-02T10:40:00Z"
    names = [
        plan(before, after, now)[0]["metadata"]["name"]
        for before, after, now in (
            (met, missed, NOW),
            (met, missed, NOW + timedelta(hours=1)),
            (missed, again, NOW),
            (again, missed, NOW),
            (make_status(2, WithinObjectives="True/ObjectivesMet"), missed, NOW),
        )
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 4


def make_served(ready, since, changed):
    """A status of a model that serves a revision since then, and whose Ready changed last at that time."""
    status = make_status(Ready=ready)
    status["conditions"][0]["lastTransitionTime"] = changed
    addresses = {"selector": "a=b", "http": "h", "grpc": "g"}
    return status | {"serving": {"revision": "ab" * 6, "digest": "sha256:" + "ab" * 32, "since": since, **addresses}}


def test_a_revision_that_is_ready_twice_within_a_second_is_rolled_out_once():
    """It is Ready, for a moment not because an object is written, and Ready again: times have whole seconds."""
    began, moment = "2026-03-02T10:00:00Z", "2026-03-02T10:30:00Z"
    waiting = make_served("False/RollingOut", moment, began)
    ready, writing = (make_served(told, moment, moment) for told in ("True/Serving", "False/Applying"))
    (first,), none, (second,) = plan(waiting, ready), plan(ready, writing), plan(writing, ready)
    assert (first["reason"], none, second["reason"]) == ("RolledOut", (), "RolledOut")
    assert first["metadata"]["name"] == second["metadata"]["name"]
    end = "2026-03-02T11:00:00Z"
    replaced = {"digest": "sha256:" + "cd" * 32, "servedAt": moment, "replacedAt": end, "reason": "r"}
    later = make_served("True/Serving", end, end) | {"history": [replaced]}
    (again,) = plan(writing, later)
    assert again["metadata"]["name"] != first["metadata"]["name"]


def test_a_rollout_that_nobody_saw_is_told_where_the_model_was_ready_before_and_is_after():
    before, after = "2026-03-02T10:00:00Z", "2026-03-02T10:30:00Z"
    ready = make_served("True/Serving", before, before)
    other = make_served("True/Serving", after, before)
    other["serving"]["revision"] = "cd" * 6
    assert [event["reason"] for event in plan(ready, other)] == ["RolledOut"]
    assert plan(other, other) == ()
    asleep = make_served("True/ScaledToZero", after, before)
    asleep["serving"]["revision"] = "cd" * 6
    assert plan(ready, asleep) == ()


def test_a_pass_that_was_cut_off_tells_of_the_same_rollout_a_second_later():
    """What stands is the same, and the second since which the revision is served is not."""
    waiting = make_status(Ready="False/RollingOut")
    names = {
        plan(waiting, make_served("True/Serving", since, since))[0]["metadata"]["name"]
        for since in ("2026-03-02T10:30:00Z", "2026-03-02T10:30:01Z")
    }
    assert len(names) == 1


def test_a_long_message_is_cut():
    status = make_status(Stalled="True/Refused")
    status["conditions"][0]["message"] = "x" * 5000
    (event,) = plan({}, status)
    assert len(event["message"]) == LONGEST_MESSAGE


def test_what_looks_like_a_secret_is_in_no_event():
    status = make_status(Stalled="True/BuildFailed")
    status["conditions"][0]["message"] = "https://me:word@host/a?token=abcdef answers 403: Bearer abcdefghij"
    (event,) = plan({}, status)
    assert event["message"] == ("BuildFailed: https://[removed]@host/a?token=[removed] answers 403: Bearer [removed]")


def test_a_status_that_cannot_be_read_has_no_events():
    assert plan({}, {"conditions": "all well"}) == ()


def list_words(value):
    """Every word of every text and number in it."""
    if isinstance(value, dict):
        return {word for part in value.values() for word in list_words(part)}
    if isinstance(value, list):
        return {word for part in value for word in list_words(part)}
    return {word.strip(".,:;") for word in str(value).split()}


OWN_WORDS = list_words(
    "Job builds the recipe attempt It was built before is done Revision served in place of its artifact"
)


@pytest.mark.parametrize("name", list_cases())
def test_an_event_says_nothing_that_the_status_does_not(name):
    case = load_case(name)
    before, after = dict(case.observation.status), case.plan().status or {}
    events = plan_events(BODY, before, after, case.now)
    told = {word for event in events for word in list_words(event["message"].replace(REMOVED, "…"))}
    assert told - list_words([before, dict(after)]) <= OWN_WORDS


def test_nothing_is_told_where_nothing_is_written():
    body = BODY | {"status": make_status(Stalled="True/NameConflict")}
    assert plan_report(body, Plan(), (), NOW).status is None
    assert plan_report(body, Plan(status=body["status"]), (), NOW).events == ()


def test_a_refusal_is_in_the_status_and_in_its_events():
    conditions = {"Ready": "True/Serving", "Reconciling": "False/Settled", "Stalled": "False/NotStalled"}
    body = BODY | {"status": make_status(**conditions)}
    refusal = Refusal("HorizontalPodAutoscaler", "small", "metrics[0] is wrong", invalid=True)
    report = plan_report(body, Plan(), (refusal,), NOW)
    assert {each["type"]: each["reason"] for each in report.status["conditions"]}["Stalled"] == "InvalidAutoscaling"
    assert Counter(event["reason"] for event in report.events) == {"Stalled": 1}


def test_the_page_lists_every_event_in_order(repository):
    rows = ROW.findall((repository / "docs/reasons.md").read_text(encoding="utf-8"))
    assert rows == [
        (reason.value, "Warning" if reason in WARNINGS else "Normal") for reason in sorted(EventReason, key=str)
    ]
