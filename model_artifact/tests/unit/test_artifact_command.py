import json
import os
import tempfile
from pathlib import Path

import pytest

from model_artifact.__main__ import format_store_path, main
from model_artifact.manifest import Dataset, Layer, Provenance, Quality
from model_artifact.packing import pack
from model_artifact.recipe import Compression, Recipe, Training
from model_artifact.summary import ArtifactSummary, Failure, QualitySummary, parse_failure, parse_summary


@pytest.fixture
def artifact(version_folder, tmp_path, capsys):
    assert main(["pack", str(version_folder), str(tmp_path / "a.zip")]) == 0
    digest = capsys.readouterr().out.split()[0]
    return tmp_path / "a.zip", digest


def test_pack_and_unpack_print_the_digest(artifact, tmp_path, capsys):
    path, digest = artifact
    assert main(["unpack", str(path), str(tmp_path / "out"), "--digest", digest]) == 0
    assert capsys.readouterr().out == f"{digest}\n"


def test_inspect_shows_each_tensor_and_the_whole(artifact, capsys):
    path, digest = artifact
    assert main(["inspect", str(path)]) == 0
    out = capsys.readouterr().out
    assert "dense/kernel  200x300  int8  split" in out
    assert f"digest    {digest}" in out
    assert "weights   60,000, " in out


def test_inspect_as_json_is_one_document(artifact, capsys):
    path, digest = artifact
    assert main(["inspect", str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["digest"], document["weights"]) == (digest, 60_000)
    assert document["bitsPerWeight"] < 1.05 * document["entropyBitsPerWeight"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["unpack", "{artifact}", "{tmp}/o", "--digest", "sha256:0"], 4, "but sha256:0 was asked for"),
        (["unpack", "{tmp}/cut.zip", "{tmp}/o"], 3, "not a whole artifact"),
        (["unpack", "{tmp}/gone.zip", "{tmp}/o"], 2, "gone.zip"),
        (["unpack", "{tmp}/gone.zip", "{tmp}/o"], 2, "no such file or directory; check the path"),
        (["unpack", "{artifact}", "{tmp}/other"], 2, "not empty; remove it or name another folder"),
        (["unpack", "{artifact}", "{tmp}/o", "--summary", "{tmp}/no/log"], 2, "no/log: no such file or directory"),
        (["pack", "{tmp}/nowhere", "{tmp}/b.zip"], 2, "not a folder; give the version folder"),
        (["inspect", "{tmp}/cut.zip"], 3, "fetch or pack it again"),
    ],
)
def test_trouble_is_one_sentence_and_a_documented_code(arguments, code, words, artifact, capsys):
    path, _ = artifact
    tmp_path = path.parent
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:-100])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").write_text("mine")
    capsys.readouterr()
    assert main([part.format(artifact=path, tmp=tmp_path) for part in arguments]) == code
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert words in errors[0]
    assert not (tmp_path / "o").exists()


def test_an_artifact_that_no_reader_would_take_is_not_left_behind(version_folder, tmp_path, capsys):
    deep = version_folder.joinpath(*"d" * 70)
    deep.mkdir(parents=True)
    (deep / "file").touch()
    assert main(["pack", str(version_folder), str(tmp_path / "a.zip")]) == 2
    assert "no reader would take its artifact (manifest.json: d/d/" in capsys.readouterr().err
    assert not (tmp_path / "a.zip").exists()


@pytest.fixture
def built_artifact(version_folder, tmp_path):
    """An artifact with provenance, in a store; (path, recipe, manifest)."""
    recipe = Recipe(
        compression=Compression(alpha=1.25, bits=8), training=Training(architecture="SmallCNN", dataset="Digits")
    )
    provenance = Provenance(
        recipe=recipe,
        trained=True,
        dataset=Dataset(name="digits", digest="sha256:0", training_images=1437, test_images=360),
        quality=Quality(deployed=90.5, float_model=91.0, samples=360),
        layers=(Layer(name="dense/kernel", shape=(300, 200), step=0.0123, zeros=1, saturated=0),),
        versions={},
        duration_seconds=12.5,
    )
    path = tmp_path / "store" / "artifacts" / "a.zip"
    return path, recipe, pack(version_folder, path, provenance=provenance)


