"""Measures an artifact's model.tflite on the test data, after unpacking and verifying it."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_artifact.manifest import Provenance, Quality
from model_artifact.packing import MODEL_FILE
from model_artifact.quality_format import format_quality
from model_artifact.recipe import METRICS, Contract, Metric, refuse_metric
from model_artifact.summary import BuildProgress
from model_artifact.unpacking import unpack
from model_builder.data_source import load_data
from model_builder.dataset import LabelledImages
from model_builder.errors import BuildError, DataError
from model_builder.evaluation import Predictor
from model_builder.judging import Predict, judge_model
from model_builder.progress import Progress

_BATCH = 256


class Evaluation(Contract):
    """What `model-builder evaluate --json` prints."""

    digest: str
    """The artifact's content digest."""
    size_bytes: int
    trained: bool
    """False when the training that the recipe asks for was not done in full."""
    dataset: str
    """What to call the data; a copy that is not the published one says so here."""
    quality: Quality


def evaluate(artifact: Path, metric: Metric | None, environment: Mapping[str, str], tell: Progress) -> Evaluation:
    """Unpack an artifact, run its model on the test data that its recipe names, and judge the answers.

    Args:
        artifact: the archive.
        metric: how to judge; absent: as the recipe says.
        environment: where the data is.
        tell: told what is being done.

    Raises:
        BuildError: when the artifact does not say how it was made, or the metric judges other tasks.
        DataError: when the data cannot be had, or is other data than it was trained on.
    """
    with tempfile.TemporaryDirectory(prefix="modelpress-evaluate-") as scratch:
        folder = Path(scratch) / "version"
        manifest = unpack(artifact, folder)
        made = manifest.content.provenance
        if made is None:
            raise BuildError(f"{artifact}: does not say how it was made, so that its test data is unknown")
        task, chosen = made.recipe.training.task, metric or made.recipe.evaluation.metric
        if chosen not in METRICS[task]:
            raise BuildError(f"{artifact}: {refuse_metric(task, chosen)}")
        data = _load_same_data(artifact, made, environment, tell)
        count = len(data.test_labels)
        tell(BuildProgress(phase="Measuring", message=f"measuring the unpacked model.tflite on {count:,} test images"))
        predictor = Predictor(folder / MODEL_FILE, os.cpu_count() or 1)
        quality = judge_model(chosen, task, predictor.predict, load_floats(folder), data)
    return Evaluation(
        digest=manifest.digest,
        size_bytes=artifact.stat().st_size,
        trained=made.trained,
        dataset=data.facts.name,
        quality=quality,
    )


def _load_same_data(artifact: Path, made: Provenance, environment: Mapping[str, str], tell: Progress) -> LabelledImages:
    """The data that the recipe names, provided that it is what the artifact says it was trained on."""
    data = load_data(made.recipe.training, environment, tell)
    if made.dataset is not None and made.dataset.digest != data.facts.digest:
        raise DataError(
            f"{artifact}: was trained on {made.dataset.name} ({made.dataset.digest}), but the data here is"
            f" {data.facts.name} ({data.facts.digest}); point MODELPRESS_DATA to the same"
        )
    return data


def load_floats(folder: Path) -> Predict:
    """A version folder's SavedModel, to be asked for images: the same weights with float32 arithmetic."""
    import tensorflow as tf

    signature: Any = tf.saved_model.load(str(folder)).signatures["serving_default"]
    (output,) = signature.structured_outputs

    def predict(images: NDArray[Any]) -> NDArray[Any]:
        batches = (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
        return np.concatenate([signature(tf.constant(batch, tf.float32))[output].numpy() for batch in batches])

    return predict


def format_evaluation(evaluation: Evaluation) -> str:
    """The metric, the worst class and the confusion matrix, for a person."""
    quality = evaluation.quality
    deployed, floats = (format_quality(value, quality.unit) for value in (quality.deployed, quality.float_model))
    trained = "" if evaluation.trained else "; its training was not done in full"
    first = (
        f"{quality.metric} {deployed} deployed, {floats} in float32,"
        f" {quality.samples:,} samples of {evaluation.dataset}{trained}"
    )
    lines = [first]
    if quality.agreement_percent is not None:
        lines.append(f"both give the same class to {quality.agreement_percent:.2f} % of them")
    if quality.worst_class is not None:
        worst = quality.worst_class
        lines.append(f"worst class: {worst.name}, {worst.accuracy_percent:.2f} % of {worst.samples:,}")
    if quality.confusion is not None:
        lines += ["", *_format_confusion(quality)]
    return "\n".join(lines)


def _format_confusion(quality: Quality) -> list[str]:
    """A row for each class, a column for each class that it was taken for, in the same order."""
    names = quality.class_names or tuple(str(label) for label in range(len(quality.confusion or ())))
    width = max(map(len, names))
    column = max(6, 2 + len(str(max(map(max, quality.confusion or ((0,),))))))
    return [
        f"{name:<{width}}  " + "".join(f"{count:>{column}}" for count in row)
        for name, row in zip(names, quality.confusion or (), strict=True)
    ]
