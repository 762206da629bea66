"""A store in a folder, mostly a network volume that other builds write to as well.

What it holds appears by a rename; what is half written stands in a folder `.build-…` at the root.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from model_artifact.errors import ArtifactError
from model_artifact.inspection import inspect, render_summary
from model_artifact.signing import write_signature
from model_artifact.signing_check import SUFFIX
from model_artifact.summary import ArtifactSummary, artifact_path, format_document, parse_summary, recipe_path
from model_builder.errors import StoreError
from model_builder.known import verify_known
from model_builder.seal import Seal

HALF_PREFIX = ".build-"
SECONDS_UNTIL_ABANDONED = 24 * 3600
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class FolderStore:
    """A store in a folder that exists."""

    def __init__(self, root: Path, seal: Seal | None = None) -> None:
        self._root = root
        self._seal = seal
        self._half: Path | None = None

    def prepare(self, now: float) -> None:
        """Make sure that an artifact can be stored here, before hours are spent on one, and clear what was abandoned.

        Args:
            now: seconds since 1970.

        Raises:
            StoreError: when the folder is missing or not writable.
        """
        if not self._root.is_dir():
            raise StoreError(f"{self._root}: no such folder; mount the store there")
        with self._translated():
            for name in ("artifacts", "recipes"):
                (self._root / name).mkdir(exist_ok=True)
                with tempfile.TemporaryFile(dir=self._root / name, prefix=HALF_PREFIX) as probe:
                    probe.write(b"probe")
            for path in self._root.iterdir():
                if path.name.startswith(HALF_PREFIX) and now - path.stat().st_mtime > SECONDS_UNTIL_ABANDONED:
                    shutil.rmtree(path, ignore_errors=True)

    def read_known(self, recipe_digest: str, tell: Callable[[str], None]) -> ArtifactSummary | None:
        """The facts of the artifact that the recipe gave before, every byte of it verified; None when it must be built.

        Args:
            recipe_digest: `sha256:…`.
            tell: told why what stands here cannot be used.

        Raises:
            StoreError: when the store cannot be read.
        """
        pointer = self._root / recipe_path(recipe_digest)
        with self._translated():
            if not pointer.exists():
                return None
            text = pointer.read_text(errors="replace")
        try:
            stated = parse_summary(text)
            return verify_known(self._root / artifact_path(stated.digest), stated, recipe_digest, self._seal)
        except (ArtifactError, FileNotFoundError) as error:
            tell(f"{pointer.name} stands in the store but cannot be used ({error}); building anew")
            return None

    def keep(self, artifact: Path, recipe_digest: str) -> ArtifactSummary:
        """Store a copy of the artifact, durably, as what the recipe gave.

        Raises:
            StoreError: when the store is full, not writable, or does not give back what was written.
        """
        with self._translated():
            self._half = Path(tempfile.mkdtemp(dir=self._root, prefix=HALF_PREFIX))
            try:
                return self._keep(artifact, recipe_digest, self._half)
            except ArtifactError as error:
                raise StoreError(f"{self._root}: does not give back what was written ({error}); check it") from error
            finally:
                self.discard_half()

    def _keep(self, artifact: Path, recipe_digest: str, half: Path) -> ArtifactSummary:
        with artifact.open("rb") as data, (half / "artifact").open("wb") as out:
            shutil.copyfileobj(data, out, 2**20)
            os.fsync(out.fileno())
        facts = inspect(half / "artifact")
        summary = render_summary(facts, artifact_path(facts.digest))
        self._rename(half / "artifact", self._root / summary.path)
        if self._seal is not None:
            write_signature(self._seal.sign(artifact), half / "signature")
            self._rename(half / "signature", self._root / f"{summary.path}{SUFFIX}")
        with (half / "recipe").open("w") as out_text:
            out_text.write(format_document(summary) + "\n")
            out_text.flush()
            os.fsync(out_text.fileno())
        self._rename(half / "recipe", self._root / recipe_path(recipe_digest))
        return summary

    def work_folder(self, recipe_digest: str) -> Path:
        """Where a build of the recipe may save its training; cleared like what is half written."""
        return self._root / f"{HALF_PREFIX}{recipe_digest.removeprefix('sha256:')}"

    def _rename(self, half: Path, whole: Path) -> None:
        half.replace(whole)
        folder = os.open(whole.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard_half(self) -> None:
        """Remove what this process has half written; safe from any thread."""
        if self._half is not None:
            shutil.rmtree(self._half, ignore_errors=True)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(_explain(self._root, error)) from error


def _explain(root: Path, error: OSError) -> str:
    """What the operating system refused, as one sentence with a remedy."""
    where = root if error.filename is None else Path(os.fsdecode(error.filename))
    if where.name.startswith(HALF_PREFIX):
        where = where.parent  # the message of a second try must not differ by a random name
    words = (error.strerror or str(error)).lower()
    if error.errno in _FULL:
        return f"{root}: the store is full ({words}); remove artifacts that no model needs, or enlarge its volume"
    if error.errno in _FORBIDDEN:
        user = f"user {os.geteuid()} of group {os.getegid()}"
        return f"{where}: {words} for {user}; mount the store writable, with a group that the build has (fsGroup)"
    return f"{where}: {words}; check the volume of the store"
