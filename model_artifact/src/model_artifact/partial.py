"""Files and folders that appear whole or not at all, and the removal of those that a killed process left half made."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(target: Path) -> Iterator[IO[bytes]]:
    """A file beside the target, which takes its name, durable, at the end of the block; removed when that fails."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as out:
        try:
            yield out
            out.flush()
            os.fsync(out.fileno())
            Path(out.name).chmod(0o644)
            Path(out.name).replace(target)
        except BaseException:
            Path(out.name).unlink(missing_ok=True)
            raise


@contextmanager
def partial_folder(target: Path) -> Iterator[Path]:
    """A new folder beside the target, for its user to rename to it; removed when that did not happen.

    Its name begins with a dot and is locked as long as its process lives. So those of processes that were killed are
    known for what they are, and removed here; one that another process is filling is left alone.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}.partial-"
    for path in target.parent.iterdir():
        if path.name.startswith(prefix):
            _remove_abandoned(path)
    half = Path(tempfile.mkdtemp(dir=target.parent, prefix=prefix))
    lock = os.open(half, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks has none to respect either
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield half
    finally:
        shutil.rmtree(half, ignore_errors=True)
        os.close(lock)


def _remove_abandoned(folder: Path) -> None:
    with suppress(OSError):  # locked by a living process, or gone meanwhile
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        finally:
            os.close(lock)
