"""Finds the weight tensors of a .tflite by its schema. Apart from `weights`: unpacking needs no schema."""

import math
import struct
from mmap import mmap
from typing import Any

import numpy as np
from tflite import Model, TensorType

from model_artifact.errors import UnpackableError
from model_artifact.weights import LARGEST_RANK, CodedTensor

SMALLEST_ELEMENTS = 256
"""Smaller tensors (biases, normalisation) stay in their files: a stream of their own would cost more."""

_DTYPES = {
    TensorType.INT8: np.int8,
    TensorType.UINT8: np.int8,
    TensorType.INT16: np.int16,
    TensorType.FLOAT16: np.int16,
    TensorType.BFLOAT16: np.int16,
    TensorType.FLOAT32: np.float32,
}
"""As what a buffer is stored. Unsigned and half-precision numbers are stored by their bits, which is as exact."""


def read_weights(model: bytes | mmap) -> list[CodedTensor]:
    """The constant tensors of at least 256 elements, in the order of the file, each buffer once.

    Buffers of other types, packed to less than a byte a number, sparse, or kept behind the model are left out: they
    stay in the file as they are.

    Raises:
        UnpackableError: when the bytes are no .tflite.
    """
    if model[4:8] != b"TFL3":
        raise UnpackableError("model.tflite: the file identifier TFL3 is missing")
    try:
        root = Model.GetRootAs(model)
        found: dict[int, CodedTensor] = {}
        for g in range(root.SubgraphsLength()):
            subgraph = root.Subgraphs(g)
            for t in range(subgraph.TensorsLength()):
                tensor = subgraph.Tensors(t)
                if tensor.Buffer() not in found and (coded := _read_tensor(root, tensor, len(model))) is not None:
                    found[tensor.Buffer()] = coded
    except (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise UnpackableError(f"model.tflite: not a readable model ({error})") from error
    return _without_overlaps(list(found.values()))


def _read_tensor(root: Any, tensor: Any, model_bytes: int) -> CodedTensor | None:
    """The tensor as it is stored, or None when it stays in its file."""
    dtype = _DTYPES.get(tensor.Type())
    buffer = root.Buffers(tensor.Buffer())
    if dtype is None or buffer is None or buffer.DataLength() < SMALLEST_ELEMENTS * np.dtype(dtype).itemsize:
        return None
    data = buffer.DataAsNumpy()
    shape = tuple(int(extent) for extent in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()
    if math.prod(shape) * np.dtype(dtype).itemsize != data.size or tensor.Sparsity() is not None or min(shape) < 1:
        return None
    if len(shape) > LARGEST_RANK:
        shape = (math.prod(shape),)
    return CodedTensor(
        (tensor.Name() or f"buffer {tensor.Buffer()}".encode()).decode(errors="replace"),
        data.view(dtype).reshape(shape),
        _read_step(tensor),
        _find_start(buffer, model_bytes),
    )


def _read_step(tensor: Any) -> np.float32 | None:
    """The one scale of a tensor of integers; None when its channels have scales of their own."""
    quantization = tensor.Quantization()
    scales = quantization.ScaleAsNumpy() if quantization and quantization.ScaleLength() else None
    if scales is None or tensor.Type() not in {TensorType.INT8, TensorType.INT16}:
        return None
    return np.float32(scales[0]) if np.all(scales == scales[0]) else None


def _find_start(buffer: Any, model_bytes: int) -> int:
    """Where the buffer's data begins: the schema's classes give an element, never a place."""
    table = buffer._tab  # noqa: SLF001  (as the generated accessors do)
    start = int(table.Vector(table.Offset(4)))
    if not 0 <= start <= model_bytes - buffer.DataLength():
        raise ValueError("a buffer passes the end of the file")
    return start


def _without_overlaps(tensors: list[CodedTensor]) -> list[CodedTensor]:
    """Those that share no byte with one that stands before them in the file; the others stay in it."""
    kept, reached = set(), 0
    for index, start, length in sorted(
        ((index, tensor.offset or 0, tensor.codes.nbytes) for index, tensor in enumerate(tensors)),
        key=lambda place: place[1:],
    ):
        if start >= reached:
            kept.add(index)
            reached = start + length
    return [tensor for index, tensor in enumerate(tensors) if index in kept]
