"""Where an artifact or a store is: a path of this machine, or a place in an S3 bucket. Pure."""

import re
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from model_artifact.errors import LocationError

S3_SCHEME = "s3://"
_ANY_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KEY_PART = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class ObjectLocation:
    """One place in a bucket.

    Attributes:
        bucket: name of the bucket.
        key: parts joined by `/`, none at the ends; empty for the bucket as a whole.
    """

    bucket: str
    key: str

    @override
    def __str__(self) -> str:
        return f"{S3_SCHEME}{self.bucket}/{self.key}" if self.key else f"{S3_SCHEME}{self.bucket}"

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    def join(self, path: str) -> "ObjectLocation":
        """The place that many parts below."""
        return ObjectLocation(self.bucket, f"{self.key}/{path}" if self.key else path)


Location = Path | ObjectLocation


def parse_location(text: str) -> Location:
    """A path, or what `s3://BUCKET/KEY` names; a slash at the end means nothing.

    Raises:
        LocationError: when the scheme is another one, or bucket or key are not written as we write them.
    """
    scheme = _ANY_SCHEME.match(text)
    if scheme is None:
        return Path(text)
    if scheme[0] != S3_SCHEME:
        raise LocationError(f"{text}: {scheme[0]} is not supported; name a path or {S3_SCHEME}BUCKET/KEY")
    bucket, _, key = text.removeprefix(S3_SCHEME).partition("/")
    key = key.removesuffix("/")
    if "@" in bucket:
        # What stands before it is not repeated: it may be a password.
        raise LocationError("s3://…@…: credentials stand in the environment and in no name; write s3://BUCKET/KEY")
    if not _BUCKET.fullmatch(bucket):
        raise LocationError(f"{text}: {bucket!r} is no bucket's name; write {S3_SCHEME}BUCKET/KEY")
    parts = key.split("/") if key else []
    if not all(_KEY_PART.fullmatch(part) and part not in {".", ".."} for part in parts):
        raise LocationError(
            f"{text}: a key is letters, digits, - _ . and single slashes, without . and .. as parts; write another one"
        )
    return ObjectLocation(bucket, key)
