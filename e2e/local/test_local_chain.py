"""The chain of `make demo-local` on the digits, end to end: real training, real artifact, real server processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from load.asking import grpc_asker, rest_asker
from local_measure import measure
from local_servers import ROOT, Server, ServerError
from local_table import Row, format_picture, format_rows, format_savings

from model_artifact.inspection import inspect
from model_artifact.unpacking import unpack

NAMES = ("digits-a125-b8", "digits-a0-b32")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Both artifacts of the digits pair after three epochs, unpacked: (facts, folder above the version) by name."""
    folder = tmp_path_factory.mktemp("chain")
    found = {}
    for name in NAMES:
        recipe = json.loads((ROOT / "examples" / "recipes" / f"{name}.json").read_text())
        recipe["training"]["epochs"] = 3
        (folder / f"{name}.json").write_text(json.dumps(recipe))
        command = ["build", folder / f"{name}.json", "-o", folder / f"{name}-build"]
        subprocess.run([sys.executable, "-m", "model_builder", *command], check=True)
        artifact = folder / f"{name}-build" / "artifact.zip"
        unpack(artifact, folder / name / "1", digest=inspect(artifact).digest)
        found[name] = (inspect(artifact), folder / name)
    return found


@pytest.fixture(scope="module")
def servers(built, tmp_path_factory):
    logs = tmp_path_factory.mktemp("logs")
    core = max(os.sched_getaffinity(0))
    first, second = (Server(name, built[name][1], core, logs / name) for name in NAMES)
    with first, second:
        yield first, second
    assert [server.process.returncode for server in (first, second)] == [0, 0]


def golden(base: Path):
    folder = base / "1" / "assets.extra" / "golden"
    return np.load(folder / "inputs.npy"), np.load(folder / "outputs.npy")


@pytest.mark.parametrize("asker", [rest_asker, grpc_asker])
def test_both_protocols_give_the_answers_that_the_builder_stored(asker, servers):
    for server in servers:
        images, answers = golden(server.base)
        for image, expected in zip(images[:8], answers[:8], strict=True):
            with asker(server, image) as ask:
                np.testing.assert_allclose(ask(), expected, atol=1e-4)


def layers_of(facts):
    return facts.manifest.content.provenance.layers


def test_the_compressed_twin_is_smaller_and_stays_accurate(built):
    small, large = (built[name][0] for name in NAMES)
    assert small.weights <= large.weights  # channels without weights are taken out
    assert [layer.shape for layer in layers_of(small)] == [layer.shape for layer in layers_of(large)]
    assert small.zeros_percent > 60
    assert large.zeros_percent == 0
    assert small.weight_bytes < large.weight_bytes / 10
    assert all(facts.manifest.content.provenance.quality.deployed > 75 for facts in (small, large))


def test_measuring_gives_a_row_a_model(built, servers):
    images, _ = golden(servers[0].base)
    measured = measure(servers, images[0], 30, lambda _: None)
    rows = [Row(server.name, built[server.name][0], found) for server, found in zip(servers, measured, strict=True)]
    for found in measured:
        assert found.requests == 30
        assert 0 < found.rest_p50_milliseconds <= found.rest_p95_milliseconds
        assert 0 < found.grpc_p50_milliseconds <= found.grpc_p95_milliseconds
        assert 20 < found.resident_mebibytes < 1000
    lines = format_rows(rows).splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(NAMES)
    assert "size " in format_savings(*rows)


def test_a_model_that_does_not_load_is_said_with_the_servers_words(built, tmp_path):
    version = tmp_path / "bad" / "1"
    version.mkdir(parents=True)
    whole = (built[NAMES[0]][1] / "1" / "model.tflite").read_bytes()
    (version / "model.tflite").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ServerError, match=r"bad: the server ended with 255: .*model\.tflite"):
        Server("bad", tmp_path / "bad", 0, tmp_path / "log").__enter__()


def test_a_picture_is_drawn_two_rows_a_line():
    image = np.zeros((4, 2, 1), np.uint8)
    image[0, 0] = 255
    lines = format_picture(image).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("  \x1b[38;2;255;255;255m\x1b[48;2;0;0;0m\u2580")
