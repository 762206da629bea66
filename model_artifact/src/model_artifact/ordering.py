"""Channels of like scale side by side, so that each Deflate block finds one kind of weights.

Pure. Every index along one axis of a tensor belongs to a *class*, one byte; the tensor is stored with its indices in
ascending order of their classes. What the classes cost is weighed against what they make predictable.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_artifact.errors import CorruptArtifactError
from model_artifact.streams import Array

_ROWS_AT_ONCE = 64
"""Rows that are transposed together, so that they stay in the cache."""

_SAMPLES = 2**18
_SAMPLED_COLUMNS = 2**14
_CHUNK = 2**16
_CLASS_WIDTH = 8.0
"""Width of a class in logarithms of the mean magnitude, times the square root of the elements it is the mean of."""

_MOST_CLASSES = 256
_SMALLEST_GAIN = 0.003
"""Share of the entropy that an order must save before it is worth a transposition when unpacking."""

_SMALLEST_VARIANCE = 0.004
"""Of mean magnitudes, as a share of the square of their mean, beyond chance; what varies less saves no such share."""

_MAGNITUDES = np.abs(np.arange(256, dtype=np.uint8).view(np.int8).astype(np.float64))
"""Of each byte."""

_SMALLEST_ELEMENTS = 4096
_CLASS_BITS = 600
"""What a further class costs in codes that have to be written down, about."""


@dataclass(frozen=True)
class Order:
    """Indices along one axis, sorted by class."""

    axis: int
    classes: bytes
    """One byte for each index along the axis."""


def format_ordered(codes: Array, order: Order | None) -> Array:
    """The elements in the order in which they are stored, shape (n,)."""
    if order is None:
        return np.ascontiguousarray(codes).reshape(-1)
    indices = _sorted_indices(order.classes)
    if order.axis != codes.ndim - 1:
        return np.moveaxis(codes, order.axis, 0)[indices].reshape(-1)
    rows = codes.reshape(-1, codes.shape[-1])
    stored = np.empty(rows.shape[::-1], codes.dtype)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        stored[:, start : start + _ROWS_AT_ONCE] = rows[start : start + _ROWS_AT_ONCE].T[indices]
    return stored.reshape(-1)


def parse_ordered(flat: Array, shape: tuple[int, ...], order: Order | None) -> Array:
    """The tensor whose elements `format_ordered` wrote.

    Raises:
        CorruptArtifactError: when the axis is none of the tensor's, or has not as many indices as there are classes.
    """
    if order is None:
        return flat.reshape(shape)
    if order.axis >= len(shape) or len(order.classes) != shape[order.axis]:
        raise CorruptArtifactError(f"{len(order.classes)} classes for axis {order.axis} of shape {shape}")
    codes, indices = np.empty(shape, flat.dtype), _sorted_indices(order.classes)
    if not codes.size:
        return codes  # there is nothing to sort, and no number of rows that follows from it
    if order.axis != len(shape) - 1:
        moved = np.moveaxis(codes, order.axis, 0)
        moved[indices] = flat.reshape(moved.shape)
        return codes
    rows, places = codes.reshape(-1, shape[-1]), np.argsort(indices)
    stored = flat.reshape(rows.shape[::-1])
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        rows[start : start + _ROWS_AT_ONCE] = stored[:, start : start + _ROWS_AT_ONCE][places].T
    return codes


def _sorted_indices(classes: bytes) -> NDArray[np.int64]:
    return np.argsort(np.frombuffer(classes, np.uint8), kind="stable")


def plan_order(codes: NDArray[np.int8]) -> Order | None:
    """The axis, first or last, whose order saves most of the entropy; None when neither saves enough."""
    if codes.ndim < 2 or codes.size < _SMALLEST_ELEMENTS:
        return None
    sample = _Sample(codes)
    saved = []
    for axis in (0, codes.ndim - 1):
        if codes.shape[axis] > 1 and sample.varies(axis):
            each = codes.size // codes.shape[axis]
            order = Order(axis, _plan_classes(_mean_logarithms(_sum_magnitudes(codes, axis), each), each))
            saved.append((sample.saved_share(order), order))
    share, best = max(saved, key=lambda pair: pair[0], default=(0.0, None))
    return best if share > _SMALLEST_GAIN else None


def _sum_magnitudes(codes: NDArray[np.int8], axis: int) -> NDArray[np.int64]:
    """Sum of the magnitudes at each index along the first or the last axis."""
    rows = codes.reshape(-1, codes.shape[-1])
    step = max(1, _CHUNK // rows.shape[1])
    parts = (rows[start : start + step] for start in range(0, len(rows), step))
    if axis:
        return sum((_add_magnitudes(part, 0) for part in parts), np.zeros(rows.shape[1], np.int64))
    sums = np.concatenate([_add_magnitudes(part, 1) for part in parts])
    return np.asarray(sums.reshape(len(codes), -1).sum(axis=1))


def _add_magnitudes(rows: NDArray[np.int8], axis: int) -> NDArray[np.int64]:
    # Sums of 2**16 magnitudes are exact in float32, which is added up several times faster than bytes are.
    kind = np.float32 if rows.shape[axis] <= _CHUNK else np.int64
    return np.asarray(np.abs(rows).view(np.uint8).astype(kind).sum(axis=axis).astype(np.int64))


def _mean_logarithms(sums: NDArray[np.int64], each: int) -> NDArray[np.float64]:
    """Logarithms of the mean magnitudes at indices of so many elements; where all are zero, of half a step in one."""
    return np.asarray(np.log(np.maximum(sums, 0.5) / each))


def _plan_classes(logarithms: NDArray[np.float64], each: int) -> bytes:
    """Classes of equal width in the logarithm of the mean magnitude, about as wide as its uncertainty."""
    width = max(_CLASS_WIDTH / math.sqrt(each), float(np.ptp(logarithms)) / (_MOST_CLASSES - 1))
    steps = np.floor((logarithms - logarithms.min()) / width)
    return bytes(steps.astype(np.uint8))


class _Sample:
    """Evenly spaced rows of a tensor, to estimate entropies from."""

    def __init__(self, codes: NDArray[np.int8]) -> None:
        self._shape = codes.shape
        rows = codes.reshape(-1, codes.shape[-1])
        # Odd strides do not fall in step with the channels, whose number is mostly even.
        self._column_stride = max(1, rows.shape[1] // _SAMPLED_COLUMNS) | 1
        self._row_stride = max(1, codes.size // self._column_stride // _SAMPLES) | 1
        self._symbols = rows[:: self._row_stride, :: self._column_stride].view(np.uint8)
        self._rows, self._elements = len(rows), codes.size
        self._counts = np.bincount(self._symbols.reshape(-1), minlength=256)
        self._pooled_bits = _conditional_bits(self._counts.reshape(1, 256))

    def varies(self, axis: int) -> bool:
        """Whether mean magnitudes along an axis differ by more than by the chance of a sample of one distribution."""
        powers = [float(self._counts @ _MAGNITUDES**power) / self._symbols.size for power in (1, 2)]
        if not (powers[0] and self._pooled_bits):
            return False
        added = 0 if axis else 1
        each = self._symbols.shape[added]
        sums = _add_magnitudes(self._symbols.view(np.int8), added)
        chance = (powers[1] / powers[0] ** 2 - 1) / each
        return bool(sums.var() / (powers[0] * each) ** 2 > chance + _SMALLEST_VARIANCE)

    def saved_share(self, order: Order) -> float:
        """Share of the entropy that the order saves after the cost of its classes; negative when it costs more."""
        classes = np.frombuffer(order.classes, np.uint8)
        used, ranks = np.unique(classes, return_inverse=True)
        keys = self._spread(order.axis, ranks.astype(np.uint16) * np.uint16(256)) + self._symbols
        counts = np.bincount(keys.reshape(-1), minlength=len(used) * 256).reshape(len(used), 256)
        scale = self._elements / self._symbols.size
        cost = _conditional_bits(np.bincount(ranks).reshape(1, -1)) + _CLASS_BITS * len(used)
        return (self._pooled_bits - _conditional_bits(counts) - cost / scale) / self._pooled_bits

    def _spread(self, axis: int, classes: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """The class of each sampled element, ready to broadcast over the sampled rows and columns."""
        if axis == 0:
            rows = np.arange(0, self._rows, self._row_stride) // (self._rows // self._shape[0])
            return classes[rows, np.newaxis]
        return classes[np.newaxis, :: self._column_stride]


def _conditional_bits(counts: NDArray[np.int64]) -> float:
    """Bits that the symbols take, each row of counts by itself, with what as many free numbers cost to learn."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.where(counts > 0, counts / np.maximum(totals, 1), 1.0)
    learnt = np.count_nonzero(counts) - np.count_nonzero(totals)
    return float(-(counts * np.log2(shares)).sum()) + learnt / (2 * math.log(2))
