import dataclasses
from datetime import timedelta

import pytest
from planning_golden import load_case
from test_planning_build import NOW, make_attempt, make_plan, tell

from model_operator.api.v1alpha1 import parse_model
from model_operator.build_attempt import is_left_over, is_outlived, parse_attempt
from model_operator.observation import BuildAttempt
from model_operator.planning.decision import Reference
from model_operator.planning.leaving import MOST_AT_ONCE

RECIPE = "0" * 32


def named(result):
    return [each.name for each in result.leave]


@pytest.fixture
def model(body):
    return parse_model(body)


@pytest.fixture
def suspended(body):
    return parse_model(body | {"spec": body["spec"] | {"suspend": True}})


@pytest.mark.parametrize("state", ["Pending", "Suspended", "Running"])
def test_a_suspended_model_leaves_its_build_and_changes_nothing_else(suspended, state):
    attempt = make_attempt(suspended, state)
    result = make_plan(suspended, attempt)
    assert result.leave == (Reference("Job", attempt.job),)
    assert (result.create, result.adopt, result.apply, result.delete) == ((), (), (), ())
    assert tell(result) == (
        "Suspended",
        "The build is ended while spec.suspend is true; set it to false to go on.",
    )
    assert tell(result, "Reconciling")[0] == "Suspended"


def test_a_build_that_another_model_asks_for_is_not_ours_to_leave(suspended):
    result = make_plan(suspended, make_attempt(suspended, owners=("uid-2",)))
    assert named(result) == []


@pytest.mark.parametrize("state", ["Succeeded", "Failed"])
def test_a_build_that_has_ended_is_kept_as_it_is(suspended, state):
    assert named(make_plan(suspended, make_attempt(suspended, state))) == []


def test_a_build_that_is_being_ended_is_left_once(suspended):
    result = make_plan(suspended, make_attempt(suspended, ending=True))
    assert named(result) == []
    assert tell(result)[0] == "Suspended"


def test_what_waits_for_its_next_attempt_waits_on_while_suspended(suspended):
    failed = make_attempt(suspended, "Failed")
    result = make_plan(suspended, failed)
    assert tell(result) == (
        "Suspended",
        "The build does not start while spec.suspend is true; set it to false to go on.",
    )


def test_the_build_that_is_waited_for_is_kept(model):
    assert named(make_plan(model, make_attempt(model))) == []


def test_a_build_of_other_settings_that_cannot_start_is_left_before_another_takes_its_place(model):
    stuck = make_attempt(model, "Pending", build_hash="0" * 8, reason="Unschedulable")
    result = make_plan(model, stuck)
    assert named(result) == [stuck.job]
    assert (result.create, result.requeue_after_seconds) == ((), 5.0)
    assert tell(result) == (
        "BuildPending",
        f"Job {stuck.job} cannot start, has other settings than the spec and is ended; then the next one is made.",
    )


def test_a_build_that_cannot_start_and_that_another_model_asks_for_too_is_no_hindrance(model):
    stuck = make_attempt(model, "Pending", build_hash="0" * 8, reason="Unschedulable", owners=("uid-1", "uid-2"))
    result = make_plan(model, stuck)
    assert named(result) == [stuck.job]
    assert [body["kind"] for body in result.create] == ["Job"]


def test_of_two_builds_that_run_every_model_waits_for_the_oldest(model):
    other = make_attempt(model, build_hash="0" * 8, owners=("uid-1", "uid-2"))
    own = make_attempt(model)
    assert named(make_plan(model, other, own)) == [own.job]
    assert named(make_plan(model, own, other)) == [other.job]


def test_builds_of_earlier_recipes_are_left(model):
    result = make_plan(model, make_attempt(model), leftover=("build-before-0",))
    assert named(result) == ["build-before-0"]
    assert result.reasons == ("leave Job build-before-0: the model does not ask for it any more",)


def ended(name, days=0, state="Failed"):
    """A finished build of an earlier recipe, so long ago."""
    return BuildAttempt(name, frozenset({"uid-1"}), "0" * 8, 0, state, finished_at=NOW - timedelta(days=days))


def test_of_the_finished_builds_of_earlier_recipes_the_last_one_is_kept_for_a_day(model):
    builds = (ended("b", 0.5), ended("a", 0.7, "Succeeded"), ended("c", 0.6))
    assert named(make_plan(model, make_attempt(model), outlived=builds)) == ["a", "c"]
    assert named(make_plan(model, make_attempt(model), outlived=(ended("a", 0.99),))) == []
    assert named(make_plan(model, make_attempt(model), outlived=(ended("a", 1),))) == ["a"]


def test_failed_attempts_that_count_are_kept_however_long_ago_they_were(model):
    failures = [make_attempt(model, "Failed", number, finished_at=NOW - timedelta(days=9)) for number in range(3)]
    assert named(make_plan(model, *failures)) == []
    assert named(make_plan(model, *failures, outlived=(ended("a", 0.1),))) == []
    others = [dataclasses.replace(each, job=f"o{each.attempt}", build_hash="0" * 8) for each in failures]
    assert named(make_plan(model, *failures, *others)) == ["o0", "o1", "o2"]
    another = [dataclasses.replace(each, owners=frozenset({"uid-2"})) for each in others]
    assert named(make_plan(model, *failures, *another)) == []


def test_a_pass_leaves_some_finished_builds_only_the_oldest_first(model):
    builds = tuple(ended(f"build-{number}", 100 - number) for number in range(30))
    assert named(make_plan(model, outlived=builds)) == [f"build-{number}" for number in range(MOST_AT_ONCE)]


def test_a_known_artifact_leaves_a_build_that_still_runs():
    case = load_case("built")
    late = make_attempt(case.model, owners=(case.observation.uid,), number=1)
    attempts = (*case.observation.attempts, late)
    observation = dataclasses.replace(case.observation, attempts=attempts)
    assert named(case._replace(observation=observation).plan()) == [late.job]


def test_the_next_build_waits_until_the_pods_of_the_one_that_was_ended_are_gone(model):
    ending = make_attempt(model, ending=True)
    result = make_plan(model, ending)
    assert (result.create, result.requeue_after_seconds) == ((), 5.0)
    assert tell(result) == (
        "BuildPending",
        f"Job {ending.job} is being ended; the next one is made when its pods are gone.",
    )


def job(**metadata):
    labels = {"app.kubernetes.io/component": "build", "modelpress.dev/recipe": "1" * 32}
    return {"metadata": {"name": "build-1", "uid": "u", "labels": labels, **metadata}, "spec": {}}


def test_which_builds_are_left_over():
    assert is_left_over(job(), RECIPE)
    assert is_left_over(job(), None)
    assert not is_left_over(job(), "1" * 32)
    assert not is_left_over(job(deletionTimestamp="2026-03-02T10:00:00Z"), RECIPE)
    assert not is_left_over(job(labels={"modelpress.dev/recipe": "1" * 32}), RECIPE)
    over = job() | {"status": {"conditions": [{"type": "Failed", "status": "True"}]}}
    assert not is_left_over(over, RECIPE)
    assert [is_outlived(each, RECIPE) for each in (over, job())] == [True, False]
    assert not is_outlived(over, "1" * 32)


def test_a_job_that_is_being_deleted_is_an_ending_attempt():
    assert parse_attempt(job(deletionTimestamp="2026-03-02T10:00:00Z"), (), (), "").ending
    assert not parse_attempt(job(), (), (), "").ending
