"""Loads TensorFlow, which takes seconds and says much on stderr that helps nobody."""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_artifact.manifest import Manifest
from model_artifact.recipe import Recipe
from model_artifact.summary import BuildProgress
from model_builder.progress import Progress


def load_and_build(
    recipe: Recipe, target: Path, environment: Mapping[str, str], progress: Progress, **options: Any
) -> Manifest:
    """`pipeline.build`, imported quietly; the options are its own.

    Raises:
        BuildError, ArtifactError: as the pipeline raises them.
    """
    progress(BuildProgress(phase="Loading", message="loading TensorFlow"))
    with quiet_stderr():
        from model_builder.pipeline import build
    return build(recipe, target, environment, progress, **options).manifest


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what TensorFlow's libraries write while they load, and show it only when loading fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
