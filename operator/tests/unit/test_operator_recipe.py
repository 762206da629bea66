import copy
import json

import pytest
from pydantic import ValidationError

from model_artifact.recipe import Compression, parse_recipe
from model_operator.api.v1alpha1 import parse_model
from model_operator.errors import InvalidModelError


def test_the_recipe_is_what_the_spec_says(body):
    assert json.loads(parse_model(body).recipe().canonical_json()) == {
        "recipeVersion": 1,
        "compression": {"alpha": 1.0, "bits": 8},
        "training": {"architecture": "SmallCNN", "dataset": "Digits"},
    }


def test_the_digest_of_a_spec_never_changes(body):
    digest = "sha256:18a68b9d87b91f7e1a475b270aed8b1a3aaf1d882be0149a1b5acf5c243b870f"
    assert parse_model(body).recipe().digest == digest


def test_stating_a_default_keeps_the_digest(body):
    stated = copy.deepcopy(body)
    stated["spec"]["compression"] |= {"alpha": 1.0, "rule": "Floor"}
    stated["spec"]["source"]["training"] |= {"epochs": 50, "batchSize": 64, "learningRate": 0.05, "seed": 0}
    assert parse_model(stated).recipe().digest == parse_model(body).recipe().digest


def test_metadata_has_no_part_in_the_digest(body):
    other = body | {"metadata": {"name": "other", "namespace": "elsewhere", "generation": 4}}
    assert parse_model(other).recipe() == parse_model(body).recipe()


def test_an_artifact_has_no_recipe(body):
    artifact = {"uri": "pvc://store/a.zip", "digest": "sha256:" + "0" * 64}
    assert parse_model(body | {"spec": {"source": {"artifact": artifact}}}).recipe() is None


def test_how_it_is_built_and_served_has_no_part_in_the_digest(body):
    stated = {
        "build": {"retries": 0, "queueName": "night"},
        "serving": {"image": "server:2"},
        "autoscaling": {},
        "objectives": {"cpuMillicores": 100},
        "baseline": {"name": "big"},
        "rollout": {"strategy": "Recreate"},
        "suspend": True,
    }
    assert parse_model(body | {"spec": body["spec"] | stated}).recipe() == parse_model(body).recipe()


def test_fewer_steps_are_another_recipe(body):
    recipe = parse_model(body).recipe()
    body["spec"]["source"]["training"]["maximumSteps"] = 100
    assert parse_model(body).recipe().digest != recipe.digest


def test_every_field_reaches_the_recipe(body):
    changes = {
        "compression": {
            "alpha": 0.5,
            "bits": 4,
            "rule": "Shadow",
            "granularity": "Channel",
            "ramp": 0.25,
            "freeze": 0.5,
            "channelSparsity": 0.25,
            "firstAndLastLayers": "Dense",
        },
        "training": {
            "architecture": "CNN",
            "dataset": "CIFAR10",
            "epochs": 3,
            "batchSize": 32,
            "learningRate": 0.1,
            "learningRateSchedule": "Cosine",
            "momentum": 0.5,
            "seed": 9,
            "maximumSteps": 100,
            "validationImages": 500,
            "patience": 2,
            "keep": "Best",
            "precision": "BFloat16",
        },
    }
    body["spec"] = {"compression": changes["compression"], "source": {"training": changes["training"]}}
    written = json.dumps({"recipeVersion": 1, **changes})
    assert parse_model(body).recipe() == parse_recipe(written, "test")
    assert json.loads(parse_model(body).recipe().canonical_json()) == {"recipeVersion": 1, **changes}


@pytest.mark.parametrize(
    ("part", "stated", "reaches"),
    [
        ("compression", {"rule": "Floor", "update": "InPlace"}, True),
        ("compression", {"rule": "Floor", "frequency": "Epoch"}, True),
        ("compression", {"rule": "Floor", "update": "Masters", "frequency": "Step"}, False),
        ("compression", {"rule": "OffsetRound", "update": "Masters"}, True),
        ("training", {"recipe": "Strong"}, True),
        (
            "training",
            {"recipe": "Published", "precision": "Float32", "keep": "Last", "validationImages": 0},
            False,
        ),
    ],
)
def test_a_field_that_came_later_counts_only_where_it_is_not_the_default(body, part, stated, reaches):
    node = body["spec"]["compression"] if part == "compression" else body["spec"]["source"]["training"]
    node |= {"rule": stated["rule"]} if part == "compression" else {}
    before = parse_model(body).recipe()
    node |= stated
    after = parse_model(body).recipe()
    assert (after.digest != before.digest) is reaches
    assert after.digest == parse_recipe(after.canonical_json(), "itself").digest


@pytest.mark.parametrize("rule", ["Floor", "OffsetRound", "Shadow"])
@pytest.mark.parametrize("update", [None, "Masters", "InPlace"])
@pytest.mark.parametrize("frequency", ["Step", "Epoch"])
@pytest.mark.parametrize("shares", [{}, {"ramp": 0.75}, {"ramp": 0.76}, {"ramp": 0.0, "freeze": 1.0}, {"freeze": 0.51}])
def test_what_compression_the_api_takes_the_recipe_takes(body, rule, update, frequency, shares):
    stated = {"alpha": 1, "bits": 8, "rule": rule, "frequency": frequency, **shares}
    stated |= {} if update is None else {"update": update}
    body["spec"]["compression"] = stated
    try:
        by_api = parse_model(body).recipe() is not None
    except InvalidModelError:
        by_api = False
    try:
        by_recipe = Compression.model_validate(stated) is not None
    except ValidationError:
        by_recipe = False
    assert by_api == by_recipe
