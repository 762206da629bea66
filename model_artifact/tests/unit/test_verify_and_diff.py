import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from model_artifact.__main__ import main
from model_artifact.container import ArchiveWriter, deflate
from model_artifact.inspection import inspect, verify_and_inspect
from model_artifact.manifest import Layer, Provenance, Quality
from model_artifact.packing import pack
from model_artifact.recipe import Compression, Recipe, Training
from model_artifact.verification import verify


@pytest.fixture
def artifact(version_folder, tmp_path):
    pack(version_folder, tmp_path / "whole.zip")
    return tmp_path / "whole.zip"


def test_verify_prints_the_digest_and_writes_nothing(artifact, tmp_path, capsys):
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    digest = inspect(artifact).digest
    assert main(["verify", str(artifact), "--digest", digest]) == 0
    out, err = capsys.readouterr()
    assert out == f"{digest}\n"
    assert "verifying model.tflite (" in err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("name", "options", "code", "words"),
    [
        ("whole.zip", ["--digest", "sha256:0"], 4, "but sha256:0 was asked for"),
        ("cut.zip", [], 3, "not a whole artifact"),
        ("altered.zip", [], 3, "variables/variables.data-00000-of-00001: not the bytes that were packed"),
        ("gone.zip", [], 2, "gone.zip: no such file or directory"),
    ],
)
def test_verify_fails_as_unpack_does(name, options, code, words, artifact, tmp_path, capsys):
    data = artifact.read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[:-100])
    altered = tmp_path / "altered"
    altered.mkdir()
    main(["unpack", str(artifact), str(altered / "1")])
    path = altered / "1" / "variables" / "variables.data-00000-of-00001"
    path.write_bytes(b"HEAD" + path.read_bytes()[4:])
    manifest = pack(altered / "1", tmp_path / "other.zip")
    forged = {file.path: file.sha256 for file in manifest.content.files}[path.relative_to(altered / "1").as_posix()]
    true = {file.path: file.sha256 for file in verify(artifact).content.files}["variables/" + path.name]
    _replace_in_manifest(tmp_path / "other.zip", forged, true, tmp_path / "altered.zip")
    capsys.readouterr()
    assert main(["verify", str(tmp_path / name), *options]) == code
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert main(["unpack", str(tmp_path / name), str(tmp_path / "o"), *options]) == code


def _replace_in_manifest(artifact, old, new, target):
    with zipfile.ZipFile(artifact) as archive, target.open("wb") as out:
        writer = ArchiveWriter(out)
        for name in archive.namelist():
            data = archive.read(name)
            writer.write(name, deflate(data.replace(old.encode(), new.encode()) if "json" in name else data, 0))
        writer.close()


def test_verifying_measures_what_inspecting_measures(artifact):
    assert verify_and_inspect(artifact) == inspect(artifact)


def test_a_tensor_is_decoded_for_each_file_and_an_empty_one_at_last(version_folder, tmp_path):
    seen = []
    manifest = pack(version_folder, tmp_path / "a.zip")
    assert verify(tmp_path / "a.zip", watch=lambda index, weights: seen.append((index, weights.shape))) == manifest
    assert seen == [(0, (200, 300))]


def make_artifact(write_folder, path, codes, *, alpha, deployed):
    recipe = Recipe(
        compression=Compression(alpha=alpha, bits=8), training=Training(architecture="SmallCNN", dataset="Digits")
    )
    provenance = Provenance(
        recipe=recipe,
        trained=True,
        quality=Quality(deployed=deployed, float_model=91.0, samples=360),
        layers=(Layer(name="w", shape=(40, 40), step=0.1, zeros=1, saturated=0),),
        versions={},
        duration_seconds=1.0,
    )
    folder = write_folder(("w", codes, [0.1]), ("extra", codes[::-1].copy(), None))
    pack(folder, path, provenance=provenance)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


@pytest.fixture
def pair(write_folder, tmp_path):
    """Two artifacts of one shape: alpha 1 with 500 zeros, alpha 1.25 with 900."""
    dense = np.random.default_rng(0).integers(1, 100, (40, 40)).astype(np.int8)
    for name, zeros, alpha, deployed in (("a", 500, 1.0, 90.0), ("b", 900, 1.25, 89.5)):
        codes = dense.copy()
        codes.reshape(-1)[:zeros] = 0
        make_artifact(write_folder, tmp_path / f"{name}.zip", codes, alpha=alpha, deployed=deployed)
    return str(tmp_path / "a.zip"), str(tmp_path / "b.zip")


def test_an_artifact_does_not_differ_from_itself(pair, capsys):
    assert main(["diff", pair[0], pair[0]]) == 0
    assert capsys.readouterr().out.startswith("same content\n")


def test_diff_shows_recipe_quality_and_layers(pair, capsys):
    assert main(["diff", *pair]) == 1
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert out.startswith("different content\n")
    assert ["recipe", "compression.alpha", "1.0", "1.25"] in rows
    assert ["quality", "deployed", "90.0", "89.5"] in rows
    assert ["w", "500", "900"] in [row[:3] for row in rows]
    assert "differs: model.tflite" in out


def test_diff_as_json_holds_the_same(pair, capsys):
    assert main(["diff", "--json", *pair]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["same"] is False
    assert document["recipe"] == [{"field": "compression.alpha", "a": "1.0", "b": "1.25"}]
    assert document["quality"] == [{"field": "deployed", "a": "90.0", "b": "89.5"}]
    assert [change["field"] for change in document["files"]] == ["model.tflite"]
    layers = {layer["name"]: (layer["a"]["zeros"], layer["b"]["zeros"]) for layer in document["layers"]}
    assert layers == {"w": (500, 900), "extra": (500, 900)}
    for side, path in zip("ab", pair, strict=True):
        facts = inspect(Path(path))
        assert document[side]["digest"] == facts.digest
        assert document[side]["sizeBytes"] == facts.size_bytes


def test_diff_of_models_from_elsewhere_has_no_recipe(artifact, pair, capsys):
    assert main(["diff", str(artifact), pair[0], "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["a"]["recipeDigest"] is None
    assert {layer["name"]: layer["a"] is None for layer in document["layers"]} == {
        "dense/kernel": False,
        "w": True,
        "extra": True,
    }


def test_a_broken_artifact_is_no_difference(artifact, tmp_path, capsys):
    (tmp_path / "cut.zip").write_bytes(artifact.read_bytes()[:-1])
    assert main(["diff", str(artifact), str(tmp_path / "cut.zip")]) == 3
    assert "cut.zip: not a whole artifact" in capsys.readouterr().err
