"""What a model is judged by when it is built, so that it need not be built again to be judged otherwise."""

import numpy as np
import pytest

from model_artifact.recipe import METRICS
from model_builder.measures import measure_all
from model_builder.quality import measure

LABELS = np.array([0, 0, 1, 1, 2, 2], np.int32)
ANSWERS = np.array(
    [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8], [0.0, 0.1, 0.9]], np.float32
)


def test_classes_of_images_are_judged_by_every_metric():
    found = measure_all("Classification", ANSWERS, LABELS)
    assert list(found) == list(METRICS["Classification"]) == ["Accuracy", "F1", "MAE", "MSE", "AUC", "MeanIoU"]
    assert found == {metric: measure(metric, ANSWERS, LABELS) for metric in found}
    assert found["Accuracy"] == pytest.approx(100 * 5 / 6)


def test_a_metric_that_the_data_give_no_value_is_left_out():
    found = measure_all("Classification", ANSWERS[:4], LABELS[:4])
    assert set(METRICS["Classification"]) - set(found) == {"AUC"}


def test_numbers_are_judged_by_their_errors():
    answers, targets = np.array([[1.0], [2.0]], np.float32), np.array([[1.5], [4.0]], np.float32)
    assert measure_all("Regression", answers, targets) == {"MAE": 1.25, "MSE": pytest.approx((0.25 + 4) / 2)}


def test_classes_of_pixels_are_judged_by_what_they_share():
    labels = np.array([[[0, 1], [1, 1]]])
    answers = np.eye(2, dtype=np.float32)[np.array([[[0, 1], [0, 1]]])]
    found = measure_all("Segmentation", answers, labels)
    assert list(found) == ["Accuracy", "F1", "MeanIoU"]
    assert (found["Accuracy"], found["MeanIoU"]) == (75.0, pytest.approx(100 * (1 / 2 + 2 / 3) / 2))
