"""tf.Example -> ndarrays, as TensorFlow's ParseExample does it for features of fixed length. Pure."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from model_server._protos.tensorflow.core.example import example_pb2
from model_server._protos.tensorflow_serving.apis import input_pb2
from model_server.errors import InvalidArgumentError
from model_server.example_spec import Feature
from model_server.turns import check_work

Array = NDArray[np.generic]

_LISTS = {"bytes_list": "string", "float_list": "float", "int64_list": "int64"}


def read_input(message: input_pb2.Input) -> list[example_pb2.Example]:
    """The examples of a request, each with the context that they share; a feature of its own wins over the context's.

    Raises:
        InvalidArgumentError: There are none.
    """
    kind = message.WhichOneof("kind")
    examples = list(getattr(message, kind).examples) if kind else []
    if not examples:
        raise InvalidArgumentError("Input is empty.")
    if kind == "example_list":
        return examples
    check_work(len(examples) * message.example_list_with_context.context.ByteSize())
    merged = []
    for example in examples:
        whole = example_pb2.Example()
        whole.CopyFrom(message.example_list_with_context.context)
        whole.MergeFrom(example)
        merged.append(whole)
    return merged


def as_strings(examples: Sequence[example_pb2.Example]) -> Array:
    """The examples as a tensor of strings, shape (n,), each the serialised example."""
    return _objects([example.SerializeToString() for example in examples])


def as_objects(examples: Sequence[example_pb2.Example]) -> Array:
    """The examples themselves where a tensor of strings is expected: it saves writing and parsing them."""
    return _objects(list(examples))


def _objects(items: list[Any]) -> Array:
    array: Array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def parse_features(strings: Array, features: dict[str, Feature]) -> dict[str, Array]:
    """One array for each feature: shape (n, *shape) for n examples, serialised or not, of whatever shape (n,) has.

    Raises:
        InvalidArgumentError: An item is no example, or lacks a feature, or has it in another type or length.
    """
    examples = [_parse_example(item, index) for index, item in enumerate(strings.reshape(-1).tolist())]
    return {name: _stack(name, feature, examples) for name, feature in features.items()}


def _parse_example(item: Any, index: int) -> example_pb2.Example:
    if isinstance(item, example_pb2.Example):
        return item
    try:
        return example_pb2.Example.FromString(item)
    except DecodeError as error:
        raise InvalidArgumentError(
            f"Could not parse example input, value at index {index} is no tf.Example."
        ) from error


def _stack(name: str, feature: Feature, examples: list[example_pb2.Example]) -> Array:
    wanted = feature.dtype.short_name
    size = math.prod(feature.shape)
    values: list[Any] = []
    for index, example in enumerate(examples):
        found = example.features.feature.get(name)
        kind = found.WhichOneof("kind") if found is not None else None
        if found is None or kind is None:
            raise InvalidArgumentError(
                f"Name: <unknown>, Feature: {name} (data type: {wanted}) is required but could not be found."
            )
        place = f"Name: <unknown>, Key: {name}, Index: {index}.  "
        if _LISTS[kind] != wanted:
            raise InvalidArgumentError(
                f"{place}Data types don't match. Data type: {_LISTS[kind]} but expected type: {wanted}"
            )
        own = getattr(found, kind).value
        if len(own) != size:
            shape = ",".join(map(str, feature.shape))
            raise InvalidArgumentError(
                f"{place}Number of {wanted} values != expected.  Values size: {len(own)} but output shape: [{shape}]"
            )
        values.extend(own)
    array = _objects(values) if feature.dtype.numpy.hasobject else np.array(values, dtype=feature.dtype.numpy)
    return array.reshape(len(examples), *feature.shape)
