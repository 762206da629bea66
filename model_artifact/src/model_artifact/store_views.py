"""Stores as collecting sees them: a folder, or a prefix of a bucket."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from model_artifact.collection import ARTIFACTS_FOLDER, Found, StoreFormatError, StoreView
from model_artifact.errors import ObjectMissingError
from model_artifact.location import Location, ObjectLocation
from model_artifact.sources import open_bucket

_LARGEST_RECORD_BYTES = 2**20
_SERVERS_ROUND_BY_SECONDS = 1


def open_view(location: Location) -> StoreView:
    """The store at the location.

    Raises:
        StoreAccessError: when the environment has nothing to reach a bucket with.
    """
    return FolderView(location) if isinstance(location, Path) else BucketView(location)


class FolderView:
    """A store in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def list_found(self, folder: str) -> list[Found]:
        """What stands in the folder, sorted, without links and without what vanishes meanwhile.

        Raises:
            StoreFormatError: when it is the folder of the artifacts, and there is none.
            OSError: when it cannot be read.
        """
        place = self.root / folder
        if not place.is_dir():
            if folder == ARTIFACTS_FOLDER:
                raise StoreFormatError(
                    f"{self.root}: no store, there is no folder {ARTIFACTS_FOLDER} in it; name the root of one"
                )
            return []
        return list(self._measure(sorted(place.iterdir())))

    def _measure(self, paths: list[Path]) -> Iterator[Found]:
        for path in paths:
            try:
                if path.is_symlink():
                    continue
                status = path.lstat()
                below = [inner.lstat().st_size for inner in path.rglob("*")] if path.is_dir() else [status.st_size]
            except FileNotFoundError:
                continue
            yield Found(path.relative_to(self.root).as_posix(), sum(below), status.st_mtime)

    def read_record(self, path: str) -> str | None:
        """A record's text; None when it has vanished.

        Raises:
            OSError: when it cannot be read.
        """
        try:
            return (self.root / path).read_text(errors="replace")
        except FileNotFoundError:
            return None

    def remove(self, found: Found) -> bool:
        """Remove it, unless it is not any more what was found; whether it is gone.

        Raises:
            OSError: when that is not allowed.
        """
        path = self.root / found.path
        try:
            if path.lstat().st_mtime != found.modified_seconds:
                return False
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        except FileNotFoundError:
            return False
        return True


class BucketView:
    """A store below a prefix of a bucket. What parts of an upload are left is the bucket's own to clear away."""

    def __init__(self, root: ObjectLocation) -> None:
        """Ask nothing yet.

        Raises:
            StoreAccessError: when the environment has nothing to reach the bucket with.
        """
        self.root = root
        self._bucket = open_bucket(root.bucket)

    def list_found(self, folder: str) -> list[Found]:
        """The objects whose keys have one part more than the folder's, sorted.

        Raises:
            StoreFormatError: when it is the folder of the artifacts, and nothing is there.
            StoreAccessError: when it cannot be listed.
        """
        place = self.root.join(folder) if folder else self.root
        start = len(f"{self.root.key}/") if self.root.key else 0
        found = [
            Found(each.key[start:], each.size_bytes, each.modified_seconds)
            for each in self._bucket.list_objects(place.key)
        ]
        if folder == ARTIFACTS_FOLDER and not found:
            raise StoreFormatError(f"{self.root}: no store, nothing is in {place}; name the root of one")
        return found

    def read_record(self, path: str) -> str | None:
        """A record's text; None when it has vanished.

        Raises:
            StoreAccessError: when it cannot be read.
        """
        try:
            return self._bucket.read_text(self.root.join(path).key, _LARGEST_RECORD_BYTES)
        except ObjectMissingError:
            return None

    def remove(self, found: Found) -> bool:
        """Remove it, unless it is not any more what was found; whether it is gone.

        Raises:
            StoreAccessError: when that is not allowed.
        """
        key = self.root.join(found.path).key
        now = self._bucket.find(key)
        if now is None or abs(now.modified_seconds - found.modified_seconds) >= _SERVERS_ROUND_BY_SECONDS:
            return False
        self._bucket.remove(key)
        return True
