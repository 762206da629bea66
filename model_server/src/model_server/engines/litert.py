"""LiteRT with XNNPACK: interpreters over one mapped file.

Inputs are checked before LiteRT sees them. With its XNNPACK kernels a convolution given an input of another rank reads
past the buffer instead of refusing it, so a shape that the file does not declare goes to one interpreter with LiteRT's
plain kernels, whose preparation checks ranks and sizes. Weights of a type that a kernel does not have are refused
before LiteRT sees the file, since it would read them as numbers of another size.

An interpreter never forgets what it said: its message on a failure is all its messages so far, one behind the other.
So each is told without those before it, and an interpreter that has said much is made anew.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from model_server.engine import (
    DEFAULT_SIGNATURE,
    Array,
    GraphSignature,
    Observe,
    Tensor,
    check_inputs,
    describe_refusal,
    format_cause,
    ignore_times,
)
from model_server.engines.open_file import OpenFile
from model_server.errors import LoadError, UnavailableError
from model_server.memory import release_mapped, use_huge_pages
from model_server.weight_types import check_weights
from model_server.worker_pool import WorkerPool

_LONGEST_SAID = 64 * 1024


class LiteRtEngine:
    """Answers from any thread; as many requests run at once as there are interpreters, up to `workers`."""

    def __init__(self, model_file: Path, *, workers: int, threads: int) -> None:
        """Map the file and prepare the first interpreter.

        Raises:
            LoadError: LiteRT cannot read the file or run its graph.
        """
        check_weights(model_file)
        self._model_file = model_file
        self._threads = threads
        self._opened = OpenFile(model_file)
        self._careful = CarefulGraph(self._opened)
        self._closed = False
        first = self._load()
        self.signatures: dict[str, GraphSignature] = first.signatures
        self._pool = WorkerPool(first, self._load, workers)

    def run(
        self,
        signature: str,
        inputs: dict[str, Array],
        timeout_seconds: float | None = None,
        observe: Observe = ignore_times,
    ) -> dict[str, Array]:
        """As `Engine.run`."""
        tensors = self.signatures[signature].inputs
        check_inputs(tensors, inputs)
        if self._closed:
            raise UnavailableError("The version is being unloaded: send the request again.")
        if not all(tensors[name].declares(array.shape) for name, array in inputs.items()):
            return self._careful.run(signature, inputs, timeout_seconds, observe)
        return self._pool.run(lambda graph: graph.run(signature, inputs), timeout_seconds, observe)

    def give_up(self) -> None:
        """As `Engine.give_up`."""
        self._pool.close()
        self._careful.give_up()

    def close(self) -> None:
        """Let go of every interpreter; call it when no request is under way."""
        self._closed = True
        self._careful.close()
        self._pool.close()
        self._opened.close()

    def _load(self) -> "_LoadedGraph":
        return _LoadedGraph(self._opened, self._threads, prepared=self._let_go_of_file)

    def _let_go_of_file(self) -> None:
        # The kernels have packed copies of the weights now: what the file holds is read again only where they need it.
        release_mapped(self._model_file)
        use_huge_pages()


class CarefulGraph:
    """LiteRT's plain kernels, for shapes that a file does not declare; prepared when the first such request comes."""

    def __init__(self, opened: OpenFile) -> None:
        """Of this file, which is closed with it."""
        self._opened = opened
        # Its one worker is the turn to use the graph.
        self._turns: WorkerPool[None] = WorkerPool(None, lambda: None, limit=1)
        self._graph: _LoadedGraph | None = None

    def run(
        self, signature: str, inputs: dict[str, Array], timeout_seconds: float | None, observe: Observe
    ) -> dict[str, Array]:
        """All outputs of the signature; preparing the graph counts as the run.

        Raises:
            InvalidArgumentError: The graph cannot take a shape.
            DeadlineExceededError: Others used it for all of the time.
            UnavailableError: It is closed.
        """
        return self._turns.run(
            lambda _: (self._graph or self._load(inputs)).run(signature, inputs), timeout_seconds, observe
        )

    def _load(self, inputs: dict[str, Array]) -> "_LoadedGraph":
        try:
            self._graph = _LoadedGraph(self._opened, 1, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        except LoadError as error:
            # The file's own shapes are answered all the same.
            raise describe_refusal(inputs, str(error)) from error
        return self._graph

    def give_up(self) -> None:
        """Nobody waits for the graph any more."""
        self._turns.close()

    def close(self) -> None:
        """Let go of the interpreter."""
        self._turns.close()
        self._graph = None
        self._opened.close()


class _LoadedGraph:
    """One interpreter; used by one thread at a time."""

    def __init__(
        self,
        opened: OpenFile,
        threads: int,
        resolver: OpResolverType = OpResolverType.BUILTIN,
        prepared: Callable[[], None] = lambda: None,
    ) -> None:
        self._opened = opened
        self._threads = threads
        self._resolver = resolver
        self._prepared = prepared
        self._said = ""
        self._runners = self._prepare()
        self.signatures = _describe(self._runners)

    def run(self, signature: str, inputs: dict[str, Array]) -> dict[str, Array]:
        """All outputs of the signature."""
        try:
            outputs: dict[str, Array] = self._runners[signature](**inputs)
        except (ValueError, RuntimeError) as error:
            cause = str(error).removeprefix(self._said)
            self._remember(str(error))
            raise describe_refusal(inputs, cause) from None
        return outputs

    def _prepare(self) -> dict[str, Any]:
        try:
            with self._opened.name() as name:
                interpreter = Interpreter(
                    str(name), num_threads=self._threads, experimental_op_resolver_type=self._resolver
                )
            # A graph with an operation that LiteRT does not know, or that cannot be prepared, fails here. Later this
            # call would be refused, since signature runners hold on to the interpreter's inside.
            interpreter.allocate_tensors()
            runners = _read_runners(interpreter)
        except (ValueError, RuntimeError) as error:
            raise LoadError(f"{self._opened.file} cannot be run by LiteRT: {format_cause(error)}.") from error
        self._prepared()
        return runners

    def _remember(self, said: str) -> None:
        self._said = said
        if len(said) > _LONGEST_SAID:
            self._runners = self._prepare()
            self._said = ""


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


def read_signatures(model_file: Path) -> dict[str, GraphSignature]:
    """The signatures of the file, without preparing its graph.

    Raises:
        LoadError: LiteRT cannot read the file.
    """
    try:
        interpreter = Interpreter(str(model_file), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
        return _describe(_read_runners(interpreter))
    except (ValueError, RuntimeError) as error:
        raise LoadError(f"{model_file} cannot be read by LiteRT: {format_cause(error)}.") from error


def _read_runners(interpreter: Interpreter) -> dict[str, Any]:
    keys = list(interpreter.get_signature_list())
    return {key: interpreter.get_signature_runner(key) for key in keys} or {
        DEFAULT_SIGNATURE: _UnsignedRunner(interpreter)
    }


def _describe(runners: dict[str, Any]) -> dict[str, GraphSignature]:
    return {
        key: GraphSignature(_tensors(runner.get_input_details()), _tensors(runner.get_output_details()))
        for key, runner in runners.items()
    }


def _tensors(details: dict[str, Any]) -> dict[str, Tensor]:
    return {
        name: Tensor(
            detail["name"],
            np.dtype(object) if detail["dtype"] in {np.bytes_, np.object_} else np.dtype(detail["dtype"]),
            tuple(int(size) for size in detail["shape_signature"]),
        )
        for name, detail in details.items()
    }
