"""Runs steps on a backend: compiles them, keeps the state and the data on the device, and gives both back as arrays."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from model_builder.backend import check_backend
from model_builder.objective import Tally
from model_builder.rules import Compressed
from model_builder.schedule import Pruning
from model_builder.step import State, Step

Arrays = dict[str, list[NDArray[Any]]]
"""A state as NumPy arrays."""

EVALUATED_AT_ONCE = 256
"""Images to measure in one call; fewer where an answer is not one class, as large images are."""


class Steps(NamedTuple):
    """What some steps in a row take; the first axis counts the steps.

    Attributes:
        batches: int32, shape (s, n): which training images.
        shifts: int32, shape (s, n, 3): how to augment them; absent: not.
        rates: float32, shape (s,): learning rates.
        prunings: of float32, shape (s,): how hard each prunes.
    """

    batches: NDArray[np.int32]
    shifts: NDArray[np.int32] | None
    rates: NDArray[np.float32]
    prunings: Pruning


class Sums(NamedTuple):
    """What was added up since an epoch began.

    Attributes:
        loss: over the images.
        tally: what the objective counts.
        images: that were trained on.
        kept: weights that pruning left in the last step; 0 where that is not counted.
    """

    loss: float
    tally: Tally
    images: float
    kept: float


class Engine(ABC):
    """A training on one device."""

    steps_a_call: int
    """How many steps one call of `run` should take."""

    def __init__(self, step: Step, images: NDArray[np.uint8], labels: NDArray[Any]) -> None:
        self.step = step
        self.images, self.labels = self._put(images), self._put(labels)
        weights = [self._put(np.asarray(variable.value)) for variable in step.network.trainable_variables]
        fixed = [self._put(np.asarray(variable.value)) for variable in step.network.non_trainable_variables]
        self.state: State = step.begin(weights, fixed)

    @property
    @abstractmethod
    def accelerator(self) -> str | None:
        """The name of the device that computes; None where it is the processor."""

    @abstractmethod
    def _put(self, array: NDArray[Any] | np.float32) -> Any:
        """A copy of the array on the device."""

    @abstractmethod
    def run(self, steps: Steps) -> None:
        """Take the steps."""

    @abstractmethod
    def _answer(self, forward: Sequence[Any], fixed: Sequence[Any], images: Any, labels: Any) -> Any:
        """What the objective counts of the answers to the images, compiled."""

    @abstractmethod
    def _compute(self, function: Any, *arguments: Any) -> Any:
        """`function(*arguments)`, compiled where that pays."""

    def begin_epoch(self, *, overwrite: bool, pruning: Pruning) -> None:
        """Set the sums to zero, and the weights to C where the recipe compresses once an epoch."""
        if overwrite:
            self.state = self._compute(self.step.overwrite_floats, self.state, _narrow(pruning))
        shapes = (), self.step.objective.tally_shape, ()
        nothing = [self._put(np.zeros(shape, np.float32)) for shape in shapes]
        self.state = {**self.state, "sums": [*nothing, self.state["sums"][3]]}

    def freeze(self, pruning: Pruning) -> None:
        """Keep the mask of now."""
        self.state = self._compute(self.step.freeze, self.state, _narrow(pruning))

    def read_sums(self) -> Sums:
        """What was added up since the epoch began."""
        loss, tally, images, kept = (np.asarray(number) for number in self.state["sums"])
        return Sums(float(loss), tally, float(images), float(kept))

    def deploy(self, pruning: Pruning) -> list[Compressed]:
        """What each kernel is when training ends now, on the device."""
        made = self._compute(self.step.deployed, self.state, _narrow(pruning))
        return [Compressed(*kernel) for kernel in made]

    def count_nonzero(self, kernels: Sequence[Compressed]) -> int:
        """How many weights of deployed kernels are not zero."""
        return sum(int(np.asarray(ops.count_nonzero(kernel.codes))) for kernel in kernels)

    def deployed_weights(self, kernels: Sequence[Compressed], pruning: Pruning) -> list[Any]:
        """All trainable values with code x step for the kernels, which `deploy` gave for the same pruning."""
        weights = list(self._compute(self.step.silence, self.state, _narrow(pruning)))
        for index, kernel in zip(self.step.kernels, kernels, strict=True):
            weights[index] = kernel.weights
        return weights

    def count(self, weights: Sequence[Any], images: NDArray[np.uint8], labels: NDArray[Any]) -> Iterator[Tally]:
        """What the objective counts of the weights' answers, batch by batch, in float64."""
        classifies = self.step.training.task == "Classification"
        at_once = EVALUATED_AT_ONCE if classifies else min(EVALUATED_AT_ONCE, self.step.training.batch_size)
        for begin in range(0, len(labels), at_once):
            end = begin + at_once
            tally = self._answer(weights, self.state["fixed"], images[begin:end], labels[begin:end])
            yield np.asarray(tally, np.float64)

    def read_state(self) -> Arrays:
        """The state as NumPy arrays."""
        return {name: [np.asarray(value) for value in values] for name, values in self.state.items()}

    def load_state(self, state: Arrays) -> None:
        """Go on from a state that `read_state` gave."""
        self.state = {name: [self._put(value) for value in values] for name, values in state.items()}

    def _infer(self, forward: Sequence[Any], fixed: Sequence[Any], images: Any, labels: Any) -> Any:
        answers, _ = self.step.network.stateless_call(
            list(forward), list(fixed), ops.cast(images, "float32"), training=False
        )
        return self.step.objective.count(ops.cast(answers, "float32"), labels)


def _narrow(pruning: Pruning) -> Pruning:
    return Pruning(*map(np.float32, pruning))


def make_engine(step: Step, images: NDArray[np.uint8], labels: NDArray[Any]) -> Engine:
    """The engine of the backend that Keras runs on.

    Raises:
        BuildError: when training does not run on it.
    """
    backend = keras.backend.backend()
    check_backend(backend)
    if backend == "jax":
        from model_builder.jax_engine import JaxEngine

        return JaxEngine(step, images, labels)
    from model_builder.tensorflow_engine import TensorFlowEngine

    return TensorFlowEngine(step, images, labels)
