"""Builds whose codes, activations or sources are not the plain ones; one epoch each."""

import hashlib
import json
import os

import keras
import numpy as np
import pytest
from keras import layers

from model_artifact.inspection import inspect, render_summary
from model_artifact.recipe import parse_recipe
from model_artifact.tflite_weights import read_weights
from model_artifact.unpacking import unpack
from model_builder.dataset import load_digits
from model_builder.evaluation import Predictor
from model_builder.loading import load_and_build


def tell(progress):
    print(progress.message)


def build(folder, compression, *, environment=os.environ, **rest):
    training = {"architecture": "SmallCNN", "dataset": "Digits", "epochs": 2, "learningRateSchedule": "Cosine"}
    recipe = {"compression": compression, "training": training, **rest}
    load_and_build(parse_recipe(json.dumps(recipe), "test"), folder / "a.zip", environment, tell)
    unpack(folder / "a.zip", folder / "out")
    facts = inspect(folder / "a.zip")
    return facts, facts.manifest.content.provenance


def test_a_full_integer_build_of_normalised_channels(tmp_path):
    training = {"architecture": "SmallCNN", "dataset": "Digits", "epochs": 3, "recipe": "Strong"}
    compression = {"alpha": 0.8, "bits": 5, "rule": "Shadow", "granularity": "Channel"}
    facts, made = build(tmp_path, compression, training=training, export={"activations": "Integer"})
    assert made.activations == "Integer"
    assert made.quality.deployed > 60
    assert made.quality.agreement_percent > 95
    assert np.sum(made.quality.confusion) == 360
    assert made.quality.worst_class.name in made.quality.class_names
    stored = {tensor.name: tensor for tensor in read_weights((tmp_path / "out" / "model.tflite").read_bytes())}
    for layer in made.layers:
        assert layer.step is None
        assert len(layer.steps) == layer.shape[-1]
        if layer.name in stored:
            assert stored[layer.name].codes.dtype == np.int8
            assert np.abs(stored[layer.name].codes.astype(int)).max() <= 15
    assert {tensor.dtype for tensor in facts.tensors} == {"int8"}


@pytest.mark.parametrize("architecture", ["SmallCNN", "CNN"])
def test_channels_that_are_pruned_as_a_whole_are_not_in_what_is_deployed(tmp_path, architecture):
    training = {"architecture": architecture, "dataset": "Digits", "epochs": 4, "recipe": "Strong"}
    compression = {"alpha": 0.5, "bits": 8, "rule": "Shadow", "channelSparsity": 0.5}
    facts, made = build(tmp_path, compression, training=training)
    *hidden, last = made.layers
    stored = {tensor.name: tensor.shape for tensor in facts.tensors}
    assert all(layer.removed_channels >= layer.shape[-1] // 2 for layer in hidden)
    assert [stored[layer.name][0] for layer in hidden] == [layer.shape[-1] - layer.removed_channels for layer in hidden]
    assert stored[last.name] == (10, stored[hidden[-1].name][0])
    assert made.quality.deployed == pytest.approx(made.curve[-1].test_quality, abs=1.5)  # activations are rounded


def test_dense_ends_have_eight_bits_in_what_is_deployed(tmp_path):
    training = {"architecture": "SmallCNN", "dataset": "Digits", "epochs": 4, "recipe": "Strong"}
    compression = {"alpha": 1.5, "bits": 3, "rule": "Shadow", "firstAndLastLayers": "Dense"}
    facts, made = build(tmp_path, compression, training=training)
    assert [layer.bits for layer in made.layers] == [8, *[None] * (len(made.layers) - 2), 8]
    _, *hidden, last = (layer.name for layer in made.layers)
    weights = read_weights((tmp_path / "out" / "model.tflite").read_bytes())
    edges = {tensor.name: int(np.abs(tensor.codes.astype(int)).max()) for tensor in weights}
    assert edges[last] == 127
    assert max(edges[name] for name in hidden) <= 3
    assert made.layers[0].zeros < 0.1 * np.prod(made.layers[0].shape)
    assert {tensor.dtype for tensor in facts.tensors} == {"int8"}
    assert made.quality.deployed == pytest.approx(made.curve[-1].test_quality, abs=1.5)  # activations are rounded


def test_codes_over_eight_bits_are_stored_and_counted(tmp_path):
    facts, made = build(tmp_path, {"alpha": 0.5, "bits": 8, "rule": "OffsetRound", "update": "Masters"})
    wider = [layer.bits for layer in made.layers]
    assert all(bits is None or bits > 8 for bits in wider)
    assert any(wider)
    assert {tensor.dtype for tensor, bits in zip(facts.tensors, wider, strict=True) if bits} == {"int16"}
    assert made.export_difference < 0.5
    assert (tmp_path / "out" / "model.tflite").stat().st_size > 4 * 512 * 40  # the float form


def test_removing_channels_can_be_left_out_and_counts_the_trained_network(tmp_path):
    compression = {"alpha": 2.0, "bits": 8}
    facts, made = build(tmp_path, compression, export={"removeZeroChannels": False, "activations": "Float"})
    assert all(layer.removed_channels is None for layer in made.layers)
    assert [tensor.weights for tensor in facts.tensors] == [np.prod(layer.shape) for layer in made.layers]
    (tmp_path / "smaller").mkdir()
    smaller, removing = build(tmp_path / "smaller", compression, export={"activations": "Float"})
    assert sum(layer.removed_channels or 0 for layer in removing.layers) > 10
    assert smaller.weights < facts.weights
    whole, less = (render_summary(each, "a.zip") for each in (facts, smaller))
    assert (whole.weights, whole.float_bytes) == (less.weights, less.float_bytes)
    assert whole.sparsity_percent == less.sparsity_percent
    images = load_digits().test_images
    answers = [
        Predictor(folder / "out" / "model.tflite").predict(images) for folder in (tmp_path, tmp_path / "smaller")
    ]
    assert np.abs(answers[0] - answers[1]).max() < 1e-5


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own saving
def test_a_given_model_and_given_data(tmp_path):
    digits = load_digits()
    np.savez_compressed(
        tmp_path / "mine.npz",
        x_train=digits.training_images,
        y_train=digits.training_labels,
        x_test=digits.test_images,
        y_test=digits.test_labels,
    )
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(12, 3, strides=2, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(32, activation="relu"),
            layers.Dense(11),
        ]
    )
    model.save(tmp_path / "mine.keras")

    def refer(name):
        return {"path": name, "digest": f"sha256:{hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}"}

    training = {"model": refer("mine.keras"), "data": refer("mine.npz"), "epochs": 3}
    environment = {"MODELPRESS_DATA": str(tmp_path)}
    evaluation = {"metric": "F1"}
    facts, made = build(
        tmp_path, {"alpha": 0.5, "bits": 8}, training=training, evaluation=evaluation, environment=environment
    )
    assert made.trained
    assert made.dataset.name == "mine"
    assert made.dataset.digest == refer("mine.npz")["digest"]
    assert made.recipe.training.network_name == "mine"
    assert made.quality.metric == "F1"
    assert made.curve[-1].accuracy_percent > made.curve[0].accuracy_percent
    assert facts.manifest.digest.startswith("sha256:")
    names = (tmp_path / "out" / "assets.extra" / "labels.txt").read_text().split()
    assert names == [str(label) for label in range(11)]
    assert Predictor(tmp_path / "out" / "model.tflite").predict(digits.test_images[:3]).shape == (3, 11)
