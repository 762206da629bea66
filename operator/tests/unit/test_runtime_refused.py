"""What the API server refused is asked for ever more seldom, and at once where something about it changed."""

from itertools import pairwise

import pytest
from operator_fakes import refused

from model_operator.api.v1alpha1 import parse_model
from model_operator.apply import apply
from model_operator.planning.decision import Plan, Reference, Refusal
from model_operator.planning.refusal import drop_refused
from model_operator.refused import IDLE_SECONDS, LONGEST_PAUSE_SECONDS, Asked, Refused
from model_operator.settings import Settings

KIND = "HorizontalPodAutoscaler"
SETTINGS = Settings()


def autoscaler(most=4):
    return {"kind": KIND, "metadata": {"name": "small"}, "spec": {"maxReplicas": most}}


@pytest.fixture
def asks(kube, body, clock):
    """Carries out a plan, and remembers when a write was tried."""
    kube.refuse["apply", KIND] = refused("maxReplicas is too small")
    kept = Refused(clock)
    write = kube.apply

    def tried(namespace, wanted):
        asks.times.append(clock.now)
        write(namespace, wanted)

    kube.apply = tried

    def asks(most=4, **spec):
        model = parse_model(body | {"spec": body["spec"] | spec})
        return apply(Plan(apply=(autoscaler(most),)), model, "u", kube, kept)

    asks.times, asks.kept = [], kept
    return asks


def test_a_refused_write_is_tried_again_ever_more_seldom_and_told_all_the_while(asks, clock):
    for _ in range(3600):
        assert asks() == (Refusal(KIND, "small", "maxReplicas is too small", invalid=True),)
        clock.now += 1
    pauses = [later - sooner for sooner, later in pairwise(asks.times)]
    assert pauses == [10, 20, 40, 80, 160, *[LONGEST_PAUSE_SECONDS] * 10]


def test_the_refusal_says_when_it_is_tried_again(asks, clock):
    assert asks()[0].again_in_seconds == 10
    clock.now += 4
    assert asks()[0].again_in_seconds == 6


def test_another_object_another_spec_or_another_child_is_tried_at_once(asks, kube):
    asks()
    asks(most=5)
    asks(most=5, replicas=2)
    there = kube.put(autoscaler(1))
    asks(most=5, replicas=2)
    assert len(asks.times) == 4
    kube.put(there | {"status": {"currentReplicas": 3}})
    asks(most=5, replicas=2)
    assert len(asks.times) == 4
    kube.objects.clear()
    asks(most=5, replicas=2)
    assert len(asks.times) == 5


def test_what_was_taken_is_refused_no_longer(asks, kube, clock):
    asks()
    kube.refuse.clear()
    clock.now += 10
    assert asks() == ()
    assert (len(asks.kept), len(asks.times)) == (0, 2)


def test_what_nobody_asks_for_any_more_is_forgotten(asks, clock):
    asks()
    clock.now += IDLE_SECONDS + 1
    assert asks.kept.find(Asked("other", "apply", KIND, "small"), str) is None
    assert len(asks.kept) == 0


REFUSAL = Refusal(KIND, "small", "no", invalid=True, again_in_seconds=90.0)
BUILT = {"conditions": [{"type": "ArtifactReady", "status": "True"}]}
JOB = {"kind": "Job", "metadata": {"name": "build"}}


def test_what_was_refused_was_not_done():
    plan = Plan(create=(JOB,), apply=(autoscaler(),), scale=2, leave=(Reference("Job", "before"),))
    done = drop_refused(plan, [REFUSAL, Refusal("Job", "before", "no", invalid=False)], {}, SETTINGS)
    assert (done.create, done.apply, done.scale, done.leave) == ((JOB,), (), 2, ())
    assert drop_refused(plan, [Refusal("Deployment", "small", "no", invalid=True)], {}, SETTINGS).scale is None


def test_a_refused_model_comes_again_when_it_is_tried_again_or_measured():
    measured = Settings(prometheus_url="http://prometheus:9090", kpi_seconds=15)

    def seconds(plan, status, settings=SETTINGS, again=40.0):
        refusal = Refusal(KIND, "small", "no", invalid=True, again_in_seconds=again)
        return drop_refused(plan, [refusal], status, settings).requeue_after_seconds

    soon = Plan(requeue_after_seconds=5.0)
    assert seconds(soon, BUILT) == 40.0
    assert seconds(soon, BUILT, again=300.0) == SETTINGS.resync_seconds
    assert seconds(soon, BUILT, measured) == 15
    assert seconds(soon, {}) == 5.0
    assert seconds(Plan(create=(JOB,), requeue_after_seconds=5.0), {}) == 40.0
