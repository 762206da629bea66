from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_builder.forward import run_forward
from model_builder.network import (
    INPUT,
    Activation,
    Addition,
    Affine,
    Convolution,
    Dense,
    Flatten,
    GlobalAverage,
    Network,
    Pooling,
    infer_shapes,
)
from model_builder.zero_channels import remove_zero_channels

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 2), np.uint8)


def convolution(rng, name, source, channels, *, padding="SAME", fused="relu"):
    codes = rng.integers(-5, 6, (3, 3, *channels)).astype(np.int8)
    bias = rng.normal(0, 1, channels[1]).astype(np.float32)
    step = np.float32(0.01)
    return Convolution(name, (source,), name, codes, step, None, bias, fused, (1, 1), padding)


def dense(rng, name, source, features, units, *, fused="relu"):
    codes = rng.integers(-5, 6, (features, units)).astype(np.int8)
    multiplier = rng.uniform(0.5, 2, units).astype(np.float32)
    return Dense(name, (source,), name, codes, np.float32(0.1), multiplier, rng.normal(0, 1, units), fused)


def affine(rng, name, source, channels):
    multiplier, offset = rng.normal(1, 0.5, (2, channels)).astype(np.float32)
    return Affine(name, (source,), multiplier, offset)


def silence(layer, channels):
    codes = layer.codes.copy()
    codes[..., channels] = 0
    return replace(layer, codes=codes)


def make_network(rng, *, padding="SAME", silent=(1, 3), silent_units=(0, 5)):
    """Two convolutions with a normalisation and a pool between them, then two dense layers."""
    first = silence(convolution(rng, "first", INPUT, (2, 5)), list(silent))
    second = silence(convolution(rng, "second", "pool", (5, 4), padding=padding), [2])
    pixels = int(np.prod(_size_behind(padding)))
    hidden = silence(dense(rng, "hidden", "flat", pixels * 4, 8), list(silent_units))
    layers = (
        first,
        affine(rng, "normal", "first", 5),
        Pooling("pool", ("normal",), "maximum", (2, 2), (1, 1), "SAME"),
        second,
        Flatten("flat", ("second",)),
        hidden,
        dense(rng, "logits", "hidden", 8, 3, fused="linear"),
        Activation("answer", ("logits",), "softmax"),
    )
    return Network((6, 6, 2), layers)


def _size_behind(padding):
    return (6, 6) if padding == "SAME" else (4, 4)


def widths(network):
    return {layer.name: layer.channels for layer in network.weighted}


def assert_same_answers(smaller, network):
    expected, found = run_forward(network, IMAGES), run_forward(smaller, IMAGES)
    assert np.abs(found - expected).max() < 1e-5, np.abs(found - expected).max()


def test_silent_channels_go_where_nothing_is_padded():
    network = make_network(np.random.default_rng(1), padding="VALID")
    smaller, removed = remove_zero_channels(network)
    assert removed == {"first": 2, "second": 1, "hidden": 2}
    assert widths(smaller) == {"first": 3, "second": 3, "hidden": 6, "logits": 3}
    assert infer_shapes(smaller)["flat"] == (4 * 4 * 3,)
    assert_same_answers(smaller, network)


def test_before_padding_only_channels_that_give_zero_go():
    network = make_network(np.random.default_rng(1), padding="SAME")
    first, normal = network.layers[0], network.layers[1]
    quiet = replace(first, bias=np.where(np.arange(5) == 1, np.float32(-1), np.float32(1)))  # relu makes channel 1 zero
    network = network.replaced({"first": quiet, "normal": replace(normal, offset=np.zeros(5, np.float32))})
    smaller, removed = remove_zero_channels(network)
    assert removed == {"first": 1, "second": 1, "hidden": 2}
    assert_same_answers(smaller, network)


def test_channels_that_nobody_reads_go_even_with_weights():
    network = make_network(np.random.default_rng(2), silent=())
    second = network.weighted[1]
    codes = second.codes.copy()
    codes[:, :, [0, 4]] = 0
    network = network.replaced({"second": replace(second, codes=codes)})
    smaller, removed = remove_zero_channels(network)
    assert removed["first"] == 2
    assert_same_answers(smaller, network)


