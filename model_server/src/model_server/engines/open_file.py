"""A file that stays what it is: also where another one has taken its name meanwhile, or it was deleted."""

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_server.errors import LoadError

_DESCRIPTORS = Path("/proc/self/fd")


class OpenFile:
    """A model's file, open until `close`, or until nobody refers to it any more.

    A runtime takes names only, and copies of a graph are prepared when requests ask for them: long after the version
    was loaded, and when it is being replaced perhaps after its files were deleted.
    """

    def __init__(self, file: Path) -> None:
        """Open it.

        Raises:
            LoadError: It cannot be opened.
        """
        self.file = file
        try:
            self._descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise LoadError(f"{file} cannot be opened: {error.strerror or error}.") from error
        self._close = weakref.finalize(self, os.close, self._descriptor)
        self._closing = threading.Lock()

    @contextmanager
    def name(self) -> Iterator[Path]:
        """A name of the file for as long as the block takes; elsewhere than on Linux its own.

        Raises:
            LoadError: It is closed.
        """
        with self._closing:
            if not self._close.alive:
                raise LoadError(f"{self.file} is closed: its version is being unloaded.")
            descriptor = os.dup(self._descriptor)
        try:
            yield _DESCRIPTORS / str(descriptor) if _DESCRIPTORS.exists() else self.file
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of it; once is enough."""
        with self._closing:
            self._close()
