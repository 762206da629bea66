"""Steps on JAX: many steps in one compiled scan, data and state on the device, the old state's memory reused."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from model_builder.engine import Engine, Steps
from model_builder.step import Batch, State, Step

STEPS_A_CALL = 64
"""On accelerators, where a step takes no longer than its dispatch. On CPUs one, to report and to end soon."""


class JaxEngine(Engine):
    """A training in this process on JAX's default device."""

    def __init__(self, step: Step, images: NDArray[Any], labels: NDArray[Any]) -> None:
        super().__init__(step, images, labels)
        self.steps_a_call = 1 if jax.default_backend() == "cpu" else STEPS_A_CALL
        self._train = jax.jit(self._train_many, donate_argnums=0)
        self._infer_compiled = jax.jit(self._infer)
        self._compiled = cache(jax.jit)

    @property
    @override
    def accelerator(self) -> str | None:
        return None if jax.default_backend() == "cpu" else str(jax.devices()[0].device_kind)

    @override
    def _put(self, array: NDArray[Any] | np.float32) -> Any:
        return jnp.array(array)

    @override
    def run(self, steps: Steps) -> None:
        self.state = jax.block_until_ready(self._train(self.state, self.images, self.labels, steps))

    def _train_many(self, state: State, images: Any, labels: Any, steps: Steps) -> State:
        def train_once(before: State, step: Steps) -> tuple[State, None]:
            chosen = [jnp.take(array, step.batches, axis=0) for array in (images, labels)]
            after = self.step.train(
                _gradient, before, Batch(chosen[0], chosen[1], step.shifts), rate=step.rates, pruning=step.prunings
            )
            return after, None

        after: State = jax.lax.scan(train_once, state, steps)[0]
        return after

    @override
    def _answer(self, forward: Sequence[Any], fixed: Sequence[Any], images: Any, labels: Any) -> Any:
        return self._infer_compiled(list(forward), list(fixed), images, labels)

    @override
    def _compute(self, function: Any, *arguments: Any) -> Any:
        return self._compiled(function)(*arguments)


def _gradient(function: Callable[[list[Any]], tuple[Any, Any]], weights: list[Any]) -> tuple[Any, list[Any]]:
    (loss, rest), gradients = jax.value_and_grad(function, has_aux=True)(weights)
    return (loss, rest), gradients
