"""An API server that ends in the middle of a build and begins again, and a token that expires: neither ends us."""

import json
import urllib.error
import urllib.request

import pytest
from cluster.client import wait_until
from operator_play import SUMMARY, training_model


@pytest.fixture
def building(stage):
    """A stage with a build that runs; and its Job."""
    stage.cluster.make_claim()
    stage.cluster.make(training_model())
    (job,) = stage.cluster.wait_for_jobs(1)
    stage.cluster.start_build(job)
    stage.cluster.wait_for("small", ArtifactReady="False/Building")
    return stage, job


def finish(stage, job):
    """The build ends and what it gave is served."""
    stage.cluster.end_build(job, json.dumps(SUMMARY))
    check(stage, job)


def check(stage, job):
    """What the build gave is served, it was the only one, and the operator is well."""
    stage.life.roll_out("small", "aaaaaaaaaa")
    stage.cluster.wait_for("small", 40, Ready="True/Serving", ArtifactReady="True/Built")
    assert [each["metadata"]["uid"] for each in stage.cluster.list("job")] == [job["metadata"]["uid"]]
    wait_until(lambda: health(stage), lambda status: status == 200, 40, "/healthz")


def health(stage, page="healthz"):
    """Status of the page; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{stage.operator.health_port}/{page}", timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def fails(stage, since):
    """Whether a request since then got no answer that is one."""
    return any(each.status == 0 or each.status >= 500 for each in stage.proxy.asked[since:])


@pytest.mark.parametrize("program", ["kube-apiserver", "etcd"])
def test_a_control_plane_that_ends_in_a_build_and_begins_again(building, survival_server, program):
    stage, job = building
    asked = len(stage.proxy.asked)
    survival_server.end(program)
    try:
        wait_until(lambda: fails(stage, asked), bool, 30, "a request that fails")
    finally:
        survival_server.begin_again(program)
    finish(stage, job)
    assert (stage.operator.begun, stage.operator.running) == (1, True)


def test_an_api_server_that_refuses_connections_for_long_is_no_reason_to_restart_the_operator(building):
    """For longer than three audits (of 5 s here), after which the operator is not ready, and lives."""
    stage, job = building
    with stage.proxy.refusing():
        stage.cluster.end_build(job, json.dumps(SUMMARY))
        wait_until(lambda: "does not answer" in stage.operator.words(), bool, 30, "a failure in the log")
        wait_until(lambda: health(stage, "readyz"), lambda status: status == 503, 60, "/readyz that fails")
        assert health(stage) == 200
    check(stage, job)
    wait_until(lambda: health(stage, "readyz"), lambda status: status == 200, 40, "/readyz")
    assert (stage.operator.begun, stage.operator.running) == (1, True)


def test_a_token_that_expires_while_watches_run_is_replaced_by_the_rotated_one(building):
    """The watches end with the token, and begin anew with the one that the file holds by then."""
    stage, job = building
    watched = {each.path for each in stage.proxy.asked if each.watches}
    token = stage.rotate_token()
    stage.expire_token()
    wait_until(
        lambda: {each.path for each in stage.proxy.asked if each.watches and each.token == token},
        lambda found: found == watched,
        30,
        "every watch with the new token",
    )
    finish(stage, job)
    assert (stage.operator.begun, stage.operator.running) == (1, True)


def test_a_token_that_is_rotated_too_late_ends_the_operator_and_the_next_one_goes_on(building):
    """Better an end, which Kubernetes answers by a new process, than a life without watches."""
    stage, job = building
    stage.expire_token()
    wait_until(lambda: not stage.operator.running or health(stage) == 503, bool, 60, "an end, or /healthz 503")
    stage.rotate_token()
    stage.replace_operator()
    finish(stage, job)
