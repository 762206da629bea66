"""The deployed network as plain data: what is checked, made smaller and written.

Pure: numpy alone. A network is a list of layers in the order in which they run; each names the layers that it reads.
Activations are (n, height, width, channels) or (n, features), kernels as Keras has them: (height, width, in, out) or
(in, out). Nothing is changed in place; `dataclasses.replace` makes the next network.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Fused = Literal["linear", "relu", "relu6"]
Curve = Literal["relu", "relu6", "softmax", "sigmoid", "tanh"]
Padding = Literal["SAME", "VALID"]
Shape = tuple[int, ...]

INPUT = "image"
OUTPUT = "probabilities"
VALUES = "values"
"""What a network calls its answer that learnt numbers."""
REGRESS_SIGNATURE = "regress"
"""From serialised tf.Examples to one number each, beside the signature that takes images."""


@dataclass(frozen=True)
class Layer:
    """One operation.

    Attributes:
        name: of the layer and of what it gives.
        inputs: the layers whose results it reads, or INPUT.
    """

    name: str
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Weighted(Layer):
    """A convolution or dense layer: fused(x . (codes * step) * multiplier + bias).

    Attributes:
        kernel: the path of the variable that the weights came from.
        codes: whole numbers of an integer type, or float32 weights that are not quantised.
        step: what the codes are multiplied with; None for weights that are not quantised.
        multiplier: one factor for each output channel, where a rule or a normalisation gives them.
        bias: float32, one number for each output channel.
        fused: what the result goes through.
    """

    kernel: str
    codes: Array
    step: np.float32 | None
    multiplier: Array | None
    bias: Array
    fused: Fused = "linear"

    @property
    def channels(self) -> int:
        """How many output channels or units there are."""
        return int(self.codes.shape[-1])

    @property
    def weights(self) -> Array:
        """The product codes * step, float32, without the multiplier."""
        return self.codes.astype(np.float32) * np.float32(1 if self.step is None else self.step)

    @property
    def steps(self) -> Array:
        """What a code of each output channel is worth: step * multiplier, float32."""
        step = np.float32(1 if self.step is None else self.step)
        return np.full(self.channels, step) if self.multiplier is None else step * self.multiplier


@dataclass(frozen=True)
class Convolution(Weighted):
    """A convolution over height and width."""

    strides: tuple[int, int] = (1, 1)
    padding: Padding = "SAME"


@dataclass(frozen=True)
class Dense(Weighted):
    """A dense layer over (n, features)."""


@dataclass(frozen=True)
class Affine(Layer):
    """fused(x * multiplier + offset), both one number for each channel: a normalisation, or a scaling of pixels."""

    multiplier: Array
    offset: Array
    fused: Fused = "linear"


@dataclass(frozen=True)
class Activation(Layer):
    """A curve on its own."""

    curve: Curve


@dataclass(frozen=True)
class Pooling(Layer):
    """The maximum or the average of each window; what pads an average counts for nothing."""

    kind: Literal["maximum", "average"]
    size: tuple[int, int]
    strides: tuple[int, int]
    padding: Padding


@dataclass(frozen=True)
class Upsampling(Layer):
    """Each pixel repeated: so many rows, so many columns."""

    size: tuple[int, int]


@dataclass(frozen=True)
class Concatenation(Layer):
    """The channels of all that it reads, behind each other."""


@dataclass(frozen=True)
class GlobalAverage(Layer):
    """The average over height and width."""


@dataclass(frozen=True)
class Flatten(Layer):
    """(n, height, width, channels) -> (n, features), channels fastest."""


@dataclass(frozen=True)
class Addition(Layer):
    """fused(a + b)."""

    fused: Fused = "linear"


@dataclass(frozen=True)
class Network:
    """A whole network with one input and one output, the last layer.

    Attributes:
        image_shape: (height, width, channels) of the input INPUT.
        layers: each after those that it reads.
        answer: what clients know the output by.
    """

    image_shape: Shape
    layers: tuple[Layer, ...]
    answer: str = OUTPUT

    @property
    def output(self) -> str:
        """The name of the last layer."""
        return self.layers[-1].name

    @property
    def weighted(self) -> list[Weighted]:
        """The layers that have a kernel, in order."""
        return [layer for layer in self.layers if isinstance(layer, Weighted)]

    def readers(self, name: str) -> list[Layer]:
        """The layers that read what this one gives."""
        return [layer for layer in self.layers if name in layer.inputs]

    def replaced(self, changed: Mapping[str, Layer]) -> "Network":
        """The network with other layers under some of its names."""
        return replace(self, layers=tuple(changed.get(layer.name, layer) for layer in self.layers))

    def without(self, removed: Layer, successor: Layer) -> "Network":
        """The network in which `successor` has taken the place of its namesake and of `removed`, which read it."""
        layers = []
        for layer in self.layers:
            if layer.name == removed.name:
                continue
            if removed.name in layer.inputs:
                inputs = tuple(successor.name if name == removed.name else name for name in layer.inputs)
                layers.append(replace(layer, inputs=inputs))
            else:
                layers.append(successor if layer.name == successor.name else layer)
        return replace(self, layers=tuple(layers))


def infer_shapes(network: Network) -> dict[str, Shape]:
    """What each layer gives for one image, without the batch, by name."""
    shapes: dict[str, Shape] = {INPUT: tuple(network.image_shape)}
    for layer in network.layers:
        shapes[layer.name] = _infer_shape(layer, [shapes[name] for name in layer.inputs])
    return shapes


def regresses(network: Network) -> bool:
    """Whether it answers one number, which TensorFlow Serving's Regress can hand over."""
    return network.answer == VALUES and infer_shapes(network)[network.output] == (1,)


def _infer_shape(layer: Layer, read: list[Shape]) -> Shape:  # noqa: PLR0911 one for each kind
    given = read[0]
    match layer:
        case Convolution():
            return (*window_counts(given, layer.codes.shape[:2], layer.strides, layer.padding), layer.channels)
        case Dense():
            return (layer.channels,)
        case Pooling():
            return (*window_counts(given, layer.size, layer.strides, layer.padding), given[-1])
        case Upsampling():
            return (given[0] * layer.size[0], given[1] * layer.size[1], given[2])
        case Concatenation():
            return (*given[:-1], sum(shape[-1] for shape in read))
        case GlobalAverage():
            return given[-1:]
        case Flatten():
            return (int(np.prod(given)),)
    return given


def window_counts(given: Shape, size: Shape, strides: tuple[int, int], padding: Padding) -> tuple[int, int]:
    """How many windows of that size there are along height and width."""
    spans = (extent if padding == "SAME" else extent - window + 1 for extent, window in zip(given, size, strict=False))
    rows, columns = (-(-span // stride) for span, stride in zip(spans, strides, strict=True))
    return rows, columns


def same_padding(given: int, size: int, stride: int) -> tuple[int, int]:
    """Elements before and after that SAME adds along one axis."""
    whole = max((-(-given // stride) - 1) * stride + size - given, 0)
    return whole // 2, whole - whole // 2
