"""Bring your own: a .keras file and an .npz file."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from model_artifact.errors import InvalidRecipeError
from model_artifact.recipe import FileReference, Training, parse_recipe
from model_builder.data_source import fit_to_network, load_data
from model_builder.errors import DataError, GivenFileError, ModelError
from model_builder.given_data import read_given_data
from model_builder.given_files import open_given
from model_builder.given_model import make_logits, read_given_model

# Keras 3.15 saves variables by a call that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DIGEST = "sha256:" + "0" * 64
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)


def digest_of(path):
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def write_data(folder, **changed):
    arrays = {
        "x_train": IMAGES,
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "x_test": IMAGES[:3],
        "y_test": np.array([2, 1, 0], np.uint8),
    }
    arrays |= changed
    path = folder / "photos.npz"
    np.savez_compressed(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def make_model(*last, **kind):
    chain = [layers.Rescaling(1 / 255), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), *last]
    return keras.Sequential([keras.Input((8, 8, 3)), *chain], **kind)


def save(model, folder):
    path = folder / "own.keras"
    model.save(path)
    return path


def test_an_npz_is_read_with_its_digest_and_names(tmp_path):
    path = write_data(tmp_path, class_names=np.array(["cat", "dog", "owl"]))
    data = load_data(
        Training(architecture="SmallCNN", data=FileReference(path="photos.npz", digest=digest_of(path))),
        {"MODELPRESS_DATA": str(tmp_path)},
        print,
    )
    assert np.array_equal(data.training_images, IMAGES)
    assert data.training_labels.dtype == np.int32
    assert data.test_labels.tolist() == [2, 1, 0]
    assert data.class_names == ("cat", "dog", "owl")
    assert (data.facts.name, data.facts.digest) == ("photos", digest_of(path))
    assert (data.facts.training_images, data.facts.test_images) == (6, 3)


def test_grey_images_get_a_channel_and_labels_a_number_for_a_name(tmp_path):
    grey = IMAGES[..., 0]
    path = write_data(tmp_path, x_train=grey, x_test=grey[:3], y_train=np.array([[0], [1], [2], [0], [1], [2]]))
    data = read_given_data(path, DIGEST)
    assert data.training_images.shape == (6, 8, 8, 1)
    assert data.training_labels.shape == (6,)
    assert data.class_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"y_test": None}, "has no y_test; it must hold x_train, y_train, x_test, y_test"),
        ({"x_train": IMAGES / 255}, "x_train is float64, but pixels must be uint8, 0 to 255; scale and round them"),
        ({"x_train": IMAGES[0, 0]}, r"x_train has shape \(8, 3\); it must be \(n, height, width\[, channels\]\)"),
        ({"x_test": IMAGES[:0]}, r"x_test has shape \(0, 8, 8, 3\)"),
        ({"x_test": IMAGES[:3, :4]}, r"x_train has images of \(8, 8, 3\), x_test of \(4, 8, 3\); make them alike"),
        ({"y_train": np.eye(6)}, "y_train is float64, but labels must be whole numbers from 0"),
        ({"y_train": np.eye(6, dtype=int)}, r"y_train has shape \(6, 6\) for 6 images; give one label for each"),
        ({"y_train": np.arange(5)}, r"y_train has shape \(5,\) for 6 images"),
        ({"y_test": np.array([0, -1, 2])}, "y_test has labels from -1 to 2; number the classes from 0"),
        ({"class_names": np.array(["a", "b"])}, "class_names must be 3 texts or more"),
        ({"class_names": np.array(["a", "b\nc", "d"])}, "class_names has a line break in a name"),
        ({"y_train": np.array([print] * 6)}, "cannot be read as .npz"),
    ],
)
def test_what_an_npz_must_hold(changed, words, tmp_path):
    with pytest.raises(DataError, match=words):
        read_given_data(write_data(tmp_path, **changed), DIGEST)


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"no archive", b"\x80\x04."])
def test_files_that_are_no_npz(content, tmp_path):
    path = tmp_path / "photos.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"photos\.npz: "):
        read_given_data(path, DIGEST)


def test_one_array_alone_is_no_npz(tmp_path):
    np.save(tmp_path / "photos.npy", IMAGES)
    with pytest.raises(DataError, match="holds one array without a name"):
        read_given_data(tmp_path / "photos.npy", DIGEST)


def open_path(reference, environment):
    with open_given(reference, environment, print) as given:
        return given


def test_a_given_file_is_found_and_verified(tmp_path, monkeypatch):
    path = write_data(tmp_path)
    reference = FileReference(path="photos.npz", digest=digest_of(path))
    monkeypatch.chdir(tmp_path)
    assert open_path(reference, {}).path.samefile(path)
    assert open_path(reference, {}).digest == digest_of(path)
    with pytest.raises(
        GivenFileError, match=r"photos\.npz: its digest is sha256:.*, but the recipe states sha256:0000"
    ):
        open_path(FileReference(path=str(path), digest=DIGEST), {})
    with pytest.raises(GivenFileError, match=r"other\.npz: no such file in .* nor in \.; set MODELPRESS_DATA"):
        open_path(FileReference(path="other.npz", digest=DIGEST), {"MODELPRESS_DATA": str(tmp_path)})


def test_a_file_in_a_claim_is_found_where_claims_are_mounted(tmp_path):
    (tmp_path / "mine" / "sets").mkdir(parents=True)
    path = write_data(tmp_path / "mine" / "sets")
    environment = {"MODELPRESS_CLAIMS": str(tmp_path)}
    uri = "pvc://mine/sets/photos.npz"
    for digest in (None, digest_of(path)):
        given = open_path(FileReference(uri=uri, digest=digest), environment)
        assert (given.path, given.digest) == (path, digest_of(path))
    with pytest.raises(
        GivenFileError, match=r"^pvc://mine/sets/photos\.npz: its digest is .*, but the recipe states sha256:0"
    ):
        open_path(FileReference(uri=uri, digest=DIGEST), environment)
    missing = (
        "pvc://mine/sets/others.npz: the claim mine holds no file sets/others.npz; put it there, or correct the uri"
    )
    with pytest.raises(GivenFileError, match=f"^{missing}$"):
        open_path(FileReference(uri="pvc://mine/sets/others.npz"), environment)
    with pytest.raises(
        GivenFileError, match=r"^pvc://mine/sets/photos\.npz: there are no claims here; build it in a cluster"
    ):
        open_path(FileReference(uri=uri), {})


def test_what_is_wrong_in_a_file_names_it_as_the_recipe_does(tmp_path):
    (tmp_path / "mine").mkdir()
    write_data(tmp_path / "mine", y_test=None)
    training = Training(architecture="SmallCNN", data=FileReference(uri="pvc://mine/photos.npz"))
    with pytest.raises(GivenFileError, match=r"^pvc://mine/photos\.npz: has no y_test; it must hold"):
        load_data(training, {"MODELPRESS_CLAIMS": str(tmp_path)}, print)
    (tmp_path / "mine" / "own.keras").write_bytes(b"no archive")
    reference = FileReference(uri="pvc://mine/own.keras")
    with (
        pytest.raises(ModelError, match=r"^pvc://mine/own\.keras: not a \.keras file"),
        open_given(reference, {"MODELPRESS_CLAIMS": str(tmp_path)}, print) as given,
    ):
        read_given_model(given.path)


@pytest.mark.parametrize("last", ["softmax", "layer", "logits"])
def test_a_given_model_ends_in_probabilities_and_trains_on_logits(last, tmp_path):
    end = {
        "softmax": [layers.Dense(5, activation="softmax")],
        "layer": [layers.Dense(5), layers.Softmax()],
        "logits": [layers.Dense(5)],
    }[last]
    model = make_model(*end)
    read = read_given_model(save(model, tmp_path))
    answers = read.predict(IMAGES.astype(np.float32), verbose=0)
    expected = model.predict(IMAGES.astype(np.float32), verbose=0)
    if last == "logits":
        expected = np.asarray(keras.activations.softmax(keras.ops.convert_to_tensor(expected)))
    assert np.abs(answers - expected).max() < 1e-5
    logits = make_logits(read)
    probabilities = np.asarray(keras.activations.softmax(logits(IMAGES.astype(np.float32))))
    assert np.abs(probabilities - answers).max() < 1e-5
    assert not any(mine is theirs for mine in logits.weights for theirs in read.weights)


def test_a_lambda_is_refused_and_never_run(tmp_path):
    marker = tmp_path / "ran"
    model = make_model(layers.Lambda(lambda x, path=str(marker): (Path(path).touch(), x)[1], name="code"))
    marker.unlink(missing_ok=True)
    with pytest.raises(ModelError, match="the layer code is a Lambda, which cannot be deployed"):
        read_given_model(save(model, tmp_path))
    assert not marker.exists()


def rewrite(path, change):
    """The .keras file with another description."""
    target = path.with_name("changed.keras")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as out:
        for name in source.namelist():
            data = source.read(name)
            if name == "config.json":
                description = json.loads(data)
                change(description)
                data = json.dumps(description).encode()
            out.writestr(name, data)
    return target


def nest_lambda(description):
    description["config"]["layers"][2]["config"]["activation"] = {
        "module": "builtins",
        "class_name": "function",
        "config": "eval",
        "registered_name": "function",
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (nest_lambda, r"names builtins\.function, which is not of Keras and is not loaded"),
        (lambda description: description.update(class_name="Model"), "no Functional nor Sequential one"),
        (lambda description: description["config"]["layers"][1].update(class_name="TFSMLayer"), "is a TFSMLayer"),
        (lambda description: description["config"]["layers"][2].update(registered_name="mine>X"), "not of Keras"),
        (lambda description: description["config"].update(layers="many"), r"Keras .* cannot load it"),
        (lambda description: description.update(config=[1]), r"Keras .* cannot load it"),
        (
            lambda description: description["config"]["layers"][2]["config"].update(filters="many"),
            r"Keras .* cannot load it \(.*\); save it again",
        ),
    ],
)
def test_descriptions_that_are_not_loaded(change, words, tmp_path):
    path = rewrite(save(make_model(layers.Dense(5)), tmp_path), change)
    with pytest.raises(ModelError, match=words):
        read_given_model(path)


def test_a_file_that_is_no_keras_file(tmp_path):
    path = tmp_path / "own.keras"
    path.write_bytes(b"no archive")
    with pytest.raises(ModelError, match=r"not a \.keras file .*; save the model by model\.save"):
        read_given_model(path)
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("config.json", "[" * 100_000)
    with pytest.raises(ModelError, match=r"not a \.keras file"):
        read_given_model(path)
    shutil.copy(write_data(tmp_path), path)
    with pytest.raises(ModelError, match=r"not a \.keras file"):
        read_given_model(path)


def test_a_model_without_classes_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)])
    with pytest.raises(ModelError, match=r"its output has shape .*, but classes are \(n, classes\)"):
        read_given_model(save(model, tmp_path))


def test_a_model_with_frozen_layers_is_refused_by_their_names(tmp_path):
    model = make_model(layers.Dense(6, name="mine"), layers.Dropout(0.5, name="rest"), layers.Dense(5))
    model.get_layer("mine").trainable = model.get_layer("rest").trainable = False
    with pytest.raises(ModelError, match=r"frozen layers: mine; what is not trained is not compressed"):
        read_given_model(save(model, tmp_path))


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built:UserWarning")
def test_a_model_without_an_input_shape_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"says nothing of its input; begin the model with keras\.Input"):
        read_given_model(save(keras.Sequential([layers.Flatten(), layers.Dense(4)]), tmp_path))


def test_data_must_fit_a_given_model(tmp_path):
    data = read_given_data(write_data(tmp_path), DIGEST)
    assert fit_to_network(data, (8, 8, 3), 4).class_names == ("0", "1", "2", "3")
    with pytest.raises(DataError, match=r"its images are \(8, 8, 3\), but the model takes \(8, 8, 1\)"):
        fit_to_network(data, (8, 8, 1), 3)
    with pytest.raises(DataError, match="has the label 2, but the model answers 2 classes only"):
        fit_to_network(data, (8, 8, 3), 2)


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"dataset": "Digits"}, "state one of architecture and model"),
        ({"architecture": "CNN"}, "state one of dataset and data"),
        (
            {"architecture": "CNN", "dataset": "Digits", "data": {"path": "a", "digest": DIGEST}},
            "one of dataset and data",
        ),
        ({"architecture": "CNN", "data": {"path": "a"}}, "a file that is named by its path needs its digest"),
        ({"architecture": "CNN", "data": {"digest": DIGEST}}, "state one of path and uri"),
        (
            {"architecture": "CNN", "data": {"path": "a", "uri": "s3://bucket/a", "digest": DIGEST}},
            "state one of path and uri",
        ),
        ({"architecture": "CNN", "data": {"uri": "gs://bucket/a"}}, "data.uri: String should match pattern"),
        ({"architecture": "CNN", "data": {"uri": "pvc://claim/../a"}}, "data.uri: String should match pattern"),
        (
            {"model": {"path": "a", "digest": DIGEST}, "dataset": "Digits", "precision": "BFloat16"},
            "a given model computes as it says itself; leave precision out",
        ),
    ],
)
def test_a_recipe_states_one_source_of_each_kind(training, words):
    recipe = {"compression": {"alpha": 1, "bits": 8}, "training": training}
    with pytest.raises(InvalidRecipeError, match=words):
        parse_recipe(json.dumps(recipe), "r.json")


def test_a_uri_with_and_without_a_digest_is_a_recipe_of_its_own():
    def digest(reference):
        training = {"model": reference, "data": {"uri": "s3://bucket/mine.npz"}}
        recipe = parse_recipe(json.dumps({"compression": {"alpha": 1, "bits": 8}, "training": training}), "r.json")
        assert parse_recipe(recipe.canonical_json(), "itself") == recipe
        assert recipe.training.network_name == "mine"
        return recipe.digest

    uri, path = {"uri": "s3://bucket/mine.keras"}, {"path": "mine.keras"}
    stated = [uri, {**uri, "digest": DIGEST}, {**uri, "digest": "sha256:" + "1" * 64}, {**path, "digest": DIGEST}]
    assert len({digest(reference) for reference in [*stated, {"uri": "pvc://bucket/mine.keras"}]}) == 5


def test_the_digest_of_a_recipe_with_files_never_changes():
    training = {"model": {"path": "mine.keras", "digest": DIGEST}, "data": {"path": "mine.npz", "digest": DIGEST}}
    recipe = parse_recipe(json.dumps({"compression": {"alpha": 1, "bits": 8}, "training": training}), "r.json")
    assert recipe.digest == "sha256:641f3367a9e508e7c1e2a620035059ab3e1ab1da4c3c166209cb8f273d9e8ae8"
