"""Steps on TensorFlow: one compiled call a step.

XLA compiles what a rule does to each weight, which it fuses into one pass over memory, and nothing else: its
convolutions are slower on CPUs.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from typing_extensions import override

from model_builder.engine import Engine, Steps
from model_builder.schedule import Pruning
from model_builder.step import Batch, State, Step


class TensorFlowEngine(Engine):
    """A training in this process on TensorFlow."""

    steps_a_call = 1

    def __init__(self, step: Step, images: NDArray[Any], labels: NDArray[Any], *, jit_compile: bool = False) -> None:
        super().__init__(replace(step, fuse=cache(_fuse)), images, labels)
        self._train = tf.function(self._train_once, jit_compile=jit_compile, autograph=False)
        self._infer_compiled = tf.function(self._infer, jit_compile=jit_compile, autograph=False, reduce_retracing=True)

    @property
    @override
    def accelerator(self) -> str | None:
        found = tf.config.list_physical_devices("GPU")
        return str(tf.config.experimental.get_device_details(found[0]).get("device_name", "GPU")) if found else None

    @override
    def _put(self, array: NDArray[Any] | np.float32) -> Any:
        return tf.convert_to_tensor(array)

    @override
    def run(self, steps: Steps) -> None:
        for index in range(len(steps.rates)):
            shifts = None if steps.shifts is None else tf.constant(steps.shifts[index])
            pruning = Pruning(*(tf.constant(part[index]) for part in steps.prunings))
            numbers = tf.constant(steps.rates[index]), pruning
            self.state = self._train(self.state, tf.constant(steps.batches[index]), shifts, *numbers)

    def _train_once(self, state: State, batch: Any, shifts: Any, rate: Any, pruning: Any) -> State:
        images, labels = tf.gather(self.images, batch), tf.gather(self.labels, batch)
        return self.step.train(_gradient, state, Batch(images, labels, shifts), rate=rate, pruning=pruning)

    @override
    def _answer(self, forward: Sequence[Any], fixed: Sequence[Any], images: Any, labels: Any) -> Any:
        return self._infer_compiled(list(forward), list(fixed), tf.constant(images), tf.constant(labels))

    @override
    def _compute(self, function: Any, *arguments: Any) -> Any:
        return function(*arguments)  # done seldom, and what takes long of it is fused


def _fuse(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled once for each shape of kernel, however many there are.

    A trace for each is what is wanted; TensorFlow warns of many calls that trace, and not of traces that are asked for.
    """
    traced = tf.function(function, jit_compile=True, autograph=False)
    return lambda *tensors: traced.get_concrete_function(*tensors)(*tensors)


def _gradient(function: Callable[[list[Any]], tuple[Any, Any]], weights: list[Any]) -> tuple[Any, list[Any]]:
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss, rest = function(weights)
    return (loss, rest), tape.gradient(loss, weights)
