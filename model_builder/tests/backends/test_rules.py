import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from model_artifact.recipe import Compression
from model_builder.rules import (
    compress,
    count_bits,
    keep_channels,
    keep_mask,
    largest_code,
    measure,
    measure_channels,
    quantisation_step,
)


def floor_rule(weights, alpha, bits):
    return compress(weights, Compression(alpha=alpha, bits=bits))


def offset_round_rule(weights, gamma, bits):
    return compress(weights, Compression(alpha=gamma, bits=bits, rule="OffsetRound"))


def shadow_rule(weights, alpha, bits, *, by_channel=False, mask=None):
    granularity = "Channel" if by_channel else "Tensor"
    compression = Compression(alpha=alpha, bits=bits, rule="Shadow", granularity=granularity)
    return compress(weights, compression, mask=mask)


ELEMENTS = st.floats(-4, 4, width=32).map(lambda weight: weight if abs(weight) > 1e-30 else 0.0)
SHAPES = st.sampled_from([(1,), (7,), (5, 4), (2, 3, 2, 4)])  # few, since JAX compiles for each
WEIGHTS = SHAPES.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=ELEMENTS))


def floor_reference(weights, alpha, bits):
    """Equations 1 to 4 of paper 000 in NumPy, written apart from the product's code; (C, q)."""
    beta = np.float32(alpha) * np.std(weights)
    pruned = np.where(np.abs(weights) >= beta, weights, np.float32(0))
    if bits == 32:
        return pruned, None
    edge = np.float32(2 ** (bits - 1) - 1)
    step = np.max(np.abs(weights)) / edge
    if step == 0:
        return pruned, np.float32(1)
    return np.clip(np.floor(pruned / step), -edge, edge) * step, step


def offset_round_reference(weights, gamma, bits):
    """Equations 1 to 4 of paper 004, likewise; (C, q')."""
    beta = np.float32(gamma) * np.std(weights)
    kept = np.where(np.abs(weights) >= beta, weights, np.float32(0))
    if bits == 32:
        return kept, None
    step = (np.max(np.abs(kept)) - beta) / np.float32(2 ** (bits - 1) - 1)
    return np.rint(kept / step) * step, step


def shadow_reference(weights, alpha, bits, *, by_channel):
    """Rounding to nearest on the grid of the largest weight that is kept, of the tensor or of each last axis."""
    kept = np.where(np.abs(weights) >= np.float32(alpha) * np.std(weights), weights, np.float32(0))
    edge = np.float32(2 ** (bits - 1) - 1)
    columns = kept.reshape(-1, kept.shape[-1] if by_channel else 1)
    step = np.max(np.abs(columns), axis=0) / edge
    step = np.where(step > 0, step, np.float32(1))
    return (np.clip(np.rint(columns / step), -edge, edge) * step).reshape(weights.shape), step


def assert_same_weights(compressed, expected, step, weights, alpha, boundary):
    """Equal up to float arithmetic; a weight on a boundary between two codes to the last bits may take either.

    Floor has its boundaries at whole codes, where the largest weight is, and rounding at halves. Backends differ there:
    XLA multiplies with the reciprocal of a constant. A weight on the threshold may be kept or not.
    """
    on_threshold = np.isclose(np.abs(weights), alpha * np.std(weights), rtol=1e-5)
    codes = weights / step
    on_boundary = np.abs(codes - boundary - np.rint(codes - boundary)) < 1e-2
    units = np.abs(np.asarray(compressed.weights) - expected) / step
    assert np.all((units <= 1e-2) | on_threshold | (on_boundary & (units <= 1.01)))


@settings(deadline=None, max_examples=40)
@given(WEIGHTS, st.sampled_from([0.0, 0.5, 1.25, 2.0]), st.sampled_from([2, 4, 8, 12, 16]))
def test_floor_is_the_papers_equations(weights, alpha, bits):
    compressed = floor_rule(weights, alpha, bits)
    expected, step = floor_reference(weights, alpha, bits)
    assert_same_weights(compressed, expected, step, weights, alpha, boundary=0.0)


@settings(deadline=None, max_examples=40)
@given(WEIGHTS, st.sampled_from([0.0, 0.125, 0.375, 0.75]), st.sampled_from([3, 4, 8, 16]))
def test_offset_round_is_the_papers_equations(weights, gamma, bits):
    largest, threshold = np.max(np.abs(weights)), gamma * np.std(weights)
    assume(largest > 1e-3)
    assume(largest - threshold > 0.1 * largest)
    expected, step = offset_round_reference(weights, gamma, bits)
    assert_same_weights(offset_round_rule(weights, gamma, bits), expected, step, weights, gamma, boundary=0.5)


