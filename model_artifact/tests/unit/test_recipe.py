import json

import pytest

from model_artifact.errors import InvalidRecipeError
from model_artifact.recipe import parse_recipe

GOOD = {"compression": {"alpha": 1.25, "bits": 8}, "training": {"architecture": "CNN", "dataset": "CIFAR10"}}


def changed(section, **fields):
    return json.dumps({**GOOD, section: {**GOOD[section], **fields}})


def test_a_recipe_says_as_little_as_it_needs():
    recipe = parse_recipe(json.dumps(GOOD), "r.json")
    assert recipe.canonical_json() == (
        '{"compression":{"alpha":1.25,"bits":8},"recipeVersion":1,'
        '"training":{"architecture":"CNN","dataset":"CIFAR10"}}'
    )


def test_a_digest_never_changes_by_an_upgrade():
    digest = parse_recipe(json.dumps(GOOD), "r.json").digest
    assert digest == "sha256:83837202b9c4822f874217e8bd0548d2876a4d5d6c9c3533d1467b84cf560e9e"


def test_writing_a_default_out_is_the_same_recipe():
    spelled = changed("training", epochs=50, batchSize=64, learningRate=0.05, momentum=0.9, seed=0)
    assert parse_recipe(spelled, "r.json").digest == parse_recipe(json.dumps(GOOD), "r.json").digest


def test_minus_zero_is_zero():
    texts = [changed("compression", alpha=zero) for zero in (0, 0.0, -0.0)]
    assert len({parse_recipe(text, "r.json").digest for text in texts}) == 1


def test_any_other_value_is_another_recipe():
    digests = {
        parse_recipe(text, "r.json").digest
        for text in (json.dumps(GOOD), changed("training", seed=1), changed("compression", bits=4))
    }
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            changed("compression", alpha=-1),
            "r.json: compression.alpha: Input should be greater than or equal to 0, but it is -1",
        ),
        (changed("compression", alpha=5), "r.json: compression.alpha: Input should be less than 5, but it is 5"),
        (
            changed("compression", bits=1),
            "r.json: compression.bits: bits must be 2 to 16, or 32 for weights that are not quantised, but it is 1",
        ),
        (changed("compression", bits=17), "bits must be 2 to 16"),
        (
            changed("compression", rule="Magic"),
            "r.json: compression.rule: Input should be 'Floor', 'OffsetRound' or 'Shadow', but it is 'Magic'",
        ),
        (
            changed("training", dataset="MNIST"),
            "r.json: training.dataset: Input should be 'CIFAR10' or 'Digits', but it is 'MNIST'",
        ),
        (
            changed("training", architecture="ResNet"),
            "Input should be 'CNN', 'SmallCNN' or 'VGG16', but it is 'ResNet'",
        ),
        (changed("training", epoch=3), "r.json: training.epoch: Extra inputs are not permitted"),
        (changed("training", momentum=1), "training.momentum: Input should be less than 1"),
        (json.dumps({"compression": GOOD["compression"]}), "r.json: training: Field required"),
        ("{", "r.json: not a JSON document"),
    ],
)
def test_a_bad_recipe_is_refused_with_field_value_and_remedy(text, sentence):
    with pytest.raises(InvalidRecipeError) as refused:
        parse_recipe(text, "r.json")
    assert sentence in str(refused.value)
