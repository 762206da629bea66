"""The image, from the cache that `python -m monitoring` uses; only the first run fetches the package."""

import pytest
from images.steps import tell_on_stderr

from monitoring.image import write_image


@pytest.fixture(scope="session")
def prometheus_image():
    """Name, archive and programs."""
    return write_image(tell_on_stderr)
