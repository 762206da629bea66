"""The built images, from the same cache that `make images` uses; only the first run is long."""

import pytest

from images.archive import read_archive
from images.buildah import open_storage
from images.building import archive_path, cache_folder, write_archives
from images.container import mounted
from images.sources import TARGETS
from images.steps import Steps, tell_on_stderr


@pytest.fixture(scope="session")
def image_names():
    """Name with tag by target; every archive is there."""
    return dict(zip(TARGETS, write_archives(TARGETS, tell_on_stderr), strict=True))


@pytest.fixture(scope="session")
def archives(image_names):
    """What each docker-archive says of itself, by target."""
    assert image_names
    return {target: read_archive(archive_path(target)) for target in TARGETS}


@pytest.fixture(scope="session")
def buildah():
    """The storage that the images are built in."""
    return open_storage(cache_folder(), Steps(cache_folder() / "logs", tell_on_stderr))


@pytest.fixture(scope="session")
def server_root(buildah, image_names):
    """The server image, mounted."""
    with mounted(buildah, image_names["server"]) as root:
        yield root


@pytest.fixture(scope="session")
def operator_root(buildah, image_names):
    """The operator image, mounted."""
    with mounted(buildah, image_names["operator"]) as root:
        yield root


@pytest.fixture(scope="session")
def builder_root(buildah, image_names):
    """The builder image, mounted."""
    with mounted(buildah, image_names["builder"]) as root:
        yield root
