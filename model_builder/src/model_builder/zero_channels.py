"""Takes out the channels and units that pruning left without weights; what the network answers stays the same.

A channel whose kernel is all zero gives one number everywhere. Where the next layer with weights is dense, or pads
nothing, that number times its weights is part of the bias, exactly; where it pads, only a number that is zero can go,
since at the borders the padding stands in its place. A channel that nobody reads with a weight other than zero goes as
well. Pure.
"""

from dataclasses import dataclass, replace

import numpy as np

from model_builder.forward import curve
from model_builder.network import (
    Activation,
    Affine,
    Array,
    Convolution,
    Dense,
    Flatten,
    GlobalAverage,
    Layer,
    Network,
    Pooling,
    Shape,
    Upsampling,
    Weighted,
    infer_shapes,
)


@dataclass(frozen=True)
class _Chain:
    """A layer with weights, the layers without any that follow it one by one, and the next layer with weights."""

    first: Weighted
    between: tuple[Layer, ...]
    last: Weighted


def remove_zero_channels(network: Network) -> tuple[Network, dict[str, int]]:
    """The network without them, and how many each kernel lost, by the path of the kernel; kernels that lost none miss.

    A layer keeps at least one channel. Removing a channel may leave another one unread, so it is repeated until
    nothing changes.
    """
    removed: dict[str, int] = {}
    changed = True
    while changed:
        changed = False
        for name in [layer.name for layer in network.weighted]:
            chain = _find_chain(network, name)
            gone = _removable(chain, infer_shapes(network)) if chain else np.zeros(0, bool)
            if chain and gone.any():
                network = _remove(network, chain, gone)
                removed[chain.first.kernel] = removed.get(chain.first.kernel, 0) + int(gone.sum())
                changed = True
    return network, removed


def _find_chain(network: Network, name: str) -> _Chain | None:
    """What the layer of that name leads to; None where its result is read twice or is part of the answer."""
    first = next(layer for layer in network.weighted if layer.name == name)
    between: list[Layer] = []
    readers = network.readers(name)
    while len(readers) == 1 and len(readers[0].inputs) == 1:
        reader = readers[0]
        if isinstance(reader, Weighted):
            return _Chain(first, tuple(between), reader)
        if isinstance(reader, Activation) and reader.curve == "softmax":
            return None
        between.append(reader)
        readers = network.readers(reader.name)
    return None


def _removable(chain: _Chain, shapes: dict[str, Shape]) -> Array:
    """Which channels of the first layer can go, as booleans; never all of them."""
    first, last = chain.first, chain.last
    silent = ~np.any(first.codes.reshape(-1, first.channels), axis=0)
    constants = _constants(chain)
    unread = ~np.any(_by_source(chain, shapes), axis=1)
    exact = np.isfinite(constants) & (
        (constants == 0) | isinstance(last, Dense) | (isinstance(last, Convolution) and last.padding == "VALID")
    )
    gone = (silent & exact) | unread
    if gone.all():
        gone[0] = False
    return np.asarray(gone)


def _by_source(chain: _Chain, shapes: dict[str, Shape]) -> Array:
    """The last layer's codes by the channel of the first one that they read: (channels, others)."""
    channels = chain.first.channels
    codes = chain.last.codes
    if isinstance(chain.last, Dense):
        return codes.reshape(_positions(chain, shapes), channels, -1).transpose(1, 0, 2).reshape(channels, -1)
    return codes.transpose(2, 0, 1, 3).reshape(channels, -1)


def _positions(chain: _Chain, shapes: dict[str, Shape]) -> int:
    """How many features of the last layer one channel of the first one gives: its pixels, where they are flattened."""
    for layer in chain.between:
        if isinstance(layer, Flatten):
            return int(np.prod(shapes[layer.inputs[0]][:-1]))
    return 1


def _constants(chain: _Chain) -> Array:
    """What each channel of the first layer is when its codes are all zero, as the last layer reads it."""
    values = curve(chain.first.fused, chain.first.bias)
    for layer in chain.between:
        match layer:
            case Affine():
                values = _affine(values, layer, chain)
            case Activation():
                values = curve(layer.curve, values)
            case Pooling() | Upsampling() | GlobalAverage() | Flatten():
                continue
            case _:
                return np.full(values.shape, np.nan)
    return values


def _affine(values: Array, layer: Affine, chain: _Chain) -> Array:
    """An affine layer's constants; none behind a Flatten, where each position has factors of its own."""
    if layer.multiplier.size != chain.first.channels:
        return np.full(values.shape, np.nan)
    return curve(layer.fused, values * layer.multiplier + layer.offset)


def _remove(network: Network, chain: _Chain, gone: Array) -> Network:
    """The network without these channels, with what they gave in the bias of the last layer."""
    kept = ~gone
    shapes = infer_shapes(network)
    first, last = chain.first, chain.last
    constants = _constants(chain)
    silent = ~np.any(first.codes.reshape(-1, first.channels), axis=0)
    values = np.where(gone & silent & np.isfinite(constants), constants, 0)  # what is unread counts for nothing
    changed: dict[str, Layer] = {first.name: _keep_outputs(first, kept)}
    positions = 1
    for layer in chain.between:
        if isinstance(layer, Flatten):
            positions = _positions(chain, shapes)
        if isinstance(layer, Affine):
            places = np.tile(kept, layer.multiplier.size // kept.size)
            changed[layer.name] = replace(layer, multiplier=layer.multiplier[places], offset=layer.offset[places])
    bias = last.bias.astype(np.float64) + _given_by(values, chain, positions)
    codes = last.codes[np.tile(kept, positions)] if isinstance(last, Dense) else last.codes[:, :, kept]
    narrower = replace(last, codes=np.ascontiguousarray(codes), bias=bias.astype(np.float32))
    return network.replaced({**changed, last.name: narrower})


def _keep_outputs(layer: Weighted, kept: Array) -> Weighted:
    multiplier = None if layer.multiplier is None else layer.multiplier[kept]
    return replace(
        layer, codes=np.ascontiguousarray(layer.codes[..., kept]), multiplier=multiplier, bias=layer.bias[kept]
    )


def _given_by(values: Array, chain: _Chain, positions: int) -> Array:
    """What the removed channels add to each output of the last layer: the sum of value * weight, in float64."""
    last = chain.last
    weights = last.weights.astype(np.float64)
    dense = isinstance(last, Dense)
    total = np.tile(values, positions) @ weights if dense else np.einsum("hwio,i->o", weights, values)
    return np.asarray(total if last.multiplier is None else total * last.multiplier)
