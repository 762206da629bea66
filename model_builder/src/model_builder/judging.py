"""The deployed model and the float one, asked for the test images and judged."""

from collections.abc import Callable

import numpy as np

from model_artifact.manifest import Quality
from model_artifact.recipe import METRICS, Metric, Task
from model_builder.confusion import measure_confusion
from model_builder.dataset import LabelledImages
from model_builder.measures import measure_all
from model_builder.quality import Array, confuse, detail_classes, judge

Predict = Callable[[Array], Array]
"""Answers to images."""
_IMAGES_AT_ONCE = 64
"""Of which the probabilities of all pixels are held in memory."""


def judge_model(metric: Metric, task: Task, deployed: Predict, floats: Predict, data: LabelledImages) -> Quality:
    """The quality of the deployed model beside the float model, on the test images.

    Args:
        metric: the one that is stated.
        task: what is answered.
        deployed: the deployed model.
        floats: the same weights with float32 arithmetic.
        data: as the task has it.

    Raises:
        DataError: when the metric has no value for these targets.
    """
    if task == "Segmentation":
        return _judge_pixels(metric, deployed, floats, data)
    images, targets = data.test_images, data.test_labels
    answers = deployed(images)
    quality = judge(metric, answers, floats(images), targets, data.class_names)
    return quality.model_copy(update={"measures": measure_all(task, answers, targets)})


def _judge_pixels(metric: Metric, deployed: Predict, floats: Predict, data: LabelledImages) -> Quality:
    """Some images at a time: what there is to say follows from two confusion matrices and a count."""
    images, targets = data.test_images, data.test_labels
    confusion, float_confusion, same = np.zeros((), np.int64), np.zeros((), np.int64), 0
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        chosen = slice(start, start + _IMAGES_AT_ONCE)
        answers, others = deployed(images[chosen]), floats(images[chosen])
        confusion = confusion + confuse(answers, targets[chosen])
        float_confusion = float_confusion + confuse(others, targets[chosen])
        same += int(np.sum(np.argmax(answers, axis=-1) == np.argmax(others, axis=-1)))
    quality = Quality(
        metric=metric,
        deployed=measure_confusion(metric, confusion),
        float_model=measure_confusion(metric, float_confusion),
        samples=len(targets),
        measures={each: measure_confusion(each, confusion) for each in METRICS["Segmentation"]},
    )
    return quality.model_copy(update=detail_classes(confusion, 100 * same / targets.size, data.class_names))
