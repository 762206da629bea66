"""The coding of a tensor that takes the fewest bytes.

Pure. What a sample says narrows the coders down to those that are close; among them the exact sizes decide, so that the
time stays bounded and the same tensor is always coded the same way.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from model_artifact.alphabet import LARGEST_DIGITS, LARGEST_JOINT, Alphabet, digits_per_byte
from model_artifact.blocks import deflate_huffman
from model_artifact.coders import format_streams
from model_artifact.container import Deflated
from model_artifact.manifest import Coder, Role
from model_artifact.ordering import Order, format_ordered, plan_order
from model_artifact.streams import Array, Bytes

_ENTRY_BYTES = 140
"""What a further stream costs in ZIP headers and in the manifest, about."""

_SAMPLE_RUNS = 8
_RUN_ELEMENTS = 2**12
"""Nonzero elements in each, about."""

_LOWEST_DENSITY = 1 / 16
_CHUNK = 2**16
_CLOSE = 1.03
"""Coders whose samples differ by less are compared by their exact sizes."""

_FLOOR = 1.1
"""A Huffman code spends a bit on a symbol; a coder for which that is more than this times the entropy is not tried."""


class _Candidate(NamedTuple):
    coder: Coder
    alphabet: Alphabet | None = None


@dataclass(frozen=True)
class Coding:
    """A tensor as it goes into the archive."""

    coder: Coder
    alphabet: Alphabet | None
    sorted_axis: int | None
    streams: tuple[tuple[Role, Deflated], ...]

    def scaled_bytes(self, scale: float) -> float:
        """Deflated bytes, for a tensor that is so many times larger, with what the entries cost."""
        return sum(scale * len(data.payload) + _ENTRY_BYTES for _, data in self.streams)


def choose_coding(codes: Array) -> Coding:
    """The smallest coding of the tensor: its order first, then the coder."""
    order = plan_order(codes.view(np.int8)) if codes.dtype == np.int8 else None
    flat = format_ordered(codes, order)
    candidates, density = _plan_candidates(flat)
    sample = _sample_runs(flat, density)
    if sample.size < flat.size:
        scale = flat.size / sample.size
        sizes = [_code(sample, candidate, None).scaled_bytes(scale) for candidate in candidates]
        ranked = sorted(zip(sizes, candidates, strict=True), key=lambda pair: pair[0])
        candidates = [candidate for size, candidate in ranked[:2] if size <= _CLOSE * ranked[0][0]]
    return min((_code(flat, candidate, order) for candidate in candidates), key=lambda coding: coding.scaled_bytes(1))


def _plan_candidates(flat: Array) -> tuple[list[_Candidate], float]:
    """The coders that can write these elements and may be smallest, and the share of nonzero elements, at most 1."""
    if flat.dtype != np.int8 or not flat.size:
        return [_Candidate("split"), _Candidate("dense")], 1.0
    counts = sum((np.bincount(part, minlength=256) for part in _parts(flat.view(np.uint8))), np.zeros(256, np.int64))
    values = tuple(int(code) for code in range(-128, 128) if counts[code % 256])
    nonzero = tuple(code for code in values if code)
    shares = counts[counts > 0] / flat.size
    entropy = -float((shares * np.log2(shares)).sum())
    found = [_Candidate("split")]
    if _FLOOR * entropy >= 1:
        found.append(_Candidate("dense"))
    if len(values) <= LARGEST_DIGITS and _FLOOR * entropy * digits_per_byte(values) >= 1:
        found.append(_Candidate("packed", values))
    if 0 < len(nonzero) <= LARGEST_DIGITS:
        found.append(_Candidate("split-packed", nonzero))
    if 0 < len(nonzero) <= LARGEST_JOINT:
        found.append(_Candidate("joint", nonzero))
    return found, 1 - int(counts[0]) / flat.size


def _parts(symbols: Bytes) -> Iterator[Bytes]:
    return (symbols[start : start + _CHUNK] for start in range(0, len(symbols), _CHUNK))


def _sample_runs(flat: Array, density: float) -> Array:
    """Runs of elements from all over the tensor with enough nonzero ones; all of it where a sample saves no time."""
    run = int(_RUN_ELEMENTS / max(density, _LOWEST_DENSITY))
    if flat.size <= 3 * _SAMPLE_RUNS * run:
        return flat
    starts = [number * (flat.size - run) // (_SAMPLE_RUNS - 1) for number in range(_SAMPLE_RUNS)]
    return np.concatenate([flat[start : start + run] for start in starts])


def _code(flat: Array, candidate: _Candidate, order: Order | None) -> Coding:
    classes: list[tuple[Role, bytes]] = [] if order is None else [("classes", order.classes)]
    streams = [*classes, *format_streams(flat, candidate.coder, candidate.alphabet or ())]
    deflated = tuple((role, deflate_huffman(data)) for role, data in streams)
    return Coding(candidate.coder, candidate.alphabet, None if order is None else order.axis, deflated)
