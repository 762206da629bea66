import json

import numpy as np
import pytest

from model_server import dtypes
from model_server._protos.tensorflow.core.example import example_pb2
from model_server._protos.tensorflow.core.framework import types_pb2
from model_server._protos.tensorflow_serving.apis import input_pb2
from model_server.errors import InvalidArgumentError, LoadError
from model_server.example_spec import Feature, read_example_specs
from model_server.examples import as_objects, as_strings, parse_features, read_input

FLOAT = dtypes.BY_NUMBER[types_pb2.DT_FLOAT]
INT64 = dtypes.BY_NUMBER[types_pb2.DT_INT64]
STRING = dtypes.BY_NUMBER[types_pb2.DT_STRING]
FEATURES = {"x": Feature(FLOAT, (2, 1)), "n": Feature(INT64, ()), "s": Feature(STRING, (1,))}


def example(**lists):
    message = example_pb2.Example()
    for name, (kind, values) in lists.items():
        getattr(message.features.feature[name], kind).value.extend(values)
    return message


WHOLE = example(x=("float_list", [1.0, 2.0]), n=("int64_list", [2**40]), s=("bytes_list", [b"\xff"]))


@pytest.mark.parametrize("render", [as_objects, as_strings])
def test_features_become_arrays(render):
    arrays = parse_features(render([WHOLE, WHOLE]), FEATURES)
    assert {name: (array.shape, array.dtype.name) for name, array in arrays.items()} == {
        "x": ((2, 2, 1), "float32"),
        "n": ((2,), "int64"),
        "s": ((2, 1), "object"),
    }
    np.testing.assert_array_equal(arrays["x"][1], [[1.0], [2.0]])
    assert arrays["n"].tolist() == [2**40, 2**40]
    assert arrays["s"].tolist() == [[b"\xff"], [b"\xff"]]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({}, "Name: <unknown>, Feature: x (data type: float) is required but could not be found."),
        (
            {"x": ("int64_list", [1, 2])},
            "Name: <unknown>, Key: x, Index: 1.  Data types don't match. Data type: int64 but expected type: float",
        ),
        (
            {"x": ("float_list", [1.0])},
            (
                "Name: <unknown>, Key: x, Index: 1.  Number of float values != expected.  Values size: 1 but output"
                " shape: [2,1]"
            ),
        ),
    ],
)
def test_refusals_have_tensorflows_texts(lists, message):
    with pytest.raises(InvalidArgumentError) as error:
        parse_features(as_objects([WHOLE, example(**lists)]), {"x": FEATURES["x"]})
    assert str(error.value) == message


def test_what_is_no_example_is_refused():
    array = np.empty(1, dtype=object)
    array[0] = b"\xff\xff"
    with pytest.raises(InvalidArgumentError, match=r"value at index 0 is no tf.Example"):
        parse_features(array, FEATURES)


def test_own_features_win_over_the_context():
    context = example(x=("float_list", [0.0]), n=("int64_list", [1]))
    own = example(x=("float_list", [5.0, 6.0]))
    shared = input_pb2.ExampleListWithContext(examples=[own, example()], context=context)
    first, second = read_input(input_pb2.Input(example_list_with_context=shared))
    assert list(first.features.feature["x"].float_list.value) == [5.0, 6.0]
    assert list(first.features.feature["n"].int64_list.value) == [1]
    assert list(second.features.feature["x"].float_list.value) == [0.0]


@pytest.mark.parametrize(
    "message",
    [
        input_pb2.Input(),
        input_pb2.Input(example_list=input_pb2.ExampleList()),
        input_pb2.Input(example_list_with_context=input_pb2.ExampleListWithContext(context=WHOLE)),
    ],
)
def test_no_examples_are_refused(message):
    with pytest.raises(InvalidArgumentError, match=r"^Input is empty\.$"):
        read_input(message)


def write_spec(folder, document):
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra/example_spec.json").write_text(json.dumps(document))


def test_spec_is_read(models):
    specs = read_example_specs(models / "examples")
    assert {name: spec.method_name for name, spec in specs.items()} == {
        "classify": "tensorflow/serving/classify",
        "regress": "tensorflow/serving/regress",
        "regress_two": "tensorflow/serving/regress",
    }
    assert specs["regress_two"].features == {"x": Feature(FLOAT, (2,)), "n": Feature(INT64, ())}


def test_folder_without_a_spec_has_none(tmp_path):
    assert read_example_specs(tmp_path) == {}


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"s": {"method": "predict", "features": {}}}, 's.method is "predict": write one of classify, regress'),
        ({"s": {"method": ["regress"], "features": {}}}, "s.method is "),
        (
            {"s": {"method": "regress", "features": {"x": {"dtype": "DT_INT8", "shape": []}}}},
            's.features.x.dtype is "DT_INT8": write one of DT_FLOAT, DT_INT64, DT_STRING',
        ),
        (
            {"s": {"method": "regress", "features": {"x": {"dtype": "DT_FLOAT", "shape": [-1]}}}},
            "s.features.x.shape is",
        ),
        ({"s": {"method": "regress", "features": {"x": {"dtype": "DT_FLOAT", "shape": 1}}}}, "s.features.x.shape is 1"),
        ({"s": {"method": "regress", "features": {"x": {"dtype": "DT_FLOAT"}}}}, "s.features.x has the keys {dtype}"),
        (
            {"s": {"method": "regress", "features": {"x": {"dtype": "DT_FLOAT", "shape": [1], "default": [0]}}}},
            "s.features.x has the keys {default,dtype,shape}: give dtype and shape",
        ),
        ({"s": {"method": "regress", "features": {}}}, "s.features is empty"),
        ({"s": {"features": {}}}, "s has the keys {features}: give method and features"),
        ({"s": 1}, "s is no object"),
        ([], "the whole of it is no object"),
    ],
)
def test_spec_that_is_wrong_says_where(tmp_path, document, where):
    write_spec(tmp_path, document)
    with pytest.raises(LoadError) as error:
        read_example_specs(tmp_path)
    assert f"assets.extra/example_spec.json is no specification of examples: {where}" in str(error.value)


def test_spec_that_is_no_json_is_refused(tmp_path):
    write_spec(tmp_path, {})
    (tmp_path / "assets.extra/example_spec.json").write_bytes(b"\xff{")
    with pytest.raises(LoadError, match=r"example_spec.json cannot be read: "):
        read_example_specs(tmp_path)
