"""Rules, their settings and the recipes of training: what may stand together, and that old digests stay."""

import json

import pytest

from model_artifact.errors import InvalidRecipeError
from model_artifact.recipe import Compression, Recipe, Training, parse_recipe


def recipe_of(training=None, **compression):
    return Recipe(
        compression=Compression(**{"alpha": 1.25, "bits": 8, **compression}),
        training=Training(architecture="CNN", dataset="CIFAR10", **(training or {})),
    )


def text_of(training=None, **compression):
    return json.dumps(
        {
            "compression": {"alpha": 1.25, "bits": 8, **compression},
            "training": {"architecture": "CNN", "dataset": "CIFAR10", **(training or {})},
        }
    )


@pytest.mark.parametrize(
    ("stated", "left_out"),
    [
        ({"rule": "Floor", "update": "Masters"}, {"rule": "Floor"}),
        ({"rule": "OffsetRound", "update": "InPlace"}, {"rule": "OffsetRound"}),
        ({"rule": "Shadow", "update": "Masters", "granularity": "Tensor"}, {"rule": "Shadow"}),
        ({"rule": "Shadow", "ramp": 0.5, "freeze": 0.25}, {"rule": "Shadow"}),
        ({"rule": "Shadow", "first_and_last_layers": "Compressed"}, {"rule": "Shadow"}),
        ({"frequency": "Epoch", "update": "InPlace"}, {"frequency": "Epoch"}),
        ({"frequency": "Step"}, {}),
    ],
)
def test_stating_what_a_rule_has_by_default_is_the_same_recipe(stated, left_out):
    assert recipe_of(**stated).digest == recipe_of(**left_out).digest


@pytest.mark.parametrize(
    "fields",
    [
        {"rule": "OffsetRound"},
        {"rule": "Shadow"},
        {"rule": "Shadow", "ramp": 0.25},
        {"rule": "Shadow", "freeze": 0.0},
        {"rule": "Shadow", "granularity": "Channel"},
        {"rule": "Shadow", "channel_sparsity": 0.5},
        {"rule": "Shadow", "first_and_last_layers": "Dense"},
        {"update": "InPlace"},
        {"rule": "OffsetRound", "update": "Masters"},
        {"frequency": "Epoch"},
    ],
)
def test_another_rule_or_setting_is_another_recipe(fields):
    assert recipe_of(**fields).digest != recipe_of().digest


@pytest.mark.parametrize(
    "fields",
    [
        {"recipe": "Strong"},
        {"precision": "BFloat16"},
        {"validation_images": 5000},
        {"patience": 3},
        {"keep": "Best"},
    ],
)
def test_another_way_to_train_is_another_recipe(fields):
    assert recipe_of(fields).digest != recipe_of().digest


@pytest.mark.parametrize(
    ("fields", "update"),
    [
        ({"rule": "Floor"}, "Masters"),
        ({"rule": "Shadow"}, "Masters"),
        ({"rule": "OffsetRound"}, "InPlace"),
        ({"frequency": "Epoch"}, "InPlace"),
        ({"rule": "OffsetRound", "update": "Masters"}, "Masters"),
    ],
)
def test_each_rule_has_a_place_for_the_gradient(fields, update):
    assert Compression(alpha=1, bits=8, **fields).chosen_update == update


@pytest.mark.parametrize(("bits", "dense"), [(2, 8), (8, 8), (12, 12), (32, 32)])
def test_dense_ends_are_not_pruned_and_have_eight_bits_at_least(bits, dense):
    rule = Compression(alpha=1.25, bits=bits, rule="Shadow", first_and_last_layers="Dense")
    found = [rule.for_layer(place, 4) for place in range(4)]
    assert [(each.alpha, each.bits) for each in found] == [(0, dense), (1.25, bits), (1.25, bits), (0, dense)]
    plain = Compression(alpha=1.25, bits=bits, rule="Shadow")
    assert {plain.for_layer(place, 4) for place in range(4)} == {plain}
    fewer = rule.model_copy(update={"channel_sparsity": 0.5})
    assert [fewer.for_layer(place, 3).channel_sparsity for place in range(3)] == [None, 0.5, None]


def test_shares_of_published_rules_are_zero():
    floor, shadow = Compression(alpha=1, bits=8), Compression(alpha=1, bits=8, rule="Shadow")
    assert (floor.chosen_ramp, floor.chosen_freeze) == (0, 0)
    assert (shadow.chosen_ramp, shadow.chosen_freeze) == (0.5, 0.25)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            text_of(granularity="Channel"),
            "freeze, channelSparsity and firstAndLastLayers belong to the rule Shadow; leave them out for Floor",
        ),
        (text_of(firstAndLastLayers="Dense"), "belong to the rule Shadow; leave them out for Floor"),
        (text_of(rule="Shadow", firstAndLastLayers="dense"), "Input should be 'Compressed' or 'Dense'"),
        (text_of(channelSparsity=0.5), "belong to the rule Shadow; leave them out for Floor"),
        (text_of(rule="Shadow", channelSparsity=0), "compression.channelSparsity: Input should be greater than 0"),
        (text_of(rule="Shadow", channelSparsity=1), "compression.channelSparsity: Input should be less than 1"),
        (text_of(rule="OffsetRound", ramp=0.5), "belong to the rule Shadow; leave them out for OffsetRound"),
        (text_of(rule="Shadow", update="InPlace"), "Shadow keeps masters and compresses in every step"),
        (text_of(rule="Shadow", frequency="Epoch"), "leave update and frequency out"),
        (text_of(rule="Shadow", ramp=0.8, freeze=0.3), "make their sum at most 1"),
        (text_of(rule="Shadow", ramp=1.0), "make their sum at most 1"),
        (text_of(rule="Shadow", ramp=1.5), "compression.ramp: Input should be less than or equal to 1"),
        (text_of(frequency="Epoch", update="Masters"), "frequency Epoch overwrites the weights; leave update out"),
        (
            text_of({"recipe": "Strong", "learningRateSchedule": "Cosine"}),
            "r.json: training: the recipe Strong has a learning-rate schedule of its own; leave learningRateSchedule",
        ),
        (text_of({"validationImages": -1}), "training.validationImages: Input should be greater than or equal to 0"),
        (text_of({"patience": 0}), "training.patience: Input should be greater than or equal to 1"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_a_remedy(text, sentence):
    with pytest.raises(InvalidRecipeError) as refused:
        parse_recipe(text, "r.json")
    assert sentence in str(refused.value)


def test_new_fields_are_left_out_of_old_documents():
    stated = json.loads(recipe_of().model_dump_json(by_alias=True))
    assert set(stated["compression"]) == {"alpha", "bits", "rule"}
    assert {"recipe", "precision", "validationImages", "patience", "keep"}.isdisjoint(stated["training"])
