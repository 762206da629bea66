"""An upgrade of the CRD, the operator and its images while models are served and built.

Nothing is built again and no pod is replaced.
"""

import json
from pathlib import Path

import pytest
import yaml
from cluster.client import wait_until
from earlier_release import export_earlier_release
from forked_operator import Nursery
from model_life import MANAGED
from operator_play import PATIENCE_SECONDS, SUMMARY, training_model
from survival_server import CRD
from survival_stage import Stage

EARLIER = Path(__file__).with_name("earlier")
"""The CRD at commit 74141a5, models that use every field of it, and the digests of their recipes there."""
AUTOSCALING = {"minReplicas": 1, "maxReplicas": 3}
REGISTRY = "registry.example/modelpress"


def images(release):
    """The settings that every release changes."""
    names = {"builder_image": "builder", "unpack_image": "server"}
    return {setting: f"{REGISTRY}-{name}:{release}" for setting, name in names.items()}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """The earlier tree."""
    return export_earlier_release(tmp_path_factory.mktemp("earlier"))


@pytest.fixture(scope="module")
def earlier_nursery(release, tmp_path_factory):
    """Starts operators of the earlier tree."""
    with Nursery(tmp_path_factory.mktemp("earlier-nursery") / "log", release.folder) as nursery:
        yield nursery


@pytest.fixture
def earlier_stage(survival_server, earlier_nursery, release, tmp_path):
    """A stage with the earlier tree's CRD and operator."""
    survival_server.apply_crd(release.crd.read_text())
    survival_server.grant(release.rules, "modelpress-operator-earlier")
    try:
        with Stage(survival_server, earlier_nursery, tmp_path, **images("1")) as stage:
            yield stage
            print(stage.operator.words())
    finally:
        survival_server.apply_crd(CRD.read_text())


def uids(cluster, kind):
    """Uid of each of our objects by its name."""
    return {each["metadata"]["name"]: each["metadata"]["uid"] for each in cluster.list(kind, MANAGED)}


def is_within(part, whole):
    """Whether all that `part` states stands in `whole` as well; an upgrade may add defaults, and nothing else."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and is_within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) == len(whole) and all(map(is_within, part, whole))
    return part == whole


def generations(cluster):
    """How often each Deployment was changed, and what its pods are made from."""
    found = cluster.list("deployment", MANAGED)
    return {
        each["metadata"]["name"]: (each["metadata"]["generation"], each["spec"]["template"]["spec"]) for each in found
    }


def unpack_image(deployment):
    """Of the container that unpacks."""
    return deployment[1]["initContainers"][0]["image"]


def specs(cluster):
    """The models' specs as the API server gives them."""
    return {each["metadata"]["name"]: each["spec"] for each in cluster.list("cmod")}


def test_models_of_an_earlier_crd_stay_valid_and_keep_their_recipes(survival_server, new_stage):
    survival_server.apply_crd((EARLIER / "compressedmodels.yaml").read_text())
    try:
        with new_stage() as stage:
            check_upgrade_of_crd(stage, lambda: survival_server.apply_crd(CRD.read_text()))
    finally:
        survival_server.apply_crd(CRD.read_text())


def check_upgrade_of_crd(stage, upgrade):
    """Models made before are as they were, can be changed, and ask for the recipes that they asked for."""
    cluster = stage.cluster
    wait_until(
        lambda: stage.operator.running,
        lambda running: not running,
        PATIENCE_SECONDS,
        "an operator that wants its own CRD",
    )
    assert "older than this operator" in stage.operator.words()
    bodies = list(yaml.safe_load_all((EARLIER / "models.yaml").read_text()))
    cluster.make(*bodies)
    before = specs(cluster)
    assert all(is_within(body["spec"], before[body["metadata"]["name"]]) for body in bodies)
    upgrade()
    after = specs(cluster)
    assert [name for name in before if not is_within(before[name], after[name])] == []
    stage.operator.start()
    for name, digest in json.loads((EARLIER / "recipes.json").read_text()).items():
        cluster.wait_for(name, PATIENCE_SECONDS, Ready="False/StoreMissing")
        assert cluster.read("cmod", name)["status"]["build"]["recipeDigest"] == digest
    cluster.wait_for("given", PATIENCE_SECONDS, Ready="False/Suspended")
    cluster.make(*bodies)
    for body in bodies:
        cluster.patch("cmod", body["metadata"]["name"], {"spec": {"replicas": 2}})
    assert {name: spec["replicas"] for name, spec in specs(cluster).items()} == dict.fromkeys(after, 2)


