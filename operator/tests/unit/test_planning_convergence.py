"""Planning again and again on a toy cluster: it arrives, writes nothing once there, and never stops serving."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planning_toy import ToyCluster, is_empty, make_summary

from model_artifact.summary import Failure
from model_operator import names
from model_operator.api.status import CompressedModelStatus

TRANSIENT = Failure(error="The data set did not arrive whole; try again.", permanent=False)


@pytest.fixture
def cluster(body):
    return ToyCluster(body)


def check_pass(cluster, result):
    """What holds after every pass, whatever is going on."""
    if result.status is not None:
        assert CompressedModelStatus.model_validate(result.status).to_json() == result.status
        assert result.status["observedGeneration"] == cluster.generation
    conditions = {kind: cluster.condition(kind)[0] for kind in ("Ready", "Reconciling", "Stalled")}
    held = cluster.condition("Reconciling") == ("False", "Suspended")
    assert list(conditions.values()).count("True") == (0 if held else 1), conditions
    assert not held or cluster.model.spec.suspend
    assert 1 <= result.requeue_after_seconds <= cluster.settings.resync_seconds


def test_a_new_model_is_built_once_and_served(cluster):
    cluster.run(check=check_pass)
    assert len(cluster.jobs) == 1
    assert sorted(cluster.children) == ["deployment", "disruption_budget", "service"]
    assert cluster.condition("Ready") == ("True", "Serving")
    assert cluster.condition("Available") == ("True", "Serving")
    assert cluster.condition("ArtifactReady") == ("True", "Built")


def test_nothing_is_written_once_it_is_steady_however_long_it_lasts(cluster):
    cluster.run()
    for _ in range(50):
        assert is_empty(cluster.step())


def test_a_store_that_comes_later_is_waited_for(cluster):
    cluster.store = "Missing"
    cluster.run()
    assert cluster.jobs == {}
    assert cluster.condition("Reconciling") == ("True", "StoreMissing")
    cluster.store = "Pending"
    cluster.run(check=check_pass)
    assert cluster.condition("Ready") == ("True", "Serving")


def test_a_build_that_fails_for_a_passing_reason_is_tried_again(cluster):
    cluster.failures = [TRANSIENT, "Evicted"]
    cluster.run(check=check_pass)
    assert [job["attempt"].state for job in cluster.jobs.values()] == ["Failed", "Failed", "Succeeded"]
    assert cluster.condition("Ready") == ("True", "Serving")


def test_retries_are_bounded_and_other_settings_begin_anew(cluster):
    cluster.failures = ["OOMKilled"] * 3
    cluster.run(check=check_pass)
    assert len(cluster.jobs) == 3
    assert cluster.condition("Stalled") == ("True", "BuildFailed")
    cluster.edit(build={"resources": {"limits": {"memory": "12Gi"}}})
    cluster.run(check=check_pass)
    assert len(cluster.jobs) == 4
    assert cluster.condition("Ready") == ("True", "Serving")


def test_a_permanent_failure_is_not_repeated(cluster):
    cluster.failures = [Failure(error="Layer conv2d has no finite weights.", permanent=True)]
    cluster.run(check=check_pass)
    assert len(cluster.jobs) == 1
    assert cluster.condition("Stalled") == ("True", "BuildFailed")


def test_going_back_to_a_known_recipe_builds_nothing_and_keeps_the_history(cluster):
    cluster.run()
    first = cluster.status["serving"]["digest"]
    cluster.edit(compression={"alpha": 0.5, "bits": 8})
    cluster.run()
    second = cluster.status["serving"]["digest"]
    cluster.edit(compression={"alpha": 1, "bits": 8})
    cluster.run(check=check_pass)
    assert len(cluster.jobs) == 2
    assert cluster.status["serving"]["digest"] == first
    assert [entry["digest"] for entry in cluster.status["history"]] == [first, second]


def test_the_history_keeps_the_last_ten(cluster):
    for alpha in range(12):
        cluster.edit(compression={"alpha": alpha / 10, "bits": 8})
        cluster.run()
    assert len(cluster.status["history"]) == 10
    assert all(entry["digest"] != cluster.status["serving"]["digest"] for entry in cluster.status["history"])


def test_the_old_revision_serves_while_the_new_one_fails_to_build(cluster):
    cluster.run()
    first = cluster.status["serving"]["revision"]
    cluster.failures = [Failure(error="It cannot be.", permanent=True)]
    cluster.edit(compression={"alpha": 0.5, "bits": 8}, serving={"image": "registry.example/other:1"})
    cluster.run(check=check_pass)
    assert cluster.condition("Available") == ("True", "PreviousRevision")
    assert cluster.status["serving"]["revision"] == first
    container = cluster.children["deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.example/other:1"
    assert all(pod["facts"].ready for pod in cluster.pods)


def test_a_file_that_is_another_never_replaces_the_pods_that_serve(cluster):
    cluster.run()
    first = cluster.status["serving"]["revision"]
    cluster.edit(compression={"alpha": 0.5, "bits": 8})
    cluster.bad_revisions = {make_summary(cluster.model.recipe().digest).digest}
    cluster.run(check=check_pass)
    assert cluster.condition("ArtifactReady") == ("False", "ArtifactMismatch")
    assert cluster.condition("Stalled") == ("True", "ArtifactMismatch")
    assert cluster.condition("Available") == ("True", "PreviousRevision")
    assert cluster.status["serving"]["revision"] == first


def test_recreate_ends_the_old_pods_first_and_arrives_all_the_same(cluster):
    cluster.edit(rollout={"strategy": "Recreate"})
    cluster.run()
    cluster.edit(compression={"alpha": 0.5, "bits": 8})
    cluster.run(check=check_pass)
    assert cluster.condition("Ready") == ("True", "Serving")
    assert len(cluster.status["history"]) == 1


def test_two_models_of_one_recipe_share_one_build(body):
    first = ToyCluster(body)
    second = ToyCluster(body | {"metadata": {"name": "other", "namespace": "press"}}, uid="uid-2")
    second.jobs, second.records = first.jobs, first.records
    first.step()
    second.run(check=check_pass)
    first.run(check=check_pass)
    assert len(first.jobs) == 1
    assert [record.owners for record in first.records.values()] == [{"uid-1", "uid-2"}]
    assert [job["attempt"].owners for job in first.jobs.values()] == [{"uid-1", "uid-2"}]
    assert first.condition("Ready") == second.condition("Ready") == ("True", "Serving")


def test_a_suspended_model_writes_its_status_only_and_goes_on_when_it_may(cluster):
    cluster.edit(suspend=True)

    def check(cluster, result):
        check_pass(cluster, result)
        assert is_empty(replace(result, status=None))

    cluster.run(check=check)
    assert cluster.jobs == {}
    assert cluster.children == {}
    assert cluster.condition("Reconciling") == ("False", "Suspended")
    cluster.edit(suspend=None)
    cluster.run(check=check_pass)
    assert cluster.condition("Ready") == ("True", "Serving")


def test_an_autoscaler_takes_over_from_zero_and_gives_back(cluster):
    cluster.edit(replicas=0)
    cluster.run(check=check_pass)
    assert cluster.condition("Ready") == ("True", "ScaledToZero")
    assert cluster.condition("Available") == ("False", "ScaledToZero")
    cluster.edit(autoscaling={"minReplicas": 2, "maxReplicas": 3})
    cluster.run(check=check_pass)
    assert cluster.children["deployment"]["spec"]["replicas"] == 2
    cluster.edit(autoscaling=None, replicas=1)
    cluster.run(check=check_pass)
    assert "autoscaler" not in cluster.children
    assert cluster.children["deployment"]["spec"]["replicas"] == 1


@pytest.mark.parametrize("attribute", ["deployment", "service", "disruption_budget"])
def test_a_child_that_was_deleted_or_edited_is_put_back(cluster, attribute):
    cluster.run()
    wanted = cluster.children.pop(attribute)
    cluster.run()
    restored = cluster.children[attribute]["metadata"] | {"generation": 0}
    assert restored == wanted["metadata"] | {"generation": 0}
    cluster.children[attribute]["metadata"]["labels"][names.LABEL_MANAGED_BY] = "somebody"
    result = cluster.step()
    assert [body["kind"] for body in result.apply] == [wanted["kind"]]
    assert "metadata.labels.app.kubernetes.io/managed-by was changed" in result.reasons[0]


def test_fields_of_others_are_left_alone(cluster):
    cluster.run()
    deployment = cluster.children["deployment"]
    deployment["metadata"]["labels"]["team"] = "vision"
    deployment["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = "now"
    deployment["spec"]["template"]["spec"]["containers"].append({"name": "sidecar", "image": "proxy"})
    result = cluster.plan()
    assert result.apply == ()


EDITS = st.one_of(
    st.builds(lambda alpha: {"compression": {"alpha": alpha, "bits": 8}}, st.sampled_from([0, 0.5, 1.25])),
    st.builds(lambda replicas: {"replicas": replicas}, st.integers(1, 3)),
    st.builds(lambda cpu: {"serving": {"resources": {"requests": {"cpu": cpu}}}}, st.sampled_from(["1000m", "2", 1])),
    st.sampled_from([{"autoscaling": {"minReplicas": 2, "maxReplicas": 4}}, {"autoscaling": None}]),
    st.sampled_from([{"suspend": True}, {"suspend": None}]),
)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(EDITS, st.integers(0, 6)), max_size=6))
def test_any_edits_at_any_time_end_served_without_a_gap_and_with_one_build_a_recipe(body, edits):
    cluster = ToyCluster(body)
    cluster.run()
    for fields, passes in edits:
        cluster.edit(**fields)
        for _ in range(passes):
            check_pass(cluster, cluster.step())
            assert any(pod["facts"].ready for pod in cluster.pods)
    cluster.edit(suspend=None)
    cluster.run(check=check_pass)
    spec = cluster.model.spec
    recipes = [job["recipe"] for job in cluster.jobs.values()]
    assert len(recipes) == len(set(recipes))
    deployment = cluster.children["deployment"]
    served = deployment["metadata"]["annotations"][names.ANNOTATION_REVISION]
    assert served == make_summary(cluster.model.recipe().digest).digest
    assert cluster.condition("Ready") == ("True", "Serving")
    assert ("autoscaler" in cluster.children) == (spec.autoscaling is not None)
    replicas = deployment["spec"]["replicas"]
    assert replicas >= 2 if spec.autoscaling is not None else replicas == spec.replicas
