import json

import pytest

from model_artifact.__main__ import main
from model_artifact.manifest import Content, Dataset, Golden, Layer, Manifest, Provenance, Quality, Storage
from model_artifact.packing import pack
from model_artifact.recipe import Compression, Recipe, Training

RECIPE = Recipe(
    compression=Compression(alpha=1.25, bits=8), training=Training(architecture="SmallCNN", dataset="Digits")
)
LAYER = Layer(name="dense/kernel", shape=(200, 300), step=0.0123, zeros=45_678, saturated=9)


@pytest.fixture
def made():
    return Provenance(
        recipe=RECIPE,
        trained=True,
        dataset=Dataset(name="Digits", digest="sha256:12", training_images=1437, test_images=360),
        layers=(
            LAYER.model_copy(update={"entropy_bits_per_weight": 2.0421}),
            Layer(name="other", shape=(1, 2), steps=(0.5, 0.25), zeros=1, saturated=0),
            Layer(name="float", shape=(2,), zeros=0, saturated=0),
        ),
        versions={"numpy": "2.4", "python": "3.12"},
        golden=Golden(folder="assets.extra/golden", samples=8, tolerance=0.05),
        duration_seconds=1234.5,
    )


@pytest.fixture
def shown(made, version_folder, tmp_path, capsys):
    """What inspect prints, for a person and for a program."""
    artifact = tmp_path / "a.zip"
    pack(version_folder, artifact, provenance=made)
    assert main(["inspect", str(artifact)]) == 0
    text = capsys.readouterr().out.splitlines()
    assert main(["inspect", str(artifact), "--json"]) == 0
    return text, json.loads(capsys.readouterr().out)["manifest"]["content"]["provenance"]


def test_inspect_tells_how_the_model_was_made(shown):
    text, _ = shown
    assert text[-10:] == [
        f"recipe    {RECIPE.digest}",
        "dataset   Digits, 1,437 and 360 images, sha256:12",
        "golden    8 answers within 0.05",
        "versions  numpy 2.4, python 3.12",
        "made in   1,234.5 s",
        "",
        "layer            step   zeros  saturated  entropy",
        "dense/kernel   0.0123  45,678          9    2.042",
        "other         2 steps       1          0        -",
        "float               -       0          0        -",
    ]


def test_inspect_as_json_has_all_of_it(shown, made):
    _, document = shown
    assert Provenance.model_validate_json(json.dumps(document)) == made
    assert document["layers"][0]["entropyBitsPerWeight"] == 2.0421
    assert document["golden"] == {"folder": "assets.extra/golden", "samples": 8, "tolerance": 0.05}


def test_what_is_not_said_is_not_in_the_digest():
    made = Provenance(recipe=RECIPE, trained=False, layers=(LAYER,), versions={}, duration_seconds=1.0)
    manifest = Manifest(content=Content(files=(), provenance=made), storage=Storage(tensors=(), holes=()))
    text = manifest.content.model_dump_json(by_alias=True)
    assert "golden" not in text
    assert "entropy" not in text


@pytest.mark.parametrize(
    ("quality", "sentence"),
    [
        ({"metric": "F1", "deployed": 81.254, "float_model": 82.0}, "F1 81.25 % deployed, 82.00 % in float32,"),
        (
            {"metric": "MAE", "unit": "targets", "deployed": 0.039426, "float_model": 12345.0},
            "MAE 0.03943 deployed, 1.234e+04 in float32,",
        ),
    ],
)
def test_a_metric_has_its_unit(quality, sentence, made, version_folder, tmp_path, capsys):
    judged = made.model_copy(update={"quality": Quality(samples=360, **quality)})
    pack(version_folder, tmp_path / "a.zip", provenance=judged)
    assert main(["inspect", str(tmp_path / "a.zip")]) == 0
    assert f"quality   {sentence} 360 images of Digits" in capsys.readouterr().out
