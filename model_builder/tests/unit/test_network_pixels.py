"""A small U-Net in every form: upsampling, concatenation, and classes of pixels."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from plain_litert import plain_answers

from model_artifact.recipe import Compression
from model_builder.errors import ModelError
from model_builder.flatbuffer import render_model
from model_builder.forward import run_forward
from model_builder.forward_check import FLOAT_TOLERANCE, ROUNDED_TOLERANCE, check_model, relative_difference
from model_builder.network import infer_shapes
from model_builder.network_passes import fold_normalisation, fuse_activations
from model_builder.network_reading import code_kernel, read_network
from model_builder.quantisation import measure_grids
from model_builder.rules import compress
from model_builder.saved_model import FloatNetwork
from model_builder.zero_channels import remove_zero_channels

SHAPE = (12, 18, 2)


def make_images():
    """Ten images of coarse patches, as different from each other as photographs are."""
    rng = np.random.default_rng(1)
    coarse = rng.uniform(0, 255, (10, 3, 3, 2)).repeat(4, axis=1).repeat(6, axis=2)
    return np.clip(coarse + rng.normal(0, 6, (10, *SHAPE)), 0, 255).astype(np.uint8)


IMAGES = make_images()


@pytest.fixture(scope="module")
def model():
    """Two scales, by factors that are no powers of two; what is concatenated has different ranges."""
    keras.utils.set_random_seed(2)
    image = keras.Input(SHAPE, name="image")
    top = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    top = layers.Conv2D(6, 3, padding="same", activation="relu")(top)
    x = layers.MaxPooling2D((2, 3))(top)
    x = layers.Conv2D(9, 3, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    lowest = layers.MaxPooling2D((3, 3))(x)
    lowest = layers.Conv2D(8, 1, activation="relu", kernel_initializer="he_uniform")(lowest)
    x = layers.Concatenate()([x, layers.UpSampling2D((3, 3))(lowest)])
    x = layers.Conv2D(7, 3, padding="same", activation="relu")(x)
    x = layers.Concatenate(axis=3)([layers.UpSampling2D((2, 3))(x), top, top])
    x = layers.Conv2D(3, 1, kernel_initializer=keras.initializers.RandomNormal(0, 1))(x)
    return keras.Model(image, layers.Softmax(name="probabilities")(x))


def prepared(model, bits=8, **rule):
    compression = Compression(**{"alpha": 0.3, "bits": bits, "rule": "Shadow", **rule})
    kernels = {
        variable.path: code_kernel(compress(variable.value, compression), bits)
        for variable in model.trainable_variables
        if variable.path.endswith("/kernel")
    }
    return fuse_activations(fold_normalisation(read_network(model, kernels)))


def test_numpy_and_tensorflow_answer_as_keras_does(model):
    expected = model.predict(IMAGES.astype(np.float32), verbose=0)
    network = prepared(model, bits=32, alpha=0)
    assert np.abs(run_forward(network, IMAGES) - expected).max() < 1e-5
    assert np.abs(FloatNetwork(network).predict(IMAGES) - expected).max() < 1e-5


def test_shapes_are_those_of_keras(model):
    shapes = infer_shapes(prepared(model))
    assert shapes["probabilities"] == (12, 18, 3)
    assert sorted(shapes[name][-1] for name in shapes if name.startswith("concatenate")) == [17, 19]


@pytest.mark.parametrize(
    ("bits", "activations"), [(8, "Float"), (8, "Dynamic"), (8, "Integer"), (4, "Integer"), (12, "Dynamic")]
)
def test_every_form_answers_as_numpy_with_either_kernels(model, bits, activations):
    network = prepared(model, bits)
    grids = measure_grids(network, IMAGES) if activations == "Integer" else None
    data = render_model(network, grids, floats=activations == "Float", metadata={})
    found = check_model(data, network, IMAGES, grids, floats=activations == "Float")
    exact = activations == "Float" or bits > 8
    assert found < (FLOAT_TOLERANCE if exact else ROUNDED_TOLERANCE) / 2
    floats = run_forward(network, IMAGES)
    assert relative_difference(plain_answers(data, IMAGES), floats, probabilities=True) < (1e-4 if exact else 0.1)
    assert np.mean(plain_answers(data, IMAGES).argmax(-1) == floats.argmax(-1)) > 0.96


@pytest.mark.parametrize("activations", ["Float", "Integer"])
def test_an_upsampling_repeats_pixels_exactly(activations):
    """Factors whose reciprocals round down and up."""
    image = keras.Input((3, 4, 1), name="image")
    x = layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")(image)
    model = keras.Model(image, layers.UpSampling2D((7, 13))(x))
    network = read_network(model, {model.weights[0].path: code_kernel(compress(model.weights[0].value, ONES), 8)})
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 4, 1), np.uint8)
    grids = measure_grids(network, images) if activations == "Integer" else None
    data = render_model(network, grids, floats=activations == "Float", metadata={})
    interpreter = Interpreter(model_content=data)
    interpreter.resize_tensor_input(0, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, images.astype(np.float32))
    interpreter.invoke()
    answers = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected = images.repeat(7, axis=1).repeat(13, axis=2)
    assert np.abs(answers - expected).max() <= (1e-4 if activations == "Float" else 1.01)


ONES = Compression(alpha=0, bits=8, rule="Shadow")


def empty_first_channels(network):
    for layer in network.weighted:
        layer.codes[..., 0] = 0
    return network


def test_channels_that_are_concatenated_stay(model):
    network, removed = remove_zero_channels(empty_first_channels(prepared(model)))
    assert removed == {}
    assert len(network.weighted) == 5


def test_channels_without_weights_go_through_an_upsampling():
    image = keras.Input(SHAPE, name="image")
    x = layers.Conv2D(5, 3, activation="relu", bias_initializer="ones")(image)
    x = layers.Conv2D(4, 3, name="read")(layers.UpSampling2D(2)(x))
    network = empty_first_channels(prepared(keras.Model(image, x)))
    smaller, removed = remove_zero_channels(network)
    assert list(removed.values()) == [1]
    assert np.abs(run_forward(smaller, IMAGES) - run_forward(network, IMAGES)).max() < 1e-4


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (layers.UpSampling2D(2, interpolation="bilinear", name="up"), "up: interpolation must be nearest"),
        (layers.Softmax(axis=1, name="soft"), "soft: axis must be the last one"),
    ],
)
def test_what_cannot_be_deployed_is_named(layer, words):
    image = keras.Input((4, 4, 3))
    with pytest.raises(ModelError, match=words):
        read_network(keras.Model(image, layer(image)), {})


def test_rows_behind_each_other_are_refused():
    image = keras.Input((4, 4, 3))
    with pytest.raises(ModelError, match="rows: axis must be the last one"):
        read_network(keras.Model(image, layers.Concatenate(axis=1, name="rows")([image, image])), {})
