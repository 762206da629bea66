"""`python -m load.bodies FOLDER`: the requests of a load run, real images as JSON bodies for REST and arrays for gRPC.

CIFAR-10 is taken from the folder that MODELPRESS_DATA names, or from the cache, into which the builder's code brings it
with its checksum. Where neither can be had, noise is sent only if that is allowed: --allow-noise.

The folder holds 000.json to 063.json and the same as lines of bodies.txt (REST, row format), images.npy (uint8, shape
(64, height, width, channels)), labels.npy (int64, shape (64,); -1 where there is none), and source.txt: what they are.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cluster.places import cache_folder
from numpy.typing import NDArray

from load.asking import render_predict_body
from load.generating import GeneratorError

COUNT = 64
CIFAR10_SHAPE = (32, 32, 3)
DIGITS_SHAPE = (8, 8, 1)
LINES = "bodies.txt"

_FOLDER = "cifar-10-batches-bin"
_TEST_FILE = "test_batch.bin"
_TEST_SHA256 = "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"


@dataclass(frozen=True)
class Pictures:
    """Images to send.

    Attributes:
        images: uint8, shape (n, height, width, channels).
        labels: int64, shape (n,); -1 where there is none.
        source: what they are, in words.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    source: str


def download(parent: Path) -> None:
    """CIFAR-10 into a folder below this one, by the builder's code, which compares its checksum.

    Raises:
        GeneratorError: when it did not arrive whole, or the builder is not installed.
    """
    try:
        from model_builder.dataset import download_cifar10
        from model_builder.errors import DownloadError
    except ImportError as error:
        raise GeneratorError("modelpress-builder, whose code downloads it, is not installed") from error
    try:
        download_cifar10(parent, lambda progress: print(progress.message, file=sys.stderr, flush=True))
    except DownloadError as error:
        raise GeneratorError(str(error)) from error


def load_pictures(
    shape: tuple[int, int, int],
    environment: Mapping[str, str],
    *,
    allow_noise: bool = False,
    fetch: Callable[[Path], None] = download,
) -> Pictures:
    """The first test images of that shape: CIFAR-10, digits, or noise, which its source says.

    Args:
        shape: height, width, channels; of a shape that no data set has, there is noise.
        environment: read for MODELPRESS_DATA.
        allow_noise: whether noise will do where CIFAR-10 cannot be had.
        fetch: brings CIFAR-10 into a folder.

    Raises:
        GeneratorError: when CIFAR-10 is asked for, cannot be had, and noise will not do.
    """
    if shape == CIFAR10_SHAPE:
        try:
            return _read_cifar10(_provide_test_file(environment, fetch))
        except GeneratorError as error:
            if not allow_noise:
                raise GeneratorError(
                    f"no CIFAR-10 to send ({error}): name the folder of its binary version in MODELPRESS_DATA, or say"
                    " --allow-noise"
                ) from error
    if shape == DIGITS_SHAPE:
        try:
            return _load_digits()
        except ImportError:
            pass  # scikit-learn comes with the builder, which need not be where load is made
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, *shape), np.uint8)
    return Pictures(noise, np.full(COUNT, -1), "noise (seed 0), no images")


def _provide_test_file(environment: Mapping[str, str], fetch: Callable[[Path], None]) -> Path:
    found = find_test_file(environment)
    if found is None and environment.get("MODELPRESS_DATA"):
        raise GeneratorError(f"{environment['MODELPRESS_DATA']} holds no {_TEST_FILE}")
    if found is None:
        fetch(cache_folder())
        found = find_test_file(environment)
    if found is None:
        raise GeneratorError(f"{cache_folder() / _FOLDER} holds no {_TEST_FILE}")
    return found


def find_test_file(environment: Mapping[str, str]) -> Path | None:
    """CIFAR-10's test images in the folder that MODELPRESS_DATA names, or in the cache; None when neither has them."""
    given = environment.get("MODELPRESS_DATA")
    folders = [Path(given) / _FOLDER, Path(given)] if given else [cache_folder() / _FOLDER]
    return next((folder / _TEST_FILE for folder in folders if (folder / _TEST_FILE).exists()), None)


def _read_cifar10(file: Path) -> Pictures:
    data = file.read_bytes()
    rows = np.frombuffer(data, np.uint8).reshape(-1, 1 + 3 * 32 * 32)[:COUNT]
    images = np.ascontiguousarray(rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    published = hashlib.sha256(data).hexdigest() == _TEST_SHA256
    source = "CIFAR-10" if published else "CIFAR-10, another copy (not the published pixels)"
    return Pictures(images, rows[:, 0].astype(np.int64), f"{source}, test images 0 to {COUNT - 1}")


def _load_digits() -> Pictures:
    from sklearn import datasets

    bunch = datasets.load_digits()
    images = np.round(bunch.images[-360:][:COUNT] * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    return Pictures(images, bunch.target[-360:][:COUNT].astype(np.int64), "digits of scikit-learn, test images 0 to 63")


def write_bodies(folder: Path, pictures: Pictures) -> None:
    """Write the folder; a body never holds a tab or a line's end, so that a line of bodies.txt is a body."""
    folder.mkdir(parents=True, exist_ok=True)
    bodies = [render_predict_body(image) for image in pictures.images]
    for number, body in enumerate(bodies):
        (folder / f"{number:03}.json").write_bytes(body)
    (folder / LINES).write_bytes(b"".join(body + b"\n" for body in bodies))
    np.save(folder / "images.npy", pictures.images)
    np.save(folder / "labels.npy", pictures.labels)
    (folder / "source.txt").write_text(f"{pictures.source}\n")


def prepare_bodies(folder: Path, shape: tuple[int, int, int], *, allow_noise: bool = False) -> str:
    """Write the requests of that shape into the folder; what they are, in words.

    Raises:
        GeneratorError: see `load_pictures`.
    """
    pictures = load_pictures(shape, os.environ, allow_noise=allow_noise)
    write_bodies(folder, pictures)
    return pictures.source


def read_lines(folder: Path) -> list[bytes]:
    """The REST bodies in their order."""
    return (folder / LINES).read_bytes().splitlines()


def read_images(folder: Path) -> NDArray[np.uint8]:
    """The images in their order."""
    images: NDArray[np.uint8] = np.load(folder / "images.npy", allow_pickle=False)
    return images


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the requests into a folder and say what they are."""
    parser = argparse.ArgumentParser(prog="load.bodies", description="Write the requests of a load run.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", type=int, nargs=3, default=CIFAR10_SHAPE, metavar=("HEIGHT", "WIDTH", "CHANNELS"))
    parser.add_argument("--allow-noise", action="store_true", help="write noise where CIFAR-10 cannot be had")
    options = parser.parse_args(arguments)
    height, width, channels = options.shape
    try:
        print(prepare_bodies(options.folder, (height, width, channels), allow_noise=options.allow_noise))
    except GeneratorError as error:
        print(f"load.bodies: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
