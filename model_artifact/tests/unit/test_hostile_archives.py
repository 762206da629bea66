import hashlib
import json
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from typing import get_args

import numpy as np
import pytest
from pydantic import BaseModel

from model_artifact.container import ArchiveWriter, Deflated, deflate
from model_artifact.errors import CorruptArtifactError
from model_artifact.inspection import inspect
from model_artifact.manifest import Content
from model_artifact.packing import pack
from model_artifact.recipe import Recipe
from model_artifact.summary import parse_failure
from model_artifact.unpacking import unpack
from model_artifact.verification import verify

LOCAL, CENTRAL, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"


@pytest.fixture
def artifact(version_folder, tmp_path):
    pack(version_folder, tmp_path / "a.zip")
    return tmp_path / "a.zip"


@pytest.fixture
def refused(tmp_path):
    """Asserts that no command takes the artifact, for the reason in these words, and that nothing is left behind."""

    def check(artifact, words):
        before = sorted(path.name for path in tmp_path.iterdir())
        with pytest.raises(CorruptArtifactError, match=words) as caught:
            unpack(artifact, tmp_path / "out")
        with pytest.raises(CorruptArtifactError, match=words):
            verify(artifact)
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return check


def read_entries(artifact):
    with zipfile.ZipFile(artifact) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_entries(artifact, entries):
    with artifact.open("wb") as out:
        writer = ArchiveWriter(out)
        for name, data in entries.items():
            writer.write(name, data if isinstance(data, Deflated) else deflate(data, 0))
        writer.close()


def edit_manifest(artifact, edit):
    entries = read_entries(artifact)
    document = json.loads(entries["manifest.json"])
    edit(document)
    entries["manifest.json"] = json.dumps(document).encode()
    write_entries(artifact, entries)


def edit_record(data, number, field, value):
    """The directory's record of that number with a field of (offset, format) set."""
    start = -1
    for _ in range(number + 1):
        start = data.index(CENTRAL, start + 1)
    offset, form = field
    changed = bytearray(data)
    struct.pack_into(form, changed, start + offset, value)
    return bytes(changed)


FLAGS, METHOD, CRC, STORED, SIZE = (8, "<H"), (10, "<H"), (16, "<I"), (20, "<I"), (24, "<I")
EXTRA_LENGTH, COMMENT_LENGTH, MODE, HEADER = (30, "<H"), (32, "<H"), (40, "<H"), (42, "<I")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (FLAGS, 1 << 11 | 1, "is encrypted"),
        (FLAGS, 1 << 11 | 8, "is encrypted, or not Deflated"),
        (METHOD, 0, "not Deflated"),
        (METHOD, 14, "not Deflated"),
        (MODE, 0o120777, "is a link"),
        (MODE, 0o040755, "is a link"),
        (HEADER, 0, "overlaps another"),
        (HEADER, 2**32 - 1, "overlaps another"),
        (CRC, 1, "differ in checksum"),
        (SIZE, 10**9, "differ in size"),
        (SIZE, 2**32 - 1, "differ in size"),
        (STORED, 7, "differ in stored size"),
        (EXTRA_LENGTH, 20, "ZIP64"),
        (COMMENT_LENGTH, 5, "ZIP64"),
    ],
)
def test_a_directory_that_disagrees_with_its_file_is_refused(field, value, words, artifact, refused):
    artifact.write_bytes(edit_record(artifact.read_bytes(), 1, field, value))
    assert "fetch or pack it again" in refused(artifact, words)


def test_a_header_that_names_another_entry_is_refused(artifact, refused):
    data = bytearray(artifact.read_bytes())
    at = data.index(b"files/empty.txt")
    data[at : at + 15] = b"files/other.txt"
    artifact.write_bytes(data)
    refused(artifact, r"files/empty\.txt: its header has another name")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data + b"more", "does not end as a ZIP"),
        (lambda data: b"more" + data, "does not stand where it should"),
        (lambda data: data[:-2] + struct.pack("<H", 4) + b"note", "does not end as a ZIP"),
        (lambda data: data[:-10] + struct.pack("<II", 2**32 - 1, 2**32 - 1) + data[-2:], "does not stand where"),
        (lambda data: data[:-14] + struct.pack("<HH", 65535, 65535) + data[-10:], "record .* is damaged"),
        (lambda data: data[:-14] + struct.pack("<HH", 1, 1) + data[-10:], "holds more than its records"),
        (lambda data: data[:-18] + struct.pack("<H", 1) + data[-16:], "in several parts"),
        (lambda _: b"", "does not end as a ZIP"),
        (lambda _: END + bytes(18), r"manifest\.json: missing"),
        (lambda data: data.replace(LOCAL, b"XXXX", 1), "has no header"),
    ],
    ids=["trailing", "leading", "comment", "zip64", "most entries", "hidden", "parts", "nothing", "no entry", "header"],
)
def test_a_file_that_is_more_or_less_than_its_entries_is_refused(change, words, artifact, refused):
    artifact.write_bytes(change(artifact.read_bytes()))
    refused(artifact, words)


