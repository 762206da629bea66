"""Artifacts to and from a real S3 server, by the command line and by what stands below it."""

import hashlib
import json
import os
import secrets
import subprocess
import sys

from model_artifact.__main__ import main
from model_artifact.archive_reader import ArchiveReader
from model_artifact.inspection import inspect
from model_artifact.location import parse_location
from model_artifact.manifest_reader import read_manifest
from model_artifact.object_store import PART_BYTES, Bucket
from model_artifact.packing import pack
from store.version_folder import write_version_folder


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_large_artifact_goes_there_and_back_to_the_bit(bucket, large_folder, large_artifact, tmp_path, capsys):
    uri = f"s3://{bucket.name}/models/large.zip"
    assert main(["pack", str(large_folder), uri]) == 0
    digest, size_bytes, _ = capsys.readouterr().out.split()
    assert digest == inspect(large_artifact).digest
    assert int(size_bytes) == large_artifact.stat().st_size > 2 * PART_BYTES
    stored = bucket.find("models/large.zip")
    assert stored.size_bytes == int(size_bytes)
    assert main(["unpack", uri, str(tmp_path / "out"), "--digest", digest]) == 0
    assert capsys.readouterr().out.strip() == digest
    assert files_of(tmp_path / "out") == files_of(large_folder)


def test_each_command_says_the_same_of_an_object_as_of_a_file(bucket, large_artifact, capsys):
    uri = f"s3://{bucket.name}/large.zip"
    bucket.upload(large_artifact, "large.zip")
    for command in (["inspect", "--json"], ["inspect"], ["verify"]):
        said = []
        for place in (str(large_artifact), uri):
            assert main([*command, place]) == 0
            said.append(capsys.readouterr().out)
        assert said[0] == said[1]
    assert main(["diff", str(large_artifact), uri]) == 0


def test_inspecting_reads_the_directory_and_the_tensors_and_nothing_else(bucket, large_artifact, line, through):
    """The files of the artifact, nearly all of its 20 MB, stay where they are."""
    bucket.upload(large_artifact, "large.zip")
    through(line.port)
    facts = inspect(parse_location(f"s3://{bucket.name}/large.zip"))
    assert facts == inspect(large_artifact)
    assert line.carried_bytes < 300_000
    assert facts.size_bytes > 20_000_000
    with ArchiveReader(parse_location(f"s3://{bucket.name}/large.zip")) as archive:
        before = line.carried_bytes
        read_manifest(archive)
        assert line.carried_bytes - before < 20_000


def test_many_small_files_are_not_read_for_their_headers(bucket, line, through, tmp_path):
    folder = write_version_folder(tmp_path / "many", 0)
    for number in range(600):
        (folder / "assets" / f"small-{number}").write_bytes(secrets.token_bytes(40_000))
    pack(folder, tmp_path / "many.zip")
    bucket.upload(tmp_path / "many.zip", "many.zip")
    through(line.port)
    assert inspect(parse_location(f"s3://{bucket.name}/many.zip")) == inspect(tmp_path / "many.zip")
    assert (tmp_path / "many.zip").stat().st_size > 24_000_000
    assert line.carried_bytes < 2_000_000


def test_any_range_is_what_the_file_has_there(bucket, large_artifact):
    bucket.upload(large_artifact, "large.zip")
    data, source = large_artifact.read_bytes(), bucket.open("large.zip")
    assert source.size_bytes == len(data)
    for offset, count in ((0, 4), (1, 0), (7, 300_000), (len(data) - 10, 10), (len(data) - 70_000, 65_000)):
        assert source.read_at(offset, count) == data[offset : offset + count]
        assert b"".join(source.stream(offset, count)) == data[offset : offset + count]
    for offset, count in ((len(data) - 3, 10), (len(data), 1), (len(data) + 5, 1)):
        assert source.read_at(offset, count) == data[offset:]
        assert b"".join(source.stream(offset, count)) == data[offset:]
    asked = [(0, 30), (5_000_000, 60), (len(data) - 20, 20), (len(data), 9)]
    source.prepare(asked)
    assert [source.read_at(*each) for each in asked] == [data[at : at + count] for at, count in asked]


def test_what_is_expected_is_read_once_and_as_it_is_whatever_the_order(bucket, large_artifact, line, through):
    bucket.upload(large_artifact, "large.zip")
    through(line.port)
    data = large_artifact.read_bytes()
    source = Bucket(bucket.name, os.environ).open("large.zip")
    before = line.carried_bytes
    ranges = [(3_000_000, 700_000), (0, 2_000_000), (3_700_010, 20), (len(data) - 100, 100)]
    source.expect(ranges)
    for offset, count in (ranges[0], ranges[2], ranges[1], (100, 50), ranges[3]):
        assert b"".join(source.stream(offset, count)) == data[offset : offset + count]
    source.close()
    assert line.carried_bytes - before < 2_800_000
    assert b"".join(source.stream(5, 300_000)) == data[5:300_005]


def test_unpacking_carries_each_byte_once(bucket, large_artifact, line, through, tmp_path):
    bucket.upload(large_artifact, "large.zip")
    through(line.port)
    uri, log = f"s3://{bucket.name}/large.zip", tmp_path / "log"
    before = line.carried_bytes
    assert main(["unpack", uri, str(tmp_path / "out"), "--summary", str(log)]) == 0
    assert line.carried_bytes - before < 1.02 * large_artifact.stat().st_size


def test_a_small_artifact_is_one_answer(bucket, small_artifact, line, through):
    """Its directory and all of its entries lie within what is read when it is opened."""
    bucket.upload(small_artifact, "small.zip")
    through(line.port)
    assert inspect(parse_location(f"s3://{bucket.name}/small.zip")) == inspect(small_artifact)
    assert line.carried_bytes < small_artifact.stat().st_size + 4000


PEAK = """
import resource, sys
from model_artifact.__main__ import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
sys.exit(code)
"""


def peak_mebibytes(*arguments):
    """Of a process of its own that runs the command."""
    command = [sys.executable, "-c", PEAK, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stderr.split()[-1])


def test_memory_does_not_grow_with_the_artifact(bucket, tmp_path):
    """One asset of 5 MB against 24 of them: what is added is what an upload holds of its parts."""
    peaks = {}
    for assets in (1, 24):
        folder, uri = write_version_folder(tmp_path / f"{assets}", assets), f"s3://{bucket.name}/{assets}.zip"
        peaks[assets] = (
            peak_mebibytes("pack", folder, uri),
            peak_mebibytes("unpack", uri, tmp_path / f"{assets}-out"),
            peak_mebibytes("verify", uri),
        )
    for name, one, many in zip(("pack", "unpack", "verify"), peaks[1], peaks[24], strict=True):
        assert many < one + 90, (name, peaks)


def test_the_summary_names_the_path_below_the_store(bucket, small_artifact, tmp_path):
    bucket.upload(small_artifact, "store/artifacts/small.zip")
    root, out = f"s3://{bucket.name}/store", tmp_path / "summary"
    command = ["unpack", f"{root}/artifacts/small.zip", str(tmp_path / "1"), "--summary", str(out), "--store", root]
    assert main(command) == 0
    assert json.loads(out.read_text())["path"] == "artifacts/small.zip"
