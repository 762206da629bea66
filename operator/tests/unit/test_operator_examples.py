import json
import re
from pathlib import Path

import pytest
import yaml

from model_artifact.recipe import parse_recipe
from model_artifact.summary import artifact_path
from model_operator.api.crd import render_crd
from model_operator.api.v1alpha1 import parse_model

FOLDER = Path(__file__).parents[3] / "examples"
CNN = {"architecture": "CNN", "dataset": "CIFAR10", "epochs": 1, "learningRate": 0.02, "learningRateSchedule": "Cosine"}
DIGITS = {"architecture": "SmallCNN", "dataset": "Digits", "epochs": 20, "learningRateSchedule": "Cosine"}
VGG16 = {"architecture": "VGG16", "dataset": "CIFAR10"}
# Name, compression and training without the fields that have their default, and the digest under which it is built.
EXAMPLES = [
    (
        "cnn-a0-b32",
        {"alpha": 0, "bits": 32},
        CNN,
        "sha256:860bdffcc4448710ae337021f2186d5bc4a53c2d9bade2b8411c88de81d5356c",
    ),
    (
        "cnn-a125-b8",
        {"alpha": 1.25, "bits": 8},
        CNN,
        "sha256:d4407eeefbd42554c472b03fb1e0366ad73c06078b357f65ac31c172b2463317",
    ),
    (
        "cnn-strong-a125-b8",
        {"alpha": 1.25, "bits": 8, "rule": "Shadow", "firstAndLastLayers": "Dense"},
        {"architecture": "CNN", "dataset": "CIFAR10", "epochs": 30, "recipe": "Strong"},
        "sha256:e71ebfd7af8eabf1f02f9b72bf1fdff95cc1592884df5f28f2d0689db60794ee",
    ),
    (
        "digits-a0-b32",
        {"alpha": 0, "bits": 32},
        DIGITS,
        "sha256:18b8ef102877d82cd631e8bea6b9fe6a0bf6a838f8eb886b04ee3d135309be07",
    ),
    (
        "digits-a125-b8",
        {"alpha": 1.25, "bits": 8},
        DIGITS,
        "sha256:5297f830f0b7409b44d6a0783943bc0c107b4526dd81022170ea0bbeef501a39",
    ),
    (
        "vgg16-a0-b32",
        {"alpha": 0, "bits": 32},
        VGG16,
        "sha256:378a619bb550a3b6feaec282f8f82f34aea07549c75f14853a6b9c0668a3d844",
    ),
    (
        "vgg16-a125-b8",
        {"alpha": 1.25, "bits": 8},
        VGG16,
        "sha256:dacb31dd81822dff9a6f28be589f65f78d457f244f3d26c17c683d2c17ffd425",
    ),
    (
        "vgg16-strong-a125-b8-c50",
        {"alpha": 1.25, "bits": 8, "rule": "Shadow", "channelSparsity": 0.5},
        VGG16 | {"recipe": "Strong", "precision": "BFloat16", "epochs": 160, "batchSize": 128, "learningRate": 0.02},
        "sha256:04c51b35e9326e4bcf12a105e1555bdc66c0c4a1d6c15151b754eb9e157552d9",
    ),
]
TRAINED = [name for name, *_ in EXAMPLES]
NAMES = sorted([*TRAINED, "known-artifact", "own-model"])
JSON_TYPES = {
    "object": dict,
    "string": str,
    "integer": int,
    "number": (int, float),
    "array": list,
    "boolean": bool,
    None: (int, str),
}


