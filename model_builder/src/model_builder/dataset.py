"""Where images come from, and what to call them.

CIFAR-10 is read in its published binary layout from the folder that MODELPRESS_DATA names, or downloaded with its
checksum. What was read is compared with the published digests, so that a copy with other pixels is never reported
under the published name.
"""

import hashlib
import http.client
import shutil
import tarfile
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_artifact import manifest, recipe
from model_builder.download import Download
from model_builder.errors import DataError, DownloadError
from model_builder.interruption import Interruption
from model_builder.progress import Progress

DATA_VARIABLE = "MODELPRESS_DATA"
FOLDER = "cifar-10-batches-bin"
TRAINING_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
CIFAR10_LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_ARCHIVE_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_ARCHIVE_BYTES = 170_052_171
_ARCHIVE_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
_PUBLISHED_SHA256 = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
_LABELS_SHA256 = "6222ecafc85bee757c545fcda5e8801beac662ec10678f4a27c5d201c973506c"
_RECORD_BYTES = 1 + 3 * 32 * 32
_RECORDS_A_FILE = 10_000
_TIMEOUT_SECONDS = 30
_CHUNK_BYTES = 2**17

Images = NDArray[np.uint8]
Labels = NDArray[Any]


@dataclass(frozen=True)
class LabelledImages:
    """A data set in memory.

    Attributes:
        training_images: uint8, shape (n, height, width, channels), values 0..255.
        training_labels: what is right. Classification: int32, shape (n,), 0..classes-1. Segmentation: uint8 or int32,
            shape (n, height, width), likewise. Regression: float32, shape (n, k).
        test_images: likewise.
        test_labels: likewise.
        class_names: what the labels mean; empty for Regression.
        facts: name, digest and sizes, for the manifest.
    """

    training_images: Images
    training_labels: Labels
    test_images: Images
    test_labels: Labels
    class_names: tuple[str, ...]
    facts: manifest.Dataset


def load_dataset(
    name: recipe.Dataset,
    environment: Mapping[str, str],
    progress: Progress,
    interruption: Interruption | None = None,
) -> LabelledImages:
    """The data set of that name.

    Args:
        name: CIFAR10 or Digits.
        environment: read for MODELPRESS_DATA, and HOME or XDG_CACHE_HOME for the download.
        progress: told what is being done.
        interruption: ends a download when the process is asked to end.

    Raises:
        DataError: when files are missing or altered, DownloadError when the download did not arrive whole.
    """
    if name == "Digits":
        return load_digits()
    given = environment.get(DATA_VARIABLE)
    if given:
        return read_cifar10(_find_folder(Path(given)))
    cache = Path(environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "~")).expanduser() / ".cache")
    folder = cache / "modelpress" / FOLDER
    if not (folder / TEST_FILE).exists():
        download_cifar10(folder.parent, progress, interruption)
    return read_cifar10(folder)


def load_digits() -> LabelledImages:
    """The 1,797 digits of 8x8 pixels that come with scikit-learn; the last 360 are the test images."""
    from sklearn import datasets

    bunch: Any = datasets.load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    labels = bunch.target.astype(np.int32)
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    training = len(images) - 360
    return LabelledImages(
        images[:training],
        labels[:training],
        images[training:],
        labels[training:],
        tuple(str(digit) for digit in range(10)),
        manifest.Dataset(
            name="scikit-learn digits", digest=f"sha256:{digest}", training_images=training, test_images=360
        ),
    )


def _find_folder(given: Path) -> Path:
    """The folder with the binary files: the one that was given, or the published folder in it."""
    for folder in (given / FOLDER, given):
        if (folder / TRAINING_FILES[0]).exists():
            return folder
    raise DataError(
        f"{DATA_VARIABLE}={given}: no {TRAINING_FILES[0]} there nor in {FOLDER}/; name the folder that holds the"
        " published binary version, or unset the variable to download it"
    )


