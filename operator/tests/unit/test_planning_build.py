from datetime import UTC, datetime, timedelta

import pytest
from planning_toy import make_summary

from model_artifact.summary import Failure
from model_operator import names
from model_operator.api.v1alpha1 import parse_model
from model_operator.observation import BuildAttempt, Claim, Observation, Record
from model_operator.planning.job import hash_build, render_job
from model_operator.planning.plan import plan
from model_operator.settings import Settings

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
SETTINGS = Settings()
BOUND = Claim("modelpress-store", "Bound")


@pytest.fixture
def model(body):
    return parse_model(body)


def make_attempt(model, state="Running", number=0, build_hash=None, owners=("uid-1",), **facts):
    """A build of the model's recipe, under its own settings unless others are named."""
    build_hash = build_hash or hash_build(model.recipe(), model.spec, SETTINGS)
    job = names.build_job_name(model.recipe().digest, build_hash, number)
    return BuildAttempt(job, frozenset(owners), build_hash, number, state, **facts)


def make_plan(model, *attempts, now=NOW, settings=SETTINGS, **facts):
    facts = {"store": BOUND, "status": {}} | facts
    return plan(model, Observation(uid="uid-1", generation=1, attempts=attempts, **facts), settings, now)


def tell(result, kind="ArtifactReady"):
    """Reason and message of one condition."""
    return next((each["reason"], each["message"]) for each in result.status["conditions"] if each["type"] == kind)


def test_the_build_hash_changes_with_what_may_change_the_outcome_only(body):
    def hash_with(settings=SETTINGS, **build):
        model = parse_model(body | {"spec": body["spec"] | {"build": build}})
        return hash_build(model.recipe(), model.spec, settings)

    plain = hash_with()
    assert hash_with(retries=7) == plain
    others = [
        hash_with(timeoutSeconds=60),
        hash_with(queueName="team"),
        hash_with(queueName="other"),
        hash_with(nodeSelector={"disk": "fast"}),
        hash_with(tolerations=[{"operator": "Exists"}]),
        hash_with(resources={"limits": {"memory": "12Gi"}}),
        hash_with(Settings(builder_image="registry.example/builder:2")),
    ]
    assert len({plain, *others}) == 1 + len(others)


def test_two_models_with_one_recipe_ask_for_the_same_job(body):
    first, second = parse_model(body), parse_model(body | {"metadata": {"name": "other", "namespace": "press"}})
    jobs = [render_job(model, uid, model.recipe(), SETTINGS, 0) for model, uid in ((first, "1"), (second, "2"))]
    owners = [job["metadata"].pop("ownerReferences") for job in jobs]
    assert jobs[0] == jobs[1]
    assert [[owner["uid"] for owner in each] for each in owners] == [["1"], ["2"]]


@pytest.mark.parametrize("number", [0, 1, 4, 5, 9])
def test_the_next_attempt_waits_longer_each_time_but_never_over_five_minutes(body, number):
    body["spec"]["build"] = {"retries": 10}
    model = parse_model(body)
    failed = make_attempt(model, "Failed", number, finished_at=NOW, reason="Evicted")
    delay = min(10 * 2**number, 300)
    early = make_plan(model, failed, now=NOW + timedelta(seconds=delay - 1))
    assert early.create == ()
    assert early.requeue_after_seconds == 1.0
    assert tell(early)[1].endswith(f"The next attempt starts at {NOW + timedelta(seconds=delay):%Y-%m-%dT%H:%M:%SZ}.")
    due = make_plan(model, failed, now=NOW + timedelta(seconds=delay))
    assert [job["metadata"]["annotations"][names.ANNOTATION_ATTEMPT] for job in due.create] == [str(number + 1)]


