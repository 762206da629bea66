"""Objects in an S3 store: the one module that imports obstore.

Credentials come from the environment alone and appear in no message. Reading is by ranges of one version of the object,
writing whole or not at all, with a checksum that the server compares. What fails for reasons that may pass is tried
again with growing, random pauses; what fails for good is one of the three errors below StoreAccessError.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from model_artifact.errors import ObjectMissingError, StoreAccessError, UnreachableError
from model_artifact.location import ObjectLocation
from model_artifact.object_errors import explain
from model_artifact.object_settings import check_environment, read_client_options
from model_artifact.read_ahead import ReadAhead, merge_ranges
from model_artifact.sources import CHUNK_BYTES

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, ObjectMeta

TAIL_BYTES = 2**16
"""Read at once when an object is opened: the directory of all but very large artifacts."""
PART_BYTES = 8 * 2**20
PARTS_AT_ONCE = 4
_NEAR_BYTES = 2**14
"""Stretches that are not further apart are fetched with what is between them."""
_RANGES_AT_ONCE = 512
"""So that what is between them is never more than 8 MiB in memory, whatever a directory says."""
_LARGEST_STREAMED_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Patience:
    """How long a store is waited for.

    Attributes:
        connect_seconds: for a connection.
        silence_seconds: for the next bytes of an answer.
        retries: further tries of a request that failed for reasons that may pass.
        retry_seconds: from the first try on; no further try begins later.
        longest_pause_seconds: between two tries; the first pause is a tenth of a second, and all are random.
    """

    connect_seconds: float = 5
    silence_seconds: float = 60
    retries: int = 6
    retry_seconds: float = 120
    longest_pause_seconds: float = 10


@dataclass(frozen=True)
class StoredObject:
    """What a store says of an object.

    Attributes:
        key: the whole of it.
        size_bytes: of the object.
        modified_seconds: since 1970; some servers cut it to whole seconds in one answer and not in another.
    """

    key: str
    size_bytes: int
    modified_seconds: float


class Bucket:
    """One bucket, as far as the credentials of the environment reach."""

    def __init__(self, name: str, environment: Mapping[str, str], patience: Patience = Patience()) -> None:
        """Prepare requests; none is sent yet.

        Args:
            name: of the bucket.
            environment: AWS_ENDPOINT_URL and the like; must be the process's own, which obstore reads again.
            patience: how long to wait.

        Raises:
            StoreAccessError: when the environment has no usable endpoint or no credentials.
        """
        self.name = name
        check_environment(name, environment)
        with self._translated(""):
            self._store = S3Store(
                name,
                checksum_algorithm="sha256",
                client_options={
                    **read_client_options(environment),
                    "connect_timeout": timedelta(seconds=patience.connect_seconds),
                    "read_timeout": timedelta(seconds=patience.silence_seconds),
                    # Of a whole answer, which may be large: silence is what ends one.
                    "timeout": timedelta(seconds=_LARGEST_STREAMED_SECONDS),
                },
                retry_config={
                    "max_retries": patience.retries,
                    "retry_timeout": timedelta(seconds=patience.retry_seconds),
                    "backoff": {
                        "init_backoff": timedelta(seconds=0.1),
                        "max_backoff": timedelta(seconds=patience.longest_pause_seconds),
                        "base": 2,
                    },
                },
            )

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """The library's errors as ours."""
        try:
            yield
        except (BaseError, FileNotFoundError, ValueError) as error:
            raise explain(str(ObjectLocation(self.name, key)), error) from error

    def open(self, key: str) -> "ObjectSource":
        """The object as it is now.

        Raises:
            StoreAccessError: when it cannot be read.
        """
        return ObjectSource(self, key)

    def get(self, key: str, options: "GetOptions") -> "GetResult":
        """The answer to one GET.

        Raises:
            StoreAccessError: when there is none.
        """
        with self._translated(key):
            return obstore.get(self._store, key, options=options)

    def read_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several (offset, number of bytes), near ones with one request; none may reach beyond the end.

        Raises:
            StoreAccessError: when they cannot be read.
        """
        found: list[bytes] = []
        with self._translated(key):
            for first in range(0, len(ranges), _RANGES_AT_ONCE):
                starts, lengths = zip(*ranges[first : first + _RANGES_AT_ONCE], strict=True)
                read = obstore.get_ranges(self._store, key, starts=starts, lengths=lengths, coalesce=_NEAR_BYTES)
                found += [bytes(data) for data in read]
        return found

    def stream(self, key: str, answer: "GetResult") -> Iterator[bytes]:
        """The body of an answer in pieces of at most CHUNK_BYTES.

        Raises:
            StoreAccessError: when it breaks off and cannot be taken up again.
        """
        with self._translated(key):
            for data in answer.stream(min_chunk_size=CHUNK_BYTES):
                view = memoryview(data)
                for start in range(0, len(view), CHUNK_BYTES):
                    yield bytes(view[start : start + CHUNK_BYTES])

    def read_text(self, key: str, largest_bytes: int) -> str:
        """A small object as UTF-8, at most that long.

        Raises:
            StoreAccessError: when it cannot be read, or is longer.
        """
        with self._translated(key):
            answer = self.get(key, {})
            if answer.meta["size"] > largest_bytes:
                where = ObjectLocation(self.name, key)
                raise StoreAccessError(f"{where}: {answer.meta['size']} bytes, where at most {largest_bytes} stand")
            return bytes(answer.bytes()).decode(errors="replace")

    def write_text(self, key: str, text: str) -> None:
        """Put a small object in place of any that is there.

        Raises:
            StoreAccessError: when it cannot be written.
        """
        with self._translated(key):
            obstore.put(self._store, key, text.encode(), use_multipart=False)

    def upload(self, file: Path, key: str) -> None:
        """Put a file in place of any object that is there, in parts that are never all in memory.

        The object appears when all parts are there and the server found their checksums right.

        Raises:
            StoreAccessError: when it cannot be written.
            OSError: when the file cannot be read.
        """
        with file.open("rb") as data, self._translated(key):
            obstore.put(self._store, key, data, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)

    def list_objects(self, prefix: str) -> list[StoredObject]:
        """The objects whose keys have one part more than the prefix, sorted by key.

        Raises:
            StoreAccessError: when the bucket cannot be listed.
        """
        with self._translated(prefix):
            found = obstore.list_with_delimiter(self._store, prefix or None)["objects"]
            return sorted(map(_describe, found), key=lambda each: each.key)

    def find(self, key: str) -> StoredObject | None:
        """The object of that key; None where there is none, or no such bucket.

        Raises:
            StoreAccessError: when the store does not say.
        """
        try:
            with self._translated(key):
                return _describe(obstore.head(self._store, key))
        except ObjectMissingError:
            return None

    def remove(self, key: str) -> None:
        """Remove the object; it is no error when there is none.

        Raises:
            StoreAccessError: when that is not allowed.
        """
        with self._translated(key):
            obstore.delete(self._store, key)


def _describe(stated: "ObjectMeta") -> StoredObject:
    return StoredObject(stated["path"], stated["size"], stated["last_modified"].timestamp())


class ObjectSource:
    """One version of one object, read by ranges; its end is read when it is opened."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket, self._key = bucket, key
        answer = bucket.get(key, {"range": {"suffix": TAIL_BYTES}})
        self._tail = b"".join(bucket.stream(key, answer))
        self._version = answer.meta["e_tag"]
        self.size_bytes = answer.meta["size"]
        self._prepared: dict[tuple[int, int], bytes] = {}
        self._ahead: ReadAhead | None = None

    def read_at(self, offset: int, count: int) -> bytes:
        """The bytes there, fewer at the end.

        Raises:
            StoreAccessError: when they cannot be read, or the object was replaced.
        """
        count = min(count, self.size_bytes - offset)
        if count <= 0:
            return b""
        prepared = self._prepared.pop((offset, count), None)
        if prepared is not None:
            return prepared
        tail_offset = self.size_bytes - len(self._tail)
        if offset >= tail_offset:
            return self._tail[offset - tail_offset : offset - tail_offset + count]
        return b"".join(self._get(offset, count))

    def prepare(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Read those that are not at hand, many with one request.

        Raises:
            StoreAccessError: when they cannot be read.
        """
        far = self.size_bytes - len(self._tail)
        wanted = [(offset, count) for offset, count in ranges if offset < far and offset + count <= self.size_bytes]
        if wanted:
            self._prepared = dict(zip(wanted, self._bucket.read_ranges(self._key, wanted), strict=True))

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Fetch these, but for those that are at hand or too long to be held, each while the one before it is used."""
        far = self.size_bytes - len(self._tail)
        wanted = [(offset, count) for offset, count in ranges if offset < far and offset + count <= self.size_bytes]
        self.close()
        self._ahead = ReadAhead(
            lambda offset, count: b"".join(self._get(offset, count)), merge_ranges(wanted, _NEAR_BYTES)
        )

    def stream(self, offset: int, count: int) -> Iterator[bytes]:
        """The bytes there in pieces of at most CHUNK_BYTES, fewer at the end.

        Raises:
            StoreAccessError: when they cannot be read, or the object was replaced.
        """
        count = min(count, self.size_bytes - offset)
        if count <= 0:
            return
        held = self._find_held(offset, count)
        if held is None:
            yield from self._get(offset, count)
            return
        for start in range(0, count, CHUNK_BYTES):
            yield bytes(held[start : start + CHUNK_BYTES])

    def _find_held(self, offset: int, count: int) -> memoryview | None:
        """The bytes there, when they were read already or are being fetched."""
        tail_offset = self.size_bytes - len(self._tail)
        if offset >= tail_offset:
            return memoryview(self._tail)[offset - tail_offset : offset - tail_offset + count]
        return None if self._ahead is None else self._ahead.take(offset, count)

    def _get(self, offset: int, count: int) -> Iterator[bytes]:
        options: GetOptions = {"range": (offset, offset + count)}
        if self._version is not None:
            options["if_match"] = self._version
        answer = self._bucket.get(self._key, options)
        read = 0
        for data in self._bucket.stream(self._key, answer):
            read += len(data)
            yield data
        if read != count:
            where = ObjectLocation(self._bucket.name, self._key)
            raise UnreachableError(f"{where}: the store gave {read} of {count} bytes; try again")

    def close(self) -> None:
        """Fetch nothing more; no connection is this object's own."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None
