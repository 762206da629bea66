"""Which signatures a version serves: those of its saved_model.pb, bound to the tensors of its model.tflite."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from model_server import dtypes
from model_server._protos.tensorflow.core.framework import types_pb2
from model_server._protos.tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from model_server.engine import DEFAULT_SIGNATURE, GraphSignature, Tensor
from model_server.errors import LoadError
from model_server.example_spec import METHODS, ExampleSpec, Feature

EXAMPLES_INPUT = "inputs"
CLASSES_OUTPUT = "classes"
SCORES_OUTPUT = "scores"
REGRESSION_OUTPUT = "outputs"
# TensorFlow 2 calls the outputs of a signature so; the names say nothing, and differ from file to file.
_ANONYMOUS = ("StatefulPartitionedCall", "PartitionedCall", "Identity")
PREDICT_METHOD = "tensorflow/serving/predict"


@dataclass(frozen=True)
class Signature:
    """A signature as clients know it, and the names that the engine has for its inputs and outputs.

    Where the input is a serialised example, `features` says what is taken out of it, by the engine's names; `inputs`
    then holds the one input's alias only.
    """

    name: str
    definition: meta_graph_pb2.SignatureDef
    graph_key: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    features: dict[str, Feature] = field(default_factory=dict)
    feature_tensors: dict[str, str] = field(default_factory=dict)

    @cached_property
    def input_dtypes(self) -> dict[str, dtypes.Dtype]:
        """The dtypes that the inputs are served with."""
        return {alias: dtypes.BY_NUMBER[self.definition.inputs[alias].dtype] for alias in self.inputs}

    @cached_property
    def all_outputs(self) -> list[str]:
        """The outputs that are answered where a request names none."""
        return sorted(self.outputs)

    def input_dtype(self, alias: str) -> dtypes.Dtype:
        """The dtype that this input is served with."""
        return self.input_dtypes[alias]


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
    definitions: Mapping[str, meta_graph_pb2.SignatureDef],
    graph: Mapping[str, GraphSignature],
    examples: Mapping[str, ExampleSpec] | None = None,
) -> dict[str, Signature]:
    """Bind each definition that the graph can answer; without any, the graph's own signatures are served.

    Args:
        definitions: those of saved_model.pb.
        graph: those of model.tflite.
        examples: the features of those whose input is a serialised example.

    Raises:
        LoadError: There are definitions, and the graph can answer none of them; or it has no tensor for a feature.
    """
    specs = dict(examples or {})
    if not definitions:
        own = {key: _own_signature(key, signature) for key, signature in graph.items()}
        return own | {name: _bind_own_examples(name, spec, graph) for name, spec in specs.items()}
    alone = sum(bool(definition.inputs) for definition in definitions.values()) == 1
    bound = {
        name: signature
        for name, definition in definitions.items()
        if (signature := _bind(name, definition, graph, specs.get(name), only_definition=alone)) is not None
    }
    if not bound:
        raise LoadError(
            f"The signatures {{{','.join(sorted(definitions))}}} of saved_model.pb match none of model.tflite's"
            f" {{{','.join(sorted(graph))}}}: export both from one model."
        )
    return bound


def _bind(
    name: str,
    definition: meta_graph_pb2.SignatureDef,
    graph: Mapping[str, GraphSignature],
    spec: ExampleSpec | None,
    *,
    only_definition: bool,
) -> Signature | None:
    """The signature over the graph of its own name, or else over one whose tensors have the names of its own.

    What is the only one may have another name where nothing else can be meant; otherwise a signature for another output
    of the same SavedModel would be answered with this one.
    """
    if not definition.inputs:
        return None
    for key in [name] if name in graph else graph:
        sure = name == key or only_definition
        if spec is not None:
            bound = _bind_examples(name, definition, key, graph, spec, sure=sure)
        else:
            bound = _bind_tensors(name, definition, key, graph[key], sure=sure)
        if bound is not None:
            return bound
    return None


def _bind_tensors(
    name: str, definition: meta_graph_pb2.SignatureDef, key: str, graph: GraphSignature, *, sure: bool
) -> Signature | None:
    inputs = _match(definition.inputs, graph.inputs, only_one=sure)
    outputs = _match(definition.outputs, graph.outputs, only_one=sure)
    if inputs is None or outputs is None or len(inputs) != len(graph.inputs):
        return None
    served = _copy(definition)
    # What LiteRT takes and gives is the truth: a file with int8 inputs stands beside a float SavedModel.
    for alias, own_name in inputs.items():
        served.inputs[alias].dtype = _dtype_number(graph.inputs[own_name])
    _set_output_dtypes(served, outputs, graph)
    return Signature(name, served, key, inputs, outputs)


def _copy(definition: meta_graph_pb2.SignatureDef) -> meta_graph_pb2.SignatureDef:
    copied = meta_graph_pb2.SignatureDef()
    copied.CopyFrom(definition)
    return copied


def _set_output_dtypes(served: meta_graph_pb2.SignatureDef, outputs: Mapping[str, str], graph: GraphSignature) -> None:
    for alias, own_name in outputs.items():
        served.outputs[alias].dtype = _dtype_number(graph.outputs[own_name])


def _bind_examples(
    name: str,
    definition: meta_graph_pb2.SignatureDef,
    key: str,
    graph: Mapping[str, GraphSignature],
    spec: ExampleSpec,
    *,
    sure: bool,
) -> Signature | None:
    """The signature whose one input stays a string for its clients, and becomes the graph's inputs here.

    Raises:
        LoadError: The features do not fit the inputs of the only graph that can be meant.
    """
    if len(definition.inputs) != 1:
        return None
    only_graph = len(graph) == 1
    served = _copy(definition)
    outputs = _match_example_outputs(served, graph[key], sure=sure, only_graph=only_graph)
    if outputs is None and CLASSES_OUTPUT in served.outputs:
        # Labels are made of strings, which converters often leave out; the scores are still worth serving.
        del served.outputs[CLASSES_OUTPUT]
        outputs = _match_example_outputs(served, graph[key], sure=sure, only_graph=only_graph)
    if not outputs:
        return None
    try:
        tensors = _match_features(name, spec, graph[key], only_one=sure or only_graph)
    except LoadError:
        if sure or only_graph:
            raise
        return None
    _set_output_dtypes(served, outputs, graph[key])
    (alias,) = served.inputs
    return Signature(name, served, key, {alias: alias}, outputs, spec.features, tensors)


def _match_example_outputs(
    served: meta_graph_pb2.SignatureDef, graph: GraphSignature, *, sure: bool, only_graph: bool
) -> dict[str, str] | None:
    """As `_match`; where only the specification says that the graph is meant, names that say something must agree."""
    names = [info.name for info in served.outputs.values()] + [one.tensor_name for one in graph.outputs.values()]
    anonymous = any(name.startswith(_ANONYMOUS) for name in names)
    return _match(served.outputs, graph.outputs, only_one=sure or (only_graph and anonymous))


def _match_features(name: str, spec: ExampleSpec, graph: GraphSignature, *, only_one: bool) -> dict[str, str]:
    """Feature -> the engine's name, for exactly the engine's inputs.

    Raises:
        LoadError: A feature has no input, an input no feature, or a kind of numbers that the input does not take.
    """
    found: dict[str, str] = {}
    for feature in spec.features:
        own_name = feature if feature in graph.inputs else _find_tensor(feature, graph.inputs.items())
        if own_name is None and only_one and len(spec.features) == len(graph.inputs) == 1:
            own_name = next(iter(graph.inputs))
        if own_name is None:
            raise LoadError(
                f"The feature {feature} of the signature {name} feeds no input of model.tflite: it has"
                f" {{{','.join(sorted(graph.inputs))}}}."
            )
        given, taken = spec.features[feature].dtype, graph.inputs[own_name].dtype
        if given.numpy.kind != taken.kind and not (given.numpy.kind == "i" and taken.kind == "u"):
            raise LoadError(
                f"The feature {feature} of the signature {name} is {given.name}, but model.tflite takes {taken} there."
            )
        found[feature] = own_name
    if set(found.values()) != graph.inputs.keys():
        raise LoadError(
            f"The features {{{','.join(sorted(found))}}} of the signature {name} do not feed every input of"
            f" model.tflite: it has {{{','.join(sorted(graph.inputs))}}}."
        )
    return found


def _bind_own_examples(name: str, spec: ExampleSpec, graph: Mapping[str, GraphSignature]) -> Signature:
    """A signature of examples for a file that stands alone; its one output is called as its method wants it.

    Raises:
        LoadError: The file has no signature of this name, or of another one only.
    """
    key = name if name in graph else next(iter(graph)) if len(graph) == 1 else None
    if key is None:
        raise LoadError(f"model.tflite has no signature {name}: it has {{{','.join(sorted(graph))}}}.")
    definition = _own_signature(key, graph[key]).definition
    definition.method_name = spec.method_name
    definition.inputs.clear()
    strings = definition.inputs[EXAMPLES_INPUT]
    strings.dtype = types_pb2.DT_STRING
    strings.tensor_shape.dim.add().size = -1
    if len(definition.outputs) == 1:
        (own_output,) = definition.outputs
        alias = REGRESSION_OUTPUT if spec.method_name == METHODS["regress"] else SCORES_OUTPUT
        if own_output not in {alias, CLASSES_OUTPUT}:
            definition.outputs[alias].CopyFrom(definition.outputs[own_output])
            del definition.outputs[own_output]
    bound = _bind_examples(name, definition, key, graph, spec, sure=True)
    if bound is None:
        raise LoadError(f"The signature {name} of model.tflite has no outputs.")
    return bound


def _match(aliases: Mapping[str, Any], tensors: Mapping[str, Tensor], *, only_one: bool) -> dict[str, str] | None:
    """Alias -> the engine's name: by the same name, else by tensor name, else where allowed by being the only one."""
    found: dict[str, str] = {}
    for alias, info in aliases.items():
        name = alias if alias in tensors else _find_tensor(info.name, tensors.items())
        if name is None and only_one and len(aliases) == len(tensors) == 1:
            name = next(iter(tensors))
        if name is None or (info.dtype == types_pb2.DT_STRING) != tensors[name].dtype.hasobject:
            return None
        found[alias] = name
    return found if len(set(found.values())) == len(found) else None


def _find_tensor(tensor_name: str, tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    wanted = {tensor_name, tensor_name.removesuffix(":0"), f"{tensor_name}:0"}
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