def load(name):
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def problems(value, schema, path):
    """Where `value` departs from a structural schema; a field that the schema lacks would be pruned, so it counts."""
    kind = schema.get("type")
    if not isinstance(value, JSON_TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return [f"{path} is no {kind}"]
    found = []
    if value not in schema.get("enum", [value]):
        found.append(f"{path} is none of {schema['enum']}")
    if "minimum" in schema and value < schema["minimum"]:
        found.append(f"{path} is too small")
    if "maximum" in schema and value > schema["maximum"]:
        found.append(f"{path} is too large")
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{path} does not match")
    if "properties" in schema:
        fields = schema["properties"]
        found += [f"{path}.{name} is missing" for name in schema.get("required", []) if name not in value]
        found += [f"{path}.{name} is unknown" for name in value if name not in fields]
        for name in value.keys() & fields.keys():
            found += problems(value[name], fields[name], f"{path}.{name}")
    for name in value if "additionalProperties" in schema else ():
        found += problems(value[name], schema["additionalProperties"], f"{path}.{name}")
    return found


def test_every_example_is_tested():
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_example_parses_under_the_name_of_its_file(name):
    assert parse_model(load(name)).metadata.name == name


@pytest.mark.parametrize(("name", "compression", "training", "digest"), EXAMPLES, ids=TRAINED)
def test_an_example_asks_for_the_recipe_that_is_written_as_json(name, compression, training, digest):
    written = json.dumps({"recipeVersion": 1, "compression": compression, "training": training})
    wanted = parse_model(load(name)).recipe()
    assert wanted == parse_recipe(written, name)
    assert wanted.digest == parse_recipe(written, name).digest == digest


@pytest.mark.parametrize("name", NAMES)
def test_an_example_fits_the_crd(name):
    schema = render_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert problems(load(name), schema, name) == []


@pytest.mark.parametrize(
    ("part", "change", "problem"),
    [
        ("compression", {"bits": "8"}, "x.spec.compression.bits is no integer"),
        ("compression", {"sparsity": 1}, "x.spec.compression.sparsity is unknown"),
        ("compression", {"rule": "Round"}, "x.spec.compression.rule is none of ['Floor', 'OffsetRound', 'Shadow']"),
        ("source", {"training": {**DIGITS, "seed": -1}}, "x.spec.source.training.seed is too small"),
        ("source", {"training": {**DIGITS, "momentum": 2}}, "x.spec.source.training.momentum is too large"),
        ("serving", {"resources": {"limits": {"cpu": "one"}}}, "x.spec.serving.resources.limits.cpu does not match"),
        ("autoscaling", {"maxReplicas": True}, "x.spec.autoscaling.maxReplicas is no integer"),
        ("source", {"training": {"dataset": "Digits"}}, "x.spec.source.training.architecture is missing"),
    ],
)
def test_the_schema_check_sees_what_is_wrong(part, change, problem):
    changed = load("digits-a125-b8")
    changed["spec"][part] |= change
    schema = render_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert problems(changed, schema, "x") == [problem]


def test_a_recipe_file_of_the_same_name_asks_for_the_same():
    for name in TRAINED:
        (path,) = (FOLDER / "recipes").glob(f"{name}.*")
        written = json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")))
        assert parse_recipe(written, name) == parse_model(load(name)).recipe()


def test_the_own_model_becomes_a_recipe_with_its_files():
    recipe = parse_model(load("own-model")).recipe()
    assert (recipe.training.model.uri, recipe.training.model.digest) == ("s3://models/mine.keras", None)
    assert recipe.training.data.uri == "pvc://photos/sets/mine.npz"
    assert parse_recipe(recipe.canonical_json(), "itself").digest == recipe.digest


def test_the_known_artifact_is_named_by_its_digest():
    artifact = parse_model(load("known-artifact")).spec.source.artifact
    assert artifact.uri == f"pvc://modelpress-store/{artifact_path(artifact.digest)}"


@pytest.mark.parametrize("network", ["digits", "cnn", "vgg16"])
def test_a_model_and_its_baseline_differ_in_compression_and_memory_only(network):
    model, baseline = parse_model(load(f"{network}-a125-b8")).spec, parse_model(load(f"{network}-a0-b32")).spec
    assert (model.baseline.name, baseline.baseline) == (f"{network}-a0-b32", None)
    assert model.objectives.quality.maximum_loss == 7
    assert model.objectives.window == baseline.objectives.window == "2m"
    assert model.source == baseline.source
    assert (model.compression.alpha, model.compression.bits) == (1.25, 8)
    assert (baseline.compression.alpha, baseline.compression.bits) == (0, 32)
    assert model.autoscaling == baseline.autoscaling
    assert (model.autoscaling.min_replicas, model.autoscaling.max_replicas) == (1, 3)
    assert model.autoscaling.target_cpu_utilization_percentage == 70
    for spec in (model, baseline):
        assert spec.serving.resources.requests["cpu"] == "100m", "little, so that the autoscaler has something to do"
        assert spec.serving.resources.requests.keys() == spec.serving.resources.limits.keys() == {"cpu", "memory"}


def test_the_readme_lists_each_example_with_its_values():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    expected = set()
    for name in TRAINED:
        spec = parse_model(load(name)).spec
        training = spec.source.training
        baseline = f"`{spec.baseline.name}` |" if spec.baseline else "|"
        cells = (f"`{name}.yaml`", training.architecture, training.dataset, training.epochs)
        compression = f"{spec.compression.alpha:g} | {spec.compression.bits}"
        expected.add(f"| {' | '.join(map(str, cells))} | {compression} | {baseline}")
    assert set(rows) == expected
    assert "`known-artifact.yaml`" in text
    assert "`own-model.yaml`" in text
