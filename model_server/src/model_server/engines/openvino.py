"""OpenVINO on the same .tflite: one compiled model that answers one request at a time, with all processors.

OpenVINO computes a file with int8 weights and float activations in float32, unless the ranges of the activations are
known. They are measured on the golden inputs where the version carries some; whoever loads the engine must compare its
answers with the golden ones afterwards.

There is one stream only. With two, OpenVINO 2026.4 answers wrongly where weights are int8, activations float and the
batch free.
"""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from model_server.engine import (
    Array,
    GraphSignature,
    Observe,
    Tensor,
    check_inputs,
    describe_refusal,
    format_cause,
    ignore_times,
)
from model_server.engines.litert import CarefulGraph, read_signatures
from model_server.engines.open_file import OpenFile
from model_server.engines.openvino_ranges import measure_ranges, quantise_activations
from model_server.errors import LoadError, UnavailableError
from model_server.memory import release_free_memory, release_mapped, use_huge_pages
from model_server.weight_types import check_weights
from model_server.worker_pool import WorkerPool

# Fully connected layers with fewer non-zero weights than this keep them packed, where the processor can unpack them.
_SPARSE_FROM = 0.5


class OpenVinoEngine:
    """Answers from any thread, one request after the other; each may use `workers` times `threads` threads."""

    def __init__(self, model_file: Path, *, workers: int, threads: int, examples: Array | None = None) -> None:
        """Compile the first graph of the file; with `examples` its int8 layers take int8 activations.

        Raises:
            LoadError: OpenVINO cannot read the file or run its graph.
        """
        check_weights(model_file)
        self._closed = False
        self._careful = CarefulGraph(OpenFile(model_file))
        settings: dict[str, Any] = {
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": workers * threads,
            "CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE": _SPARSE_FROM,
            # Threads that are bound would all be bound to the same processor in pods that share a node.
            "ENABLE_CPU_PINNING": False,
        }
        self.signatures = {
            key: signature for key, signature in read_signatures(model_file).items() if _is_numeric(signature)
        }
        try:
            core = ov.Core()
            model = core.read_model(model_file)
            if examples is not None and len(model.inputs) == 1:
                quantise_activations(model, measure_ranges(core, model_file, examples))
            compiled = core.compile_model(model, "CPU", settings)
            del model
            first = _Request(compiled, self.signatures)
        except (RuntimeError, ValueError) as error:
            raise LoadError(f"{model_file} cannot be run by OpenVINO: {format_cause(error)}.") from error
        self._shapes = first.shapes
        self._pool = WorkerPool(first, lambda: first, limit=1)
        release_mapped(model_file)
        release_free_memory()
        use_huge_pages()

    def run(
        self,
        signature: str,
        inputs: dict[str, Array],
        timeout_seconds: float | None = None,
        observe: Observe = ignore_times,
    ) -> dict[str, Array]:
        """As `Engine.run`."""
        check_inputs(self.signatures[signature].inputs, inputs)
        if self._closed:
            raise UnavailableError("The version is being unloaded: send the request again.")
        # Given a shape that its graph does not have, OpenVINO repeats its last answer without an error.
        if not self._takes(signature, inputs):
            return self._careful.run(signature, inputs, timeout_seconds, observe)
        return self._pool.run(lambda request: request.run(signature, inputs), timeout_seconds, observe)

    def give_up(self) -> None:
        """As `Engine.give_up`."""
        self._pool.close()
        self._careful.give_up()

    def close(self) -> None:
        """Let go of the requests; call it when none is under way."""
        self._closed = True
        self._careful.close()
        self._pool.close()

    def _takes(self, signature: str, inputs: dict[str, Array]) -> bool:
        return all(_fits(self._shapes[signature][name], array.shape) for name, array in inputs.items())


class _Request:
    """One inference request; used by one thread at a time."""

    def __init__(self, compiled: Any, signatures: dict[str, GraphSignature]) -> None:
        self._request = compiled.create_infer_request()
        self._ports: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        for key, signature in signatures.items():
            ports = _find_ports(signature.inputs, compiled.inputs), _find_ports(signature.outputs, compiled.outputs)
            # OpenVINO reads the first graph of a file: the signatures of others have no tensors in it.
            if None not in ports[0].values() and None not in ports[1].values():
                self._ports[key] = ports
        for key in set(signatures) - self._ports.keys():
            del signatures[key]
        if not self._ports:
            raise ValueError("none of its signatures is of its first graph, with numbers in and out")
        self.shapes = {
            key: {name: _read_shape(port) for name, port in inputs.items()} for key, (inputs, _) in self._ports.items()
        }

    def run(self, signature: str, inputs: dict[str, Array]) -> dict[str, Array]:
        """All outputs of the signature, as copies."""
        input_ports, output_ports = self._ports[signature]
        try:
            # A read-only array is copied by OpenVINO, others are read where they are.
            results = self._request.infer(
                {input_ports[name]: np.ascontiguousarray(array) for name, array in inputs.items()}
            )
        except (RuntimeError, ValueError, TypeError) as error:
            raise describe_refusal(inputs, str(error)) from error
        return {name: np.array(results[port]) for name, port in output_ports.items()}


def _read_shape(port: Any) -> tuple[int, ...]:
    return tuple(-1 if size.is_dynamic else size.get_length() for size in port.get_partial_shape())


def _fits(compiled: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(compiled) == len(shape) and all(size in {-1, given} for size, given in zip(compiled, shape, strict=True))


def _is_numeric(signature: GraphSignature) -> bool:
    tensors = (*signature.inputs.values(), *signature.outputs.values())
    return all(tensor.dtype.kind in "fiub" for tensor in tensors)


def _find_ports(tensors: dict[str, Tensor], ports: list[Any]) -> dict[str, Any]:
    """The compiled model's port of each tensor, or None where it has none of its name."""
    names = [(port, {name.removesuffix(":0") for name in port.get_names()}) for port in ports]
    return {
        name: next((port for port, known in names if tensor.tensor_name.removesuffix(":0") in known), None)
        for name, tensor in tensors.items()
    }
