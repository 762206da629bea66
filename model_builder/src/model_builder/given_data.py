"""A user's own images: an .npz file with x_train, y_train, x_test and y_test.

What y holds depends on the task: a class for each image, numbers for each image, or a class for each pixel.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from model_artifact import manifest
from model_artifact.recipe import Task
from model_builder.dataset import LabelledImages
from model_builder.errors import DataError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
NAMES = "class_names"
_LARGEST_LABEL = 2**31 - 1
Array = NDArray[Any]


def read_given_data(path: Path, digest: str, task: Task = "Classification") -> LabelledImages:
    """The images of an .npz file; nothing in it is unpickled, so nothing in it runs.

    Args:
        path: with uint8 images (n, height, width, channels) or (n, height, width), pixels 0..255, as x_train and
            x_test; as y_train and y_test, for Classification whole labels from 0, shape (n,) or (n, 1), for Regression
            finite numbers, shape (n,) or (n, k), for Segmentation whole labels from 0, shape (n, height, width) or
            (n, height, width, 1); and, when there are any, the names of the classes as class_names.
        digest: of the file.
        task: what is learnt.

    Raises:
        DataError: naming the array that is missing or has another shape, type or range, and what it must be.
    """
    arrays = _read_arrays(path)
    training, test = (_check_images(path, name, arrays[name]) for name in ("x_train", "x_test"))
    check = {"Classification": _check_labels, "Regression": _check_numbers, "Segmentation": _check_pixels}[task]
    labels = [check(path, name, arrays[name], len(arrays[f"x{name[1:]}"])) for name in ("y_train", "y_test")]
    if training.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{path}: x_train has images of {training.shape[1:]}, x_test of {test.shape[1:]}; make them alike"
        )
    if labels[0].shape[1:] != labels[1].shape[1:]:
        raise DataError(
            f"{path}: y_train has {labels[0].shape[1:]} for an image, y_test {labels[1].shape[1:]}; make them alike"
        )
    return LabelledImages(
        training,
        labels[0],
        test,
        labels[1],
        _check_names(path, arrays, labels, task),
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


def _check_labels(path: Path, name: str, labels: Array, images: int) -> NDArray[np.int32]:
    _check_whole(path, name, labels)
    if labels.size != len(labels) or len(labels) != images:
        raise DataError(f"{path}: {name} has shape {labels.shape} for {images} images; give one label for each")
    return labels.reshape(-1).astype(np.int32)


def _check_pixels(path: Path, name: str, labels: Array, images: int) -> Array:
    _check_whole(path, name, labels)
    plain = labels[..., 0] if labels.ndim == 4 and labels.shape[-1] == 1 else labels
    if plain.ndim != 3 or len(plain) != images:
        raise DataError(
            f"{path}: {name} has shape {labels.shape} for {images} images; it must be (n, height, width), a label for"
            " each pixel"
        )
    narrow = np.uint8 if int(plain.max()) <= np.iinfo(np.uint8).max else np.int32
    return np.ascontiguousarray(plain, narrow)


def _check_numbers(path: Path, name: str, numbers: Array, images: int) -> NDArray[np.float32]:
    if numbers.dtype.kind not in "iuf":
        raise DataError(f"{path}: {name} is {numbers.dtype}, but Regression learns numbers; write them as float32")
    if numbers.ndim not in {1, 2} or len(numbers) != images or 0 in numbers.shape:
        raise DataError(
            f"{path}: {name} has shape {numbers.shape} for {images} images; it must be (n,) or (n, k), numbers for each"
        )
    with np.errstate(over="ignore"):
        found = numbers.reshape(images, -1).astype(np.float32)
    if not np.isfinite(found).all():
        raise DataError(f"{path}: {name} holds what is no number or passes float32; leave those images out")
    return found


def _check_whole(path: Path, name: str, labels: Array) -> None:
    if labels.dtype.kind not in "iu":
        raise DataError(
            f"{path}: {name} is {labels.dtype}, but labels must be whole numbers from 0; number the classes"
        )
    if 0 in labels.shape:
        raise DataError(f"{path}: {name} has shape {labels.shape}, and holds no label; give some")
    if int(labels.min()) < 0 or int(labels.max()) > _LARGEST_LABEL:
        raise DataError(f"{path}: {name} has labels from {labels.min()} to {labels.max()}; number the classes from 0")


def _check_names(path: Path, arrays: Mapping[str, Array], labels: Sequence[Array], task: Task) -> tuple[str, ...]:
    """The names of the classes: those that are given, or their numbers; none where there are no classes."""
    if task == "Regression":
        if NAMES in arrays:
            raise DataError(f"{path}: has {NAMES}, but Regression has no classes; leave them out")
        return ()
    classes = 1 + int(max(part.max() for part in labels))
    if NAMES not in arrays:
        return tuple(str(label) for label in range(classes))
    names = arrays[NAMES]
    if names.dtype.kind != "U" or names.ndim != 1 or len(names) < classes:
        raise DataError(f"{path}: {NAMES} must be {classes} texts or more, one for each label in order")
    if any("\n" in name for name in names.tolist()):
        raise DataError(f"{path}: {NAMES} has a line break in a name; write each name on one line")
    return tuple(names.tolist())
