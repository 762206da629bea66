"""Keeps a folder to one process at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_builder.errors import BuildError


class FolderBusyError(BuildError):
    """Another process builds or trains in the folder."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep others out of a folder, which is made where it is missing, for as long as this process lives at most.

    Raises:
        FolderBusyError: when another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise FolderBusyError(f"{folder}: another process builds here; wait for it or name another folder") from error
    else:
        yield
    finally:
        os.close(descriptor)
