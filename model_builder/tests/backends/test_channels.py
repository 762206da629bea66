import keras
import pytest
from keras import layers

from model_artifact.recipe import Compression
from model_builder.channels import plan_channels
from model_builder.step import is_kernel
from model_builder.training import build_model


def plan(network, **more):
    """What goes with each kernel's channels, by names, where they can go; by the kernel's layer."""
    variables = network.trainable_variables
    kernels = [place for place, variable in enumerate(variables) if is_kernel(variable)]
    rule = Compression(alpha=0, bits=32, rule="Shadow", channel_sparsity=0.5, **more)
    found = plan_channels(network, kernels, rule)
    return {
        variables[kernel].path.split("/")[0]: None if each is None else [variables[place].path for place in each.others]
        for kernel, each in zip(kernels, found, strict=True)
    }


def image():
    return keras.Input((8, 8, 1))


def test_bias_and_normalisation_go_with_a_channel_and_classes_stay(recipe):
    assert plan(build_model(recipe(recipe="Strong"), (8, 8, 1), 10)) == {
        "conv2d": ["conv2d/bias", "batch_normalization/gamma", "batch_normalization/beta"],
        "conv2d_1": ["conv2d_1/bias", "batch_normalization_1/gamma", "batch_normalization_1/beta"],
        "dense": ["dense/bias", "batch_normalization_2/gamma", "batch_normalization_2/beta"],
        "probabilities": None,
    }


def test_a_first_layer_that_stays_dense_keeps_its_channels(recipe):
    model = build_model(recipe(recipe="Strong"), (8, 8, 1), 10)
    whole, spared = plan(model), plan(model, first_and_last_layers="Dense")
    assert spared == whole | {"conv2d": None}
    assert whole["conv2d"] is not None


def test_normalisation_behind_the_activation_goes_too(recipe):
    found = plan(build_model(recipe(architecture="CNN"), (8, 8, 1), 10))
    assert found["conv2d_1"] == ["conv2d_1/bias", "batch_normalization_1/gamma", "batch_normalization_1/beta"]
    assert found["dense"] == ["dense/bias"]


def test_without_bias_or_offset_there_is_less_to_go():
    x = begin = image()
    x = layers.Conv2D(4, 3, use_bias=False, name="a")(x)
    x = layers.BatchNormalization(center=False, name="n")(x)
    x = layers.Flatten()(layers.Activation("tanh")(x))
    assert plan(keras.Model(begin, layers.Dense(3, name="b")(x))) == {"a": ["n/gamma"], "b": None}


def test_a_normalisation_without_a_factor_keeps_the_channels():
    """What it subtracts outside training is a mean from before they were pruned."""
    x = begin = image()
    x = layers.BatchNormalization(scale=False)(layers.Conv2D(4, 3, name="a")(x))
    x = layers.Dense(3, name="b")(layers.Flatten()(x))
    assert plan(keras.Model(begin, x)) == {"a": None, "b": None}


def test_a_normalisation_of_flattened_places_keeps_the_channels():
    x = begin = image()
    x = layers.BatchNormalization()(layers.Flatten()(layers.Conv2D(4, 3, name="a")(x)))
    assert plan(keras.Model(begin, layers.Dense(3, name="b")(x))) == {"a": None, "b": None}


@pytest.mark.parametrize("curve", ["sigmoid", "softmax"])
def test_a_curve_that_makes_something_of_zero_keeps_the_channels(curve):
    x = begin = image()
    x = layers.Conv2D(4, 3, activation=curve, name="own")(x)
    x = layers.Conv2D(4, 3, name="behind")(x)
    x = layers.Flatten()(layers.Activation(curve)(x))
    assert plan(keras.Model(begin, layers.Dense(3, name="last")(x))) == {"own": None, "behind": None, "last": None}


def test_what_is_read_twice_or_added_up_keeps_its_channels():
    begin = image()
    first = layers.Conv2D(4, 3, padding="same", name="first")(begin)
    second = layers.Conv2D(4, 3, padding="same", name="second")(first)
    x = layers.Conv2D(4, 3, name="third")(layers.Add()([first, second]))
    x = layers.Dense(3, name="last")(layers.GlobalAveragePooling2D()(x))
    assert plan(keras.Model(begin, x)) == {"first": None, "second": None, "third": ["third/bias"], "last": None}


def test_a_shift_on_the_way_keeps_the_channels():
    begin = image()
    x = layers.Rescaling(1.0, offset=1.0)(layers.Conv2D(4, 3, name="first")(begin))
    x = layers.Dense(3, name="last")(layers.Flatten()(x))
    assert plan(keras.Model(begin, x)) == {"first": None, "last": None}
