"""What a change of each field of the spec has written, on a model that is served: nothing that it need not have.

A field that is not in the table fails the last test but one: state there what its change causes.
"""

import copy

import pytest
from planning_toy import ToyCluster

from model_operator import names
from model_operator.api.structural import render_structural_schema
from model_operator.api.v1alpha1 import CompressedModelSpec
from model_operator.planning.job import hash_build
from model_operator.settings import Settings

DIGEST, OTHER_DIGEST = "sha256:" + "ab" * 32, "sha256:" + "cd" * 32
TRAINING = {"architecture": "SmallCNN", "dataset": "Digits"}
OWN = {"uri": "s3://models/own.keras", "dataset": {"uri": "s3://sets/own.npz"}}
COMPRESSION = {"alpha": 1, "bits": 8}
SPECS = {
    "training": {"compression": COMPRESSION, "source": {"training": TRAINING}},
    "model": {"compression": COMPRESSION, "source": {"model": OWN}},
    "artifact": {"source": {"artifact": {"uri": "pvc://shared/a.zip", "digest": DIGEST}}},
}
"""By source."""

SHADOW = {"compression": {"rule": "Shadow"}}
BUILD = {"create Job"}
PODS = {"apply Deployment", "new pods"}
NOTHING = set()

# Field -> a value that it has not, what is written for it, and what has to stand beside it for it to be allowed.
EFFECTS = {
    "compression.alpha": (0.5, BUILD, {}),
    "compression.bits": (4, BUILD, {}),
    "compression.rule": ("Shadow", BUILD, {}),
    "compression.update": ("InPlace", BUILD, {}),
    "compression.frequency": ("Epoch", BUILD, {}),
    "compression.granularity": ("Channel", BUILD, SHADOW),
    "compression.ramp": (0.25, BUILD, SHADOW),
    "compression.freeze": (0.1, BUILD, SHADOW),
    "compression.channelSparsity": (0.5, BUILD, SHADOW),
    "compression.firstAndLastLayers": ("Dense", BUILD, SHADOW),
    "store.uri": ("s3://models/team", NOTHING, {}),
    "build.resources.requests": ({"cpu": "2"}, NOTHING, {}),
    "build.resources.limits": ({"memory": "12Gi"}, NOTHING, {}),
    "build.nodeSelector": ({"disk": "fast"}, NOTHING, {}),
    "build.tolerations": ([{"operator": "Exists"}], NOTHING, {}),
    "build.priorityClassName": ("low", NOTHING, {}),
    "build.queueName": ("team", NOTHING, {}),
    "build.timeoutSeconds": (60, NOTHING, {}),
    "build.retries": (0, NOTHING, {}),
    "serving.resources.requests": ({"cpu": "2"}, PODS, {}),
    "serving.resources.limits": ({"memory": "2Gi"}, PODS, {}),
    "serving.nodeSelector": ({"disk": "fast"}, PODS, {}),
    "serving.tolerations": ([{"operator": "Exists"}], PODS, {}),
    "serving.image": ("tensorflow/serving:2.19.0", PODS, {}),
    "serving.engine": ("LiteRT", PODS, {"serving": {"image": "registry.example/modelpress-server:1"}}),
    "serving.precision": ("Int8", PODS, {"serving": {"image": "registry.example/modelpress-server:1"}}),
    "autoscaling.minReplicas": (2, {"apply HorizontalPodAutoscaler"}, {"autoscaling": {}}),
    "autoscaling.maxReplicas": (7, {"apply HorizontalPodAutoscaler"}, {"autoscaling": {}}),
    "autoscaling.targetCPUUtilizationPercentage": (50, {"apply HorizontalPodAutoscaler"}, {"autoscaling": {}}),
    "autoscaling.metrics": (
        [{"type": "Resource", "resource": {"name": "memory"}}],
        {"apply HorizontalPodAutoscaler"},
        {"autoscaling": {}},
    ),
    "autoscaling.behavior": ({"scaleDown": {}}, {"apply HorizontalPodAutoscaler"}, {"autoscaling": {}}),
    "replicas": (3, {"scale"}, {}),
    "objectives.p95LatencyMilliseconds": (5, NOTHING, {}),
    "objectives.cpuMillicores": (50, NOTHING, {}),
    "objectives.memoryMebibytes": (64, NOTHING, {}),
    "objectives.errorPercent": (1, NOTHING, {}),
    "objectives.window": ("10m", NOTHING, {}),
    "objectives.quality.metric": ("F1", NOTHING, {"objectives": {"quality": {"minimum": 0.5}}}),
    "objectives.quality.minimum": (90, NOTHING, {}),
    "objectives.quality.maximum": (
        30,
        NOTHING,
        {"objectives": {"quality": {"metric": "MeanSquaredError", "maximum": 40}}},
    ),
    "objectives.quality.maximumLoss": (2, NOTHING, {"baseline": {"name": "other"}}),
    "baseline.name": ("other", NOTHING, {}),
    "rollout.strategy": ("Recreate", {"apply Deployment"}, {}),
    "suspend": (True, NOTHING, {}),
}
TRAINING_EFFECTS = {
    "epochs": (20, BUILD, {}),
    "batchSize": (32, BUILD, {}),
    "learningRate": (0.01, BUILD, {}),
    "learningRateSchedule": ("Cosine", BUILD, {}),
    "momentum": (0.5, BUILD, {}),
    "seed": (1, BUILD, {}),
    "maximumSteps": (100, BUILD, {}),
    "recipe": ("Strong", BUILD, {}),
    "validationImages": (100, BUILD, {}),
    "patience": (3, BUILD, {"validationImages": 100}),
    "keep": ("Best", BUILD, {"validationImages": 100}),
}
"""Of both ways to train."""
SOURCE_EFFECTS = {
    "training.architecture": ("CNN", BUILD, {}),
    "training.dataset": ("CIFAR10", BUILD, {}),
    "training.precision": ("BFloat16", BUILD, {}),
    "model.task": ("Regression", BUILD, {}),
    "model.uri": ("s3://models/other.keras", BUILD, {}),
    "model.digest": (OTHER_DIGEST, BUILD, {}),
    "model.dataset.uri": ("s3://sets/other.npz", BUILD, {}),
    "model.dataset.digest": (OTHER_DIGEST, BUILD, {}),
    "artifact.uri": ("pvc://shared/b.zip", PODS, {}),
    "artifact.digest": (OTHER_DIGEST, PODS, {}),
    **{f"{way}.{field}": effect for way in ("training", "model") for field, effect in TRAINING_EFFECTS.items()},
}
ONE_VALUE = {"source.training.task"}
"""Fields that have no other value yet."""