def play(stage):
    """Models of every state: served, scaled, being built, waiting in any way, failed, suspended; the Job that runs."""
    cluster, life = stage.cluster, stage.life
    cluster.make_claim()
    cluster.make(training_model(autoscaling=AUTOSCALING))
    life.build(1)
    life.roll_out("small", "aaaaaaaaaa")
    cluster.make(training_model("failed", seed=1, build={"retries": 0}))
    cluster.wait_for_jobs(2, 40)
    failing = build_of(cluster, "failed")
    cluster.start_build(failing)
    cluster.end_build(failing, json.dumps({"error": "no data", "permanent": True}), exit_code=5)
    cluster.wait_for("failed", 40, Stalled="True/BuildFailed")
    cluster.make(training_model("building", seed=2, baseline={"name": "small"}))
    cluster.wait_for_jobs(3, 40)
    running = build_of(cluster, "building")
    cluster.start_build(running)
    cluster.wait_for("building", 40, ArtifactReady="False/Building")
    cluster.make(training_model("pending", seed=3))
    cluster.wait_for_jobs(4, 40)
    cluster.make(training_model("queued", seed=5, build={"queueName": "team"}))
    cluster.wait_for("queued", 40, ArtifactReady="False/BuildQueued")
    cluster.make(training_model("homeless", seed=6))
    cluster.wait_for_jobs(6, 40)
    cluster.hold_build(build_of(cluster, "homeless"))
    wait_until(
        lambda: cluster.message("homeless", "ArtifactReady"),
        lambda words: "Unschedulable" in words,
        40,
        "a build that no node takes",
    )
    cluster.make(training_model("twin"), training_model("later", seed=4, suspend=True))
    life.roll_out("twin", "bbbbbbbbbb")
    cluster.wait_for("later", 40, Ready="False/Suspended")
    life.wait_until_settled()
    return running


def build_of(cluster, model):
    """The Job that the model owns."""
    owner = cluster.read("cmod", model)["metadata"]["uid"]
    jobs = cluster.list("job")
    (job,) = [each for each in jobs if owner in {one["uid"] for one in each["metadata"]["ownerReferences"]}]
    return job


@pytest.mark.timeout(600)
def test_an_operator_is_upgraded_from_the_previous_commit_with_builds_running(
    earlier_stage, nursery, release, survival_server
):
    stage, cluster = earlier_stage, earlier_stage.cluster
    running = play(stage)
    built, records, before = uids(cluster, "job"), uids(cluster, "configmap"), specs(cluster)
    survival_server.apply_crd(CRD.read_text())
    assert [name for name, spec in specs(cluster).items() if not is_within(before[name], spec)] == []
    served = generations(cluster)
    stage.operator.replace_by(nursery, **images("2"))
    cluster.end_build(running, json.dumps({**SUMMARY, "digest": "sha256:" + "cd" * 32, "path": "artifacts/cd.zip"}))
    stage.life.roll_out("building", "cccccccccc")
    for name, spec in before.items():
        cluster.patch("cmod", name, {"spec": {"replicas": spec["replicas"] + 1}})
        wait_for_look(cluster, name)
    stage.life.wait_until_settled()
    cluster.wait_for("failed", Stalled="True/BuildFailed")
    cluster.wait_for("pending", ArtifactReady="False/BuildPending")
    cluster.wait_for("twin", ArtifactReady="True/Built")
    cluster.wait_for("queued", ArtifactReady="False/BuildQueued")
    cluster.wait_for("homeless", ArtifactReady="False/BuildPending")
    now = generations(cluster)
    changes = {name: now[name][0] - generation for name, (generation, _) in served.items()}
    assert changes == {"small": 0, "twin": 1}, "twin is scaled, and nothing else is changed"
    assert {name: now[name][1] for name in served} == {name: template for name, (_, template) in served.items()}
    assert unpack_image(now["small"]) == images("1")["unpack_image"]
    assert unpack_image(now["building"]) == images("2")["unpack_image"]
    assert uids(cluster, "job") == built, f"built again after {release.commit}"
    assert records.items() <= uids(cluster, "configmap").items()
    assert (stage.operator.begun, stage.operator.running) == (2, True)


def wait_for_look(cluster, name):
    """Wait until the status is of the spec as it is now."""

    def told():
        body = cluster.read("cmod", name)
        return body["metadata"]["generation"], body["status"]["observedGeneration"]

    wait_until(told, lambda seen: seen[0] == seen[1], 40, f"{name} looked at by this operator")
