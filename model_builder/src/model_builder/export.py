"""Trained weights -> version folder: SavedModel, model.tflite, golden answers, labels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model_artifact.golden import GoldenAnswers
from model_artifact.recipe import NOT_QUANTISED
from model_artifact.weights import CodedTensor
from model_builder.architectures import INPUT, OUTPUT
from model_builder.evaluation import Predictor
from model_builder.flatbuffer import LARGEST_INT8_BITS, write_codes
from model_builder.rules import Compressed
from model_builder.training import CompressedTraining

SIGNATURE = "serving_default"
GOLDEN_IMAGES = 64
GOLDEN_TOLERANCE = 0.05
"""Largest difference of a probability that is still the same model.

Kernels differ in how they quantise activations on the fly: LiteRT with and without XNNPACK are 0.016 apart on
these networks. Pixels scaled wrongly or channels in another order move some answer by more than 0.5.
"""

_LITERT_AXES = {4: (3, 0, 1, 2), 2: (1, 0)}


def code_kernels(kernels: dict[str, Compressed], bits: int) -> dict[str, CodedTensor]:
    """The compressed kernels as the artifact stores them: whole numbers in LiteRT's layout, by variable path."""
    return {path: _code_kernel(path, kernel, bits) for path, kernel in kernels.items()}


def _code_kernel(path: str, kernel: Compressed, bits: int) -> CodedTensor:
    codes = np.asarray(kernel.codes)
    ordered = np.ascontiguousarray(codes.transpose(_LITERT_AXES[codes.ndim]))
    if bits == NOT_QUANTISED:
        return CodedTensor(path, ordered.astype(np.float32), None)
    integers = ordered.astype(np.int8 if bits <= LARGEST_INT8_BITS else np.int16)
    return CodedTensor(path, integers, np.float32(kernel.step))


def set_deployed_weights(model: CompressedTraining, tensors: dict[str, CodedTensor]) -> None:
    """Replace the masters by code x step: from here on the network is the one that is deployed."""
    for variable in model.trainable_variables:
        if variable.path in tensors:
            coded = tensors[variable.path]
            weights = coded.codes.astype(np.float32) * np.float32(1 if coded.step is None else coded.step)
            variable.assign(weights.transpose(np.argsort(_LITERT_AXES[weights.ndim])))


def write_saved_model(model: CompressedTraining, folder: Path) -> None:
    """A complete SavedModel: signature serving_default, `image` to `probabilities`, any batch size."""
    # Keras' own exporter writes every variable twice, and the optimizer's state beside them
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables if variable.dtype == "float32"]
    shape = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name=INPUT)
    answer = tf.function(lambda image: {OUTPUT: model(image, training=False)}, input_signature=[shape])
    module.answer = answer
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: answer})


def convert_saved_model(folder: Path, tensors: dict[str, CodedTensor], bits: int) -> bytes:
    """The .tflite of a SavedModel: int8 weights that are exactly the codes up to 8 bits, float32 above.

    Raises:
        ExportError: when the converter changed a weight tensor.
    """
    converter: Any = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    model = converter.convert()
    return write_codes(model, tensors) if bits <= LARGEST_INT8_BITS else bytes(model)


def write_golden_answers(folder: Path, images: NDArray[np.uint8]) -> None:
    """64 images and what this .tflite answers, for every later engine to reproduce."""
    golden = folder / "assets.extra" / "golden"
    golden.mkdir(parents=True)
    answers = Predictor(folder / "model.tflite").predict(images)
    np.save(golden / "inputs.npy", images, allow_pickle=False)
    np.save(golden / "outputs.npy", answers.astype(np.float32), allow_pickle=False)
    facts = GoldenAnswers(signature=SIGNATURE, input=INPUT, output=OUTPUT, tolerance=GOLDEN_TOLERANCE)
    (golden / "golden.json").write_text(json.dumps(facts.model_dump(mode="json", by_alias=True)) + "\n")


def write_labels(folder: Path, class_names: tuple[str, ...]) -> None:
    """One class name a line, in the order of the output."""
    extra = folder / "assets.extra"
    extra.mkdir(exist_ok=True)
    (extra / "labels.txt").write_text("\n".join(class_names) + "\n")
