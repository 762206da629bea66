from datetime import UTC, datetime

import pytest

from model_operator.observation import Pod
from model_operator.serving_pod import Served, find_served, parse_pods

DIGEST = "sha256:" + "d" * 64


def pod(name="m-h1-aaaaa", *, template="h1", created="2026-01-01T00:00:00Z", ready_since="", deleted=False, **status):
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": ready_since}] if ready_since else []
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": created,
            "labels": {"pod-template-hash": template},
            "annotations": {"modelpress.dev/revision": DIGEST},
            **({"deletionTimestamp": "2026-01-01T01:00:00Z"} if deleted else {}),
        },
        "status": {"phase": "Running", **status, "conditions": [*conditions, *status.get("conditions", ())]},
    }


def container(name, *, restarts=0, last=None, **state):
    return {
        "name": name,
        "state": state,
        "restartCount": restarts,
        **({"lastState": {"terminated": last}} if last else {}),
    }


def test_a_pod_that_is_ready_has_nothing_to_explain():
    body = pod(
        ready_since="2026-01-01T00:01:00Z",
        initContainerStatuses=[container("unpack", terminated={"exitCode": 0, "message": '{"x": 1}'})],
        containerStatuses=[container("server", running={}, restarts=2)],
    )
    assert parse_pods([body]) == (
        Pod("m-h1-aaaaa", "h1", DIGEST, ready=True, terminating=False, restarts=2, unpack_exit_code=0,
            unpack_message='{"x": 1}'),
    )  # fmt: skip


def test_a_mismatch_is_found_while_the_unpack_container_waits_for_its_next_try():
    body = pod(
        initContainerStatuses=[
            container("unpack", waiting={"reason": "CrashLoopBackOff", "message": "back-off 10s"},
                      last={"exitCode": 4, "reason": "Error", "message": '{"error":"other digest","permanent":true}'}),
        ],
        containerStatuses=[container("server", waiting={"reason": "PodInitializing"})],
    )  # fmt: skip
    (found,) = parse_pods([body])
    assert (found.ready, found.unpack_exit_code, found.reason) == (False, 4, "CrashLoopBackOff")
    assert found.unpack_message == '{"error":"other digest","permanent":true}'


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        ({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1"}]},
         "Unschedulable", "0/1"),
        ({"containerStatuses": [container("server", waiting={"reason": "ErrImagePull", "message": "not found"})]},
         "ErrImagePull", "not found"),
        ({"containerStatuses": [container("server", waiting={"reason": "CrashLoopBackOff", "message": "back-off"},
                                          last={"exitCode": 137, "reason": "OOMKilled"})]}, "OOMKilled", ""),
        ({"containerStatuses": [container("server", waiting={"reason": "CrashLoopBackOff", "message": "back-off"},
                                          last={"exitCode": 1, "reason": "Error", "message": "no such model\n"})]},
         "CrashLoopBackOff", "no such model"),
        ({"containerStatuses": [container("server", terminated={"exitCode": 1, "reason": "Error", "message": "x"})]},
         "Error", "x"),
        ({"containerStatuses": [container("server", running={}, last={"exitCode": 1, "reason": "Error"})]}, "", ""),
        ({"initContainerStatuses": [container("unpack", running={})],
          "containerStatuses": [container("server", waiting={"reason": "PodInitializing"})]}, "", ""),
    ],
)  # fmt: skip
def test_a_pod_that_does_not_run_says_why(status, reason, message):
    (found,) = parse_pods([pod(**status)])
    assert (found.reason, found.message) == (reason, message)


def test_pods_come_oldest_first_and_evicted_ones_are_left_out():
    bodies = [
        pod("new", created="2026-01-03T00:00:00Z"),
        pod("old", created="2026-01-01T00:00:00Z", deleted=True),
        pod("evicted", phase="Failed", reason="Evicted"),
    ]
    assert [(each.name, each.terminating) for each in parse_pods(bodies)] == [("old", True), ("new", False)]


def test_served_is_the_newest_template_that_has_a_ready_pod():
    bodies = [
        pod("a", template="old", created="2026-01-01T00:00:00Z", ready_since="2026-01-01T00:01:00Z"),
        pod("b", template="now", created="2026-01-02T00:00:00Z", ready_since="2026-01-02T00:03:00Z"),
        pod("c", template="now", created="2026-01-02T00:01:00Z", ready_since="2026-01-02T00:02:00Z"),
        pod("d", template="next", created="2026-01-03T00:00:00Z"),
        pod("e", template="gone", created="2026-01-04T00:00:00Z", ready_since="2026-01-04T00:01:00Z", deleted=True),
    ]
    assert find_served("press", "m", bodies) == Served("press", "m", "now", datetime(2026, 1, 2, 0, 2, tzinfo=UTC))


def test_nothing_is_served_without_a_ready_pod():
    assert find_served("press", "m", [pod()]) is None
