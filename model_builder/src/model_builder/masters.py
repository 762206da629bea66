"""Histograms of the float weights as training left them (paper 000, fig. 2a), kept before they are replaced."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from model_artifact.recipe import Contract
from model_builder.errors import BuildError

MASTERS_FILE = "masters.json"
_BINS = 201


class Histogram(Contract):
    """How many weights of a kernel lie in each of equally wide bins."""

    name: str
    """The variable's path, as the artifact names the kernel."""
    smallest: float
    largest: float
    counts: tuple[Annotated[int, Field(ge=0)], ...]


class Masters(Contract):
    """The histograms of all kernels of one training."""

    kernels: tuple[Histogram, ...]


def make_histogram(name: str, weights: NDArray[Any]) -> Histogram:
    """The histogram of a kernel between its smallest and its largest weight."""
    counts, edges = np.histogram(weights, bins=_BINS)
    return Histogram(name=name, smallest=float(edges[0]), largest=float(edges[-1]), counts=tuple(map(int, counts)))


def encode_histogram(histogram: Histogram) -> NDArray[np.float64]:
    """The histogram as numbers, to be saved beside what was trained."""
    return np.array([histogram.smallest, histogram.largest, *histogram.counts], np.float64)


def decode_histogram(name: str, numbers: NDArray[np.float64]) -> Histogram:
    """What `encode_histogram` gave, for the variable of that path."""
    smallest, largest, *counts = numbers.tolist()
    return Histogram(name=name, smallest=smallest, largest=largest, counts=tuple(map(int, counts)))


def write_masters(folder: Path, kernels: Iterable[Histogram]) -> None:
    """Keep the histograms of a trained network's float kernels in the folder of its build."""
    masters = Masters(kernels=tuple(kernels))
    (folder / MASTERS_FILE).write_text(masters.model_dump_json(by_alias=True) + "\n")


def read_masters(folder: Path) -> dict[str, Histogram] | None:
    """The histograms by kernel; None where a build kept none.

    Raises:
        BuildError: when the file is something else.
    """
    path = folder / MASTERS_FILE
    if not path.exists():
        return None
    try:
        masters = Masters.model_validate_json(path.read_text())
    except (ValidationError, UnicodeDecodeError) as error:
        raise BuildError(f"{path}: holds no histograms; remove it") from error
    return {kernel.name: kernel for kernel in masters.kernels}
