"""The compression rules: pure functions of a weight tensor, usable inside a compiled train step.

A rule gives integer codes and the step they are multiplied with; nothing downstream divides by the step again, since
floor((k q) / q) differs from k for some weights.
"""

from typing import Any, NamedTuple

from keras import ops

from model_artifact.recipe import NOT_QUANTISED, Compression

Tensor = Any


class Compressed(NamedTuple):
    """A weight tensor after a rule.

    Attributes:
        codes: whole numbers in float32, same shape as the weights; where bits is 32, the pruned weights themselves.
        step: q_k, a float32 scalar; 1 where bits is 32.
        saturated: how many codes fell outside +-(2^(b-1) - 1) and were held at that edge; int32 scalar.
    """

    codes: Tensor
    step: Tensor
    saturated: Tensor

    @property
    def weights(self) -> Tensor:
        """C_k: what runs forward, codes x step."""
        return self.codes * self.step


def prune(weights: Tensor, alpha: float) -> Tensor:
    """P(W_k, beta_k): weights below beta_k = alpha * sigma_k become zero (paper 000, eq. 1 and 2).

    sigma_k is the standard deviation of the layer's own weights.
    """
    threshold = alpha * ops.std(weights)
    return ops.where(ops.abs(weights) >= threshold, weights, 0.0)


def quantisation_step(weights: Tensor, bits: int) -> Tensor:
    """q_k = max|W_k| / (2^(b-1) - 1) (paper 000, eq. 4); 1 for a tensor of zeros."""
    largest = ops.max(ops.abs(weights))
    return ops.where(largest > 0, largest / float(largest_code(bits)), 1.0)


def largest_code(bits: int) -> int:
    """2^(b-1) - 1, the largest code on either side of zero."""
    return (1 << (bits - 1)) - 1


def floor_rule(weights: Tensor, compression: Compression) -> Compressed:
    """Prune, then floor onto the grid of q_k: C_k = floor(P(W_k, beta_k) / q_k) * q_k (paper 000, eq. 1-4).

    Args:
        weights: float32 of any shape with at least one element.
        compression: alpha >= 0 and bits; 32 bits prune only.

    Returns:
        Codes in +-(2^(b-1) - 1). Rounding of max|W_k| / q_k can put a code one outside; it is held at the edge and
        counted.
    """
    pruned = prune(weights, compression.alpha)
    if compression.bits == NOT_QUANTISED:
        return Compressed(pruned, ops.cast(1.0, "float32"), ops.cast(0, "int32"))
    step = quantisation_step(weights, compression.bits)
    codes = ops.floor(pruned / step)
    edge = float(largest_code(compression.bits))
    saturated = ops.sum(ops.cast(ops.abs(codes) > edge, "int32"))
    return Compressed(ops.clip(codes, -edge, edge), step, saturated)
