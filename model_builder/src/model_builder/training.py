"""Training with the compression rule in every compiled step.

The float weights W are masters: the compressed weights C run forward, and the gradient with respect to C is applied to
W (paper 000, figure 1). Biases and normalisation stay float.
"""

import time
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from typing_extensions import override

from model_artifact import manifest
from model_artifact.recipe import Compression, Recipe, Training
from model_artifact.summary import BuildProgress
from model_builder.architectures import build_network
from model_builder.dataset import LabelledImages
from model_builder.progress import Progress
from model_builder.rules import Compressed, floor_rule

_SECONDS_BETWEEN_REPORTS = 3.0  # so that a line comes every five seconds where a step takes two


class CompressedTraining(keras.Model):  # type: ignore[misc]
    """A network whose kernels are pruned and quantised before every forward pass."""

    compression: Compression

    def compressed_kernels(self) -> dict[str, Compressed]:
        """The rule applied to each kernel, by the variable's path, in the network's order."""
        return {
            variable.path: floor_rule(variable.value, self.compression)
            for variable in self.trainable_variables
            if is_kernel(variable)
        }

    def _forward_weights(self) -> list[Any]:
        return [
            floor_rule(variable.value, self.compression).weights if is_kernel(variable) else tf.identity(variable.value)
            for variable in self.trainable_variables
        ]

    @override
    def train_step(self, data: Any) -> dict[str, Any]:
        """One step: compress, run C forward, apply the gradient to the masters."""
        images, labels = data
        forward = self._forward_weights()
        state = [variable.value for variable in self.non_trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(forward)
            probabilities, new_state = self.stateless_call(forward, state, images, training=True)
            loss = self.compute_loss(images, labels, probabilities)
        self.optimizer.apply(tape.gradient(loss, forward), self.trainable_variables)
        for variable, value in zip(self.non_trainable_variables, new_state, strict=True):
            variable.assign(value)
        return self._measure(images, labels, probabilities, loss)

    @override
    def test_step(self, data: Any) -> dict[str, Any]:
        """Loss and accuracy with the compressed weights."""
        images, labels = data
        state = [variable.value for variable in self.non_trainable_variables]
        probabilities, _ = self.stateless_call(self._forward_weights(), state, images, training=False)
        return self._measure(images, labels, probabilities, self.compute_loss(images, labels, probabilities))

    def _measure(self, images: Any, labels: Any, probabilities: Any, loss: Any) -> dict[str, Any]:
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(images)[0])
        return dict(self.compute_metrics(images, labels, probabilities))


def is_kernel(variable: Any) -> bool:
    """Whether the rule applies: kernels of convolutions and dense layers, not biases nor normalisation."""
    return str(variable.path).endswith("/kernel")


def build_model(recipe: Recipe, image_shape: tuple[int, int, int], classes: int) -> CompressedTraining:
    """The recipe's network with fresh weights from its seed."""
    keras.utils.set_random_seed(recipe.training.seed)
    image, probabilities = build_network(recipe.training.architecture, image_shape, classes)
    model = CompressedTraining(image, probabilities, name=recipe.training.architecture.lower())
    model.compression = recipe.compression
    return model


@dataclass(frozen=True)
class Schedule:
    """How many steps a training takes, and how many of them are done.

    Attributes:
        epochs: that the recipe asks for.
        steps_per_epoch: batches of the training images, the last one perhaps smaller.
        steps: that are done in all.
    """

    epochs: int
    steps_per_epoch: int
    steps: int

    @property
    def in_full(self) -> bool:
        """Whether every epoch is done to its end."""
        return self.steps == self.epochs * self.steps_per_epoch

    @property
    def full_epochs(self) -> int:
        """Epochs that are done to their end."""
        return self.steps // self.steps_per_epoch


