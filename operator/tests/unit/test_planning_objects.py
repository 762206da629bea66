"""What every object that is made must be, whatever the spec."""

import copy
from datetime import UTC, datetime

import pytest
import yaml
from planning_toy import make_summary

from model_artifact.recipe import parse_recipe
from model_operator import names
from model_operator.api.v1alpha1 import parse_model
from model_operator.observation import Claim, Observation, Record
from model_operator.planning.artifact import Artifact
from model_operator.planning.autoscaling import render_autoscaler
from model_operator.planning.deployment import SERVER_RESOURCES, UNPACK_RESOURCES, render_deployment
from model_operator.planning.job import render_job
from model_operator.planning.plan import plan
from model_operator.settings import Settings

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def make_objects(body, **settings):
    """All that is ever written for a model: its Job, its record, its own objects."""
    model, setup = parse_model(body), Settings(**settings)
    recipe = model.recipe()
    record = Record(frozenset({"uid-1"}), make_summary(recipe.digest))
    facts = {"uid": "uid-1", "generation": 1, "status": {}, "store": Claim(setup.store_claim_name, "Bound")}
    first = plan(model, Observation(**facts), setup, NOW)
    second = plan(model, Observation(**facts, record=record), setup, NOW)
    return {body["kind"]: body for body in (*first.create, *second.apply)}


def list_containers(objects):
    for kind in ("Job", "Deployment"):
        pod = objects[kind]["spec"]["template"]["spec"]
        yield from pod.get("initContainers", [])
        yield from pod["containers"]


@pytest.fixture
def full_body(body):
    body["metadata"]["name"] = "a" * names.LARGEST_MODEL_NAME_LENGTH
    body["spec"]["autoscaling"] = {"minReplicas": 1, "maxReplicas": 3}
    return body


def test_every_container_is_bounded_and_has_no_rights(full_body):
    containers = list(list_containers(make_objects(full_body)))
    assert [container["name"] for container in containers] == ["build", "unpack", "server"]
    for container in containers:
        assert {"requests", "limits"} == container["resources"].keys()
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
        assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]  # noqa: S108


def test_pods_meet_the_restricted_standard(full_body):
    objects = make_objects(full_body)
    for kind in ("Job", "Deployment"):
        pod = objects[kind]["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert {next(iter(volume.keys() - {"name"})) for volume in pod["volumes"]} <= {
            "persistentVolumeClaim",
            "emptyDir",
            "downwardAPI",
        }


@pytest.mark.parametrize(
    ("resources", "memory"),
    [
        (None, "512Mi"),
        ({}, "512Mi"),
        ({"limits": {"cpu": "2"}}, "512Mi"),
        ({"limits": {"memory": "256Mi"}}, "512Mi"),
        ({"limits": {"memory": "0.5Gi"}}, "512Mi"),
        ({"limits": {"memory": "513Mi"}}, "513Mi"),
        ({"limits": {"memory": "4Gi"}}, "4Gi"),
        ({"limits": {"memory": 536870913}}, "536870913"),
        ({"requests": {"memory": "4Gi"}}, "512Mi"),
    ],
)
def test_the_unpacking_may_use_the_servers_memory_and_never_less_than_its_own(body, resources, memory):
    before = unpack_of(body)
    if resources is not None:
        body["spec"]["serving"] = {"resources": resources}
    wanted = copy.deepcopy(before)
    wanted["resources"]["limits"]["memory"] = memory
    assert before["resources"] == UNPACK_RESOURCES
    # Nothing else of it changes: whatever changes in a template replaces every pod.
    assert unpack_of(body) == wanted


