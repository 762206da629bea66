"""Whole numbers for activations: measured ranges, and what a kernel makes of an activation. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from model_builder.forward import Watch, run_forward
from model_builder.network import (
    INPUT,
    Activation,
    Affine,
    Array,
    Flatten,
    Layer,
    Network,
    Pooling,
    Upsampling,
    Weighted,
)

SMALLEST, LARGEST = -128, 127
_LARGEST_FACTOR = 128
"""XNNPACK takes a product of scales below 256 times the scale of the result."""


@dataclass(frozen=True)
class Grid:
    """real = (code - zero_point) * scale, codes -128..127."""

    scale: np.float32
    zero_point: int

    def rounded(self, x: Array) -> Array:
        """The real numbers that come back after x became a code."""
        codes = np.clip(np.round(x / self.scale) + self.zero_point, SMALLEST, LARGEST)
        return np.asarray((codes - self.zero_point) * self.scale, np.float32)


def plan_grid(smallest: float, largest: float) -> Grid:
    """The grid that spans a range and has a code for zero, as padding needs it."""
    low, high = min(smallest, 0.0), max(largest, 0.0)
    scale = np.float32((high - low) / (LARGEST - SMALLEST)) if high > low else np.float32(1)
    return Grid(scale, int(np.clip(round(SMALLEST - low / float(scale)), SMALLEST, LARGEST)))


def plan_integer_layers(network: Network) -> dict[str, str]:
    """The layers whose results are whole numbers in the full-integer form, with the layer whose grid they have.

    What stands before the first layer with weights, and curves on their own (the last softmax), stay float: they are
    cheap, and a probability on a grid of 256 values helps nobody.
    """
    grids: dict[str, str] = {}
    for layer in network.layers:
        whole = all(name in grids for name in layer.inputs)
        if isinstance(layer, Flatten | Pooling | Upsampling) and whole:
            grids[layer.name] = grids[layer.inputs[0]]  # these choose among codes, or average them on their grid
        elif isinstance(layer, Weighted) or (whole and not isinstance(layer, Activation)):
            grids[layer.name] = layer.name
    return grids


def measure_grids(network: Network, images: Array) -> dict[str, Grid]:
    """The grid of each result that is a whole number in the full-integer form, and of what its layers read.

    Args:
        network: after every pass.
        images: training images to calibrate with.
    """
    ranges: dict[str, tuple[float, float]] = {}

    def watch(layer: Layer | None, array: Array) -> Array:
        name = INPUT if layer is None else layer.name
        low, high = ranges.get(name, (0.0, 0.0))
        ranges[name] = (min(low, float(array.min())), max(high, float(array.max())))
        return array

    run_forward(network, images, given=watch)
    owners = plan_integer_layers(network)
    grids: dict[str, Grid] = {}
    for layer in network.layers:
        if layer.name in owners:
            for name in layer.inputs:
                grids.setdefault(name, plan_grid(*ranges[name]))
            same = owners[layer.name] != layer.name
            grids[layer.name] = grids[layer.inputs[0]] if same else _plan_result(layer, grids, *ranges[layer.name])
    return grids


def _plan_result(layer: Layer, grids: Mapping[str, Grid], low: float, high: float) -> Grid:
    """A grid that is not finer than kernels can make it from the products they sum up."""
    product = 0.0
    if isinstance(layer, Weighted):
        product = float(grids[layer.inputs[0]].scale) * float(layer.steps.max())
    elif isinstance(layer, Affine):
        product = float(grids[layer.inputs[0]].scale) * float(np.abs(layer.multiplier).max()) / LARGEST
    return plan_grid(low, max(high, low + product / _LARGEST_FACTOR * (LARGEST - SMALLEST)))


def round_to_grids(network: Network, grids: Mapping[str, Grid]) -> tuple[Watch, Watch]:
    """What `run_forward` takes to answer as the full-integer form does: for what layers give, and what they read."""
    owners = plan_integer_layers(network)

    def given(layer: Layer | None, array: Array) -> Array:
        return grids[layer.name].rounded(array) if layer is not None and layer.name in owners else array

    def reading(layer: Layer | None, array: Array) -> Array:
        name = layer.inputs[0] if layer is not None else INPUT
        return array if name in owners else grids[name].rounded(array)

    return given, reading


def round_on_the_fly(layer: Layer | None, array: Array) -> Array:
    """What a kernel with int8 weights and float activations reads: each image on a grid of its own range."""
    if not isinstance(layer, Weighted) or layer.codes.dtype != np.int8 or layer.step is None:
        return array
    axes = tuple(range(1, array.ndim))
    low = np.minimum(array.min(axis=axes, keepdims=True), 0).astype(np.float32)
    high = np.maximum(array.max(axis=axes, keepdims=True), 0).astype(np.float32)
    scale = np.where(high > low, (high - low) / np.float32(255), np.float32(1))
    zero_point = np.clip(np.round(SMALLEST - low / scale), SMALLEST, LARGEST)
    codes = np.clip(np.round(array / scale) + zero_point, SMALLEST, LARGEST)
    return np.asarray((codes - zero_point) * scale, np.float32)
