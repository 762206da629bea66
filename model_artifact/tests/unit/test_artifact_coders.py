"""Every coder through whole artifacts, and artifacts of version 0.1, which knew `split` and `dense` alone."""

import hashlib
import json
import zipfile

import numpy as np
import pytest

from model_artifact.container import ArchiveWriter, deflate
from model_artifact.errors import CorruptArtifactError
from model_artifact.packing import pack
from model_artifact.unpacking import unpack


@pytest.mark.parametrize(
    ("alpha", "bits", "differing", "coder", "sorted_axis"),
    [
        (0, 8, 0.0, "dense", None),
        (0, 4, 0.0, "packed", None),
        (1.25, 4, 0.0, "joint", None),
        (1.25, 8, 0.5, "split", 0),
        (2, 4, 0.5, "split-packed", 0),
    ],
)
def test_each_coder_goes_through_an_artifact(
    alpha, bits, differing, coder, sorted_axis, make_codes, write_folder, tmp_path
):
    folder = write_folder(("dense/kernel", make_codes(alpha, bits, (640, 1024), differing=differing), None))
    manifest = pack(folder, tmp_path / "a.zip")
    (stored,) = manifest.storage.tensors
    assert (stored.coder, stored.sorted_axis) == (coder, sorted_axis)
    unpack(tmp_path / "a.zip", tmp_path / "out", digest=manifest.digest)
    assert (tmp_path / "out" / "model.tflite").read_bytes() == (folder / "model.tflite").read_bytes()


def test_fields_that_a_coder_does_not_need_are_not_written(version_folder, tmp_path):
    pack(version_folder, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        (stored,) = json.loads(archive.read("manifest.json"))["storage"]["tensors"]
    assert sorted(stored) == ["coder", "dtype", "name", "shape", "step", "streams"]


FILE = b"<" + bytes([0, 5, 0, 0, 255, 0]) + b"=" + np.array([1.5, -0.0], "<f4").tobytes() + b">"
STREAMS = {
    "tensors/000/0-gaps": b"\1\2",
    "tensors/000/1-plane": b"\5\xff",
    **{
        f"tensors/001/{n}-plane": bytes([low, high])
        for n, (low, high) in enumerate([(0, 0), (0, 0), (192, 0), (63, 128)])
    },
}


def describe(coder, dtype, shape, number):
    streams = [
        {"role": name.split("-")[1], "entry": name, "sizeBytes": len(data)}
        for name, data in STREAMS.items()
        if name.startswith(f"tensors/{number:03}/")
    ]
    return {"name": f"w{number}", "shape": shape, "dtype": dtype, "coder": coder, "streams": streams}


@pytest.fixture
def write_earlier(tmp_path):
    """Writes an artifact as version 0.1 did, with changes to its manifest."""

    def write(change=lambda _: None):
        file = {"path": "model.bin", "sizeBytes": len(FILE), "sha256": hashlib.sha256(FILE).hexdigest()}
        holes = [
            {"path": "model.bin", "offset": offset, "tensor": tensor, "axes": axes, "form": "codes"}
            for offset, tensor, axes in [(1, 0, [0, 1]), (8, 1, [0])]
        ]
        tensors = [describe("split", "int8", [2, 3], 0), describe("dense", "float32", [2], 1)]
        manifest = {
            "format": "modelpress-artifact",
            "formatVersion": 1,
            "content": {"files": [file]},
            "storage": {"tensors": tensors, "holes": holes},
        }
        change(manifest)
        with (tmp_path / "a.zip").open("wb") as out:
            writer = ArchiveWriter(out)
            writer.write("manifest.json", deflate(json.dumps(manifest).encode(), 0))
            for name, data in STREAMS.items():
                writer.write(name, deflate(data, 2))
            writer.write("files/model.bin", deflate(b"<=>", 0))
            writer.close()
        return tmp_path / "a.zip"

    return write


def test_an_artifact_of_version_0_1_still_unpacks(write_earlier, tmp_path):
    manifest = unpack(write_earlier(), tmp_path / "out")
    assert (tmp_path / "out" / "model.bin").read_bytes() == FILE
    described = f'{{"path":"model.bin","sha256":"{hashlib.sha256(FILE).hexdigest()}","sizeBytes":{len(FILE)}}}'
    content = f'{{"files":[{described}],"provenance":null}}'
    assert manifest.digest == f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("coder", "arithmetic"),
        ("alphabet", []),
        ("alphabet", [128]),
        ("alphabet", list(range(65))),
        ("sortedAxis", -1),
        ("offset", 3),
    ],
)
def test_what_no_coder_says_is_refused(field, value, write_earlier, tmp_path):
    def change(manifest):
        manifest["storage"]["tensors"][0][field] = value

    with pytest.raises(CorruptArtifactError, match=rf"storage\.tensors\.0\.{field}"):
        unpack(write_earlier(change), tmp_path / "out")
    assert not (tmp_path / "out").exists()
