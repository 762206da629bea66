"""What `--exclude` leaves out, and that all else is as without it."""

import pytest

from model_artifact.__main__ import main
from model_artifact.errors import CorruptArtifactError
from model_artifact.inspection import inspect, unpack_and_inspect
from model_artifact.packing import pack
from model_artifact.summary import parse_summary
from model_artifact.unpacking import NothingLeftError, TargetExistsError, unpack


@pytest.fixture
def source(version_folder):
    """A version folder with the same weights in model.tflite and below variables/."""
    variables = version_folder / "variables"
    variables.mkdir(exist_ok=True)
    (variables / "copy").write_bytes((version_folder / "model.tflite").read_bytes())
    (variables / "deep").mkdir()
    (variables / "deep" / "index").write_bytes(b"index")
    (version_folder / "variables.txt").write_bytes(b"no folder")
    return version_folder


@pytest.fixture
def artifact(source, tmp_path):
    pack(source, tmp_path / "a.zip")
    return tmp_path / "a.zip"


def read_files(folder):
    """Each file's bytes by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.mark.parametrize(
    ("exclude", "left_out"),
    [
        (["variables"], lambda path: path.startswith("variables/")),
        (["variables/"], lambda path: path.startswith("variables/")),
        (["variables/deep", "model.tflite"], lambda path: path in {"variables/deep/index", "model.tflite"}),
        (["variable", "deep", "index"], lambda _: False),
    ],
)
def test_what_is_excluded_is_not_there_and_the_rest_is_as_it_was(exclude, left_out, source, artifact, tmp_path):
    unpack(artifact, tmp_path / "1", exclude=exclude)
    wanted = {path: content for path, content in read_files(source).items() if not left_out(path)}
    assert read_files(tmp_path / "1") == wanted
    assert (tmp_path / "1" / "variables").exists() == any(path.startswith("variables/") for path in wanted)


def test_the_facts_are_those_of_the_whole_artifact(artifact, tmp_path):
    measured = unpack_and_inspect(artifact, tmp_path / "1", exclude=["variables"])
    assert measured == inspect(artifact) == unpack_and_inspect(artifact, tmp_path / "1", exclude=["variables"])


def test_a_whole_folder_is_not_taken_for_a_part_nor_a_part_for_the_whole(artifact, tmp_path):
    unpack(artifact, tmp_path / "whole")
    unpack(artifact, tmp_path / "part", exclude=["variables"])
    with pytest.raises(TargetExistsError, match="not empty"):
        unpack(artifact, tmp_path / "whole", exclude=["variables"])
    with pytest.raises(TargetExistsError, match="not empty"):
        unpack(artifact, tmp_path / "part")


def test_a_damaged_weight_is_found_though_every_file_that_has_it_is_excluded(artifact, tmp_path):
    content = bytearray(artifact.read_bytes())
    name = b"tensors/000/"
    content[content.find(name) + 60] ^= 1
    artifact.write_bytes(content)
    with pytest.raises(CorruptArtifactError, match="tensors/000"):
        unpack(artifact, tmp_path / "1", exclude=["variables", "model.tflite"])
    assert not (tmp_path / "1").exists()


def test_excluding_everything_is_refused_and_makes_no_folder(artifact, tmp_path, capsys):
    with pytest.raises(NothingLeftError, match="exclude fewer"):
        unpack(artifact, tmp_path / "1", exclude=["."])
    every = [each for path in read_files_of(artifact, tmp_path) for each in ("--exclude", path)]
    assert main(["unpack", str(artifact), str(tmp_path / "2"), *every]) == 2
    assert "leaves no file to unpack" in capsys.readouterr().err
    assert not (tmp_path / "1").exists()
    assert not (tmp_path / "2").exists()


def read_files_of(artifact, tmp_path):
    """The paths that the artifact unpacks to."""
    unpack(artifact, tmp_path / "all")
    return read_files(tmp_path / "all")


def test_the_command_takes_it_with_and_without_a_summary(source, artifact, tmp_path):
    for number, more in enumerate(([], ["--summary", str(tmp_path / "log")])):
        target = tmp_path / str(number)
        assert main(["unpack", str(artifact), str(target), "--exclude", "variables", *more]) == 0
        assert read_files(target).keys() == {path for path in read_files(source) if not path.startswith("variables/")}
    assert parse_summary((tmp_path / "log").read_text()).size_bytes == artifact.stat().st_size
