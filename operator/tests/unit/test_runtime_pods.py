from datetime import UTC, datetime

import pytest

from model_operator.container_status import Trouble, parse_trouble
from model_operator.observation import Pod
from model_operator.serving_pod import Served, find_served, parse_pods, select_revision

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
        Pod("m-h1-aaaaa", "h1", DIGEST, ready=True, terminating=False, unpack_exit_code=0,
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


CRASHED = {"exitCode": 1, "reason": "Error", "message": "no such model\n"}
KILLED = {"exitCode": 137, "reason": "OOMKilled"}


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (CRASHED, Trouble("CrashLoopBackOff", "no such model", "server")),
        (KILLED, Trouble("OOMKilled", "", "server")),
        ({"exitCode": 139, "reason": "Error"}, Trouble("CrashLoopBackOff", "exit code 139", "server")),
        ({"exitCode": 0, "reason": "Completed"}, Trouble("CrashLoopBackOff", "exit code 0", "server")),
    ],
)
def test_a_server_that_fell_is_told_alike_until_it_is_ready_whatever_it_does_just_now(last, expected):
    states = [
        {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}},
        {"running": {"startedAt": "2026-01-01T00:10:00Z"}},
        {"terminated": last},
        {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container"}},
    ]
    falling = [pod(containerStatuses=[container("server", restarts=3, last=last, **state)]) for state in states]
    assert {parse_trouble(body) for body in falling} == {expected}
    assert [(found.ready, found.reason, found.container) for found in parse_pods(falling[1:2])] == [
        (False, expected.reason, "server")
    ]
    again = container("server", restarts=3, last=last, running={})
    assert parse_trouble(pod(ready_since="2026-01-01T00:11:00Z", containerStatuses=[again])) == Trouble()
    assert parse_trouble(pod(containerStatuses=[again | {"ready": True}])) == Trouble()


@pytest.mark.parametrize(("unready_since", "reason"), [("10:00:04", "CrashLoopBackOff"), ("10:45:00", "")])
def test_a_server_that_was_ready_since_its_last_fall_waits_for_something_else(unready_since, reason):
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": f"2026-01-01T{unready_since}Z"}
    server = container("server", restarts=3, last=CRASHED, running={"startedAt": "2026-01-01T10:00:00Z"})
    assert parse_trouble(pod(conditions=[condition], containerStatuses=[server])).reason == reason


@pytest.mark.parametrize(
    ("unpack", "expected"),
    [
        (container("unpack", restarts=2, last=KILLED, running={}), Trouble("OOMKilled", "", "unpack")),
        (container("unpack", restarts=2, last=CRASHED, running={}),
         Trouble("CrashLoopBackOff", "no such model", "unpack")),
        (container("unpack", waiting={"reason": "ImagePullBackOff", "message": "denied"}),
         Trouble("ImagePullBackOff", "denied", "unpack")),
        # Its pod was set up anew, such as after its node was started again.
        (container("unpack", restarts=1, last={"exitCode": 0, "reason": "Completed"}, running={}), Trouble()),
    ],
)  # fmt: skip
def test_an_unpacking_that_falls_is_told_as_such(unpack, expected):
    waiting = container("server", waiting={"reason": "PodInitializing"})
    assert parse_trouble(pod(initContainerStatuses=[unpack], containerStatuses=[waiting])) == expected


def test_a_whole_pods_trouble_is_of_no_container():
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1"}
    assert parse_trouble(pod(conditions=[condition])) == Trouble("Unschedulable", "0/1")


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


def test_pods_of_a_revision_are_those_and_no_others():
    other = pod("other")
    other["metadata"]["annotations"] = {"modelpress.dev/revision": "sha256:" + "e" * 64}
    bare = pod("bare")
    del bare["metadata"]["annotations"]
    found = {revision: select_revision([pod(), other, bare], revision) for revision in ("d" * 12, "e" * 12, None)}
    names = {revision: [each["metadata"]["name"] for each in pods] for revision, pods in found.items()}
    assert names == {"d" * 12: ["m-h1-aaaaa"], "e" * 12: ["other"], None: []}


def test_nothing_is_served_without_a_ready_pod():
    assert find_served("press", "m", [pod()]) is None
