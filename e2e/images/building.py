"""Builds targets of the Dockerfile into archives or a registry, and nothing that is there already."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cluster.made_once import only_one
from load.generating import GeneratorError
from load.jmeter_home import make_home

from images.archive import read_archive
from images.build_secrets import secret_arguments
from images.buildah import Buildah, open_storage
from images.errors import ImageError
from images.python_image import python_image_name, write_python_image
from images.sources import ROOT, image_name, read_tag
from images.steps import Steps, Tell

# A build needs room for its stages, the image and the archive.
FREE_BYTES = {
    "operator": 3 * 10**9,
    "builder": 12 * 10**9,
    "server": 3 * 10**9,
    "flask-baseline": 15 * 10**9,
    "load-generator": 4 * 10**9,
}


def cache_folder() -> Path:
    """Where storage, archives and logs are kept between runs, outside the checkout."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "modelpress" / "images"


def archive_path(target: str) -> Path:
    """Where the archive of a target is."""
    return cache_folder() / "archives" / f"{target}.tar"


def write_archives(targets: Sequence[str], tell: Tell) -> list[str]:
    """The names of the images, each in its archive afterwards; a target whose archive has that name is left alone.

    Raises:
        ImageError: one sentence with what to do.
    """
    python_image = python_image_name(os.environ)
    names = {target: image_name(target, read_tag(target, python_image)) for target in targets}
    with _holding_the_cache(tell):
        for target, name in names.items():
            found = read_archive(archive_path(target))
            if found is None or name not in found.names:
                buildah = _build(target, name, tell)
                buildah.write_archive(name, archive_path(target))
                tell(_format_sizes(name, archive_path(target), buildah.layer_count(python_image)))
    return list(names.values())


def push_images(targets: Sequence[str], prefix: str, tell: Tell) -> list[str]:
    """The names of the images in the registry, each pushed.

    Args:
        targets: stages of the Dockerfile.
        prefix: registry and path, without a slash at the end.
        tell: is given each line of progress.

    Raises:
        ImageError: one sentence with what to do.
    """
    python_image = python_image_name(os.environ)
    references = []
    with _holding_the_cache(tell):
        for target in targets:
            name = image_name(target, read_tag(target, python_image))
            reference = f"{prefix.rstrip('/')}/{name.removeprefix('localhost/')}"
            _build(target, name, tell).push(name, reference)
            references.append(reference)
    return references


def _build(target: str, name: str, tell: Tell) -> Buildah:
    """The storage, holding the image."""
    cache = cache_folder()
    buildah = open_storage(cache, Steps(cache / "logs", tell))
    if buildah.has(name):
        return buildah
    buildah.drop_leftovers()
    free = shutil.disk_usage(cache).free
    if free < FREE_BYTES[target]:
        raise ImageError(
            f"{free / 1e9:.1f} GB are free below {cache}, but {target} needs {FREE_BYTES[target] / 1e9:.0f}: "
            "free some, or set XDG_CACHE_HOME to a larger disk"
        )
    python_image = python_image_name(os.environ)
    if "PYTHON_IMAGE" not in os.environ and not buildah.has(python_image):
        write_python_image(buildah, python_image)
    with secret_arguments(cache / "tmp") as secrets:
        options = ["--layers", "--force-rm", f"--target={target}", f"--build-arg=PYTHON_IMAGE={python_image}", *secrets]
        options += [f"--build-context={context}={folder}" for context, folder in _list_contexts(target, tell).items()]
        buildah.run(f"image {target}", "build", *options, f"--tag={name}", ROOT)
    buildah.drop_older(name)
    return buildah


def _list_contexts(target: str, tell: Tell) -> dict[str, Path]:
    """What the target copies from beside the repository: folders by the names that the Dockerfile has for them."""
    if target != "load-generator":
        return {}
    try:
        return {"jmeter": make_home(tell)}
    except GeneratorError as error:
        raise ImageError(str(error)) from error


def _format_sizes(name: str, archive: Path, base_layers: int) -> str:
    found = read_archive(archive)
    if found is None:
        raise ImageError(f"{archive} cannot be read after it was written: look whether the disk is full")
    base, own = sum(found.layer_bytes[:base_layers]), sum(found.layer_bytes[base_layers:])
    return f"{name}: {own / 1e6:.0f} MB above a base of {base / 1e6:.0f} MB"


@contextmanager
def _holding_the_cache(tell: Tell) -> Iterator[None]:
    cache_folder().mkdir(parents=True, exist_ok=True)
    with only_one(cache_folder() / "lock", tell):
        yield
