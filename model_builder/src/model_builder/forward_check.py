"""Holds a .tflite against a numpy forward pass of its codes, before it is written anywhere."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from model_builder.errors import ExportError
from model_builder.evaluation import Predictor
from model_builder.forward import run_forward
from model_builder.network import Activation, Array, Network
from model_builder.quantisation import Grid, round_on_the_fly, round_to_grids

FLOAT_TOLERANCE = 0.01
ROUNDED_TOLERANCE = 0.5
"""Largest relative difference (see `relative_difference`) of a file that is still the network.

Float kernels differ from numpy in the order of sums alone. Kernels that put activations on a grid round some of them
to the other neighbour, and every layer passes that on: the more, the less the answers differ from image to image.
Another order of channels or weights of another layer make answers that have nothing to do with each other, and differ
by more than they vary.
"""
_SMALLEST_SHARE = 0.01
_SMALLEST_SPREAD = 1e-3
_SMALLEST_PROBABILITY = 1e-9


def check_model(
    model: bytes, network: Network, images: NDArray[np.uint8], grids: Mapping[str, Grid] | None, *, floats: bool
) -> float:
    """Accept a .tflite that answers as numpy does with the same codes.

    Args:
        model: the file.
        network: what it was written from.
        images: to ask for, shape (n, height, width, channels).
        grids: of the full-integer form, or None.
        floats: whether its weights were written as float32.

    Returns:
        The relative difference that was found.

    Raises:
        ExportError: when it is larger than the tolerance, or not a number.
    """
    try:
        answers = Predictor(model).predict(images)
    except (RuntimeError, ValueError) as error:
        raise ExportError(f"LiteRT refuses model.tflite ({error}), so it is not written; report this") from error
    rounded = grids is not None or any(layer.codes.dtype == np.int8 and not floats for layer in network.weighted)
    tolerance = ROUNDED_TOLERANCE if rounded else FLOAT_TOLERANCE
    found = relative_difference(answers, _expect(network, images, grids, floats=floats), _ends_in_softmax(network))
    if not found <= tolerance:
        raise ExportError(
            f"model.tflite answers differently from its own weights (by {found:.3g}, where {tolerance:g} is allowed);"
            " it is not written, report this with the recipe"
        )
    return found


def _expect(network: Network, images: NDArray[np.uint8], grids: Mapping[str, Grid] | None, *, floats: bool) -> Array:
    if grids is not None:
        given, reading = round_to_grids(network, grids)
        return run_forward(network, images, given=given, reading=reading)
    return run_forward(network, images) if floats else run_forward(network, images, reading=round_on_the_fly)


def _ends_in_softmax(network: Network) -> bool:
    last = network.layers[-1]
    return isinstance(last, Activation) and last.curve == "softmax"


def relative_difference(answers: Array, expected: Array, probabilities: bool) -> float:
    """How far answers are from what is expected, relative to how much that differs from image to image.

    Probabilities are compared by their logarithms, which tell answers apart that are all near one tenth. Where the
    answer hardly depends on the image, a hundredth of the spread of all numbers stands in the denominator.
    """
    if probabilities:
        answers, expected = (np.log(np.maximum(part, _SMALLEST_PROBABILITY)) for part in (answers, expected))
        answers, expected = (part - part.mean(axis=-1, keepdims=True) for part in (answers, expected))
    by_image = _root_mean_square(expected - expected.mean(axis=0))
    spread = max(by_image, _SMALLEST_SHARE * _root_mean_square(expected - expected.mean()), _SMALLEST_SPREAD)
    return _root_mean_square(answers - expected) / spread


def _root_mean_square(numbers: Array) -> float:
    return float(np.sqrt(np.mean(np.square(numbers), dtype=np.float64)))
