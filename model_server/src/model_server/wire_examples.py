"""REST's JSON bodies of classify and regress <-> messages. Pure; the texts of refusals are TensorFlow Serving's."""

import json
from typing import Any

import numpy as np

from model_server._protos.tensorflow.core.example import example_pb2, feature_pb2
from model_server._protos.tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2
from model_server.errors import InvalidArgumentError
from model_server.json_numbers import format_floats
from model_server.wire_rest import RequestBody, decode_base64, format_json_type, is_base64, quote_value

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
_LARGEST_INT64, _LARGEST_UINT64 = 2**63 - 1, 2**64 - 1


def parse_examples(body: RequestBody) -> input_pb2.Input:
    """The body's examples, with the context that they share where there is one.

    Raises:
        InvalidArgumentError: There are no examples, or a value that no feature can hold.
    """
    document, message = body.document, input_pb2.Input()
    if "context" in document:
        _fill_example(document["context"], message.example_list_with_context.context)
    if "examples" not in document:
        raise InvalidArgumentError(
            f"JSON Value: {quote_value(document)} When method is classify, key 'examples' is expected and was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise InvalidArgumentError(
            f"JSON Value: {quote_value(document)} Expecting 'examples' value to be an list/array"
        )
    if not examples:
        raise InvalidArgumentError(f"JSON Value: {quote_value(document)} 'examples' value is an empty array")
    target: Any = message.example_list_with_context if "context" in document else message.example_list
    for example in examples:
        _fill_example(example, target.examples.add())
    return message


def _fill_example(value: Any, example: example_pb2.Example) -> None:
    if not isinstance(value, dict):
        raise InvalidArgumentError(f"Example must be JSON object but got JSON {format_json_type(value)}")
    for name, content in value.items():
        feature = example.features.feature[name]
        for item in content if isinstance(content, list) else [content]:
            _add_value(item, name, feature)


def _add_value(value: Any, name: str, feature: feature_pb2.Feature) -> None:
    """Whole numbers are int64, decimals float, booleans 0 or 1; a feature holds values of one kind only."""
    field, item = _sort_value(value, name)
    kind = feature.WhichOneof("kind")
    if kind not in {None, field}:
        raise InvalidArgumentError(f"Unexpected element type in feature: {name} expecting type: {_KINDS[kind]}")
    getattr(feature, field).value.append(item)


def _sort_value(value: Any, name: str) -> tuple[str, Any]:
    """The list that the value belongs to, and the value as that list takes it."""
    if isinstance(value, bool):
        return "int64_list", int(value)
    if isinstance(value, int):
        return _sort_integer(value, name)
    if isinstance(value, float):
        return "float_list", value
    if isinstance(value, str):
        return "bytes_list", value.encode("utf-8", errors="surrogatepass")
    if is_base64(value):
        return "bytes_list", decode_base64(value)
    raise InvalidArgumentError(f"Feature: {name} has element with unexpected JSON type: {format_json_type(value)}")


def _sort_integer(value: int, name: str) -> tuple[str, Any]:
    if _LARGEST_INT64 < value <= _LARGEST_UINT64:
        raise InvalidArgumentError(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    if -_LARGEST_INT64 - 1 <= value <= _LARGEST_INT64:
        return "int64_list", value
    try:
        # A parser with 64-bit integers and doubles takes a longer number for a double.
        return "float_list", float(value)
    except OverflowError as error:
        raise InvalidArgumentError(f"Feature: {name} has a number that is too large.") from error


def format_classifications(result: classification_pb2.ClassificationResult) -> str:
    """{"results": [[["label", score], ...], ...]}, one list for each example.

    Raises:
        InvalidArgumentError: There are none.
    """
    if not result.classifications:
        raise InvalidArgumentError("Cannot convert empty ClassificationResults to JSON")
    rows = []
    for found in result.classifications:
        scores = format_floats(np.array([one.score for one in found.classes], dtype=np.float32))
        labels = (json.dumps(one.label, ensure_ascii=False) for one in found.classes)
        rows.append("[" + ", ".join(f"[{label}, {score}]" for label, score in zip(labels, scores, strict=True)) + "]")
    return f'{{\n    "results": [{", ".join(rows)}]\n}}'


def format_regressions(result: regression_pb2.RegressionResult) -> str:
    """{"results": [number, ...]}, one for each example.

    Raises:
        InvalidArgumentError: There are none.
    """
    if not result.regressions:
        raise InvalidArgumentError("Cannot convert empty RegressionResults to JSON")
    numbers = format_floats(np.array([one.value for one in result.regressions], dtype=np.float32))
    return f'{{\n    "results": [{", ".join(numbers)}]\n}}'
