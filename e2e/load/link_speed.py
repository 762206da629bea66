"""`python -m load.link_speed s3://BUCKET/KEY [FILE]`: how fast an object comes, read as the programs read artifacts.

With a file it is put there instead. Credentials and endpoint come from the environment. Prints `bytes` and `seconds` as
JSON.
"""

import json
import os
import sys
import time
from pathlib import Path

from model_artifact.location import ObjectLocation, parse_location
from model_artifact.object_store import Bucket


def measure(bucket: Bucket, key: str) -> tuple[int, float]:
    """Bytes of the object, and the seconds from the request to the last of them."""
    begun = time.monotonic()
    count = sum(len(piece) for piece in bucket.stream(key, bucket.get(key, {})))
    return count, time.monotonic() - begun


def put(bucket: Bucket, key: str, file: Path) -> tuple[int, float]:
    """Bytes of the file, and the seconds until the store had it."""
    begun = time.monotonic()
    bucket.upload(file, key)
    return file.stat().st_size, time.monotonic() - begun


def main(uri: str, *files: str) -> None:
    """Do it and say how long it took."""
    place = parse_location(uri)
    if not isinstance(place, ObjectLocation):
        raise SystemExit(f"{uri} lies in no bucket: name s3://BUCKET/KEY")
    bucket = Bucket(place.bucket, os.environ)
    count, seconds = put(bucket, place.key, Path(files[0])) if files else measure(bucket, place.key)
    print(json.dumps({"bytes": count, "seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
