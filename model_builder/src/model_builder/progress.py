"""How a build tells what it does: structured at the source, numbers for the operator, a sentence for people."""

from collections.abc import Callable
from typing import TextIO

from model_artifact.summary import BuildProgress, format_document

Progress = Callable[[BuildProgress], None]
"""Takes each step as it begins, and every few seconds how far training is; `message` is all of it for a person."""


def tell_on(stream: TextIO) -> Progress:
    """Tells a sentence where the stream is a terminal, and a line of JSON elsewhere."""

    def tell(progress: BuildProgress) -> None:
        print(progress.message if stream.isatty() else format_document(progress), file=stream, flush=True)

    return tell


def tell_all(*listeners: Progress) -> Progress:
    """Tells each of them."""

    def tell(progress: BuildProgress) -> None:
        for listener in listeners:
            listener(progress)

    return tell
