"""Writing an artifact where it belongs: at its path, or into a bucket when it is whole."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from model_artifact.location import Location
from model_artifact.sources import open_bucket


@contextmanager
def writable_file(target: Location, progress: Callable[[str], None]) -> Iterator[Path]:
    """Where to write the artifact; what a bucket gets is uploaded at the end of the block, unless the block fails.

    Raises:
        StoreAccessError: before the block when the environment has nothing to reach the bucket with; after it when the
            upload fails, and then no object has appeared.
    """
    if isinstance(target, Path):
        yield target
        return
    bucket = open_bucket(target.bucket)
    with tempfile.TemporaryDirectory(prefix="model-artifact-") as scratch:
        file = Path(scratch) / "artifact.zip"
        yield file
        progress(f"uploading {file.stat().st_size:,} bytes to {target}")
        bucket.upload(file, target.key)
