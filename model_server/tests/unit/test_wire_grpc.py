import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from model_server._protos.tensorflow.core.framework import tensor_pb2, types_pb2
from model_server.dtypes import BY_NUMPY
from model_server.errors import InvalidArgumentError
from model_server.wire_grpc import parse_tensor, render_tensor

NUMERIC = sorted(str(dtype) for dtype in BY_NUMPY if not dtype.hasobject)


def message(dtype, shape, **fields):
    proto = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in shape:
        proto.tensor_shape.dim.add().size = size
    return proto


def refusal(proto):
    with pytest.raises(InvalidArgumentError) as error:
        parse_tensor("x", proto)
    return str(error.value)


@given(
    st.sampled_from(NUMERIC).flatmap(
        lambda name: npst.arrays(np.dtype(name), npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ),
    st.booleans(),
)
def test_tensor_survives_the_wire(array, as_content):
    proto = tensor_pb2.TensorProto()
    render_tensor(array, proto, as_content=as_content)
    restored = parse_tensor("x", tensor_pb2.TensorProto.FromString(proto.SerializeToString()))
    assert restored.dtype == array.dtype
    assert restored.shape == array.shape
    np.testing.assert_array_equal(restored, array)


def test_answers_are_typed_values():
    proto = tensor_pb2.TensorProto()
    render_tensor(np.array([[1.5], [2.5]], np.float32), proto)
    assert list(proto.float_val) == [1.5, 2.5]
    assert proto.tensor_content == b""
    assert [dim.size for dim in proto.tensor_shape.dim] == [2, 1]


@pytest.mark.parametrize(
    ("proto", "told"),
    [
        (message(types_pb2.DT_FLOAT, [1] * 65, float_val=[1.0]), "has 65 dimensions: send at most 32."),
        (message(types_pb2.DT_FLOAT, [1] * 65, tensor_content=bytes(4)), "has 65 dimensions: send at most 32."),
        (message(types_pb2.DT_STRING, [1] * 33, string_val=[b"x"]), "has 33 dimensions: send at most 32."),
        (message(types_pb2.DT_FLOAT, [0, 2**62, 2**62]), f"has the shape [0, {2**62}, {2**62}], which no tensor has."),
        (message(types_pb2.DT_STRING, [2**62, 0]), f"has the shape [{2**62}, 0], which no tensor has."),
    ],
)
def test_shapes_that_no_array_has_are_refused(proto, told):
    assert refusal(proto) == f'input "x" {told}'


def test_as_many_dimensions_as_are_allowed_are_taken():
    assert parse_tensor("x", message(types_pb2.DT_STRING, [1] * 32, string_val=[b"x"])).shape == (1,) * 32


def test_strings_survive():
    proto = tensor_pb2.TensorProto()
    render_tensor(np.array([b"a", b"\xff"], dtype=object), proto, as_content=True)
    assert list(proto.string_val) == [b"a", b"\xff"]
    assert parse_tensor("x", proto).tolist() == [b"a", b"\xff"]


def test_one_value_fills_the_shape():
    array = parse_tensor("x", message(types_pb2.DT_FLOAT, [2, 2], float_val=[7.0]))
    np.testing.assert_array_equal(array, np.full((2, 2), 7.0, np.float32))


def test_last_value_fills_the_rest():
    array = parse_tensor("x", message(types_pb2.DT_INT32, [4], int_val=[1, 2]))
    assert array.tolist() == [1, 2, 2, 2]


def test_scalar_has_no_dimension():
    assert parse_tensor("x", message(types_pb2.DT_FLOAT, [], float_val=[7.0])).shape == ()


@pytest.mark.parametrize(
    ("proto", "text"),
    [
        (
            message(types_pb2.DT_FLOAT, [2], tensor_content=b"1234"),
            "4 bytes of tensor_content, but DT_FLOAT of shape [2] takes 8",
        ),
        (message(types_pb2.DT_FLOAT, [2]), "0 values in float_val, its shape [2] takes 2"),
        (message(types_pb2.DT_FLOAT, [2], float_val=[1, 2, 3]), "3 values in float_val, its shape [2] takes 2"),
        (message(types_pb2.DT_FLOAT, [2], double_val=[1, 2]), "0 values in float_val"),
        (message(types_pb2.DT_FLOAT, [-1], float_val=[1]), "send a shape without unknown sizes"),
        (message(types_pb2.DT_FLOAT, [2**40, 2**40], float_val=[1]), "1 values in float_val"),
        (message(types_pb2.DT_INVALID, [1]), "has DT_INVALID, which is not served"),
        (message(types_pb2.DT_RESOURCE, [1]), "has DT_RESOURCE, which is not served"),
        (message(999, [1]), "has dtype 999, which is not served"),
        (message(types_pb2.DT_STRING, [1], tensor_content=b"a"), "send them in string_val"),
        (message(types_pb2.DT_COMPLEX64, [1], scomplex_val=[1.0]), "send pairs"),
    ],
)
def test_malformed_tensors_are_refused(proto, text):
    assert text in refusal(proto)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.complex64])
def test_large_tensors_are_written_whole(dtype):
    array = np.arange(40_001).astype(dtype).reshape(1, -1)
    proto = tensor_pb2.TensorProto()
    render_tensor(array, proto)
    assert np.array_equal(parse_tensor("x", proto), array)


def test_a_large_tensor_takes_little_more_memory_than_its_numbers():
    array = np.zeros(80_000, np.float32)
    proto = tensor_pb2.TensorProto()
    tracemalloc.start()
    try:
        render_tensor(array, proto)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # An object for each number would take 24 bytes.
    assert peak_bytes < 80_000 * 16
