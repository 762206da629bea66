"""A base path that is an artifact, in a file or at a URI, unpacked into a folder that goes with the process."""

import shutil
import tempfile
import threading
from pathlib import Path
from typing import Self

from model_server.errors import LoadError
from model_server.versions import OWN_VERSION

_SCHEME = "://"


class UnpackedArtifacts:
    """Folders that stand for base paths; each artifact is unpacked once, and verified byte for byte while it is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._root: Path | None = None
        self._folders: dict[str, Path] = {}

    def resolve(self, base_path: str) -> Path:
        """The folder itself, or the one that an artifact was unpacked to, as its version 1.

        Raises:
            LoadError: The artifact cannot be read, or is damaged.
        """
        if _SCHEME not in base_path and not Path(base_path).is_file():
            return Path(base_path)
        with self._lock:
            if base_path not in self._folders:
                self._folders[base_path] = self._unpack(base_path)
            return self._folders[base_path]

    def _unpack(self, base_path: str) -> Path:
        # A server of plain folders starts without these.
        from model_artifact.errors import ArtifactError
        from model_artifact.location import parse_location
        from model_artifact.unpacking import unpack

        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="model-server-"))
        folder = self._root / str(len(self._folders))
        try:
            unpack(parse_location(base_path), folder / str(OWN_VERSION))
        except (ArtifactError, OSError) as error:
            raise LoadError(f"The artifact {base_path} cannot be unpacked: {error}.") from error
        return folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
