import json
import os

import numpy as np
import pytest

from model_artifact.inspection import inspect
from model_artifact.recipe import parse_recipe
from model_artifact.tflite_weights import read_weights
from model_artifact.unpacking import unpack
from model_builder.errors import BuildError, DataError
from model_builder.evaluation import Predictor
from model_builder.loading import load_and_build
from model_builder.quality import accuracy_percent

RECIPE = {
    "compression": {"alpha": 1.25, "bits": 8},
    "training": {"architecture": "SmallCNN", "dataset": "Digits", "epochs": 4, "learningRateSchedule": "Cosine"},
}


def tell(progress):
    print(progress.message)


def build(folder, *, compression=None, export=None, **training):
    """The facts of a build that is unpacked at `out`."""
    recipe = {
        "compression": {**RECIPE["compression"], **(compression or {})},
        "training": {**RECIPE["training"], **training},
        **({"export": export} if export else {}),
    }
    load_and_build(parse_recipe(json.dumps(recipe), "test"), folder / "a.zip", os.environ, tell)
    unpack(folder / "a.zip", folder / "out")
    return inspect(folder / "a.zip")


def saved_weights(folder):
    """The SavedModel's float32 kernels as TensorFlow loads them, in the order of their layers."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    return [weight.numpy() for weight in loaded.weights if weight.shape.rank in {2, 4}]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    return folder, build(folder)


def test_the_int8_weights_are_exactly_the_codes_with_one_step_per_layer(built):
    folder, facts = built
    stored = {tensor.name: tensor for tensor in facts.manifest.storage.tensors}
    in_model = read_weights((folder / "out" / "model.tflite").read_bytes())
    large = [tensor for tensor in in_model if tensor.codes.dtype == np.int8]
    steps = sorted(float(tensor.step) for tensor in large)
    assert steps == sorted(tensor.step for tensor in stored.values() if np.prod(tensor.shape) >= 256)
    assert all(tensor.dtype == "int8" for tensor in stored.values())
    assert {hole.path for hole in facts.manifest.storage.holes if hole.form == "codes"} == {"model.tflite"}
    assert len([hole for hole in facts.manifest.storage.holes if hole.form == "codes"]) == len(stored) == 4


def test_every_scale_of_a_layer_is_its_step(built):
    from ai_edge_litert.interpreter import Interpreter

    folder, facts = built
    steps = {tensor.step for tensor in facts.manifest.storage.tensors}
    details = Interpreter(str(folder / "out" / "model.tflite")).get_tensor_details()
    scales = [detail["quantization_parameters"]["scales"] for detail in details if detail["dtype"] is np.int8]
    assert len(scales) == 4
    for scale in scales:
        assert len(set(scale.tolist())) == 1
        assert float(scale[0]) in steps


def test_the_saved_models_variables_are_code_times_step(built):
    folder, facts = built
    layers = {layer.name: layer for layer in facts.manifest.content.provenance.layers}
    kernels = saved_weights(folder / "out")
    outputs = [layer.shape[-1] - (layer.removed_channels or 0) for layer in layers.values()]
    assert [kernel.shape[-1] for kernel in kernels] == outputs
    assert outputs[2] < 64 == list(layers.values())[2].shape[-1]  # the hidden layer lost units without weights
    for kernel, layer in zip(kernels, layers.values(), strict=True):
        codes = np.round(kernel / np.float32(layer.step))
        assert np.array_equal(codes.astype(np.float32) * np.float32(layer.step), kernel)
        assert np.abs(codes).max() <= 127


def test_the_saved_model_answers_as_the_deployed_model(built):
    import tensorflow as tf

    from model_builder.dataset import load_digits

    folder, _ = built
    images = load_digits().test_images[:64]
    signature = tf.saved_model.load(str(folder / "out")).signatures["serving_default"]
    answers = signature(image=tf.constant(images, tf.float32))["probabilities"].numpy()
    deployed = Predictor(folder / "out" / "model.tflite").predict(images)
    assert np.abs(answers - deployed).max() < 0.1
    assert np.mean(answers.argmax(1) == deployed.argmax(1)) >= 62 / 64


def test_golden_answers_are_those_of_the_deployed_model(built):
    folder, _ = built
    golden = folder / "out" / "assets.extra" / "golden"
    facts = json.loads((golden / "golden.json").read_text())
    images = np.load(golden / "inputs.npy")
    assert images.shape == (8, 8, 8, 1)
    deployed = Predictor(folder / "out" / "model.tflite").predict(images)
    assert np.abs(deployed - np.load(golden / "outputs.npy")).max() <= facts["tolerance"]
    assert (facts["signature"], facts["input"], facts["output"]) == ("serving_default", "image", "probabilities")


def test_the_stated_quality_is_that_of_the_unpacked_model(built):
    from model_builder.dataset import load_digits

    folder, facts = built
    digits = load_digits()
    provenance = facts.manifest.content.provenance
    answers = Predictor(folder / "out" / "model.tflite").predict(digits.test_images)
    assert provenance.quality.deployed == pytest.approx(accuracy_percent(answers, digits.test_labels))
    assert provenance.quality.deployed > 80
    assert abs(provenance.quality.deployed - provenance.quality.float_model) < 3
    assert provenance.dataset.name == "scikit-learn digits"
    assert len(provenance.curve) == 4


@pytest.mark.parametrize("bits", [2, 5, 12, 32])
def test_other_widths_come_back_exactly(bits, tmp_path):
    facts = build(tmp_path, compression={"bits": bits, "alpha": 0.5}, epochs=1)
    dtypes = {tensor.dtype for tensor in facts.tensors}
    assert dtypes == {2: {"int8"}, 5: {"int8"}, 12: {"int16"}, 32: {"float32"}}[bits]
    layers = facts.manifest.content.provenance.layers
    for kernel, layer in zip(saved_weights(tmp_path / "out"), layers, strict=True):
        assert np.sum(kernel == 0) == layer.zeros
        assert layer.zeros > 0.2 * kernel.size
        if bits != 32:
            codes = np.round(kernel / np.float32(layer.step))
            assert np.abs(codes).max() <= 2 ** (bits - 1) - 1
    assert Predictor(tmp_path / "out" / "model.tflite").predict(np.zeros((3, 8, 8, 1), np.uint8)).shape == (3, 10)


def test_no_epochs_need_no_data_and_say_untrained(tmp_path):
    facts = build(tmp_path, epochs=0, dataset="CIFAR10")
    provenance = facts.manifest.content.provenance
    assert (provenance.trained, provenance.quality, provenance.dataset) == (False, None, None)


def test_a_training_that_is_cut_short_says_untrained_and_measures_nothing(tmp_path):
    from model_builder.dataset import load_digits

    facts = build(tmp_path, maximumSteps=3)
    provenance = facts.manifest.content.provenance
    assert (provenance.trained, provenance.quality, provenance.curve) == (False, None, ())
    assert provenance.dataset.name == "scikit-learn digits"
    assert provenance.recipe.training.maximum_steps == 3
    golden = tmp_path / "out" / "assets.extra" / "golden"
    assert np.array_equal(np.load(golden / "inputs.npy"), load_digits().test_images[:8])
    assert (tmp_path / "out" / "assets.extra" / "labels.txt").read_text().split() == [str(digit) for digit in range(10)]


@pytest.mark.parametrize(
    ("training", "error", "words"),
    [
        ({"architecture": "VGG16"}, BuildError, "VGG16 pools images down from at least 32x32 pixels"),
        ({"architecture": "CNN", "dataset": "CIFAR10"}, DataError, "MODELPRESS_DATA"),
    ],
)
def test_what_cannot_be_built_is_one_sentence_and_leaves_nothing(training, error, words, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELPRESS_DATA", str(tmp_path))
    with pytest.raises(error, match=words):
        build(tmp_path, **training)
    assert not (tmp_path / "a.zip").exists()
