import numpy as np
import pytest

from model_builder.errors import DataError
from model_builder.quality import confuse, judge, measure

# Three classes; the answers take 0 for 0 twice, 1 for 0 once, 1 for 1, 2 for 1, 2 for 2.
LABELS = np.array([0, 0, 0, 1, 1, 2], np.int32)
FOUND = np.array([0, 0, 1, 1, 2, 2])


def probabilities(found, sure=0.8):
    return np.where(np.eye(3)[found] == 1, sure, (1 - sure) / 2).astype(np.float32)


def test_a_confusion_matrix_has_the_truth_in_its_rows():
    assert confuse(probabilities(FOUND), LABELS).tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("Accuracy", 100 * 4 / 6),
        # F1 of the classes: 2*2/(2+3), 2*1/(2+2), 2*1/(2+1)
        ("F1", 100 * (4 / 5 + 2 / 4 + 2 / 3) / 3),
        # Intersection over union: 2/3, 1/3, 1/2
        ("MeanIoU", 100 * (2 / 3 + 1 / 3 + 1 / 2) / 3),
    ],
)
def test_metrics_of_classes(metric, expected):
    assert measure(metric, probabilities(FOUND), LABELS) == pytest.approx(expected)


def test_auc_is_the_share_of_pairs_in_order_mean_over_the_classes():
    answers = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.3, 0.4, 0.3], [0.1, 0.2, 0.7]], np.float32)
    labels = np.array([0, 0, 1, 2], np.int32)
    # Class 0: of (0.6, 0.2) against (0.3, 0.1) three of four pairs; class 1: 0.4 against 0.3, 0.5, 0.2 two of three;
    # class 2: 0.7 against all.
    assert measure("AUC", answers, labels) == pytest.approx(100 * (3 / 4 + 2 / 3 + 1) / 3)


def test_auc_of_two_classes_is_that_of_the_second():
    answers = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]], np.float32)
    assert measure("AUC", answers, np.array([0, 0, 1, 1])) == pytest.approx(75.0)


def test_auc_without_a_class_is_refused():
    with pytest.raises(DataError, match="AUC needs test samples of every class, but 2 has none; choose another metric"):
        measure("AUC", probabilities(FOUND), np.array([0, 1, 0, 1, 0, 1]))


def test_a_class_that_is_nowhere_counts_for_nothing_in_the_mean_iou():
    answers = np.eye(3, dtype=np.float32)[[0, 0, 1]]
    assert measure("MeanIoU", answers, np.array([0, 1, 1])) == pytest.approx(100 * (1 / 2 + 1 / 2) / 2)


def test_segmentation_is_judged_by_the_pixel():
    labels = np.array([[[0, 1], [1, 1]]])
    answers = np.eye(2, dtype=np.float32)[np.array([[[0, 1], [0, 1]]])]
    assert measure("Accuracy", answers, labels) == 75.0
    assert measure("MeanIoU", answers, labels) == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)


@pytest.mark.parametrize(("metric", "expected"), [("MAE", 1.0), ("MSE", 5 / 3)])
def test_metrics_of_targets(metric, expected):
    answers = np.array([[1.0], [2.0], [5.0]], np.float32)
    assert measure(metric, answers, np.array([2.0, 2.0, 3.0], np.float32)) == pytest.approx(expected)


def test_a_judgement_names_the_worst_class_and_the_agreement():
    quality = judge("F1", probabilities(FOUND), probabilities(LABELS), LABELS, ("cat", "dog", "owl"))
    assert quality.metric == "F1"
    assert quality.unit == "percent"
    assert quality.float_model == pytest.approx(100)
    assert quality.agreement_percent == pytest.approx(100 * 4 / 6)
    assert quality.worst_class is not None
    assert (quality.worst_class.name, quality.worst_class.accuracy_percent) == ("dog", 50.0)
    assert quality.worst_class.samples == 2
    assert quality.class_names == ("cat", "dog", "owl")
    assert quality.confusion == ((2, 1, 0), (0, 1, 1), (0, 0, 1))


def test_a_judgement_of_targets_has_neither():
    quality = judge("MAE", np.array([[1.0]]), np.array([[2.0]]), np.array([3.0]))
    assert (quality.unit, quality.deployed, quality.float_model) == ("targets", 2.0, 1.0)
    assert quality.confusion is None
    assert quality.agreement_percent is None
