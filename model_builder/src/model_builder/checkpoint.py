"""Saves a training in a folder, so that it goes on bit for bit where it stopped, and keeps what came out of it.

    checkpoint.npz   a training under way: weights, momentum, masks, random states, sums, and the best weights so far
    trained.npz      a training that is done: the deployed weights, kernels as integer codes

Each appears whole, by a rename. Order and shifts of the images follow from the seed and the step, so they are not here.
"""

import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from model_artifact.manifest import Epoch, Surroundings
from model_artifact.recipe import Contract, Export, Recipe, is_absent
from model_builder.errors import CheckpointError

CHECKPOINT_FILE = "checkpoint.npz"
TRAINED_FILE = "trained.npz"
SECONDS_BETWEEN_SAVES = 600.0

_DOCUMENT = "document"

Arrays = Mapping[str, list[NDArray[Any]]]


class Position(Contract):
    """How far a training is.

    Attributes:
        recipe: its recipe, for people.
        training_digest: what must be the same to go on; see `digest_training`.
        data_digest: likewise, of the data set.
        backend: likewise, since random states differ.
        steps: that are done in all.
        seconds: that they took, of which `epoch_seconds` since the epoch began.
        curve: of the epochs that are done.
        best_epoch: whose weights are kept beside the last; absent where none are.
        finished: whether nothing is left to train.
        trained_on: what it ran on, in turn; absent where older versions began it.
    """

    format_version: Literal[1] = 1
    recipe: Recipe
    training_digest: str
    data_digest: str
    backend: str
    steps: int
    seconds: float
    epoch_seconds: float
    curve: tuple[Epoch, ...]
    best_epoch: int | None = None
    finished: bool = False
    trained_on: Annotated[tuple[Surroundings, ...] | None, Field(exclude_if=is_absent)] = None


def digest_training(recipe: Recipe) -> str:
    """The recipe's digest, whatever form the trained network is exported in."""
    return recipe.model_copy(update={"export": Export()}).digest


@dataclass(frozen=True)
class Checkpoints:
    """Where a training saves itself, and how often."""

    folder: Path
    seconds_between: float = SECONDS_BETWEEN_SAVES

    def read(self, expected: Position) -> tuple[Position, dict[str, list[NDArray[Any]]]] | None:
        """What is saved here, the finished training before the one under way; None where nothing is.

        Args:
            expected: whose recipe, data and backend the saved training must have.

        Raises:
            CheckpointError: when it is of another recipe or other data, or cannot be read.
        """
        for name in (TRAINED_FILE, CHECKPOINT_FILE):
            path = self.folder / name
            if path.exists():
                position, arrays = read_arrays(path)
                _check_same(path, position, expected)
                return position, arrays
        return None

    def write(self, position: Position, arrays: Arrays) -> None:
        """Save a training under way, or one that is done, which replaces the former."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not position.finished:
            write_arrays(self.folder / CHECKPOINT_FILE, position, arrays, compressed=False)
            return
        write_arrays(self.folder / TRAINED_FILE, position, arrays, compressed=True)
        (self.folder / CHECKPOINT_FILE).unlink(missing_ok=True)

    def describe(self) -> str:
        """What is saved here, as the end of a sentence."""
        if any((self.folder / name).exists() for name in (TRAINED_FILE, CHECKPOINT_FILE)):
            return f"the training that is saved in {self.folder} goes on from there"
        return "nothing was trained that could be saved"

    def clear(self) -> None:
        """Forget what is saved here."""
        for name in (TRAINED_FILE, CHECKPOINT_FILE):
            (self.folder / name).unlink(missing_ok=True)


def write_arrays(path: Path, position: Position, arrays: Arrays, *, compressed: bool) -> None:
    """Write them durably under a name that appears with the whole content."""
    named = {f"{name}/{index:04}": value for name, values in arrays.items() for index, value in enumerate(values)}
    named[_DOCUMENT] = np.frombuffer(position.model_dump_json(by_alias=True).encode(), np.uint8)
    half = path.with_name(f".{path.name}.half")
    save = np.savez_compressed if compressed else np.savez
    with half.open("wb") as out:
        save(out, **named)  # type: ignore[arg-type]
        out.flush()
        os.fsync(out.fileno())
    half.replace(path)


def read_arrays(path: Path) -> tuple[Position, dict[str, list[NDArray[Any]]]]:
    """What `write_arrays` wrote.

    Raises:
        CheckpointError: when it is something else or damaged.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            named = {name: stored[name] for name in stored.files}
        position = Position.model_validate_json(named.pop(_DOCUMENT).tobytes())
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, ValidationError) as error:
        raise CheckpointError(f"{path}: no saved training, or damaged; remove it to train anew") from error
    arrays: dict[str, list[NDArray[Any]]] = {}
    for name in sorted(named):
        arrays.setdefault(name.partition("/")[0], []).append(named[name])
    return position, arrays


def _check_same(path: Path, found: Position, expected: Position) -> None:
    for field, what in (("training_digest", "recipe"), ("data_digest", "data"), ("backend", "Keras backend")):
        if field == "backend" and found.finished:
            continue
        have, want = getattr(found, field), getattr(expected, field)
        if have != want:
            raise CheckpointError(
                f"{path}: saved with another {what} ({have}) than is asked for ({want}); name another folder"
            )
