"""Finds the weight tensors of a .tflite by its schema, and where a tensor's bytes stand in a file."""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from mmap import mmap
from typing import Any, Literal

import numpy as np
from tflite import Model, TensorType

from model_artifact.errors import UnpackableError
from model_artifact.manifest import ITEM_BYTES, Hole
from model_artifact.mapped_file import Searchable
from model_artifact.searching import Pieces, find_free, stands_at
from model_artifact.streams import Array

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
LARGEST_RANK = 32
"""More axes than any runtime takes; a tensor that states more is stored flat."""
_MODEL_FILE = "model.tflite"
_PIECE_BYTES = 2**20
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
        offset: where model.tflite holds the codes, when its schema says so; None when they must be searched for.
    """

    name: str
    codes: Array
    step: np.float32 | None
    offset: int | None = None


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


def plan_holes(path: str, data: Searchable, tensors: list[CodedTensor]) -> list[Hole]:
    """Where the file holds the tensors, as codes or as float32 values, in any layout; sorted, never overlapping.

    Tensors whose place is known are not searched for. Of the others the longest come first, since a short one may be
    found inside them: zeros stand everywhere.
    """
    holes: list[Hole] = []
    taken: list[tuple[int, int]] = []
    searched = []
    for index, tensor in enumerate(tensors):
        start, codes = tensor.offset, tensor.codes
        axes = tuple(range(codes.ndim))
        if path == _MODEL_FILE and start is not None and stands_at(data, start, render_pieces(codes, None, axes)):
            taken.append((start, start + codes.nbytes))
            holes.append(Hole(path=path, offset=start, tensor=index, axes=axes, form="codes"))
        else:
            searched.append(index)
    for index in sorted(searched, key=lambda index: -tensors[index].codes.nbytes):
        for axes, form, length, pieces in _needles(tensors[index]):
            start = find_free(data, pieces, length, taken)
            if start >= 0:
                taken.append((start, start + length))
                holes.append(Hole(path=path, offset=start, tensor=index, axes=axes, form=form))
                break
    lengths = [tensor.codes.size for tensor in tensors]
    return sorted(holes, key=lambda hole: (hole.offset, lengths[hole.tensor]))


def _needles(tensor: CodedTensor) -> Iterator[tuple[tuple[int, ...], Literal["codes", "values"], int, Pieces]]:
    """Each layout and form in which a file may hold the tensor, with the length and the pieces it would have."""
    codes, step = tensor.codes, tensor.step
    layouts = _LAYOUTS.get(codes.ndim, (tuple(range(codes.ndim)),))
    for axes in layouts:
        yield axes, "codes", codes.nbytes, partial(render_pieces, codes, None, axes)
    if step is not None:
        for axes in layouts:
            yield axes, "values", codes.size * ITEM_BYTES["float32"], partial(render_pieces, codes, step, axes)


def render_bytes(codes: Array, step: np.float32 | None, axes: tuple[int, ...]) -> bytes:
    """The bytes a file holds: the codes in that order of axes or, with a step, float32(code) * float32(step)."""
    ordered = np.transpose(codes, axes)
    if step is not None:
        with np.errstate(all="ignore"):  # what comes of infinite steps is as exact as any other number
            ordered = np.multiply(ordered, np.float32(step), dtype=np.float32)
    return ordered.tobytes()


def render_pieces(codes: Array, step: np.float32 | None, axes: tuple[int, ...]) -> Iterator[bytes]:
    """What `render_bytes` gives, in pieces of about 1 MiB, none for an empty tensor."""
    ordered = np.transpose(codes, axes)
    if not ordered.size:
        return
    if ordered.ndim == 0:
        yield render_bytes(ordered, step, ())
        return
    row_bytes = ordered.nbytes // len(ordered)
    rows = max(1, _PIECE_BYTES // row_bytes)
    for start in range(0, len(ordered), rows):
        part = ordered[start : start + rows]
        yield render_bytes(part, step, tuple(range(part.ndim)))