@pytest.mark.parametrize(
    ("resources", "requests"),
    [
        ({"requests": {"cpu": "20m", "memory": "64Mi"}}, {"cpu": "20m", "memory": "64Mi"}),
        ({"requests": {"cpu": "0.05"}}, {"cpu": "0.05", "memory": "128Mi"}),
        ({"requests": {"cpu": "2", "memory": "1Gi"}}, {"cpu": "100m", "memory": "128Mi"}),
        # Kubernetes takes a limit as the request where none is stated.
        ({"limits": {"memory": "96Mi"}}, {"cpu": "100m", "memory": "96Mi"}),
        ({"requests": {"memory": "200Mi"}, "limits": {"memory": "300Mi"}}, {"cpu": "100m", "memory": "128Mi"}),
        ({}, {"cpu": "100m", "memory": "128Mi"}),
    ],
)
def test_the_unpacking_asks_for_no_more_than_its_server(body, resources, requests):
    body["spec"]["serving"] = {"resources": resources}
    assert unpack_of(body)["resources"]["requests"] == requests


def unpack_of(body):
    """The unpacking container of the model's Deployment."""
    artifact = Artifact("sha256:" + "a" * 64, "pvc://store/a.zip")
    deployment = render_deployment(parse_model(body), "uid", artifact, Settings())
    (container,) = deployment["spec"]["template"]["spec"]["initContainers"]
    return container


