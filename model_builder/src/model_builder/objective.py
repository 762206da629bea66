"""What a network learns and is judged by while it trains: the loss, what is counted of its answers, and the metric.

On any Keras backend. Counts are sums over images, so that those of batches add up to those of a data set.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from keras import ops
from numpy.typing import NDArray
from typing_extensions import override

from model_artifact.quality_format import format_quality
from model_artifact.recipe import Metric, Recipe
from model_builder.confusion import measure_confusion

Tensor = Any
Tally = NDArray[Any]
LABEL_SMOOTHING = 0.1


@dataclass(frozen=True)
class Objective(ABC):
    """Of one training.

    Attributes:
        metric: what the answers are judged by.
        outputs: how many numbers an answer has, for an image or for a pixel.
    """

    metric: Metric
    outputs: int

    @property
    def tally_shape(self) -> tuple[int, ...]:
        """Of what is counted."""
        return ()

    @property
    def name(self) -> str:
        """What the metric is called in a sentence."""
        return self.metric

    @property
    def larger_is_better(self) -> bool:
        """Whether a larger number of the metric is a better one."""
        return self.metric not in {"MAE", "MSE"}

    @abstractmethod
    def loss(self, answers: Tensor, targets: Tensor) -> Tensor:
        """The mean over the batch, a scalar; `answers` are float32 and for classes before the softmax."""

    @abstractmethod
    def count(self, answers: Tensor, targets: Tensor) -> Tensor:
        """What the metric is made of, summed over the batch: float32, of the tally's shape."""

    @abstractmethod
    def measure(self, tally: Tally, images: float) -> float:
        """The metric's value for that many images."""

    def format(self, value: float, decimals: int = 2) -> str:
        """The value in a sentence, with its unit."""
        return format_quality(value, "percent" if self.larger_is_better else "targets", decimals)

    def describe(self, value: float, test: float | None = None) -> dict[str, Any]:
        """The fields of a `BuildProgress`: the metric, of the images of the epoch and of the test images."""
        return {"metric": self.metric, "metric_value": _round(value), "test_metric_value": _round(test)}

    def record(self, value: float, test: float, validation: float | None) -> dict[str, Any]:
        """The fields of an `Epoch`, likewise."""
        return {"metric_value": value, "test_metric_value": test, "validation_metric_value": validation}


@dataclass(frozen=True)
class Classes(Objective):
    """A class for each image: cross-entropy, perhaps with smoothed labels; judged by accuracy.

    Whatever metric judges the deployed model: which epoch was the best stays the same then.
    """

    smoothing: float = 0.0

    @property
    @override
    def name(self) -> str:
        return "accuracy"

    @property
    @override
    def larger_is_better(self) -> bool:
        return True

    @override
    def loss(self, answers: Tensor, targets: Tensor) -> Tensor:
        wanted = ops.one_hot(targets, self.outputs, dtype="float32")
        if self.smoothing:
            wanted = wanted * (1 - self.smoothing) + self.smoothing / self.outputs
        return -ops.mean(ops.sum(wanted * ops.log_softmax(answers), axis=-1))

    @override
    def count(self, answers: Tensor, targets: Tensor) -> Tensor:
        found = ops.cast(ops.argmax(answers, axis=-1), "int32")
        return ops.sum(ops.cast(found == ops.cast(targets, "int32"), "float32"))

    @override
    def measure(self, tally: Tally, images: float) -> float:
        return 100 * float(tally) / images

    @override
    def describe(self, value: float, test: float | None = None) -> dict[str, Any]:
        tested = {} if test is None else {"test_accuracy_percent": round(test, 2)}
        return {"accuracy_percent": round(value, 2), **tested}

    @override
    def record(self, value: float, test: float, validation: float | None) -> dict[str, Any]:
        return {
            "accuracy_percent": value,
            "test_accuracy_percent": test,
            "validation_accuracy_percent": validation,
        }


@dataclass(frozen=True)
class Pixels(Objective):
    """A class for each pixel: cross-entropy, mean over the pixels; the tally is the confusion matrix of pixels."""

    @property
    @override
    def tally_shape(self) -> tuple[int, ...]:
        return self.outputs, self.outputs

    @override
    def loss(self, answers: Tensor, targets: Tensor) -> Tensor:
        wanted = ops.one_hot(ops.cast(targets, "int32"), self.outputs, dtype="float32")
        return -ops.mean(ops.sum(wanted * ops.log_softmax(answers), axis=-1))

    @override
    def count(self, answers: Tensor, targets: Tensor) -> Tensor:
        both = (ops.cast(part, "int32") for part in (targets, ops.argmax(answers, axis=-1)))
        wanted, found = (ops.one_hot(ops.reshape(part, (-1,)), self.outputs, dtype="float32") for part in both)
        return ops.matmul(ops.transpose(wanted), found)

    @override
    def measure(self, tally: Tally, images: float) -> float:
        return measure_confusion(self.metric, tally)


@dataclass(frozen=True)
class Numbers(Objective):
    """Numbers for each image: the mean squared error; the tally is the sums of errors, absolute and squared."""

    @property
    @override
    def tally_shape(self) -> tuple[int, ...]:
        return (2,)

    @override
    def loss(self, answers: Tensor, targets: Tensor) -> Tensor:
        return ops.mean(ops.square(answers - targets))

    @override
    def count(self, answers: Tensor, targets: Tensor) -> Tensor:
        errors = answers - targets
        return ops.stack([ops.sum(ops.abs(errors)), ops.sum(ops.square(errors))])

    @override
    def measure(self, tally: Tally, images: float) -> float:
        return float(tally[0 if self.metric == "MAE" else 1]) / (images * self.outputs)


def plan_objective(recipe: Recipe, outputs: int) -> Objective:
    """The objective of a recipe's task, for a network with that many outputs."""
    metric = recipe.evaluation.metric
    match recipe.training.task:
        case "Regression":
            return Numbers(metric, outputs)
        case "Segmentation":
            return Pixels(metric, outputs)
    return Classes(metric, outputs, smoothing=LABEL_SMOOTHING if recipe.training.recipe == "Strong" else 0.0)


def _round(value: float | None) -> float | None:
    """Five significant digits: a metric may be of any size."""
    return None if value is None else float(f"{value:.5g}")