@settings(deadline=None, max_examples=40)
@given(WEIGHTS, st.sampled_from([0.0, 0.5, 1.25, 2.0]), st.sampled_from([2, 4, 8, 16]), st.booleans())
def test_shadow_rounds_what_is_kept(weights, alpha, bits, by_channel):
    assume(np.max(np.abs(weights)) > 1e-3)
    weights = np.where(np.abs(weights) < 1e-3, np.float32(0), weights)
    expected, step = shadow_reference(weights, alpha, bits, by_channel=by_channel)
    compressed = shadow_rule(weights, alpha, bits, by_channel=by_channel)
    assert_same_weights(compressed, expected, step, weights, alpha, boundary=0.5)
    assert np.shape(compressed.step) == (weights.shape[-1:] if by_channel else ())


@settings(deadline=None, max_examples=40)
@given(
    WEIGHTS,
    st.floats(0, 4.9),
    st.integers(2, 16),
    st.sampled_from([{"rule": "Floor"}, {"rule": "Shadow"}, {"rule": "Shadow", "granularity": "Channel"}]),
)
def test_codes_are_whole_numbers_of_b_bits(weights, alpha, bits, fields):
    compressed = compress(weights, Compression(alpha=alpha, bits=bits, **fields))
    codes = np.asarray(compressed.codes)
    assert np.array_equal(codes, np.round(codes))
    assert np.max(np.abs(codes)) <= largest_code(bits)
    assert count_bits(codes) <= bits


@settings(deadline=None, max_examples=40)
@given(WEIGHTS, st.integers(2, 16))
def test_floor_never_moves_a_weight_up_nor_by_more_than_a_step(weights, bits):
    compressed = floor_rule(weights, 0.0, bits)
    step = float(compressed.step)
    loss = weights - np.asarray(compressed.weights)
    assert np.all(loss >= -1e-2 * step)
    assert np.all(loss <= step * (1 + 1e-2))


@settings(deadline=None, max_examples=40)
@given(WEIGHTS, st.floats(0, 3), st.integers(2, 16), st.booleans())
def test_shadow_changes_nothing_when_it_is_applied_again(weights, alpha, bits, by_channel):
    """So that no zero drifts and no code moves between the last step and the export."""
    once = shadow_rule(weights, alpha, bits, by_channel=by_channel)
    compressed = np.asarray(once.weights)
    again = shadow_rule(compressed, alpha, bits, by_channel=by_channel, mask=np.asarray(once.codes) != 0)
    assert np.array_equal(np.asarray(again.codes), np.asarray(once.codes))


def test_floor_takes_every_small_update_for_a_step_down():
    """Why overwriting with it learns nothing: updates without a direction drive the weights down."""
    random = np.random.default_rng(1)
    once = floor_rule(random.normal(size=10_000).astype(np.float32), 0.0, 8)
    step = float(once.step)
    inner = np.abs(np.asarray(once.codes)) < 100
    updated = np.asarray(once.weights) + random.choice([-0.1, 0.1], 10_000).astype(np.float32) * step * inner
    again = floor_rule(updated, 0.0, 8)
    moved = np.asarray(again.weights) - np.asarray(once.weights)
    assert np.mean(moved[inner]) == pytest.approx(-step / 2, rel=0.05)


def test_offset_round_moves_weights_again_only_where_it_prunes():
    """Without pruning the grid stays, so an update of less than half a step is lost; with pruning the grid moves."""
    start = np.random.default_rng(1).normal(size=1000).astype(np.float32)

    def moved(gamma):
        once = np.asarray(offset_round_rule(start, gamma, 8).weights)
        again = np.asarray(offset_round_rule(once, gamma, 8).weights)
        return np.max(np.abs(again - once)) / float(offset_round_rule(once, gamma, 8).step)

    assert moved(0.0) < 1e-3
    assert moved(0.125) > 0.1


@pytest.mark.parametrize(("largest", "deviation"), [(1.0, 0.3), (4.0, 1.0)])
def test_codes_of_offset_round_exceed_b_bits_and_are_counted(largest, deviation):
    weights = np.random.default_rng(2).normal(0, deviation, 100_000).clip(-largest, largest).astype(np.float32)
    compressed = offset_round_rule(weights, 0.5, 8)
    codes, beta = np.asarray(compressed.codes), 0.5 * np.std(weights)
    assert np.max(np.abs(codes)) == np.rint(127 * largest / (largest - beta)) > 127
    assert count_bits(codes) == 9
    assert int(compressed.saturated) == 0