def read_cifar10(folder: Path) -> LabelledImages:
    """CIFAR-10 from its binary files: a label byte, then 1024 red, green and blue bytes, row-major.

    Raises:
        DataError: when a file is missing or has another length than 10,000 records.
    """
    files = {name: _read_records(folder / name) for name in (*TRAINING_FILES, TEST_FILE)}
    training = np.concatenate([files[name] for name in TRAINING_FILES])
    test = files[TEST_FILE]
    images = [rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) for rows in (training, test)]
    whole = hashlib.sha256()
    for rows in files.values():
        whole.update(rows.tobytes())
    return LabelledImages(
        np.ascontiguousarray(images[0]),
        training[:, 0].astype(np.int32),
        np.ascontiguousarray(images[1]),
        test[:, 0].astype(np.int32),
        CIFAR10_LABELS,
        manifest.Dataset(
            name=_name_copy(files),
            digest=f"sha256:{whole.hexdigest()}",
            training_images=len(training),
            test_images=len(test),
        ),
    )


def _read_records(path: Path) -> Images:
    expected = _RECORDS_A_FILE * _RECORD_BYTES
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: missing; the binary version has six files, unpack it again") from error
    if size != expected:
        raise DataError(f"{path}: {size:,} bytes where {expected:,} are expected; the copy is cut off, fetch it again")
    return np.fromfile(path, np.uint8).reshape(_RECORDS_A_FILE, _RECORD_BYTES)


def _name_copy(files: Mapping[str, Images]) -> str:
    """What to call the data in a result: the published set, a re-encoded copy of it, or neither."""
    if all(hashlib.sha256(rows.tobytes()).hexdigest() == _PUBLISHED_SHA256[name] for name, rows in files.items()):
        return "CIFAR-10"
    labels = hashlib.sha256()
    for rows in files.values():
        labels.update(rows[:, 0].tobytes())
    if labels.hexdigest() == _LABELS_SHA256:
        return "CIFAR-10, re-encoded copy (not the published pixels)"
    return "images in the layout of CIFAR-10 (neither its labels nor its pixels)"


def download_cifar10(
    parent: Path,
    progress: Progress,
    interruption: Interruption | None = None,
    *,
    url: str = _ARCHIVE_URL,
    size: int = _ARCHIVE_BYTES,
    sha256: str = _ARCHIVE_SHA256,
) -> None:
    """Fetch the published archive, check it and unpack it into the folder `cifar-10-batches-bin` of `parent`.

    Raises:
        DownloadError: when it cannot be reached, ends early or has another checksum; nothing is left behind.
        BuildInterruptedError: when the process is asked to end; likewise.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".download.") as half:
        archive = Path(half) / "archive.tar.gz"
        found = _fetch(url, archive, size, Download("CIFAR-10", size, progress, interruption))
        if found != sha256:
            raise DownloadError(
                f"{url}: SHA-256 is {found}, not the published {sha256}; try again, or set {DATA_VARIABLE}"
            )
        _extract_files(archive, Path(half))
        (Path(half) / FOLDER).replace(parent / FOLDER)


def _extract_files(archive: Path, target: Path) -> None:
    """The six binary files and nothing else of the archive."""
    (target / FOLDER).mkdir()
    with tarfile.open(archive) as tar:
        for name in (*TRAINING_FILES, TEST_FILE):
            member = tar.extractfile(f"{FOLDER}/{name}")
            if member is None:
                raise DownloadError(f"{FOLDER}/{name} in the archive is no file; fetch it again")
            with member, (target / FOLDER / name).open("wb") as out:
                shutil.copyfileobj(member, out)


def _fetch(url: str, target: Path, size: int, download: Download) -> str:
    """Write the body to the target and return its SHA-256."""
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response, target.open("wb") as out:  # noqa: S310
            while chunk := response.read1(_CHUNK_BYTES):
                out.write(chunk)
                digest.update(chunk)
                download.count(len(chunk))
    except (http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(
            f"{url}: cannot be downloaded ({reason}); set {DATA_VARIABLE} to a folder that holds {FOLDER}"
        ) from error
    if download.received_bytes != size:
        received = f"{download.received_bytes:,} of {size:,} bytes"
        raise DownloadError(f"{url}: ended after {received}; try again, or set {DATA_VARIABLE}")
    return digest.hexdigest()
