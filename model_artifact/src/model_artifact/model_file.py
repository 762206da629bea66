"""A .tflite file on its own -> artifact."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from model_artifact.errors import UnpackableError
from model_artifact.manifest import Manifest
from model_artifact.packing import MODEL_FILE, pack


def pack_model_file(model: Path, target: Path, *, progress: Callable[[str], None] = lambda _: None) -> Manifest:
    """Write the artifact of the version folder whose one file is the model; no TensorFlow is needed.

    Args:
        model: any .tflite; how it was made does not matter.
        target: the artifact; replaced by a rename when it is complete.
        progress: told what is being done.

    Raises:
        UnpackableError: when the file is no .tflite.
        OSError: when it cannot be read.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        shutil.copyfile(model, Path(folder) / MODEL_FILE)
        try:
            return pack(Path(folder), target, progress=progress)
        except UnpackableError as error:
            raise UnpackableError(f"{model}: {error}") from error
