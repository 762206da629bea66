"""Known situations on the simulated cluster, from the first object to rest, with the cluster's order by chance."""

from datetime import timedelta

import pytest
from simulated_controllers import has_failed, is_ready, summarise
from simulated_life import PERMANENT, TRANSIENT, Life

SEEDS = range(2)


@pytest.fixture(params=SEEDS)
def life(request):
    """A namespace with a store and nothing else."""
    fresh = Life(request.param)
    fresh.make_store()
    return fresh


@pytest.fixture
def served(life):
    """One with a model that is served by two pods."""
    life.make_model(replicas=2)
    life.settle()
    assert life.tell("Ready") == ("True", "Serving")
    assert life.promised["small"] == 2
    return life


def count_built(life):
    """Builds that ended well, whether or not their Jobs are still there."""
    return sum(life.controllers.built.values())


def count_failed(life):
    """Jobs that are there and failed."""
    return sum(map(has_failed, life.api.list_live("Job").values()))


def read_events(life):
    """Reasons of the Events that were made, the first one first."""
    made = life.api.list_live("Event").values()
    return [event["reason"] for event in sorted(made, key=lambda event: int(event["metadata"]["uid"][4:]))]


def test_a_new_model_is_built_once_and_served(served):
    assert len(served.api.list_live("Job")) == 1
    assert sorted(read_events(served)) == ["BuildStarted", "BuildSucceeded", "RolledOut"]


def test_milestones_that_the_api_server_did_not_take_are_told_once_when_it_takes_them(life):
    life.api.refuse["create", "Event"] = "events are forbidden"
    life.make_model()
    while life.tell("Ready") != ("True", "Serving"):
        life.run_round(["small"])
    assert read_events(life) == []
    life.api.refuse.clear()
    life.wait(minutes=6)
    life.settle()
    assert read_events(life) == ["BuildStarted", "BuildSucceeded", "RolledOut"]


def test_a_change_of_the_recipe_and_back_builds_twice_and_never_stops_serving(served):
    first = served.read_status()["serving"]["digest"]
    served.edit_model(compression={"alpha": 0.5, "bits": 8})
    served.settle()
    second = served.read_status()["serving"]["digest"]
    served.edit_model(compression={"alpha": 1, "bits": 8})
    served.settle()
    assert served.read_status()["serving"]["digest"] == first
    assert [entry["digest"] for entry in served.read_status()["history"]] == [first, second]
    assert count_built(served) == 2


def test_of_many_recipes_the_last_build_stays_and_none_of_them_is_built_again(served):
    recipes = [{"alpha": alpha / 10, "bits": bits} for alpha in (2, 4) for bits in (4, 8)]
    for recipe in recipes:
        served.edit_model(compression=recipe)
        served.settle()
        assert len(served.api.list_live("Job")) == 1
        assert served.read_status()["build"]["job"] in served.api.list_live("Job")
    served.edit_model(compression=recipes[0])
    served.settle()
    assert served.tell("Ready") == ("True", "Serving")
    assert count_built(served) == 1 + len(recipes)
    served.wait(minutes=24 * 60)
    served.settle()
    assert served.api.list_live("Job") == {}
    assert [pod for pod in served.api.list_live("Pod").values() if "Job" in str(pod["metadata"])] == []
    served.edit_model(compression=recipes[1])
    served.settle()
    assert count_built(served) == 1 + len(recipes)


def test_a_failed_build_and_its_log_stay_while_it_decides_and_a_day_after_it_was_given_up(served):
    served.controllers.failures = [TRANSIENT, PERMANENT]
    served.edit_model(compression={"alpha": 0.5, "bits": 8})
    served.settle()
    served.wait(minutes=48 * 60)
    served.settle()
    assert served.tell("Stalled") == ("True", "BuildFailed")
    assert count_failed(served) == 2
    assert len([name for name in served.api.list_live("ConfigMap") if name.endswith("-log")]) == 2
    served.edit_model(compression={"alpha": 1, "bits": 8})
    served.settle()
    assert count_failed(served) == 0
    served.controllers.failures = [PERMANENT]
    served.edit_model(compression={"alpha": 0.25, "bits": 8})
    served.settle()
    served.edit_model(compression={"alpha": 1, "bits": 8})
    served.settle()
    assert count_failed(served) == 1
    served.wait(minutes=24 * 60)
    served.settle()
    assert count_failed(served) == 0
    assert [name for name in served.api.list_live("ConfigMap") if name.endswith("-log")] == []


