import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from model_artifact.recipe import Compression
from model_builder.rules import floor_rule, largest_code, prune, quantisation_step

WEIGHTS = arrays.arrays(
    np.float32, arrays.array_shapes(min_dims=1, max_dims=4, max_side=6), elements=st.floats(-4, 4, width=32)
)


def reference(weights, alpha, bits):
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


@settings(deadline=None, max_examples=60)
@given(WEIGHTS, st.sampled_from([0.0, 0.5, 1.25, 2.0]), st.sampled_from([2, 4, 8, 12, 16]))
def test_floor_is_the_papers_equations(weights, alpha, bits):
    compressed = floor_rule(weights, Compression(alpha=alpha, bits=bits))
    expected, step = reference(weights, alpha, bits)
    # a weight whose magnitude is the threshold to the last bit may fall on either side
    near = np.isclose(np.abs(weights), alpha * np.std(weights), rtol=1e-5)
    difference = np.abs(np.asarray(compressed.weights) - expected)
    assert np.all(difference[~near] <= 1e-6 * step)


@settings(deadline=None, max_examples=60)
@given(WEIGHTS, st.floats(0, 4.9), st.integers(2, 16))
def test_codes_are_whole_numbers_of_b_bits(weights, alpha, bits):
    codes = np.asarray(floor_rule(weights, Compression(alpha=alpha, bits=bits)).codes)
    assert np.array_equal(codes, np.round(codes))
    assert np.max(np.abs(codes)) <= largest_code(bits)


@settings(deadline=None, max_examples=60)
@given(WEIGHTS, st.integers(2, 16))
def test_floor_never_moves_a_weight_up_nor_by_more_than_a_step(weights, bits):
    compressed = floor_rule(weights, Compression(alpha=0, bits=bits))
    step = float(compressed.step)
    loss = weights - np.asarray(compressed.weights)
    assert np.all(loss >= -1e-5 * step)
    assert np.all(loss <= step * (1 + 1e-5))


def test_32_bits_prune_only():
    weights = np.array([-2.0, -0.1, 0.0, 0.1, 2.0], np.float32)
    compressed = floor_rule(weights, Compression(alpha=0.5, bits=32))
    assert np.asarray(compressed.weights).tolist() == [-2.0, 0.0, 0.0, 0.0, 2.0]
    assert (float(compressed.step), int(compressed.saturated)) == (1.0, 0)


def test_a_hand_worked_example():
    weights = np.array([-3.0, -1.0, -0.5, 0.5, 1.4, 3.0], np.float32)
    compressed = floor_rule(weights, Compression(alpha=0.25, bits=3))
    assert float(compressed.step) == 1.0
    # -0.5 is above the threshold 0.47 and goes down to -1, where 0.5 goes to 0: floor is not symmetric
    assert np.asarray(compressed.codes).tolist() == [-3, -1, -1, 0, 1, 3]


def test_codes_beyond_the_edge_are_held_and_counted():
    # in float32, 0.1 / (0.1 / 127) is a little over 127, so that floor(-W / q) is -128
    weights = np.array([-0.1, 0.05], np.float32)
    below = np.floor(weights[0] / np.float32(weights[0] / np.float32(-127)))
    compressed = floor_rule(weights, Compression(alpha=0, bits=8))
    assert int(compressed.saturated) == int(below < -127)
    assert float(np.asarray(compressed.codes)[0]) == max(below, -127)


def test_some_tensor_does_saturate():
    maxima = np.random.default_rng(0).uniform(0.01, 1, 200).astype(np.float32)
    saturated = [
        int(floor_rule(np.array([-m, m / 3], np.float32), Compression(alpha=0, bits=8)).saturated) for m in maxima
    ]
    assert 0 < sum(saturated) < 200


def test_a_tensor_of_zeros_stays_so():
    compressed = floor_rule(np.zeros((3, 3), np.float32), Compression(alpha=1.25, bits=8))
    assert not np.any(np.asarray(compressed.weights))
    assert float(compressed.step) == 1.0


@pytest.mark.parametrize(("alpha", "expected"), [(0.5, 0.3829), (1.25, 0.7887), (2.0, 0.9545)])
def test_gaussian_weights_are_pruned_as_the_normal_law_says(alpha, expected):
    weights = np.random.default_rng(0).normal(size=400_000).astype(np.float32)
    assert np.mean(np.asarray(prune(weights, alpha)) == 0) == pytest.approx(expected, abs=0.003)


def test_the_step_follows_equation_4():
    weights = np.array([0.3, -1.27], np.float32)
    assert float(quantisation_step(weights, 8)) == pytest.approx(0.01, rel=1e-6)
