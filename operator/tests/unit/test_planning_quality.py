"""Quality by the metric that is asked for: its direction, its loss against the baseline, and what is not known."""

from typing import get_args

import pytest

from model_artifact.recipe import METRICS, Metric
from model_artifact.summary import QualitySummary
from model_operator.api.quality import QualityMetric, is_error, list_metrics, name_metric
from model_operator.api.status import ArtifactStatus
from model_operator.api.v1alpha1 import parse_model
from model_operator.observation import Baseline, Observation
from model_operator.planning.objectives import plan_objectives
from model_operator.planning.quality import read_measures, render_quality

MEASURES = {"Accuracy": 90.0, "MeanAbsoluteError": 0.0321, "MeanSquaredError": 0.0123, "F1": 88.0, "AUC": 99.0}
BETTER = {"Accuracy": 95.0, "MeanAbsoluteError": 0.02, "MeanSquaredError": 0.01, "F1": 91.0, "AUC": 99.5}


def asking(body, **quality):
    """The model with an objective of quality and a baseline."""
    body["spec"] |= {"objectives": {"quality": quality}, "baseline": {"name": "whole"}}
    return parse_model(body)


def baseline_of(metric="Accuracy", trained=True, value=None, **quality):
    value = BETTER[metric] if value is None else value
    artifact = {"trained": trained, "quality": {"metric": metric, "value": value, **quality}}
    return Baseline("whole", exists=True, ready=True, artifact=artifact)


def artifact_with(quality):
    facts = {"size_bytes": 10, "baseline_size_bytes": 80, "ratio": 8.0, "bits_per_weight": 4.0, "trained": True}
    return ArtifactStatus(
        uri="s3://a/b", digest="sha256:0", entropy_bits_per_weight=3.0, sparsity_percent=70.0, quality=quality, **facts
    )


def judge(model, baseline, measures):
    """The condition WithinObjectives of an artifact with these measures."""
    quality = render_quality(model, measures, baseline)
    observed = Observation("uid-1", 1, {}, baseline=baseline)
    return plan_objectives(model, observed, artifact_with(quality), served=False)


def test_every_metric_of_a_recipe_has_a_name_in_the_api():
    assert {name_metric(metric) for metric in get_args(Metric)} == set(get_args(QualityMetric))
    assert [metric for metric in get_args(QualityMetric) if is_error(metric)] == [
        "MeanAbsoluteError",
        "MeanSquaredError",
    ]
    for task, metrics in METRICS.items():
        assert list_metrics(task) == tuple(name_metric(metric) for metric in metrics)


def test_what_a_build_measured_is_told_by_the_names_of_the_api_its_own_metric_first():
    summary = QualitySummary(
        metric="F1", value=88.0, float_value=89.0, samples=10, measures={"Accuracy": 90.0, "MAE": 0.5}
    )
    assert list(read_measures(summary).items()) == [("F1", 88.0), ("Accuracy", 90.0), ("MeanAbsoluteError", 0.5)]
    assert read_measures(summary.model_copy(update={"measures": None})) == {"F1": 88.0}


@pytest.mark.parametrize(
    ("metric", "value", "loss"),
    [
        ("Accuracy", 90.0, 5.0),
        ("F1", 88.0, 3.0),
        ("MeanAbsoluteError", 0.0321, 0.0121),
        ("MeanSquaredError", 0.0123, 0.0023),
    ],
)
def test_a_loss_above_zero_is_worse_whatever_the_direction(body, metric, value, loss):
    model = asking(body, metric=metric, maximumLoss=1)
    quality = render_quality(model, MEASURES, baseline_of(measures=BETTER))
    assert (quality.metric, quality.value, quality.baseline_value, quality.loss) == (
        metric,
        value,
        BETTER[metric],
        loss,
    )
    assert quality.measures == MEASURES


def test_without_an_objective_the_metric_of_the_build_is_told(body):
    quality = render_quality(parse_model(body), {"F1": 88.04, "Accuracy": 90.0}, None)
    assert (quality.metric, quality.value, quality.loss) == ("F1", 88.04, None)
    assert render_quality(parse_model(body), {"F1": 88.04}, None).measures is None
    assert render_quality(parse_model(body), {}, None) is None


