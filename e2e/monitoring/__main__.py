"""`python -m monitoring`: prints the name of the image and its archive, a line each; progress on stderr."""

import sys

from images.steps import report_build, tell_on_stderr

from monitoring.errors import MonitoringError
from monitoring.image import write_image


def build() -> str:
    """Both names; the image is built when it is not there."""
    image = write_image(tell_on_stderr)
    return f"{image.name}\n{image.archive}"


if __name__ == "__main__":
    sys.exit(report_build("monitoring", build, MonitoringError))
