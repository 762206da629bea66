"""Reads docker-archives: their name, their config and the size of their layers."""

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast


@dataclass(frozen=True)
class Archive:
    """What a docker-archive says of itself.

    Attributes:
        names: with tags.
        config: the image config: `config`, `rootfs`, `history`.
        layer_bytes: of each layer, uncompressed, the lowest first.
    """

    names: tuple[str, ...]
    config: dict[str, Any]
    layer_bytes: tuple[int, ...]


def read_archive(path: Path) -> Archive | None:
    """The archive, or None where there is none that can be read."""
    try:
        with tarfile.open(path) as tar:
            listing = _read_json(tar, "manifest.json")[0]
            sizes = tuple(tar.getmember(name).size for name in listing["Layers"])
            return Archive(tuple(listing["RepoTags"]), _read_json(tar, listing["Config"]), sizes)
    except (OSError, tarfile.TarError, KeyError, ValueError):
        return None


def _read_json(tar: tarfile.TarFile, name: str) -> Any:
    file = cast("Any", tar.extractfile(name))
    return json.load(file)
