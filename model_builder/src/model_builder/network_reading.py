"""A Keras model with its compressed kernels -> the deployed network.

Keras layers are known by their type; whatever is not known here is refused by name before a training begins, since it
could be neither checked nor exported.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import layers

from model_artifact.recipe import NOT_QUANTISED
from model_builder import network as net
from model_builder.errors import ModelError
from model_builder.network import INPUT, OUTPUT, Array, Network
from model_builder.network_passes import narrow_codes
from model_builder.rules import Compressed

_IDENTITIES = (
    layers.Dropout,
    layers.SpatialDropout2D,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.AlphaDropout,
    layers.ActivityRegularization,
    layers.RandomFlip,
    layers.RandomTranslation,
    layers.RandomRotation,
    layers.RandomZoom,
    layers.RandomContrast,
    layers.RandomBrightness,
)
"""What does nothing outside training."""
_CURVES = ("relu", "relu6", "softmax", "sigmoid", "tanh")


@dataclass(frozen=True)
class _Call:
    """A layer where it is called: what it reads, of which shape without the batch, and the kernels that are coded."""

    layer: Any
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    kernels: Mapping[str, "KernelCodes"]


@dataclass(frozen=True)
class KernelCodes:
    """A kernel as it is deployed: the codes and what they are multiplied with, by tensor and by output channel."""

    codes: Array
    step: np.float32 | None
    multiplier: Array | None


def code_kernel(kernel: Compressed, bits: int) -> KernelCodes:
    """The codes of a rule in the narrowest type that holds them; the float32 weights where bits is 32.

    Codes are never clipped: those of OffsetRound that pass the int8 range make the tensor int16.
    """
    codes = np.asarray(kernel.codes)
    if bits == NOT_QUANTISED:
        return KernelCodes(codes.astype(np.float32), None, None)
    step = _read(kernel.step)
    if step.size == 1:
        return KernelCodes(narrow_codes(codes), np.float32(step.reshape(())), None)
    return KernelCodes(narrow_codes(codes), np.float32(1), np.ascontiguousarray(step.reshape(-1)))


def read_network(model: Any, kernels: Mapping[str, KernelCodes], answer: str = OUTPUT) -> Network:
    """The network that the model is outside training.

    Args:
        model: a Keras model of one input and one output; its other variables are read as they are.
        kernels: the compressed kernels by the path of their variable; kernels that are not among them stay float32.
        answer: what clients are to know the output by.

    Raises:
        ModelError: naming the layer that cannot be deployed, and why.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"{model.name}: has {len(model.inputs)} inputs and {len(model.outputs)} outputs; give one of each"
        )
    names = {id(model.inputs[0]): INPUT}
    read: list[net.Layer] = []
    for node in list_calls(model):
        inputs = tuple(names[id(tensor)] for tensor in node.input_tensors)
        shape = tuple(node.input_tensors[0].shape[1:])
        added = _read_layer(_Call(node.operation, inputs, shape, kernels))
        names[id(node.outputs[0])] = added[-1].name if added else inputs[0]
        read += added
    output = names[id(model.outputs[0])]
    if not read or read[-1].name != output:
        raise ModelError(f"{model.name}: its output is not its last layer; give the model without what follows it")
    return Network(tuple(int(extent) for extent in model.inputs[0].shape[1:]), tuple(read), answer)


def list_calls(model: Any) -> list[Any]:
    """The calls of layers in the model's graph, each after those that it reads.

    A layer knows all calls of it, also those of models that were made on the way to this one; only the graph knows its
    own.
    """
    by_depth = model._nodes_by_depth  # noqa: SLF001
    calls = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]
    for name, count in Counter(node.operation.name for node in calls).items():
        if count > 1:
            raise ModelError(f"{name}: is called {count} times; give each call a layer of its own")
    return calls


def check_deployable(model: Any) -> None:
    """Accept a model that can be exported as it is.

    Raises:
        ModelError: as `read_network` raises it.
    """
    read_network(model, {})


