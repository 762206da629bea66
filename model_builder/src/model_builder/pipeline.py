"""The one place that orders the steps of a build: data, training, export, packing, measuring what was packed."""

import os
import platform
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from model_artifact.manifest import Layer, Manifest, Provenance, Quality
from model_artifact.packing import MODEL_FILE, pack
from model_artifact.recipe import Recipe
from model_artifact.summary import BuildProgress
from model_artifact.unpacking import unpack
from model_artifact.weights import CodedTensor
from model_builder import export
from model_builder.dataset import LabelledImages, load_dataset
from model_builder.evaluation import Predictor, accuracy_percent
from model_builder.progress import Progress
from model_builder.rules import Compressed
from model_builder.training import CompressedTraining, build_model, plan_schedule, train

_SHAPES: dict[str, tuple[int, int, int]] = {"CIFAR10": (32, 32, 3), "Digits": (8, 8, 1)}
_CLASSES = 10
_PACKAGES = (
    "keras",
    "tensorflow-cpu",
    "tensorflow",
    "ai-edge-litert",
    "numpy",
    "modelpress-builder",
    "modelpress-artifact",
)


@dataclass(frozen=True)
class Built:
    """An artifact that was built."""

    path: Path
    manifest: Manifest


def build(recipe: Recipe, target: Path, environment: Mapping[str, str], progress: Progress) -> Built:
    """Build the artifact of a recipe.

    Args:
        recipe: what to build; 0 epochs keep the initial weights and need no data. Quality is measured when training
            was done in full, not when `maximumSteps` cut it short.
        target: the artifact to write.
        environment: where the data is (see `dataset.load_dataset`).
        progress: told what is being done.

    Raises:
        BuildError: with the cause and the remedy.
        ArtifactError: when packing fails.
    """
    begun = time.monotonic()
    data = load_dataset(recipe.training.dataset, environment, progress) if recipe.training.epochs else None
    model = build_model(recipe, _SHAPES[recipe.training.dataset], _CLASSES)
    progress(BuildProgress(phase="Loading", message=_describe(recipe, model, data)))
    in_full = data is not None and plan_schedule(recipe.training, len(data.training_labels)).in_full
    curve = train(model, recipe, data, progress) if data is not None else []
    kernels = model.compressed_kernels()
    tensors = export.code_kernels(kernels, recipe.compression.bits)
    export.set_deployed_weights(model, tensors)
    with tempfile.TemporaryDirectory(prefix="modelpress-build-") as scratch:
        folder = Path(scratch) / "version"
        progress(BuildProgress(phase="Exporting", message="exporting SavedModel, model.tflite and golden answers"))
        _write_folder(model, tensors, recipe, data, folder)
        provenance = Provenance(
            recipe=recipe,
            trained=in_full,
            dataset=data.facts if data else None,
            curve=tuple(curve),
            layers=tuple(_layer_facts(kernels, tensors)),
            versions=_versions(),
            duration_seconds=round(time.monotonic() - begun, 1),
        )
        if data is not None and in_full:
            quality = _measure_deployed(
                model, folder=folder, tensors=tensors, data=data, scratch=Path(scratch), progress=progress
            )
            provenance = provenance.model_copy(update={"quality": quality})
        progress(BuildProgress(phase="Packing", message="packing"))
        return Built(target, pack(folder, target, tensors=list(tensors.values()), provenance=provenance))


def _describe(recipe: Recipe, model: CompressedTraining, data: LabelledImages | None) -> str:
    network = f"{recipe.training.architecture}, {model.count_params():,} parameters"
    rule = f"alpha {recipe.compression.alpha:g}, bits {recipe.compression.bits}, rule {recipe.compression.rule}"
    images = f"{data.facts.training_images:,} images of {data.facts.name}" if data else "no data: 0 epochs, untrained"
    return f"{network}; {rule}; {images}"


def _write_folder(
    model: CompressedTraining,
    tensors: dict[str, CodedTensor],
    recipe: Recipe,
    data: LabelledImages | None,
    folder: Path,
) -> None:
    export.write_saved_model(model, folder)
    (folder / MODEL_FILE).write_bytes(export.convert_saved_model(folder, tensors, recipe.compression.bits))
    if data is not None:
        export.write_golden_answers(folder, data.test_images[: export.GOLDEN_IMAGES])
        export.write_labels(folder, data.class_names)
    else:
        shape = (export.GOLDEN_IMAGES, *model.input_shape[1:])
        noise = np.random.default_rng(recipe.training.seed).integers(0, 256, shape, np.uint8)
        export.write_golden_answers(folder, noise)


def _layer_facts(kernels: dict[str, Compressed], tensors: dict[str, CodedTensor]) -> list[Layer]:
    return [
        Layer(
            name=path,
            shape=tuple(np.asarray(kernel.codes).shape),
            step=None if tensors[path].step is None else float(np.asarray(kernel.step)),
            zeros=int(np.sum(tensors[path].codes == 0)),
            saturated=int(kernel.saturated),
        )
        for path, kernel in kernels.items()
    ]


def _measure_deployed(
    model: CompressedTraining,
    *,
    folder: Path,
    tensors: dict[str, CodedTensor],
    data: LabelledImages,
    scratch: Path,
    progress: Progress,
) -> Quality:
    """Accuracy of the .tflite that comes out of pack and unpack, and of the float model with the same weights."""
    pack(folder, scratch / "trial.zip", tensors=list(tensors.values()))
    unpack(scratch / "trial.zip", scratch / "unpacked")
    message = f"measuring the unpacked model.tflite on {len(data.test_labels):,} test images"
    progress(BuildProgress(phase="Measuring", message=message))
    deployed = Predictor(scratch / "unpacked" / MODEL_FILE, os.cpu_count() or 1).predict(data.test_images)
    floats = model.predict(data.test_images.astype(np.float32), batch_size=256, verbose=0)
    return Quality(
        deployed=accuracy_percent(deployed, data.test_labels),
        float_model=accuracy_percent(floats, data.test_labels),
        samples=len(data.test_labels),
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except ModuleNotFoundError:  # only one of tensorflow and tensorflow-cpu is there
            continue
    return found
