"""A user's own images: an .npz file with x_train, y_train, x_test and y_test."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from model_artifact import manifest
from model_builder.dataset import LabelledImages
from model_builder.errors import DataError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
NAMES = "class_names"
_LARGEST_LABEL = 2**31 - 1
Array = NDArray[Any]


def read_given_data(path: Path, digest: str) -> LabelledImages:
    """The images of an .npz file; nothing in it is unpickled, so nothing in it runs.

    Args:
        path: with uint8 images (n, height, width, channels) or (n, height, width), pixels 0..255, as x_train and
            x_test; whole labels from 0, shape (n,) or (n, 1), as y_train and y_test; and, when there are any, the names
            of the classes as class_names.
        digest: of the file.

    Raises:
        DataError: naming the array that is missing or has another shape, type or range, and what it must be.
    """
    arrays = _read_arrays(path)
    training, test = (_check_images(path, name, arrays[name]) for name in ("x_train", "x_test"))
    labels = [_check_labels(path, name, arrays[name], arrays[f"x{name[1:]}"]) for name in ("y_train", "y_test")]
    if training.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{path}: x_train has images of {training.shape[1:]}, x_test of {test.shape[1:]}; make them alike"
        )
    classes = 1 + int(max(part.max() for part in labels))
    return LabelledImages(
        training,
        labels[0],
        test,
        labels[1],
        _check_names(path, arrays, classes),
        manifest.Dataset(name=path.stem, digest=digest, training_images=len(training), test_images=len(test)),
    )


def _read_arrays(path: Path) -> dict[str, Array]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise DataError(f"{path}: holds one array without a name; write it by numpy.savez_compressed")
        with loaded as file:
            missing = [name for name in ARRAYS if name not in file.files]
            if missing:
                raise DataError(f"{path}: has no {missing[0]}; it must hold {', '.join(ARRAYS)}")
            return {name: file[name] for name in (*ARRAYS, NAMES) if name in file.files}
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as .npz ({error}); write it by numpy.savez_compressed") from error


def _check_images(path: Path, name: str, images: Array) -> NDArray[np.uint8]:
    if images.dtype != np.uint8:
        raise DataError(f"{path}: {name} is {images.dtype}, but pixels must be uint8, 0 to 255; scale and round them")
    if images.ndim not in {3, 4} or 0 in images.shape:
        raise DataError(
            f"{path}: {name} has shape {images.shape}; it must be (n, height, width[, channels]), n above 0"
        )
    return np.ascontiguousarray(images if images.ndim == 4 else images[..., np.newaxis])


def _check_labels(path: Path, name: str, labels: Array, images: Array) -> NDArray[np.int32]:
    if labels.dtype.kind not in "iu":
        raise DataError(
            f"{path}: {name} is {labels.dtype}, but labels must be whole numbers from 0; number the classes"
        )
    if labels.size != len(labels) or len(labels) != len(images):
        raise DataError(f"{path}: {name} has shape {labels.shape} for {len(images)} images; give one label for each")
    if int(labels.min()) < 0 or int(labels.max()) > _LARGEST_LABEL:
        raise DataError(f"{path}: {name} has labels from {labels.min()} to {labels.max()}; number the classes from 0")
    return labels.reshape(-1).astype(np.int32)


def _check_names(path: Path, arrays: Mapping[str, Array], classes: int) -> tuple[str, ...]:
    """The names of the classes: those that are given, or their numbers."""
    if NAMES not in arrays:
        return tuple(str(label) for label in range(classes))
    names = arrays[NAMES]
    if names.dtype.kind != "U" or names.ndim != 1 or len(names) < classes:
        raise DataError(f"{path}: {NAMES} must be {classes} texts or more, one for each label in order")
    if any("\n" in name for name in names.tolist()):
        raise DataError(f"{path}: {NAMES} has a line break in a name; write each name on one line")
    return tuple(names.tolist())
