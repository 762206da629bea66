"""Files that a recipe refers to: found, and compared with the digest that the recipe states."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from model_artifact.recipe import FileReference
from model_builder.dataset import DATA_VARIABLE
from model_builder.errors import DataError


def find_given(reference: FileReference, environment: Mapping[str, str]) -> Path:
    """The file, its bytes verified.

    Args:
        reference: path and digest; a relative path is looked for below MODELPRESS_DATA, then below the current folder.
        environment: read for MODELPRESS_DATA.

    Raises:
        DataError: when there is no such file, or it is another one.
    """
    folders = [Path(folder) for folder in (environment.get(DATA_VARIABLE), ".") if folder]
    path = next((folder / reference.path for folder in folders if (folder / reference.path).is_file()), None)
    if path is None:
        looked = " nor in ".join(str(folder) for folder in folders)
        raise DataError(f"{reference.path}: no such file in {looked}; set {DATA_VARIABLE} to the folder that holds it")
    with path.open("rb") as data:
        found = f"sha256:{hashlib.file_digest(data, 'sha256').hexdigest()}"
    if found != reference.digest:
        raise DataError(
            f"{path}: its digest is {found}, but the recipe states {reference.digest}; put back the file that is meant,"
            " or state the digest of this one"
        )
    return path