def test_an_attempt_without_an_end_is_followed_at_once(model):
    assert len(make_plan(model, make_attempt(model, "Failed", reason="BackoffLimitExceeded")).create) == 1


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ({"failure": Failure(error="No space is left in /store.", permanent=True)}, "No space is left in /store."),
        ({"reason": "OOMKilled"}, "the builder was killed for its memory limit of 6Gi; raise"),
        ({"reason": "DeadlineExceeded"}, "it took longer than 86400 s; raise spec.build.timeoutSeconds."),
        (
            {"reason": "Evicted", "message": "disk"},
            "its node ran short of something; raise spec.build.resources.requests",
        ),
        ({"reason": "Error", "message": "exit code 1"}, "Error (exit code 1); see the log of Job build-"),
        ({}, "it left no reason; see the log of Job build-"),
    ],
)
def test_a_failure_is_told_with_its_cause_and_remedy(body, facts, cause):
    body["spec"]["build"] = {"retries": 0}
    model = parse_model(body)
    result = make_plan(model, make_attempt(model, "Failed", **facts))
    reason, message = tell(result)
    assert reason == "BuildFailed"
    assert message.startswith(f"Attempt 1 of 1 failed: {cause}")
    assert "delete job -l modelpress.dev/build=" in message
    assert tell(result, "Stalled") == (reason, message)
    assert result.create == ()


def test_a_limit_that_the_spec_states_is_the_one_that_is_told(body):
    body["spec"]["build"] = {"retries": 0, "resources": {"limits": {"memory": "3Gi"}}}
    model = parse_model(body)
    assert "memory limit of 3Gi;" in tell(make_plan(model, make_attempt(model, "Failed", reason="OOMKilled")))[1]
    body["spec"]["build"]["resources"] = {"requests": {"memory": "8Gi"}}
    model = parse_model(body)
    assert "memory limit; raise" in tell(make_plan(model, make_attempt(model, "Failed", reason="OOMKilled")))[1]


def test_a_build_that_ended_well_without_a_summary_counts_as_failed(model):
    result = make_plan(model, make_attempt(model, "Succeeded", finished_at=NOW))
    assert "what it handed over cannot be read" in tell(result)[1]
    assert tell(result)[0] == "BuildFailed"


def test_failures_under_other_settings_do_not_count(model):
    result = make_plan(model, make_attempt(model, "Failed", 2, build_hash="00000000"))
    assert [job["metadata"]["annotations"][names.ANNOTATION_ATTEMPT] for job in result.create] == ["0"]


@pytest.mark.parametrize(
    ("state", "facts", "reason", "words"),
    [
        ("Pending", {}, "BuildPending", "has no pod that runs yet."),
        (
            "Pending",
            {"reason": "Unschedulable", "message": "0/1 nodes"},
            "BuildPending",
            "yet: Unschedulable 0/1 nodes.",
        ),
        (
            "Pending",
            {"reason": "FailedCreate", "message": "exceeded quota: q"},
            "QuotaExceeded",
            "exceeded quota: q. Raise the quota, or lower spec.build.resources; it goes on by itself.",
        ),
        ("Suspended", {}, "BuildQueued", "is suspended; set its spec.suspend to false."),
        ("Running", {}, "Building", "runs."),
    ],
)
def test_a_build_that_goes_on_is_waited_for(model, state, facts, reason, words):
    result = make_plan(model, make_attempt(model, state, **facts))
    assert tell(result)[0] == reason
    assert tell(result)[1].endswith(words)
    assert (result.create, result.adopt) == ((), ())
    assert result.requeue_after_seconds == (5.0 if state == "Running" else 10.0)


@pytest.mark.parametrize(
    ("attempt", "awaited"),
    [
        ({"state": "Running"}, True),
        ({"state": "Pending"}, True),
        ({"state": "Pending", "reason": "Unschedulable"}, False),
        ({"state": "Suspended"}, False),
    ],
)
def test_a_build_under_other_settings_is_awaited_unless_it_cannot_start(model, attempt, awaited):
    other = make_attempt(model, build_hash="00000000", owners=("uid-2",), **attempt)
    result = make_plan(model, other)
    assert [reference.name for reference in result.adopt] == ([other.job] if awaited else [])
    assert len(result.create) == (0 if awaited else 1)


