"""Means and ratios over interleaved blocks, with intervals by a bootstrap that resamples whole blocks. Pure.

Requests within a run share the state of the machine, so that their number says nothing of the noise; a block is what is
independent. Everything is done on logarithms: the mean is geometric, and the ratio of two means is the mean of the
ratios.

With three blocks the plain percentile bootstrap cannot go beyond the smallest and the largest of three numbers, which
hold the true value in about three cases of four. So the interval is the estimate x exp(-+ t s): s is the standard
deviation of the mean over all resamples, times sqrt(n / (n - 1)) since a resample knows only n - 1 deviations, and t
is Student's quantile.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4_000
FEWEST_BLOCKS = 3
CONFIDENCE = 0.95
_SEED = 0

Blocks = Mapping[Any, float]
"""A positive figure by its block: its number, or that and its session, since what is days apart is no pair."""


@dataclass(frozen=True)
class Estimate:
    """A figure and where its true value lies.

    Attributes:
        value: geometric mean over blocks.
        low: of the interval; None where there are too few blocks for one.
        high: likewise.
        blocks: how many there are; of two unpaired sides the smaller number.
    """

    value: float
    low: float | None
    high: float | None
    blocks: int


def estimate_mean(blocks: Blocks, confidence: float = CONFIDENCE) -> Estimate | None:
    """The geometric mean of a figure; None of nothing.

    Args:
        blocks: the figure by block, positive.
        confidence: how often the interval is to hold the true value, 0..1.
    """
    if not blocks:
        return None
    logs = np.log(np.array([blocks[number] for number in sorted(blocks)], np.float64))
    mean = float(logs.mean())
    if len(logs) < FEWEST_BLOCKS:
        return Estimate(math.exp(mean), None, None, len(logs))
    reach = student_quantile((1 + confidence) / 2, len(logs) - 1) * standard_error(logs)
    return Estimate(math.exp(mean), math.exp(mean - reach), math.exp(mean + reach), len(logs))


def geometric_mean(blocks: Blocks) -> float:
    """Of at least one block."""
    return math.exp(sum(map(math.log, blocks.values())) / len(blocks))


def estimate_ratio(above: Blocks, below: Blocks, confidence: float = CONFIDENCE) -> Estimate | None:
    """How many times `below` goes into `above`, paired by block: what slows a whole block cancels.

    None where no block has both.
    """
    shared = above.keys() & below.keys()
    return estimate_mean({number: above[number] / below[number] for number in shared}, confidence)


def estimate_change(old: Blocks, new: Blocks, confidence: float = CONFIDENCE) -> Estimate | None:
    """New over old of two experiments, whose blocks are not pairs; None where one of them has nothing.

    Both are resampled on their own; their degrees of freedom are put together as Welch did.
    """
    if not old or not new:
        return None
    sides = [np.log(np.array(list(side.values()), np.float64)) for side in (old, new)]
    change = float(sides[1].mean() - sides[0].mean())
    fewest = min(map(len, sides))
    if fewest < FEWEST_BLOCKS:
        return Estimate(math.exp(change), None, None, fewest)
    squares = [standard_error(side) ** 2 for side in sides]
    if sum(squares) == 0:
        return Estimate(math.exp(change), math.exp(change), math.exp(change), fewest)
    degrees = sum(squares) ** 2 / sum(s**2 / (len(side) - 1) for s, side in zip(squares, sides, strict=True))
    reach = student_quantile((1 + confidence) / 2, degrees) * math.sqrt(sum(squares))
    return Estimate(math.exp(change), math.exp(change - reach), math.exp(change + reach), fewest)


def standard_error(values: NDArray[np.float64]) -> float:
    """The standard deviation of the mean over resamples of the values, corrected for their small number."""
    return float(resample_means(values - values[0]).std() * math.sqrt(len(values) / (len(values) - 1)))


def resample_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The means of `RESAMPLES` draws with replacement, the same for the same values."""
    means: NDArray[np.float64] = values[_pick(len(values))].mean(axis=1)
    return means


@cache
def _pick(number: int) -> NDArray[np.int64]:
    return np.random.default_rng(_SEED).integers(0, number, (RESAMPLES, number))


def student_quantile(probability: float, degrees: float) -> float:
    """What a variable of Student's distribution stays under with this probability, 0.5..1.

    With t = sqrt(v) tan(x), the density of x is proportional to cos(x)^(v - 1).
    """
    angles = np.linspace(0.0, math.pi / 2, 4_001)
    density = np.maximum(np.cos(angles), 0.0) ** (degrees - 1)
    sums = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2)))
    angle = float(np.interp(2 * probability - 1, sums / sums[-1], angles))
    return math.sqrt(degrees) * math.tan(angle)
