"""The compression rules: pure functions of a weight tensor, usable inside a compiled train step of any Keras backend.

A rule gives integer codes and the step they are multiplied with; nothing downstream divides by the step again, since
floor((k q) / q) differs from k for some weights. W_k are the weights of a layer, sigma_k their standard deviation.

Floor (paper 000, eq. 1-4): beta_k = alpha sigma_k; P zeroes |W_k| < beta_k; q_k = max|W_k| / (2^(b-1) - 1);
    C_k = floor(P(W_k, beta_k) / q_k) q_k. Float division can give a code of -2^(b-1): it is held at the edge, counted.
OffsetRound (paper 004, eq. 1-4): beta_l = gamma std(W_l), its gamma being our alpha; H_l = P(W_l, beta_l);
    q'_l = (max|H_l| - beta_l) / (2^(b-1) - 1); C_l = q'_l round(H_l / q'_l). Its codes go up to
    (2^(b-1) - 1) max / (max - beta), more than b bits: they stay as they are, and `count_bits` counts. Where all that
    is left equals the threshold, its step would be 0, and max / (2^(b-1) - 1) serves.
Shadow (ours): q_k = max|M W_k| / (2^(b-1) - 1) for a mask M of what is kept, of the tensor or of each output channel;
    C_k = round(M W_k / q_k) q_k, held at the edge as for Floor. Applied again to what it gave, it changes no code.
    Where channels are pruned as a whole, sigma_k is that of the weights of those that are left.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from model_artifact.recipe import NOT_QUANTISED, Compression

Tensor = Any

_SMALLEST_STEP = float(np.finfo(np.float32).tiny)


class Compressed(NamedTuple):
    """A weight tensor after a rule.

    Attributes:
        codes: whole numbers in float32, same shape as the weights; where bits is 32, the pruned weights themselves.
        step: q_k, float32: a scalar, or one for each output channel (the last axis); 1 where bits is 32.
        saturated: how many codes fell outside +-(2^(b-1) - 1) and were held at that edge; int32 scalar.
        kept: how many weights pruning left, before they were quantised; int32 scalar.
    """

    codes: Tensor
    step: Tensor
    saturated: Tensor
    kept: Tensor

    @property
    def weights(self) -> Tensor:
        """C_k: what runs forward, codes x step."""
        return self.codes * self.step


class Scale(NamedTuple):
    """What a rule needs to know of a whole tensor before it looks at each weight.

    Attributes:
        threshold: beta_k, float32 scalar; or one for each output channel, infinite for those pruned as a whole.
        step: q_k, a scalar or one for each output channel; 1 where bits is 32.
    """

    threshold: Tensor
    step: Tensor


class Moments(NamedTuple):
    """What there is to know of the weights of each output channel, float32, shape (c,).

    Attributes:
        mean: of its weights.
        squares: the sum of their squared deviations from it.
        largest: max|W_k| of it.
    """

    mean: Tensor
    squares: Tensor
    largest: Tensor


def compress(
    weights: Tensor,
    compression: Compression,
    *,
    alpha: Tensor | None = None,
    mask: Tensor | None = None,
    channels: Tensor | None = None,
) -> Compressed:
    """What the recipe's rule makes of a weight tensor.

    Args:
        weights: float32 of any shape with at least one element.
        compression: rule, alpha, bits (32: prune only) and granularity.
        alpha: in place of the recipe's, while it rises; a float or a float32 scalar.
        mask: which weights are kept, in place of those that alpha keeps; for the rule Shadow.
        channels: which output channels are kept, bool, shape (c,), see `keep_channels`; absent: all, or as the mask
            has them; for the rule Shadow.
    """
    scale = measure(weights, compression, alpha=alpha, mask=mask, channels=channels)
    return apply_rule(weights, scale, compression, mask=mask)


def measure(
    weights: Tensor,
    compression: Compression,
    *,
    alpha: Tensor | None = None,
    mask: Tensor | None = None,
    channels: Tensor | None = None,
    moments: Moments | None = None,
) -> Scale:
    """The first half of `compress`, with the same arguments: what has to see all weights.

    With the moments of the channels, where they are known already.
    """
    alpha = compression.alpha if alpha is None else alpha
    if compression.rule == "Shadow" and mask is not None:
        return _measure_frozen(weights, compression, mask)
    if channels is not None or moments is not None:
        return _measure_by_moments(weights, compression, alpha, channels, moments or measure_channels(weights))
    threshold = alpha * ops.std(weights)
    if compression.bits == NOT_QUANTISED:
        return Scale(threshold, ops.cast(1.0, "float32"))
    largest = _largest(weights, compression.chosen_granularity == "Channel")
    if compression.rule == "Floor":
        return Scale(threshold, quantisation_step(largest, compression.bits))
    largest = ops.where(largest >= threshold, largest, 0.0)  # of what is kept
    if compression.rule == "OffsetRound":
        largest = ops.where(largest > threshold, largest - threshold, largest)
    return Scale(threshold, quantisation_step(largest, compression.bits))


def _measure_frozen(weights: Tensor, compression: Compression, mask: Tensor) -> Scale:
    """`measure` of Shadow where the mask says what is kept, so that there is no threshold."""
    none = ops.cast(0.0, "float32")
    if compression.bits == NOT_QUANTISED:
        return Scale(none, ops.cast(1.0, "float32"))
    largest = _largest(prune(weights, mask), compression.chosen_granularity == "Channel")
    return Scale(none, quantisation_step(largest, compression.bits))


def _measure_by_moments(
    weights: Tensor, compression: Compression, alpha: Tensor, channels: Tensor | None, moments: Moments
) -> Scale:
    """`measure` of Shadow from what its output channels are, of which only some may be kept."""
    kept = ops.ones(weights.shape[-1:], "bool") if channels is None else channels
    threshold = alpha * _deviation_of(weights, kept, moments)
    by_channel = ops.where(kept, threshold, math.inf)
    if compression.bits == NOT_QUANTISED:
        return Scale(by_channel, ops.cast(1.0, "float32"))
    largest = ops.where(kept, moments.largest, 0.0)
    if compression.chosen_granularity != "Channel":
        largest = ops.max(largest)
    largest = ops.where(largest >= threshold, largest, 0.0)
    return Scale(by_channel, quantisation_step(largest, compression.bits))


def apply_rule(weights: Tensor, scale: Scale, compression: Compression, *, mask: Tensor | None = None) -> Compressed:
    """The second half of `compress`: what is done to each weight by itself, which compilers fuse into one pass."""
    kept = ops.abs(weights) >= scale.threshold if mask is None else mask
    pruned = prune(weights, kept)
    if compression.bits == NOT_QUANTISED:
        return Compressed(pruned, scale.step, ops.cast(0, "int32"), _count(kept))
    give_codes = {"Floor": floor_codes, "OffsetRound": round_codes, "Shadow": round_codes}[compression.rule]
    codes = give_codes(pruned, scale.step)
    if compression.rule == "OffsetRound":
        return Compressed(codes, scale.step, ops.cast(0, "int32"), _count(kept))
    edge = float(largest_code(compression.bits))
    return Compressed(ops.clip(codes, -edge, edge), scale.step, _count(ops.abs(codes) > edge), _count(kept))


def keep_mask(weights: Tensor, alpha: Tensor, channels: Tensor | None = None, moments: Moments | None = None) -> Tensor:
    """Which weights pruning keeps: |W_k| >= beta_k = alpha sigma_k (paper 000, eq. 2), sigma_k their own deviation.

    Where only some channels are kept, of their weights, and by the deviation of theirs.
    """
    if channels is None:
        return ops.abs(weights) >= alpha * ops.std(weights)
    deviation = _deviation_of(weights, channels, moments or measure_channels(weights))
    return ops.logical_and(ops.abs(weights) >= alpha * deviation, channels)


def measure_channels(weights: Tensor) -> Moments:
    """The moments of each output channel, the last axis: in a few passes over memory that write nothing."""
    rows = ops.reshape(weights, (-1, weights.shape[-1]))
    mean = ops.sum(rows, axis=0) / float(rows.shape[0])
    return Moments(mean, ops.sum(ops.square(rows - mean), axis=0), _largest(rows, by_channel=True))


def keep_channels(weights: Tensor, sparsity: Tensor, moments: Moments | None = None) -> Tensor:
    """Which output channels are kept when those with the smallest L2 norms go (He et al. 2018, Soft Filter Pruning).

    Args:
        weights: of a kernel, its output channels last.
        sparsity: share of the channels that goes, 0 to 1; rounded to whole channels, of which one always stays.
        moments: of the channels, where they are known already.

    Returns:
        Bool, shape (c,). Of equal norms at the edge all stay.
    """
    moments = moments or measure_channels(weights)
    norms = moments.squares + ops.square(moments.mean) * _count_rows(weights)
    count = int(weights.shape[-1])
    gone = ops.minimum(ops.cast(ops.round(sparsity * count), "int32"), count - 1)
    return norms >= ops.take(ops.sort(norms), gone)


def _deviation_of(weights: Tensor, channels: Tensor, moments: Moments) -> Tensor:
    """The standard deviation of the weights of those channels (Chan et al. 1979: of a whole from that of its parts)."""
    kept, rows = ops.cast(channels, "float32"), _count_rows(weights)
    count = ops.sum(kept)
    mean = ops.sum(moments.mean * kept) / count
    squares = ops.sum((moments.squares + ops.square(moments.mean - mean) * rows) * kept)
    return ops.sqrt(squares / (count * rows))


def _count_rows(weights: Tensor) -> float:
    """How many weights an output channel has."""
    return float(math.prod(weights.shape) // int(weights.shape[-1]))


def prune(weights: Tensor, mask: Tensor) -> Tensor:
    """P(W_k, beta_k): weights that are not kept become zero (paper 000, eq. 1; paper 004, eq. 2)."""
    return ops.where(mask, weights, 0.0)


def floor_codes(pruned: Tensor, step: Tensor) -> Tensor:
    """The codes of C_k = floor(P(W_k, beta_k) / q_k) q_k (paper 000, eq. 3), as float32."""
    return ops.floor(pruned / step)


def round_codes(pruned: Tensor, step: Tensor) -> Tensor:
    """The codes of C_l = q'_l round(H_l / q'_l) (paper 004, eq. 4), halves to the even one, as float32."""
    return ops.round(pruned / step)


def quantisation_step(largest: Tensor, bits: int) -> Tensor:
    """q_k = max|W_k| / (2^(b-1) - 1) (paper 000, eq. 4); 1 for weights that are zero or too small for a q_k.

    Backends take numbers below the smallest normal float32 for zero, and would divide by it.
    """
    step = largest / float(largest_code(bits))
    return ops.where(step >= _SMALLEST_STEP, step, 1.0)


def _largest(weights: Tensor, by_channel: bool) -> Tensor:
    """max|W| of the tensor or of each output channel, without an array of magnitudes."""
    axes = tuple(range(len(weights.shape) - 1)) if by_channel else None
    return ops.maximum(ops.max(weights, axis=axes), -ops.min(weights, axis=axes))


def largest_code(bits: int) -> int:
    """2^(b-1) - 1, the largest code on either side of zero."""
    return (1 << (bits - 1)) - 1


def count_bits(codes: Any) -> int:
    """Bits that a signed integer needs for the largest of the codes: 8 up to 127, 9 up to 255; at least 1."""
    largest = float(np.max(np.abs(np.asarray(codes)), initial=0.0))
    return 1 + math.ceil(math.log2(largest + 1))


def _count(where: Tensor) -> Tensor:
    return ops.sum(ops.cast(where, "int32"))
