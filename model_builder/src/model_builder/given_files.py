"""Files that a recipe refers to: found or fetched, and compared with the digest that the recipe states.

A path is looked for in the folder of the data sets and in the current one; pvc://CLAIM/PATH is PATH below the folder
CLAIM of the one that MODELPRESS_CLAIMS names, where a build in a cluster has its claims; s3://BUCKET/KEY is downloaded.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from model_artifact.errors import ObjectMissingError, StoreAccessError
from model_artifact.location import ObjectLocation, parse_location
from model_artifact.recipe import FileReference, Training
from model_artifact.sources import open_bucket
from model_artifact.summary import ArtifactSummary
from model_builder.dataset import DATA_VARIABLE
from model_builder.download import Download
from model_builder.errors import BuildError, BuildInterruptedError, DataError, GivenFileError, StoreError
from model_builder.interruption import Interruption
from model_builder.progress import Progress

CLAIMS_VARIABLE = "MODELPRESS_CLAIMS"
_CLAIM_SCHEME = "pvc://"


@dataclass(frozen=True)
class GivenFile:
    """A file that is there, its bytes verified.

    Attributes:
        path: where it is now.
        digest: `sha256:…` of its bytes.
    """

    path: Path
    digest: str


@contextmanager
def open_given(
    reference: FileReference,
    environment: Mapping[str, str],
    progress: Progress,
    interruption: Interruption | None = None,
) -> Iterator[GivenFile]:
    """The file, for as long as the block lasts; what is found wrong with it there names it as the recipe does.

    Args:
        reference: where it is, and what it must be.
        environment: read for MODELPRESS_DATA and MODELPRESS_CLAIMS; for objects it must be the process's own.
        progress: told how far a download is.
        interruption: ends a download when the process is asked to end.

    Raises:
        GivenFileError: when there is no such file, or it is another one.
        StoreError: when a bucket refuses, or does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="modelpress-given-") as scratch:
        path = _find(reference, environment, Path(scratch), partial(Download, progress=progress, asked=interruption))
        given = GivenFile(path, _digest(path))
        shown = reference.uri or str(path)
        if reference.digest not in {None, given.digest}:
            raise GivenFileError(
                f"{shown}: its digest is {given.digest}, but the recipe states {reference.digest}; put back the file"
                " that is meant, or state the digest of this one"
            )
        try:
            yield given
        except DataError as error:
            raise GivenFileError(str(error).replace(str(path), shown)) from error
        except BuildInterruptedError:
            raise
        except BuildError as error:
            raise type(error)(str(error).replace(str(path), shown)) from error


def find_changed(
    training: Training, known: ArtifactSummary, environment: Mapping[str, str], progress: Progress
) -> str | None:
    """The place of a file that is not the one an artifact was made from; None where all are.

    A file whose digest the recipe states needs no look: the digest is a part of the recipe.

    Args:
        training: of the recipe.
        known: the facts of an artifact of the same recipe.
        environment: as for `open_given`.
        progress: told how far a download is.

    Raises:
        GivenFileError: when there is no such file.
        StoreError: when a bucket refuses, or does not answer.
    """
    for reference, digest in ((training.model, known.model_digest), (training.data, known.data_digest)):
        if reference is not None and reference.digest is None:
            with open_given(reference, environment, progress) as given:
                if given.digest != digest:
                    return reference.place
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as data:
        return f"sha256:{hashlib.file_digest(data, 'sha256').hexdigest()}"


def _find(
    reference: FileReference, environment: Mapping[str, str], scratch: Path, begin: Callable[[str, int], Download]
) -> Path:
    if reference.uri is None:
        return _find_below(str(reference.path), environment)
    if reference.uri.startswith(_CLAIM_SCHEME):
        return _find_in_claim(reference.uri, environment)
    location = parse_location(reference.uri)
    if isinstance(location, Path):
        raise GivenFileError(f"{reference.uri}: is neither in a claim nor in a bucket; write pvc:// or s3://")
    return _download(location, scratch, begin)


def _find_below(stated: str, environment: Mapping[str, str]) -> Path:
    folders = [Path(folder) for folder in (environment.get(DATA_VARIABLE), ".") if folder]
    path = next((folder / stated for folder in folders if (folder / stated).is_file()), None)
    if path is None:
        looked = " nor in ".join(str(folder) for folder in folders)
        raise GivenFileError(f"{stated}: no such file in {looked}; set {DATA_VARIABLE} to the folder that holds it")
    return path


def _find_in_claim(uri: str, environment: Mapping[str, str]) -> Path:
    claim, _, below = uri.removeprefix(_CLAIM_SCHEME).partition("/")
    folder = environment.get(CLAIMS_VARIABLE)
    if not folder:
        raise GivenFileError(
            f"{uri}: there are no claims here; build it in a cluster, set {CLAIMS_VARIABLE} to a folder that holds"
            f" {claim}/{below}, or name the file by its path"
        )
    path = Path(folder) / claim / below
    if not path.is_file():
        raise GivenFileError(f"{uri}: the claim {claim} holds no file {below}; put it there, or correct the uri")
    return path


def _download(location: ObjectLocation, scratch: Path, begin: Callable[[str, int], Download]) -> Path:
    """The object in a file of its name."""
    path = scratch / location.name
    try:
        source = open_bucket(location.bucket).open(location.key)
        download = begin(str(location), source.size_bytes)
        with path.open("wb") as out:
            for data in source.stream(0, source.size_bytes):
                out.write(data)
                download.count(len(data))
    except ObjectMissingError as error:
        raise GivenFileError(str(error)) from error
    except StoreAccessError as error:
        raise StoreError(str(error)) from error
    return path
