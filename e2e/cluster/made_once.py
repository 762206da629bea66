"""Folders that are long to make: made whole or not at all, and by one process however many need them at once."""

import fcntl
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

Tell = Callable[[str], None]


def make_once(target: Path, files: Sequence[str], make: Callable[[Path], None], tell: Tell) -> Path:
    """The folder `target` with all `files` in it, made when one of them is missing.

    Args:
        target: what it becomes; while it is made it has another name beside it.
        files: their paths in the folder, which show that it is whole.
        make: fills an empty folder; when it fails nothing is left.
        tell: is given a line of progress when another process is waited for.
    """

    def is_there() -> bool:
        return all((target / file).exists() for file in files)

    if is_there():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with only_one(target.with_name(f".{target.name}.lock"), tell):
        if not is_there():
            _replace(target, make)
    return target


@contextmanager
def only_one(lock: Path, tell: Tell) -> Iterator[None]:
    """Hold the lock, a file; a second process waits for the first, which gives it back however it ends."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"another process works in {lock.parent}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _replace(target: Path, make: Callable[[Path], None]) -> None:
    half = target.with_name(f".{target.name}.half")
    shutil.rmtree(half, ignore_errors=True)  # of a process that was killed
    half.mkdir()
    try:
        make(half)
        shutil.rmtree(target, ignore_errors=True)
        half.rename(target)
    finally:
        shutil.rmtree(half, ignore_errors=True)
