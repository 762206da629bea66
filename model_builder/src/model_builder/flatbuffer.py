"""A network -> .tflite, written by LiteRT's schema.

No converter stands between the codes and the file: an int8 kernel is the codes, in LiteRT's order of axes, and its
scales say what a code of each output channel is worth. LiteRT's kernels for int8 weights and float activations put the
activations of each image on a grid of 256 values as they run; in the full-integer form the grids are measured before.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from model_builder.errors import ExportError
from model_builder.litert_options import (
    add_options,
    concatenation_options,
    depthwise_options,
    kernel_options,
    mean_options,
    mul_options,
    pool_options,
    resize_options,
    softmax_options,
)
from model_builder.network import (
    INPUT,
    Activation,
    Addition,
    Affine,
    Array,
    Concatenation,
    Convolution,
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
from model_builder.quantisation import Grid

Activations = Literal["Float", "Dynamic", "Integer"]
SIGNATURE = "serving_default"
LITERT_AXES = {4: (3, 0, 1, 2), 2: (1, 0)}
"""Keras' axes in LiteRT's order: (out, height, width, in) and (out, in)."""

_OPERATORS = schema.BuiltinOperator
_CURVES = {
    "relu": _OPERATORS.RELU,
    "relu6": _OPERATORS.RELU6,
    "softmax": _OPERATORS.SOFTMAX,
    "sigmoid": _OPERATORS.LOGISTIC,
    "tanh": _OPERATORS.TANH,
}
_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
}
_LARGEST_INT32 = 2**31 - 1


def render_model(
    network: Network, grids: Mapping[str, Grid] | None, *, floats: bool = False, metadata: Mapping[str, bytes]
) -> bytes:
    """The .tflite of a network, with the signature `serving_default` from `image` to its answer, any batch size.

    Args:
        network: after every pass.
        grids: of the activations, for the full-integer form; None for float activations.
        floats: write code * step as float32 even where the codes fit int8.
        metadata: further entries, by their name.

    Raises:
        ExportError: when a kernel or a bias cannot be written in the full-integer form.
    """
    writer = _Writer(network, grids, floats=floats)
    for layer in network.layers:
        writer.write_layer(layer)
    return writer.render(metadata)


class _Writer:
    """The model as it grows; tensors are known by their index."""

    def __init__(self, network: Network, grids: Mapping[str, Grid] | None, *, floats: bool) -> None:
        self._shapes = infer_shapes(network)
        self._network = network
        self._grids = grids
        self._floats = floats
        self._buffers: list[Any] = [schema.BufferT()]  # the first one is empty by convention
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[tuple[int, int], int] = {}
        self._input = self._add_result(INPUT, self._shapes[INPUT])
        self._floating = {INPUT: self._input}
        self._whole: dict[str, int] = {}

    def write_layer(self, layer: Layer) -> None:
        """Append the layer's operators; what it reads has been written."""
        match layer:
            case Weighted():
                self._write_weighted(layer)
            case Affine():
                self._write_affine(layer)
            case Activation():
                options = softmax_options() if layer.curve == "softmax" else None
                self._write_float(layer, _CURVES[layer.curve], [], options)
            case Pooling():
                kind = _OPERATORS.MAX_POOL_2D if layer.kind == "maximum" else _OPERATORS.AVERAGE_POOL_2D
                self._write_same(layer, kind, [], pool_options(layer))
            case Flatten():
                shape = self._add_constant(f"{layer.name}/shape", np.array([-1, *self._shapes[layer.name]], np.int32))
                self._write_same(layer, _OPERATORS.RESHAPE, [shape], None)
            case GlobalAverage():
                self._write_same(
                    layer, _OPERATORS.MEAN, [self._add_constant(f"{layer.name}/axes", _AXES)], mean_options()
                )
            case Addition():
                self._write_same(layer, _OPERATORS.ADD, [], add_options(layer.fused))
            case Upsampling():
                self._write_upsampling(layer)
            case Concatenation():
                self._write_concatenation(layer)
            case _:
                raise ExportError(f"{layer.name}: {type(layer).__name__} has no form in a .tflite; report this")

    def _write_upsampling(self, layer: Upsampling) -> None:
        size = self._add_constant(f"{layer.name}/size", np.array(self._shapes[layer.name][:2], np.int32))
        self._write_same(layer, _OPERATORS.RESIZE_NEAREST_NEIGHBOR, [size], resize_options(), version=3)

    def _write_concatenation(self, layer: Concatenation) -> None:
        """Whole numbers go onto one grid first, as the operator wants it."""
        options = concatenation_options(len(self._shapes[layer.name]))
        if self._grids is None or layer.name not in self._grids:
            self._write_float(layer, _OPERATORS.CONCATENATION, [], options)
            return
        grid = self._grid_of(layer.name)
        inputs = [self._requantise(layer, place, name, grid) for place, name in enumerate(layer.inputs)]
        self._operate((_OPERATORS.CONCATENATION, 2), inputs, [self._whole_result(layer)], options)

    def _requantise(self, layer: Layer, place: int, name: str, grid: Any) -> int:
        """What a layer reads, on a grid of the layer's."""
        result = self._add_result(f"{layer.name}/{place}", self._shapes[name], grid)
        self._operate((_OPERATORS.QUANTIZE, 2), [self._as_whole(name)], [result], None)
        return result

    def _write_weighted(self, layer: Weighted) -> None:
        if self._grids is not None:
            self._write_integer(layer)
        elif self._is_int8(layer):
            kernel = self._add_codes(layer)
            inputs = [self._as_float(layer.inputs[0]), kernel, self._add_constant(f"{layer.name}/bias", layer.bias)]
            self._operate(
                _kernel_operator(layer, 5, 9), inputs, [self._float_result(layer)], kernel_options(layer, layer.fused)
            )
        elif layer.multiplier is None:
            self._write_float_kernel(layer, layer.bias, self._float_result(layer), layer.fused)
        else:
            self._write_scaled_kernel(layer, layer.multiplier)

    def _is_int8(self, layer: Weighted) -> bool:
        return layer.codes.dtype == np.int8 and layer.step is not None and not self._floats

    def _write_float_kernel(self, layer: Weighted, bias: Array, result: int, fused: str) -> None:
        kernel = self._add_constant(layer.kernel, _litert_order(layer.weights))
        inputs = [self._as_float(layer.inputs[0]), kernel, self._add_constant(f"{layer.name}/bias", bias)]
        self._operate(_kernel_operator(layer, 1, 1), inputs, [result], kernel_options(layer, fused))

    def _write_scaled_kernel(self, layer: Weighted, multiplier: Array) -> None:
        """The factors of the channels apart, so that the file holds code * step of one step."""
        shape = self._shapes[layer.name]
        plain, scaled = (self._add_result(f"{layer.name}/{part}", shape) for part in ("plain", "scaled"))
        self._write_float_kernel(layer, np.zeros(layer.channels, np.float32), plain, "linear")
        factors = self._add_constant(f"{layer.name}/multiplier", multiplier)
        self._operate((_OPERATORS.MUL, 1), [plain, factors], [scaled], mul_options())
        bias = self._add_constant(f"{layer.name}/offset", layer.bias)
        self._operate((_OPERATORS.ADD, 1), [scaled, bias], [self._float_result(layer)], add_options(layer.fused))

    def _write_integer(self, layer: Weighted) -> None:
        if not self._is_int8(layer):
            raise ExportError(
                f"{layer.kernel}: its codes pass 8 bits, which integer activations cannot use; export with Dynamic ones"
            )
        source = self._as_whole(layer.inputs[0])
        bias = self._add_bias(layer.name, layer.bias, self._scale_of(source) * layer.steps)
        inputs = [source, self._add_codes(layer), bias]
        self._operate(
            _kernel_operator(layer, 3, 12), inputs, [self._whole_result(layer)], kernel_options(layer, layer.fused)
        )

    def _add_codes(self, layer: Weighted) -> int:
        scales = np.asarray(layer.steps, np.float32)
        if not (np.isfinite(scales).all() and (scales > 0).all()):
            raise ExportError(f"{layer.kernel}: a step is not above zero; training diverged, lower the learning rate")
        return self._add_constant(layer.kernel, _litert_order(layer.codes), _quantization(scales, 0))

    def _add_bias(self, name: str, bias: Array, scales: Array) -> int:
        codes = np.round(bias.astype(np.float64) / scales)
        if np.abs(codes).max() > _LARGEST_INT32:
            raise ExportError(f"{name}: its bias passes 32 bits beside its weights; export with Dynamic activations")
        quantization = _quantization(np.asarray(scales, np.float32), 0)
        return self._add_constant(f"{name}/bias", codes.astype(np.int32), quantization)

    def _write_affine(self, layer: Affine) -> None:
        if self._grids is not None and layer.inputs[0] in self._whole:
            self._write_integer_affine(layer)
            return
        shape = self._shapes[layer.name]
        scaled = self._add_result(f"{layer.name}/scaled", shape)
        factors = self._add_constant(f"{layer.name}/multiplier", layer.multiplier)
        offset = self._add_constant(f"{layer.name}/offset", layer.offset)
        self._operate((_OPERATORS.MUL, 1), [self._as_float(layer.inputs[0]), factors], [scaled], mul_options())
        self._operate((_OPERATORS.ADD, 1), [scaled, offset], [self._float_result(layer)], add_options(layer.fused))

    def _write_integer_affine(self, layer: Affine) -> None:
        """A 1x1 depthwise convolution: the only integer operator with a scale for each channel and a wide bias."""
        channels = layer.multiplier.size
        source, result = self._whole[layer.inputs[0]], self._whole_result(layer)
        flat = len(self._shapes[layer.name]) == 1
        wide_source, wide_result = source, result
        if flat:
            wide_source, wide_result = (self._add_reshaped(layer, index) for index in (source, result))
            self._reshape(layer, source, wide_source, (-1, 1, 1, channels))
        scales, codes = _affine_codes(layer.multiplier)
        kernel = self._add_constant(f"{layer.name}/multiplier", codes, _quantization(scales, 0, axis=3))
        bias = self._add_bias(layer.name, layer.offset, self._scale_of(source) * scales)
        options = depthwise_options(layer.fused)
        self._operate((_OPERATORS.DEPTHWISE_CONV_2D, 3), [wide_source, kernel, bias], [wide_result], options)
        if flat:
            self._reshape(layer, wide_result, result, (-1, channels))

    def _add_reshaped(self, layer: Layer, like: int) -> int:
        shape = (1, 1, *self._shapes[layer.name])
        return self._add_result(f"{layer.name}/{len(self._tensors)}", shape, self._tensors[like].quantization)

    def _reshape(self, layer: Layer, source: int, result: int, shape: Shape) -> None:
        wanted = self._add_constant(f"{layer.name}/{len(self._tensors)}", np.array(shape, np.int32))
        self._operate((_OPERATORS.RESHAPE, 1), [source, wanted], [result], None)

    def _write_float(self, layer: Layer, kind: int, further: list[int], options: Any, version: int = 1) -> None:
        inputs = [self._as_float(name) for name in layer.inputs]
        self._operate((kind, version), [*inputs, *further], [self._float_result(layer)], options)

    def _write_same(
        self, layer: Layer, kind: int, further: list[int], options: Any, version: int | None = None
    ) -> None:
        """An operator that has one form for float and one for whole numbers."""
        if self._grids is None or layer.name not in self._grids:
            self._write_float(layer, kind, further, options, version or 1)
            return
        inputs = [self._as_whole(name) for name in layer.inputs]
        version = version or (1 if isinstance(layer, Flatten) else 2)
        self._operate((kind, version), [*inputs, *further], [self._whole_result(layer)], options)

    def _as_float(self, name: str) -> int:
        if name not in self._floating:
            self._floating[name] = self._add_result(f"{name}/float", self._shapes[name])
            self._operate((_OPERATORS.DEQUANTIZE, 2), [self._whole[name]], [self._floating[name]], None)
        return self._floating[name]

    def _as_whole(self, name: str) -> int:
        if name not in self._whole:
            self._whole[name] = self._add_result(f"{name}/whole", self._shapes[name], self._grid_of(name))
            self._operate((_OPERATORS.QUANTIZE, 1), [self._floating[name]], [self._whole[name]], None)
        return self._whole[name]

    def _float_result(self, layer: Layer) -> int:
        name = self._network.answer if layer.name == self._network.output else layer.name
        self._floating[layer.name] = self._add_result(name, self._shapes[layer.name])
        return self._floating[layer.name]

    def _whole_result(self, layer: Layer) -> int:
        self._whole[layer.name] = self._add_result(layer.name, self._shapes[layer.name], self._grid_of(layer.name))
        return self._whole[layer.name]

    def _grid_of(self, name: str) -> Any:
        grid = (self._grids or {})[name]
        return _quantization(np.array([grid.scale], np.float32), grid.zero_point)

    def _scale_of(self, tensor: int) -> np.float32:
        return np.float32(self._tensors[tensor].quantization.scale[0])

    def _add_result(self, name: str, shape: Shape, quantization: Any = None) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.buffer, tensor.quantization = name.encode(), 0, quantization
        tensor.shape, tensor.shapeSignature = [1, *shape], [-1, *shape]
        tensor.type = schema.TensorType.FLOAT32 if quantization is None else schema.TensorType.INT8
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _add_constant(self, name: str, array: Array, quantization: Any = None) -> int:
        tensor, buffer = schema.TensorT(), schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        self._buffers.append(buffer)
        tensor.name, tensor.buffer, tensor.quantization = name.encode(), len(self._buffers) - 1, quantization
        tensor.shape, tensor.type = list(array.shape), _TYPES[array.dtype]
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _operate(self, kind: tuple[int, int], inputs: list[int], outputs: list[int], options: Any) -> None:
        """Append an operator; `kind` is its number and the version of the form that is used."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(kind, len(self._codes))
        operator.inputs, operator.outputs = inputs, outputs
        if options is not None:
            operator.builtinOptionsType, operator.builtinOptions = options
        self._operators.append(operator)

    def render(self, metadata: Mapping[str, bytes]) -> bytes:
        """The file; to be called once, after every layer."""
        output = self._as_float(self._network.output)
        self._tensors[output].name = self._network.answer.encode()
        subgraph, model = schema.SubGraphT(), schema.ModelT()
        subgraph.tensors, subgraph.operators = self._tensors, self._operators
        subgraph.inputs, subgraph.outputs, subgraph.name = [self._input], [output], b"main"
        model.version, model.subgraphs, model.buffers = 3, [subgraph], self._buffers
        model.operatorCodes = [_operator_code(*kind) for kind in self._codes]
        model.signatureDefs = [_signature(self._input, output, self._network.answer)]
        model.metadata = [self._add_metadata(name, data) for name, data in metadata.items()]
        return bytes(flatbuffer_utils.convert_object_to_bytearray(model))

    def _add_metadata(self, name: str, data: bytes) -> Any:
        entry, buffer = schema.MetadataT(), schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        self._buffers.append(buffer)
        entry.name, entry.buffer = name.encode(), len(self._buffers) - 1
        return entry


_AXES = np.array([1, 2], np.int32)


def _litert_order(kernel: Array) -> Array:
    return np.ascontiguousarray(kernel.transpose(LITERT_AXES[kernel.ndim]))


def _kernel_operator(layer: Weighted, convolution: int, dense: int) -> tuple[int, int]:
    """The operator of a layer with weights, in the version for a convolution or a dense layer."""
    if isinstance(layer, Convolution):
        return _OPERATORS.CONV_2D, convolution
    return _OPERATORS.FULLY_CONNECTED, dense


def _affine_codes(multiplier: Array) -> tuple[Array, Array]:
    """Scales and codes of a 1x1 depthwise kernel, shape (1, 1, 1, channels), whose products are the multipliers."""
    scales = np.abs(multiplier).astype(np.float32) / np.float32(127)
    kept = scales >= np.finfo(np.float32).tiny
    codes = np.where(kept, np.sign(multiplier) * 127, 0).astype(np.int8)
    return np.where(kept, scales, np.float32(1)), codes.reshape(1, 1, 1, -1)


def _quantization(scales: Array, zero_point: int, axis: int = 0) -> Any:
    parameters = schema.QuantizationParametersT()
    parameters.scale = np.asarray(scales, np.float32)
    parameters.zeroPoint = np.full(len(scales), zero_point, np.int64)
    parameters.quantizedDimension = axis
    return parameters


def _operator_code(kind: int, version: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode, code.version = kind, version
    # Readers from before there were 127 operators know them by this field.
    code.deprecatedBuiltinCode = min(kind, 127)
    return code


def _signature(source: int, answer: int, name: str) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE.encode(), 0
    signature.inputs, signature.outputs = [_tensor_map(INPUT, source)], [_tensor_map(name, answer)]
    return signature


def _tensor_map(name: str, tensor: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), tensor
    return entry
