"""The networks. Each takes raw pixels 0..255 as float32, so that no client has to know how images are scaled."""

from typing import Any

import keras
from keras import layers

from model_artifact.recipe import Architecture
from model_builder.errors import BuildError

INPUT = "image"
OUTPUT = "probabilities"
SMALLEST_SIDE: dict[Architecture, int] = {"CNN": 8, "SmallCNN": 4, "VGG16": 32}

_VGG16_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def build_network(architecture: Architecture, image_shape: tuple[int, int, int], classes: int) -> tuple[Any, Any]:
    """The symbolic input and output of a network with fresh weights.

    Args:
        architecture: which one.
        image_shape: (height, width, channels).
        classes: length of the softmax output.

    Raises:
        BuildError: when the images are too small for the network's pooling.
    """
    if min(image_shape[:2]) < SMALLEST_SIDE[architecture]:
        side = SMALLEST_SIDE[architecture]
        raise BuildError(
            f"{architecture} pools images down from at least {side}x{side} pixels, but these are"
            f" {image_shape[0]}x{image_shape[1]}; choose SmallCNN or another data set"
        )
    image = keras.Input(image_shape, name=INPUT, dtype="float32")
    scaled = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    features = {"CNN": _cnn, "SmallCNN": _small_cnn, "VGG16": _vgg16}[architecture](scaled)
    return image, layers.Dense(classes, activation="softmax", name=OUTPUT)(features)


def _cnn(x: Any) -> Any:
    """Paper 004, section III B: 5 convolutions with batch normalisation, 2 max-pools, 4 dense layers, dropout.

    The paper gives about 2.1 M parameters and no widths; these are ours: 2.12 M for 32x32x3 images and 10 classes.
    Normalisation follows the activation, so that the deployed graph keeps it apart from the convolution's weights.
    """
    for filters, pooled in ((32, True), (64, False), (64, True), (96, False), (64, False)):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D()(x) if pooled else x
    x = layers.Flatten()(x)
    for units in (440, 256, 128):
        x = layers.Dense(units, activation="relu")(x)
        x = layers.Dropout(0.3)(x)
    return x


def _small_cnn(x: Any) -> Any:
    """Two convolutions and one hidden layer, for tests and small images."""
    for filters in (16, 32):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D()(x)
    return layers.Dense(64, activation="relu")(layers.Flatten()(x))


def _vgg16(x: Any) -> Any:
    """Paper 000, table I: 13 convolutions in five pooled blocks, two dense layers of 4096; no normalisation."""
    for block in _VGG16_BLOCKS:
        for filters in block:
            x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dense(4096, activation="relu")(x)
    return x
