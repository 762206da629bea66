"""The one place that orders the steps of a build: data, training, export, packing, measuring what was packed."""

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model_artifact.manifest import GivenModel, Layer, Manifest, Provenance, Quality
from model_artifact.packing import MODEL_FILE, pack
from model_artifact.recipe import NOT_QUANTISED, Recipe
from model_artifact.streams import entropy_bits
from model_artifact.summary import BuildProgress
from model_artifact.unpacking import unpack
from model_builder.checkpoint import Checkpoints
from model_builder.data_source import fit_to_given, load_data
from model_builder.dataset import LabelledImages
from model_builder.errors import ModelError
from model_builder.evaluation import Predictor
from model_builder.export import CALIBRATION_IMAGES, GOLDEN_IMAGES, Deployment, ExampleImages, write_version
from model_builder.given_files import open_given
from model_builder.given_model import read_given_model
from model_builder.interruption import Interruption
from model_builder.judging import Predict, judge_model
from model_builder.machine import EXPORTING, explain_repeating, read_versions
from model_builder.memory import explain_memory
from model_builder.network import OUTPUT, VALUES, Network
from model_builder.network_reading import KernelCodes, check_deployable, code_kernel, read_network
from model_builder.progress import Progress
from model_builder.quality import Array
from model_builder.rules import Compressed, count_bits
from model_builder.training import CompressedTraining, build_model, plan_schedule, train

_SHAPES: dict[str | None, tuple[int, int, int]] = {"CIFAR10": (32, 32, 3), "Digits": (8, 8, 1)}
_CLASSES = 10


@dataclass(frozen=True)
class Built:
    """An artifact that was built."""

    path: Path
    manifest: Manifest


def build(
    recipe: Recipe,
    target: Path,
    environment: Mapping[str, str],
    progress: Progress,
    *,
    checkpoints: Checkpoints | None = None,
    interruption: Interruption | None = None,
    watch_trained: Callable[[CompressedTraining], None] = lambda _model: None,
) -> Built:
    """Build the artifact of a recipe.

    Over 60 lines with what is said of its arguments: the order of the steps is what this module is for.

    Args:
        recipe: what to build; 0 epochs keep the initial weights and need no data. Quality is measured when training
            was done in full, not when `maximumSteps` cut it short.
        target: the artifact to write.
        environment: where the data is (see `data_source.load_data`).
        progress: told what is being done.
        checkpoints: where training saves itself and goes on from; absent: nowhere.
        interruption: ends training early, after it saved itself, and keeps what comes later from beginning.
        watch_trained: given the network when it is trained, before code x step replaces its masters.

    Raises:
        BuildError: with the cause and the remedy.
        ArtifactError: when packing fails.
    """
    begun, asked = time.monotonic(), interruption or Interruption()

    def check(when: str) -> None:
        asked.check(when, checkpoints.describe() if checkpoints else "nothing is saved")

    check("before its data were looked for")
    model, given_facts, data = _load(recipe, environment, progress, asked)
    check("before training")
    progress(BuildProgress(phase="Loading", message=_describe(recipe, model, data)))
    check_deployable(model)
    trains = data is not None and recipe.training.epochs > 0
    in_full = trains and data is not None and plan_schedule(recipe.training, len(data.training_labels)).in_full
    curve = []
    if data is not None and trains:
        curve = train(model, recipe, data, progress, checkpoints=checkpoints, interruption=asked)
        watch_trained(model)
    else:
        model.silence_channels()
    check("before the export")
    with tempfile.TemporaryDirectory(prefix="modelpress-build-") as scratch:
        folder = Path(scratch) / "version"
        with explain_memory("export"):
            deployment, layers = _export(recipe, model, data, folder, progress)
        provenance = Provenance(
            recipe=recipe,
            trained=in_full,
            dataset=data.facts if data else None,
            given_model=given_facts,
            curve=tuple(curve),
            layers=layers,
            versions=read_versions(EXPORTING),
            trained_on=model.trained_on,
            reproducible=explain_repeating(model.trained_on) if model.trained_on else None,
            activations=recipe.export.activations,
            export_difference=float(f"{deployment.difference:.3g}"),
            golden=deployment.golden,
            duration_seconds=round(time.monotonic() - begun, 1),
        )
        check("before it was measured")
        if data is not None and in_full:
            with explain_memory("measure the model"):
                quality = _measure_deployed(recipe, deployment, folder, data, progress, check=check)
            provenance = provenance.model_copy(update={"quality": quality})
        check("before it was packed")
        progress(BuildProgress(phase="Packing", message="packing"))
        return Built(target, pack(folder, target, tensors=deployment.tensors, provenance=provenance))


def _export(
    recipe: Recipe, model: CompressedTraining, data: LabelledImages | None, folder: Path, progress: Progress
) -> tuple[Deployment, tuple[Layer, ...]]:
    """Write the version's files; and each kernel as the rule left it."""
    kernels = model.compressed_kernels()
    codes = {path: code_kernel(kernel, recipe.compression.bits) for path, kernel in kernels.items()}
    progress(BuildProgress(phase="Exporting", message="exporting SavedModel, model.tflite and golden answers"))
    class_names = data.class_names if data is not None else ()
    network = read_network(model, codes, VALUES if recipe.training.task == "Regression" else OUTPUT)
    deployment = write_version(folder, network, recipe.export, _choose_images(recipe, network, data), class_names)
    progress(BuildProgress(phase="Exporting", message=_describe_export(deployment)))
    return deployment, _layer_facts(recipe, kernels, codes, deployment)


