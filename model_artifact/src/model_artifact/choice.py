"""The coding of a tensor that takes the fewest bytes.

Pure. What a sample says narrows the coders down to those that are close; among them the exact sizes decide, so that the
time stays bounded and the same tensor is always coded the same way.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_artifact.alphabet import LARGEST_DIGITS, LARGEST_JOINT, Alphabet, digits_per_byte
from model_artifact.blocks import deflate_huffman
from model_artifact.coders import Streams, format_streams
from model_artifact.container import Deflated
from model_artifact.manifest import Coder, Role
from model_artifact.ordering import Order, format_ordered, plan_order
from model_artifact.streams import Array, Sparse, find_nonzero, is_nonzero

_ENTRY_BYTES = 140
"""What a further stream costs in ZIP headers and in the manifest, about."""

_SAMPLE_RUNS = 8
_RUN_ELEMENTS = 2**12
"""Nonzero elements in each, about."""

_LOWEST_DENSITY = 1 / 16
_HIGHEST_DENSITY = 3 / 4
"""Above it the gaps cost more than zeros among the elements: at least a bit for each nonzero one."""

_SMALL = 2**15
_CHUNK = 2**16
_DENSITY_SAMPLES = 2**17
_CLOSE = 1.002
"""Coders whose samples differ by less are compared by their exact sizes."""

_LARGEST_LOSS = 0.03
"""A coder whose commonest symbol is worth so much less than the bit it takes is not tried; split loses about 0.01."""


_Deflate = Callable[[bytes], Deflated]


class _Candidate(NamedTuple):
    coder: Coder
    alphabet: Alphabet = ()


@dataclass(frozen=True)
class Coding:
    """A tensor as it goes into the archive."""

    coder: Coder
    alphabet: Alphabet | None
    sorted_axis: int | None
    streams: Iterable[tuple[Role, Deflated]]
    """Of `plan_coding`, to be taken once: they may be made meanwhile, one at a time."""

    def scaled_bytes(self, scale: float) -> float:
        """Deflated bytes, for a tensor that is so many times larger, with what the entries cost."""
        return sum(scale * len(data.payload) + _ENTRY_BYTES for _, data in self.streams)


def choose_coding(codes: Array) -> Coding:
    """The smallest coding of the tensor, with all its streams at hand."""
    return _with_streams(plan_coding(codes))


def _with_streams(coding: Coding) -> Coding:
    return replace(coding, streams=tuple(coding.streams))


def plan_coding(codes: Array) -> Coding:
    """The smallest coding of the tensor: its order first, then the coder."""
    order = plan_order(codes.view(np.int8)) if codes.dtype == np.int8 else None
    flat = format_ordered(codes, order)
    density = _estimate_density(flat)
    sparse = find_nonzero(flat) if density <= _HIGHEST_DENSITY else None
    candidates = _plan_candidates(flat, sparse)
    deflate: _Deflate = functools.lru_cache(maxsize=8)(deflate_huffman)  # split and split-packed have the same gaps
    sample = _sample_runs(flat, density)
    if sample.size < flat.size and len(candidates) > 1:
        scale = flat.size / sample.size
        found = find_nonzero(sample) if sparse else None
        sampled = [
            _with_streams(_code(format_streams(sample, *each, found), each, None, deflate)) for each in candidates
        ]
        sizes = [coding.scaled_bytes(scale) for coding in sampled]
        ranked = sorted(zip(sizes, candidates, strict=True), key=lambda pair: pair[0])
        candidates = [candidate for size, candidate in ranked[:2] if size <= _CLOSE * ranked[0][0]]
    if len(candidates) == 1:  # its streams need not be at hand together
        return _code(format_streams(flat, *candidates[0], sparse), candidates[0], order, deflate_huffman)
    codings = (_with_streams(_code(format_streams(flat, *each, sparse), each, order, deflate)) for each in candidates)
    return min(codings, key=lambda coding: coding.scaled_bytes(1))


def _estimate_density(flat: Array) -> float:
    """Share of nonzero elements, of some from all over the tensor."""
    sample = flat[:: flat.size // _DENSITY_SAMPLES | 1]
    return np.count_nonzero(is_nonzero(sample)) / max(sample.size, 1)


def _plan_candidates(flat: Array, sparse: Sparse | None) -> list[_Candidate]:
    """The coders that can write these elements and may be smallest."""
    found = [_Candidate("split")] if sparse else []
    if flat.dtype != np.int8 or not flat.size:
        return [*found, _Candidate("dense")]
    counts = _count_values(flat, sparse)
    values = tuple(int(code) for code in range(-128, 128) if counts[code % 256])
    nonzero = tuple(code for code in values if code)
    shares = counts[counts > 0] / flat.size
    is_small = flat.size <= _SMALL  # where a stream less may count more than what is in it
    if not sparse or is_small or _floor_loss(shares, 1) < _LARGEST_LOSS:
        found.append(_Candidate("dense"))
    loss = _floor_loss(shares, digits_per_byte(values)) if len(values) <= LARGEST_DIGITS else math.inf
    if loss < _LARGEST_LOSS or (is_small and loss < math.inf):
        found.append(_Candidate("packed", values))
    if sparse and 0 < len(nonzero) <= LARGEST_DIGITS:
        found.append(_Candidate("split-packed", nonzero))
    if sparse and 0 < len(nonzero) <= LARGEST_JOINT:
        found.append(_Candidate("joint", nonzero))
    return found


def _floor_loss(shares: NDArray[np.float64], together: int) -> float:
    """What Huffman codes lose, of the entropy, because they spend a bit on the commonest symbol of so many elements."""
    bits = -together * float((shares * np.log2(shares)).sum())
    commonest = float(shares.max()) ** together
    return max(0.0, commonest * (1 + math.log2(commonest))) / bits if bits else 1.0


def _count_values(flat: Array, sparse: Sparse | None) -> NDArray[np.int64]:
    """How often each byte occurs, shape (256,)."""
    counts = np.zeros(256, np.int64)
    for part in _parts(flat) if sparse is None else sparse.values:
        counts += np.bincount(part.view(np.uint8), minlength=256)
    counts[0] = flat.size - counts[1:].sum()
    return counts


def _parts(flat: Array) -> Iterator[Array]:
    return (flat[start : start + _CHUNK] for start in range(0, len(flat), _CHUNK))


def _sample_runs(flat: Array, density: float) -> Array:
    """Runs of elements from all over the tensor with enough nonzero ones; all of it where a sample saves no time."""
    run = int(_RUN_ELEMENTS / max(density, _LOWEST_DENSITY))
    if flat.size <= 3 * _SAMPLE_RUNS * run:
        return flat
    starts = [number * (flat.size - run) // (_SAMPLE_RUNS - 1) for number in range(_SAMPLE_RUNS)]
    return np.concatenate([flat[start : start + run] for start in starts])


def _code(streams: Streams, candidate: _Candidate, order: Order | None, deflate: _Deflate) -> Coding:
    classes: list[tuple[Role, bytes]] = [] if order is None else [("classes", order.classes)]
    deflated = ((role, deflate(data)) for role, data in itertools.chain(classes, streams))
    return Coding(candidate.coder, candidate.alphabet or None, None if order is None else order.axis, deflated)
