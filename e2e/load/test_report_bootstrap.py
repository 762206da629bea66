"""Intervals hold the true value as often as they say, because blocks are resampled; ratios are paired by block."""

import math

import numpy as np
import pytest

from load.report.bootstrap import (
    estimate_change,
    estimate_mean,
    estimate_ratio,
    resample_means,
    standard_error,
    student_quantile,
)

TRIALS = 400


def draw_blocks(source, number, spread=0.1):
    return dict(enumerate(np.exp(source.normal(0.0, spread, number))))


def holds(estimate, true):
    return estimate.low <= true <= estimate.high


@pytest.mark.parametrize("blocks", [3, 5, 10])
def test_the_interval_of_a_mean_holds_it_in_95_of_100_experiments(blocks):
    source = np.random.default_rng(blocks)
    held = sum(holds(estimate_mean(draw_blocks(source, blocks)), 1.0) for _ in range(TRIALS))
    assert 0.925 * TRIALS <= held <= 0.975 * TRIALS


def test_plain_percentiles_of_three_blocks_hold_it_in_three_cases_of_four():
    source = np.random.default_rng(7)
    held = 0
    for _ in range(TRIALS):
        means = resample_means(source.normal(0.0, 1.0, 3))
        low, high = np.percentile(means, (2.5, 97.5))
        held += low <= 0.0 <= high
    assert 0.68 * TRIALS <= held <= 0.82 * TRIALS


def test_the_interval_of_a_change_holds_it_in_95_of_100_pairs_of_experiments():
    source = np.random.default_rng(11)
    held = 0
    for _ in range(TRIALS):
        old, new = draw_blocks(source, 4, 0.05), draw_blocks(source, 5, 0.1)
        held += holds(estimate_change(old, new), 1.0)
    assert 0.925 * TRIALS <= held <= 0.98 * TRIALS


def test_what_slows_a_whole_block_cancels_in_a_ratio():
    drift = {0: 1.0, 1: 3.0, 2: 0.5}
    ratio = estimate_ratio(
        {block: 6 * slow for block, slow in drift.items()}, {block: 2 * s for block, s in drift.items()}
    )
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((3.0, 3.0, 3.0))
    assert ratio.blocks == 3


def test_a_ratio_takes_the_blocks_that_both_sides_have():
    ratio = estimate_ratio({0: 8.0, 1: 10.0, 2: 12.0, 3: 1.0}, {0: 2.0, 1: 2.0, 2: 2.0, 9: 1e6})
    assert ratio.blocks == 3
    assert ratio.value == pytest.approx(math.exp(np.mean(np.log([4, 5, 6]))))
    assert estimate_ratio({0: 1.0}, {1: 1.0}) is None


def test_a_ratio_takes_no_blocks_of_different_sessions():
    above = {(0, "monday"): 8.0, (1, "monday"): 10.0, (2, "friday"): 1e6}
    below = {(0, "monday"): 2.0, (1, "monday"): 2.0, (2, "monday"): 2.0}
    ratio = estimate_ratio(above, below)
    assert ratio.blocks == 2
    assert ratio.value == pytest.approx(math.sqrt(4 * 5))


def test_the_ratio_of_two_means_is_the_mean_of_their_ratios():
    above, below = {0: 3.0, 1: 5.0, 2: 4.0}, {0: 1.0, 1: 2.5, 2: 8.0}
    ratio = estimate_mean(above).value / estimate_mean(below).value
    assert estimate_ratio(above, below).value == pytest.approx(ratio)


@pytest.mark.parametrize("blocks", [1, 2])
def test_fewer_than_three_blocks_give_no_interval(blocks):
    few = dict.fromkeys(range(blocks), 4.0)
    for estimate in (estimate_mean(few), estimate_ratio(few, few), estimate_change(few, dict.fromkeys(range(9), 4.0))):
        assert (estimate.low, estimate.high, estimate.blocks) == (None, None, blocks)
    assert estimate_mean(few).value == pytest.approx(4.0)


def test_nothing_gives_nothing():
    assert estimate_mean({}) is None
    assert estimate_change({}, {0: 1.0}) is None


def test_blocks_without_spread_give_a_point():
    same = dict.fromkeys(range(3), 2.0)
    for estimate in (estimate_mean(same), estimate_change(same, same)):
        assert estimate.low == estimate.value == estimate.high


def test_the_bootstrap_finds_the_standard_error_that_the_formula_has():
    values = np.random.default_rng(3).normal(0.0, 1.0, 6)
    assert standard_error(values) == pytest.approx(values.std(ddof=1) / math.sqrt(6), rel=0.03)


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(2, 4.3027), (4, 2.7764), (9, 2.2622), (30, 2.0423), (1000, 1.9623), (3.5, 2.9402)]
)
def test_students_quantiles_are_those_of_the_tables(degrees, quantile):
    assert student_quantile(0.975, degrees) == pytest.approx(quantile, rel=2e-3)
    assert student_quantile(0.5, degrees) == pytest.approx(0.0, abs=1e-9)
