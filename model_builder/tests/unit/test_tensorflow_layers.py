"""The faster layers against those of Keras: values, gradients, moving statistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from model_builder.architectures import build_network
from model_builder.tensorflow_layers import OnePassBatchNormalization, SmallMapConv2D

DTYPES = {"float32": 2e-6, "mixed_bfloat16": 2e-2}
"""How far apart values may be, as a share of the largest: sums in another order; bfloat16 has 8 bits."""


def learn(layer, images, upstream):
    """What the layer answers in training, and the gradients at the images and at its weights."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        answer = layer(images, training=True)
        loss = tf.reduce_sum(tf.cast(answer, "float32") * upstream)
    weights = [variable.value for variable in layer.trainable_variables]
    return [answer, *tape.gradient(loss, [images, *weights])]


def draw(shape, seed, dtype="float32"):
    return tf.cast(np.random.default_rng(seed).normal(0.3, 1.0, shape), dtype)


def twins(kind, theirs, shape, **options):
    """A layer of each kind with the same weights."""
    pair = [make(**options) for make in (kind, theirs)]
    for layer in pair:
        layer.build(shape)
    fresh = [draw(variable.shape, 5 + index) for index, variable in enumerate(pair[0].trainable_variables)]
    for layer in pair:
        for variable, value in zip(layer.trainable_variables, fresh, strict=True):
            variable.assign(value)
    return pair


def assert_like(found, expected, tolerance):
    for pair in zip(found, expected, strict=True):
        ours, theirs = (np.asarray(tf.cast(one, "float32")) for one in pair)
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=tolerance * np.abs(theirs).max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("side", [1, 2, 4, 5, 8, 9])
@pytest.mark.parametrize("kernel_size", [(3, 3), (1, 5)])
def test_a_convolution_answers_and_learns_as_keras_does(side, kernel_size, dtype):
    shape = (3, side, side, 5)
    options = {"filters": 7, "kernel_size": kernel_size, "padding": "same", "activation": "relu", "dtype": dtype}
    ours, theirs = twins(SmallMapConv2D, layers.Conv2D, shape, **options)
    images, upstream = draw(shape, 1, ours.compute_dtype), draw((3, side, side, 7), 2)
    assert_like(learn(ours, images, upstream), learn(theirs, images, upstream), DTYPES[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(16, 4, 4, 6), (32, 6)])
def test_normalisation_answers_learns_and_remembers_as_keras_does(shape, dtype):
    ours, theirs = twins(OnePassBatchNormalization, layers.BatchNormalization, shape, momentum=0.9, dtype=dtype)
    images, upstream = draw(shape, 1, ours.compute_dtype), draw(shape, 2)
    for _ in range(2):
        found, expected = learn(ours, images, upstream), learn(theirs, images, upstream)
    assert_like(found, expected, DTYPES[dtype])
    assert_like([ours.moving_mean, ours.moving_variance], [theirs.moving_mean, theirs.moving_variance], 2e-6)
    assert_like([ours(images, training=False)], [theirs(images, training=False)], 1e-6)


def test_only_what_trains_has_other_layers_and_all_names_are_the_same():
    names = []
    for logits in (False, True):
        keras.utils.clear_session()
        network = keras.Model(
            *build_network("VGG16", (32, 32, 3), 10, recipe="Strong", precision="BFloat16", logits=logits)
        )
        names.append([variable.path for variable in network.variables])
        kinds = {type(layer) for layer in network.layers}
        assert ({SmallMapConv2D, OnePassBatchNormalization} <= kinds) is logits
    assert names[0] == names[1]
