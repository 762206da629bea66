"""Trains a network with the compression rule in every compiled step."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from model_artifact import manifest
from model_artifact.manifest import Surroundings
from model_artifact.recipe import Compression, Recipe
from model_builder.architectures import build_network
from model_builder.channels import plan_channels
from model_builder.checkpoint import Checkpoints
from model_builder.dataset import LabelledImages
from model_builder.given_model import make_logits
from model_builder.interruption import Interruption
from model_builder.masters import Histogram, decode_histogram
from model_builder.memory import explain_memory
from model_builder.progress import Progress
from model_builder.rules import Compressed, compress, keep_channels, prune
from model_builder.run import Run
from model_builder.schedule import plan_schedule
from model_builder.step import is_kernel

__all__ = ["CompressedTraining", "build_model", "is_kernel", "plan_schedule", "train", "zeros_percent"]


class CompressedTraining(keras.Model):  # type: ignore[misc]
    """A network, and what the rule made of its kernels."""

    compression: Compression
    kernels: dict[str, Compressed] | None = None
    """Of a training; absent before."""
    masters: tuple[Histogram, ...] = ()
    """Of the float kernels before they were replaced by code x step; empty where training kept none."""
    trained_on: tuple[Surroundings, ...] | None = None
    """What the training ran on; absent before, and where older versions began it."""

    def compressed_kernels(self) -> dict[str, Compressed]:
        """Each kernel as it is deployed, by the variable's path, in the network's order."""
        if self.kernels is not None:
            return dict(self.kernels)
        made = {}
        for layer, (place, kept, _) in enumerate(looked := list(self._look())):
            kernel = self.trainable_variables[place]
            made[kernel.path] = compress(kernel.value, self.compression.for_layer(layer, len(looked)), channels=kept)
        return made

    def silence_channels(self) -> None:
        """Zero the biases and normalisations of the channels that are pruned as a whole, as training does."""
        for _, kept, others in self._look():
            for place in others:
                variable = self.trainable_variables[place]
                variable.assign(prune(variable.value, kept))

    def _look(self) -> Iterator[tuple[int, Any, tuple[int, ...]]]:
        """Of each kernel: its place, which channels are kept (None: all), and the places of what goes with them."""
        places = [place for place, variable in enumerate(self.trainable_variables) if is_kernel(variable)]
        sparsity = self.compression.channel_sparsity
        prunable = [None] * len(places) if sparsity is None else plan_channels(self, places, self.compression)
        for place, channels in zip(places, prunable, strict=True):
            if channels is None:
                yield place, None, ()
            else:
                yield place, keep_channels(self.trainable_variables[place].value, sparsity), channels.others


def build_model(
    recipe: Recipe, image_shape: tuple[int, int, int], classes: int, *, given: Any = None
) -> CompressedTraining:
    """The recipe's network, in float32 and with softmax: with fresh weights from its seed, or as it is given."""
    training = recipe.training
    keras.utils.clear_session()  # else the names of the layers count on from those of earlier builds
    keras.utils.set_random_seed(training.seed)
    if training.architecture is None:
        image, probabilities = given.inputs[0], given.outputs[0]
    else:
        image, probabilities = build_network(training.architecture, image_shape, classes, recipe=training.recipe)
    model = CompressedTraining(image, probabilities, name=training.network_name.lower())
    model.compression = recipe.compression
    return model


def train(
    model: CompressedTraining,
    recipe: Recipe,
    data: LabelledImages,
    progress: Progress,
    *,
    checkpoints: Checkpoints | None = None,
    interruption: Interruption | None = None,
) -> list[manifest.Epoch]:
    """Train the model from the weights that it has, by gradient descent with momentum and cross-entropy.

    Args:
        model: gets the masters (or, where they are overwritten, the compressed weights) and the deployed kernels.
        recipe: how.
        data: what on.
        progress: told every few seconds how far it is.
        checkpoints: where the training saves itself and goes on from; absent: nowhere.
        interruption: looked at after each step; when the end was asked for, the training saves itself and ends.

    Returns:
        The training curve, an entry for each epoch that was done to its end, measured with the compressed weights.

    Raises:
        TrainingError: when the loss is no number, memory does not suffice, what is saved does not fit, or the end was
            asked for.
    """
    with explain_memory("build the network"):
        network = build_step_network(model, recipe)
    run = Run(network, recipe, data, progress, checkpoints=checkpoints, interruption=interruption)
    outcome = run.go()
    _set_values(model.trainable_variables, outcome.weights)
    _set_values(model.non_trainable_variables, outcome.fixed)
    paths = (variable.path for variable in model.trainable_variables if is_kernel(variable))
    model.kernels = dict(zip(paths, outcome.kernels, strict=True))
    if outcome.masters:
        model.masters = tuple(map(decode_histogram, model.kernels, outcome.masters))
    model.trained_on = outcome.trained_on
    return list(outcome.curve)


def build_step_network(model: CompressedTraining, recipe: Recipe) -> Any:
    """The same network as it trains: in the recipe's precision, and giving logits, with the model's weights."""
    training = recipe.training
    keras.utils.set_random_seed(training.seed)
    if training.architecture is None:
        return make_logits(model)
    image, logits = build_network(
        training.architecture,
        tuple(model.input_shape[1:]),
        model.output_shape[-1],
        recipe=training.recipe,
        precision=training.precision,
        logits=True,
    )
    network = keras.Model(image, logits)
    _set_values(network.trainable_variables, [variable.value for variable in model.trainable_variables])
    return network


def _set_values(variables: list[Any], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def zeros_percent(model: CompressedTraining) -> float:
    """Share of the compressed kernels' weights that are zero."""
    codes = [np.asarray(kernel.codes) for kernel in model.compressed_kernels().values()]
    return 100.0 * (1 - sum(int(np.count_nonzero(kernel)) for kernel in codes) / sum(kernel.size for kernel in codes))
