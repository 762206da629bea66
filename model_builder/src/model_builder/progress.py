"""How a build tells what it does: structured at the source, numbers for the operator, a sentence for people."""

from collections.abc import Callable
from typing import TextIO

from model_artifact.summary import BuildProgress, format_document

Progress = Callable[[BuildProgress], None]
"""Takes each step as it begins, and every few seconds how far training is; `message` is all of it for a person."""

DOWNLOADING = "downloading "
"""How every sentence of a download begins; on a terminal each replaces the one before."""
_CLEAR = "\x1b[K"
"""Takes away what stands in the line."""


def tell_on(stream: TextIO) -> Progress:
    """Tells a sentence where the stream is a terminal, and a line of JSON elsewhere."""

    def tell(progress: BuildProgress) -> None:
        if stream.isatty():
            print(f"{_CLEAR}{progress.message}", file=stream, flush=True, end="\r" if _is_passing(progress) else "\n")
        else:
            print(format_document(progress), file=stream, flush=True)

    return tell


def _is_passing(progress: BuildProgress) -> bool:
    """Whether the next sentence takes its place."""
    return progress.message.startswith(DOWNLOADING) and ": 100 %" not in progress.message


def tell_all(*listeners: Progress) -> Progress:
    """Tells each of them."""

    def tell(progress: BuildProgress) -> None:
        for listener in listeners:
            listener(progress)

    return tell
