"""Which channels of a Keras network can be pruned as a whole, so that the network without them answers the same.

A pruned channel gives zero at every place: its kernel, its bias and its normalisation are zero, and the curves on the
way keep a zero. Where one layer with weights alone reads it, nothing is left of it, and the export takes it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras import layers

from model_artifact.recipe import Compression
from model_builder.network_reading import list_calls

_CURVES_THROUGH_ZERO = ("linear", "relu", "relu6", "tanh")
_PASSING = (
    layers.Dropout,
    layers.SpatialDropout2D,
    layers.ReLU,
    layers.MaxPooling2D,
    layers.AveragePooling2D,
    layers.GlobalAveragePooling2D,
    layers.UpSampling2D,
    layers.Flatten,
)
"""What gives zero for zero, in training and outside it, each channel by itself."""


@dataclass(frozen=True)
class Channels:
    """What goes with an output channel of a kernel.

    Attributes:
        others: places among the trainable variables of the biases, gammas and betas that belong to its channels, each
            of shape (channels,).
    """

    others: tuple[int, ...]


def plan_channels(network: Any, kernels: Sequence[int], compression: Compression) -> tuple[Channels | None, ...]:
    """For each kernel what goes with its channels; None where they cannot go, as classes cannot, nor what is added up.

    Args:
        network: a Keras model.
        kernels: places of the kernels among its trainable variables.
        compression: a layer that it leaves dense keeps its channels, too.
    """
    calls = list_calls(network)
    readers: dict[int, list[Any]] = {}
    for call in calls:
        for tensor in call.input_tensors:
            readers.setdefault(id(tensor), []).append(call)
    places = {variable.path: place for place, variable in enumerate(network.trainable_variables)}
    owners = {call.operation.kernel.path: call for call in calls if hasattr(call.operation, "kernel")}
    found = [_follow(owners[network.trainable_variables[kernel].path], readers) for kernel in kernels]
    rules = [compression.for_layer(layer, len(kernels)) for layer in range(len(kernels))]
    return tuple(
        None if paths is None or rule.channel_sparsity is None else Channels(tuple(places[path] for path in paths))
        for paths, rule in zip(found, rules, strict=True)
    )


def _follow(call: Any, readers: dict[int, list[Any]]) -> list[str] | None:
    """The paths of what goes with the channels of that layer; None where they cannot go."""
    if not _keeps_zero(getattr(call.operation, "activation", None)):
        return None
    bias = getattr(call.operation, "bias", None)
    paths = [] if bias is None else [bias.path]
    shape = (call.operation.kernel.shape[-1],)
    while True:
        reading = readers.get(id(call.outputs[0]), [])
        if len(reading) != 1 or len(reading[0].input_tensors) != 1:
            return None
        call = reading[0]
        layer = call.operation
        if isinstance(layer, layers.Conv2D | layers.Dense):
            return paths
        if isinstance(layer, layers.BatchNormalization):
            # Without a factor of its own it makes something of zero, as long as it remembers what it was in training.
            if layer.gamma is None or layer.gamma.shape != shape:
                return None
            paths += [part.path for part in (layer.gamma, layer.beta) if part is not None]
        elif not isinstance(layer, _PASSING) and not (
            isinstance(layer, layers.Activation) and _keeps_zero(layer.activation)
        ):
            return None


def _keeps_zero(function: Any) -> bool:
    return function is None or getattr(function, "__name__", "") in _CURVES_THROUGH_ZERO
