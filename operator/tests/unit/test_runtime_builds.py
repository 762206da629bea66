from datetime import UTC, datetime

import pytest

from model_artifact.summary import ArtifactSummary, BuildProgress, Failure, format_document
from model_operator.build_attempt import parse_attempt

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


def job(status=None, **spec):
    return {
        "metadata": {
            "name": "build-1-2-1",
            "uid": "job-uid",
            "labels": {"modelpress.dev/build": "b1"},
            "annotations": {"modelpress.dev/attempt": "1"},
            "ownerReferences": [
                {"kind": "CompressedModel", "uid": "m1"},
                {"kind": "CompressedModel", "uid": "m2"},
                {"kind": "Other", "uid": "o"},
            ],
        },
        "spec": spec,
        "status": status or {},
    }


def condition(kind, reason="", message=""):
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }


def pod(state=None, *, created="2026-01-01T00:00:00Z", **status):
    containers = [{"name": "build", "state": state}] if state else []
    return {
        "metadata": {"name": f"build-1-{created[:4]}", "creationTimestamp": created},
        "status": {"containerStatuses": containers, **status},
    }


def ended(message, **more):
    return {"terminated": {"exitCode": 1, "reason": "Error", "message": message, **more}}


def failed(reason="BackoffLimitExceeded", message="Job has reached the specified backoff limit"):
    return job({"conditions": [condition("Failed", reason, message)]})


def test_a_job_tells_its_name_owners_settings_number_and_times():
    attempt = parse_attempt(
        job(
            {
                "startTime": "2026-01-02T03:00:00Z",
                "completionTime": "2026-01-02T03:04:05Z",
                "conditions": [condition("Complete")],
            }
        ),
        [],
        [],
        "",
    )
    assert (attempt.job, attempt.build_hash, attempt.attempt) == ("build-1-2-1", "b1", 1)
    assert attempt.owners == {"m1", "m2"}
    assert attempt.started_at == datetime(2026, 1, 2, 3, tzinfo=UTC)
    assert attempt.finished_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "pods", "state"),
    [
        (job(), [], "Pending"),
        (job(suspend=True), [], "Suspended"),
        (job({"active": 1}), [pod()], "Pending"),
        (job({"active": 1}), [pod({"waiting": {"reason": "ContainerCreating"}})], "Pending"),
        (job({"active": 1}), [pod({"running": {}})], "Running"),
        (job({"active": 1}), [pod(ended("x"))], "Running"),
        (job({"conditions": [condition("SuccessCriteriaMet")]}), [pod(ended("x"))], "Running"),
        (job({"conditions": [condition("FailureTarget")]}), [pod(ended("x"))], "Running"),
        (job({"conditions": [condition("Complete")]}), [], "Succeeded"),
        (failed(), [], "Failed"),
        (job({"conditions": [{"type": "Failed", "status": "False"}]}), [], "Pending"),
    ],
)  # fmt: skip
def test_a_state_is_what_kubernetes_has_settled(body, pods, state):
    assert parse_attempt(body, pods, [], "").state == state


def test_a_build_that_succeeded_hands_its_summary_over():
    good = {"terminated": {"exitCode": 0, "reason": "Completed", "message": format_document(SUMMARY)}}
    body = job({"conditions": [condition("Complete")]})
    newer = pod(ended("evicted"), created="2027-01-01T00:00:00Z")
    assert parse_attempt(body, [newer, pod(good)], [], "").summary == SUMMARY
    assert parse_attempt(body, [], [], "").summary is None


def test_a_build_that_failed_says_why():
    failure = Failure(error="the data set is cut short; fetch it again", permanent=True)
    attempt = parse_attempt(failed(), [pod(ended(format_document(failure), exitCode=4))], [], "")
    assert (attempt.failure, attempt.reason) == (failure, "Error")
    assert attempt.finished_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_failure_is_found_at_the_end_of_a_log_too():
    failure = Failure(error="no space", permanent=False)
    attempt = parse_attempt(failed(), [pod(ended(f"loading\n{format_document(failure)}\n"))], [], "")
    assert attempt.failure == failure


def test_of_a_crash_the_last_line_is_kept():
    attempt = parse_attempt(failed(), [pod(ended("Traceback:\n  File x\nMemoryError: too much\n\n"))], [], "")
    assert (attempt.failure, attempt.reason, attempt.message) == (None, "Error", "MemoryError: too much")


@pytest.mark.parametrize(
    ("body", "pods", "reason", "message"),
    [
        (failed(), [pod(ended("", reason="OOMKilled", exitCode=137))], "OOMKilled", ""),
        (failed("DeadlineExceeded", "Job was active longer than specified deadline"), [pod(ended("x"))],
         "DeadlineExceeded", "Job was active longer than specified deadline"),
        (failed(), [pod(ended(""), reason="Evicted", message="The node was low on memory")],
         "Evicted", "The node was low on memory"),
        (failed(), [pod(ended("", reason="", exitCode=3))], "BackoffLimitExceeded", "exit code 3"),
        (failed(), [], "BackoffLimitExceeded", "Job has reached the specified backoff limit"),
        (failed(), [pod()], "BackoffLimitExceeded", "Job has reached the specified backoff limit"),
    ],
)  # fmt: skip
def test_a_failure_is_named_by_what_ended_it(body, pods, reason, message):
    attempt = parse_attempt(body, pods, [], "")
    assert (attempt.reason, attempt.message) == (reason, message)


@pytest.mark.parametrize(
    ("pods", "events", "reason", "message"),
    [
        ([pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1"}])],
         [], "Unschedulable", "0/1"),
        ([pod({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image x"}})],
         [], "ImagePullBackOff", "Back-off pulling image x"),
        ([pod({"waiting": {"reason": "ContainerCreating"}})], [], "", ""),
        ([], [{"type": "Normal", "reason": "Suspended"},
              {"type": "Warning", "reason": "Old", "message": "old", "lastTimestamp": "2026-01-01T00:00:00Z"},
              {"type": "Warning", "reason": "FailedCreate", "message": "exceeded quota: q",
               "lastTimestamp": "2026-01-02T00:00:00Z"}],
         "FailedCreate", "exceeded quota: q"),
        ([], [], "", ""),
    ],
)  # fmt: skip
def test_a_build_that_does_not_start_says_what_it_waits_for(pods, events, reason, message):
    attempt = parse_attempt(job(), pods, events, "")
    assert (attempt.state, attempt.reason, attempt.message) == ("Pending", reason, message)


def test_progress_is_read_off_the_log_only_while_the_build_runs():
    progress = BuildProgress(phase="Training", epoch=3, epochs=50)
    log = f"loading\n{format_document(progress)}\nnoise"
    assert parse_attempt(job({"active": 1}), [pod({"running": {}})], [], log).progress == progress
    assert parse_attempt(failed(), [pod(ended("x"))], [], log).progress is None
