"""What may leave a store: artifacts that nothing names any more, and what killed builds left half written.

    artifacts/<content digest in hex>.zip     an artifact; its signature, if it has one, is <that>.sig
    recipes/<recipe digest in hex>.json       the summary of the artifact that a recipe gave
    .build-…                                  half written

Builds may write meanwhile: an artifact appears before the recipe that names it, so what is younger than a day stays.
"""

import re
from dataclasses import dataclass
from typing import Protocol

from model_artifact.errors import ArtifactError
from model_artifact.location import Location
from model_artifact.summary import artifact_path, parse_summary

SECONDS_A_DAY = 24 * 3600
ARTIFACTS_FOLDER = "artifacts"
RECIPES_FOLDER = "recipes"
_ARTIFACT = re.compile(r"[0-9a-f]{64}\.zip")
_RECORD = re.compile(r"[^.].*\.json")
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
class Found:
    """One thing in a store.

    Attributes:
        path: below the root of the store; a file, an object, or the folder of a killed build.
        size_bytes: of all its files.
        modified_seconds: since 1970, when it was found.
    """

    path: str
    size_bytes: int
    modified_seconds: float

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


class StoreView(Protocol):
    """A store as collecting sees it."""

    @property
    def root(self) -> Location:
        """Where it is."""

    def list_found(self, folder: str) -> list[Found]:
        """What stands in a folder of the store (empty: its root), sorted; none where there is no such folder.

        Raises:
            StoreFormatError: when it is the folder of the artifacts, and there is none.
        """

    def read_record(self, path: str) -> str | None:
        """A record's text; None when it has vanished."""

    def remove(self, found: Found) -> bool:
        """Remove it, unless it is not any more what was found; whether it is gone."""


class StoreFormatError(ArtifactError):
    """The place is no store, or a record in it cannot be read, so that nobody knows what it names."""


def find_leaving(store: StoreView, policy: Policy, now: float) -> list[Found]:
    """What the policy lets go, recipes' records before the artifacts that they name; nothing is removed.

    Args:
        store: the store.
        policy: what stays.
        now: seconds since 1970.

    Raises:
        StoreFormatError: when the place is no store or a record cannot be read.
        OSError: when a folder cannot be read.
        StoreAccessError: when a bucket cannot be read.
    """
    days = max(1.0, policy.older_than_days)
    # The artifacts are listed before the records are read: one that a build stores in between is not in the list.
    listed = store.list_found(ARTIFACTS_FOLDER)
    artifacts = [found for found in listed if _ARTIFACT.fullmatch(found.name) and _age_days(found, now) > days]
    recipes = store.list_found(RECIPES_FOLDER)
    named = _read_named(store, recipes)
    kept = {artifact_path(digest) for digest in policy.keep}
    if policy.keep_recipes:
        kept |= set(named.values())
    going = [found for found in artifacts if found.path not in kept]
    paths = {found.path for found in going}
    records = [record for record in recipes if named.get(record.path) in paths]
    everything = [*store.list_found(""), *listed, *recipes]
    halves = [half for half in everything if _HALF.fullmatch(half.name) and _age_days(half, now) > 1]
    signatures = [found for found in listed if found.path.removesuffix(".sig") in paths and found not in going]
    return [*records, *going, *signatures, *halves]


def _age_days(found: Found, now: float) -> float:
    return (now - found.modified_seconds) / SECONDS_A_DAY


def _read_named(store: StoreView, recipes: list[Found]) -> dict[str, str]:
    """The path of the artifact that each record names, by the record's own path."""
    named = {}
    for record in recipes:
        if not _RECORD.fullmatch(record.name):
            continue
        text = store.read_record(record.path)
        if text is None:
            continue
        try:
            named[record.path] = artifact_path(parse_summary(text).digest)
        except ArtifactError as error:
            raise StoreFormatError(
                f"{store.root}/{record.path}: cannot be read, so nothing is removed ({error}); mend or remove it"
            ) from error
    return named