def test_bytes_between_the_entries_and_the_directory_are_refused(artifact, refused):
    data = artifact.read_bytes()
    start = struct.unpack_from("<I", data, len(data) - 6)[0]
    data = data[:start] + b"more" + data[start:-6] + struct.pack("<I", start + 4) + data[-2:]
    artifact.write_bytes(data)
    refused(artifact, "4 bytes before the directory belong to no entry")


def test_a_directory_inside_the_entries_is_refused(artifact, refused):
    data = bytearray(artifact.read_bytes())
    for at in (data.index(LOCAL) + 18, data.index(CENTRAL) + 20):
        struct.pack_into("<I", data, at, 10**8)
    artifact.write_bytes(data)
    refused(artifact, "reaches into the directory")


def test_a_name_that_is_no_text_is_refused(artifact, refused):
    artifact.write_bytes(artifact.read_bytes().replace(b"empty.txt", b"\xff\xfepty.txt"))
    refused(artifact, "is not UTF-8")


def test_a_name_cannot_write_to_the_terminal(artifact, refused):
    write_entries(artifact, read_entries(artifact) | {"\x1b[2J\n" + "x" * 500: b""})
    message = refused(artifact, "the manifest does not speak of it")
    assert len(message) < 300
    assert message.isprintable()


@pytest.mark.parametrize(
    ("payload", "size", "words"),
    [
        (deflate(bytes(70_000), 0).payload, 0, "more than the 0 bytes"),
        (deflate(b"", 0).payload + b"\0", 0, "more data stands behind its end"),
        (b"", 0, "ends before its data does"),
        (b"\0\0\0\xff\xff" * 100_000, 0, "ends before its data does"),
        (b"\7", 0, "damaged"),
    ],
    ids=["bomb", "trailing", "nothing", "empty blocks", "no Deflate"],
)
def test_deflated_data_that_is_not_what_it_claims_is_refused(payload, size, words, artifact, refused):
    write_entries(artifact, read_entries(artifact) | {"files/empty.txt": Deflated(payload, size, 0)})
    refused(artifact, rf"files/empty\.txt: .*{words}")


def test_a_wrong_checksum_is_refused_though_the_file_is_empty(artifact, refused):
    write_entries(artifact, read_entries(artifact) | {"files/empty.txt": Deflated(deflate(b"", 0).payload, 0, 1)})
    refused(artifact, r"files/empty\.txt: damaged \(its checksum differs\)")


def test_an_entry_that_gives_less_than_its_header_claims_is_refused(artifact, refused):
    entries = read_entries(artifact)
    name = next(name for name in entries if name.startswith("tensors/"))
    short = entries[name][:-1]
    lying = Deflated(deflate(short, 0).payload, len(short) + 1, zlib.crc32(short))
    write_entries(artifact, entries | {name: lying})
    refused(artifact, f"tensor dense/kernel: entry {name}: damaged .it holds {len(short)} bytes where its header")


