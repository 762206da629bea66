import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from model_artifact.ordering import Order, format_ordered, parse_ordered, plan_order


@given(arrays.arrays(np.int16, arrays.array_shapes(max_dims=4, max_side=7)), st.data())
def test_any_order_is_undone(codes, data):
    axis = data.draw(st.integers(0, codes.ndim - 1))
    order = Order(
        axis, bytes(data.draw(st.lists(st.integers(0, 255), min_size=codes.shape[axis], max_size=codes.shape[axis])))
    )
    flat = format_ordered(codes, order)
    assert flat.shape == (codes.size,)
    assert np.array_equal(parse_ordered(flat, codes.shape, order), codes)


@pytest.mark.parametrize(("shape", "axis"), [((0,), 0), ((3, 0), 1), ((0, 3), 1), ((3, 0), 0), ((2**40, 0), 1)])
def test_a_tensor_without_elements_has_any_order(shape, axis):
    empty = parse_ordered(np.empty(0, np.int8), shape, Order(axis, bytes(shape[axis])))
    assert (empty.shape, empty.dtype) == (shape, np.int8)


@pytest.mark.parametrize("rows", [63, 64, 65, 200])
def test_the_last_axis_is_undone_across_blocks_of_rows(rows):
    codes = np.random.default_rng(rows).integers(-128, 128, (rows, 5), np.int8)
    order = Order(1, b"\3\1\4\1\5")
    flat = format_ordered(codes, order)
    assert np.array_equal(flat.reshape(5, rows), codes.T[[1, 3, 0, 2, 4]])
    assert np.array_equal(parse_ordered(flat, codes.shape, order), codes)


def test_indices_of_one_class_keep_their_order():
    codes = np.arange(6, dtype=np.int8).reshape(3, 2)
    assert format_ordered(codes, Order(0, b"\1\0\1")).tolist() == [2, 3, 0, 1, 4, 5]
    assert format_ordered(codes, Order(1, b"\7\2")).tolist() == [1, 3, 5, 0, 2, 4]
    assert format_ordered(codes, None).tolist() == [0, 1, 2, 3, 4, 5]


def test_equal_channels_are_left_as_they_are(make_codes):
    assert plan_order(make_codes(1.25, 8, (512, 512))) is None
    assert plan_order(np.zeros((512, 512), np.int8)) is None


@pytest.mark.parametrize("value", [0, 5, -128])
def test_weights_of_one_value_are_left_as_they_are(value):
    assert plan_order(np.full((128, 64), value, np.int8)) is None


@pytest.mark.parametrize("axis", [0, 1])
def test_channels_that_differ_are_found_among_few_samples_of_each(axis, make_codes):
    shape = (8192, 64) if axis else (64, 8192)
    assert plan_order(make_codes(2, 4, shape)) is None
    differing = make_codes(2, 4, (64, 8192), differing=0.5)
    assert plan_order(np.ascontiguousarray(differing.T) if axis else differing).axis == axis


def test_a_vector_has_no_channels(make_codes):
    assert plan_order(make_codes(1.25, 8, (70_000,))) is None


def test_classes_rise_with_the_magnitude():
    scales = np.repeat([64, 1, 8], 20)
    codes = (np.random.default_rng(0).integers(-1, 2, (60, 400)) * scales[:, None]).astype(np.int8)
    order = plan_order(codes)
    assert order.axis == 0
    lowest, middle, highest = (set(order.classes[part : part + 20]) for part in (20, 40, 0))
    assert max(lowest) < min(middle) <= max(middle) < min(highest)
