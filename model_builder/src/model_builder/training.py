"""Training with the compression rule in every compiled step.

The float weights W are masters: the compressed weights C run forward, and the gradient with respect to C is applied to
W (paper 000, figure 1). Biases and normalisation stay float.
"""

import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from typing_extensions import override

from model_artifact import manifest
from model_artifact.recipe import Compression, Recipe, Training
from model_builder.architectures import build_network
from model_builder.dataset import LabelledImages, Progress
from model_builder.rules import Compressed, floor_rule

_SECONDS_BETWEEN_REPORTS = 5.0


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


def train(model: CompressedTraining, recipe: Recipe, data: LabelledImages, progress: Progress) -> list[manifest.Epoch]:
    """Train in place by SGD with momentum and categorical cross-entropy (paper 000, section III).

    Returns:
        The training curve, an entry an epoch, measured with the compressed weights.
    """
    training = recipe.training
    steps = -(-len(data.training_labels) // training.batch_size)
    model.compile(
        optimizer=keras.optimizers.SGD(_learning_rate(training, steps), momentum=training.momentum),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,  # XLA's convolutions pass by oneDNN on CPUs and are slower there
    )
    report = _Report(recipe, steps, progress)
    model.fit(
        _batches(data.training_images, data.training_labels, training.batch_size, training.seed),
        validation_data=_batches(data.test_images, data.test_labels, 256, None),
        epochs=training.epochs,
        shuffle=False,  # the batches are shuffled already
        callbacks=[report],
        verbose=0,
    )
    return report.curve


def _learning_rate(training: Training, steps: int) -> Any:
    if training.learning_rate_schedule == "Constant":
        return training.learning_rate
    return keras.optimizers.schedules.CosineDecay(training.learning_rate, max(1, steps * training.epochs))


def _batches(images: NDArray[np.uint8], labels: NDArray[np.int32], batch_size: int, seed: int | None) -> Any:
    """Batches of float32 pixels 0..255; shuffled anew each epoch when a seed is given."""
    dataset = tf.data.Dataset.from_tensor_slices((images, labels))
    if seed is not None:
        dataset = dataset.shuffle(len(labels), seed=seed, reshuffle_each_iteration=True)
    batched = dataset.batch(batch_size)
    return batched.map(lambda image, label: (tf.cast(image, tf.float32), label)).prefetch(2)


def zeros_percent(model: CompressedTraining) -> float:
    """Share of the compressed kernels' weights that are zero."""
    kernels = [np.asarray(kernel.codes) for kernel in model.compressed_kernels().values()]
    return 100.0 * sum(int(np.sum(codes == 0)) for codes in kernels) / sum(codes.size for codes in kernels)


class _Report(keras.callbacks.Callback):  # type: ignore[misc]
    """Says every few seconds how far training is, and keeps the curve."""

    def __init__(self, recipe: Recipe, steps: int, progress: Progress) -> None:
        super().__init__()
        self.curve: list[manifest.Epoch] = []
        self._epochs, self._steps, self._progress = recipe.training.epochs, steps, progress
        self._epoch = 0
        self._begun = self._reported = self._epoch_begun = time.monotonic()
        self._epoch_seconds = 0.0

    @override
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch
        self._epoch_begun = time.monotonic()

    @override
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.monotonic()
        if batch + 1 == self._steps:
            self._epoch_seconds = now - self._epoch_begun
        if now - self._reported < _SECONDS_BETWEEN_REPORTS:
            return
        self._reported = now
        done = self._epoch * self._steps + batch + 1
        rate = done / (now - self._begun)
        eta = (self._epochs * self._steps - done) / rate
        self._progress(
            f"epoch {self._epoch + 1}/{self._epochs}  step {batch + 1}/{self._steps}"
            f"  accuracy {100 * logs['accuracy']:.1f} %  zeros {zeros_percent(self.model):.1f} %"
            f"  {rate:.1f} steps/s  ETA {int(eta) // 60}:{int(eta) % 60:02}"
        )

    @override
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        entry = manifest.Epoch(
            epoch=epoch + 1,
            loss=float(logs["loss"]),
            accuracy_percent=100 * float(logs["accuracy"]),
            test_accuracy_percent=100 * float(logs["val_accuracy"]),
            zeros_percent=zeros_percent(self.model),
            steps_per_second=self._steps / self._epoch_seconds,
        )
        self.curve.append(entry)
        self._progress(
            f"epoch {entry.epoch}/{self._epochs} done: loss {entry.loss:.4f}, accuracy {entry.accuracy_percent:.2f} %,"
            f" test {entry.test_accuracy_percent:.2f} %, zeros {entry.zeros_percent:.2f} %"
        )