def plan_schedule(training: Training, images: int) -> Schedule:
    """All epochs over that many images, or fewer steps where the recipe has a maximum."""
    steps_per_epoch = -(-images // training.batch_size)
    whole = training.epochs * steps_per_epoch
    return Schedule(training.epochs, steps_per_epoch, min(whole, training.maximum_steps or whole))


def train(model: CompressedTraining, recipe: Recipe, data: LabelledImages, progress: Progress) -> list[manifest.Epoch]:
    """Train in place by SGD with momentum and categorical cross-entropy (paper 000, section III).

    Returns:
        The training curve, an entry for each epoch that was done to its end, measured with the compressed weights.
    """
    training = recipe.training
    schedule = plan_schedule(training, len(data.training_labels))
    model.compile(
        optimizer=keras.optimizers.SGD(_learning_rate(training, schedule), momentum=training.momentum),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,  # XLA's convolutions pass by oneDNN on CPUs and are slower there
    )
    report = _Report(schedule, progress)
    model.fit(
        _batches(data.training_images, data.training_labels, training.batch_size, training.seed),
        validation_data=_batches(data.test_images, data.test_labels, 256, None),
        validation_freq=list(range(1, schedule.full_epochs + 1)),
        epochs=-(-schedule.steps // schedule.steps_per_epoch),
        shuffle=False,  # the batches are shuffled already
        callbacks=[report],
        verbose=0,
    )
    return report.curve


def _learning_rate(training: Training, schedule: Schedule) -> Any:
    if training.learning_rate_schedule == "Constant":
        return training.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        training.learning_rate, max(1, schedule.epochs * schedule.steps_per_epoch)
    )


def _batches(images: NDArray[np.uint8], labels: NDArray[np.int32], batch_size: int, seed: int | None) -> Any:
    """Batches of float32 pixels 0..255; shuffled anew each epoch when a seed is given."""
    dataset = tf.data.Dataset.from_tensor_slices((images, labels))
    if seed is not None:
        dataset = dataset.shuffle(len(labels), seed=seed, reshuffle_each_iteration=True)
    batched = dataset.batch(batch_size)
    return batched.map(lambda image, label: (tf.cast(image, tf.float32), label)).prefetch(2)


def zeros_percent(model: CompressedTraining) -> float:
    """Share of the compressed kernels' weights that are zero."""
    kernels = [variable for variable in model.trainable_variables if is_kernel(variable)]
    codes = (np.asarray(floor_rule(variable.value, model.compression).codes) for variable in kernels)
    nonzero = sum(int(np.count_nonzero(kernel)) for kernel in codes)
    return 100.0 * (1 - nonzero / sum(int(np.prod(variable.shape)) for variable in kernels))


class _Report(keras.callbacks.Callback):  # type: ignore[misc]
    """Says every few seconds how far training is, keeps the curve, and ends training after the schedule's steps."""

    def __init__(self, schedule: Schedule, progress: Progress) -> None:
        super().__init__()
        self.curve: list[manifest.Epoch] = []
        self._schedule, self._progress = schedule, progress
        self._epoch = 0
        self._first_done = self._reported = self._epoch_begun = time.monotonic()
        self._epoch_seconds = 0.0

    @override
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch
        self._epoch_begun = time.monotonic()

    @override
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now, schedule = time.monotonic(), self._schedule
        if batch + 1 == schedule.steps_per_epoch:
            self._epoch_seconds = now - self._epoch_begun
        done = self._epoch * schedule.steps_per_epoch + batch + 1
        if done == schedule.steps:
            self.model.stop_training = True
        if done == 1:
            self._first_done = now  # the first step also compiles the graph, and tells nothing of the others
        elif now - self._reported >= _SECONDS_BETWEEN_REPORTS:
            self._report_step(batch, (done - 1) / (now - self._first_done), schedule.steps - done, logs)

    def _report_step(self, batch: int, rate: float, steps_left: int, logs: Any) -> None:
        eta, accuracy, zeros = int(steps_left / rate), 100 * float(logs["accuracy"]), zeros_percent(self.model)
        self._tell(
            f"  step {batch + 1}/{self._schedule.steps_per_epoch}  accuracy {accuracy:.1f} %  zeros {zeros:.1f} %"
            f"  {rate:.1f} steps/s  ETA {eta // 60}:{eta % 60:02}",
            steps_per_second=round(rate, 3),
            eta_seconds=eta,
            accuracy_percent=round(accuracy, 2),
            zeros_percent=round(zeros, 2),
        )

    @override
    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if time.monotonic() - self._reported >= _SECONDS_BETWEEN_REPORTS:
            self._tell(f"  batch {batch + 1} of the test images")

    @override
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        accuracy, zeros = 100 * float(logs["accuracy"]), zeros_percent(self.model)
        text = f"loss {logs['loss']:.4f}, accuracy {accuracy:.2f} %"
        facts = {"accuracy_percent": round(accuracy, 2), "zeros_percent": round(zeros, 2)}
        if epoch >= self._schedule.full_epochs:
            whole = self._schedule.epochs * self._schedule.steps_per_epoch
            self._tell(f" ended after {self._schedule.steps} of {whole} steps: {text}, zeros {zeros:.2f} %", **facts)
            return
        entry = manifest.Epoch(
            epoch=epoch + 1,
            loss=float(logs["loss"]),
            accuracy_percent=accuracy,
            test_accuracy_percent=100 * float(logs["val_accuracy"]),
            zeros_percent=zeros,
            steps_per_second=self._schedule.steps_per_epoch / self._epoch_seconds,
        )
        self.curve.append(entry)
        self._tell(f" done: {text}, test {entry.test_accuracy_percent:.2f} %, zeros {zeros:.2f} %", **facts)

    def _tell(self, text: str, **facts: Any) -> None:
        self._reported = time.monotonic()
        epoch, epochs = self._epoch + 1, self._schedule.epochs
        message = f"epoch {epoch}/{epochs}{text}"
        self._progress(BuildProgress(phase="Training", epoch=epoch, epochs=epochs, message=message, **facts))
