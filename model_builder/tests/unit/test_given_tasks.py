"""Bring your own, for numbers and for classes of pixels: what y may hold, and how the network must end."""

import keras
import numpy as np
import pytest
from keras import layers

from model_builder.data_source import fit_to_given, fit_to_network
from model_builder.errors import DataError, ModelError
from model_builder.given_data import read_given_data
from model_builder.given_model import make_logits, read_given_model

# Keras 3.15 saves variables by a call that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DIGEST = "sha256:" + "0" * 64
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
NUMBERS = np.arange(12, dtype=np.float64).reshape(6, 2)
PIXELS = np.random.default_rng(1).integers(0, 3, (6, 8, 8))


def read(folder, task, targets, test=None, **further):
    path = folder / "own.npz"
    test = targets[:3] if test is None else test
    np.savez_compressed(path, x_train=IMAGES, y_train=targets, x_test=IMAGES[:3], y_test=test, **further)
    return read_given_data(path, DIGEST, task)


@pytest.mark.parametrize(
    ("targets", "shape"),
    [(NUMBERS, (6, 2)), (NUMBERS[:, :1], (6, 1)), (NUMBERS[:, 0], (6, 1)), (np.arange(6), (6, 1))],
)
def test_numbers_are_float32_with_an_axis_of_their_own(targets, shape, tmp_path):
    data = read(tmp_path, "Regression", targets)
    assert (data.training_labels.dtype, data.training_labels.shape) == (np.float32, shape)
    assert data.test_labels.shape == (3, shape[1])
    assert np.array_equal(data.training_labels.ravel(), targets.ravel())
    assert data.class_names == ()


@pytest.mark.parametrize(
    ("targets", "dtype"), [(PIXELS, np.uint8), (PIXELS[..., None], np.uint8), (PIXELS + 254, np.int32)]
)
def test_classes_of_pixels_take_the_narrower_type(targets, dtype, tmp_path):
    data = read(tmp_path, "Segmentation", targets, class_names=np.array([f"c{n}" for n in range(300)]))
    assert (data.training_labels.dtype, data.training_labels.shape) == (dtype, (6, 8, 8))
    assert np.array_equal(data.training_labels, targets.reshape(6, 8, 8))
    assert data.class_names[:2] == ("c0", "c1")


@pytest.mark.parametrize(
    ("task", "targets", "words"),
    [
        ("Regression", np.full(6, "a"), "y_train is <U1, but Regression learns numbers; write them as float32"),
        ("Regression", NUMBERS[:5], r"y_train has shape \(5, 2\) for 6 images; it must be \(n,\) or \(n, k\)"),
        ("Regression", PIXELS, r"y_train has shape \(6, 8, 8\) for 6 images; it must be \(n,\) or \(n, k\)"),
        ("Regression", NUMBERS[:, :0], r"y_train has shape \(6, 0\) for 6 images"),
        ("Regression", NUMBERS * np.nan, "y_train holds what is no number or passes float32; leave those images out"),
        ("Regression", NUMBERS * 1e300, "y_train holds what is no number or passes float32"),
        ("Segmentation", NUMBERS, "y_train is float64, but labels must be whole numbers from 0; number the classes"),
        ("Segmentation", np.arange(6), r"y_train has shape \(6,\) for 6 images; it must be \(n, height, width\)"),
        ("Segmentation", PIXELS[:5], r"y_train has shape \(5, 8, 8\) for 6 images"),
        ("Segmentation", PIXELS - 1, "y_train has labels from -1 to 1; number the classes from 0"),
        ("Segmentation", PIXELS[:, :0], r"y_train has shape \(6, 0, 8\), and holds no label; give some"),
        ("Classification", PIXELS, r"y_train has shape \(6, 8, 8\) for 6 images; give one label for each"),
    ],
)
def test_what_y_must_hold(task, targets, words, tmp_path):
    with pytest.raises(DataError, match=words):
        read(tmp_path, task, targets)


def test_what_is_alike_and_what_has_no_place(tmp_path):
    with pytest.raises(DataError, match=r"y_train has \(2,\) for an image, y_test \(1,\); make them alike"):
        read(tmp_path, "Regression", NUMBERS, NUMBERS[:3, :1])
    with pytest.raises(DataError, match="has class_names, but Regression has no classes; leave them out"):
        read(tmp_path, "Regression", NUMBERS, class_names=np.array(["a"]))


