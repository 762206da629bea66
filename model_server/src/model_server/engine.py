"""What an engine is: ndarrays in and ndarrays out, from any thread. The runtimes stand in `engines`, one file each."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_server.errors import InvalidArgumentError

Array = NDArray[np.generic]
# Called with how long a request waited for its turn and how long the graph ran, in seconds.
Observe = Callable[[float, float], None]

DEFAULT_SIGNATURE = "serving_default"
# The runtimes count sizes in 32 bits.
LARGEST_SIZE = 2**31 - 1


@dataclass(frozen=True)
class Tensor:
    """An input or output as the file declares it; -1 stands for a size that requests choose."""

    tensor_name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    def declares(self, shape: tuple[int, ...]) -> bool:
        """Whether the shape has the declared rank and sizes; the batch (dimension 0) is always free."""
        # Nearly always equal as they stand, but for the batch.
        if shape[1:] == self.shape[1:]:
            return len(shape) == len(self.shape)
        return len(shape) == len(self.shape) and all(
            declared in {-1, size} for declared, size in zip(self.shape[1:], shape[1:], strict=True)
        )


@dataclass(frozen=True)
class GraphSignature:
    """One signature of the file: names to tensors."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


def ignore_times(waited_seconds: float, ran_seconds: float) -> None:
    """For who does not ask how long it took."""


class Engine(Protocol):
    """One loaded graph; as many requests run at once as it has workers."""

    signatures: dict[str, GraphSignature]

    def run(
        self,
        signature: str,
        inputs: dict[str, Array],
        timeout_seconds: float | None = None,
        observe: Observe = ignore_times,
    ) -> dict[str, Array]:
        """The graph's outputs; inputs are those of the signature, each of the tensor's dtype.

        Raises:
            InvalidArgumentError: A dtype differs, or the graph cannot take a shape.
            DeadlineExceededError: No worker became free within the time.
            UnavailableError: The engine is closed.
        """

    def give_up(self) -> None:
        """The process ends: nobody waits for a worker any more, neither those who do now nor those who come.

        What is being run goes on.
        """

    def close(self) -> None:
        """Let go of everything; call it when no request is under way."""


def check_inputs(tensors: dict[str, Tensor], inputs: dict[str, Array]) -> None:
    """Refuse what a runtime might read past its end.

    Raises:
        InvalidArgumentError: A dtype is not the tensor's, or a shape has more items than can be counted.
    """
    for name, array in inputs.items():
        if array.dtype != tensors[name].dtype:
            raise InvalidArgumentError(
                f'input "{name}" has dtype {array.dtype}, but the model takes {tensors[name].dtype}.'
            )
        if (array.size or math.prod(max(size, 1) for size in array.shape)) > LARGEST_SIZE:
            raise InvalidArgumentError(f'input "{name}" has the shape {list(array.shape)}, which is too large.')


def describe_refusal(inputs: dict[str, Array], cause: str) -> InvalidArgumentError:
    """The runtime's words on shapes that the graph cannot take."""
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in inputs.items())
    return InvalidArgumentError(f"The graph cannot take the shapes {shapes}: {format_cause(cause)}.")


def format_cause(cause: Exception | str) -> str:
    """A runtime's message on one line, at most 400 characters of it."""
    return " ".join(str(cause).split()).rstrip(".")[:400]
