"""Where a weight tensor's bytes stand in a file, and what they are there."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from model_artifact.manifest import ITEM_BYTES, Hole, StoredTensor
from model_artifact.mapped_file import Searchable
from model_artifact.searching import Pieces, find_free, stands_at
from model_artifact.streams import Array

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


def hole_bytes(hole: Hole, tensor: StoredTensor) -> int:
    """Length of a hole in its file."""
    return tensor.elements * (ITEM_BYTES[tensor.dtype] if hole.form == "codes" else ITEM_BYTES["float32"])


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
