"""Metrics of classes that follow from a confusion matrix alone: of images, or of pixels. Pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_artifact.manifest import WorstClass
from model_artifact.recipe import Metric
from model_builder.errors import DataError

Array = NDArray[Any]


def count_confusion(found: Array, wanted: Array, classes: int) -> Array:
    """How often each class (row) was taken for each class (column); int64, shape (classes, classes).

    Args:
        found: the class that was answered, whole numbers of any shape.
        wanted: the class that is right, of the same shape.
        classes: how many there are.
    """
    pairs = wanted.ravel().astype(np.int64) * classes + found.ravel()
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def measure_confusion(metric: Metric, confusion: Array) -> float:
    """The metric's value in percent.

    Accuracy: the share that was answered rightly. F1: 2 TP / (2 TP + FP + FN), mean over all classes, 0 for one that is
    neither there nor answered. MeanIoU: TP / (TP + FP + FN), mean over the classes that are there or were answered.

    Raises:
        DataError: when the metric needs more than the matrix.
    """
    both = np.asarray(confusion.diagonal(), np.float64)
    answered_and_there = confusion.sum(axis=0) + confusion.sum(axis=1)
    match metric:
        case "Accuracy":
            return 100 * float(both.sum() / confusion.sum())
        case "F1":
            shares = np.divide(2 * both, answered_and_there, out=np.zeros_like(both), where=answered_and_there > 0)
            return 100 * float(np.mean(shares))
        case "MeanIoU":
            union = answered_and_there - both
            return 100 * float(np.mean(both[union > 0] / union[union > 0]))
    raise DataError(f"{metric} does not follow from a confusion matrix; choose Accuracy, F1 or MeanIoU")


def find_worst_class(confusion: Array, names: tuple[str, ...]) -> WorstClass | None:
    """The class with the smallest share of right answers; None when there are no samples."""
    samples = confusion.sum(axis=1)
    present = np.flatnonzero(samples)
    if not present.size:
        return None
    shares = confusion.diagonal()[present] / samples[present]
    worst = int(present[np.argmin(shares)])
    return WorstClass(name=names[worst], accuracy_percent=100 * float(shares.min()), samples=int(samples[worst]))
