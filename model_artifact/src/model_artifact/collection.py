"""What may leave a store: artifacts that nothing names any more, and what killed builds left half written.

    artifacts/<content digest in hex>.zip     an artifact
    recipes/<recipe digest in hex>.json       the summary of the artifact that a recipe gave
    .build-…                                  half written

Builds may write meanwhile: an artifact appears before the recipe that names it, so what is younger than a day stays.
"""

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from model_artifact.errors import ArtifactError
from model_artifact.summary import artifact_path, parse_summary

SECONDS_A_DAY = 24 * 3600
_ARTIFACT = re.compile(r"[0-9a-f]{64}\.zip")
_HALF = re.compile(r"\.build-.*|\.[0-9a-f]{64}\.(zip|json)\..*")


@dataclass(frozen=True)
class Policy:
    """What stays.

    Attributes:
        keep: content digests, `sha256:…`.
        keep_recipes: whether what a recipe names stays; when not, its record leaves with it.
        older_than_days: what is younger stays; at least a day.
    """

    keep: frozenset[str]
    keep_recipes: bool
    older_than_days: float


@dataclass(frozen=True)
class Leaving:
    """One thing that may leave.

    Attributes:
        path: a file, or the folder of a killed build.
        size_bytes: of all its files.
        modified_seconds: since 1970, when it was found.
    """

    path: Path
    size_bytes: int
    modified_seconds: float


class StoreFormatError(ArtifactError):
    """The folder is no store, or a record in it cannot be read, so that nobody knows what it names."""


def find_leaving(store: Path, policy: Policy, now: float) -> list[Leaving]:
    """What the policy lets go, recipes' records before the artifacts that they name; nothing is removed.

    Args:
        store: the root of the store.
        policy: what stays.
        now: seconds since 1970.

    Raises:
        StoreFormatError: when the folder is no store or a record cannot be read.
        OSError: when the store cannot be read.
    """
    if not (store / "artifacts").is_dir():
        raise StoreFormatError(f"{store}: no store, there is no folder artifacts in it; name the root of one")
    days = max(1.0, policy.older_than_days)
    # The artifacts are listed before the records are read: one that a build stores in between is not in the list.
    artifacts = [found for found in _find(store / "artifacts", _ARTIFACT) if _age_days(found, now) > days]
    named = _read_named(store / "recipes")
    kept = {store / artifact_path(digest) for digest in policy.keep}
    if policy.keep_recipes:
        kept |= {store / path for path in named.values()}
    going = [found for found in artifacts if found.path not in kept]
    paths = {found.path for found in going}
    records = _measure_all(record for record, path in named.items() if store / path in paths)
    halves = [half for folder in _folders(store) for half in _find(folder, _HALF) if _age_days(half, now) > 1]
    return [*records, *going, *halves]


def _folders(store: Path) -> list[Path]:
    return [folder for folder in (store, store / "artifacts", store / "recipes") if folder.is_dir()]


def _find(folder: Path, pattern: re.Pattern[str]) -> Iterator[Leaving]:
    """What stands in the folder under such a name, sorted."""
    return _measure_all(path for path in sorted(folder.iterdir()) if pattern.fullmatch(path.name))


def _measure_all(paths: Iterable[Path]) -> Iterator[Leaving]:
    """The paths without links, and without what vanishes meanwhile."""
    for path in paths:
        try:
            if not path.is_symlink():
                yield _measure(path)
        except FileNotFoundError:
            continue


def _measure(path: Path) -> Leaving:
    status = path.lstat()
    below = [inner.lstat().st_size for inner in path.rglob("*")] if path.is_dir() else [status.st_size]
    return Leaving(path, sum(below), status.st_mtime)


def _age_days(found: Leaving, now: float) -> float:
    return (now - found.modified_seconds) / SECONDS_A_DAY


def _read_named(recipes: Path) -> dict[Path, str]:
    """The path below the store's root of the artifact that each record names."""
    named = {}
    for record in sorted(recipes.glob("*.json")):
        if record.name.startswith("."):
            continue
        try:
            named[record] = artifact_path(parse_summary(record.read_text(errors="replace")).digest)
        except FileNotFoundError:
            continue
        except ArtifactError as error:
            raise StoreFormatError(
                f"{record}: cannot be read, so nothing is removed ({error}); mend or remove it"
            ) from error
    return named


def remove(leaving: Leaving) -> bool:
    """Remove it, unless it is not any more what was found; whether it is gone.

    Raises:
        OSError: when that is not allowed.
    """
    try:
        if leaving.path.lstat().st_mtime != leaving.modified_seconds:
            return False
        if leaving.path.is_dir():
            shutil.rmtree(leaving.path)
        else:
            leaving.path.unlink()
    except FileNotFoundError:
        return False
    return True
