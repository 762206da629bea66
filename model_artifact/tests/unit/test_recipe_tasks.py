"""What a recipe may ask a network to learn, and what it is judged by."""

import json

import pytest
from pydantic import ValidationError

from model_artifact.errors import InvalidRecipeError
from model_artifact.manifest import Epoch
from model_artifact.recipe import METRICS, Compression, Evaluation, FileReference, Recipe, Training, parse_recipe

FILE = {"path": "mine", "digest": "sha256:" + "0" * 64}


def text_of(task, *, evaluation=None, **training):
    document = {
        "compression": {"alpha": 1.25, "bits": 8},
        "training": {"task": task, "model": FILE, "data": FILE, **training},
    }
    return json.dumps(document if evaluation is None else {**document, "evaluation": evaluation})


@pytest.mark.parametrize(
    ("task", "metric"), [("Classification", "Accuracy"), ("Regression", "MAE"), ("Segmentation", "Accuracy")]
)
def test_each_task_has_a_metric_where_none_is_stated(task, metric):
    recipe = parse_recipe(text_of(task), "r.json")
    assert recipe.evaluation.metric == metric == METRICS[task][0]
    assert parse_recipe(text_of(task, evaluation={"metric": metric}), "r.json").digest == recipe.digest
    assert parse_recipe(text_of(task, evaluation={}), "r.json").digest == recipe.digest
    assert parse_recipe(recipe.model_dump_json(by_alias=True), "again").digest == recipe.digest


def test_a_recipe_made_of_parts_has_the_same_metric():
    own = FileReference(**FILE)
    parts = {
        "compression": Compression(alpha=1.25, bits=8),
        "training": Training(task="Regression", model=own, data=own),
    }
    whole = parse_recipe(text_of("Regression"), "r.json")
    assert Recipe(**parts) == Recipe(**parts, evaluation=Evaluation()) == whole
    assert Recipe(**parts, evaluation=Evaluation(metric="MSE")).evaluation.metric == "MSE"


def test_another_task_or_metric_is_another_recipe():
    texts = [
        text_of("Classification"),
        text_of("Segmentation"),
        text_of("Segmentation", evaluation={"metric": "MeanIoU"}),
        text_of("Regression"),
        text_of("Regression", evaluation={"metric": "MSE"}),
    ]
    assert len({parse_recipe(text, "r.json").digest for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            text_of("Regression", evaluation={"metric": "Accuracy"}),
            "r.json: evaluation.metric: Accuracy does not judge Regression; choose one of MAE, MSE",
        ),
        (
            text_of("Segmentation", evaluation={"metric": "AUC"}),
            "r.json: evaluation.metric: AUC does not judge Segmentation; choose one of Accuracy, F1, MeanIoU",
        ),
        (
            text_of("Regression", model=None, architecture="VGG16"),
            "r.json: training: VGG16 answers classes; for Regression state a model of your own",
        ),
        (
            text_of("Segmentation", data=None, dataset="Digits"),
            "r.json: training: Digits has a class for each image; for Segmentation state data of your own",
        ),
        (
            text_of("Regression", recipe="Strong"),
            "r.json: training: the recipe Strong smooths classes and moves images, which does not fit Regression",
        ),
        (text_of("Regression", evaluation=3), "r.json: evaluation: Input should be an object, but it is 3"),
        (
            text_of("Detection"),
            "r.json: training.task: Input should be 'Classification', 'Regression' or 'Segmentation', but it is",
        ),
    ],
)
def test_what_a_task_cannot_be_is_refused_with_a_remedy(text, sentence):
    with pytest.raises(InvalidRecipeError) as refused:
        parse_recipe(text, "r.json")
    assert str(refused.value).startswith(sentence)


def test_a_line_of_the_curve_has_accuracies_or_metrics():
    rest = {"epoch": 1, "loss": 0.5, "zerosPercent": 70.0, "stepsPerSecond": 9.0}
    accuracy = {"accuracyPercent": 80.0, "testAccuracyPercent": 70.0}
    metric = {"metricValue": 0.25, "testMetricValue": 0.5}
    classes = Epoch.model_validate({**rest, **accuracy, "validationAccuracyPercent": 60.0})
    assert (classes.quality, classes.test_quality, classes.validation_quality) == (80, 70, 60)
    numbers = Epoch.model_validate({**rest, **metric})
    assert (numbers.quality, numbers.test_quality, numbers.validation_quality) == (0.25, 0.5, None)
    assert numbers.model_dump(by_alias=True) == {**rest, **metric}
    for wrong in ({}, {**accuracy, **metric}, {"metricValue": 1.0}, {**accuracy, "testMetricValue": 1.0}):
        with pytest.raises(ValidationError, match="or metricValue and testMetricValue"):
            Epoch.model_validate({**rest, **wrong})
