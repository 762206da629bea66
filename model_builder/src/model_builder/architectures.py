"""The networks. Each takes raw pixels 0..255 as float32, so that no client has to know how images are scaled."""

from collections import Counter
from typing import Any

import keras
from keras import layers

from model_artifact.recipe import Architecture, Precision, TrainingRecipe
from model_builder.errors import BuildError
from model_builder.network import INPUT, OUTPUT

SMALLEST_SIDE: dict[Architecture, int] = {"CNN": 8, "SmallCNN": 4, "VGG16": 32}

_VGG16_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_POLICIES: dict[Precision, str] = {"Float32": "float32", "BFloat16": "mixed_bfloat16"}


def build_network(
    architecture: Architecture,
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    recipe: TrainingRecipe = "Published",
    precision: Precision = "Float32",
    logits: bool = False,
) -> tuple[Any, Any]:
    """The symbolic input and output of a network with fresh weights.

    Args:
        architecture: which one.
        image_shape: (height, width, channels).
        classes: length of the softmax output.
        recipe: Strong normalises after every convolution and hidden dense layer, before its activation. The CNN, which
            normalises its convolutions as published, stays as it is. Strong draws the kernels of all networks from a
            normal distribution in place of an even one, of the same variance (Glorot's).
        precision: of what the layers compute; their weights, the scaling of pixels and the output are float32.
        logits: leave the softmax out, which training does for the sake of exact gradients.

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
    scaled = layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32")(image)
    network = _Layers(strong=recipe == "Strong", dtype=_POLICIES[precision], trains=logits)
    features = {"CNN": _cnn, "SmallCNN": _small_cnn, "VGG16": _vgg16}[architecture](network, scaled)
    activation = "linear" if logits else "softmax"
    output = {"activation": activation, "name": OUTPUT, "dtype": "float32", "kernel_initializer": network.draw()}
    return image, layers.Dense(classes, **output)(features)


class _Layers:
    """Layers as the recipe and the precision want them, named as Keras names them in a fresh process.

    So a kernel has the same name whatever else the process has built.
    """

    def __init__(self, *, strong: bool, dtype: str, trains: bool) -> None:
        self._strong, self._dtype = strong, dtype
        self._convolution, self._normalisation = layers.Conv2D, layers.BatchNormalization
        if trains and keras.backend.backend() == "tensorflow":
            from model_builder import tensorflow_layers as faster

            self._normalisation = faster.OnePassBatchNormalization
            self._convolution = faster.SmallMapConv2D if dtype == _POLICIES["BFloat16"] else layers.Conv2D
        self._counts: Counter[str] = Counter()

    def draw(self) -> Any:
        """What a kernel's first weights are drawn from; a new one each time, since each has a seed.

        Of an even distribution nothing lies beyond sqrt(3) = 1.73 standard deviations: larger alphas would begin with
        zeros alone, and what few epochs leave of it takes more bits.
        """
        if not self._strong:
            return keras.initializers.GlorotUniform()
        return keras.initializers.VarianceScaling(1.0, "fan_avg", "untruncated_normal")

    def _place(self, kind: str, make: Any, x: Any, *arguments: Any, **options: Any) -> Any:
        count = self._counts[kind]
        self._counts[kind] += 1
        return make(*arguments, name=f"{kind}_{count}" if count else kind, dtype=self._dtype, **options)(x)

    def convolve(self, x: Any, filters: int, *, normalised_here: bool = True) -> Any:
        """A 3x3 convolution and ReLU, with normalisation between them where the recipe has it."""
        normalised = self._strong and normalised_here
        activation = "linear" if normalised else "relu"
        drawn = self.draw()
        x = self._place(
            "conv2d", self._convolution, x, filters, 3, padding="same", activation=activation, kernel_initializer=drawn
        )
        return self._normalise_and_activate(x) if normalised else x

    def connect(self, x: Any, units: int, *, normalised_here: bool = True) -> Any:
        """A dense layer and ReLU, likewise."""
        normalised = self._strong and normalised_here
        activation = "linear" if normalised else "relu"
        x = self._place("dense", layers.Dense, x, units, activation=activation, kernel_initializer=self.draw())
        return self._normalise_and_activate(x) if normalised else x

    def _normalise_and_activate(self, x: Any) -> Any:
        x = self._place("batch_normalization", self._normalisation, x, momentum=0.9)
        return self._place("re_lu", layers.ReLU, x)

    def normalise(self, x: Any) -> Any:
        return self._place("batch_normalization", self._normalisation, x)

    def pool(self, x: Any) -> Any:
        return self._place("max_pooling2d", layers.MaxPooling2D, x)

    def flatten(self, x: Any) -> Any:
        return self._place("flatten", layers.Flatten, x)

    def drop(self, x: Any, rate: float) -> Any:
        return self._place("dropout", layers.Dropout, x, rate)


def _cnn(network: _Layers, x: Any) -> Any:
    """Paper 004, section III B: 5 convolutions with batch normalisation, 2 max-pools, 4 dense layers, dropout.

    The paper gives about 2.1 M parameters and no widths; these are ours: 2.12 M for 32x32x3 images and 10 classes.
    Normalisation follows the activation, so that the deployed graph keeps it apart from the convolution's weights.
    """
    for filters, pooled in ((32, True), (64, False), (64, True), (96, False), (64, False)):
        x = network.normalise(network.convolve(x, filters, normalised_here=False))
        x = network.pool(x) if pooled else x
    x = network.flatten(x)
    for units in (440, 256, 128):
        x = network.drop(network.connect(x, units, normalised_here=False), 0.3)
    return x


def _small_cnn(network: _Layers, x: Any) -> Any:
    """Two convolutions and one hidden layer, for tests and small images."""
    for filters in (16, 32):
        x = network.convolve(x, filters)
    return network.connect(network.flatten(network.pool(x)), 64)


def _vgg16(network: _Layers, x: Any) -> Any:
    """Paper 000, table I: 13 convolutions in five pooled blocks, two dense layers of 4096; no normalisation."""
    for block in _VGG16_BLOCKS:
        for filters in block:
            x = network.convolve(x, filters)
        x = network.pool(x)
    x = network.flatten(x)
    for _ in range(2):
        x = network.connect(x, 4096)
    return x
