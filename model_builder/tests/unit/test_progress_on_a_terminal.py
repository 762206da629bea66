import io

from model_artifact.summary import BuildProgress
from model_builder.progress import tell_on


class Terminal(io.StringIO):
    """A stream that people look at."""

    def isatty(self):
        """Always."""
        return True


def tell_all(stream):
    for message in ("downloading X: 4 %, 1 MB/s", "downloading X: 100 %, 1 MB/s", "packing"):
        tell_on(stream)(BuildProgress(phase="Loading", message=message))
    return stream.getvalue()


def test_on_a_terminal_a_download_is_one_line():
    told = tell_all(Terminal())
    assert told == "\x1b[Kdownloading X: 4 %, 1 MB/s\r\x1b[Kdownloading X: 100 %, 1 MB/s\n\x1b[Kpacking\n"


def test_elsewhere_everything_is_a_line_of_json():
    lines = tell_all(io.StringIO()).splitlines()
    told = [BuildProgress.model_validate_json(line).message for line in lines]
    assert told == ["downloading X: 4 %, 1 MB/s", "downloading X: 100 %, 1 MB/s", "packing"]