def list_fields(node, path=""):
    """Paths of the fields that hold no fields."""
    if "properties" not in node:
        return [path]
    return [field for name, child in node["properties"].items() for field in list_fields(child, f"{path}.{name}")]


def put(spec, path, value):
    """Set the field of that path, making what it stands in."""
    *parents, last = path.split(".")
    for name in parents:
        spec = spec.setdefault(name, {})
    spec[last] = value


def merge(spec, beside):
    for name, value in beside.items():
        if isinstance(value, dict) and isinstance(spec.get(name), dict):
            merge(spec[name], value)
        else:
            spec[name] = copy.deepcopy(value)


def serve(source, beside):
    """A model that is served, with its spec."""
    spec = copy.deepcopy(SPECS[source])
    merge(spec, beside)
    body = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "small", "namespace": "press"},
        "spec": spec,
    }
    cluster = ToyCluster(body)
    cluster.run()
    assert cluster.condition("Ready") == ("True", "Serving")
    return cluster


def list_writes(cluster):
    """What the next pass writes, but for the status, as words."""
    before, result = cluster.children, cluster.plan()
    words = {f"create {body['kind']}" for body in result.create} | {f"delete {each.kind}" for each in result.delete}
    words |= {f"apply {body['kind']}" for body in result.apply}
    words |= {"scale"} if result.scale is not None else set()
    template = before["deployment"]["spec"]["template"]
    cluster.apply(result)
    return words | ({"new pods"} if cluster.children["deployment"]["spec"]["template"] != template else set())


def list_cases():
    for path, (value, effect, beside) in EFFECTS.items():
        yield pytest.param("training", path, value, effect, beside, id=path)
    for field, (value, effect, beside) in SOURCE_EFFECTS.items():
        source = field.partition(".")[0]
        within = {"source": {source: beside}} if beside else {}
        yield pytest.param(source, f"source.{field}", value, effect, within, id=f"source.{field}")


@pytest.mark.parametrize(("source", "path", "value", "effect", "beside"), list(list_cases()))
def test_a_change_has_that_written_and_nothing_else(source, path, value, effect, beside):
    cluster = serve(source, beside)
    before = cluster.model
    put(cluster.body["spec"], path, value)
    cluster.generation += 1
    assert cluster.model != before
    assert list_writes(cluster) == effect
    assert cluster.status["observedGeneration"] == cluster.generation


def test_every_field_is_in_the_table():
    fields = {path.removeprefix(".") for path in list_fields(render_structural_schema(CompressedModelSpec))}
    known = {*EFFECTS, *(f"source.{field}" for field in SOURCE_EFFECTS), *ONE_VALUE}
    assert fields - known == set(), "say above what a change of it has written"
    assert known - fields == set()


@pytest.mark.parametrize("path", [path for path in EFFECTS if path.startswith("build.") and path != "build.retries"])
def test_a_change_of_how_it_is_built_gives_a_failed_build_new_attempts(path):
    cluster = serve("training", {})
    model = cluster.model
    put(cluster.body["spec"], path, EFFECTS[path][0])
    assert cluster.model.recipe() == model.recipe()
    assert hash_build(model.recipe(), cluster.model.spec, Settings()) != hash_build(
        model.recipe(), model.spec, Settings()
    )


def test_autoscaling_that_begins_and_ends_changes_the_autoscaler_alone():
    cluster = serve("training", {})
    put(cluster.body["spec"], "autoscaling", {"minReplicas": 1})
    assert list_writes(cluster) == {"apply HorizontalPodAutoscaler"}
    cluster.run()
    del cluster.body["spec"]["autoscaling"]
    assert list_writes(cluster) == {"delete HorizontalPodAutoscaler"}
