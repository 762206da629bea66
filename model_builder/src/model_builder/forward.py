"""A network run by numpy alone: what every exported file is held against.

Deliberately plain: windows, matrix products and nothing of a runtime. Pure: no file, no clock.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from model_builder.network import (
    INPUT,
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
    Padding,
    Pooling,
    Upsampling,
    same_padding,
)

Watch = Callable[[Layer | None, Array], Array]
"""Given a layer (None: the network) and what it reads or gives; answers what it is to be."""
_LARGEST_BATCH = 16
_PIXELS_AT_ONCE = 1 << 16
"""So that the windows of a convolution take some hundred MB where images are large."""


def run_forward(
    network: Network,
    images: NDArray[Any],
    *,
    given: Watch = lambda _layer, array: array,
    reading: Watch = lambda _layer, array: array,
) -> Array:
    """The network's answers, float32.

    Args:
        network: what to run.
        images: pixels 0..255, shape (n, height, width, channels).
        given: sees, and may change, what each layer gives; also the images, with None for the layer.
        reading: sees, and may change, what each layer with weights reads.
    """
    at_once = max(1, min(_LARGEST_BATCH, _PIXELS_AT_ONCE // (images.shape[1] * images.shape[2])))
    batches = (images[start : start + at_once] for start in range(0, len(images), at_once))
    return np.concatenate([_run_batch(network, batch, given, reading) for batch in batches])


def _run_batch(network: Network, images: NDArray[Any], given: Watch, reading: Watch) -> Array:
    results = {INPUT: given(None, images.astype(np.float32))}
    last_reader = {name: layer.name for layer in network.layers for name in layer.inputs}
    for layer in network.layers:
        read = [results[name] for name in layer.inputs]
        results[layer.name] = given(layer, _run_layer(layer, read, reading))
        for name in set(layer.inputs):
            if last_reader[name] == layer.name:
                del results[name]  # the largest activations are hundreds of MB
    return results[network.output]


def _run_layer(  # noqa: PLR0911 one for each kind
    layer: Layer, read: list[Array], reading: Watch
) -> Array:
    x = read[0]
    match layer:
        case Convolution() | Dense():
            return _run_weighted(layer, reading(layer, x))
        case Affine():
            return curve(layer.fused, x * layer.multiplier + layer.offset)
        case Activation():
            return curve(layer.curve, x)
        case Pooling():
            return _pool(layer, x)
        case Upsampling():
            return x.repeat(layer.size[0], axis=1).repeat(layer.size[1], axis=2)
        case Concatenation():
            return np.concatenate(read, axis=-1)
        case GlobalAverage():
            return np.asarray(x.mean(axis=(1, 2), dtype=np.float32))
        case Flatten():
            return x.reshape(len(x), -1)
        case Addition():
            return curve(layer.fused, x + read[1])
    raise TypeError(f"{layer.name}: {type(layer).__name__} has no numpy form")


def _run_weighted(layer: Convolution | Dense, x: Array) -> Array:
    weights = layer.weights
    if isinstance(layer, Convolution):
        windows = _windows(x, weights.shape[:2], layer.strides, layer.padding, 0.0)
        total = windows.reshape(*windows.shape[:3], -1) @ weights.reshape(-1, layer.channels)
    else:
        total = x @ weights
    if layer.multiplier is not None:
        total = total * layer.multiplier
    return curve(layer.fused, total + layer.bias)


def _windows(x: Array, size: tuple[int, ...], strides: tuple[int, int], padding: Padding, filling: float) -> Array:
    """Every window: (n, rows, columns, window height, window width, channels)."""
    if padding == "SAME":
        borders = [same_padding(x.shape[1 + axis], size[axis], strides[axis]) for axis in (0, 1)]
        x = np.pad(x, ((0, 0), *borders, (0, 0)), constant_values=filling)
    windows = sliding_window_view(x, tuple(size), axis=(1, 2))[:, :: strides[0], :: strides[1]]
    return np.asarray(windows.transpose(0, 1, 2, 4, 5, 3))


def _pool(layer: Pooling, x: Array) -> Array:
    maximum = layer.kind == "maximum"
    windows = _windows(x, layer.size, layer.strides, layer.padding, -np.inf if maximum else np.nan)
    pooled = windows.max(axis=(3, 4)) if maximum else np.nanmean(windows, axis=(3, 4))
    return np.asarray(pooled, np.float32)


def curve(name: str, x: Array) -> Array:
    """What runs through the activation of that name."""
    match name:
        case "linear":
            return x
        case "relu":
            return np.maximum(x, np.float32(0))
        case "relu6":
            return np.clip(x, np.float32(0), np.float32(6))
        case "sigmoid":
            return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), np.float32)
        case "tanh":
            return np.tanh(x)
        case "softmax":
            exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
            return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))
    raise ValueError(f"{name}: not an activation that is known here")
