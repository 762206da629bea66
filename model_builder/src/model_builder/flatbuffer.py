"""Writes the codes into a .tflite by its schema.

The converter is given float32 weights and leaves them bit for bit in the file; each such tensor then becomes int8 with
the codes as data and the layer's step as the scale of every output channel. LiteRT runs convolutions and dense layers
with int8 weights and float32 activations (it quantises the activations on the fly), so nothing needs calibration.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from model_artifact.weights import CodedTensor, render_bytes
from model_builder.errors import ExportError

LARGEST_INT8_BITS = 8


def write_codes(model: bytes, tensors: Mapping[str, CodedTensor]) -> bytes:
    """The model with int8 codes in place of the float32 weights.

    Args:
        model: a .tflite as the converter wrote it from weights code x step.
        tensors: int8 codes in LiteRT's layout, (out, in) or (out, height, width, in), by name.

    Raises:
        ExportError: when a weight tensor is not in the file bit for bit.
    """
    root = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    constants = _float_constants(root)
    for name, coded in tensors.items():
        found = constants.get(render_bytes(coded.codes, coded.step, tuple(range(coded.codes.ndim))))
        if not found:
            raise ExportError(f"{name}: the converter changed its weights, so its codes cannot be written; report this")
        for tensor in found:
            _set_codes(root, tensor, coded)
    for operator in root.subgraphs[0].operators:
        _quantise_inputs_asymmetrically(operator)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(root))


def _float_constants(root: Any) -> dict[bytes, list[Any]]:
    """The float32 tensors that have data, by their bytes."""
    found: dict[bytes, list[Any]] = {}
    for tensor in root.subgraphs[0].tensors:
        data = root.buffers[tensor.buffer].data
        if data is not None and tensor.type == schema.TensorType.FLOAT32:
            found.setdefault(np.asarray(data, np.uint8).tobytes(), []).append(tensor)
    return found


def _set_codes(root: Any, tensor: Any, coded: CodedTensor) -> None:
    channels = coded.codes.shape[0]
    root.buffers[tensor.buffer].data = np.frombuffer(coded.codes.tobytes(), np.uint8)
    tensor.type = schema.TensorType.INT8
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = np.full(channels, coded.step, np.float32)
    tensor.quantization.zeroPoint = np.zeros(channels, np.int64)
    tensor.quantization.quantizedDimension = 0


def _quantise_inputs_asymmetrically(operator: Any) -> None:
    """Dense layers then use the whole int8 range for activations that are never negative."""
    options = operator.builtinOptions
    if hasattr(options, "asymmetricQuantizeInputs"):
        options.asymmetricQuantizeInputs = True
