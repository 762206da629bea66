"""What a version folder says of answers that are numbers, or classes of pixels: signatures, golden answers."""

import json

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from model_artifact.recipe import Export
from model_builder.export import (
    GOLDEN_TOLERANCE,
    PIXEL_TOLERANCE,
    ExampleImages,
    plan_golden_images,
    plan_value_tolerance,
    write_version,
)
from model_builder.network import INPUT, VALUES, Activation, Convolution, Dense, Flatten, Network

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), np.uint8)
EXAMPLES = ExampleImages(IMAGES[8:], IMAGES[:8])


def make_numbers(count):
    """A network that answers so many numbers, of very different sizes for different images."""
    codes = np.random.default_rng(1).integers(-9, 10, (48, count)).astype(np.int8)
    dense = Dense("dense", ("flat",), "dense/kernel", codes, np.float32(0.5), None, np.zeros(count, np.float32))
    return Network((4, 4, 3), (Flatten("flat", (INPUT,)), dense), VALUES)


def make_pixels():
    """A network that answers two classes for each pixel."""
    codes = np.random.default_rng(1).integers(-9, 10, (1, 1, 3, 2)).astype(np.int8)
    bias = np.zeros(2, np.float32)
    convolution = Convolution("conv", (INPUT,), "conv/kernel", codes, np.float32(0.01), None, bias)
    return Network((4, 4, 3), (convolution, Activation("softmax", ("conv",), "softmax")))


def write(folder, network):
    """The version folder with its golden document, inputs and outputs."""
    deployment = write_version(folder, network, Export(), EXAMPLES, ())
    golden = folder / "assets.extra" / "golden"
    document = json.loads((golden / "golden.json").read_text())
    assert deployment.golden.tolerance == document["tolerance"]
    assert deployment.golden.samples == len(np.load(golden / "inputs.npy"))
    return document, np.load(golden / "outputs.npy"), deployment


def test_one_number_is_answered_to_examples_too(tmp_path):
    document, answers, deployment = write(tmp_path / "1", make_numbers(1))
    signatures = tf.saved_model.load(str(tmp_path / "1")).signatures
    assert set(signatures) == {"serving_default", "regress"}
    image = IMAGES[0].astype(np.float32)
    feature = tf.train.Feature(float_list=tf.train.FloatList(value=image.ravel()))
    example = tf.train.Example(features=tf.train.Features(feature={"image": feature}))
    found = signatures["regress"](tf.constant([example.SerializeToString()] * 2))
    expected = deployment.floats.predict(IMAGES[:1])
    assert list(found) == ["outputs"]
    np.testing.assert_allclose(found["outputs"].numpy(), [expected[0], expected[0]], rtol=1e-5)
    assert json.loads((tmp_path / "1" / "assets.extra" / "example_spec.json").read_text()) == {
        "regress": {"method": "regress", "features": {"image": {"dtype": "DT_FLOAT", "shape": [4, 4, 3]}}}
    }
    assert document["output"] == "values"
    assert answers.shape == (8, 1)
    model = schema.ModelT.InitFromPackedBuf((tmp_path / "1" / "model.tflite").read_bytes())
    assert [entry.name for entry in model.signatureDefs[0].outputs] == [b"values"]


@pytest.mark.parametrize("make", [lambda: make_numbers(2), make_pixels])
def test_other_answers_have_one_signature(make, tmp_path):
    write(tmp_path / "1", make())
    assert set(tf.saved_model.load(str(tmp_path / "1")).signatures) == {"serving_default"}
    assert not (tmp_path / "1" / "assets.extra" / "example_spec.json").exists()


def test_the_tolerance_of_numbers_follows_their_spread(tmp_path):
    document, answers, deployment = write(tmp_path / "1", make_numbers(2))
    all_answers = deployment.floats.predict(IMAGES)
    assert document["tolerance"] == pytest.approx(0.05 * np.ptp(all_answers, axis=0).max(), rel=0.02)
    assert document["tolerance"] > 1
    assert answers.shape == (8, 2)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([[0.0], [2.0], [1.0]], 0.1),
        ([[0.0, 500.0], [2.0, 100.0]], 20.0),
        ([[3e6], [3e6]], 3.0),
        ([[0.0], [0.0]], 1e-6),
    ],
)
def test_a_tolerance_is_never_nothing(answers, expected):
    assert plan_value_tolerance(np.array(answers, np.float32)) == pytest.approx(expected)


def test_golden_pixels_are_steps_of_a_256th(tmp_path):
    document, answers, deployment = write(tmp_path / "1", make_pixels())
    assert document["tolerance"] == PIXEL_TOLERANCE > GOLDEN_TOLERANCE
    assert answers.shape == (8, 32)
    assert np.array_equal(answers * 256, np.round(answers * 256))
    assert np.abs(answers - deployment.floats.predict(IMAGES[:8]).reshape(8, -1)).max() < 0.02


@pytest.mark.parametrize(
    ("shape", "images"), [((8, 16, 16, 3), 8), ((8, 64, 64, 4), 4), ((8, 256, 256, 20), 1), ((2, 10), 2)]
)
def test_an_artifact_carries_few_golden_pixels(shape, images):
    assert plan_golden_images(shape) == images
