"""The options of LiteRT's operators: which they are, and their values; a pair as its schema has them. Pure."""

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from model_builder.errors import ExportError
from model_builder.network import Convolution, Dense, Pooling, Weighted

Options = tuple[int, Any]

FUSED = {
    "linear": schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}
_PADDINGS = {"SAME": schema.Padding.SAME, "VALID": schema.Padding.VALID}


def kernel_options(layer: Weighted, fused: str) -> Options:
    """Of a convolution or dense layer, with the activation that is part of it."""
    if isinstance(layer, Dense):
        dense = schema.FullyConnectedOptionsT()
        dense.fusedActivationFunction = FUSED[fused]
        # The whole int8 range then serves activations that are never negative.
        dense.asymmetricQuantizeInputs = True
        return schema.BuiltinOptions.FullyConnectedOptions, dense
    if not isinstance(layer, Convolution):
        raise ExportError(f"{layer.name}: {type(layer).__name__} has no form in a .tflite; report this")
    options = schema.Conv2DOptionsT()
    options.padding, (options.strideH, options.strideW) = _PADDINGS[layer.padding], layer.strides
    options.dilationHFactor, options.dilationWFactor = 1, 1
    options.fusedActivationFunction = FUSED[fused]
    return schema.BuiltinOptions.Conv2DOptions, options


def pool_options(layer: Pooling) -> Options:
    """Of a maximum or average over windows."""
    options = schema.Pool2DOptionsT()
    options.padding, (options.strideH, options.strideW) = _PADDINGS[layer.padding], layer.strides
    options.filterHeight, options.filterWidth = layer.size
    return schema.BuiltinOptions.Pool2DOptions, options


def add_options(fused: str) -> Options:
    """Of a sum, with the activation that is part of it."""
    options = schema.AddOptionsT()
    options.fusedActivationFunction = FUSED[fused]
    return schema.BuiltinOptions.AddOptions, options


def mul_options() -> Options:
    """Of a plain product."""
    return schema.BuiltinOptions.MulOptions, schema.MulOptionsT()


def softmax_options() -> Options:
    """Of a plain softmax over the last axis."""
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    return schema.BuiltinOptions.SoftmaxOptions, options


def mean_options() -> Options:
    """Of a mean that drops the axes."""
    return schema.BuiltinOptions.ReducerOptions, schema.ReducerOptionsT()


def resize_options() -> Options:
    """Of the nearest pixel by the centres of pixels, which no rounding of sizes can move to a neighbour."""
    options = schema.ResizeNearestNeighborOptionsT()
    options.halfPixelCenters = True
    return schema.BuiltinOptions.ResizeNearestNeighborOptions, options


def concatenation_options(axis: int) -> Options:
    """Of putting tensors behind each other along an axis."""
    options = schema.ConcatenationOptionsT()
    options.axis = axis
    return schema.BuiltinOptions.ConcatenationOptions, options


def depthwise_options(fused: str) -> Options:
    """Of a depthwise 1x1 convolution."""
    options = schema.DepthwiseConv2DOptionsT()
    options.padding, options.strideW, options.strideH, options.depthMultiplier = schema.Padding.VALID, 1, 1, 1
    options.dilationWFactor, options.dilationHFactor = 1, 1
    options.fusedActivationFunction = FUSED[fused]
    return schema.BuiltinOptions.DepthwiseConv2DOptions, options
