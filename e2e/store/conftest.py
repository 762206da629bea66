"""An S3 server for all tests of a session, a bucket for each, and artifacts to put there."""

import secrets

import pytest
from images.steps import tell_on_stderr

from model_artifact.object_store import Bucket, Patience
from model_artifact.packing import pack
from store.line import open_line
from store.programs import build_server
from store.server import StoreServer, render_environment
from store.version_folder import write_version_folder

BRIEF = Patience(connect_seconds=1, silence_seconds=1, retries=2, retry_seconds=10, longest_pause_seconds=0.2)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One server for all tests that leave it running."""
    started = StoreServer(build_server(tell_on_stderr), tmp_path_factory.mktemp("store-server"))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def own_server(tmp_path):
    """A server of the test's own, which it may kill."""
    started = StoreServer(build_server(tell_on_stderr), tmp_path / "server")
    started.start()
    yield started
    started.stop()


@pytest.fixture
def environment(server, monkeypatch):
    """The process's environment leads to the server."""
    return _use(monkeypatch, server.port)


@pytest.fixture
def through():
    """Points the environment at another port, or at another user."""
    with pytest.MonkeyPatch.context() as patch:
        yield lambda port, *keys: _use(patch, port, *keys)


def _use(patch, port, *keys):
    made = render_environment(port, *keys)
    for name, value in made.items():
        patch.setenv(name, value)
    return made


@pytest.fixture
def bucket_name():
    """Of a bucket that is the test's own."""
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
def bucket_folder(server, bucket_name):
    """The folder behind a new bucket."""
    return server.make_bucket(bucket_name)


@pytest.fixture
def bucket(environment, bucket_folder):
    """The bucket, with the patience of a test."""
    return Bucket(bucket_folder.name, environment, BRIEF)


@pytest.fixture
def line(server):
    """A line to the server."""
    with open_line(server.port) as opened:
        yield opened


@pytest.fixture(scope="session")
def large_folder(tmp_path_factory):
    """A version folder whose artifact is about 20 MB: more than two parts of an upload."""
    return write_version_folder(tmp_path_factory.mktemp("large") / "1", 4)


@pytest.fixture(scope="session")
def large_artifact(large_folder, tmp_path_factory):
    """Its artifact."""
    path = tmp_path_factory.mktemp("packed") / "large.zip"
    pack(large_folder, path)
    return path


@pytest.fixture(scope="session")
def small_artifact(tmp_path_factory):
    """An artifact that is one tensor and little else."""
    folder = write_version_folder(tmp_path_factory.mktemp("small") / "1", 0)
    pack(folder, folder.parent / "small.zip")
    return folder.parent / "small.zip"
