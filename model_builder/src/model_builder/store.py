"""The store that a build hands its artifact to: a folder, or a prefix of an S3 bucket.

    artifacts/<content digest>.zip     an artifact
    artifacts/<content digest>.zip.sig its signature, where builds have a key
    recipes/<recipe digest>.json       its summary: which artifact a recipe gave

All appear whole, in this order.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from model_artifact.location import parse_location
from model_artifact.summary import ArtifactSummary
from model_builder.bucket_store import BucketStore
from model_builder.folder_store import FolderStore
from model_builder.seal import Seal


class Store(Protocol):
    """What a build does with a store, whatever kind it is."""

    def prepare(self, now: float) -> None:
        """Make sure that an artifact can be stored, before hours are spent on one.

        Args:
            now: seconds since 1970.

        Raises:
            StoreError: when it cannot.
        """

    def read_known(self, recipe_digest: str, tell: Callable[[str], None]) -> ArtifactSummary | None:
        """The facts of the artifact that the recipe gave before, every byte of it verified; None when it must be built.

        Args:
            recipe_digest: `sha256:…`.
            tell: told why what stands there cannot be used.

        Raises:
            StoreError: when the store cannot be read.
        """

    def keep(self, artifact: Path, recipe_digest: str) -> ArtifactSummary:
        """Store a copy of the artifact, durably, as what the recipe gave.

        Raises:
            StoreError: when it cannot be stored, or does not come back as it was written.
        """

    def work_folder(self, recipe_digest: str) -> Path | None:
        """Where a build of the recipe may save its training; None where the store is no folder."""

    def discard_half(self) -> None:
        """Remove what this process has half written; safe from any thread."""


def open_store(place: str, seal: Seal | None = None) -> Store:
    """The store at a path or at s3://BUCKET/PREFIX; nothing is asked of it yet.

    Args:
        place: where it is.
        seal: signs what is stored, and must have signed what is known; None where builds do not sign.

    Raises:
        LocationError: when the place is written wrongly.
    """
    location = parse_location(place)
    return FolderStore(location, seal) if isinstance(location, Path) else BucketStore(location, seal)
