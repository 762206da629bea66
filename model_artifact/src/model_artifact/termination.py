"""A container's last words: the file that Kubernetes reads when it ends, and what stands in it."""

import os
import threading
from pathlib import Path

from model_artifact.summary import Handover, format_document


class TerminationLog:
    """Takes one document: the first that is written, by whichever thread, stays.

    Open from the start, so that no work is done for nothing.
    """

    def __init__(self, path: Path) -> None:
        """Open the file and empty it; one that exists stays the same file, as /dev/termination-log must.

        Raises:
            OSError: when it cannot be written.
        """
        self._out = path.open("wb")
        self._first = threading.Lock()

    def write(self, document: Handover) -> None:
        """Leave the document, unless there is one already."""
        if self._first.acquire(blocking=False):
            self._out.write(format_document(document).encode() + b"\n")
            self._out.flush()

    def close(self) -> None:
        """Close the file."""
        self._out.close()


def format_os_error(error: OSError) -> str:
    """What the operating system refused, where, and what to look at, in one sentence."""
    words = (error.strerror or str(error)).lower()
    if error.filename is None:
        return f"{words}; check the free space and the health of the volumes"
    user = f" for user {os.geteuid()}" if isinstance(error, PermissionError) else ""
    return f"{os.fsdecode(error.filename)}: {words}{user}; check the path, its permissions and the volume behind it"
