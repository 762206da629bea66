"""The one module that runs LiteRT: a pool of interpreters over one mapped file, ndarrays in and ndarrays out.

Inputs are checked before LiteRT sees them. With its XNNPACK kernels a convolution given an input of another rank reads
past the buffer instead of refusing it, so a shape that the file does not declare goes to one interpreter with LiteRT's
plain kernels, whose preparation checks ranks and sizes.
"""

import math
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from model_server.errors import DeadlineExceededError, InvalidArgumentError, LoadError, UnavailableError

Array = NDArray[np.generic]

DEFAULT_SIGNATURE = "serving_default"
# LiteRT counts sizes in 32 bits.
LARGEST_SIZE = 2**31 - 1


@dataclass(frozen=True)
class Tensor:
    """An input or output as the file declares it; -1 stands for a size that requests choose."""

    tensor_name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    def declares(self, shape: tuple[int, ...]) -> bool:
        """Whether the shape has the declared rank and sizes; the batch (dimension 0) is always free."""
        return len(shape) == len(self.shape) and all(
            declared in {-1, size} for declared, size in zip(self.shape[1:], shape[1:], strict=True)
        )


@dataclass(frozen=True)
class GraphSignature:
    """One signature of the file: names to tensors."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class Engine:
    """Answers from any thread; as many requests run at once as there are interpreters."""

    def __init__(self, model_file: Path, *, interpreters: int, threads: int) -> None:
        """Map the file and prepare the interpreters.

        Raises:
            LoadError: LiteRT cannot read the file or run its graph.
        """
        self._model_file = model_file
        self._threads = threads
        self._careful: _LoadedGraph | None = None
        self._careful_lock = threading.Lock()
        self._closed = False
        graphs = [_LoadedGraph(model_file, threads) for _ in range(interpreters)]
        self.signatures: dict[str, GraphSignature] = graphs[0].signatures
        # Last in, first out: a lightly loaded server keeps using the interpreter whose memory is in the caches.
        self._idle: queue.LifoQueue[_LoadedGraph] = queue.LifoQueue()
        for graph in graphs:
            self._idle.put(graph)

    def run(self, signature: str, inputs: dict[str, Array], timeout_seconds: float | None = None) -> dict[str, Array]:
        """The graph's outputs; inputs are those of the signature, each of the tensor's dtype.

        Raises:
            InvalidArgumentError: A dtype differs, or the graph cannot take a shape.
            DeadlineExceededError: No interpreter became free within the time.
            UnavailableError: The engine is closed.
        """
        tensors = self.signatures[signature].inputs
        for name, array in inputs.items():
            _check_input(name, tensors[name], array)
        if self._closed:
            raise UnavailableError("The version is being unloaded: send the request again.")
        declared = all(tensors[name].declares(array.shape) for name, array in inputs.items())
        with self._checked_out(timeout_seconds) if declared else self._checked_out_careful() as graph:
            return graph.run(signature, inputs)

    def close(self) -> None:
        """Let go of every interpreter; call it when no request is under way."""
        self._closed = True
        self._careful = None
        while not self._idle.empty():
            self._idle.get_nowait()

    @contextmanager
    def _checked_out(self, timeout_seconds: float | None) -> Iterator["_LoadedGraph"]:
        try:
            graph = self._idle.get(timeout=None if timeout_seconds is None else max(timeout_seconds, 0.0))
        except queue.Empty:
            raise DeadlineExceededError("No interpreter became free within the request's time.") from None
        try:
            yield graph
        finally:
            self._idle.put(graph)

    @contextmanager
    def _checked_out_careful(self) -> Iterator["_LoadedGraph"]:
        with self._careful_lock:
            if self._careful is None:
                self._careful = _LoadedGraph(
                    self._model_file, self._threads, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                )
            yield self._careful


class _LoadedGraph:
    """One interpreter; used by one thread at a time."""

    def __init__(self, model_file: Path, threads: int, resolver: OpResolverType = OpResolverType.BUILTIN) -> None:
        try:
            interpreter = Interpreter(str(model_file), num_threads=threads, experimental_op_resolver_type=resolver)
            # A graph with an operation that LiteRT does not know, or that cannot be prepared, fails here. Later this
            # call would be refused, since signature runners hold on to the interpreter's inside.
            interpreter.allocate_tensors()
            keys = list(interpreter.get_signature_list())
            runners = {key: interpreter.get_signature_runner(key) for key in keys}
            self._runners: dict[str, Any] = runners or {DEFAULT_SIGNATURE: _UnsignedRunner(interpreter)}
        except (ValueError, RuntimeError) as error:
            raise LoadError(f"{model_file} cannot be run by LiteRT: {_one_line(error)}.") from error
        self.signatures = {
            key: GraphSignature(_tensors(runner.get_input_details()), _tensors(runner.get_output_details()))
            for key, runner in self._runners.items()
        }

    def run(self, signature: str, inputs: dict[str, Array]) -> dict[str, Array]:
        """All outputs of the signature."""
        try:
            outputs: dict[str, Array] = self._runners[signature](**inputs)
        except (ValueError, RuntimeError) as error:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in inputs.items())
            raise InvalidArgumentError(f"The graph cannot take the shapes {shapes}: {_one_line(error)}.") from error
        return outputs


class _UnsignedRunner:
    """LiteRT's signature runner for a file that has no signatures: tensor names, cut at ":", are the names."""

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        self._inputs = {detail["name"].split(":")[0]: detail for detail in interpreter.get_input_details()}
        self._outputs = {detail["name"].split(":")[0]: detail for detail in interpreter.get_output_details()}

    def get_input_details(self) -> dict[str, Any]:
        return self._inputs

    def get_output_details(self) -> dict[str, Any]:
        return self._outputs

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        for name, array in inputs.items():
            self._interpreter.resize_tensor_input(self._inputs[name]["index"], list(array.shape))
        self._interpreter.allocate_tensors()
        for name, array in inputs.items():
            self._interpreter.set_tensor(self._inputs[name]["index"], array)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(detail["index"]) for name, detail in self._outputs.items()}


def _tensors(details: dict[str, Any]) -> dict[str, Tensor]:
    return {
        name: Tensor(
            detail["name"],
            np.dtype(object) if detail["dtype"] in {np.bytes_, np.object_} else np.dtype(detail["dtype"]),
            tuple(int(size) for size in detail["shape_signature"]),
        )
        for name, detail in details.items()
    }


def _check_input(name: str, tensor: Tensor, array: Array) -> None:
    if array.dtype != tensor.dtype:
        raise InvalidArgumentError(f'input "{name}" has dtype {array.dtype}, but the model takes {tensor.dtype}.')
    if math.prod(max(size, 1) for size in array.shape) > LARGEST_SIZE:
        raise InvalidArgumentError(f'input "{name}" has the shape {list(array.shape)}, which is too large.')


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
