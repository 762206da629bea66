"""Refuses a .tflite whose weights have a type that LiteRT's kernels do not have.

LiteRT prepares a convolution of float activations with int16 weights without a word, and then reads past them. This
module reads the few fields of the file's schema that it needs, with every offset checked.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from model_server.errors import LoadError

_IDENTIFIER = b"TFL3"
# From the file's schema: numbers of types and operators, and slots of fields in their tables.
_FLOAT32, _FLOAT16, _INT32, _UINT8, _INT64, _STRING, _BOOL, _INT16, _COMPLEX64, _INT8 = range(10)
_NAMES = ("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8")
_INT4, _INT2 = 17, 18
_KERNELS = {3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 9: "FULLY_CONNECTED"}
_TAKEN = {
    _FLOAT32: {_FLOAT32, _INT8, _UINT8, _INT4, _INT2},
    _INT8: {_INT8, _INT4, _INT2},
    _UINT8: {_UINT8},
    _INT16: {_INT8, _INT4},
}
_MODEL_CODES, _MODEL_SUBGRAPHS = 1, 2
_CODE_OLD, _CODE_NEW = 0, 3
_SUBGRAPH_TENSORS, _SUBGRAPH_OPERATORS = 0, 3
_TENSOR_TYPE, _TENSOR_NAME = 1, 3
_OPERATOR_CODE, _OPERATOR_INPUTS = 0, 1


def check_weights(model_file: Path) -> None:
    """Return when every convolution and fully connected layer has weights of a type that a kernel takes.

    Raises:
        LoadError: One has not, or the file is no .tflite.
    """
    try:
        with (
            model_file.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            problem = _find_problem(content)
    except (OSError, ValueError, struct.error, IndexError) as error:
        raise LoadError(f"{model_file} cannot be run by LiteRT: it is cut short or no .tflite ({error}).") from error
    if problem:
        raise LoadError(f"{model_file} cannot be run by LiteRT: {problem}.")


def _find_problem(content: mmap.mmap) -> str:
    if content[4:8] != _IDENTIFIER:
        raise ValueError("the identifier TFL3 is missing")
    model = _Table(content, _unsigned(content, 0))
    kernels = [
        _KERNELS.get(max(code.number(_CODE_OLD, "b"), code.number(_CODE_NEW, "i")))
        for code in model.tables(_MODEL_CODES)
    ]
    for subgraph in model.tables(_MODEL_SUBGRAPHS):
        tensors = list(subgraph.tables(_SUBGRAPH_TENSORS))
        for operator in subgraph.tables(_SUBGRAPH_OPERATORS):
            kernel = kernels[operator.number(_OPERATOR_CODE, "I")]
            inputs = operator.integers(_OPERATOR_INPUTS)
            if kernel and len(inputs) > 1 and min(inputs[:2]) >= 0:
                activations, weights = (tensors[index] for index in inputs[:2])
                taken = _TAKEN.get(activations.number(_TENSOR_TYPE, "b"), set())
                if weights.number(_TENSOR_TYPE, "b") not in taken:
                    return _describe(kernel, activations, weights)
    return ""


def _describe(kernel: str, activations: "_Table", weights: "_Table") -> str:
    types = [
        _NAMES[number] if 0 <= number < len(_NAMES) else f"type {number}"
        for number in (weights.number(_TENSOR_TYPE, "b"), activations.number(_TENSOR_TYPE, "b"))
    ]
    return (
        f"no {kernel} kernel takes {types[0]} weights with {types[1]} activations, as the tensor"
        f" {weights.text(_TENSOR_NAME)} has them: export int8 or float32 weights"
    )


def _unsigned(content: mmap.mmap, position: int) -> int:
    """A forward offset; the place that it leads to."""
    (offset,) = struct.unpack_from("<I", content, position)
    return int(position + offset)


class _Table:
    """A flatbuffer table: fields by slot, each with a default where it is left out."""

    def __init__(self, content: mmap.mmap, position: int) -> None:
        self._content = content
        self._position = position
        (to_fields,) = struct.unpack_from("<i", content, position)
        self._fields = position - to_fields
        (self._fields_bytes,) = struct.unpack_from("<H", content, self._fields)

    def number(self, slot: int, kind: str) -> int:
        """An integer field, 0 when left out; `kind` is struct's letter."""
        position = self._find(slot)
        return 0 if position is None else int(struct.unpack_from(f"<{kind}", self._content, position)[0])

    def integers(self, slot: int) -> list[int]:
        """A vector of 32-bit integers."""
        start, length = self._vector(slot)
        if length > len(self._content) // 4:
            raise ValueError("a vector passes the end of the file")
        return list(struct.unpack_from(f"<{length}i", self._content, start))

    def tables(self, slot: int) -> Iterator["_Table"]:
        """A vector of tables."""
        start, length = self._vector(slot)
        for index in range(length):
            yield _Table(self._content, _unsigned(self._content, start + 4 * index))

    def text(self, slot: int) -> str:
        """A string."""
        start, length = self._vector(slot)
        return self._content[start : start + length].decode("utf-8", errors="replace")

    def _find(self, slot: int) -> int | None:
        place = 4 + 2 * slot
        if place + 2 > self._fields_bytes:
            return None
        (offset,) = struct.unpack_from("<H", self._content, self._fields + place)
        return self._position + int(offset) if offset else None

    def _vector(self, slot: int) -> tuple[int, int]:
        position = self._find(slot)
        if position is None:
            return 0, 0
        start = _unsigned(self._content, position)
        (length,) = struct.unpack_from("<I", self._content, start)
        return start + 4, int(length)
