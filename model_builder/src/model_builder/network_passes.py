"""What turns the trained network into an equal one that runs faster: fused activations, folded normalisation.

Pure. Codes stay the codes: a normalisation is folded into what a code is worth, one factor for each output channel.
"""

from dataclasses import replace
from typing import cast

import numpy as np

from model_builder.network import Activation, Addition, Affine, Array, Fused, Layer, Network, Weighted

_FUSED = ("relu", "relu6")


def fuse_activations(network: Network) -> Network:
    """The network in which a relu or relu6 is part of the layer before it, where nothing else reads that layer."""
    for layer in network.layers:
        if isinstance(layer, Activation) and layer.curve in _FUSED:
            before = _only_source(network, layer)
            if isinstance(before, Weighted | Affine | Addition) and before.fused == "linear":
                network = network.without(layer, replace(before, fused=cast("Fused", layer.curve)))
    return network


def fold_normalisation(network: Network) -> Network:
    """The network in which an affine layer that follows a layer with weights is part of that layer.

    Before fusing, y = (x . W * m + b) * multiplier + offset = x . W * (m * multiplier) + (b * multiplier + offset).
    """
    for layer in network.layers:
        if not isinstance(layer, Affine):
            continue
        before = _only_source(network, layer)
        if isinstance(before, Weighted) and before.fused == "linear":
            network = network.without(layer, _fold(before, layer))
    return network


def _fold(weighted: Weighted, affine: Affine) -> Weighted:
    bias = weighted.bias.astype(np.float64) * affine.multiplier + affine.offset
    folded = replace(weighted, bias=bias.astype(np.float32), fused=affine.fused)
    if weighted.step is None:  # there is no code to keep
        return replace(folded, codes=weighted.codes * affine.multiplier)
    multiplier = affine.multiplier if weighted.multiplier is None else weighted.multiplier * affine.multiplier
    return make_positive(replace(folded, multiplier=multiplier))


def make_positive(weighted: Weighted) -> Weighted:
    """The same layer with every multiplier above zero, as the scale of a quantised channel must be.

    A channel with a negative one has its codes negated. One that is zero or too small for a normal float32 has codes
    of zero: it gives its bias, as it did.
    """
    if weighted.multiplier is None or weighted.step is None:
        return weighted
    codes, multiplier = weighted.codes, weighted.multiplier
    kept = np.abs(weighted.steps) >= np.finfo(np.float32).tiny
    negative = kept & (multiplier < 0)
    codes = np.where(kept, np.where(negative, -codes.astype(np.int32), codes), 0)
    return replace(weighted, codes=narrow_codes(codes), multiplier=np.where(kept, np.abs(multiplier), np.float32(1)))


def narrow_codes(codes: Array) -> Array:
    """Whole numbers in the narrowest type of int8, int16 and float32 that holds them; never clipped."""
    smallest, largest = codes.min(), codes.max()
    for candidate in (np.int8, np.int16):
        if np.iinfo(candidate).min <= smallest and largest <= np.iinfo(candidate).max:
            return codes.astype(candidate)
    return codes.astype(np.float32)


def _only_source(network: Network, layer: Layer) -> Layer | None:
    """The one layer that this one reads, when no other reads it."""
    if len(layer.inputs) != 1 or len(network.readers(layer.inputs[0])) != 1:
        return None
    return next((other for other in network.layers if other.name == layer.inputs[0]), None)
