"""int8 activations for OpenVINO: ranges measured on examples, told to the graph before it is compiled."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13

from model_server.engine import Array

_LAYERS = {"Convolution", "GroupConvolution", "MatMul"}
_LEVELS = 256
_BATCH = 8

Range = tuple[float, float]


def measure_ranges(core: Any, model_file: Path, examples: Array) -> list[Range]:
    """Smallest and largest activation that enters each layer with int8 weights, in the graph's order."""
    model = core.read_model(model_file)
    layers = _find_layers(model)
    if not layers:
        return []
    entering = ov.Model([layer.input(0).get_source_output() for layer in layers], model.get_parameters())
    request = core.compile_model(entering, "CPU", {"NUM_STREAMS": 1}).create_infer_request()
    dtype = np.dtype(model.inputs[0].get_element_type().to_dtype())
    lows, highs = [], []
    for start in range(0, len(examples), _BATCH):
        found = list(request.infer([examples[start : start + _BATCH].astype(dtype)]).values())
        lows.append([float(values.min()) for values in found])
        highs.append([float(values.max()) for values in found])
    return list(zip(np.min(lows, axis=0).tolist(), np.max(highs, axis=0).tolist(), strict=True))


def quantise_activations(model: Any, ranges: Sequence[Range]) -> None:
    """Round what enters each layer with int8 weights to 256 levels of its range; OpenVINO then computes in int8."""
    for layer, (smallest, largest) in zip(_find_layers(model), ranges, strict=True):
        # Zero must be a level, since padding and pruned channels are exactly zero.
        low, high = min(smallest, 0.0), max(largest, 0.0)
        if low == high:
            continue
        source = layer.input(0).get_source_output()
        bounds = [np.float32(bound) for bound in (low, high, low, high)]
        layer.input(0).replace_source_output(opset13.fake_quantize(source, *bounds, _LEVELS).output(0))
    model.validate_nodes_and_infer_types()


def _find_layers(model: Any) -> list[Any]:
    return [
        operation
        for operation in model.get_ordered_ops()
        if operation.get_type_name() in _LAYERS and _has_int8_weights(operation)
    ]


def _has_int8_weights(operation: Any) -> bool:
    """Whether its second input is a constant of int8, scaled; nodes in between only convert, scale and reorder."""
    node = operation.input(1).get_source_output().get_node()
    while node.get_type_name() in {"Multiply", "Convert", "Transpose", "Reshape"}:
        node = node.input(0).get_source_output().get_node()
    return bool(node.get_type_name() == "Constant" and node.get_element_type() == ov.Type.i8)
