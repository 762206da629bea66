"""How good answers are, by the metric that the recipe chooses, and where they are wrong. Pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from model_artifact.manifest import Quality
from model_artifact.recipe import Metric
from model_builder.confusion import count_confusion, find_worst_class, measure_confusion
from model_builder.errors import DataError

Array = NDArray[Any]
LARGEST_CONFUSION = 100
"""Classes up to which the manifest holds the confusion matrix: 10,000 numbers."""
_OF_TARGETS = ("MAE", "MSE")


def judge(metric: Metric, deployed: Array, floats: Array, targets: Array, class_names: tuple[str, ...] = ()) -> Quality:
    """The quality of the deployed model beside the float model.

    Args:
        metric: the one that is stated.
        deployed: answers of the deployed model: (n, classes) probabilities, or numbers of the shape of the targets.
        floats: likewise, of the float model.
        targets: int labels of shape (n,); or numbers.
        class_names: what the labels mean.

    Raises:
        DataError: when the metric has no value for these targets.
    """
    labelled = targets.dtype.kind in "iu"
    quality = Quality(
        metric=metric,
        unit="targets" if metric in _OF_TARGETS else "percent",
        deployed=measure(metric, deployed, targets),
        float_model=measure(metric, floats, targets),
        samples=len(targets),
    )
    if not labelled:
        return quality
    details = detail_classes(confuse(deployed, targets), agreement_percent(deployed, floats), class_names)
    return quality.model_copy(update=details)


def detail_classes(confusion: Array, agreement: float, names: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a quality that classes have and numbers have not; classes without a name have their number."""
    names = (*names, *(str(label) for label in range(len(names), len(confusion))))
    details: dict[str, Any] = {"agreement_percent": agreement, "worst_class": find_worst_class(confusion, names)}
    if len(confusion) <= LARGEST_CONFUSION:
        details |= {"confusion": tuple(map(tuple, confusion.tolist())), "class_names": names}
    return details


def measure(metric: Metric, answers: Array, targets: Array) -> float:
    """The metric's value: percent, or for MAE and MSE in the unit of the targets.

    Raises:
        DataError: when it has none for these targets.
    """
    match metric:
        case "Accuracy" | "F1" | "MeanIoU":
            if targets.dtype.kind not in "iu":
                raise DataError(f"{metric} is a metric of classes, but these are numbers; choose MAE or MSE")
            return measure_confusion(metric, confuse(answers, targets))
        case "MAE":
            return float(metrics.mean_absolute_error(_as_numbers(targets, answers).ravel(), answers.ravel()))
        case "MSE":
            return float(metrics.mean_squared_error(_as_numbers(targets, answers).ravel(), answers.ravel()))
        case "AUC":
            return _auc_percent(answers.reshape(-1, answers.shape[-1]).astype(np.float64), targets)


def _as_numbers(targets: Array, answers: Array) -> Array:
    """The targets themselves or, where they are labels, the probabilities that would be right: 1 for the class."""
    if targets.dtype.kind in "iu" and targets.shape == answers.shape[:-1]:
        return np.asarray(np.eye(answers.shape[-1])[targets])
    return targets


def accuracy_percent(answers: Array, labels: Array) -> float:
    """Share of samples (or pixels) whose largest probability is that of their label."""
    return float(100 * np.mean(np.argmax(answers, axis=-1) == labels))


def agreement_percent(answers: Array, others: Array) -> float:
    """Share of samples (or pixels) to which both give the same class."""
    return float(100 * np.mean(np.argmax(answers, axis=-1) == np.argmax(others, axis=-1)))


def confuse(answers: Array, labels: Array) -> Array:
    """How often each class (row) was taken for each class (column)."""
    return count_confusion(np.argmax(answers, axis=-1), labels, answers.shape[-1])


def _auc_percent(probabilities: Array, targets: Array) -> float:
    """Area under the curve of each class against the rest, mean over the classes."""
    if targets.dtype.kind not in "iu":
        raise DataError("AUC is a metric of classes, but these are numbers; choose MAE or MSE")
    labels = targets.ravel()
    missing = np.setdiff1d(np.arange(probabilities.shape[-1]), labels)
    if missing.size:
        raise DataError(f"AUC needs test samples of every class, but {missing[0]} has none; choose another metric")
    if probabilities.shape[-1] == 2:
        return 100 * float(metrics.roc_auc_score(labels, probabilities[:, 1]))
    whole = probabilities / probabilities.sum(axis=1, keepdims=True)
    return 100 * float(metrics.roc_auc_score(labels, whole, multi_class="ovr", average="macro"))
