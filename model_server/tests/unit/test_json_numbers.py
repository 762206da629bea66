import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_server.json_numbers import BLOCK_VALUES, cut_blocks, format_floats, format_rows, format_tensor


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


@pytest.mark.parametrize(
    "shape", [(BLOCK_VALUES + 1,), (3, BLOCK_VALUES), (2, 3, BLOCK_VALUES // 2), (1, BLOCK_VALUES + 5), (20_000, 1, 2)]
)
def test_large_arrays_are_the_same_text_in_blocks(shape):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 8
    assert json.loads(format_tensor(array)) == array.tolist()
    assert [json.loads(row) for row in format_rows(array)] == array.tolist()


def test_blocks_of_several_arrays_have_the_same_items():
    arrays = [np.arange(50_000), np.zeros((50_000, 7), np.float32), np.zeros((50_000, 0), np.float32)]
    blocks = list(cut_blocks(arrays))
    assert max(block[1].size for block in blocks) <= BLOCK_VALUES
    assert [np.concatenate(parts).shape for parts in zip(*blocks, strict=True)] == [each.shape for each in arrays]
    assert np.array_equal(np.concatenate([block[0] for block in blocks]), arrays[0])


def test_a_large_answer_takes_little_more_memory_than_its_text():
    array = np.arange(60_000, dtype=np.float32)
    tracemalloc.start()
    try:
        text = format_tensor(array)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The texts of a block, and the whole text twice; with those of all numbers it would be twice as much.
    assert len(text) > 500_000
    assert peak_bytes < 4_000_000
