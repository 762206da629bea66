"""The images speak to a real S3 server, with what the operator gives their containers and as nobody."""

import os

import pytest
from store.programs import build_server
from store.server import SECRET_KEY, StoreServer, render_environment
from store.version_folder import write_version_folder

from images.container import run_to_end
from images.steps import tell_on_stderr
from model_artifact.inspection import inspect
from model_artifact.manifest import Provenance
from model_artifact.object_store import Bucket
from model_artifact.packing import pack
from model_artifact.recipe import Compression, Recipe, Training
from model_artifact.summary import parse_failure, parse_summary
from model_builder.store import open_store

USER = 65532


@pytest.fixture
def s3(tmp_path):
    """An S3 server with a bucket named models."""
    server = StoreServer(build_server(tell_on_stderr), tmp_path / "s3")
    server.start()
    server.make_bucket("models")
    yield server
    server.stop()


@pytest.fixture
def reach(s3, monkeypatch):
    """This process's environment leads to the server too; the variables."""
    variables = render_environment(s3.port)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def own_folder(path):
    path.mkdir()
    os.chown(path, USER, USER)
    return path


def with_environment(variables, program):
    """An entrypoint that starts the program with these variables beside the image's own."""
    return ["/usr/bin/env", *(f"{name}={value}" for name, value in variables.items()), program]


def test_the_server_image_unpacks_from_a_bucket(server_root, reach, tmp_path):
    pack(write_version_folder(tmp_path / "version", 1), tmp_path / "a.zip")
    Bucket("models", reach).upload(tmp_path / "a.zip", "team/a.zip")
    out, digest = own_folder(tmp_path / "out"), inspect(tmp_path / "a.zip").digest
    arguments = ["unpack", "s3://models/team/a.zip", "/out/model/1", "--digest", digest, "--summary", "/out/summary"]
    entrypoint = with_environment(reach, "model-artifact")
    done = run_to_end(server_root.bundle(tmp_path / "unpack", arguments, {"/out": out}, entrypoint=entrypoint))
    assert (done.returncode, done.stdout.strip()) == (0, digest), done.stderr
    assert parse_summary((out / "summary").read_text()).digest == digest
    for name in ("model.tflite", "assets/0"):
        assert (out / "model" / "1" / name).read_bytes() == (tmp_path / "version" / name).read_bytes()


def test_the_server_image_says_why_a_bucket_cannot_be_used(server_root, reach, tmp_path):
    out = own_folder(tmp_path / "out")
    wrong = with_environment(reach | {"AWS_SECRET_ACCESS_KEY": "another"}, "model-artifact")
    arguments = ["unpack", "s3://models/team/a.zip", "/out/1", "--summary", "/out/summary"]
    done = run_to_end(server_root.bundle(tmp_path / "wrong", arguments, {"/out": out}, entrypoint=wrong))
    failure = parse_failure((out / "summary").read_text())
    assert (done.returncode, failure.permanent) == (6, False), done.stderr
    assert "the store refuses the credentials (SignatureDoesNotMatch); correct those" in failure.error
    bare = run_to_end(server_root.bundle(tmp_path / "bare", arguments, {"/out": out}, entrypoint=["model-artifact"]))
    assert (bare.returncode, bare.stdout) == (6, "")
    assert "the environment has no credentials; set AWS_ACCESS_KEY_ID" in bare.stderr
    assert sorted(path.name for path in out.iterdir()) == ["summary"]
    assert SECRET_KEY not in done.stderr + bare.stderr


def test_the_builder_image_finds_what_a_bucket_knows(builder_root, reach, tmp_path):
    recipe = Recipe(
        compression=Compression(alpha=1.25, bits=8), training=Training(architecture="SmallCNN", dataset="Digits")
    )
    made = Provenance(recipe=recipe, trained=True, layers=(), versions={}, duration_seconds=1.0)
    pack(write_version_folder(tmp_path / "version", 0), tmp_path / "a.zip", provenance=made)
    stored = open_store("s3://models/team").keep(tmp_path / "a.zip", recipe.digest)
    out = own_folder(tmp_path / "out")
    job = {
        "MODELPRESS_RECIPE": recipe.canonical_json(),
        "MODELPRESS_STORE": "s3://models/team",
        "MODELPRESS_TERMINATION_LOG": "/out/log",
    }
    entrypoint = with_environment(reach | job, "model-builder-job")
    done = run_to_end(builder_root.bundle(tmp_path / "build", [], {"/out": out}, entrypoint=entrypoint))
    assert done.returncode == 0, done.stderr
    assert parse_summary((out / "log").read_text()) == stored
    assert f"known: the store holds {stored.path} for this recipe" in done.stdout