def first_tensor(manifest):
    return manifest["storage"]["tensors"][0]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda m: first_tensor(m).update(shape=[10**18, 10**18]), "dense/kernel has a shape that no tensor has"),
        (lambda m: first_tensor(m).update(shape=[0, 10**18, 10**18]), "dense/kernel has a shape that no tensor has"),
        (lambda m: first_tensor(m).update(shape=[2] * 100_000), "dense/kernel has a shape that no tensor has"),
        (lambda m: first_tensor(m).update(shape=[10**4000] * 2), "dense/kernel has a shape that no tensor has"),
        (lambda m: first_tensor(m).update(shape=[2**20, 2**20]), "overlaps another or passes the end"),
        (lambda m: first_tensor(m).update(shape=[]), "longer than its 1 weights allow"),
        (lambda m: first_tensor(m).update(streams=first_tensor(m)["streams"] * 9), "more than any coder writes"),
        (lambda m: first_tensor(m).update(step=1e300), "dense/kernel has a step that is no float32"),
        (lambda m: first_tensor(m).update(step=0.1), "dense/kernel has a step that is no float32"),
        (lambda m: first_tensor(m).update(step=3e38), "dense/kernel has a step that is no float32"),
        (lambda m: first_tensor(m).update(step="Infinity"), "not the bytes that were packed"),
        (lambda m: first_tensor(m).update(step="NaN"), "not the bytes that were packed"),
        (lambda m: first_tensor(m).update(shape=[-1, 60_000]), "greater than or equal to 0"),
        (lambda m: m["content"]["files"][0].update(sizeBytes=10**18), "more than an archive of .* bytes can hold"),
        (lambda m: m["content"]["files"][0].update(sizeBytes=2**28 - 10**6), "empty.txt: holds 0 bytes where"),
        (lambda m: m["storage"]["holes"][0].update(offset=10**4000), "overlaps another or passes the end"),
        (lambda m: m["storage"].update(holes=[]), "dense/kernel stands in no file"),
        (lambda m: m["content"]["files"].pop(0), "the manifest does not speak of it"),
        (lambda m: m["content"]["files"][0].update(path="a/" * 500 + "a"), "too long for a path"),
        (lambda m: m["content"]["files"][0].update(path="a" * 256), "too long for a path"),
        (lambda m: m["content"]["files"][0].update(path="model.tflite/x"), "stands below another file"),
        (lambda m: m["storage"]["tensors"].append(first_tensor(m)), "stands in no file"),
        (lambda m: first_tensor(m)["streams"].append(first_tensor(m)["streams"][0]), "used twice"),
        (lambda m: first_tensor(m)["streams"][0].update(entry="manifest.json"), "tensor dense/kernel: entry man"),
        (lambda m: first_tensor(m)["streams"][0].update(sizeBytes=10**5), "holds .* bytes where 100000 are declared"),
    ],
)
def test_hostile_numbers_are_refused_before_anything_is_made(edit, words, artifact, refused):
    edit_manifest(artifact, edit)
    refused(artifact, words)
    if "bytes that were packed" not in words:
        with pytest.raises(CorruptArtifactError, match=words):
            inspect(artifact)


def test_a_thousand_million_zeros_take_no_memory_to_refuse(artifact, refused):
    def declare(manifest):
        tensor = first_tensor(manifest)
        tensor.update(shape=[2**20, 2**10])
        for hole in manifest["storage"]["holes"]:
            hole.update(offset=0)
        for file in manifest["content"]["files"]:
            file.update(sizeBytes=2**32)

    edit_manifest(artifact, declare)
    tracemalloc.start()
    try:
        refused(artifact, "more than an archive of .* bytes can hold")
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2**20


def test_a_manifest_that_is_a_bomb_is_not_parsed(artifact, refused):
    text = b'{"format":"' + b" " * (3 * 2**20) + b'"}'
    write_entries(artifact, {"manifest.json": text})
    refused(artifact, r"manifest\.json: inflates to more than any manifest does")


def test_entries_longer_than_a_piece_are_checked_to_their_end(version_folder, tmp_path, refused):
    noise = np.random.default_rng(1).bytes(3 * 2**20 + 5)
    (version_folder / "noise").write_bytes(noise)
    pack(version_folder, tmp_path / "a.zip")
    unpack(tmp_path / "a.zip", tmp_path / "1")
    assert (tmp_path / "1" / "noise").read_bytes() == noise
    entries = read_entries(tmp_path / "a.zip")
    write_entries(tmp_path / "a.zip", entries | {"files/noise": noise[:-1] + bytes([noise[-1] ^ 1])})
    refused(tmp_path / "a.zip", "noise: not the bytes that were packed")
    write_entries(tmp_path / "a.zip", entries | {"files/noise": Deflated(deflate(noise, 0).payload, len(noise), 1)})
    refused(tmp_path / "a.zip", "entry files/noise: damaged .its checksum differs")


LIMITED = """
import resource, sys
from pathlib import Path
from model_artifact.__main__ import main
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + 2**26
resource.setrlimit(resource.RLIMIT_AS, (most, most))
sys.exit(main(["unpack", sys.argv[1], sys.argv[2], "--summary", sys.argv[3]]))
"""


def test_a_tensor_that_does_not_fit_into_memory_is_named_and_may_be_tried_again(tmp_path):
    zeros = 2**27
    stream = {"role": "gaps", "entry": "gaps", "sizeBytes": 0}
    tensor = {"name": "huge", "shape": [zeros], "dtype": "int8", "coder": "split"}
    tensor["streams"] = [stream, {"role": "plane", "entry": "plane", "sizeBytes": 0}]
    hole = {"path": "model.tflite", "offset": 0, "tensor": 0, "axes": [0], "form": "codes"}
    file = {"path": "model.tflite", "sizeBytes": zeros, "sha256": hashlib.sha256(bytes(zeros)).hexdigest()}
    manifest = {"content": {"files": [file]}, "storage": {"tensors": [tensor], "holes": [hole]}}
    text = json.dumps(manifest).encode()
    write_entries(tmp_path / "a.zip", {"manifest.json": text, "gaps": b"", "plane": b"", "files/model.tflite": b""})
    command = [sys.executable, "-c", LIMITED, tmp_path / "a.zip", tmp_path / "1", tmp_path / "log"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        f"model-artifact: tensor huge: no memory for its {zeros} weights; give it more",
    )
    assert parse_failure((tmp_path / "log").read_text()).permanent is False
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "log"]
    unpack(tmp_path / "a.zip", tmp_path / "1")
    assert (tmp_path / "1" / "model.tflite").stat().st_size == zeros