def save(folder, *last, functional=False):
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    for layer in last:
        x = layer(x)
    model = keras.Model(image, x)
    path = folder / "own.keras"
    (model if functional else keras.Sequential(model.layers)).save(path)
    return model, path


def ask(model):
    return np.asarray(model(IMAGES.astype(np.float32), training=False))


@pytest.mark.parametrize("functional", [True, False])
@pytest.mark.parametrize(
    "last", [[layers.Flatten, lambda: layers.Dense(2)], [layers.Flatten, lambda: layers.Dense(2), layers.Rescaling]]
)
def test_a_network_for_numbers_stays_as_it_is(last, functional, tmp_path):
    chain = [layers.Rescaling(3.0) if make is layers.Rescaling else make() for make in last]
    model, path = save(tmp_path, *chain, functional=functional)
    given = read_given_model(path, "Regression")
    assert np.abs(ask(given) - ask(model)).max() < 1e-5
    twin = make_logits(given)
    assert np.abs(ask(twin) - ask(model)).max() < 1e-5
    assert not any(mine is theirs for mine in twin.weights for theirs in given.weights)


@pytest.mark.parametrize("end", ["softmax", "layer", "logits"])
def test_a_network_for_pixels_ends_in_probabilities_and_trains_on_logits(end, tmp_path):
    last = {
        "softmax": [layers.Conv2D(3, 1, activation="softmax")],
        "layer": [layers.Conv2D(3, 1), layers.Softmax()],
        "logits": [layers.Conv2D(3, 1)],
    }[end]
    model, path = save(tmp_path, *last, functional=True)
    given = read_given_model(path, "Segmentation")
    expected = ask(model)
    if end == "logits":
        expected = np.asarray(keras.activations.softmax(keras.ops.convert_to_tensor(expected)))
    assert ask(given).shape == (6, 8, 8, 3)
    assert np.abs(ask(given) - expected).max() < 1e-5
    logits = np.asarray(keras.activations.softmax(keras.ops.convert_to_tensor(ask(make_logits(given)))))
    assert np.abs(logits - expected).max() < 1e-5


FLAT = layers.Flatten


@pytest.mark.parametrize(
    ("task", "last", "words"),
    [
        ("Regression", [], r"its output has shape \(None, 8, 8, 4\), but numbers are \(n, k\)"),
        ("Segmentation", [FLAT(), layers.Dense(3)], r"but classes of pixels are \(n, height, width, classes\)"),
        ("Classification", [layers.Conv2D(3, 1)], r"but classes are \(n, classes\)"),
        ("Regression", [FLAT(), layers.Dense(2, "relu", name="end")], "its last layer end has an activation"),
        ("Regression", [FLAT(), layers.Dense(2), layers.Softmax(name="end")], "its last layer end has an activation"),
        ("Regression", [FLAT(), layers.Dense(2), layers.ReLU(name="end")], "answers any number; end in a layer"),
        ("Regression", [FLAT(), layers.Dense(2), layers.Activation("tanh", name="end")], "end has an activation"),
    ],
)
def test_how_a_network_must_end(task, last, words, tmp_path):
    _, path = save(tmp_path, *last, functional=True)
    with pytest.raises(ModelError, match=words):
        read_given_model(path, task)


def test_numbers_and_pixels_must_fit_the_network(tmp_path):
    numbers, pixels = read(tmp_path, "Regression", NUMBERS), read(tmp_path, "Segmentation", PIXELS)
    assert fit_to_network(numbers, (8, 8, 3), 2) is numbers
    with pytest.raises(DataError, match="own: has 2 numbers for an image, but the model answers 1; give fitting ones"):
        fit_to_network(numbers, (8, 8, 3), 1)
    assert fit_to_network(pixels, (8, 8, 3), 4, (8, 8)).class_names == ("0", "1", "2", "3")
    with pytest.raises(DataError, match=r"its labels are \(8, 8\), but the model answers \(4, 4\); give fitting ones"):
        fit_to_network(pixels, (8, 8, 3), 4, (4, 4))
    with pytest.raises(DataError, match="has the label 2, but the model answers 2 classes only"):
        fit_to_network(pixels, (8, 8, 3), 2, (8, 8))
    _, path = save(tmp_path, layers.Conv2D(5, 1), functional=True)
    assert len(fit_to_given(pixels, read_given_model(path, "Segmentation")).class_names) == 5