def _load(
    recipe: Recipe, environment: Mapping[str, str], progress: Progress, asked: Interruption
) -> tuple[CompressedTraining, GivenModel | None, LabelledImages | None]:
    """The network before training, what to say of the file that it came from, and the images, where there are any."""
    given, given_facts = _read_given_model(recipe, environment, progress, asked)
    data = load_data(recipe.training, environment, progress, asked) if _needs_data(recipe) else None
    shape, classes = _plan_interface(recipe, given, data)
    if given is not None and data is not None:
        data = fit_to_given(data, given)
    with explain_memory("build the network"):
        return build_model(recipe, shape, classes, given=given), given_facts, data


def _read_given_model(
    recipe: Recipe, environment: Mapping[str, str], progress: Progress, asked: Interruption
) -> tuple[Any, GivenModel | None]:
    """The user's network and what to say of its file; nothing where the recipe names one of ours."""
    reference = recipe.training.model
    if reference is None:
        return None, None
    with open_given(reference, environment, progress, asked) as given:
        return read_given_model(given.path, recipe.training.task), GivenModel(name=given.path.name, digest=given.digest)


def _needs_data(recipe: Recipe) -> bool:
    """Whether images are trained on, or say which shape the network takes."""
    training = recipe.training
    return training.epochs > 0 or (training.data is not None and training.model is None)


def _plan_interface(recipe: Recipe, given: Any, data: LabelledImages | None) -> tuple[tuple[int, int, int], int]:
    """The shape of an image and the number of classes."""
    if given is not None:
        shape, classes = tuple(given.inputs[0].shape[1:]), int(given.outputs[0].shape[-1])
    elif data is not None:
        shape, classes = data.training_images.shape[1:], len(data.class_names)
    else:
        shape, classes = _SHAPES[recipe.training.dataset], _CLASSES
    if len(shape) != 3 or None in shape:
        raise ModelError(f"{recipe.training.network_name}: takes {shape}, but images are (height, width, channels)")
    height, width, channels = shape
    return (height, width, channels), classes


def _describe(recipe: Recipe, model: CompressedTraining, data: LabelledImages | None) -> str:
    network = f"{recipe.training.network_name}, {model.count_params():,} parameters"
    compression = recipe.compression
    rule = f"alpha {compression.alpha:g}, bits {compression.bits}, rule {compression.rule}"
    if compression.channel_sparsity is not None:
        rule += f", {100 * compression.channel_sparsity:g} % of the channels pruned"
    if compression.chosen_first_and_last_layers == "Dense":
        rule += ", first and last layer dense"
    images = f"{data.facts.training_images:,} images of {data.facts.name}" if data else "no data: 0 epochs, untrained"
    return f"{network}; {rule}; {images}"


def _describe_export(deployment: Deployment) -> str:
    """What was found and done on the way to the files."""
    gone = sum(deployment.removed.values())
    removed = f"{gone:,} channels and units without weights taken out; " if gone else ""
    return f"{removed}model.tflite answers as numpy does, apart by {deployment.difference:.2g}"


def _choose_images(recipe: Recipe, network: Network, data: LabelledImages | None) -> ExampleImages:
    """Images of the data set; noise where there is none."""
    if data is not None:
        return ExampleImages(data.training_images[:CALIBRATION_IMAGES], data.test_images[:GOLDEN_IMAGES])
    shape = (GOLDEN_IMAGES + CALIBRATION_IMAGES, *network.image_shape)
    noise = np.random.default_rng(recipe.training.seed).integers(0, 256, shape, np.uint8)
    return ExampleImages(noise[GOLDEN_IMAGES:], noise[:GOLDEN_IMAGES])


def _layer_facts(
    recipe: Recipe, kernels: dict[str, Compressed], codes: dict[str, KernelCodes], deployment: Deployment
) -> tuple[Layer, ...]:
    """Each kernel as the rule left it, before channels without weights were taken out."""
    return tuple(
        Layer(
            name=path,
            shape=coded.codes.shape,
            step=None if coded.step is None or coded.multiplier is not None else float(coded.step),
            steps=None if coded.multiplier is None else tuple(map(float, coded.multiplier)),
            bits=_count_wider(kernels[path], recipe.compression.bits),
            zeros=int(np.sum(coded.codes == 0)),
            removed_channels=deployment.removed.get(path),
            saturated=int(kernels[path].saturated),
            entropy_bits_per_weight=round(entropy_bits(coded.codes.reshape(-1)), 4),
        )
        for path, coded in codes.items()
    )


def _count_wider(kernel: Compressed, bits: int) -> int | None:
    """Bits that the codes take, where they are more than the recipe's."""
    counted = bits if bits == NOT_QUANTISED else count_bits(kernel.codes)
    return counted if counted > bits else None


def _measure_deployed(
    recipe: Recipe,
    deployment: Deployment,
    folder: Path,
    data: LabelledImages,
    progress: Progress,
    *,
    check: Callable[[str], None],
) -> Quality:
    """The .tflite that comes out of pack and unpack, beside the float model with the same weights."""

    def ask_first(predict: Predict) -> Predict:
        def predict_unless_asked(images: Array) -> Array:
            check("while it was measured")
            return predict(images)

        return predict_unless_asked

    message = f"measuring the unpacked model.tflite on {len(data.test_labels):,} test images"
    progress(BuildProgress(phase="Measuring", message=message))
    with tempfile.TemporaryDirectory(prefix="modelpress-trial-") as scratch:
        pack(folder, Path(scratch) / "trial.zip", tensors=deployment.tensors)
        unpack(Path(scratch) / "trial.zip", Path(scratch) / "unpacked")
        predictor = Predictor(Path(scratch) / "unpacked" / MODEL_FILE, os.cpu_count() or 1)
        both = ask_first(predictor.predict), ask_first(deployment.floats.predict)
        return judge_model(recipe.evaluation.metric, recipe.training.task, *both, data)
