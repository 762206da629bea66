import tempfile

import pytest

from model_artifact import unpacking
from model_artifact.packing import pack
from model_server.artifact_folder import UnpackedArtifacts
from model_server.errors import LoadError
from model_server.versions import read_versions


def test_artifact_file_becomes_version_1_for_as_long_as_the_process_lives(models, tmp_path):
    pack(models / "half_plus_two", tmp_path / "half.zip")
    with UnpackedArtifacts() as artifacts:
        folder = artifacts.resolve(str(tmp_path / "half.zip"))
        assert artifacts.resolve(str(tmp_path / "half.zip")) == folder
        (version,) = read_versions(folder).values()
        assert version.version == 1
        original = models / "half_plus_two/model.tflite"
        assert (version.path / "model.tflite").read_bytes() == original.read_bytes()
    assert not folder.exists()


def test_folder_and_what_is_not_there_yet_stand_for_themselves(tmp_path):
    with UnpackedArtifacts() as artifacts:
        assert artifacts.resolve(str(tmp_path)) == tmp_path
        assert artifacts.resolve(str(tmp_path / "later")) == tmp_path / "later"


def test_what_is_no_artifact_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "other.zip").write_bytes(b"no archive")
    with UnpackedArtifacts() as artifacts:
        for base_path in (str(tmp_path / "other.zip"), "gs://bucket/model.zip"):
            with pytest.raises(LoadError, match=f"^The artifact {base_path} cannot be unpacked: "):
                artifacts.resolve(base_path)


def test_what_nobody_foresaw_is_a_refusal_that_is_not_tried_again(models, tmp_path, monkeypatch, caplog):
    asked = []

    def fail(_artifact, folder):
        folder.mkdir(parents=True)
        asked.append(folder)
        raise ZeroDivisionError("in the midst of it")

    monkeypatch.setattr(unpacking, "unpack", fail)
    pack(models / "half_plus_two", tmp_path / "half.zip")
    base_path = str(tmp_path / "half.zip")
    with UnpackedArtifacts() as artifacts:
        for _ in range(2):
            with pytest.raises(LoadError, match=f"^The artifact {base_path} cannot be unpacked: the server failed"):
                artifacts.resolve_again(base_path)
        (folder,) = asked
        assert not folder.parent.exists()
    assert caplog.text.count("Error: in the midst of it") == 1


def test_a_system_without_room_for_folders_is_told_as_a_refusal(models, tmp_path, monkeypatch):
    def fail(prefix):
        raise OSError(28, f"No space left for {prefix}")

    pack(models / "half_plus_two", tmp_path / "half.zip")
    monkeypatch.setattr(tempfile, "mkdtemp", fail)
    with UnpackedArtifacts() as artifacts, pytest.raises(LoadError, match=r"cannot be unpacked: .*No space left"):
        artifacts.resolve(str(tmp_path / "half.zip"))