def test_a_failed_attempt_before_the_one_that_succeeded_goes_after_a_day(life):
    life.controllers.failures = [TRANSIENT]
    life.make_model()
    life.settle()
    assert (life.tell("Ready"), count_failed(life), len(life.api.list_live("Job"))) == (("True", "Serving"), 1, 2)
    life.wait(minutes=24 * 60)
    life.settle()
    assert (count_failed(life), len(life.api.list_live("Job"))) == (0, 1)


def test_builds_that_a_long_life_left_go_some_at_a_time(served):
    uid = served.api.live["CompressedModel", "small"]["metadata"]["uid"]
    (job,) = served.api.list_live("Job").values()
    for number in range(35):
        metadata = {"name": f"build-{number}", "ownerReferences": [{"kind": "CompressedModel", "uid": uid}]}
        labels = job["metadata"]["labels"] | {"modelpress.dev/recipe": f"{number:032}"}
        ended = {"type": "Failed", "status": "True", "lastTransitionTime": "2026-03-01T10:00:00Z"}
        made = {**metadata, "labels": labels, "annotations": {}}
        served.api.put({"kind": "Job", "metadata": made, "spec": {}, "status": {"conditions": [ended]}})
    served.api.tell()
    assert [len(served.run_pass()) for _ in range(5)] == [10, 10, 10, 5, 0]
    served.settle()
    assert list(served.api.list_live("Job")) == [job["metadata"]["name"]]


