"""A network -> a complete SavedModel, and its answers in float32 by TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model_builder.flatbuffer import SIGNATURE
from model_builder.network import (
    INPUT,
    REGRESS_SIGNATURE,
    Activation,
    Addition,
    Affine,
    Array,
    Concatenation,
    Convolution,
    Dense,
    Flatten,
    GlobalAverage,
    Layer,
    Network,
    Pooling,
    Upsampling,
    Weighted,
    regresses,
)

_CURVES: dict[str, Any] = {
    "linear": tf.identity,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "softmax": tf.nn.softmax,
    "sigmoid": tf.nn.sigmoid,
    "tanh": tf.nn.tanh,
}
_BATCH = 256


class FloatNetwork(tf.Module):  # type: ignore[misc]
    """The network in TensorFlow: float32 weights code * step, float32 activations."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network
        self._parts: dict[str, dict[str, Any]] = {
            layer.name: {part: tf.Variable(array, name=part) for part, array in _parts(layer).items()}
            for layer in network.layers
        }
        self.weights = [variable for parts in self._parts.values() for variable in parts.values()]
        shape = tf.TensorSpec((None, *network.image_shape), tf.float32, name=INPUT)
        name = network.answer
        self.answer = tf.function(lambda image: {name: self._run(image)}, input_signature=[shape], autograph=False)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Answers for images of shape (n, height, width, channels)."""
        batches = (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
        answers = [self.answer(tf.constant(batch, tf.float32))[self._network.answer].numpy() for batch in batches]
        return np.concatenate(answers)

    def save(self, folder: Path) -> None:
        """Write the SavedModel: signature `serving_default`, from `image` to the network's answer, any batch size.

        Where the answer is one number, also `regress`, from serialised tf.Examples with the feature `image`.
        """
        signatures = {SIGNATURE: self.answer}
        if regresses(self._network):
            serialised = tf.TensorSpec((None,), tf.string, name="inputs")
            signatures[REGRESS_SIGNATURE] = tf.function(self._regress, input_signature=[serialised], autograph=False)
        tf.saved_model.save(self, str(folder), signatures=signatures)

    def _regress(self, inputs: Any) -> dict[str, Any]:
        feature = tf.io.FixedLenFeature(self._network.image_shape, tf.float32)
        return {"outputs": self._run(tf.io.parse_example(inputs, {INPUT: feature})[INPUT])}

    def _run(self, image: Any) -> Any:
        results = {INPUT: image}
        for layer in self._network.layers:
            results[layer.name] = _run_layer(layer, [results[name] for name in layer.inputs], self._parts[layer.name])
        return results[self._network.output]


def _parts(layer: Layer) -> dict[str, Array]:
    """The numbers that a layer holds."""
    if isinstance(layer, Weighted):
        parts = {"kernel": layer.weights, "bias": layer.bias}
        return parts if layer.multiplier is None else {**parts, "multiplier": layer.multiplier}
    if isinstance(layer, Affine):
        return {"multiplier": layer.multiplier, "offset": layer.offset}
    return {}


def _run_layer(  # noqa: C901, PLR0911 one for each kind
    layer: Layer, read: list[Any], parts: dict[str, Any]
) -> Any:
    x = read[0]
    match layer:
        case Convolution():
            return _finish(layer, tf.nn.conv2d(x, parts["kernel"], layer.strides, layer.padding), parts)
        case Dense():
            return _finish(layer, tf.matmul(x, parts["kernel"]), parts)
        case Affine():
            return _CURVES[layer.fused](x * parts["multiplier"] + parts["offset"])
        case Activation():
            return _CURVES[layer.curve](x)
        case Pooling():
            pool = tf.nn.max_pool2d if layer.kind == "maximum" else tf.nn.avg_pool2d
            return pool(x, layer.size, layer.strides, layer.padding)
        case Upsampling():
            return tf.repeat(tf.repeat(x, layer.size[0], axis=1), layer.size[1], axis=2)
        case Concatenation():
            return tf.concat(read, axis=-1)
        case GlobalAverage():
            return tf.reduce_mean(x, axis=(1, 2))
        case Flatten():
            return tf.reshape(x, (-1, int(np.prod(x.shape[1:]))))
        case Addition():
            return _CURVES[layer.fused](x + read[1])
    raise TypeError(f"{layer.name}: {type(layer).__name__} has no TensorFlow form")


def _finish(layer: Weighted, total: Any, parts: dict[str, Any]) -> Any:
    scaled = total if layer.multiplier is None else total * parts["multiplier"]
    return _CURVES[layer.fused](scaled + parts["bias"])
