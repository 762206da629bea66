"""The metrics of quality: their names in the API, and which of them say how wrong a model is. Pure."""

from typing import Final, Literal

from model_artifact.recipe import METRICS, Metric, Task

QualityMetric = Literal["Accuracy", "MeanAbsoluteError", "MeanSquaredError", "F1", "MeanIoU", "AUC"]

_NAMES: Final[dict[str, QualityMetric]] = {
    "Accuracy": "Accuracy",
    "MAE": "MeanAbsoluteError",
    "MSE": "MeanSquaredError",
    "F1": "F1",
    "MeanIoU": "MeanIoU",
    "AUC": "AUC",
}
"""A recipe's name of a metric -> the API's."""
ERRORS: Final[tuple[QualityMetric, ...]] = ("MeanAbsoluteError", "MeanSquaredError")
"""Those of which less is better."""


def name_metric(metric: Metric | str) -> str:
    """The API's name of a recipe's metric; one that is not known keeps its own."""
    return _NAMES.get(metric, metric)


def is_error(metric: str) -> bool:
    """Whether less is better."""
    return metric in ERRORS


def list_metrics(task: Task) -> tuple[str, ...]:
    """The metrics that judge a task."""
    return tuple(name_metric(metric) for metric in METRICS[task])
