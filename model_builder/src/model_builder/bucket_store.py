"""A store below a prefix of an S3 bucket.

An object appears when all of it is there, and the record after the artifact that it names. What a build that was killed
had uploaded is in no listing; the bucket's own rule for incomplete uploads clears it away (docs/operations.md).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from model_artifact.errors import ArtifactError, ObjectMissingError, StoreAccessError
from model_artifact.inspection import inspect, render_summary
from model_artifact.location import ObjectLocation
from model_artifact.signing import write_signature
from model_artifact.signing_check import signature_location
from model_artifact.sources import open_bucket
from model_artifact.summary import ArtifactSummary, artifact_path, format_document, parse_summary, recipe_path
from model_builder.errors import StoreError
from model_builder.known import verify_known
from model_builder.seal import Seal

if TYPE_CHECKING:
    from model_artifact.object_store import Bucket

PROBE = ".build-probe"
"""Overwritten by each build; `model-artifact gc` removes it with other leftovers."""
_LARGEST_RECORD_BYTES = 2**20


class BucketStore:
    """A store in a bucket that exists."""

    def __init__(self, root: ObjectLocation, seal: Seal | None = None) -> None:
        self._root = root
        self._seal = seal

    def prepare(self, now: float) -> None:
        """Make sure that this build may write and read here, before hours are spent on an artifact.

        Args:
            now: not used; objects have no leftovers to clear.

        Raises:
            StoreError: when the bucket is missing, refuses, or does not answer.
        """
        del now
        probe = self._root.join(PROBE).key
        with self._translated():
            self._open().write_text(probe, "probe")
            self._open().read_text(probe, _LARGEST_RECORD_BYTES)

    def read_known(self, recipe_digest: str, tell: Callable[[str], None]) -> ArtifactSummary | None:
        """The facts of the artifact that the recipe gave before, every byte of it verified; None when it must be built.

        Args:
            recipe_digest: `sha256:…`.
            tell: told why what stands here cannot be used.

        Raises:
            StoreError: when the store cannot be read.
        """
        record = self._root.join(recipe_path(recipe_digest))
        with self._translated():
            try:
                text = self._open().read_text(record.key, _LARGEST_RECORD_BYTES)
            except ObjectMissingError:
                return None
            try:
                stated = parse_summary(text)
                return verify_known(self._root.join(artifact_path(stated.digest)), stated, recipe_digest, self._seal)
            except ArtifactError as error:
                if isinstance(error, StoreAccessError) and not isinstance(error, ObjectMissingError):
                    raise
                tell(f"{record.name} stands in the store but cannot be used ({error}); building anew")
                return None

    def keep(self, artifact: Path, recipe_digest: str) -> ArtifactSummary:
        """Store a copy of the artifact as what the recipe gave, and read it back before the recipe names it.

        Raises:
            StoreError: when the store refuses, breaks off, or does not give back what was written.
        """
        path = artifact_path(inspect(artifact).digest)
        with self._translated():
            bucket = self._open()
            bucket.upload(artifact, self._root.join(path).key)
            summary = render_summary(inspect(self._root.join(path)), path)
            if artifact_path(summary.digest) != path:
                raise ArtifactError(f"{path} has the digest {summary.digest}")
            if self._seal is not None:
                write_signature(self._seal.sign(artifact), signature_location(self._root.join(path)))
            bucket.write_text(self._root.join(recipe_path(recipe_digest)).key, format_document(summary) + "\n")
        return summary

    def work_folder(self, _recipe_digest: str) -> None:
        """Nowhere: a bucket is no folder, so a build that is ended begins anew."""

    def discard_half(self) -> None:
        """Nothing: what is half uploaded is not seen by anyone."""

    def _open(self) -> "Bucket":
        return open_bucket(self._root.bucket)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except StoreAccessError as error:
            raise StoreError(str(error)) from error
        except ArtifactError as error:
            raise StoreError(f"{self._root}: does not give back what was written ({error}); check it") from error
