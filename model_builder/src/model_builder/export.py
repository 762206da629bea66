"""A trained network -> version folder: SavedModel, model.tflite, golden answers, labels, a warm-up request."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_artifact.golden import GoldenAnswers, format_golden
from model_artifact.manifest import Golden
from model_artifact.packing import MODEL_FILE
from model_artifact.recipe import Export
from model_artifact.tflite_weights import read_weights
from model_artifact.weights import CodedTensor
from model_builder.evaluation import Predictor
from model_builder.flatbuffer import LITERT_AXES, SIGNATURE, render_model
from model_builder.forward_check import check_model
from model_builder.network import INPUT, VALUES, Network, Weighted
from model_builder.network_passes import fold_normalisation, fuse_activations
from model_builder.quantisation import measure_grids
from model_builder.saved_model import FloatNetwork
from model_builder.serving_files import (
    SIGNATURES_METADATA,
    render_signatures,
    write_example_spec,
    write_warmup_requests,
)
from model_builder.zero_channels import remove_zero_channels

GOLDEN_IMAGES = 8
"""Enough to tell engines apart, and an eighth of the bytes of 64 (docs/decisions/0010-eight-golden-images.md)."""

GOLDEN_FOLDER = "assets.extra/golden"
GOLDEN_TOLERANCE = 0.05
"""Largest difference of a probability that is still the same model.

Kernels differ in how they quantise activations on the fly: LiteRT with and without XNNPACK are 0.016 apart on
these networks. Pixels scaled wrongly or channels in another order move some answer by more than 0.5.
"""
PIXEL_TOLERANCE = 0.25
"""Likewise, of a probability of a pixel: of thousands, some lie on an edge, where little moves them far."""
VALUE_TOLERANCE = 0.05
"""Likewise, of a number, as a share of how far the answers to different images are from each other."""
_SMALLEST_VALUE_TOLERANCE = 1e-6
_LARGEST_GOLDEN_NUMBERS = 1 << 16
_PIXEL_STEPS = 256
"""Golden probabilities of pixels are kept as multiples of 1/256, which is far below the tolerance and packs well."""
CALIBRATION_IMAGES = 128
CHECKED_IMAGES = 16


@dataclass(frozen=True)
class Deployment:
    """What is deployed of a trained network.

    Attributes:
        network: after every pass, with the codes.
        removed: how many channels each kernel lost, by the path of its variable.
        difference: how far model.tflite is from a numpy forward pass of its codes, relative to the spread of answers.
        tensors: the weights as the artifact stores them.
        floats: the same network with float32 arithmetic.
        golden: what to say of the golden answers.
    """

    network: Network
    removed: dict[str, int]
    difference: float
    tensors: list[CodedTensor]
    floats: FloatNetwork
    golden: Golden


@dataclass(frozen=True)
class ExampleImages:
    """Images that an export needs, uint8, shape (n, height, width, channels).

    Attributes:
        calibration: of the training set; the ranges of activations are measured on them.
        golden: of the test set; the answers to them travel with the model.
    """

    calibration: NDArray[np.uint8]
    golden: NDArray[np.uint8]


def plan_deployed(network: Network, settings: Export) -> tuple[Network, dict[str, int]]:
    """The network as it is written, and how many channels each kernel lost."""
    folded = fuse_activations(fold_normalisation(network))
    return remove_zero_channels(folded) if settings.remove_zero_channels else (folded, {})


def write_version(
    folder: Path, network: Network, settings: Export, images: ExampleImages, class_names: tuple[str, ...]
) -> Deployment:
    """Write the version folder; model.tflite only after numpy has answered as it does.

    Args:
        folder: to be made.
        network: as it was trained, with its codes.
        settings: of the recipe.
        images: to measure and check with.
        class_names: what the outputs mean; empty where that is not known.

    Raises:
        ExportError: when the network has no form in the .tflite, or the file answers differently.
    """
    deployed, removed = plan_deployed(network, settings)
    model, difference = _render_checked(deployed, settings, images)
    floats = FloatNetwork(deployed)
    floats.save(folder)
    (folder / MODEL_FILE).write_bytes(model)
    golden = write_golden_answers(folder, images, deployed.answer)
    write_warmup_requests(folder, deployed.image_shape)
    write_example_spec(folder, deployed)
    if class_names:
        write_labels(folder, class_names)
    return Deployment(deployed, removed, difference, _list_tensors(deployed, model), floats, golden)


def _render_checked(network: Network, settings: Export, images: ExampleImages) -> tuple[bytes, float]:
    """The bytes of model.tflite, and how far they are from numpy."""
    grids = measure_grids(network, images.calibration) if settings.activations == "Integer" else None
    floats = settings.activations == "Float"
    metadata = {SIGNATURES_METADATA: render_signatures(network)}
    model = render_model(network, grids, floats=floats, metadata=metadata)
    checked = np.concatenate([images.golden, images.calibration])[:CHECKED_IMAGES]
    return model, check_model(model, network, checked, grids, floats=floats)


def _list_tensors(network: Network, model: bytes) -> list[CodedTensor]:
    """The kernels as the artifact stores them: once each, in LiteRT's layout, with their places in model.tflite."""
    offsets = {tensor.name: tensor.offset for tensor in read_weights(model)}
    return [_code_tensor(layer, offsets.get(layer.kernel)) for layer in network.weighted]


