"""What a release of the operator, which comes with other images, begins again, rolls, and leaves alone."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from planning_golden import load_case, merge

from model_artifact.summary import Failure
from model_operator import names
from model_operator.api.v1alpha1 import parse_model
from model_operator.build_attempt import parse_attempt
from model_operator.observation import BuildAttempt, Claim, Observation
from model_operator.planning.deployment import parse_live_artifact, render_deployment
from model_operator.planning.drift import render_applied
from model_operator.planning.job import hash_build, render_job
from model_operator.planning.plan import plan
from model_operator.planning.start import Start, choose_start, find_start
from model_operator.settings import Settings

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
BEFORE, AFTER = Settings(builder_image="builder:1"), Settings(builder_image="builder:2")


@pytest.fixture
def model(body):
    """A model of which a failed build is tried once more."""
    body["spec"]["build"] = {"retries": 1}
    return parse_model(body)


def make_attempt(model, state, number=0, settings=BEFORE, **facts):
    """A build that the operator before made."""
    build_hash = hash_build(model.recipe(), model.spec, settings)
    job = names.build_job_name(model.recipe().digest, build_hash, number)
    stated = {"image": settings.builder_image, "finished_at": NOW - timedelta(hours=1)} | facts
    return BuildAttempt(job, frozenset({"uid-1"}), build_hash, number, state, **stated)


def look(model, *attempts, settings=AFTER):
    """The plan of the operator after."""
    store = Claim("modelpress-store", "Bound")
    return plan(model, Observation("uid-1", 1, {}, attempts=attempts, store=store), settings, NOW)


def tell(result, kind="ArtifactReady"):
    """Reason and message of one condition."""
    return next((each["reason"], each["message"]) for each in result.status["conditions"] if each["type"] == kind)


def test_the_image_is_read_off_the_job(model):
    job = render_job(model, "uid-1", model.recipe(), BEFORE, 0)
    assert parse_attempt(job, [], [], "").image == "builder:1"
    assert parse_attempt(job | {"spec": {}}, [], [], "").image == ""


@pytest.mark.parametrize(
    "facts",
    [
        {"state": "Suspended"},
        {"state": "Pending"},
        {"state": "Pending", "reason": "Unschedulable", "message": "0/1 nodes"},
        {"state": "Pending", "reason": "FailedCreate", "message": "exceeded quota: q"},
        {"state": "Running"},
    ],
)
def test_a_build_that_waits_keeps_its_place_whatever_image_it_was_made_with(model, facts):
    waiting = make_attempt(model, **facts)
    result = look(model, waiting)
    assert (result.create, result.leave) == ((), ())
    assert result.status["build"]["job"] == waiting.job


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "InvalidImageName", "CreateContainerError"])
def test_a_build_that_waits_for_its_image_is_given_the_new_one(model, reason):
    waiting = make_attempt(model, "Pending", reason=reason)
    left = look(model, waiting)
    assert [each.name for each in left.leave] == [waiting.job]
    gone = look(model)
    assert gone.create[0]["spec"]["template"]["spec"]["containers"][0]["image"] == "builder:2"
    assert look(model, waiting, settings=BEFORE).leave == ()


def test_a_waiting_build_is_left_when_more_than_the_image_changed(model):
    other = Settings(builder_image="builder:2", image_pull_policy="Always")
    assert len(look(model, make_attempt(model, "Suspended"), settings=other).leave) == 1


@pytest.mark.parametrize(
    "facts",
    [
        {"failure": Failure(error="no data", permanent=True)},
        {"number": 1, "reason": "OOMKilled"},
        {"number": 1, "failure": Failure(error="it diverged", permanent=False), "reason": "StartError"},
    ],
)
def test_a_build_that_failed_for_good_is_not_tried_again_because_of_an_upgrade(model, facts):
    failed = make_attempt(model, "Failed", **facts)
    result = look(model, failed)
    assert result.create == ()
    assert tell(result, "Stalled") == tell(result)
    assert tell(result)[1].endswith(f"delete job -l modelpress.dev/build={failed.build_hash}")


def test_an_attempt_that_is_left_is_made_with_the_new_image_and_counts_on(model):
    result = look(model, make_attempt(model, "Failed", reason="OOMKilled"))
    (job,) = result.create
    assert job["metadata"]["annotations"][names.ANNOTATION_ATTEMPT] == "1"
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == "builder:2"


def test_the_command_that_begins_anew_names_the_jobs_of_both_images(model):
    first, second = make_attempt(model, "Failed"), make_attempt(model, "Failed", 1, AFTER)
    hashes = ",".join(sorted({first.build_hash, second.build_hash}))
    assert tell(look(model, first, second))[1].endswith(f"delete job -l 'modelpress.dev/build in ({hashes})'")


@pytest.mark.parametrize("reason", ["StartError", "ImagePullBackOff"])
def test_a_build_that_its_image_failed_is_tried_anew_with_another(model, reason):
    (job,) = look(model, make_attempt(model, "Failed", 1, reason=reason)).create
    assert job["metadata"]["annotations"][names.ANNOTATION_ATTEMPT] == "0"
    assert look(model, make_attempt(model, "Failed", 1, reason=reason), settings=BEFORE).create == ()


def serve(change=None, case="steady", **settings):
    """The plan for a model that was served before, by an operator with these settings."""
    known = load_case(case)
    observation = known.observation
    if change is not None:
        deployment = merge(observation.children.deployment, change)
        children = dataclasses.replace(observation.children, deployment=deployment)
        observation = dataclasses.replace(observation, children=children)
    return plan(known.model, observation, known.settings.model_copy(update=settings), known.now)


def image_of(result):
    """Of the container that unpacks, in the Deployment that is applied."""
    (deployment,) = result.apply
    return deployment["spec"]["template"]["spec"]["initContainers"][0]["image"]


def test_another_image_for_unpacking_alone_rolls_no_pod():
    result = serve(unpack_image="server:2")
    assert (result.apply, result.status) == ((), None)


def test_it_comes_with_the_next_change():
    assert image_of(serve(unpack_image="server:2", server_image="tensorflow/serving:2.21.0")) == "server:2"
    assert image_of(serve(case="resources-changed", unpack_image="server:2")) == "server:2"


def test_it_comes_at_once_where_the_command_of_the_page_asks_for_it():
    assert image_of(
        serve({"metadata": {"annotations": {names.ANNOTATION_APPLIED: None}}}, unpack_image="server:2")
    ) == ("server:2")


def test_an_image_for_unpacking_that_somebody_else_put_there_is_not_kept():
    known = load_case("steady").observation.children.deployment
    (container,) = known["spec"]["template"]["spec"]["initContainers"]
    edit = {"spec": {"template": {"spec": {"initContainers": [{**container, "image": "evil:1"}]}}}}
    assert image_of(serve(edit, unpack_image="server:2")) == "server:2"
    assert image_of(serve(edit)) == load_case("steady").settings.unpack_image


EARLIER = Start("server:1", (), 2)
"""As releases before the first change of it began their pods."""


def begun(start, case="steady"):
    """The case whose live Deployment was applied with that start."""
    known = load_case(case)
    live = known.observation.children.deployment
    rendered = render_deployment(known.model, known.observation.uid, parse_live_artifact(live), known.settings, start)
    deployment = merge(live, render_applied(rendered))
    children = dataclasses.replace(known.observation.children, deployment=deployment)
    return known, dataclasses.replace(known.observation, children=children)


def test_another_way_to_begin_alone_rolls_no_pod():
    known, observation = begun(EARLIER)
    assert find_start(observation.children.deployment) == EARLIER
    assert plan(known.model, observation, known.settings, known.now).apply == ()


def test_it_comes_with_the_next_change_whole():
    known, observation = begun(EARLIER)
    settings = known.settings.model_copy(update={"server_image": "registry.example/modelpress-server:2"})
    (deployment,) = plan(known.model, observation, settings, known.now).apply
    start = find_start(deployment)
    assert start == choose_start(known.model, settings)
    assert start == Start(start.unpack_image, ("variables",))
    (server,) = deployment["spec"]["template"]["spec"]["containers"]
    assert "startupProbe" not in server
    other = known.settings.model_copy(update={"server_image": "tensorflow/serving:2.21.0"})
    (deployment,) = plan(known.model, observation, other, known.now).apply
    assert find_start(deployment).excluded == ()


def test_what_somebody_else_left_out_is_not_kept():
    known, observation = begun(EARLIER)
    container = observation.children.deployment["spec"]["template"]["spec"]["initContainers"][0]
    edited = {**container, "args": [*container["args"], "--exclude", "model.tflite"]}
    edit = {"spec": {"template": {"spec": {"initContainers": [edited]}}}}
    children = dataclasses.replace(observation.children, deployment=merge(observation.children.deployment, edit))
    observation = dataclasses.replace(observation, children=children)
    (deployment,) = plan(known.model, observation, known.settings, known.now).apply
    assert find_start(deployment) == choose_start(known.model, known.settings)


def test_pods_that_do_not_get_past_unpacking_are_given_the_new_image():
    known = load_case("steady")
    (pod,) = known.observation.pods
    stuck = dataclasses.replace(pod, ready=False, reason="ImagePullBackOff", container=names.UNPACK_CONTAINER)
    settings = known.settings.model_copy(update={"unpack_image": "server:2"})
    others = dataclasses.replace(stuck, container=names.SERVER_CONTAINER)
    for pods, wanted in (((stuck,), 1), ((others,), 0), ((dataclasses.replace(stuck, terminating=True),), 0)):
        observation = dataclasses.replace(known.observation, pods=pods)
        assert len(plan(known.model, observation, settings, known.now).apply) == wanted
