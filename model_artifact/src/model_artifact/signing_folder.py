"""What stands in a version folder: every file and its SHA-256, as a signature names them."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from model_artifact.errors import SigningError
from model_artifact.naming import format_name


def hash_folder(folder: Path, progress: Callable[[str], None] = lambda _: None) -> dict[str, str]:
    """SHA-256 in hex of each file below the folder, by its relative path; empty folders do not count.

    Raises:
        SigningError: when there is something else, such as a link, or a name that is not UTF-8.
        OSError: when something cannot be read.
    """
    digests = {}
    for top, folders, names in os.walk(folder, onerror=_raise):
        for name in (*folders, *names):
            _check_plain(Path(top, name))
        for name in names:
            path = Path(top, name)
            progress(f"hashing {path}")
            with path.open("rb") as data:
                digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(data, "sha256").hexdigest()
    return digests


def _check_plain(path: Path) -> None:
    if path.is_symlink() or not (path.is_dir() or path.is_file()):
        raise SigningError(f"{path}: neither a file nor a folder; a model holds nothing else")
    if not path.name.isascii():
        try:
            path.name.encode()
        except UnicodeEncodeError as error:
            raise SigningError(f"{format_name(str(path))}: its name is not UTF-8; rename it") from error


def _raise(error: OSError) -> None:
    raise error