def _code_tensor(layer: Weighted, offset: int | None) -> CodedTensor:
    ordered = np.ascontiguousarray(layer.codes.transpose(LITERT_AXES[layer.codes.ndim]))
    return CodedTensor(layer.kernel, ordered, layer.step, offset)


def write_golden_answers(folder: Path, images: ExampleImages, answer: str) -> Golden:
    """Some images and what this .tflite answers, for every later engine to reproduce; what to say of them."""
    golden = folder / GOLDEN_FOLDER
    golden.mkdir(parents=True)
    predictor = Predictor(folder / MODEL_FILE)
    answers = predictor.predict(images.golden)
    tolerance = GOLDEN_TOLERANCE
    if answer == VALUES:
        tolerance = plan_value_tolerance(np.concatenate([answers, predictor.predict(images.calibration)]))
    elif answers.ndim > 2:
        tolerance = PIXEL_TOLERANCE
        kept = answers[: plan_golden_images(answers.shape)]
        answers = np.asarray(np.round(kept * _PIXEL_STEPS) / _PIXEL_STEPS, np.float32)
    np.save(golden / "inputs.npy", images.golden[: len(answers)], allow_pickle=False)
    np.save(golden / "outputs.npy", answers.reshape(len(answers), -1), allow_pickle=False)
    facts = GoldenAnswers(signature=SIGNATURE, input=INPUT, output=answer, tolerance=tolerance)
    (golden / "golden.json").write_text(format_golden(facts))
    return Golden(folder=GOLDEN_FOLDER, samples=len(answers), tolerance=tolerance)


def plan_value_tolerance(answers: NDArray[np.float32]) -> float:
    """How far a number may be from the golden one, in its own unit: three significant digits."""
    spread, size = float(np.ptp(answers, axis=0).max()), float(np.abs(answers).max())
    tolerance = max(VALUE_TOLERANCE * spread, _SMALLEST_VALUE_TOLERANCE * max(size, 1.0))
    return float(f"{tolerance:.3g}")


def plan_golden_images(shape: tuple[int, ...]) -> int:
    """How many images' answers of that shape an artifact carries: at least one, and not too many numbers."""
    images, numbers = shape[0], math.prod(shape[1:])
    return max(1, min(images, _LARGEST_GOLDEN_NUMBERS // numbers))


def write_labels(folder: Path, class_names: tuple[str, ...]) -> None:
    """One class name a line, in the order of the output."""
    extra = folder / "assets.extra"
    extra.mkdir(exist_ok=True)
    (extra / "labels.txt").write_text("\n".join(class_names) + "\n")
