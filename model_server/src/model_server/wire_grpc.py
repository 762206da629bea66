"""TensorProto <-> ndarray. Pure; every malformed tensor is an InvalidArgumentError, never a read past its bytes."""

import math

import numpy as np
from numpy.typing import NDArray

from model_server import dtypes
from model_server._protos.tensorflow.core.framework import tensor_pb2
from model_server.errors import InvalidArgumentError
from model_server.turns import check_work

Array = NDArray[np.generic]

# A tensor may hold fewer values than its shape has (the last one fills the rest); this bounds what a few bytes of
# request can make the server allocate.
LARGEST_FILL_BYTES = 256 * 1024 * 1024
# LiteRT walks strings with an iterator of numpy's that knows no more, and reads past it instead of refusing them.
LARGEST_RANK = 32
_BLOCK_VALUES = 16_384


def parse_tensor(name: str, proto: tensor_pb2.TensorProto) -> Array:
    """The tensor as an array of its own dtype and shape; `name` is the input's, for the error text."""
    dtype = dtypes.BY_NUMBER.get(proto.dtype)
    if dtype is None:
        raise InvalidArgumentError(f'input "{name}" has {dtypes.format_dtype(proto.dtype)}, which is not served.')
    shape = _parse_shape(name, proto)
    try:
        if proto.tensor_content:
            return _parse_content(name, proto.tensor_content, dtype, shape)
        return _parse_values(name, proto, dtype, shape)
    except ValueError as error:
        # A size of 0 makes the others stand for nothing, but no array may state them.
        raise InvalidArgumentError(f'input "{name}" has the shape {list(shape)}, which no tensor has.') from error


def _parse_shape(name: str, proto: tensor_pb2.TensorProto) -> tuple[int, ...]:
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise InvalidArgumentError(f'input "{name}" has the shape {list(shape)}: send a shape without unknown sizes.')
    check_rank(name, len(shape))
    return shape


def check_rank(name: str, rank: int) -> None:
    """Refuse more dimensions than any graph takes.

    Raises:
        InvalidArgumentError: They are too many.
    """
    if rank > LARGEST_RANK:
        raise InvalidArgumentError(f'input "{name}" has {rank} dimensions: send at most {LARGEST_RANK}.')


def _parse_content(name: str, content: bytes, dtype: dtypes.Dtype, shape: tuple[int, ...]) -> Array:
    if dtype.numpy.hasobject:
        raise InvalidArgumentError(f'input "{name}" has strings in tensor_content: send them in string_val.')
    expected_bytes = math.prod(shape) * dtype.numpy.itemsize
    if len(content) != expected_bytes:
        raise InvalidArgumentError(
            f'input "{name}" has {len(content)} bytes of tensor_content, but {dtype.name} of shape {list(shape)}'
            f" takes {expected_bytes}."
        )
    array: Array = np.frombuffer(content, dtype=dtype.numpy).reshape(shape)
    return array


def _parse_values(name: str, proto: tensor_pb2.TensorProto, dtype: dtypes.Dtype, shape: tuple[int, ...]) -> Array:
    values = _read_values(name, getattr(proto, dtype.values_field), dtype)
    size = math.prod(shape)
    if len(values) == size:
        return values.reshape(shape)
    if not 0 < len(values) < size or size * values.itemsize > LARGEST_FILL_BYTES:
        raise InvalidArgumentError(
            f'input "{name}" has {len(values)} values in {dtype.values_field}, its shape {list(shape)} takes {size}.'
        )
    check_work(size * (len(values[-1]) if dtype.numpy.hasobject else values.itemsize))
    filled = np.full(size, values[-1], dtype=values.dtype)
    filled[: len(values)] = values
    return filled.reshape(shape)


def _read_values(name: str, field: list[float], dtype: dtypes.Dtype) -> Array:
    if dtype.values_field == "half_val":
        return np.array(field, dtype=np.int64).astype(np.uint16).view(np.float16)
    if dtype.values_field == "scomplex_val":
        if len(field) % 2:
            raise InvalidArgumentError(f'input "{name}" has {len(field)} numbers in scomplex_val: send pairs.')
        return np.array(field, dtype=np.float32).view(np.complex64)
    if dtype.values_field == "int_val":
        # The field is int32 for every small integer: what does not fit wraps, as TensorFlow casts it.
        return np.fromiter(field, dtype=np.int32, count=len(field)).astype(dtype.numpy)
    return np.fromiter(field, dtype=dtype.numpy, count=len(field))


def render_tensor(array: Array, proto: tensor_pb2.TensorProto, *, as_content: bool = False) -> None:
    """Fill the message with the array: typed values, or its bytes (strings are always typed)."""
    dtype = dtypes.BY_NUMPY[array.dtype]
    proto.dtype = dtype.number
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    flat = np.ascontiguousarray(array).reshape(-1)
    if as_content and not dtype.numpy.hasobject:
        proto.tensor_content = flat.tobytes()
    else:
        values, field = _wire_values(flat, dtype), getattr(proto, dtype.values_field)
        # A Python object for each number of a large tensor would take six times what the message takes.
        for start in range(0, len(values), _BLOCK_VALUES):
            field.extend(values[start : start + _BLOCK_VALUES].tolist())


def _wire_values(flat: Array, dtype: dtypes.Dtype) -> Array:
    if dtype.values_field == "half_val":
        return flat.view(np.uint16)
    return flat.view(np.float32) if dtype.values_field == "scomplex_val" else flat