def test_a_build_that_runs_is_preferred_to_one_that_waits(model):
    waiting = make_attempt(model, "Pending", reason="Unschedulable")
    running = make_attempt(model, "Running", build_hash="00000000")
    result = make_plan(model, waiting, running)
    assert result.status["build"]["job"] == running.job


def test_a_record_is_enough_and_is_joined(model):
    summary = make_summary(model.recipe().digest)
    result = make_plan(model, record=Record(frozenset({"uid-2"}), summary))
    assert [(reference.kind, reference.name) for reference in result.adopt] == [
        ("ConfigMap", names.record_name(model.recipe().digest))
    ]
    assert result.create == ()
    assert [body["kind"] for body in result.apply] == ["Deployment", "Service", "PodDisruptionBudget"]


def test_a_build_is_told_of_whose_record_was_made_before_its_end_was_told(model):
    """An operator that ended between the two finds record and Job, and no more of the Job's pods."""
    record = Record(frozenset({"uid-1"}), make_summary(model.recipe().digest))
    done = make_attempt(model, "Succeeded", started_at=NOW, finished_at=NOW)
    build = make_plan(model, done, record=record).status["build"]
    assert (build["job"], build["finishedAt"]) == (done.job, "2026-03-02T10:00:00Z")


def test_a_finished_build_that_is_being_deleted_is_told_of_only_where_it_was_before(model):
    """What a pass tells does not go by whether the Job's pods are gone yet."""
    record = Record(frozenset({"uid-1"}), make_summary(model.recipe().digest))
    leaving = make_attempt(model, "Succeeded", ending=True)
    result = make_plan(model, leaving, record=record)
    assert result.status["build"] == make_plan(model, record=record).status["build"]
    told = make_plan(model, make_attempt(model, "Succeeded"), record=record).status
    later = make_plan(model, leaving, record=record, status=told, now=NOW + timedelta(hours=1))
    assert later.status is None or later.status["build"] == told["build"]


def test_a_record_without_a_store_waits_and_makes_nothing(model):
    record = Record(frozenset({"uid-1"}), make_summary(model.recipe().digest))
    result = make_plan(model, record=record, store=Claim("modelpress-store", "Lost"))
    assert tell(result)[0] == "StoreMissing"
    assert "has lost its volume" in tell(result)[1]
    assert result.apply == ()
    assert result.status["artifact"]["digest"] == record.summary.digest


def test_the_command_for_a_missing_store_is_whole(model):
    message = tell(make_plan(model, store=Claim("modelpress-store", "Missing")))[1]
    assert message.endswith(
        """echo '{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"modelpress-store","""
        """"labels":{"app.kubernetes.io/name":"modelpress","app.kubernetes.io/component":"store"}},"""
        """"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"20Gi"}}}}'"""
        """ | kubectl apply -n press -f -"""
    )


def test_a_pending_build_without_its_claims_says_which_one(model):
    settings = Settings(data_claim_name="datasets")
    attempt = make_attempt(model, "Pending", build_hash=hash_build(model.recipe(), model.spec, settings))
    facts = {"settings": settings, "data": Claim("datasets", "Missing")}
    assert tell(make_plan(model, attempt, **facts))[0] == "DataMissing"
    assert tell(make_plan(model, attempt, store=Claim("modelpress-store", "Missing"), **facts))[0] == "StoreMissing"


def test_what_was_told_of_a_build_stays_when_its_job_is_gone(model):
    record = Record(frozenset({"uid-1"}), make_summary(model.recipe().digest))
    done = make_attempt(model, "Succeeded", summary=record.summary, started_at=NOW, finished_at=NOW)
    status = make_plan(model, done).status
    later = make_plan(model, record=record, status=status, now=NOW + timedelta(hours=1))
    assert later.status is None or later.status["build"] == status["build"]
    assert status["build"]["finishedAt"] == "2026-03-02T10:00:00Z"
