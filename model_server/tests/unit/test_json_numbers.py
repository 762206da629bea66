import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_server.json_numbers import format_floats, format_rows, format_tensor


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.2, "0.2"),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (9e6, "9e+06"),
        (3e-5, "3e-05"),
        (123456.0, "123456.0"),
        (16777217.0, "16777216.0"),
        (1 / 3, "0.333333343"),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (3.4028235e38, "3.40282347e+38"),
    ],
)
def test_float32_is_printed_as_tensorflow_serving_prints_it(value, text):
    assert format_floats(np.array([value], np.float32)) == [text]


@pytest.mark.parametrize(("value", "text"), [(0.1, "0.1"), (1 / 3, "0.33333333333333331"), (1e300, "1e+300")])
def test_float64_has_up_to_17_digits(value, text):
    assert format_floats(np.array([value], np.float64)) == [text]


@given(st.floats(width=32, allow_nan=False))
def test_float32_is_restored_exactly(value):
    assert np.float32(json.loads(format_floats(np.array([value], np.float32))[0])) == np.float32(value)


def test_lists_are_nested_as_the_shape_says():
    assert format_tensor(np.arange(4, dtype=np.int32).reshape(2, 1, 2)) == "[[[0, 1]], [[2, 3]]]"
    assert format_tensor(np.array(5, np.int64)) == "5"
    assert format_tensor(np.zeros((2, 0), np.float32)) == "[[], []]"
    assert format_tensor(np.array([True, False])) == "[true, false]"


def test_rows_are_the_items_of_the_first_dimension():
    assert format_rows(np.array([[1.0, 2.0], [3.0, 4.5]], np.float32)) == ["[1.0, 2.0]", "[3.0, 4.5]"]
    assert format_rows(np.array([1, 2], np.int32)) == ["1", "2"]


def test_strings_are_text_or_base64():
    array = np.array([b'a"b', "ä".encode()], dtype=object)
    assert format_tensor(array) == '["a\\"b", "ä"]'
    assert format_tensor(array, as_bytes=True) == '[{"b64": "YSJi"}, {"b64": "w6Q="}]'
