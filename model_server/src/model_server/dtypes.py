"""The dtypes that cross the wires: TensorFlow's number, numpy's dtype, and the typed field that carries the values."""

from dataclasses import dataclass

import numpy as np

from model_server._protos.tensorflow.core.framework import types_pb2


@dataclass(frozen=True)
class Dtype:
    """One dtype under its three names. Strings are object arrays of `bytes`."""

    number: types_pb2.DataType
    numpy: np.dtype[np.generic]
    values_field: str

    @property
    def name(self) -> str:
        """TensorFlow's name, such as DT_FLOAT."""
        return str(types_pb2.DataType.Name(self.number))

    @property
    def short_name(self) -> str:
        """The name in error texts, such as float or int32."""
        return self.name.removeprefix("DT_").lower()


_ALL = tuple(
    Dtype(getattr(types_pb2, f"DT_{name}"), np.dtype(numpy_name), field)
    for name, numpy_name, field in (
        ("FLOAT", "float32", "float_val"),
        ("DOUBLE", "float64", "double_val"),
        ("HALF", "float16", "half_val"),
        ("INT8", "int8", "int_val"),
        ("INT16", "int16", "int_val"),
        ("INT32", "int32", "int_val"),
        ("UINT8", "uint8", "int_val"),
        ("UINT16", "uint16", "int_val"),
        ("INT64", "int64", "int64_val"),
        ("UINT32", "uint32", "uint32_val"),
        ("UINT64", "uint64", "uint64_val"),
        ("BOOL", "bool", "bool_val"),
        ("COMPLEX64", "complex64", "scomplex_val"),
        ("STRING", "object", "string_val"),
    )
)
BY_NUMBER = {dtype.number: dtype for dtype in _ALL}
BY_NUMPY = {dtype.numpy: dtype for dtype in _ALL}


def format_dtype(number: int) -> str:
    """TensorFlow's name of a dtype number, also for numbers that nobody has defined."""
    return str(types_pb2.DataType.Name(number)) if number in types_pb2.DataType.values() else f"dtype {number}"
