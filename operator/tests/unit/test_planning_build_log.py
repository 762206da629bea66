import pytest
from test_planning_build import make_attempt, make_plan

from model_operator.api.v1alpha1 import parse_model
from model_operator.build_attempt import is_failing, parse_attempt
from model_operator.planning.build_log import format_tail
from model_operator.planning.redaction import redact


@pytest.fixture
def model(body):
    return parse_model(body)


def make_job(kind):
    return {"metadata": {"name": "b"}, "spec": {}, "status": {"conditions": [{"type": kind, "status": "True"}]}}


def test_the_end_of_a_failed_builds_log_is_kept_with_its_job(model):
    attempt = make_attempt(model, "Failed", log="first\nlast\n", uid="job-uid")
    (kept,) = [body for body in make_plan(model, attempt).create if body["kind"] == "ConfigMap"]
    assert kept["metadata"]["name"] == f"{attempt.job}-log"
    assert kept["metadata"]["ownerReferences"] == [
        {"apiVersion": "batch/v1", "kind": "Job", "name": attempt.job, "uid": "job-uid"}
    ]
    assert kept["metadata"]["labels"]["app.kubernetes.io/component"] == "build-log"
    assert (kept["immutable"], kept["data"]) == (True, {"log.txt": "first\nlast\n"})


def test_nothing_is_kept_of_a_log_that_is_not_there_or_is_kept_already(model):
    created = make_plan(model, make_attempt(model, "Failed")).create
    assert [body["kind"] for body in created] == ["Job"]


def test_a_suspended_model_keeps_the_log_of_what_failed(body):
    suspended = parse_model(body | {"spec": body["spec"] | {"suspend": True}})
    result = make_plan(suspended, make_attempt(suspended, "Failed", log="last\n"))
    assert [each["kind"] for each in result.create] == ["ConfigMap"]


@pytest.mark.parametrize(("kind", "failing"), [("FailureTarget", True), ("Failed", True), ("Complete", False)])
def test_a_job_that_is_bound_to_fail_may_lose_its_log(kind, failing):
    assert is_failing(make_job(kind)) is failing
    assert parse_attempt(make_job(kind), (), (), "last").log == ("last" if failing else "")


def test_the_tail_is_short():
    text = "".join(f"line {number}\n" for number in range(200)) + "x" * 2000
    lines = format_tail(text).splitlines()
    assert (len(lines), lines[0], len(lines[-1])) == (50, "line 151", 500)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("AWS_SECRET_ACCESS_KEY=abc/def+g= next", "AWS_SECRET_ACCESS_KEY=[removed] next"),
        ('{"password": "hunter2", "epoch": 3}', '{"password": "[removed]", "epoch": 3}'),
        ("https://me:word@host/path", "https://[removed]@host/path"),
        ("GET /a?X-Amz-Signature=0123&x=1", "GET /a?X-Amz-Signature=[removed]&x=1"),
        ("Authorization: Bearer abcdefgh.ijkl", "Authorization: Bearer [removed]"),
        ("key AKIAABCDEFGHIJKLMNOP was refused", "key [removed] was refused"),
        (
            "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----",
            "-----BEGIN EC PRIVATE KEY-----[removed]-----END EC PRIVATE KEY-----",
        ),
        ("-----BEGIN PRIVATE KEY-----\nc2VjcmV0", "-----BEGIN PRIVATE KEY-----[removed]"),
    ],
)
def test_what_looks_like_a_secret_is_removed(text, clean):
    assert redact(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "epoch 3 of 20, 12.5 steps/s",
        "s3://models/production: the key is not there",
        "sha256:abababab",
        "the token bucket is empty",
        "Traceback (most recent call last):",
    ],
)
def test_what_does_not_stays(text):
    assert redact(text) == text


def test_what_a_failure_says_is_cleaned_too(model):
    attempt = make_attempt(model, "Failed", number=2, reason="Error", message="cannot log in with token=abc123")
    told = make_plan(model, attempt).status["build"]["message"]
    assert "token=[removed]" in told
    assert "abc123" not in told
