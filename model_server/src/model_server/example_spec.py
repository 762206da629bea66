"""The features of the signatures whose input is a serialised tf.Example.

They stand beside the model, since LiteRT has no kernel for the operation that parses one.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_server import dtypes, versions
from model_server._protos.tensorflow.core.framework import types_pb2
from model_server.errors import LoadError

METHODS = {"classify": "tensorflow/serving/classify", "regress": "tensorflow/serving/regress"}
# What a feature can hold: the three kinds of list of a tf.Example.
_DTYPES = {
    dtype.name: dtype
    for dtype in map(dtypes.BY_NUMBER.get, (types_pb2.DT_FLOAT, types_pb2.DT_INT64, types_pb2.DT_STRING))
    if dtype is not None
}


@dataclass(frozen=True)
class Feature:
    """A feature of fixed length: its dtype, and its shape in one example."""

    dtype: dtypes.Dtype
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ExampleSpec:
    """The features of one signature by name, and the signature's method name."""

    method_name: str
    features: dict[str, Feature]


class _SpecError(Exception):
    """A part of the document that is not what it should be; the text says which."""


def read_example_specs(folder: Path) -> dict[str, ExampleSpec]:
    """The version folder's specs by signature name; empty where it has none.

    Raises:
        LoadError: The document cannot be read; the text says which part of it.
    """
    path = folder / versions.EXAMPLE_SPEC
    if not path.exists():
        return {}
    try:
        return parse_example_specs(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise LoadError(f"{path} cannot be read: {error}.") from error
    except _SpecError as problem:
        raise LoadError(f"{path} is no specification of examples: {problem}.") from problem


def parse_example_specs(document: Any) -> dict[str, ExampleSpec]:
    """The specs of {SIGNATURE: {"method": ..., "features": {NAME: {"dtype": ..., "shape": [...]}}}}."""
    return {name: _parse_spec(value, name) for name, value in _expect_object(document, "the whole of it").items()}


def _parse_spec(value: Any, where: str) -> ExampleSpec:
    signature = _expect_object(value, where, "method", "features")
    method = signature["method"]
    if not isinstance(method, str) or method not in METHODS:
        raise _SpecError(f"{where}.method is {json.dumps(method)}: write one of {', '.join(METHODS)}")
    features = _expect_object(signature["features"], f"{where}.features")
    if not features:
        raise _SpecError(f"{where}.features is empty: list those that its examples have")
    return ExampleSpec(
        METHODS[method], {name: _parse_feature(each, f"{where}.features.{name}") for name, each in features.items()}
    )


def _parse_feature(value: Any, where: str) -> Feature:
    feature = _expect_object(value, where, "dtype", "shape")
    dtype, shape = feature["dtype"], feature["shape"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise _SpecError(f"{where}.dtype is {json.dumps(dtype)}: write one of {', '.join(_DTYPES)}")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise _SpecError(f"{where}.shape is {json.dumps(shape)}: write a list of sizes, which are known beforehand")
    return Feature(_DTYPES[dtype], tuple(shape))


def _expect_object(value: Any, where: str, *keys: str) -> dict[str, Any]:
    """The value, which is an object; with exactly these keys, where any are given."""
    if not isinstance(value, dict):
        raise _SpecError(f"{where} is no object")
    if keys and value.keys() != set(keys):
        raise _SpecError(f"{where} has the keys {{{','.join(sorted(value))}}}: give {' and '.join(keys)}")
    return value
