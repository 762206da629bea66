"""Where a build in a cluster saves its training, so that its next attempt goes on from there."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_builder.checkpoint import CHECKPOINT_FILE, TRAINED_FILE, Checkpoints

_LOCK_FILE = "lock"


@contextmanager
def own_checkpoints(folder: Path | None) -> Iterator[Checkpoints | None]:
    """Checkpoints in a folder that no other build uses meanwhile; None where there is none, or another build has it.

    A folder in which nothing was saved leaves with the build; one with a training stays, unless `clear` was called.
    """
    if folder is None:
        yield None
        return
    folder.mkdir(exist_ok=True)
    with (folder / _LOCK_FILE).open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held by another build of the recipe, or the volume knows no locks
            yield None
            return
        try:
            yield Checkpoints(folder)
        finally:
            if not any((folder / name).exists() for name in (CHECKPOINT_FILE, TRAINED_FILE)):
                shutil.rmtree(folder, ignore_errors=True)