def test_offset_round_has_a_step_where_all_weights_are_the_threshold():
    weights = np.array([0.5, -0.5], np.float32)  # whose standard deviation is 0.5
    compressed = offset_round_rule(weights, 1.0, 8)
    assert np.asarray(compressed.weights) == pytest.approx(weights)
    assert float(compressed.step) == pytest.approx(0.5 / 127)


@pytest.mark.parametrize(("largest", "bits"), [(0, 1), (1, 2), (127, 8), (128, 9), (145, 9), (255, 9), (256, 10)])
def test_bits_are_those_of_a_signed_integer(largest, bits):
    assert count_bits(np.array([0, -largest, largest // 2], np.float32)) == bits


def test_a_mask_replaces_the_threshold():
    weights = np.array([3.0, 0.1, -2.0], np.float32)
    mask = np.array([True, True, False])
    compressed = compress(weights, Compression(alpha=1.25, bits=8, rule="Shadow"), mask=mask)
    assert np.asarray(compressed.codes).tolist() == [127, 4, 0]
    assert int(compressed.kept) == 2


def test_alpha_may_rise():
    weights = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    compression = Compression(alpha=2.0, bits=8, rule="Shadow")
    kept = [int(compress(weights, compression, alpha=np.float32(alpha)).kept) for alpha in (0.0, 1.0, 2.0)]
    assert kept[0] == 1000
    assert kept[0] > kept[1] > kept[2] == int(compress(weights, compression).kept)


def test_32_bits_prune_only():
    weights = np.array([-2.0, -0.1, 0.0, 0.1, 2.0], np.float32)
    compressed = floor_rule(weights, 0.5, 32)
    assert np.asarray(compressed.weights).tolist() == [-2.0, 0.0, 0.0, 0.0, 2.0]
    assert (float(compressed.step), int(compressed.saturated)) == (1.0, 0)


def test_a_hand_worked_example():
    weights = np.array([-3.0, -1.0, -0.5, 0.5, 1.4, 3.0], np.float32)
    compressed = floor_rule(weights, 0.25, 3)
    assert float(compressed.step) == 1.0
    # -0.5 is above the threshold 0.47 and goes down to -1, where 0.5 goes to 0: floor is not symmetric
    assert np.asarray(compressed.codes).tolist() == [-3, -1, -1, 0, 1, 3]


def test_codes_beyond_the_edge_are_held_and_counted():
    # in float32, 0.1 / (0.1 / 127) is a little over 127, so that floor(-W / q) is -128
    weights = np.array([-0.1, 0.05], np.float32)
    below = np.floor(weights[0] / np.float32(weights[0] / np.float32(-127)))
    compressed = floor_rule(weights, 0, 8)
    assert int(compressed.saturated) == int(below < -127)
    assert float(np.asarray(compressed.codes)[0]) == max(below, -127)


def test_some_tensor_does_saturate():
    maxima = np.random.default_rng(0).uniform(0.01, 1, 200).astype(np.float32)
    saturated = [int(floor_rule(np.array([-m, m / 3], np.float32), 0, 8).saturated) for m in maxima]
    assert 0 < sum(saturated) < 200


@pytest.mark.parametrize("rule", ["Floor", "OffsetRound", "Shadow"])
def test_weights_too_small_to_divide_become_zero(rule):
    smallest = np.array([1.2e-38, -1.2e-38, 0.0], np.float32)
    compressed = compress(smallest, Compression(alpha=0.5, bits=8, rule=rule))
    assert np.all(np.abs(np.asarray(compressed.weights)) <= 1)
    assert set(np.asarray(compressed.codes).tolist()) <= {0.0, -1.0}


def test_a_tensor_of_zeros_stays_so():
    compressed = floor_rule(np.zeros((3, 3), np.float32), 1.25, 8)
    assert not np.any(np.asarray(compressed.weights))
    assert float(compressed.step) == 1.0


@pytest.mark.parametrize(("alpha", "expected"), [(0.5, 0.3829), (1.25, 0.7887), (2.0, 0.9545)])
def test_gaussian_weights_are_pruned_as_the_normal_law_says(alpha, expected):
    weights = np.random.default_rng(0).normal(size=400_000).astype(np.float32)
    assert 1 - np.mean(np.asarray(keep_mask(weights, alpha))) == pytest.approx(expected, abs=0.003)


def test_the_step_follows_equation_4():
    weights = np.array([0.3, -1.27], np.float32)
    assert float(quantisation_step(np.max(np.abs(weights)), 8)) == pytest.approx(0.01, rel=1e-6)


KERNELS = st.sampled_from([(5, 4), (2, 3, 2, 8)]).flatmap(
    lambda shape: arrays.arrays(np.float32, shape, elements=ELEMENTS)
)


def loudest_reference(weights, sparsity):
    """By plain sorting: the quietest round(sparsity x count) go, and equals of the quietest that stays stay."""
    norms = np.square(weights.reshape(-1, weights.shape[-1])).sum(axis=0)
    gone = min(int(np.rint(np.float32(sparsity) * norms.size)), norms.size - 1)
    return norms >= np.sort(norms)[gone] * (1 - 1e-6)


@settings(deadline=None, max_examples=40)
@given(KERNELS, st.sampled_from([0.0, 3.0, 100.0]))
def test_the_moments_of_channels_are_theirs_also_far_from_zero(weights, offset):
    weights = weights + np.float32(offset)
    columns = weights.reshape(-1, weights.shape[-1]).astype(np.float64)
    moments = measure_channels(weights)
    np.testing.assert_allclose(np.asarray(moments.mean), columns.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(moments.largest), np.abs(columns).max(axis=0))
    squares = np.square(columns - columns.mean(axis=0)).sum(axis=0)
    np.testing.assert_allclose(np.asarray(moments.squares), squares, rtol=1e-3, atol=1e-7 * (1 + offset) ** 2)


@settings(deadline=None, max_examples=40)
@given(KERNELS, st.sampled_from([0.0, 0.5, 1.25]), st.sampled_from([4, 8, 32]), st.booleans())
def test_what_is_measured_by_moments_is_what_is_measured_without(weights, alpha, bits, by_channel):
    granularity = "Channel" if by_channel else "Tensor"
    compression = Compression(alpha=alpha, bits=bits, rule="Shadow", granularity=granularity)
    plain, found = measure(weights, compression), measure(weights, compression, moments=measure_channels(weights))
    columns = weights.reshape(-1, weights.shape[-1])
    edges = np.abs(columns).max(axis=0) if by_channel else np.abs(columns).max()
    unsure = np.isclose(edges, alpha * np.std(weights), rtol=1e-4, atol=1e-6)  # the largest is on the threshold
    assume(not np.any(unsure))
    np.testing.assert_allclose(
        found.threshold, np.broadcast_to(plain.threshold, columns.shape[-1:]), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(found.step, plain.step, rtol=1e-6)


@settings(deadline=None, max_examples=40)
@given(KERNELS, st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.99, 1.0]))
def test_the_channels_with_the_smallest_norms_go(weights, sparsity):
    found = np.asarray(keep_channels(weights, sparsity))
    expected = loudest_reference(weights, sparsity)
    norms = np.square(weights.reshape(-1, weights.shape[-1])).sum(axis=0)
    edge = np.isclose(norms, norms[expected].min(), rtol=1e-5)  # the order of a sum may tell equals apart
    assert np.array_equal(found | edge, expected | edge)
    assert found.any()
    assert found.sum() >= round((1 - sparsity) * found.size)


@settings(deadline=None, max_examples=40)
@given(KERNELS, st.sampled_from([0.0, 0.5, 1.25]), st.sampled_from([4, 8, 32]), st.integers(0, 255), st.booleans())
def test_what_is_left_of_the_channels_is_compressed_as_if_the_others_were_not_there(
    weights, alpha, bits, which, by_channel
):
    channels = np.array([bool(which >> place & 1) for place in range(weights.shape[-1])])
    weights = np.where(np.abs(weights) < 1e-3, np.float32(0), weights)
    assume(channels.any() and np.max(np.abs(weights[..., channels])) > 1e-3)
    granularity = "Channel" if by_channel else "Tensor"
    compression = Compression(alpha=alpha, bits=bits, rule="Shadow", granularity=granularity)
    found = np.asarray(compress(weights, compression, channels=channels).weights)
    alone = np.asarray(compress(weights[..., channels], compression).weights)
    assert not found[..., ~channels].any()
    kept = weights[..., channels]
    unsure = np.isclose(np.abs(kept), alpha * np.std(kept), rtol=1e-4)  # on the threshold
    step = np.max(np.abs(kept)) / largest_code(bits)  # the largest there is, where each channel has its own
    assert np.all(unsure | (np.abs(found[..., channels] - alone) <= 1.01 * step))
    assert np.mean(unsure | np.isclose(found[..., channels], alone, rtol=1e-4, atol=1e-6)) > 0.9
    mask = np.asarray(keep_mask(weights, alpha, channels))
    assert np.array_equal(mask[..., channels] | unsure, (np.abs(kept) >= alpha * np.std(kept)) | unsure)
    assert not mask[..., ~channels].any()