def test_removing_goes_on_until_nothing_changes():
    rng = np.random.default_rng(3)
    middle = dense(rng, "middle", "first", 6, 5)
    codes = middle.codes.copy()
    codes[2:4] = 0  # reads units 2 and 3 of `first` never
    codes[0, :] = [3, 0, 0, 0, 0]  # unit 0 of `first` is read by unit 0 alone
    last = dense(rng, "last", "middle", 5, 3, fused="linear")
    unread = last.codes.copy()
    unread[0] = 0  # and that one is read by nobody
    layers = (
        GlobalAverage("mean", (INPUT,)),
        dense(rng, "first", "mean", 2, 6),
        replace(middle, codes=codes),
        replace(last, codes=unread),
    )
    network = Network((6, 6, 2), layers)
    smaller, removed = remove_zero_channels(network)
    assert removed == {"first": 3, "middle": 1}
    assert_same_answers(smaller, network)


def test_one_channel_is_always_kept():
    network = make_network(np.random.default_rng(4), padding="VALID", silent=range(5), silent_units=range(8))
    smaller, removed = remove_zero_channels(network)
    assert removed["hidden"] == 7
    assert min(widths(smaller).values()) == 1
    assert_same_answers(smaller, network)


def test_what_two_layers_read_and_what_is_answered_stay():
    rng = np.random.default_rng(5)
    first, second = (silence(convolution(rng, name, INPUT, (2, 4)), [0, 1]) for name in ("first", "second"))
    third = silence(convolution(rng, "third", "sum", (4, 4), padding="VALID"), [3])
    network = Network((6, 6, 2), (first, second, Addition("sum", ("first", "second")), third))
    smaller, removed = remove_zero_channels(network)
    assert removed == {}
    assert smaller == network


def test_a_normalisation_behind_flatten_keeps_what_is_not_exact():
    rng = np.random.default_rng(6)
    first = silence(convolution(rng, "first", INPUT, (2, 4)), [0])
    layers = (
        first,
        Flatten("flat", ("first",)),
        affine(rng, "normal", "flat", 144),
        dense(rng, "last", "normal", 144, 3),
    )
    network = Network((6, 6, 2), layers)
    assert remove_zero_channels(network)[1] == {}
    last = network.weighted[1]
    codes = last.codes.copy().reshape(36, 4, 3)
    codes[:, 2] = 0
    unread = network.replaced({"last": replace(last, codes=codes.reshape(144, 3))})
    smaller, removed = remove_zero_channels(unread)
    assert removed == {"first": 1}
    assert_same_answers(smaller, unread)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    padding=st.sampled_from(["SAME", "VALID"]),
    silent=st.sets(st.integers(0, 4)),
    units=st.sets(st.integers(0, 7)),
)
def test_answers_never_change(seed, padding, silent, units):
    network = make_network(np.random.default_rng(seed), padding=padding, silent=silent, silent_units=units)
    smaller, removed = remove_zero_channels(network)
    assert_same_answers(smaller, network)
    assert sum(removed.values()) == sum(widths(network).values()) - sum(widths(smaller).values())
    assert remove_zero_channels(smaller)[1] == {}


@pytest.mark.parametrize("kind", ["maximum", "average"])
def test_pools_that_pad_keep_constants(kind):
    rng = np.random.default_rng(7)
    first = silence(convolution(rng, "first", INPUT, (2, 4)), [0, 2])
    pool = Pooling("pool", ("first",), kind, (3, 3), (2, 2), "SAME")
    layers = (first, pool, GlobalAverage("mean", ("pool",)), dense(rng, "last", "mean", 4, 3))
    network = Network((6, 6, 2), layers)
    smaller, removed = remove_zero_channels(network)
    assert removed == {"first": 2}
    assert_same_answers(smaller, network)