def deployable_layers() -> list[str]:
    """The names of the layers that can be deployed, sorted; some of them do nothing outside training."""
    return sorted(kind.__name__ for kind in (layers.InputLayer, *_IDENTITIES, *_READERS))


def _read_layer(call: _Call) -> list[net.Layer]:
    layer = call.layer
    if isinstance(layer, _IDENTITIES):
        return []
    for kind, reader in _READERS.items():
        if type(layer) is kind:
            return reader(call)
    known = ", ".join(sorted(kind.__name__ for kind in _READERS))
    raise ModelError(
        f"{layer.name}: {type(layer).__name__} cannot be deployed; use {known}, or layers of training alone"
    )


def _read_convolution(call: _Call) -> list[net.Layer]:
    layer, inputs = call.layer, call.inputs
    _require(layer, layer.data_format == "channels_last", "data_format must be channels_last")
    _require(layer, layer.groups == 1, "groups must be 1")
    _require(layer, set(layer.dilation_rate) == {1}, "dilation_rate must be 1")
    kernel = _find_kernel(layer, call.kernels)
    strides, padding = (int(layer.strides[0]), int(layer.strides[1])), _read_padding(layer)
    name, bias = layer.name, _read_bias(layer)
    convolution = net.Convolution(
        name, inputs, layer.kernel.path, kernel.codes, kernel.step, kernel.multiplier, bias, "linear", strides, padding
    )
    return [convolution, *_read_curve(layer, layer.activation)]


def _read_dense(call: _Call) -> list[net.Layer]:
    layer, inputs = call.layer, call.inputs
    _require(layer, len(call.shape) == 1, "only inputs of shape (n, features) can be deployed; add Flatten")
    kernel = _find_kernel(layer, call.kernels)
    dense = net.Dense(
        layer.name, inputs, layer.kernel.path, kernel.codes, kernel.step, kernel.multiplier, _read_bias(layer)
    )
    return [dense, *_read_curve(layer, layer.activation)]


def _find_kernel(layer: Any, kernels: Mapping[str, KernelCodes]) -> KernelCodes:
    found = kernels.get(layer.kernel.path)
    return found or KernelCodes(_read(layer.kernel), None, None)


def _read_bias(layer: Any) -> Array:
    bias = getattr(layer, "bias", None)
    return np.zeros(layer.kernel.shape[-1], np.float32) if bias is None else _read(bias)


def _read(variable: Any) -> Array:
    """A variable's numbers, float32, on any backend."""
    return np.asarray(getattr(variable, "value", variable), np.float32)


def _read_curve(layer: Any, function: Any) -> list[net.Layer]:
    """What follows a layer that has an activation of its own."""
    curve: Any = getattr(function, "__name__", type(function).__name__)
    if curve == "linear":
        return []
    _require(layer, curve in _CURVES, f"the activation {curve} cannot be deployed; use {', '.join(_CURVES)}")
    return [net.Activation(f"{layer.name}/{curve}", (layer.name,), curve)]


def _read_normalisation(call: _Call) -> list[net.Layer]:
    """One factor and one offset for each channel: gamma (x - mean) / sqrt(variance + epsilon) + beta."""
    layer, inputs = call.layer, call.inputs
    _require(layer, layer.axis in {-1, len(call.shape)}, "axis must be the last one")
    mean, variance = (_read(part).astype(np.float64) for part in (layer.moving_mean, layer.moving_variance))
    gamma = _read(layer.gamma).astype(np.float64) if layer.scale else np.ones_like(mean)
    beta = _read(layer.beta).astype(np.float64) if layer.center else np.zeros_like(mean)
    multiplier = gamma / np.sqrt(variance + layer.epsilon)
    offset = beta - mean * multiplier
    return [net.Affine(layer.name, inputs, multiplier.astype(np.float32), offset.astype(np.float32))]


