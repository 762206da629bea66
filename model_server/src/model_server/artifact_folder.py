"""Base paths that are artifacts, in a file or at a URI, each unpacked into a folder that goes when nothing needs it."""

import itertools
import logging
import shutil
import tempfile
import threading
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Self

from model_server.errors import LoadError
from model_server.versions import OWN_VERSION

_LOGGER = logging.getLogger(__name__)
_SCHEME = "://"

# What says without reading it that a file is another one, or was written to; None for a URI, which is read once.
Identity = tuple[int, int, int, int] | None


class UnpackedArtifacts:
    """Folders that stand for base paths; each artifact is unpacked once, and verified byte for byte while it is.

    A file that was replaced is another artifact. A URI is taken at its word: what lies there is not looked at again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._root: Path | None = None
        self._numbers = itertools.count()
        self._folders: dict[str, tuple[Identity, Path]] = {}
        self._failed: dict[str, tuple[Identity, str]] = {}

    def resolve(self, base_path: str) -> Path:
        """The folder itself, or the one that the artifact as it is now was unpacked to, as its version 1.

        A file that is away stands for what it was.

        Raises:
            LoadError: The artifact cannot be read, or is damaged.
        """
        with self._lock:
            return self._resolve(base_path)

    def resolve_again(self, base_path: str) -> Path:
        """As `resolve`; what could not be unpacked fails with the same words until it is another file.

        Raises:
            LoadError: The artifact cannot be read, or is damaged.
        """
        with self._lock:
            failed = self._failed.get(base_path)
            if failed is not None and failed[0] == _read_identity(base_path):
                raise LoadError(failed[1])
            return self._resolve(base_path)

    def keep(self, folders: AbstractSet[Path]) -> None:
        """Remove every other folder; a version that was loaded from one answers on without it."""
        with self._lock:
            for base_path, (_, folder) in list(self._folders.items()):
                if folder not in folders:
                    del self._folders[base_path]
            if self._root is not None:
                for folder in self._root.iterdir():
                    if folder not in folders:
                        shutil.rmtree(folder, ignore_errors=True)

    def _resolve(self, base_path: str) -> Path:
        identity, known = _read_identity(base_path), self._folders.get(base_path)
        if _SCHEME not in base_path and identity is None:
            return Path(base_path) if known is None or Path(base_path).exists() else known[1]
        if known is None or known[0] != identity:
            try:
                known = identity, self._unpack(base_path)
            except LoadError as error:
                self._failed[base_path] = identity, str(error)
                raise
            self._folders[base_path] = known
            self._failed.pop(base_path, None)
        return known[1]

    def _unpack(self, base_path: str) -> Path:
        # A server of plain folders starts without these.
        from model_artifact.errors import ArtifactError
        from model_artifact.location import parse_location
        from model_artifact.unpacking import unpack

        folder: Path | None = None
        try:
            folder = self._choose_folder()
            unpack(parse_location(base_path), folder / str(OWN_VERSION))
        except Exception as error:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            problem = str(error)
            if not isinstance(error, (ArtifactError, OSError)):
                # Whatever an artifact provokes is its own trouble: others are served, and it is not unpacked again.
                _LOGGER.exception("unpacking %s failed", base_path)
                problem = "the server failed at it, and its log says where"
            raise LoadError(f"The artifact {base_path} cannot be unpacked: {problem}.") from error
        return folder

    def _choose_folder(self) -> Path:
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="model-server-"))
        return self._root / str(next(self._numbers))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)


def _read_identity(base_path: str) -> Identity:
    """The file's, or None where it is none."""
    if _SCHEME in base_path:
        return None
    path = Path(base_path)
    try:
        if not path.is_file():
            return None
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