def test_the_summary_says_what_the_artifact_is(built_artifact, tmp_path, sparse_codes):
    path, recipe, manifest = built_artifact
    log = tmp_path / "log"
    log.write_text("what stood there before, and longer than what will" * 100)
    inode = log.stat().st_ino
    target = tmp_path / "models" / "digits" / "1"
    assert main(["unpack", str(path), str(target), "--summary", str(log), "--store", str(tmp_path / "store")]) == 0
    summary = parse_summary(log.read_text())
    assert log.stat().st_ino == inode
    assert summary == ArtifactSummary(
        recipe_digest=recipe.digest,
        digest=manifest.digest,
        path="artifacts/a.zip",
        size_bytes=path.stat().st_size,
        float_bytes=240_000,
        weights=60_000,
        bits_per_weight=summary.bits_per_weight,
        entropy_bits_per_weight=summary.entropy_bits_per_weight,
        sparsity_percent=round(100 * float((sparse_codes == 0).mean()), 4),
        alpha=1.25,
        bits=8,
        rule="Floor",
        trained=True,
        quality=QualitySummary(value=90.5, float_value=91.0, samples=360),
        dataset="digits",
        duration_seconds=12.5,
    )
    assert 1 < summary.entropy_bits_per_weight < summary.bits_per_weight < 2.3


def test_a_model_from_elsewhere_has_facts_but_no_recipe(artifact, tmp_path):
    path, digest = artifact
    assert main(["unpack", str(path), str(tmp_path / "out"), "--summary", str(tmp_path / "log")]) == 0
    summary = parse_summary((tmp_path / "log").read_text())
    assert (summary.digest, summary.weights, summary.path) == (digest, 60_000, "a.zip")
    assert (summary.recipe_digest, summary.bits, summary.quality, summary.trained) == (None, None, None, False)


def test_unpacking_again_is_no_error_and_says_the_same(built_artifact, tmp_path):
    path, _, manifest = built_artifact
    texts = []
    for name in ("first", "second"):
        log = tmp_path / name
        arguments = ["--digest", manifest.digest, "--summary", str(log), "--store", str(tmp_path / "store")]
        assert main(["unpack", str(path), str(tmp_path / "1"), *arguments]) == 0
        texts.append(log.read_text())
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("artifact_name", "options", "code", "permanent", "words"),
    [
        ("a.zip", ["--digest", "sha256:0"], 4, True, "but sha256:0 was asked for"),
        ("cut.zip", [], 3, True, "fetch or pack it again"),
        ("gone.zip", [], 2, False, "gone.zip: no such file or directory; check the path"),
    ],
)
def test_a_failure_says_whether_trying_again_may_help(
    artifact_name, options, code, permanent, words, artifact, tmp_path
):
    path, _ = artifact
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:-100])
    log = tmp_path / "log"
    target = tmp_path / "o"
    assert main(["unpack", str(tmp_path / artifact_name), str(target), "--summary", str(log), *options]) == code
    failure = parse_failure(log.read_text())
    assert failure == Failure(error=failure.error, permanent=permanent)
    assert words in failure.error
    assert "\n" not in failure.error
    assert not target.exists()


@pytest.fixture
def open_folder():
    """A folder that every user may enter, which tmp_path is not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_an_artifact_that_this_user_may_not_read_names_the_user(artifact, open_folder):
    path = open_folder / "a.zip"
    path.write_bytes(artifact[0].read_bytes())
    path.chmod(0)
    log = open_folder / "log"
    log.touch()
    log.chmod(0o666)
    effective = os.geteuid()
    if effective == 0:  # root may read all; be another user for a while
        os.seteuid(65534)
    try:
        assert main(["unpack", str(path), str(open_folder / "o"), "--summary", str(log)]) == 2
        user = os.geteuid()
    finally:
        os.seteuid(effective)
    failure = parse_failure(log.read_text())
    assert failure.error.startswith(f"{path}: permission denied for user {user}; check the path")
    assert not failure.permanent


@pytest.mark.parametrize(
    ("artifact_path", "expected"), [("/store/artifacts/x.zip", "artifacts/x.zip"), ("/elsewhere/x.zip", "x.zip")]
)
def test_the_path_is_below_the_stores_root(artifact_path, expected):
    assert format_store_path(Path(artifact_path), Path("/store")) == expected
