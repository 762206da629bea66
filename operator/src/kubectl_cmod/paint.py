"""Colours, on a terminal alone."""

import os
from typing import TextIO

GOOD, DOING, BAD, FAINT = "32", "33", "31", "2"


class Paint:
    """Colours words, or leaves them as they are."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def __call__(self, text: str, colour: str) -> str:
        """The text in that colour."""
        return f"\033[{colour}m{text}\033[0m" if self._colours and text else text


def choose_paint(stream: TextIO) -> Paint:
    """Colours where the stream is a terminal that knows them and nobody asked for none (no-color.org)."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Paint(colours=wanted and stream.isatty())
