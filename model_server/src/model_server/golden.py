"""Golden answers: a version is served only after the engine gave them back within their tolerance."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_artifact.golden import GoldenAnswers, GoldenFormatError, parse_golden
from model_server import versions
from model_server.errors import LoadError, ServingError

Array = NDArray[np.generic]
Answer = Callable[[Array], Array]

_BATCH = 8


@dataclass(frozen=True)
class Golden:
    """The document with its two arrays: inputs (n, ...), outputs (n, k)."""

    document: GoldenAnswers
    inputs: Array
    outputs: Array


def read_golden(folder: Path) -> Golden | None:
    """The folder's golden answers, or None where it has no golden.json.

    Raises:
        LoadError: The document or an array cannot be read, or they do not belong together.
    """
    path = folder / versions.GOLDEN_DOCUMENT
    if not path.exists():
        return None
    try:
        document = parse_golden(path.read_bytes())
        inputs = np.load(folder / versions.GOLDEN_INPUTS, allow_pickle=False)
        outputs = np.load(folder / versions.GOLDEN_OUTPUTS, allow_pickle=False)
    except GoldenFormatError as error:
        raise LoadError(f"{path} is not a golden document: {error}.") from error
    except (OSError, ValueError, EOFError) as error:
        raise LoadError(f"The golden arrays beside {path} cannot be read: {error}.") from error
    if inputs.dtype.kind not in "iufb" or inputs.ndim < 1 or outputs.ndim != 2 or not 0 < len(inputs) == len(outputs):
        raise LoadError(
            f"The golden arrays beside {path} have the shapes {list(inputs.shape)} and {list(outputs.shape)}:"
            " numbers, as many outputs as inputs, and outputs of two dimensions are needed."
        )
    return Golden(document, inputs, outputs)


def verify_golden(golden: Golden, answer: Answer) -> None:
    """Ask for all inputs, eight at a time, and for the first alone, and compare.

    Eight show that batches work; all at once would leave the interpreter with memory for a batch that may never come.

    Raises:
        LoadError: The engine refuses the inputs, or an answer is too far from the golden one.
    """
    starts = range(0, len(golden.inputs), _BATCH)
    for batch in (*(slice(start, start + _BATCH) for start in starts), slice(0, 1)):
        inputs = golden.inputs[batch]
        try:
            actual = answer(inputs)
        except ServingError as error:
            raise LoadError(f"The engine refuses {len(inputs)} golden inputs: {error}") from error
        _compare(actual, golden.outputs[batch], golden.document.tolerance, batch.start)


def _compare(actual: Array, expected: Array, tolerance: float, first: int) -> None:
    """Refuse a difference over the tolerance; `first` is the place of the batch among the golden items."""
    batch, values = expected.shape
    if actual.size != expected.size:
        raise LoadError(
            f"The engine answers {batch} golden inputs with the shape {list(actual.shape)}"
            f" instead of {[batch, values]}: model.tflite and its golden answers are of different models."
        )
    difference = np.abs(actual.reshape(batch, values).astype(np.float64) - expected.astype(np.float64))
    # An answer that is not a number, or a difference of two infinities, is no match; equal infinities are.
    difference[np.isnan(difference)] = np.inf
    difference[actual.reshape(batch, values) == expected] = 0.0
    item, position = np.unravel_index(int(np.argmax(difference)), difference.shape)
    if difference[item, position] > tolerance:
        raise LoadError(
            f"The golden answers are not reproduced in a batch of {batch}: output {int(position)}"
            f" of item {first + int(item)} differs by {difference[item, position]:.6g}, and {tolerance:.6g} is allowed."
        )
