import io
import json
import subprocess
import zipfile

import numpy as np
import pytest

from model_artifact.container import ArchiveWriter, deflate
from model_artifact.errors import CorruptArtifactError, DigestMismatchError, UnpackableError
from model_artifact.inspection import inspect
from model_artifact.packing import pack
from model_artifact.unpacking import TargetExistsError, unpack
from model_artifact.weights import CodedTensor


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rewrite(artifact, change):
    """The same archive with one entry's data changed by a function of (name, data); None drops it."""
    with zipfile.ZipFile(artifact) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with artifact.open("wb") as out:
        writer = ArchiveWriter(out)
        for name, data in entries.items():
            changed = change(name, data)
            if changed is not None:
                writer.write(name, deflate(changed, 0))
        writer.close()


def edit_manifest(artifact, edit):
    def change(name, data):
        if name != "manifest.json":
            return data
        document = json.loads(data)
        edit(document)
        return json.dumps(document).encode()

    rewrite(artifact, change)


def test_a_folder_comes_back_bit_for_bit(version_folder, tmp_path):
    manifest = pack(version_folder, tmp_path / "a.zip")
    unpacked = unpack(tmp_path / "a.zip", tmp_path / "out", digest=manifest.digest)
    assert contents(tmp_path / "out") == contents(version_folder)
    assert unpacked == manifest


def test_a_tensor_is_stored_once_for_all_files(version_folder, tmp_path):
    manifest = pack(version_folder, tmp_path / "a.zip")
    holes = [(hole.path, hole.form, hole.axes) for hole in manifest.storage.holes]
    assert holes == [
        ("model.tflite", "codes", (0, 1)),
        ("variables/variables.data-00000-of-00001", "values", (1, 0)),
    ]
    assert len(manifest.storage.tensors) == 1
    assert (tmp_path / "a.zip").stat().st_size < 60_000 * 2.3 / 8 + 4_000


def test_the_archive_is_an_ordinary_zip(version_folder, tmp_path):
    pack(version_folder, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "manifest.json"
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_DEFLATED}
    subprocess.run(["unzip", "-tq", tmp_path / "a.zip"], check=True, capture_output=True)


def test_the_same_folder_gives_the_same_bytes(version_folder, tmp_path):
    first, second = pack(version_folder, tmp_path / "a.zip"), pack(version_folder, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert first.digest == second.digest


@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((16, 32), np.int8),
        np.full((16, 32), -128, np.int8),
        np.arange(-300, 300, dtype=np.int16).reshape(2, 300),
        np.random.default_rng(0).normal(size=(3, 5, 7, 11)).astype(np.float32),
        np.where(np.random.default_rng(1).random((40, 40)) < 0.9, 0, np.float32(-0.5)).astype(np.float32),
        np.random.default_rng(2).integers(-1, 2, (256, 1), np.int8),
    ],
    ids=["zeros", "lowest", "int16", "float32", "sparse float32", "column"],
)
def test_every_kind_of_tensor_comes_back(codes, write_folder, tmp_path):
    folder = write_folder(("w", codes, None))
    pack(folder, tmp_path / "a.zip")
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(folder)
    (facts,) = inspect(tmp_path / "a.zip").tensors
    assert (facts.shape, facts.zeros) == (codes.shape, np.sum(codes == 0))


def test_equal_tensors_fill_a_hole_each(write_folder, tmp_path):
    codes = np.random.default_rng(3).integers(-128, 128, (20, 20), np.int8)
    folder = write_folder(("a", codes, None), ("b", codes.copy(), None))
    manifest = pack(folder, tmp_path / "a.zip")
    assert [hole.tensor for hole in manifest.storage.holes] in ([0, 1], [1, 0])
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(folder)


def test_weights_that_stand_nowhere_are_refused(version_folder, tmp_path):
    stranger = CodedTensor("conv/kernel", np.random.default_rng(0).integers(-9, 9, (30, 30), np.int8), np.float32(1))
    with pytest.raises(UnpackableError, match="conv/kernel stand in none of its files"):
        pack(version_folder, tmp_path / "a.zip", tensors=[stranger])
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize("broken", ["absent", "empty", "other", "cut"])
def test_a_folder_without_a_readable_model_is_refused(broken, version_folder, tmp_path):
    model = version_folder / "model.tflite"
    whole = model.read_bytes()
    model.unlink()
    if broken != "absent":
        model.write_bytes({"empty": b"", "other": b"PK\3\4" * 100, "cut": whole[:60]}[broken])
    with pytest.raises(UnpackableError, match=r"model\.tflite"):
        pack(version_folder, tmp_path / "a.zip")


