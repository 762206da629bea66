import json

import pytest

from model_artifact.__main__ import main


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
        (["unpack", "{artifact}", "{tmp}/version"], 2, "not empty; remove it or name another folder"),
        (["pack", "{tmp}/nowhere", "{tmp}/b.zip"], 2, "not a folder; give the version folder"),
        (["inspect", "{tmp}/cut.zip"], 3, "fetch or pack it again"),
    ],
)
def test_trouble_is_one_sentence_and_a_documented_code(arguments, code, words, artifact, capsys):
    path, _ = artifact
    tmp_path = path.parent
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:-100])
    capsys.readouterr()
    assert main([part.format(artifact=path, tmp=tmp_path) for part in arguments]) == code
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert words in errors[0]
