"""The folder of one build: its recipe, its log, what it needs to be taken up again, and at last its artifact.

recipe.json     what is built
log.jsonl       a JSON line for each thing that was told, over all resumptions
checkpoint/     while it runs
masters.json    histograms of the float weights before they were replaced by code x step
artifact.zip    when it is done
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from model_artifact.archive_reader import ArchiveReader
from model_artifact.manifest import Manifest
from model_artifact.manifest_reader import read_manifest
from model_artifact.recipe import Recipe, canonical_json, parse_recipe
from model_artifact.summary import BuildProgress
from model_builder.errors import BuildError
from model_builder.folder_lock import lock_folder
from model_builder.progress import Progress

ARTIFACT_FILE = "artifact.zip"
LOG_FILE = "log.jsonl"
RECIPE_FILE = "recipe.json"
CHECKPOINT_FOLDER = "checkpoint"

Building = Callable[[Recipe, Path, Mapping[str, str], Progress], Manifest]
"""Makes the artifact of a recipe at a path; `loading.load_and_build` is one."""


def build_in_folder(
    recipe: Recipe, folder: Path, build: Building, environment: Mapping[str, str], tell: Progress, *, resume: bool
) -> Manifest:
    """Build a recipe in a folder of its own, or give back the artifact that is there already.

    Args:
        recipe: what to build.
        folder: made where it is missing.
        build: makes the artifact.
        environment: where the data is.
        tell: told what is done; the log is, too.
        resume: whether a build of the same recipe that is here already is gone on with, or taken as it is.

    Raises:
        FolderBusyError: when another process builds here.
        BuildError: when the folder holds another build, or one and `resume` is false; and as `build` raises it.
    """
    with lock_folder(folder):
        _check_same(folder, recipe, resume=resume)
        artifact = folder / ARTIFACT_FILE
        if artifact.exists():
            tell(BuildProgress(phase="Storing", message=f"{artifact} is there already, made from this recipe"))
            return read_artifact_manifest(artifact)
        write_recipe(recipe, folder)
        with _logged(folder / LOG_FILE, tell) as told:
            return build(recipe, artifact, environment, told)


def write_recipe(recipe: Recipe, folder: Path) -> None:
    """Say in a folder what is built there; the folder is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECIPE_FILE).write_text(recipe.model_dump_json(by_alias=True, indent=2) + "\n")


def read_artifact_manifest(artifact: Path) -> Manifest:
    """The manifest of an artifact, its files unverified.

    Raises:
        CorruptArtifactError: when it is none of ours.
    """
    with ArchiveReader(str(artifact)) as archive:
        return read_manifest(archive)


def _check_same(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    stated = folder / RECIPE_FILE
    if not stated.exists():
        if (folder / ARTIFACT_FILE).exists():
            raise BuildError(f"{folder}: holds an artifact without its {RECIPE_FILE}; name another folder")
        return
    if parse_recipe(stated.read_text(), str(stated)).digest != recipe.digest:
        raise BuildError(f"{folder}: holds a build of another recipe ({RECIPE_FILE}); name another folder")
    if not resume:
        raise BuildError(f"{folder}: holds a build of this recipe already; --resume goes on with it")


@contextmanager
def _logged(log: Path, tell: Progress) -> Iterator[Progress]:
    """Write what is told into the log as well, a line at once."""
    with log.open("a", buffering=1) as file:

        def tell_both(progress: BuildProgress) -> None:
            document = progress.model_dump(mode="json", by_alias=True, exclude_none=True)
            file.write(canonical_json({"time": _format_now(), **document}) + "\n")
            tell(progress)

        yield tell_both


def _format_now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
