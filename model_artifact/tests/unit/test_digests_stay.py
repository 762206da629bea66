"""Digests that are out in the world: a change here retrains models, or makes their artifacts look altered."""

import json
from pathlib import Path

import pytest

from model_artifact.manifest import Content, Layer, Manifest, Provenance, Storage, UnpackedFile
from model_artifact.recipe import Compression, Recipe, Training, parse_recipe

RECIPES = Path(__file__).resolve().parents[3] / "examples" / "recipes"
DIGESTS = {
    "cnn-a0-b32": "860bdffcc4448710ae337021f2186d5bc4a53c2d9bade2b8411c88de81d5356c",
    "cnn-a125-b8": "d4407eeefbd42554c472b03fb1e0366ad73c06078b357f65ac31c172b2463317",
    "digits-a0-b32": "18b8ef102877d82cd631e8bea6b9fe6a0bf6a838f8eb886b04ee3d135309be07",
    "digits-a125-b8": "5297f830f0b7409b44d6a0783943bc0c107b4526dd81022170ea0bbeef501a39",
    "vgg16-a125-b8": "dacb31dd81822dff9a6f28be589f65f78d457f244f3d26c17c683d2c17ffd425",
    "vgg16-untrained-a0-b32": "b71a2230bbf988a808fdc36368f9e76fe13f46339a58dfff07eb49eaa2a583b2",
    "vgg16-untrained-a125-b8": "0d7d6124bb5713c04ebad8844bd7337b96ee79953087cab401868b3f4193ccc4",
}


def make_recipe(**training):
    return Recipe(
        compression=Compression(alpha=1.25, bits=8),
        training=Training(architecture="SmallCNN", dataset="Digits", **training),
    )


@pytest.mark.parametrize("name", DIGESTS)
def test_the_examples_keep_their_digests(name):
    path = RECIPES / f"{name}.json"
    assert parse_recipe(path.read_text(), path.name).digest == f"sha256:{DIGESTS[name]}"


def test_fewer_steps_are_another_recipe_and_none_is_the_old_one():
    assert make_recipe(maximum_steps=None).digest == make_recipe().digest
    limited = make_recipe(maximum_steps=4)
    assert limited.digest != make_recipe().digest
    assert json.loads(limited.canonical_json())["training"]["maximumSteps"] == 4


def manifest_of(recipe):
    provenance = Provenance(
        recipe=recipe,
        trained=False,
        layers=(Layer(name="dense/kernel", shape=(2, 3), step=0.5, zeros=1, saturated=0),),
        versions={"python": "3.12"},
        duration_seconds=1.5,
    )
    files = (UnpackedFile(path="model.tflite", size_bytes=3, sha256="0" * 64),)
    return Manifest(content=Content(files=files, provenance=provenance), storage=Storage(tensors=(), holes=()))


def test_a_content_digest_of_version_0_1_is_still_computed():
    assert (
        manifest_of(make_recipe()).digest == "sha256:a2e5ba6f3593bb9fd209e0d492b59e2be29f8f0ea65828a514de41a2dd20598c"
    )


def test_a_limit_of_steps_is_part_of_the_content():
    limited = manifest_of(make_recipe(maximum_steps=4))
    assert limited.digest != manifest_of(make_recipe()).digest
    assert Manifest.model_validate_json(limited.model_dump_json(by_alias=True)) == limited