def test_what_is_refused_is_asked_for_ever_more_seldom_and_at_once_when_it_changes(served):
    served.api.refuse["apply", "HorizontalPodAutoscaler"] = "maxReplicas is too large"
    served.edit_model(autoscaling={"minReplicas": 2, "maxReplicas": 4})
    for _ in range(3600 // 10):
        served.wait(minutes=10 / 60)
        served.api.tell()
        served.run_pass()
    # After 10, 20, 40, 80, 160 s, and each 300 s: it was 360 times.
    assert served.api.refused["apply", "HorizontalPodAutoscaler"] == 6 + (3600 - 310) // 300
    assert "refuses HorizontalPodAutoscaler" in str(served.read_status()["conditions"])
    served.api.refuse.clear()
    served.edit_model(autoscaling={"minReplicas": 2, "maxReplicas": 3})
    served.api.tell()
    served.run_pass()
    assert served.api.live["HorizontalPodAutoscaler", "small"]["spec"]["maxReplicas"] == 3
    served.settle()
    assert served.tell("Ready") == ("True", "Serving")


def test_a_build_that_waits_in_a_queue_is_ended_before_one_on_other_settings_begins(life):
    life.make_model(build={"queueName": "team"})
    life.api.tell()
    life.run_pass()
    (queued,) = life.api.list_live("Job")
    life.edit_model(build={"timeoutSeconds": 600})
    life.api.tell()
    assert ("leave", "Job", queued) in life.run_pass()
    assert list(life.api.list_live("Job")) == [queued]
    life.settle()
    assert life.tell("Ready") == ("True", "Serving")
    assert count_built(life) == 1


def test_of_two_builds_of_one_recipe_that_came_to_run_the_later_is_ended(life):
    life.make_model("twin", build={"queueName": "team"})
    life.make_model()
    life.api.tell()
    life.run_pass("twin")
    life.run_pass()
    assert len(life.api.list_live("Job")) == 2
    life.controllers.begin_builds()
    life.api.tell()
    passes = [life.run_pass(name) for name in ("small", "twin")]
    going = [job for job in life.api.list_live("Job").values() if "deletionTimestamp" not in job["metadata"]]
    assert len(going) == 1, passes
    life.settle()
    assert {life.tell("Ready", name) for name in ("small", "twin")} == {("True", "Serving")}
    assert count_built(life) == 1


def test_a_change_in_the_middle_of_a_rollout_ends_at_the_last_one(served):
    for alpha in (0.25, 0.5, 0.75):
        served.edit_model(compression={"alpha": alpha, "bits": 8})
        for _ in range(12):
            served.run_round(["small"])
    served.settle()
    wanted = summarise(served.recipe_digest("small")).digest
    assert served.read_status()["serving"]["digest"] == wanted
    assert served.tell("Ready") == ("True", "Serving")


@pytest.mark.parametrize("replicas", [0, 1, 4])
def test_it_is_scaled_without_a_dip_below_what_was_and_is_asked_for(served, replicas):
    served.edit_model(replicas=replicas)
    served.settle()
    assert len(served.list_servers("small")) == replicas
    assert served.tell("Ready") == ("True", "Serving" if replicas else "ScaledToZero")


def test_an_autoscaler_takes_over_and_gives_back_without_a_dip(served):
    served.edit_model(autoscaling={"minReplicas": 2, "maxReplicas": 4})
    served.settle()
    assert ("HorizontalPodAutoscaler", "small") in served.api.live
    served.edit_model(autoscaling=None)
    served.settle()
    assert ("HorizontalPodAutoscaler", "small") not in served.api.live
    assert len(served.list_servers("small")) == 2


def test_a_suspended_model_is_left_as_it_is(served):
    served.edit_model(suspend=True, compression={"alpha": 0.5, "bits": 8}, replicas=3)
    served.settle()
    assert served.tell("Reconciling") == ("False", "Suspended")
    assert served.tell("Available") == ("True", "PreviousRevision")
    assert (len(served.api.list_live("Job")), len(served.list_servers("small"))) == (1, 2)
    served.edit_model(suspend=None)
    served.settle()
    assert served.tell("Ready") == ("True", "Serving")
    assert len(served.list_servers("small")) == 3


def test_a_build_that_is_suspended_is_ended_and_begun_anew(life):
    life.make_model()
    while not [pod for pod in life.api.list_live("Pod").values() if pod["status"]["phase"] == "Running"]:
        life.run_round(["small"])
    life.edit_model(suspend=True)
    life.settle()
    assert life.api.list_live("Job") == {}
    life.edit_model(suspend=None)
    life.settle()
    assert life.tell("Ready") == ("True", "Serving")


def test_builds_that_fail_are_tried_again_and_then_no_more(life):
    life.controllers.failures = [TRANSIENT, "Evicted", "OOMKilled"]
    life.make_model()
    life.settle()
    assert life.tell("Stalled") == ("True", "BuildFailed")
    assert len(life.api.list_live("Job")) == 3
    assert sorted(read_events(life)) == [*["BuildFailed"] * 3, *["BuildStarted"] * 3, "Stalled"]
    life.edit_model(build={"resources": {"limits": {"memory": "12Gi"}}})
    life.settle()
    assert life.tell("Ready") == ("True", "Serving")


def test_a_permanent_failure_keeps_the_old_revision_serving(served):
    first = served.read_status()["serving"]["digest"]
    served.controllers.failures = [PERMANENT]
    served.edit_model(compression={"alpha": 0.5, "bits": 8})
    served.settle()
    assert served.tell("Stalled") == ("True", "BuildFailed")
    assert served.tell("Available") == ("True", "PreviousRevision")
    assert served.read_status()["serving"]["digest"] == first


def test_pods_that_crash_make_it_unready_until_they_run_again(served):
    served.begin_crashing()
    served.settle()
    assert served.tell("Ready") == ("False", "PodsFailing")
    assert "NotReady" in read_events(served)
    served.end_crashing()
    served.settle()
    assert served.tell("Ready") == ("True", "Serving")


def autoscale(life, replicas):
    """An autoscaler of at least one pod, which has asked for so many; and the pod that is the newest of them."""
    life.edit_model(autoscaling={"minReplicas": 1, "maxReplicas": 4})
    life.settle()
    before = {pod["metadata"]["name"] for pod in life.list_servers("small")}
    life.edit_child("Deployment", "small", lambda body: body["spec"].update(replicas=replicas))
    while len(life.list_servers("small")) < replicas:
        life.controllers._run_deployment("small")
    (newest,) = {pod["metadata"]["name"] for pod in life.list_servers("small")} - before
    return newest


def test_a_pod_that_falls_again_and_again_makes_it_unready_once_though_others_answer(served):
    extra = autoscale(served, replicas=3)
    served.controllers.falling = {extra}
    served.promised["small"] = 0
    told, messages = [], set()
    for _ in range(40):
        served.api.now += timedelta(seconds=7)
        served.controllers._run_pod(extra)
        served.controllers._tell_deployment(served.api.live["Deployment", "small"])
        served.api.tell()
        served.run_pass()
        told.append(served.tell("Ready"))
        messages |= {each["message"] for each in served.read_status()["conditions"] if each["type"] == "Ready"}
    first = told.index(("False", "PodsFailing"))
    assert set(told[first:]) == {("False", "PodsFailing")}
    assert len([message for message in messages if "CrashLoopBackOff: the server ended." in message]) == 1, messages
    assert read_events(served).count("NotReady") == 1
    served.controllers.falling = set()
    served.settle()
    assert served.tell("Ready") == ("True", "Serving")


def test_a_pod_that_an_autoscaler_adds_and_no_node_takes_leaves_it_ready(served):
    served.controllers.full = True
    autoscale(served, replicas=3)
    told = []
    for _ in range(12):
        served.api.now += timedelta(minutes=1)
        for name in served.api.list_live("Pod"):
            served.controllers._run_pod(name)
        served.controllers._tell_deployment(served.api.live["Deployment", "small"])
        served.api.tell()
        served.run_pass()
        told.append(served.tell("Ready"))
    assert set(told) == {("True", "Serving")}
    assert "NotReady" not in read_events(served)
    served.controllers.full = False
    served.settle()
    assert len(served.list_servers("small")) == 3
    assert served.tell("Ready") == ("True", "Serving")


def test_pods_that_are_gone_count_before_the_deployment_tells_so(served):
    served.promised.clear()
    for name in served.api.list_live("Pod"):
        served.api.remove("Pod", name)
    served.api.tell()
    served.run_pass()
    assert served.tell("Ready") == ("False", "RollingOut")
    assert served.tell("Available") == ("False", "NoReadyPods")


def test_a_deployment_that_has_not_seen_its_change_is_not_taken_for_done(served):
    served.edit_model(serving={"resources": {"requests": {"cpu": "2"}}})
    served.api.tell()
    served.run_pass()
    assert served.tell("Ready") == ("False", "Applying")
    served.run_pass()
    assert served.tell("Ready") == ("False", "RollingOut")
    served.settle()
    assert served.tell("Ready") == ("True", "Serving")


def test_a_new_revision_that_crashes_never_replaces_the_old_one(served):
    first = served.read_status()["serving"]["digest"]
    served.begin_crashing(only_new=True)
    served.edit_model(compression={"alpha": 0.5, "bits": 8})
    served.settle()
    assert served.tell("Reconciling") == ("True", "PodsFailing")
    served.wait(minutes=11)
    served.settle()
    assert served.tell("Stalled") == ("True", "RolloutStuck")
    assert served.tell("Available") == ("True", "PreviousRevision")
    assert served.read_status()["serving"]["digest"] == first


def test_a_file_that_is_another_one_is_never_served(served):
    first = served.read_status()["serving"]["digest"]
    served.edit_model(compression={"alpha": 0.5, "bits": 8})
    served.controllers.bad_revisions = {summarise(served.recipe_digest("small")).digest}
    served.settle()
    assert served.tell("Stalled") == ("True", "ArtifactMismatch")
    assert served.read_status()["serving"]["digest"] == first
    assert all(is_ready(pod) for pod in served.list_servers("small") if first in str(pod["metadata"]["annotations"]))


@pytest.mark.parametrize("kind", ["Deployment", "Service", "PodDisruptionBudget"])
def test_a_child_that_is_deleted_or_edited_is_put_back(served, kind):
    wanted = served.api.live[kind, "small"]["spec"]
    served.remove_child(kind, "small")
    served.settle()
    served.edit_child(kind, "small", lambda body: body["metadata"]["labels"].clear())
    served.settle()
    assert served.api.live[kind, "small"]["spec"] == wanted
    assert served.tell("Ready") == ("True", "Serving")


def test_what_an_admission_policy_changes_is_left_so_and_what_others_change_is_not(life):
    def take_from_a_mirror(body):
        for container in body["spec"]["template"]["spec"]["containers"] if body["kind"] == "Deployment" else ():
            container["image"] = f"mirror.example/{container['image']}"

    def edit_image(body):
        body["spec"]["template"]["spec"]["containers"][0]["image"] = "mine"

    def read_version(life):
        return life.api.live["Deployment", "small"]["metadata"]["generation"]

    life.api.admit = take_from_a_mirror
    life.make_model(replicas=2)
    life.settle()
    assert life.tell("Ready") == ("True", "Serving")
    wanted, version = life.api.live["Deployment", "small"]["spec"], read_version(life)
    # A new operator, which applies once what changes nothing.
    life.api.kept.clear()
    life.settle()
    assert read_version(life) == version
    life.edit_child("Deployment", "small", edit_image)
    life.settle()
    assert life.api.live["Deployment", "small"]["spec"] == wanted
    assert life.tell("Ready") == ("True", "Serving")


@pytest.mark.parametrize("mirrored", [False, True])
def test_an_annotation_of_ours_that_somebody_takes_away_is_put_back_each_time(life, mirrored):
    def change_class(body):
        if body["kind"] == "Deployment":
            body["spec"]["template"]["spec"]["priorityClassName"] = "mine"

    def take_revision(body):
        del body["metadata"]["annotations"]["modelpress.dev/revision"]

    life.api.admit = change_class if mirrored else life.api.admit
    life.make_model()
    life.settle()
    annotations = dict(life.api.live["Deployment", "small"]["metadata"]["annotations"])
    for _ in range(2):
        life.edit_child("Deployment", "small", take_revision)
        life.settle()
        assert life.api.live["Deployment", "small"]["metadata"]["annotations"] == annotations
        assert life.tell("Ready") == ("True", "Serving")


def test_a_store_and_a_baseline_that_come_late_are_waited_for():
    life = Life(0)
    life.make_model(baseline={"name": "base"}, objectives={"quality": {"maximumLoss": 1}})
    life.settle()
    assert life.tell("Reconciling") == ("True", "StoreMissing")
    life.make_store("Pending")
    life.settle()
    assert life.tell("Ready") == ("True", "Serving")
    assert life.tell("Compared") == ("False", "BaselineMissing")
    life.make_model("base", compression={"alpha": 0, "bits": 32})
    life.settle()
    assert life.tell("Ready", "base") == ("True", "Serving")
    assert life.tell("Compared") == ("Unknown", "PrometheusNotConfigured")


def test_two_models_of_one_recipe_share_one_build_and_one_of_them_may_go(life):
    life.make_model()
    life.make_model("twin")
    life.settle()
    assert len(life.api.list_live("Job")) == 1
    life.api.remove("CompressedModel", "small")
    life.settle()
    assert life.tell("Ready", "twin") == ("True", "Serving")
    assert len(life.api.list_live("Job")) == 1
    life.api.remove("CompressedModel", "twin")
    life.settle()
    assert {kind for kind, _ in life.api.live} <= {"PersistentVolumeClaim", "Event"}


def test_a_model_that_is_made_anew_waits_for_what_goes_and_is_served(served):
    gone = served.api.live.pop(("CompressedModel", "small"))
    served.api._note(("CompressedModel", "small"))
    served.make_model()
    for _ in range(5):
        served.run_round(["small"])
    assert served.tell("Reconciling") == ("True", "NameConflict")
    served.api.collect(gone["metadata"]["uid"])
    served.settle()
    assert served.tell("Ready") == ("True", "Serving")


@pytest.mark.parametrize("seed", range(2))
def test_ended_at_any_write_it_arrives_at_the_same_with_one_build_and_one_event_each(seed):
    for lives_for in range(14):
        life = Life(seed)
        life.make_store()
        life.make_model()
        killed = False
        while not killed and life.tell("Ready") != ("True", "Serving"):
            left = lives_for - life.written
            life.run_round([])
            killed = len(life.run_pass(lives_for=left)) == left
            life.written += len(life.api.writes)
        life.settle()
        assert life.tell("Ready") == ("True", "Serving")
        assert len(life.api.list_live("Job")) == 1
        assert sorted(read_events(life)) == ["BuildStarted", "BuildSucceeded", "RolledOut"], lives_for