def test_only_the_unpacking_container_sees_the_store_and_cannot_write_there(full_body):
    pod = make_objects(full_body)["Deployment"]["spec"]["template"]["spec"]
    mounts = {
        container["name"]: {mount["name"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
        for container in (*pod["initContainers"], *pod["containers"])
    }
    assert mounts["unpack"] == {"store": True, "model": False, "tmp": False}
    assert mounts["server"] == {"model": True, "configuration": True, "tmp": False}


def test_names_and_labels_fit_for_the_longest_name(full_body):
    for thing in make_objects(full_body).values():
        assert len(thing["metadata"]["name"]) <= 63
        assert all(len(value) <= 63 for value in thing["metadata"]["labels"].values())


def test_own_objects_have_one_controller_and_shared_ones_an_owner(full_body):
    for kind, thing in make_objects(full_body).items():
        (owner,) = thing["metadata"]["ownerReferences"]
        shared = kind in {"Job", "ConfigMap"}
        assert (owner["uid"], owner.get("controller"), owner["kind"]) == (
            "uid-1",
            None if shared else True,
            "CompressedModel",
        )
        assert thing["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "modelpress"
        assert thing["metadata"]["namespace"] == "press"


def test_no_object_states_replicas(full_body):
    assert "replicas" not in make_objects(full_body)["Deployment"]["spec"]


def test_the_recipe_travels_whole(full_body):
    env = {each["name"]: each["value"] for each in next(list_containers(make_objects(full_body)))["env"]}
    assert env.keys() == {"MODELPRESS_RECIPE", "MODELPRESS_STORE"}
    assert parse_recipe(env["MODELPRESS_RECIPE"], "the Job") == parse_model(full_body).recipe()


def test_the_spec_has_the_last_word_on_placement(body):
    tolerations = [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 5}]
    placed = {
        "resources": {"requests": {"cpu": 2}},
        "nodeSelector": {"disk": "fast"},
        "tolerations": tolerations,
    }
    body["spec"] |= {"build": placed, "serving": {**placed, "image": "registry.example/server:1"}}
    objects = make_objects(body, image_pull_secrets="one, two", image_pull_policy="Always")
    for kind in ("Job", "Deployment"):
        pod = objects[kind]["spec"]["template"]["spec"]
        assert pod["nodeSelector"] == {"disk": "fast"}
        assert pod["tolerations"] == tolerations
        assert pod["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
        assert (
            pod["containers"][0]["resources"]
            == {
                "Job": {"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"memory": "6Gi"}},
                "Deployment": {"requests": {"cpu": "2", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
            }[kind]
        )
        assert pod["containers"][0]["imagePullPolicy"] == "Always"
    assert objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/server:1"


@pytest.mark.parametrize(
    ("stated", "given"),
    [
        (
            {"limits": {"nvidia.com/gpu": 1}},
            {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "6Gi", "nvidia.com/gpu": "1"}},
        ),
        (
            {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 1}},
            {
                "requests": {"cpu": "1", "memory": "2Gi", "nvidia.com/gpu": "1"},
                "limits": {"memory": "6Gi", "nvidia.com/gpu": "1"},
            },
        ),
        (
            {"limits": {"cpu": 4, "nvidia.com/gpu": 1}},
            {"requests": {"memory": "2Gi"}, "limits": {"memory": "6Gi", "cpu": "4", "nvidia.com/gpu": "1"}},
        ),
    ],
)
def test_an_accelerator_comes_on_top_of_the_defaults_of_cpu_and_memory(body, stated, given):
    body["spec"]["build"] = {"resources": stated}
    (container,) = make_objects(body)["Job"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == given


@pytest.mark.parametrize(
    ("stated", "given"),
    [
        (
            {"requests": {"memory": "512Mi"}},
            {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"cpu": "2"}},
        ),
        ({"limits": {"memory": "2Gi"}}, {"requests": {"cpu": "250m"}, "limits": {"cpu": "2", "memory": "2Gi"}}),
        (
            {"requests": {"cpu": "3"}, "limits": {"memory": "2Gi"}},
            {"requests": {"cpu": "3"}, "limits": {"memory": "2Gi"}},
        ),
        ({"limits": {"cpu": "1", "memory": "2Gi"}}, {"limits": {"cpu": "1", "memory": "2Gi"}}),
        ({}, SERVER_RESOURCES),
    ],
)
def test_what_is_stated_of_a_resource_replaces_the_default_of_that_one_alone(body, stated, given):
    """An autoscaler on CPU needs a request of CPU, also where only memory is stated."""
    body["spec"]["serving"] = {"resources": stated}
    (container,) = make_objects(body)["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == given


def test_a_build_has_the_priority_that_is_asked_for(body):
    assert "priorityClassName" not in make_objects(body)["Job"]["spec"]["template"]["spec"]
    before = make_objects(body)["Job"]["metadata"]["name"]
    body["spec"]["build"] = {"priorityClassName": "batch-low"}
    job = make_objects(body)["Job"]
    assert job["spec"]["template"]["spec"]["priorityClassName"] == "batch-low"
    assert job["metadata"]["name"] != before, "another priority lets a build that could not start begin anew"


def test_a_queue_suspends_the_job_for_kueue(body):
    assert "suspend" not in make_objects(body)["Job"]["spec"]
    body["spec"]["build"] = {"queueName": "team", "timeoutSeconds": 60}
    job = make_objects(body)["Job"]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    assert job["spec"]["suspend"] is True
    assert job["spec"]["activeDeadlineSeconds"] == 60


def test_metrics_and_behavior_go_through_as_they_are(body):
    metrics = [{"type": "Pods", "pods": {"metric": {"name": "rate"}, "target": {"type": "Value", "value": "10"}}}]
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    body["spec"]["autoscaling"] = {"minReplicas": 2, "maxReplicas": 9, "metrics": metrics, "behavior": behavior}
    model = parse_model(body)
    spec = render_autoscaler(model, "uid-1", model.spec.autoscaling)["spec"]
    assert spec == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "small"},
        "minReplicas": 2,
        "maxReplicas": 9,
        "metrics": metrics,
        "behavior": behavior,
    }


def test_objects_are_plain_data(full_body):
    for thing in make_objects(full_body).values():
        assert yaml.safe_load(yaml.safe_dump(thing)) == thing


def test_rendering_twice_gives_the_same(full_body):
    model = parse_model(full_body)
    jobs = [render_job(model, "uid-1", model.recipe(), Settings(), 0) for _ in range(2)]
    assert jobs[0] == jobs[1]
    assert make_objects(full_body) == make_objects(full_body)
