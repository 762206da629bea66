import json
import math

import pytest

from model_server._protos.tensorflow_serving.apis import classification_pb2, regression_pb2
from model_server.errors import InvalidArgumentError
from model_server.wire_examples import format_classifications, format_regressions, parse_examples
from model_server.wire_rest import parse_body


def parse(text):
    return parse_examples(parse_body(text.encode()))


def lists(example):
    return {
        name: (kind := feature.WhichOneof("kind"), list(getattr(feature, kind).value))
        for name, feature in example.features.feature.items()
    }


def test_values_choose_their_lists():
    (example,) = parse(
        '{"examples": [{"i": 1, "f": 1.0, "b": [true, false], "s": "a", "e": {"b64": "/w=="}, "n": [0.5, NaN]}]}'
    ).example_list.examples
    found = lists(example)
    assert math.isnan(found.pop("n")[1][1])
    assert found == {
        "i": ("int64_list", [1]),
        "f": ("float_list", [1.0]),
        "b": ("int64_list", [1, 0]),
        "s": ("bytes_list", [b"a"]),
        "e": ("bytes_list", [b"\xff"]),
    }


def test_context_is_kept_apart():
    message = parse('{"context": {"n": 1}, "examples": [{"x": 1.5}, {}]}').example_list_with_context
    assert lists(message.context) == {"n": ("int64_list", [1])}
    assert [lists(example) for example in message.examples] == [{"x": ("float_list", [1.5])}, {}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "JSON Value: {} When method is classify, key 'examples' is expected and was not found"),
        ('{"examples": 1}', "JSON Value: {\"examples\": 1} Expecting 'examples' value to be an list/array"),
        ('{"examples": []}', "JSON Value: {\"examples\": []} 'examples' value is an empty array"),
        ('{"examples": [1]}', "Example must be JSON object but got JSON Number"),
        ('{"context": [], "examples": [{}]}', "Example must be JSON object but got JSON Array"),
        ('{"examples": [{"x": null}]}', "Feature: x has element with unexpected JSON type: Null"),
        ('{"examples": [{"x": [[1]]}]}', "Feature: x has element with unexpected JSON type: Array"),
        ('{"examples": [{"x": {"b": 1}}]}', "Feature: x has element with unexpected JSON type: Object"),
        ('{"examples": [{"x": [1, 2.5]}]}', "Unexpected element type in feature: x expecting type: int64"),
        ('{"examples": [{"x": ["a", 1]}]}', "Unexpected element type in feature: x expecting type: bytes"),
        ('{"examples": [{"x": 18446744073709551615}]}', "Feature: x has uint64_t element. Only int64_t is supported."),
    ],
)
def test_refusals_have_their_texts(text, message):
    with pytest.raises(InvalidArgumentError) as error:
        parse(text)
    assert str(error.value) == message


def test_number_too_large_for_an_integer_is_a_float():
    (example,) = parse('{"examples": [{"x": 100000000000000000000}]}').example_list.examples
    assert lists(example) == {"x": ("float_list", [pytest.approx(1e20)])}


def test_results_are_lists():
    result = classification_pb2.ClassificationResult()
    for scores in ([("left", 0.5), ("ä", 1.0)], [("", 0.1)]):
        item = result.classifications.add()
        for label, score in scores:
            item.classes.add(label=label, score=score)
    text = format_classifications(result)
    assert json.loads(text) == {"results": [[["left", 0.5], ["ä", 1.0]], [["", 0.1]]]}
    assert '["ä", 1.0]' in text
    numbers = regression_pb2.RegressionResult(regressions=[{"value": 2.0}, {"value": float("inf")}])
    assert format_regressions(numbers) == '{\n    "results": [2.0, Infinity]\n}'


@pytest.mark.parametrize(
    ("render", "empty"),
    [
        (format_classifications, classification_pb2.ClassificationResult()),
        (format_regressions, regression_pb2.RegressionResult()),
    ],
)
def test_no_results_are_refused(render, empty):
    with pytest.raises(InvalidArgumentError, match=r"^Cannot convert empty "):
        render(empty)