@pytest.mark.parametrize(
    ("baseline", "known"),
    [
        (baseline_of("F1"), True),
        (baseline_of(measures={"F1": 91.0}), True),
        (baseline_of(), False),
        (baseline_of("F1", trained=False), False),
        (Baseline("whole", exists=True), False),
        (None, False),
    ],
)
def test_a_baseline_counts_where_it_was_measured_by_the_same_metric(body, baseline, known):
    quality = render_quality(asking(body, metric="F1", maximumLoss=1), MEASURES, baseline)
    assert (quality.baseline_value, quality.loss) == ((91.0, 3.0) if known else (None, None))


@pytest.mark.parametrize(
    ("stated", "status", "message"),
    [
        ({"metric": "F1", "minimum": 85}, "True", "quality (F1) is 88, at least 85."),
        ({"metric": "F1", "minimum": 90}, "False", "quality (F1) is 88, 2.22 % below 90."),
        (
            {"metric": "MeanSquaredError", "maximum": 0.02},
            "True",
            "quality (MeanSquaredError) is 0.0123, at most 0.02.",
        ),
        (
            {"metric": "MeanSquaredError", "maximum": 0.01},
            "False",
            "quality (MeanSquaredError) is 0.0123, 23 % above 0.01.",
        ),
        ({"metric": "MeanSquaredError", "maximumLoss": 0.003}, "True", "quality loss is 0.0023, at most 0.003."),
        ({"metric": "MeanSquaredError", "maximumLoss": 0.002}, "False", "quality loss is 0.0023, 15 % above 0.002."),
        (
            {"metric": "MeanIoU", "minimum": 50},
            "Unknown",
            "The artifact was not measured by MeanIoU; it has Accuracy, MeanAbsoluteError, MeanSquaredError, F1, AUC.",
        ),
    ],
)
def test_an_objective_is_judged_in_the_direction_of_its_metric(body, stated, status, message):
    verdict = judge(asking(body, **stated), baseline_of(measures=BETTER), MEASURES)
    assert (verdict.status, verdict.message) == (status, message)


@pytest.mark.parametrize(
    ("value", "minimum", "status", "message"),
    [
        (69.96, 70, "False", "quality (Accuracy) is 69.96, 0.0571 % below 70."),
        (92.44, 92.44, "True", "quality (Accuracy) is 92.4, at least 92.4."),
        (92.44, 92.4, "True", "quality (Accuracy) is 92.44, at least 92.4."),
        (69.9999996, 70, "False", "quality (Accuracy) is 69.9999996, 0.000000571 % below 70."),
    ],
)
def test_a_quality_is_judged_as_it_was_measured(body, value, minimum, status, message):
    verdict = judge(asking(body, minimum=minimum), None, {"Accuracy": value})
    assert (verdict.status, verdict.message) == (status, message)


@pytest.mark.parametrize(
    ("value", "theirs", "loss", "kept"),
    [
        # With three digits the loss would be 0 and 1.
        (69.96, 70.04, 0.08, False),
        (91.52, 92.48, 0.96, True),
        # The difference of the floats is 0.30000000000001137.
        (70.1, 70.4, 0.3, True),
        (100 * 352 / 360, 97.7778, 0.0, True),
    ],
)
def test_a_loss_is_of_what_was_measured_and_equals_lose_nothing(body, value, theirs, loss, kept):
    baseline = baseline_of(value=theirs)
    model = asking(body, maximumLoss=0.05 if not kept else loss)
    assert render_quality(model, {"Accuracy": value}, baseline).loss == loss
    assert judge(model, baseline, {"Accuracy": value}).status == str(kept)


def test_a_quality_is_written_with_six_digits(body):
    measures = {"Accuracy": 100 * 352 / 360, "F1": 88.12345678}
    quality = render_quality(asking(body, minimum=90), measures, baseline_of(value=98.25))
    assert quality.value == measures["Accuracy"]
    assert quality.model_dump(mode="json", by_alias=True) == {
        "metric": "Accuracy",
        "value": 97.7778,
        "baselineValue": 98.25,
        "loss": 0.4722,
        "measures": {"Accuracy": 97.7778, "F1": 88.1235},
    }


def test_an_older_artifact_tells_the_one_metric_it_has(body):
    verdict = judge(asking(body, metric="F1", minimum=1), None, {"Accuracy": 90.0})
    assert (verdict.status, verdict.reason) == ("Unknown", "InsufficientData")
    assert verdict.message == "The artifact was not measured by F1; it has Accuracy."


def test_another_metric_is_no_other_recipe(body):
    recipe = parse_model(body).recipe()
    assert asking(body, metric="MeanIoU", minimum=1).recipe() == recipe