def test_another_digest_is_refused_before_anything_is_written(version_folder, tmp_path):
    manifest = pack(version_folder, tmp_path / "a.zip")
    with pytest.raises(DigestMismatchError, match=manifest.digest):
        unpack(tmp_path / "a.zip", tmp_path / "out", digest="sha256:" + "0" * 64)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_alone(version_folder, tmp_path):
    pack(version_folder, tmp_path / "a.zip")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(TargetExistsError, match="not empty"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert contents(tmp_path / "out") == {"mine": b"mine"}


def test_no_truncation_is_taken_for_whole(version_folder, tmp_path):
    pack(version_folder, tmp_path / "a.zip")
    whole = (tmp_path / "a.zip").read_bytes()
    for length in [*range(0, len(whole), 997), len(whole) - 1]:
        (tmp_path / "a.zip").write_bytes(whole[:length])
        with pytest.raises(CorruptArtifactError):
            unpack(tmp_path / "a.zip", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "version"]


def test_no_flipped_bit_is_served(version_folder, tmp_path):
    pack(version_folder, tmp_path / "a.zip")
    whole = (tmp_path / "a.zip").read_bytes()
    expected = contents(version_folder)
    for position in range(0, len(whole), 131):
        (tmp_path / "a.zip").write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        try:
            unpack(tmp_path / "a.zip", tmp_path / f"out{position}")
        except CorruptArtifactError:
            assert not (tmp_path / f"out{position}").exists()
        else:  # a byte that nothing depends on, such as a date
            assert contents(tmp_path / f"out{position}") == expected


@pytest.mark.parametrize("path", ["../evil", "/evil", "a/../../evil", "a\\b", "", "a//b", "./a"])
def test_a_path_outside_the_target_is_refused(path, version_folder, tmp_path):
    pack(version_folder, tmp_path / "a.zip")
    edit_manifest(tmp_path / "a.zip", lambda m: m["content"]["files"][0].update(path=path))
    with pytest.raises(CorruptArtifactError, match="plain relative path"):
        unpack(tmp_path / "a.zip", tmp_path / "deep" / "out")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda m: m["storage"]["holes"][0].update(offset=10**9), "passes the end"),
        (lambda m: m["storage"]["holes"][0].update(tensor=7), "not there"),
        (lambda m: m["storage"]["holes"][0].update(axes=[0, 0]), "does not fit"),
        (lambda m: m["storage"]["tensors"][0].pop("step"), "does not fit"),
        (lambda m: m["content"]["files"].append(m["content"]["files"][0]), "named twice"),
        (lambda m: m["storage"]["tensors"][0].update(shape=[1, 2]), "longer than its 2 weights"),
        (lambda m: m["storage"]["tensors"][0]["streams"][0].update(sizeBytes=3), "more than the 3 bytes"),
        (lambda m: m["storage"]["tensors"][0]["streams"][0].update(entry="nowhere"), "missing from the archive"),
        (lambda m: m["content"]["files"][1].update(sha256="0" * 64), "not the bytes that were packed"),
        (lambda m: m.update(formatVersion=2), "formatVersion"),
        (lambda m: m.pop("content"), "content"),
    ],
)
def test_a_manifest_that_lies_is_refused(edit, words, version_folder, tmp_path):
    pack(version_folder, tmp_path / "a.zip")
    edit_manifest(tmp_path / "a.zip", edit)
    with pytest.raises(CorruptArtifactError, match=words):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bomb_makes_no_more_than_the_manifest_declares(version_folder, tmp_path):
    pack(version_folder, tmp_path / "a.zip")
    rewrite(tmp_path / "a.zip", lambda name, data: bytes(200_000_000) if name == "files/empty.txt" else data)
    with pytest.raises(CorruptArtifactError, match=r"files/empty\.txt: more than the 0 bytes"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_an_entry_that_is_gone_is_named(version_folder, tmp_path):
    pack(version_folder, tmp_path / "a.zip")
    rewrite(tmp_path / "a.zip", lambda name, data: None if name.endswith("0-gaps") else data)
    with pytest.raises(CorruptArtifactError, match="tensors/000/0-gaps: missing"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_two_entries_of_one_name_are_refused(version_folder, tmp_path):
    pack(version_folder, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("files/empty.txt", b"other")
    with pytest.raises(CorruptArtifactError, match="two entries have the same name"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_the_digest_does_not_depend_on_the_deflate_encoder(version_folder, tmp_path):
    manifest = pack(version_folder, tmp_path / "a.zip")
    rewrite(tmp_path / "a.zip", lambda _, data: data)
    assert unpack(tmp_path / "a.zip", tmp_path / "out").digest == manifest.digest


def test_the_writer_refuses_what_a_plain_zip_cannot_say():
    writer = ArchiveWriter(io.BytesIO())
    for number in range(65_535):
        writer.write(str(number), deflate(b"", 0))
    with pytest.raises(UnpackableError, match="65,535 entries"):
        writer.write("one more", deflate(b"", 0))