def _read_rescaling(call: _Call) -> list[net.Layer]:
    layer, inputs = call.layer, call.inputs
    channels = int(call.shape[-1])
    scale, offset = (np.broadcast_to(np.array(part, np.float32), channels) for part in (layer.scale, layer.offset))
    return [net.Affine(layer.name, inputs, scale.copy(), offset.copy())]


def _read_pooling(call: _Call) -> list[net.Layer]:
    layer, inputs = call.layer, call.inputs
    _require(layer, layer.data_format == "channels_last", "data_format must be channels_last")
    kind = "maximum" if isinstance(layer, layers.MaxPooling2D) else "average"
    size, strides = (tuple(int(extent) for extent in pair) for pair in (layer.pool_size, layer.strides))
    return [net.Pooling(layer.name, inputs, kind, size, strides, _read_padding(layer))]  # type: ignore[arg-type]


def _read_global_average(call: _Call) -> list[net.Layer]:
    layer, inputs = call.layer, call.inputs
    _require(layer, layer.data_format == "channels_last" and not layer.keepdims, "keepdims must be off")
    return [net.GlobalAverage(layer.name, inputs)]


def _read_upsampling(call: _Call) -> list[net.Layer]:
    layer = call.layer
    _require(layer, layer.interpolation == "nearest", "interpolation must be nearest")
    _require(layer, layer.data_format == "channels_last", "data_format must be channels_last")
    return [net.Upsampling(layer.name, call.inputs, (int(layer.size[0]), int(layer.size[1])))]


def _read_addition(call: _Call) -> list[net.Layer]:
    """A sum of many is one of two at a time, in their order: LiteRT adds no more at once."""
    total, *others = call.inputs
    added: list[net.Layer] = []
    for place, other in enumerate(others, start=1):
        name = call.layer.name if place == len(others) else f"{call.layer.name}/{place}"
        added.append(net.Addition(name, (total, other)))
        total = name
    return added


def _read_concatenation(call: _Call) -> list[net.Layer]:
    _require(call.layer, call.layer.axis in {-1, len(call.shape)}, "axis must be the last one")
    return [net.Concatenation(call.layer.name, call.inputs)]


def _read_activation(call: _Call) -> list[net.Layer]:
    layer, inputs = call.layer, call.inputs
    if isinstance(layer, layers.Softmax):
        _require(layer, layer.axis in {-1, len(call.shape)}, "axis must be the last one")
    curve: Any = layer.activation.__name__ if isinstance(layer, layers.Activation) else "softmax"
    _require(layer, curve in _CURVES, f"the activation {curve} cannot be deployed; use {', '.join(_CURVES)}")
    return [net.Activation(layer.name, inputs, curve)]


def _read_relu(call: _Call) -> list[net.Layer]:
    layer, inputs = call.layer, call.inputs
    plain = not layer.negative_slope and not layer.threshold and layer.max_value in {None, 6}
    _require(layer, plain, "only plain ReLU and max_value 6 can be deployed")
    return [net.Activation(layer.name, inputs, "relu" if layer.max_value is None else "relu6")]


def _read_padding(layer: Any) -> net.Padding:
    return "SAME" if layer.padding == "same" else "VALID"


def _require(layer: Any, condition: bool, sentence: str) -> None:
    if not condition:
        raise ModelError(f"{layer.name}: {sentence}")


_READERS: dict[Any, Callable[[_Call], list[net.Layer]]] = {
    layers.Conv2D: _read_convolution,
    layers.Dense: _read_dense,
    layers.BatchNormalization: _read_normalisation,
    layers.Rescaling: _read_rescaling,
    layers.MaxPooling2D: _read_pooling,
    layers.AveragePooling2D: _read_pooling,
    layers.GlobalAveragePooling2D: _read_global_average,
    layers.Activation: _read_activation,
    layers.Softmax: _read_activation,
    layers.ReLU: _read_relu,
    layers.Flatten: lambda call: [net.Flatten(call.layer.name, call.inputs)],
    layers.Add: _read_addition,
    layers.UpSampling2D: _read_upsampling,
    layers.Concatenate: _read_concatenation,
}