def test_an_empty_tensor_that_is_sorted_harms_nobody(tmp_path):
    streams = [{"role": role, "entry": role, "sizeBytes": 0} for role in ("classes", "plane")]
    tensor = {"name": "empty", "shape": [0], "dtype": "int8", "coder": "dense", "sortedAxis": 0, "streams": streams}
    hole = {"path": "model.tflite", "offset": 0, "tensor": 0, "axes": [0], "form": "codes"}
    file = {"path": "model.tflite", "sizeBytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    manifest = {"content": {"files": [file]}, "storage": {"tensors": [tensor], "holes": [hole]}}
    text = json.dumps(manifest).encode()
    write_entries(tmp_path / "a.zip", {"manifest.json": text, "classes": b"", "plane": b"", "files/model.tflite": b""})
    assert verify(tmp_path / "a.zip") == unpack(tmp_path / "a.zip", tmp_path / "1")
    assert (tmp_path / "1" / "model.tflite").read_bytes() == b""
    assert [facts.weights for facts in inspect(tmp_path / "a.zip").tensors] == [0]


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b'"NaN"', b"NaN"])
def test_numbers_that_no_digest_covers_are_refused_before_anything_is_written(number, artifact, refused):
    made = {
        "recipe": {
            "recipeVersion": 1,
            "compression": {"alpha": 1.0, "bits": 8},
            "training": {"architecture": "CNN", "dataset": "CIFAR10"},
        },
        "trained": False,
        "layers": [],
        "versions": {},
        "durationSeconds": 1.5,
    }
    edit_manifest(artifact, lambda manifest: manifest["content"].update(provenance=made))
    unpack(artifact, artifact.parent / "sound")
    entries = read_entries(artifact)
    text = entries["manifest.json"]
    assert text.count(b"1.5") == 1
    write_entries(artifact, entries | {"manifest.json": text.replace(b"1.5", number)})
    refused(artifact, r"^manifest\.json: .*(durationSeconds: .*finite|Invalid JSON)")


def test_every_number_that_the_digest_covers_is_finite():
    """Epochs, layers and measures too, each of which is a document of its own."""
    parts = [Content]
    for part in parts:
        assert part.model_config["allow_inf_nan"] is False
        parts += [found for found in _find_documents(part) if found not in parts and found is not Recipe]


def _find_documents(document):
    hints = [field.annotation for field in document.model_fields.values()]
    for hint in hints:
        if isinstance(hint, type) and issubclass(hint, BaseModel):
            yield hint
        hints += get_args(hint)


MEASURE = """
import resource, sys
from pathlib import Path
from model_artifact.errors import CorruptArtifactError
from model_artifact.verification import verify
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    verify(Path(sys.argv[1]))
except CorruptArtifactError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""


@pytest.mark.parametrize(
    ("holes", "words"),
    [
        (b"{}," * 600_000 + b"{}", "has more fields than any manifest"),
        (b"-1," * 600_000 + b"{}", "has more fields than any manifest"),
        (b"{}," * 30_000 + b"{}", "of its fields are not what a manifest holds"),
    ],
    ids=["objects", "values", "errors"],
)
def test_a_manifest_of_errors_does_not_take_memory(holes, words, artifact):
    """The parser remembers every error, and each takes far more than the bytes that made it."""
    text = read_entries(artifact)["manifest.json"].replace(b'"holes":[', b'"holes":[' + holes + b",")
    write_entries(artifact, read_entries(artifact) | {"manifest.json": text})
    done = subprocess.run([sys.executable, "-c", MEASURE, artifact], check=True, capture_output=True, text=True)
    kibibytes, error = done.stdout.split(maxsplit=1)
    assert words in error
    assert int(kibibytes) < 200 * 1024


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff\xfe", b"[" * 100_000, b'{"format":"\\ud800"}', b"null", b"1" * 10_000, b'{"format":"x\\n\\u001b[2J"}'],
)
def test_a_manifest_that_is_none_is_refused_in_one_line(text, artifact, refused):
    write_entries(artifact, read_entries(artifact) | {"manifest.json": text})
    assert len(refused(artifact, r"manifest\.json")) < 400


def test_a_manifest_that_does_not_come_first_is_refused(artifact, refused):
    entries = read_entries(artifact)
    write_entries(artifact, {"files/empty.txt": entries.pop("files/empty.txt")} | entries)
    refused(artifact, r"manifest\.json: not the first")
