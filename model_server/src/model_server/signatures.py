"""Which signatures a version serves: those of its saved_model.pb, bound to the tensors of its model.tflite."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from model_server import dtypes
from model_server._protos.tensorflow.core.framework import types_pb2
from model_server._protos.tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from model_server.engine import DEFAULT_SIGNATURE, GraphSignature, Tensor
from model_server.errors import LoadError

PREDICT_METHOD = "tensorflow/serving/predict"


@dataclass(frozen=True)
class Signature:
    """A signature as clients know it, and the names that the engine has for its inputs and outputs."""

    name: str
    definition: meta_graph_pb2.SignatureDef
    graph_key: str
    inputs: dict[str, str]
    outputs: dict[str, str]

    def input_dtype(self, alias: str) -> dtypes.Dtype:
        """The dtype that this input is served with."""
        return dtypes.BY_NUMBER[self.definition.inputs[alias].dtype]


def read_definitions(saved_model: Path, tags: frozenset[str]) -> dict[str, meta_graph_pb2.SignatureDef]:
    """The signatures of the meta graph with these tags; empty when there is no saved_model.pb.

    Raises:
        LoadError: The file cannot be parsed, or has no such meta graph.
    """
    if not saved_model.exists():
        return {}
    try:
        document = saved_model_pb2.SavedModel.FromString(saved_model.read_bytes())
    except (DecodeError, OSError) as error:
        raise LoadError(f"{saved_model} is not a SavedModel: {error}.") from error
    for meta_graph in document.meta_graphs:
        if frozenset(meta_graph.meta_info_def.tags) == tags:
            return dict(meta_graph.signature_def)
    raise LoadError(f"{saved_model} has no meta graph with the tags {{{','.join(sorted(tags))}}}.")


def plan_signatures(
    definitions: Mapping[str, meta_graph_pb2.SignatureDef], graph: Mapping[str, GraphSignature]
) -> dict[str, Signature]:
    """Bind each definition that the graph can answer; without any, the graph's own signatures are served.

    Raises:
        LoadError: There are definitions, and the graph can answer none of them.
    """
    if not definitions:
        return {key: _own_signature(key, signature) for key, signature in graph.items()}
    bound = {
        name: signature
        for name, definition in definitions.items()
        if (signature := _bind(name, definition, graph)) is not None
    }
    if not bound:
        raise LoadError(
            f"The signatures {{{','.join(sorted(definitions))}}} of saved_model.pb match none of model.tflite's"
            f" {{{','.join(sorted(graph))}}}: export both from one model."
        )
    return bound


def _bind(name: str, definition: meta_graph_pb2.SignatureDef, graph: Mapping[str, GraphSignature]) -> Signature | None:
    key = name if name in graph else next(iter(graph)) if len(graph) == 1 else None
    if key is None or not definition.inputs:
        return None
    inputs = _match(definition.inputs, graph[key].inputs)
    outputs = _match(definition.outputs, graph[key].outputs)
    if inputs is None or outputs is None or len(inputs) != len(graph[key].inputs):
        return None
    served = meta_graph_pb2.SignatureDef()
    served.CopyFrom(definition)
    # What LiteRT takes and gives is the truth: a file with int8 inputs stands beside a float SavedModel.
    for alias, own_name in inputs.items():
        served.inputs[alias].dtype = _dtype_number(graph[key].inputs[own_name])
    for alias, own_name in outputs.items():
        served.outputs[alias].dtype = _dtype_number(graph[key].outputs[own_name])
    return Signature(name, served, key, inputs, outputs)


def _match(aliases: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, str] | None:
    """Alias -> the engine's name: by the same name, else by tensor name, else by being the only one."""
    found: dict[str, str] = {}
    for alias, info in aliases.items():
        name = alias if alias in tensors else _find_tensor(info.name, tensors.items())
        if name is None and len(aliases) == len(tensors) == 1:
            name = next(iter(tensors))
        if name is None:
            return None
        found[alias] = name
    return found if len(set(found.values())) == len(found) else None


def _find_tensor(tensor_name: str, tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    wanted = {tensor_name, tensor_name.removesuffix(":0")}
    return next((name for name, tensor in tensors if {name, tensor.tensor_name} & wanted), None)


def _own_signature(key: str, signature: GraphSignature) -> Signature:
    definition = meta_graph_pb2.SignatureDef(method_name=PREDICT_METHOD)
    for tensors, infos in ((signature.inputs, definition.inputs), (signature.outputs, definition.outputs)):
        for name, tensor in tensors.items():
            info = infos[name]
            info.name = tensor.tensor_name
            info.dtype = _dtype_number(tensor)
            for size in tensor.shape:
                info.tensor_shape.dim.add().size = size
    return Signature(
        key or DEFAULT_SIGNATURE,
        definition,
        key,
        {name: name for name in signature.inputs},
        {name: name for name in signature.outputs},
    )


def _dtype_number(tensor: Tensor) -> types_pb2.DataType:
    dtype = dtypes.BY_NUMPY.get(tensor.dtype)
    if dtype is None:
        raise LoadError(f"The tensor {tensor.tensor_name} has dtype {tensor.dtype}, which cannot be served.")
    return dtype.number
