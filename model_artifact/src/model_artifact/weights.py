"""Finds the weight tensors of a .tflite by its schema, and where a tensor's bytes stand in a file."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from tflite import Model, TensorType

from model_artifact.errors import UnpackableError
from model_artifact.manifest import Hole
from model_artifact.streams import Array

SMALLEST_ELEMENTS = 256
"""Smaller tensors (biases, normalisation) stay in their files: a stream of their own would cost more."""

_DTYPES = {TensorType.INT8: np.int8, TensorType.INT16: np.int16, TensorType.FLOAT32: np.float32}
_LAYOUTS: dict[int, tuple[tuple[int, ...], ...]] = {
    2: ((0, 1), (1, 0)),
    4: ((0, 1, 2, 3), (1, 2, 3, 0)),
}
"""Orders in which a file may hold a tensor that LiteRT keeps as (out, in) or (out, height, width, in)."""


@dataclass(frozen=True)
class CodedTensor:
    """A weight tensor to be stored once.

    Attributes:
        name: what to call it.
        codes: integers (int8 or int16), or float32 weights that are not quantised, in LiteRT's layout.
        step: what the codes are multiplied with; None for float32.
    """

    name: str
    codes: Array
    step: np.float32 | None


def read_weights(model: bytes) -> list[CodedTensor]:
    """The constant tensors of at least 256 elements, in the order of the file, each once.

    Raises:
        UnpackableError: when the bytes are no .tflite.
    """
    if model[4:8] != b"TFL3":
        raise UnpackableError("model.tflite: the file identifier TFL3 is missing")
    try:
        root = Model.GetRootAs(model)
        found = [
            tensor
            for g in range(root.SubgraphsLength())
            for t in range(root.Subgraphs(g).TensorsLength())
            if (tensor := _read_tensor(root, root.Subgraphs(g).Tensors(t))) is not None
        ]
    except (struct.error, IndexError, ValueError, TypeError, AttributeError) as error:
        raise UnpackableError(f"model.tflite: not a readable model ({error})") from error
    return found


def _read_tensor(root: Any, tensor: Any) -> CodedTensor | None:
    buffer = root.Buffers(tensor.Buffer())
    dtype = _DTYPES.get(tensor.Type())
    if dtype is None or buffer.DataLength() < SMALLEST_ELEMENTS * np.dtype(dtype).itemsize:
        return None
    shape = tensor.ShapeAsNumpy()
    codes = buffer.DataAsNumpy().view(dtype).reshape(shape)
    quantization = tensor.Quantization()
    scales = quantization.ScaleAsNumpy() if quantization and quantization.ScaleLength() else None
    uniform = scales is not None and bool(np.all(scales == scales[0]))
    return CodedTensor(
        tensor.Name().decode(),
        codes,
        np.float32(scales[0]) if scales is not None and uniform else None,
    )


def plan_holes(path: str, data: bytes, tensors: list[CodedTensor]) -> list[Hole]:
    """Where the file holds the tensors, as codes or as float32 values, in any layout; sorted, never overlapping."""
    holes: list[Hole] = []
    taken: list[tuple[int, int]] = []
    for index, tensor in enumerate(tensors):
        for axes, form, needle in _needles(tensor):
            start = _find_free(data, needle, taken)
            if start >= 0:
                taken.append((start, start + len(needle)))
                holes.append(Hole(path=path, offset=start, tensor=index, axes=axes, form=form))
                break
    return sorted(holes, key=lambda hole: hole.offset)


def _find_free(data: bytes, needle: bytes, taken: list[tuple[int, int]]) -> int:
    """The first place of the needle that no hole covers yet; -1 when there is none."""
    start = data.find(needle)
    while start >= 0:
        covering = [end for begin, end in taken if begin < start + len(needle) and start < end]
        if not covering:
            return start
        start = data.find(needle, max(covering))
    return -1


def _needles(tensor: CodedTensor) -> Iterator[tuple[tuple[int, ...], Literal["codes", "values"], bytes]]:
    """Each layout and form in which a file may hold the tensor, with the bytes it would have."""
    layouts = _LAYOUTS.get(tensor.codes.ndim, (tuple(range(tensor.codes.ndim)),))
    for axes in layouts:
        yield axes, "codes", render_bytes(tensor.codes, None, axes)
    if tensor.step is not None:
        for axes in layouts:
            yield axes, "values", render_bytes(tensor.codes, tensor.step, axes)


def render_bytes(codes: Array, step: np.float32 | None, axes: tuple[int, ...]) -> bytes:
    """The bytes a file holds: the codes in that order of axes or, with a step, float32(code) * float32(step)."""
    ordered = np.transpose(codes, axes)
    if step is not None:
        ordered = np.multiply(ordered, np.float32(step), dtype=np.float32)
    return ordered.tobytes()
