# ruff: noqa: INP001  (scripts beside the package, not of it)
"""What must hold for any bytes that are given to `unpack`, `verify` and `inspect`."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from model_artifact.consistency import largest_unpacked_bytes
from model_artifact.errors import ArtifactError
from model_artifact.inspection import inspect
from model_artifact.manifest import Manifest
from model_artifact.unpacking import unpack
from model_artifact.verification import verify

Result = TypeVar("Result")


class BrokenPromiseError(AssertionError):
    """Something was taken, written or raised that never may be."""


def check_unpacking(data: bytes, folder: Path) -> bool:
    """Whether the bytes are an artifact; that they harm nobody is checked.

    Args:
        data: any bytes.
        folder: an empty folder, left empty.

    Raises:
        BrokenPromiseError: when more or other files were written than the manifest declares, anything was left behind,
            a message is more than one line, or the commands disagree.
    """
    artifact, room = folder / "a.zip", folder / "room"
    artifact.write_bytes(data)
    try:
        manifest = _try(unpack, artifact, room / "version")
        left = sorted(path.name for path in room.iterdir()) if room.exists() else []
        _expect(left == (["version"] if manifest else []), f"left behind: {left}")
        _expect(sorted(path.name for path in folder.iterdir()) in (["a.zip"], ["a.zip", "room"]), "wrote elsewhere")
        if manifest:
            _check_files(room / "version", manifest, len(data))
        _expect((_try(verify, artifact) is None) == (manifest is None), "verify and unpack disagree")
        _expect(not (manifest and _try(inspect, artifact) is None), "inspect refuses what unpack takes")
    finally:
        artifact.unlink()
        shutil.rmtree(room, ignore_errors=True)
    return manifest is not None


def _try(command: Callable[..., Result], *paths: Path) -> Result | None:
    """What the command returns, or None when it refuses; any other exception than ours is a fault and passes."""
    try:
        return command(*paths)
    except ArtifactError as error:
        _expect(str(error).isprintable() and len(str(error)) < 2000, f"not one short line: {error!r}")
        return None


def _check_files(version: Path, manifest: Manifest, archive_bytes: int) -> None:
    declared = {file.path: file for file in manifest.content.files}
    found = {path.relative_to(version).as_posix(): path for path in version.rglob("*") if not path.is_dir()}
    _expect(found.keys() == declared.keys(), f"{sorted(found)} where {sorted(declared)} are declared")
    for name, path in found.items():
        _expect(path.is_file() and not path.is_symlink(), f"{name} is no plain file")
        _expect(hashlib.sha256(path.read_bytes()).hexdigest() == declared[name].sha256, f"{name} has other bytes")
    total_bytes = sum(path.stat().st_size for path in found.values())
    _expect(total_bytes <= largest_unpacked_bytes(archive_bytes), f"{total_bytes} bytes of {archive_bytes}")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BrokenPromiseError(otherwise)
